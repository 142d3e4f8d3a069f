"""The interpreter and symbol binding."""

from __future__ import annotations

import dataclasses

import ml_dtypes
import numpy as np
import pytest

import compiler.ops  # noqa: F401
from compiler.errors import ExecutionError
from compiler.ir import op as op_table
from compiler.ir import types as t
from compiler.ir.builder import GraphBuilder
from compiler.ir.dims import Dim, symbol
from compiler.ir.interpret import SymbolBinder, bind_symbols, interpret
from compiler.ir.node import Graph
from compiler.ir.op import Kind, Op
from compiler.ir.types import TensorType

B, N = symbol("B"), symbol("N")


def params(*shapes: tuple[Dim, ...], dtype: t.DType = t.f32) -> Graph:
    b = GraphBuilder("g")
    values = [b.parameter(TensorType(dtype, s), f"x{i}") for i, s in enumerate(shapes)]
    return b.build(values)


def layer() -> Graph:
    b = GraphBuilder("layer")
    x = b.parameter(TensorType(t.f32, (B, 3)), "x")
    w = b.parameter(TensorType(t.f32, (3, 2)), "w")
    c = b.parameter(TensorType(t.f32, (2,)), "c")
    y = b.dot_general(x, w, contract=((1,), (0,)), batch=((), ()))
    z = b.add(y, b.broadcast(c, (B, 2)))
    flat = b.reshape(b.maximum(z, b.full_like(0.0, z)), shape=(2 * B,))
    return b.build([flat, b.reduce_sum(z, axes=(0,)), x])


@pytest.mark.parametrize("batch", [0, 1, 5])
def test_layer_equals_numpy(batch: int) -> None:
    rng = np.random.default_rng(0)
    x, w, c = (rng.standard_normal(s, np.float32) for s in [(batch, 3), (3, 2), (2,)])
    flat, total, same = interpret(layer(), x, w, c)
    z = x @ w + c
    np.testing.assert_allclose(flat, np.maximum(z, 0).reshape(-1), rtol=1e-6)
    np.testing.assert_allclose(total, z.sum(0), rtol=1e-5, atol=1e-6)
    assert same is x


def test_no_warning_from_nasty_values(recwarn: pytest.WarningsRecorder) -> None:
    b = GraphBuilder()
    x = b.parameter(TensorType(t.f32, (4,)), "x")
    graph = b.build([b.divide(x, x), b.log(x), b.exponential(x)])
    values = np.array([0.0, -np.inf, np.nan, 1e30], np.float32)
    quotient, logarithm, _ = interpret(graph, values)
    assert np.isnan(quotient[:3]).all()
    assert logarithm[0] == -np.inf
    assert not recwarn.list


@pytest.mark.parametrize("dtype", t.ALL_DTYPES, ids=repr)
def test_every_dtype_goes_through(dtype: t.DType) -> None:
    array = np.array([0, 1, 1]).astype(dtype.np)
    (result,) = interpret(params((3,), dtype=dtype), array)
    assert result.dtype == dtype.np


BINDINGS = [
    ([(B,), (B, N)], [(3,), (3, 5)], {"B": 3, "N": 5}),
    ([(2 * B + 1,)], [(7,)], {"B": 3}),
    ([(B * N,), (N,), (B,)], [(6,), (2,), (3,)], {"B": 3, "N": 2}),
    ([(4 - 1 * B,)], [(1,)], {"B": 3}),
    ([(B,)], [(0,)], {"B": 0}),
    ([(2,), ()], [(2,), ()], {}),
    ([], [], {}),
]


@pytest.mark.parametrize(("shapes", "given", "expected"), BINDINGS)
def test_bind_symbols(shapes: list, given: list, expected: dict[str, int]) -> None:
    binder = SymbolBinder(params(*shapes))
    assert binder(given) == expected
    assert binder([tuple(s) for s in given]) == expected
    assert bind_symbols(params(*shapes), given) == expected


