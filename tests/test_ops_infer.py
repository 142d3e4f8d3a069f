"""Type inference of ops: labelled constraints and symbolic shapes."""

from __future__ import annotations

from typing import Any

import pytest

import compiler.ops  # noqa: F401
from compiler.errors import TypeInferenceError
from compiler.ir import op as op_table
from compiler.ir.builder import GraphBuilder, infer_types
from compiler.ir.dims import symbol
from compiler.ir.types import f32, i32, parse_type

TABLE = op_table.table()

# ------------------------------------------------------------ constraints, symbols

BROKEN = [
    ("add", "C2", ["f32[3]", "f32[4]"], {}),
    ("add", "C2", ["f32[3]", "f64[3]"], {}),
    ("add", "C1", ["bool[3]", "bool[3]"], {}),
    ("exponential", "C1", ["i32[3]"], {}),
    ("compare", "C3", ["f32[3]", "f32[3]"], {"direction": "XX"}),
    ("compare", "C1", ["c64[3]", "c64[3]"], {"direction": "LT"}),
    ("select", "C1", ["bool[]", "f32[3]", "f32[3]"], {}),
    ("select", "C2", ["bool[3]", "f32[3]", "f64[3]"], {}),
    ("clamp", "C2", ["f32[]", "f32[3]", "f32[3]"], {}),
    ("complex", "C1", ["f16[3]", "f16[3]"], {}),
    ("iota", "C1", [], {"dim": 1, "type": parse_type("f32[3]")}),
    ("iota", "C2", [], {"dim": 0, "type": parse_type("bool[3]")}),
    ("broadcast_in_dim", "C1", ["f32[3]"], {"dims": (), "shape": (3,)}),
    ("broadcast_in_dim", "C2", ["f32[3,3]"], {"dims": (0, 0), "shape": (3, 3)}),
    ("broadcast_in_dim", "C3", ["f32[3]"], {"dims": (0,), "shape": (4,)}),
    ("reshape", "C1", ["f32[3]"], {"shape": (2, 2)}),
    ("transpose", "C1", ["f32[3,2]"], {"permutation": (0, 0)}),
    ("reverse", "C1", ["f32[3]"], {"dims": (1,)}),
    ("concatenate", "C1", ["f32[3]", "f64[3]"], {"dimension": 0}),
    ("concatenate", "C2", ["f32[3]", "f32[3]"], {"dimension": 1}),
    ("concatenate", "C3", ["f32[3,2]", "f32[3,3]"], {"dimension": 0}),
    ("get_dimension_size", "C1", ["f32[3]"], {"dim": 1}),
    ("slice", "C1", ["f32[3]"], {"start": (), "limit": (), "strides": ()}),
    ("slice", "C2", ["f32[3]"], {"start": (2,), "limit": (4,), "strides": (1,)}),
    ("slice", "C2", ["f32[3]"], {"start": (0,), "limit": (3,), "strides": (0,)}),
    ("pad", "C1", ["f32[3]", "f32[]"], {"low": (), "high": (), "interior": ()}),
    ("pad", "C2", ["f32[3]", "f64[]"], {"low": (0,), "high": (0,), "interior": (0,)}),
    ("pad", "C3", ["f32[3]", "f32[]"], {"low": (-4,), "high": (0,), "interior": (0,)}),
    ("dynamic_slice", "C1", ["f32[3]"], {"sizes": (1,)}),
    ("dynamic_slice", "C2", ["f32[3]", "f32[]"], {"sizes": (1,)}),
    ("dynamic_slice", "C3", ["f32[3]", "i32[]"], {"sizes": (4,)}),
    ("dynamic_update_slice", "C3", ["f32[3]", "f64[3]", "i32[]"], {}),
    ("reduce_sum", "C1", ["bool[3]"], {"axes": (0,)}),
    ("reduce_sum", "C2", ["f32[3,3]"], {"axes": (1, 0)}),
    ("arg_reduce", "C2", ["f32[0]"], {"axis": 0, "dtype": parse_type("i32[]").dtype,
                                      "kind": "max"}),
    ("cumulative_sum", "C2", ["f32[3]"], {"axis": 1, "reverse": False}),
    ("dot_general", "C1", ["f32[3]", "f64[3]"],
     {"contract": ((0,), (0,)), "batch": ((), ())}),
    ("dot_general", "C2", ["f32[3]", "f32[3]"],
     {"contract": ((1,), (0,)), "batch": ((), ())}),
    ("dot_general", "C3", ["f32[3]", "f32[4]"],
     {"contract": ((0,), (0,)), "batch": ((), ())}),
    ("rng_bits", "C1", ["u32[3]"], {"shape": (2,), "bits": 32}),
    ("rng_bits", "C2", ["u32[2]"], {"shape": (2,), "bits": 16}),
]  # fmt: skip


