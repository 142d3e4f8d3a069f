"""A graph for every rewrite rule: what it applies to, and which values to try."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compiler.ir import types as t
from compiler.ir.builder import GraphBuilder
from compiler.ir.node import Graph
from compiler.ir.types import DType, TensorType

FLOATS = (t.f32, t.f64, t.f16, t.bf16)
WIDE = (t.f32, t.f64)
INTS = (t.i32, t.u8, t.i64)
REALS = (*FLOATS, *INTS)
BITS = (t.bool_, *INTS)


@dataclass(frozen=True)
class Sample:
    """`build` receives a builder and parameters of `shapes`; the rule must apply."""

    rule: str
    build: Callable[..., Any]
    shapes: Sequence[tuple[Any, ...]] = ((64,),)
    dtypes: Sequence[DType] = FLOATS
    predicates: int = 0  # the first parameters are bool

    def graph(self, dtype: DType) -> Graph:
        """The sample as a graph for one dtype."""
        b = GraphBuilder(self.rule)
        kinds = [t.bool_] * self.predicates + [dtype] * len(self.shapes)
        params = [
            b.parameter(TensorType(k, s))
            for k, s in zip(kinds, self.shapes, strict=False)
        ]
        return b.build([self.build(b, *params)])


def nasty(type_: TensorType, rng: np.random.Generator) -> np.ndarray:
    """Random elements, half of them NaN, infinite, signed zero, denormal, extreme."""
    dtype, shape = type_.dtype, type_.shape
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.is_integer:
        info = np.iinfo(dtype.np)
        special = [info.min, info.max, info.min + 1, 0, 1, 2, info.max // 2]
        ordinary = rng.integers(0, 100, shape)
    else:
        limits = np.finfo(dtype.np) if dtype is not t.bf16 else np.finfo(np.float32)
        tiny, top = float(limits.tiny), float(limits.max)
        special = [np.nan, np.inf, -np.inf, 0.0, -0.0, tiny / 4, -tiny, top, -top]
        special += [1.0, -1.0, 0.5, 2.5]
        ordinary = rng.standard_normal(shape) * 4
    chosen = rng.choice(np.array(special, dtype=ordinary.dtype), shape)
    mixed = np.where(rng.random(shape) < 0.5, chosen, ordinary)
    if dtype.is_complex:
        with np.errstate(invalid="ignore"):
            mixed = mixed + 1j * rng.permuted(mixed)
    return np.asarray(mixed).astype(dtype.np)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal bit for bit; any NaN equals any other."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind == "c":
        return same_bits(a.real.copy(), b.real.copy()) and same_bits(
            a.imag.copy(), b.imag.copy()
        )
    bits = np.dtype(f"u{a.dtype.itemsize}")
    equal = np.ascontiguousarray(a).view(bits) == np.ascontiguousarray(b).view(bits)
    if a.dtype.kind in "fV":
        equal |= np.isnan(a) & np.isnan(b)
    return bool(equal.all())


def c(b: GraphBuilder, value: Any, x: Any) -> Any:
    """A literal of the type of `x`."""
    return b.full_like(value, x)


def bit_op(b: GraphBuilder, name: str, *operands: Any) -> Any:
    """Ops whose names are words of Python: and, or, not."""
    return getattr(b, name)(*operands)


def ones(dtype: DType) -> int:
    """All bits set."""
    return -1 if dtype.kind == "i" else (1 << dtype.bits) - 1


def dot(b: GraphBuilder, x: Any, y: Any, left: Any, right: Any) -> Any:
    """A product without batch dimensions."""
    return b.dot_general(x, y, contract=(left, right), batch=((), ()))


def cut(b: GraphBuilder, x: Any, start: Any, limit: Any, strides: Any) -> Any:
    """A slice of a matrix or vector."""
    return b.slice(x, start=start, limit=limit, strides=strides)


SQUARE = ((6, 6),)
PAIR = ((64,), (64,))
TRIPLE = ((64,), (64,), (64,))
S = Sample
REDUCERS = ("reduce_sum", "reduce_prod", "reduce_max", "reduce_min")
LOGICAL = ("reduce_and", "reduce_or")


def _canonical() -> list[Sample]:
    return [
        *(
            S("literal_right", lambda b, x, n=n: bit_op(b, n, c(b, 3, x), x), dtypes=d)
            for n, d in [
                *((n, REALS) for n in ("add", "multiply", "maximum", "minimum")),
                *((n, INTS) for n in ("and", "or", "xor")),
            ]
        ),
        *(
            S(
                "compare_literal_right",
                lambda b, x, d=d: b.compare(c(b, 1, x), x, direction=d),
                dtypes=REALS,
            )
            for d in ("EQ", "NE", "LT", "LE", "GT", "GE")
        ),
        S(
            "splat_literal",
            lambda b, x: b.add(x, b.constant(np.full(64, -0.0, x.dtype.np))),
        ),
        S("move_splat", lambda b, x: b.add(b.reshape(_ones32(b, x), shape=(64,)), x)),
        S(
            "move_splat",
            lambda b, x: b.add(
                b.transpose(b.full(7, TensorType(x.dtype, (6, 6))), permutation=(1, 0)),
                x,
            ),
            SQUARE,
        ),
        S("convert_same", lambda b, x: b.convert(x, dtype=x.dtype), dtypes=REALS),
        S("reshape_same", lambda b, x: b.reshape(x, shape=(64,))),
        S(
            "compose_reshapes",
            lambda b, x: b.reshape(b.reshape(x, shape=(4, 16)), shape=(8, 8)),
        ),
        S(
            "broadcast_is_reshape",
            lambda b, x: b.broadcast_in_dim(x, dims=(1,), shape=(1, 64)),
        ),
        S(
            "compose_broadcasts",
            lambda b, x: b.broadcast_in_dim(
                b.broadcast_in_dim(x, dims=(1,), shape=(3, 64)),
                dims=(0, 2),
                shape=(3, 2, 64),
            ),
        ),
        S(
            "squeeze_broadcast",
            lambda b, x: b.broadcast_in_dim(x, dims=(0, 1), shape=(8, 5)),
            ((8, 1),),
        ),
        S(
            "sort_broadcast",
            lambda b, x: b.broadcast_in_dim(x, dims=(2, 0), shape=(5, 3, 4)),
            ((4, 5),),
        ),
        S("transpose_same", lambda b, x: b.transpose(x, permutation=(0, 1)), SQUARE),
        S(
            "compose_transposes",
            lambda b, x: b.transpose(
                b.transpose(x, permutation=(1, 2, 0)), permutation=(0, 2, 1)
            ),
            ((3, 4, 5),),
        ),
        S(
            "transpose_is_reshape",
            lambda b, x: b.transpose(x, permutation=(2, 0, 1)),
            ((3, 4, 1),),
        ),
        S("slice_whole", lambda b, x: cut(b, x, (0,), (64,), (1,))),
        *(
            S(
                "compose_slices",
                lambda b, x, o=o: cut(b, cut(b, x, (3,), (60,), (2,)), *o),
            )
            for o in [((1,), (20,), (3,)), ((28,), (29,), (1,)), ((4,), (4,), (5,))]
        ),
        S(
            "slice_of_concatenate",
            lambda b, x, y: cut(
                b, b.concatenate(x, y, dimension=0), (70,), (101,), (3,)
            ),
            PAIR,
        ),
        S(
            "pad_nothing",
            lambda b, x: b.pad(
                x, b.scalar(0, x.dtype), low=(0,), high=(0,), interior=(0,)
            ),
        ),
        S("reverse_nothing", lambda b, x: b.reverse(x, dims=(1,)), ((8, 1),)),
        S("concatenate_flat", lambda b, x: b.concatenate(x, dimension=0)),
        S(
            "concatenate_flat",
            lambda b, x, y, z: b.concatenate(
                b.concatenate(x, y, dimension=0), z, dimension=0
            ),
            ((4,), (0,), (5,)),
        ),
        *(
            S(
                "size_of_operand",
                lambda b, x, f=f, d=d: b.get_dimension_size(f(b, x), dim=d),
                ((3, 4, 5),),
            )
            for f, d in [
                (lambda b, x: b.negate(x), 1),
                (lambda b, x: b.transpose(x, permutation=(2, 0, 1)), 0),
                (lambda b, x: b.reduce_max(x, axes=(1,)), 1),
                (
                    lambda b, x: b.broadcast_in_dim(
                        x, dims=(0, 2, 3), shape=(3, 7, 4, 5)
                    ),
                    3,
                ),
            ]
        ),
        *(
            S(f"{name}_of_one", lambda b, x, n=name, a=a: getattr(b, n)(x, axes=a), s)
            for name in REDUCERS
            for a, s in [((), ((7,),)), ((1,), ((7, 1),)), ((0, 1), ((7, 1),))]
        ),
        *(
            S(
                f"{name}_of_one",
                lambda b, x, n=name: getattr(b, n)(x, axes=(1,)),
                ((7, 1),),
                (t.bool_,),
            )
            for name in LOGICAL
        ),
    ]


def _ones32(b: GraphBuilder, x: Any) -> Any:
    return b.full(1, TensorType(x.dtype, (8, 8)))


def _folding() -> list[Sample]:
    table = np.arange(24).reshape(2, 3, 4)
    return [
        S("fold_splats", lambda b, x: b.add(x, b.multiply(c(b, 3, x), c(b, 5, x)))),
        S(
            "fold_splats",
            lambda b, x: b.add(x, b.exponential(c(b, -2, x))),
            dtypes=(*FLOATS, t.c64),
        ),
        S(
            "fold_literals",
            lambda b, x: b.add(
                x, b.reduce_sum(b.constant(table.astype(x.dtype.np)), axes=(1,))
            ),
            ((2, 4),),
            REALS,
        ),
        S(
            "fold_literals",
            lambda b, x: b.add(
                x,
                b.add(
                    b.constant(np.arange(64).astype(x.dtype.np)),
                    b.broadcast_in_dim(c(b, 2, x), dims=(0,), shape=(64,)),
                ),
            ),
        ),
        S(
            "fold_extremum",
            lambda b, x: b.add(
                x, b.reduce_max(b.full(-3.5, TensorType(x.dtype, (64, 3))), axes=(1,))
            ),
        ),
        S(
            "fold_same_splats",
            lambda b, x: b.add(
                x,
                b.concatenate(
                    *[b.full(2, TensorType(x.dtype, (32,)))] * 2, dimension=0
                ),
            ),
        ),
        S(
            "fold_same_splats",
            lambda b, x: b.add(
                x,
                b.pad(
                    b.full(-0.0, TensorType(x.dtype, (30,))),
                    b.scalar(-0.0, x.dtype),
                    low=(4,),
                    high=(1,),
                    interior=(1,),
                ),
            ),
        ),
    ]


def _neutral() -> list[Sample]:
    mul, div = "multiply", "divide"
    return [
        *(
            S(
                "multiply_one",
                lambda b, x, n=n: bit_op(b, n, x, c(b, 1, x)),
                dtypes=REALS,
            )
            for n in (mul, div)
        ),
        S("add_minus_zero", lambda b, x: b.add(x, c(b, -0.0, x))),
        S("subtract_zero", lambda b, x: b.subtract(x, c(b, 0.0, x))),
        *(
            S(
                "add_zero_integer",
                lambda b, x, n=n: bit_op(b, n, x, c(b, 0, x)),
                dtypes=INTS,
            )
            for n in ("add", "subtract")
        ),
        S(
            "multiply_zero_integer",
            lambda b, x: b.multiply(x, c(b, 0, x)),
            dtypes=INTS,
        ),
        S("subtract_self_integer", lambda b, x: b.subtract(x, x), dtypes=INTS),
        *(
            S("divide_power_of_two", lambda b, x, v=v: b.divide(x, c(b, v, x)))
            for v in (2.0, -0.25, 2.0**14, -(2.0**-14))
        ),
        *(
            S("extremum_self", lambda b, x, n=n: bit_op(b, n, x, x), dtypes=REALS)
            for n in ("maximum", "minimum")
        ),
        *(
            S("extremum_self", lambda b, x, n=n: bit_op(b, n, x, x), dtypes=BITS)
            for n in ("and", "or")
        ),
        S("extremum_limit", lambda b, x: b.maximum(x, c(b, -np.inf, x))),
        S("extremum_limit", lambda b, x: b.minimum(x, c(b, np.inf, x))),
        S(
            "extremum_limit",
            lambda b, x: b.maximum(x, c(b, np.iinfo(x.dtype.np).min, x)),
            dtypes=INTS,
        ),
        *(
            S(
                f"{n}_literal",
                lambda b, x, n=n, f=f: bit_op(b, n, x, c(b, f(x.dtype), x)),
                dtypes=BITS,
            )
            for n in ("and", "or", "xor")
            for f in (ones, lambda dtype: 0)
        ),
        S("xor_self", lambda b, x: b.xor(x, x), dtypes=BITS),
        *(
            S("shift_zero", lambda b, x, n=n: bit_op(b, n, x, c(b, 0, x)), dtypes=INTS)
            for n in ("shift_left", "shift_right_logical", "shift_right_arithmetic")
        ),
        *(
            S(
                "compose_literals",
                lambda b, x, n=n, v=v, w=w: bit_op(
                    b, n, bit_op(b, n, x, c(b, v, x)), c(b, w, x)
                ),
                dtypes=d,
            )
            for n, v, w, d in [
                ("maximum", -0.0, 0.0, FLOATS),
                ("minimum", 0.0, -0.0, FLOATS),
                ("maximum", 1.5, np.nan, FLOATS),
                ("and", 12, 9, INTS),
                ("or", 12, 9, INTS),
                ("xor", 12, 9, INTS),
            ]
        ),
        *(
            S(
                "compose_literals_integer",
                lambda b, x, n=n: bit_op(
                    b, n, bit_op(b, n, x, c(b, 100, x)), c(b, 77, x)
                ),
                dtypes=INTS,
            )
            for n in ("add", "multiply")
        ),
        *(
            S("round_twice", lambda b, x, n=n, m=m: bit_op(b, n, bit_op(b, m, x)))
            for n in ("floor", "ceil", "round_nearest_even")
            for m in ("floor", "ceil", "round_nearest_even")
        ),
    ]


def _signs() -> list[Sample]:
    return [
        S(
            "negate_negate",
            lambda b, x: b.negate(b.negate(x)),
            dtypes=(*REALS, t.c64),
        ),
        S("not_not", lambda b, x: bit_op(b, "not", bit_op(b, "not", x)), dtypes=BITS),
        *(
            S("abs_negate", lambda b, x, n=n: b.abs(bit_op(b, n, x)), dtypes=d)
            for n, d in [("negate", (*FLOATS, t.i32)), ("abs", (*FLOATS, t.i32))]
        ),
        S("add_negated", lambda b, x, y: b.add(x, b.negate(y)), PAIR, REALS),
        S("add_negated", lambda b, x, y: b.add(b.negate(x), y), PAIR, REALS),
        S("subtract_negated", lambda b, x, y: b.subtract(x, b.negate(y)), PAIR, REALS),
        S(
            "multiply_negated",
            lambda b, x, y: b.multiply(b.negate(x), b.negate(y)),
            PAIR,
            REALS,
        ),
        S("divide_negated", lambda b, x, y: b.divide(b.negate(x), b.negate(y)), PAIR),
        *(
            S(
                "negated_times_literal",
                lambda b, x, n=n: bit_op(b, n, b.negate(x), c(b, 3.7, x)),
            )
            for n in ("multiply", "divide")
        ),
        *(
            S(
                "negate_product",
                lambda b, x, n=n: b.negate(bit_op(b, n, x, c(b, 0.3, x))),
            )
            for n in ("multiply", "divide")
        ),
        S(
            "multiply_minus_one",
            lambda b, x: b.multiply(x, c(b, -1, x)),
            dtypes=(*FLOATS, t.i32),
        ),
        S("minus_zero_subtract", lambda b, x: b.subtract(c(b, -0.0, x), x)),
        S("zero_subtract_integer", lambda b, x: b.subtract(c(b, 0, x), x), dtypes=INTS),
    ]


def _choices() -> list[Sample]:
    three = {"shapes": TRIPLE, "predicates": 1, "dtypes": REALS}
    four = {"shapes": (*TRIPLE, (64,)), "predicates": 1, "dtypes": REALS}

    def truth(b: GraphBuilder, p: Any, yes: bool) -> Any:
        return b.select(p, c(b, yes, p), c(b, not yes, p))

    def compared(direction: str) -> Callable[..., Any]:
        return lambda b, x, y: bit_op(b, "not", b.compare(x, y, direction=direction))

    return [
        *(
            S(
                "select_literal",
                lambda b, x, y, v=v: b.select(
                    b.full(v, TensorType(t.bool_, (64,))), x, y
                ),
                PAIR,
            )
            for v in (True, False)
        ),
        S("select_same", lambda b, p, x: b.select(p, x, x), PAIR, REALS, 1),
        S("select_truth", lambda b, p: truth(b, p, True), dtypes=(t.bool_,)),
        S("select_untruth", lambda b, p: truth(b, p, False), dtypes=(t.bool_,)),
        S(
            "select_not",
            lambda b, p, x, y: b.select(bit_op(b, "not", p), x, y),
            **three,
        ),
        S(
            "select_again_true",
            lambda b, p, x, y, z: b.select(p, b.select(p, x, y), z),
            **four,
        ),
        S(
            "select_again_false",
            lambda b, p, x, y, z: b.select(p, x, b.select(p, y, z)),
            **four,
        ),
        *(S("not_compare", compared(d), PAIR, REALS) for d in ("EQ", "NE")),
        *(S("not_compare", compared(d), PAIR, INTS) for d in ("LT", "LE", "GT", "GE")),
        *(
            S(
                "compare_self",
                lambda b, x, d=d: b.compare(x, x, direction=d),
                dtypes=BITS,
            )
            for d in ("EQ", "NE", "LT", "LE", "GT", "GE")
        ),
    ]


def _conversions() -> list[Sample]:
    chains = [
        *((t.f32, t.f64, o) for o in (t.f32, t.f16, t.i32, t.bool_)),
        *((t.f16, t.f32, o) for o in (t.f16, t.bf16, t.i64)),
        *((t.bf16, t.f32, o) for o in (t.bf16, t.u8)),
        *((t.u8, t.i16, o) for o in (t.u8, t.i8, t.f32)),
        *((t.i8, t.f32, o) for o in (t.i8, t.i64, t.f64)),
        *((t.bool_, t.f16, o) for o in (t.bool_, t.i32, t.f64)),
        (t.i32, t.f64, t.f32),
    ]
    return [
        *(
            S(
                "convert_chain",
                lambda b, x, m=m, o=o: b.convert(b.convert(x, dtype=m), dtype=o),
                dtypes=(d,),
            )
            for d, m, o in chains
        ),
        *(
            S(
                "bitcast_chain",
                lambda b, x, o=o: b.bitcast_convert(
                    b.bitcast_convert(x, dtype=t.i32), dtype=o
                ),
                dtypes=(t.f32,),
            )
            for o in (t.u32, t.f32)
        ),
        S("real_of_complex", lambda b, x, y: b.real(b.complex(x, y)), PAIR, WIDE),
        S("imag_of_complex", lambda b, x, y: b.imag(b.complex(x, y)), PAIR, WIDE),
        S(
            "complex_of_parts",
            lambda b, x: b.complex(b.real(x), b.imag(x)),
            dtypes=(t.c64, t.c128),
        ),
        S(
            "reverse_reverse",
            lambda b, x: b.reverse(b.reverse(x, dims=(0,)), dims=(0,)),
            SQUARE,
        ),
        *(
            S(
                "dynamic_slice_literal",
                lambda b, x, s=s: b.dynamic_slice(
                    x, *(b.scalar(v, t.i64) for v in s), sizes=(2, 3)
                ),
                SQUARE,
            )
            for s in [(1, 2), (-7, 99)]
        ),
    ]


def _powers() -> list[Sample]:
    exponents = {
        "power_zero": (0, REALS),
        "power_one": (1, REALS),
        "power_two": (2, REALS),
        "power_three": (3, REALS),
        "power_four": (4, REALS),
        "power_minus_one": (-1, FLOATS),
        "power_minus_two": (-2, FLOATS),
        "power_half": (0.5, FLOATS),
        "power_minus_half": (-0.5, FLOATS),
    }
    return [
        S(name, lambda b, x, v=v: b.power(x, c(b, v, x)), dtypes=d)
        for name, (v, d) in exponents.items()
    ]


def _relaxed() -> list[Sample]:
    exp = "exponential"
    return [
        S("add_zero", lambda b, x: b.add(x, c(b, 0.0, x))),
        S("multiply_zero", lambda b, x: b.multiply(x, c(b, -0.0, x))),
        S("subtract_self", lambda b, x: b.subtract(x, x)),
        S("divide_self", lambda b, x: b.divide(x, x)),
        S("negate_subtract", lambda b, x, y: b.negate(b.subtract(x, y)), PAIR),
        S("divide_literal", lambda b, x: b.divide(x, c(b, 3.0, x))),
        S(
            "merge_factors",
            lambda b, x: b.multiply(b.multiply(x, c(b, 3.0, x)), c(b, 0.7, x)),
        ),
        S("merge_terms", lambda b, x: b.add(b.add(x, c(b, 3.0, x)), c(b, 0.7, x))),
        S("divide_sqrt", lambda b, x, y: b.divide(x, b.sqrt(y)), PAIR),
        S(
            "multiply_exponentials",
            lambda b, x, y: b.multiply(bit_op(b, exp, x), bit_op(b, exp, y)),
            PAIR,
        ),
        S("log_exponential", lambda b, x: b.log(bit_op(b, exp, x))),
        S("exponential_log", lambda b, x: bit_op(b, exp, b.log(x))),
        S("sqrt_square", lambda b, x: b.sqrt(b.multiply(x, x))),
    ]


def _sinking() -> list[Sample]:
    def spread(b: GraphBuilder, x: Any) -> Any:
        return b.broadcast_in_dim(x, dims=(1,), shape=(3, 64))

    def work(b: GraphBuilder, x: Any) -> Any:
        return b.negate(x)

    return [
        S(
            "sink_broadcast",
            lambda b, x, y: b.subtract(
                spread(b, x),
                b.add(spread(b, y), b.full(2, TensorType(x.dtype, (3, 64)))),
            ),
            PAIR,
        ),
        S(
            "sink_reshape",
            lambda b, x, y: b.add(b.reshape(work(b, x), shape=(8, 8)), y),
            ((4, 16), (8, 8)),
        ),
        S(
            "sink_reshape",
            lambda b, x, y: b.multiply(
                b.reshape(work(b, x), shape=(2, 3, 5)),
                b.broadcast_in_dim(y, dims=(2,), shape=(2, 3, 5)),
            ),
            ((6, 5), (5,)),
        ),
        S(
            "sink_transpose",
            lambda b, x, y: b.maximum(
                b.transpose(x, permutation=(1, 0)),
                b.broadcast_in_dim(y, dims=(0,), shape=(5, 4)),
            ),
            ((4, 5), (5,)),
        ),
        S(
            "reshape_of_broadcast",
            lambda b, x: b.reshape(
                b.broadcast_in_dim(x, dims=(2,), shape=(2, 3, 5)), shape=(6, 5)
            ),
            ((5,),),
        ),
        S(
            "transpose_of_broadcast",
            lambda b, x: b.transpose(spread(b, x), permutation=(1, 0)),
        ),
        *(sample for name in (*REDUCERS, *LOGICAL) for sample in _reduced_moves(name)),
    ]


def _reduced_moves(name: str) -> list[Sample]:
    dtypes = (t.bool_,) if name in LOGICAL else FLOATS
    return [
        S(
            f"{name}_of_reshape",
            lambda b, x: getattr(b, name)(
                b.reshape(x, shape=(2, 3, 1, 20)), axes=(0, 1)
            ),
            ((6, 4, 5),),
            dtypes,
        ),
        S(
            f"{name}_of_transpose",
            lambda b, x: getattr(b, name)(
                b.transpose(x, permutation=(2, 0, 1)), axes=(1,)
            ),
            ((3, 4, 5),),
            dtypes,
        ),
    ]


def _dots() -> list[Sample]:
    def flip(b: GraphBuilder, x: Any) -> Any:
        return b.transpose(x, permutation=(1, 0))

    shapes = ((4, 5), (4, 3))
    return [
        S(
            "fold_transpose_left",
            lambda b, x, y: dot(b, flip(b, x), y, (1,), (0,)),
            shapes,
            (*WIDE, t.i32),
        ),
        S(
            "fold_transpose_right",
            lambda b, x, y: dot(b, y, flip(b, x), (0,), (1,)),
            shapes,
            (*WIDE, t.i32),
        ),
        S(
            "fold_transpose_left",
            lambda b, x, y: b.dot_general(
                b.transpose(x, permutation=(1, 0, 2)),
                y,
                contract=((2,), (1,)),
                batch=((0,), (0,)),
            ),
            ((2, 3, 4), (3, 4, 5)),
            WIDE,
        ),
        S(
            "sort_contract",
            lambda b, x, y: dot(b, x, y, (2, 0), (1, 0)),
            ((3, 4, 5), (3, 5, 2)),
            WIDE,
        ),
        S(
            "exchange_operands",
            lambda b, x, y: flip(b, dot(b, x, y, (0,), (0,))),
            shapes,
            (*WIDE, t.i32),
        ),
        S(
            "exchange_operands",
            lambda b, x, y: b.transpose(
                b.dot_general(x, y, contract=((2,), (1,)), batch=((0,), (0,))),
                permutation=(0, 2, 1),
            ),
            ((3, 2, 4), (3, 4, 5)),
            WIDE,
        ),
    ]


def _custom_derivative(b: GraphBuilder, value: Any, x: Any) -> Any:
    inner = GraphBuilder("pull")
    g, kept = inner.parameter(value.type), inner.parameter(x.type)
    pull = inner.build([inner.multiply(g, kept)])
    return b.custom_derivative(value, x, x, num_inputs=1, pull=pull)


def _windows() -> list[Sample]:
    conv = {"strides": (2, 1), "low": (1, 0), "high": (0, 1), "dilation": (1, 2)}
    pool = {
        "window": (1, 2, 3, 1),
        "strides": (1, 2, 1, 1),
        "low": (0, 1, 0, 0),
        "high": (0, 0, 1, 0),
        "dilation": (1, 1, 2, 1),
    }
    image, out = (2, 6, 7, 4), (2, 3, 4, 6)
    samples = []
    for groups in (1, 2):
        attrs = {**conv, "groups": groups}
        kernel = (3, 3, 4 // groups, 6)
        samples += [
            S(
                "convolution",
                lambda b, x, w, attrs=attrs: b.convolution(x, w, **attrs),
                (image, kernel),
                WIDE,
            ),
            S(
                "convolution_input_gradient",
                lambda b, g, w, attrs=attrs: b.convolution_input_gradient(
                    g, w, shape=image, **attrs
                ),
                (out, kernel),
                WIDE,
            ),
            S(
                "convolution_filter_gradient",
                lambda b, x, g, attrs=attrs, kernel=kernel: (
                    b.convolution_filter_gradient(x, g, shape=kernel, **attrs)
                ),
                (image, out),
                WIDE,
            ),
        ]
    pooled = (2, 3, 4, 4)
    return [
        *samples,
        *(
            S(
                "reduce_window",
                lambda b, x, how=how: b.reduce_window(x, combine=how, **pool),
                (image,),
                WIDE,
            )
            for how in ("add", "max", "min")
        ),
        S(
            "select_and_scatter",
            lambda b, x, g: b.select_and_scatter(x, g, select="max", **pool),
            (image, pooled),
            WIDE,
        ),
        S("custom_derivative", _custom_derivative, ((8,), (8,)), FLOATS),
        *(
            S(
                "arg_reduce",
                lambda b, x, how=how, axis=axis: b.arg_reduce(
                    x, axis=axis, dtype=t.i32, kind=how
                ),
                ((4, 5, 6),),
                (*REALS, t.bool_),
            )
            for how in ("max", "min")
            for axis in (0, 2)
        ),
    ]


SAMPLES: tuple[Sample, ...] = (
    *_windows(),
    *_canonical(),
    *_folding(),
    *_neutral(),
    *_signs(),
    *_choices(),
    *_conversions(),
    *_powers(),
    *_relaxed(),
    *_sinking(),
    *_dots(),
)
