"""call, case, while and scan: compiled = interpreted, derivatives, batching, text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import compiler.ops  # noqa: F401
from compiler import driver
from compiler.errors import TypeInferenceError
from compiler.ir.builder import GraphBuilder
from compiler.ir.interpret import interpret
from compiler.ir.node import Graph
from compiler.ir.parser import parse_graph
from compiler.ir.printer import print_graph
from compiler.ir.transform import batched, inline, pullback, pushforward
from compiler.ir.types import TensorType, bool_, f64, i32, type_of_array
from compiler.ops.common import or_zeros
from compiler.options import Options

VECTOR, SCALAR = TensorType(f64, (3,)), TensorType(f64)
COUNT, FLAG = TensorType(i32), TensorType(bool_)


def body(name: str, types: Sequence[TensorType], make: Callable[..., Any]) -> Graph:
    """A graph from a function of a builder and its parameters."""
    b = GraphBuilder(name)
    return b.build(make(b, *[b.parameter(t) for t in types]))


def less(b: Any, x: Any, y: Any) -> Any:
    return b.compare(x, y, direction="LT")


def call_graph() -> Graph:
    inner = body(
        "inner",
        [VECTOR, VECTOR],
        lambda b, x, y: [b.multiply(b.sine(x), y), b.add(x, y)],
    )

    def make(b: Any, x: Any, y: Any) -> list[Any]:
        first, second = b.call(x, y, body=inner)
        return [b.multiply(first, second)]

    return body("call", [VECTOR, VECTOR], make)


def case_graph(number: int) -> Graph:
    types = [VECTOR, VECTOR]
    branches = (
        body("first", types, lambda b, x, y: [b.multiply(x, b.tanh(y)), x]),
        body("second", types, lambda b, x, y: [b.exponential(y), b.multiply(x, x)]),
        body("third", types, lambda b, x, y: [b.zeros_like(x), b.negate(y)]),
    )

    def make(b: Any, x: Any, y: Any) -> list[Any]:
        return list(b.case(b.scalar(number, i32), x, y, branches=branches))

    return body(f"case_{number}".replace("-", "m"), types, make)


def while_graph() -> Graph:
    """``while i < 5: x, i = x * sin(w), i + 1`` with an invariant `w`."""
    types = [VECTOR, COUNT, VECTOR]
    test = body("test", types, lambda b, w, i, x: [less(b, i, b.scalar(5, i32))])
    step = body(
        "step",
        types,
        lambda b, w, i, x: [b.add(i, b.scalar(1, i32)), b.multiply(x, b.sine(w))],
    )

    def make(b: Any, w: Any, x: Any) -> list[Any]:
        attrs = {"cond": test, "body": step, "num_consts": 1}
        return [getattr(b, "while")(w, b.scalar(0, i32), x, **attrs)[1]]

    return body("while", [VECTOR, VECTOR], make)


def growing_graph() -> Graph:
    """Doubles until the sum passes 100: rows of a batch stop at different times."""
    types = [VECTOR]
    test = body(
        "test",
        types,
        lambda b, x: [less(b, b.reduce_sum(x, axes=(0,)), b.scalar(100, f64))],
    )
    step = body("step", types, lambda b, x: [b.add(x, x)])

    def make(b: Any, x: Any) -> list[Any]:
        return [getattr(b, "while")(x, cond=test, body=step, num_consts=0)]

    return body("growing", types, make)


def scan_graph(length: int, reverse: bool) -> Graph:
    rows = TensorType(f64, (length, 3))
    step = body(
        "step",
        [VECTOR, VECTOR, VECTOR],
        lambda b, w, c, x: [
            b.tanh(b.add(b.multiply(c, w), x)),
            b.multiply(c, x),
        ],
    )

    def make(b: Any, w: Any, c: Any, x: Any) -> list[Any]:
        attrs = {"num_carry": 1, "num_consts": 1, "reverse": reverse}
        return list(b.scan(w, c, x, body=step, length=length, **attrs))

    return body(f"scan_{length}", [VECTOR, VECTOR, rows], make)


GRAPHS = {
    "call": call_graph(),
    **{f"case{n}": case_graph(n) for n in (0, 1, 2, 7, -1)},
    "while": while_graph(),
    "growing": growing_graph(),
    **{f"scan{n}{'r' * r}": scan_graph(n, r) for n in (0, 1, 4) for r in (False, True)},
}
REVERSIBLE = [name for name in GRAPHS if name not in ("while", "growing")]


def arrays_for(graph: Graph, rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.uniform(0.3, 1.5, t.shape) for t in graph.input_types]


def assert_same(actual: Any, expected: Any, rtol: float = 1e-12) -> None:
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype == e.dtype
        assert a.shape == e.shape
        np.testing.assert_allclose(a, e, rtol=rtol, atol=rtol)


def compiled(graph: Graph, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    return list(driver.compile_graph(graph, Options())([*arrays]))


@pytest.mark.parametrize("name", GRAPHS)
def test_compiled_is_interpreted(name: str, rng: np.random.Generator) -> None:
    graph = GRAPHS[name]
    arrays = arrays_for(graph, rng)
    assert_same(compiled(graph, arrays), interpret(graph, *arrays))


@pytest.mark.parametrize("name", GRAPHS)
def test_text_is_a_fixed_point(name: str) -> None:
    text = print_graph(GRAPHS[name])
    again = parse_graph(text)
    assert print_graph(again) == text
    assert print_graph(again, canonical=True) == print_graph(
        GRAPHS[name], canonical=True
    )


def test_values_against_python(rng: np.random.Generator) -> None:
    w, c = rng.normal(size=3), rng.normal(size=3)
    x = rng.normal(size=(4, 3))
    for reverse in (False, True):
        carry, rows = c, np.empty((4, 3))
        for i in reversed(range(4)) if reverse else range(4):
            rows[i], carry = carry * x[i], np.tanh(carry * w + x[i])
        assert_same(interpret(scan_graph(4, reverse), w, c, x), (carry, rows))
    assert_same(interpret(while_graph(), w, c), (c * np.sin(w) ** 5,))
    assert_same(interpret(case_graph(1), w, c), (np.exp(c), w * w))
    # Out of range on either side is the last branch.
    assert_same(interpret(case_graph(7), w, c), (np.zeros(3), -c))
    assert_same(interpret(case_graph(-1), w, c), (np.zeros(3), -c))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.0, 5e-324])
def test_nasty_values_pass_through_loops(value: float) -> None:
    x = np.full(3, value)
    for name in ("while", "scan4", "case0"):
        graph = GRAPHS[name]
        arrays = [np.full(t.shape, value) for t in graph.input_types]
        with np.errstate(all="ignore"):
            expected = interpret(graph, *arrays)
        for a, e in zip(compiled(graph, arrays), expected, strict=True):
            np.testing.assert_array_equal(a, e)
            np.testing.assert_array_equal(np.signbit(a[a == 0]), np.signbit(e[e == 0]))
    assert np.array_equal(x, x, equal_nan=True)


# -- derivatives --------------------------------------------------------------------


def jvp_graph(graph: Graph) -> Graph:
    """``(arguments, tangents) -> tangents of the results``."""

    def make(b: Any, *params: Any) -> list[Any]:
        n = len(graph.params)
        ys, ts = pushforward(b, graph, params[:n], params[n:])
        return [or_zeros(b, t, y) for y, t in zip(ys, ts, strict=True)]

    return body("jvp", [*graph.input_types, *graph.input_types], make)


def vjp_graph(graph: Graph) -> Graph:
    """``(arguments, cotangents of the results) -> cotangents of the arguments``."""

    def make(b: Any, *params: Any) -> list[Any]:
        n = len(graph.params)
        found = pullback(b, graph, params[:n], params[n:])
        return [or_zeros(b, g, x) for g, x in zip(found, params[:n], strict=True)]

    return body("vjp", [*graph.input_types, *graph.output_types], make)


def difference(graph: Graph, xs: list[np.ndarray], ts: list[np.ndarray]) -> list[Any]:
    """Central difference of the results along `ts`."""
    eps = 1e-6
    up = interpret(graph, *(x + eps * t for x, t in zip(xs, ts, strict=True)))
    down = interpret(graph, *(x - eps * t for x, t in zip(xs, ts, strict=True)))
    return [(u - d) / (2 * eps) for u, d in zip(up, down, strict=True)]


@pytest.mark.parametrize("name", GRAPHS)
def test_forward_mode(name: str, rng: np.random.Generator) -> None:
    graph = GRAPHS[name]
    xs = arrays_for(graph, rng)
    ts = [rng.normal(size=x.shape) for x in xs]
    derived = jvp_graph(graph)
    found = interpret(derived, *xs, *ts)
    assert_same(found, difference(graph, xs, ts), rtol=1e-5)
    assert_same(compiled(derived, [*xs, *ts]), found)


@pytest.mark.parametrize("name", REVERSIBLE)
def test_reverse_mode(name: str, rng: np.random.Generator) -> None:
    graph = GRAPHS[name]
    xs = arrays_for(graph, rng)
    ts = [rng.normal(size=x.shape) for x in xs]
    gs = [rng.normal(size=t.shape) for t in graph.output_types]
    derived = vjp_graph(graph)
    found = interpret(derived, *xs, *gs)
    moved = difference(graph, xs, ts)
    forward = sum(float(np.sum(g * d)) for g, d in zip(gs, moved, strict=True))
    backward = sum(float(np.sum(g * t)) for g, t in zip(found, ts, strict=True))
    assert backward == pytest.approx(forward, rel=1e-5, abs=1e-7)
    assert_same(compiled(derived, [*xs, *gs]), found)


@pytest.mark.parametrize("name", ["call", "case0", "case1", "scan4", "scan4r"])
def test_second_derivatives(name: str, rng: np.random.Generator) -> None:
    first = vjp_graph(GRAPHS[name])
    xs = arrays_for(first, rng)
    ts = [rng.normal(size=x.shape) for x in xs]
    second = jvp_graph(first)
    found = interpret(second, *xs, *ts)
    assert_same(found, difference(first, xs, ts), rtol=1e-5)
    assert_same(compiled(second, [*xs, *ts]), found)


def test_reverse_mode_of_while_says_what_to_use() -> None:
    with pytest.raises(TypeInferenceError, match="fori_loop"):
        vjp_graph(while_graph())


# -- batching -----------------------------------------------------------------------


def batch_graph(graph: Graph, dims: Sequence[int | None], size: int) -> Graph:
    types = [
        t if d is None else t.with_shape((*t.shape[:d], size, *t.shape[d:]))
        for t, d in zip(graph.input_types, dims, strict=True)
    ]

    def make(b: Any, *params: Any) -> list[Any]:
        results, axes = batched(b, graph, params, dims)
        moved = []
        for x, d in zip(results, axes, strict=True):
            if d is None:
                shape = (size, *x.shape)
                kept = tuple(range(1, len(shape)))
                moved.append(b.broadcast_in_dim(x, dims=kept, shape=shape))
            else:
                order = (d, *(i for i in range(len(x.shape)) if i != d))
                moved.append(b.transpose(x, permutation=order))
        return moved

    return body("batched", types, make)


def row(x: np.ndarray, d: int | None, i: int) -> np.ndarray:
    return x if d is None else np.take(x, i, axis=d)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("pattern", ["all", "first", "last", "inner"])
def test_batching_is_a_python_loop(
    name: str, pattern: str, rng: np.random.Generator
) -> None:
    graph = GRAPHS[name]
    n = len(graph.params)
    dims: list[int | None] = {
        "all": [0] * n,
        "first": [0] + [None] * (n - 1),
        "last": [None] * (n - 1) + [0],
        "inner": [t.rank for t in graph.input_types],
    }[pattern]
    derived = batch_graph(graph, dims, 4)
    # Larger values make the rows of `growing` stop at different times.
    xs = [rng.uniform(0.3, 9, t.shape) for t in derived.input_types]
    rows = [
        interpret(graph, *(row(x, d, i) for x, d in zip(xs, dims, strict=True)))
        for i in range(4)
    ]
    expected = [np.stack(parts) for parts in zip(*rows, strict=True)]
    found = interpret(derived, *xs)
    assert_same(found, expected)
    assert_same(compiled(derived, xs), expected)


def test_a_batched_index_chooses_for_each_row(rng: np.random.Generator) -> None:
    branches = (
        body("plus", [VECTOR], lambda b, x: [b.add(x, x)]),
        body("minus", [VECTOR], lambda b, x: [b.negate(x)]),
    )
    graph = body(
        "chosen", [COUNT, VECTOR], lambda b, i, x: [b.case(i, x, branches=branches)]
    )
    x = rng.normal(size=(4, 3))
    index = np.array([0, 1, 5, -3], np.int32)
    expected = np.stack([2 * x[0], -x[1], -x[2], -x[3]])
    derived = batch_graph(graph, [0, 0], 4)
    assert_same(interpret(derived, index, x), [expected])
    assert_same(compiled(derived, [index, x]), [expected])


# -- rules of the records -----------------------------------------------------------


def test_constraints_are_labelled() -> None:
    one = body("one", [VECTOR], lambda b, x: [x])
    pair = body("pair", [VECTOR], lambda b, x: [x, x])
    flag = body("flag", [VECTOR], lambda b, x: [b.scalar(True, bool_)])
    b = GraphBuilder("main")
    x, number = b.parameter(VECTOR), b.parameter(COUNT)
    loop = getattr(b, "while")
    with pytest.raises(TypeInferenceError, match="C1"):
        b.call(number, body=one)
    with pytest.raises(TypeInferenceError, match="C1"):
        b.case(x, x, branches=(one, one))
    with pytest.raises(TypeInferenceError, match="C2"):
        b.case(number, number, branches=(one, one))
    with pytest.raises(TypeInferenceError, match="C3"):
        b.case(number, x, branches=(one, pair))
    with pytest.raises(TypeInferenceError, match="C1"):
        loop(number, cond=flag, body=one, num_consts=0)
    with pytest.raises(TypeInferenceError, match="C2"):
        loop(x, cond=one, body=one, num_consts=0)
    with pytest.raises(TypeInferenceError, match="C3"):
        loop(x, cond=flag, body=pair, num_consts=0)
    with pytest.raises(TypeInferenceError, match="C2"):
        b.scan(x, body=one, length=2, num_carry=0, num_consts=0, reverse=False)


def test_inlining_a_call_changes_nothing(rng: np.random.Generator) -> None:
    graph = call_graph()
    flat = body("flat", graph.input_types, lambda b, *xs: inline(b, graph, xs))
    xs = arrays_for(graph, rng)
    assert_same(interpret(flat, *xs), interpret(graph, *xs))
    assert [type_of_array(x) for x in interpret(flat, *xs)] == [VECTOR]