WINDOW = {"window": (2,), "strides": (1,), "low": (0,), "high": (0,), "dilation": (1,)}
CONV = {"strides": (1,), "low": (1,), "high": (1,), "dilation": (1,), "groups": 1}
PLACES = {"dims": (0,), "batch": 0, "mode": "clip"}
SOLVE = {"left": True, "lower": True, "transpose": "none", "unit_diagonal": False}
BROKEN += [
    ("reduce_window", "C1", ["f32[3,3]"], {**WINDOW, "combine": "add"}),
    ("reduce_window", "C2", ["f32[3]"], {**WINDOW, "strides": (0,), "combine": "add"}),
    ("reduce_window", "C3", ["f32[3]"], {**WINDOW, "combine": "mean"}),
    ("reduce_window", "C3", ["c64[3]"], {**WINDOW, "combine": "max"}),
    ("select_and_scatter", "C3", ["i32[3]", "i32[2]"], {**WINDOW, "select": "max"}),
    ("select_and_scatter", "C4", ["f32[3]", "f32[3]"], {**WINDOW, "select": "max"}),
    ("convolution", "C1", ["f32[1,3,2]", "f32[3,2,4]"], {**CONV, "low": ()}),
    ("convolution", "C2", ["f32[1,3,2]", "f32[3,2,4]"], {**CONV, "strides": (0,)}),
    ("convolution", "C3", ["f32[1,3,2]", "f64[3,2,4]"], CONV),
    ("convolution", "C4", ["f32[1,3,3]", "f32[3,2,4]"], CONV),
    ("convolution_input_gradient", "C5", ["f32[1,4,4]", "f32[3,2,4]"],
     {**CONV, "shape": (1, 3, 2)}),
    ("convolution_filter_gradient", "C5", ["f32[1,3,2]", "f32[1,4,4]"],
     {**CONV, "shape": (3, 2, 4)}),
    ("gather", "C1", ["f32[3]", "f32[2,1]"], PLACES),
    ("gather", "C2", ["f32[3]", "i32[2,1]"], {**PLACES, "dims": (1,)}),
    ("gather", "C3", ["f32[3]", "i32[2,2]"], PLACES),
    ("gather", "C4", ["f32[3,4]", "i32[2,1]"], {**PLACES, "dims": (1,), "batch": 1}),
    ("gather", "C5", ["f32[3]", "i32[2,1]"], {**PLACES, "mode": "wrap"}),
    ("scatter", "C6", ["f32[3]", "i32[2,1]", "f32[3]"], {**PLACES, "combine": "set"}),
    ("scatter", "C7", ["f32[3]", "i32[2,1]", "f32[2]"], {**PLACES, "combine": "sum"}),
    ("sort", "C1", ["f32[3]", "f32[4]"], {"axis": 0, "descending": False}),
    ("sort", "C2", ["f32[3]"], {"axis": 1, "descending": False}),
    ("sort", "C3", ["c64[3]"], {"axis": 0, "descending": False}),
    ("top_k", "C1", ["f32[]"], {"k": 1}),
    ("top_k", "C2", ["f32[3]"], {"k": 4}),
    ("fft", "C1", ["f32[4]"], {"kind": "fft", "length": (4,)}),
    ("fft", "C2", ["c64[4]"], {"kind": "fft", "length": ()}),
    ("fft", "C3", ["c64[4]"], {"kind": "fft", "length": (5,)}),
    ("cholesky", "C1", ["f32[3,4]"], {}),
    ("cholesky", "C1", ["f16[3,3]"], {}),
    ("triangular_solve", "C1", ["f32[3,4]", "f32[3,1]"], SOLVE),
    ("triangular_solve", "C2", ["f32[3,3]", "f32[3]"], SOLVE),
    ("triangular_solve", "C3", ["f32[3,3]", "f32[4,1]"], SOLVE),
    ("triangular_solve", "C4", ["f32[3,3]", "f32[3,1]"], {**SOLVE, "transpose": "T"}),
    ("lu", "C1", ["f32[3]"], {}),
    ("qr", "C1", ["i32[3,3]"], {"full": False}),
    ("eigh", "C1", ["f32[3,4]"], {}),
    ("svd", "C1", ["f32[3]"], {"full": False}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "label", "types", "attrs"), BROKEN)