MISFITS = [
    ([(B,), (B, 2)], [(3,), (4, 2)], r"%x1 of g is f32\[B,2\] with B=3, .*\(4, 2\)"),
    ([(B,), (B, 2)], [(3,), (3, 3)], r"%x1 of g is f32\[B,2\] with B=3"),
    ([(B,)], [(3, 1)], r"%x0 of g is f32\[B\], given shape \(3, 1\)"),
    ([(B,)], [()], r"%x0"),
    ([(2 * B + 1,)], [(4,)], r"%x0 of g is f32\[2\*B\+1\]"),
    ([(B + 5,)], [(4,)], r"%x0"),
    ([(B * B,), (B,)], [(5,), (2,)], r"%x0 of g is f32\[B\*B\] with B=2"),
    ([(2, 3)], [(3, 2)], r"%x0"),
    ([(2,)], [(2,), (2,)], r"takes 1 arrays \(%x0\), given 2"),
    ([(2,), (B,)], [(2,)], r"takes 2 arrays \(%x0, %x1\), given 1"),
]


@pytest.mark.parametrize(("shapes", "given", "message"), MISFITS)
def test_misfits_name_the_parameter(shapes: list, given: list, message: str) -> None:
    binder = SymbolBinder(params(*shapes))
    for _ in range(2):  # an answer that was kept must not hide the error
        with pytest.raises(ExecutionError, match=message):
            binder(given)


def test_a_binder_follows_changing_shapes() -> None:
    binder = SymbolBinder(params((B, 2)))
    assert [binder([(n, 2)])["B"] for n in (1, 1, 2, 1)] == [1, 1, 2, 1]


def test_a_symbol_that_no_shape_tells() -> None:
    with pytest.raises(ExecutionError, match="the size of B, N cannot be told"):
        SymbolBinder(params((B * N,)))


def test_wrong_dtype_names_the_parameter() -> None:
    with pytest.raises(ExecutionError, match=r"%x0 .* given an array of float64"):
        interpret(params((2,)), np.zeros(2))
    with pytest.raises(ExecutionError, match="bfloat16"):
        interpret(params((2,)), np.zeros(2, ml_dtypes.bfloat16))


@pytest.mark.parametrize(
    ("evaluate", "message"),
    [
        (lambda x: x.astype(np.float64), r"gives float64\[2\], .* float32\[2\]"),
        (lambda x: x[:1], r"gives float32\[1\], .* float32\[2\]"),
        (lambda x: x[0], "gives float32, .* an array"),
        (lambda x: (x, x), "gives 2 results, .* 1"),
    ],
)
def test_wrong_evaluate_is_found(
    evaluate: object, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = dataclasses.replace(op_table.get("negate"), evaluate=evaluate)
    monkeypatch.setitem(op_table._TABLE, "negate", record)
    b = GraphBuilder()
    graph = b.build([b.negate(b.parameter(TensorType(t.f32, (2,)), "x"))])
    with pytest.raises(ExecutionError, match=message):
        interpret(graph, np.ones(2, np.float32))


def test_symbols_reach_nested_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body may use a symbol that the shapes of its own parameters do not tell."""
    body = GraphBuilder("body")
    x = body.parameter(TensorType(t.f32, ()), "x")
    inner = body.build([body.broadcast(x, (B, 2))])
    record = Op(
        name="probe_call",
        kind=Kind.CONTROL,
        infer=lambda *types, bodies: bodies[0].output_types,
        evaluate=lambda *arrays, bodies: interpret(bodies[0], *arrays),
        vjp=None,
        jvp=None,
        batch=None,
        emit=None,
        attrs=("bodies",),
        doc="",
    )
    monkeypatch.setitem(op_table._TABLE, "probe_call", record)
    b = GraphBuilder()
    batch = b.parameter(TensorType(t.f32, (B,)), "batch")
    total = b.reduce_sum(batch, axes=(0,))
    graph = b.build([b.apply(record, (total,), {"bodies": (inner,)})])
    (result,) = interpret(graph, np.ones(3, np.float32))
    np.testing.assert_array_equal(result, np.full((3, 2), 3, np.float32))
    assert inner.symbols() == ()  # the graph itself is as it was
    assert inner.output_types == (TensorType(t.f32, (B, 2)),)