def test_broken_constraints_are_named(
    name: str, label: str, types: list[str], attrs: dict[str, Any]
) -> None:
    with pytest.raises(TypeInferenceError, match=f"{name}: {label} "):
        infer_types(TABLE[name], tuple(map(parse_type, types)), attrs)
    assert f"{label}:" in TABLE[name].doc


N = symbol("B")
SYMBOLIC = [
    ("add", ["f32[B,3]", "f32[B,3]"], {}, "f32[B,3]"),
    ("compare", ["f32[B]", "f32[B]"], {"direction": "LT"}, "bool[B]"),
    ("reshape", ["f32[B,3,4]"], {"shape": (N, 12)}, "f32[B,12]"),
    ("reshape", ["f32[B,3,4]"], {"shape": (N * 12,)}, "f32[12*B]"),
    ("transpose", ["f32[B,3]"], {"permutation": (1, 0)}, "f32[3,B]"),
    ("broadcast_in_dim", ["f32[3]"], {"dims": (1,), "shape": (N, 3)}, "f32[B,3]"),
    ("slice", ["f32[B,3]"], {"start": (0, 1), "limit": (N, 3), "strides": (1, 1)},
     "f32[B,2]"),
    ("slice", ["f32[2*B]"], {"start": (0,), "limit": (N * 2,), "strides": (2,)},
     "f32[B]"),
    ("pad", ["f32[B]", "f32[]"], {"low": (1,), "high": (1,), "interior": (0,)},
     "f32[B+2]"),
    ("concatenate", ["f32[B]", "f32[3]", "f32[B]"], {"dimension": 0}, "f32[2*B+3]"),
    ("reduce_sum", ["f32[B,3]"], {"axes": (1,)}, "f32[B]"),
    ("dot_general", ["f32[B,3]", "f32[3,4]"],
     {"contract": ((1,), (0,)), "batch": ((), ())}, "f32[B,4]"),
    ("rng_bits", ["u32[2]"], {"shape": (N, 3), "bits": 32}, "u32[B,3]"),
    ("iota", [], {"dim": 0, "type": parse_type("i32[B]")}, "i32[B]"),
]  # fmt: skip


POOL = {
    "window": (1, 2, 1),
    "strides": (1, 2, 1),
    "low": (0, 0, 0),
    "high": (0, 0, 0),
    "dilation": (1, 1, 1),
}
SYMBOLIC += [
    ("select", ["bool[B]", "f32[B]", "f32[B]"], {}, "f32[B]"),
    ("convert", ["f32[B]"], {"dtype": i32}, "i32[B]"),
    ("maximum", ["f32[B]", "f32[B]"], {}, "f32[B]"),
    ("power", ["f32[B]", "f32[B]"], {}, "f32[B]"),
    ("reverse", ["f32[B,3]"], {"dims": (0,)}, "f32[B,3]"),
    ("reduce_max", ["f32[B,3]"], {"axes": (0, 1)}, "f32[]"),
    ("reduce_prod", ["f32[B,3]"], {"axes": (0,)}, "f32[3]"),
    ("cumulative_sum", ["f32[B,3]"], {"axis": 0, "reverse": False}, "f32[B,3]"),
    ("cumulative_max", ["f32[B,3]"], {"axis": 1, "reverse": False}, "f32[B,3]"),
    ("arg_reduce", ["f32[B,3]"], {"axis": 1, "dtype": i32, "kind": "max"}, "i32[B]"),
    ("get_dimension_size", ["f32[B,3]"], {"dim": 0}, "i64[]"),
    ("dynamic_slice", ["f32[B,3]", "i32[]", "i32[]"], {"sizes": (N, 1)}, "f32[B,1]"),
    ("dynamic_update_slice", ["f32[B,3]", "f32[B,1]", "i32[]", "i32[]"], {},
     "f32[B,3]"),
    ("gather", ["f32[5,3]", "i32[B,1]"], PLACES, "f32[B,3]"),
    ("gather", ["f32[B,3]", "i32[4,1]"], PLACES, "f32[4,3]"),
    ("scatter", ["f32[5,3]", "i32[B,1]", "f32[B,3]"], {**PLACES, "combine": "add"},
     "f32[5,3]"),
    ("scatter", ["f32[B,3]", "i32[4,1]", "f32[4,3]"], {**PLACES, "combine": "set"},
     "f32[B,3]"),
    ("scatter", ["f32[B,3]", "i32[4,1]", "f32[4,3]"], {**PLACES, "combine": "max"},
     "f32[B,3]"),
    ("sort", ["f32[B,3]"], {"axis": 0, "descending": True}, "f32[B,3]"),
    ("top_k", ["f32[B,3]"], {"k": 2}, "f32[B,2] i32[B,2]"),
    ("reduce_window", ["f32[B,6,3]"], {**POOL, "combine": "max"}, "f32[B,3,3]"),
    ("reduce_window", ["f32[B,6,3]"], {**POOL, "combine": "add"}, "f32[B,3,3]"),
    ("reduce_window", ["f32[2,2*B,3]"], {**POOL, "combine": "add"}, "f32[2,B,3]"),
    ("select_and_scatter", ["f32[B,6,3]", "f32[B,3,3]"], {**POOL, "select": "max"},
     "f32[B,6,3]"),
    ("convolution", ["f32[B,5,2]", "f32[3,2,4]"], CONV, "f32[B,5,4]"),
    ("convolution", ["f32[2,B,2]", "f32[3,2,4]"], CONV, "f32[2,B,4]"),
    ("convolution_input_gradient", ["f32[B,5,4]", "f32[3,2,4]"],
     {**CONV, "shape": (N, 5, 2)}, "f32[B,5,2]"),
    ("convolution_filter_gradient", ["f32[B,5,2]", "f32[B,5,4]"],
     {**CONV, "shape": (3, 2, 4)}, "f32[3,2,4]"),
    ("fft", ["c64[B,4]"], {"kind": "irfft", "length": (6,)}, "f32[B,6]"),
    ("fft", ["f32[B,6]"], {"kind": "rfft", "length": (6,)}, "c64[B,4]"),
    ("cholesky", ["f32[B,3,3]"], {}, "f32[B,3,3]"),
    ("cholesky", ["f32[B,B]"], {}, "f32[B,B]"),
    ("triangular_solve", ["f32[B,3,3]", "f32[B,3,2]"], SOLVE, "f32[B,3,2]"),
    ("lu", ["f32[B,3,3]"], {}, "f32[B,3,3] i32[B,3]"),
    ("qr", ["f32[B,4,3]"], {"full": False}, "f32[B,4,3] f32[B,3,3]"),
    ("eigh", ["f32[B,3,3]"], {}, "f32[B,3] f32[B,3,3]"),
    ("svd", ["f32[B,4,3]"], {"full": False}, "f32[B,4,3] f32[B,3] f32[B,3,3]"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "types", "attrs", "expected"), SYMBOLIC)
def test_symbolic_shapes(
    name: str, types: list[str], attrs: dict[str, Any], expected: str
) -> None:
    inferred = infer_types(TABLE[name], tuple(map(parse_type, types)), attrs)
    assert inferred == tuple(map(parse_type, expected.split()))


@pytest.mark.parametrize(("name", "types", "attrs", "expected"), SYMBOLIC)
def test_rules_carry_symbolic_shapes(
    name: str, types: list[str], attrs: dict[str, Any], expected: str
) -> None:
    """vjp, jvp and batch build well-typed graphs for a size that is not known."""
    record = TABLE[name]
    b = GraphBuilder()
    xs = [b.parameter(parse_type(text)) for text in types]
    y = getattr(b, name)(*xs, **attrs)
    ys = y if isinstance(y, tuple) else (y,)
    if record.vjp is not None and ys[0].dtype is f32:
        gs = tuple(b.parameter(v.type) if v.dtype.is_inexact else None for v in ys)
        g = gs if isinstance(y, tuple) else gs[0]
        cotangents = record.vjp(b, g, y, *xs, **attrs)
        for x, ct in zip(xs, cotangents, strict=True):
            assert ct is None or ct.type == x.type
        ts = tuple(b.parameter(x.type) if x.dtype.is_inexact else None for x in xs)
        tangents = record.jvp(b, ts, y, *xs, **attrs)
        tangents = tangents if isinstance(tangents, tuple) else (tangents,)
        for v, t in zip(ys, tangents, strict=True):
            assert t is None or t.type == v.type
    if record.batch is not None and xs:
        size = symbol("M") if name not in ONE_SIZE else 7
        batched = [b.parameter(x.type.with_shape((size, *x.shape))) for x in xs]
        results, dims = record.batch(b, tuple(batched), (0,) * len(xs), **attrs)
        results = results if isinstance(results, tuple) else (results,)
        dims = dims if isinstance(dims, tuple) else (dims,)
        for v, result, dim in zip(ys, results, dims, strict=True):
            shape = list(v.shape)
            if dim is not None:
                shape.insert(dim, size)
            assert result.type == v.type.with_shape(tuple(shape))


# A batch of filters becomes groups, whose number is an attribute.
ONE_SIZE = {
    "convolution",
    "convolution_input_gradient",
    "convolution_filter_gradient",
}
