"""`jf.cond`, loops and scans: eager = compiled, gradients, variables, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitflow as jf
from compiler.errors import TypeInferenceError
from jitflow.control_flow import ControlFlowError
from jitflow.errors import ArgumentError, ArgumentTypeError, ShapeError
from jitflow.tracing.structure import flatten


class Pair(NamedTuple):
    a: Any
    b: Any


def tensor(values: Any, dtype: str = "float64") -> jf.Tensor:
    return jf.asarray(np.asarray(values, dtype))


X = tensor([0.5, -1.0, 2.0])


def double(x: Any) -> Any:
    return x * 2


def negate(x: Any) -> Any:
    return -x


def cond_operand(x: Any) -> Any:
    return jf.cond(jf.sum(x) > 0, double, negate, x)


def cond_number(x: Any) -> Any:
    return jf.cond(jf.sum(x) > 0, lambda: 1, lambda: jf.sum(x))


def cond_nested(x: Any) -> Any:
    def inner() -> Any:
        return jf.cond(x[0] > 0, lambda: x * 3, lambda: x + 1)

    return jf.cond(jf.sum(x) > 0, inner, lambda: jf.sin(x))


def cond_structure(x: Any) -> Any:
    return jf.cond(
        x[0] > 0,
        lambda: {"p": Pair(x, None), "q": [x[0]]},
        lambda: {"p": Pair(-x, None), "q": [x[1]]},
    )


def switch_three(x: Any) -> Any:
    index = jf.astype(jf.sum(x), "int32")
    return jf.switch(index, [double, negate, jf.exp], x)


def while_tuple(x: Any) -> Any:
    return jf.while_loop(
        lambda i, a: i < 4, lambda i, a: (i + 1, a * jf.cos(a)), (0, x)
    )


def while_single(x: Any) -> Any:
    return jf.while_loop(lambda a: jf.sum(a * a) < 50, double, (x,))


def while_bounded(x: Any) -> Any:
    return jf.while_loop(
        lambda a: jf.sum(a * a) < 50, lambda a: a * 1.5, x, maximum_iterations=12
    )


def while_limited(x: Any) -> Any:
    limit = jf.astype(x[2], "int64")
    return jf.while_loop(lambda a: True, double, x, maximum_iterations=limit)


def weak_counter(x: Any) -> Any:
    # The counter is a Python number all the way: it must not widen float16.
    half = jf.astype(x, "float16")
    return jf.while_loop(lambda i, a: i < 3, lambda i, a: (i + 1, a - i), (0, half))


def weak_start(x: Any) -> Any:
    return jf.fori_loop(0, 3, lambda i, total: total + x[i], 0.0)


def int_then_float(x: Any) -> Any:
    return jf.fori_loop(0, 3, lambda i, total: total + 0.5, 0)


def fori_static(x: Any) -> Any:
    return jf.fori_loop(1, 4, lambda i, a: jf.sin(a) * i, x)


def fori_dynamic(x: Any) -> Any:
    last = jf.astype(x[2], "int32") + 1
    return jf.fori_loop(0, last, lambda i, a: a * a + i, x)


def fori_empty(x: Any) -> Any:
    last = jf.astype(x[2], "int32")
    return jf.fori_loop(5, 2, double, x) if False else jf.fori_loop(5, last, _keep, x)


def _keep(i: Any, a: Any) -> Any:
    return a + 1


def scan_rows(x: Any) -> Any:
    return jf.scan(lambda c, v: (jf.tanh(c + v), c * v), x[0], x)


def scan_reverse(x: Any) -> Any:
    return jf.scan(lambda c, v: (jf.tanh(c + v), c * v), x[0], x, reverse=True)


def scan_unrolled(x: Any) -> Any:
    return jf.scan(lambda c, v: (c * v, (c, None)), x[0], x, unroll=2)


def scan_unrolled_reverse(x: Any) -> Any:
    return jf.scan(lambda c, v: (c * v, c + v), x[0], x, reverse=True, unroll=2)


def scan_structures(x: Any) -> Any:
    def step(c: Any, v: Any) -> Any:
        return {"n": c["n"] + 1, "s": c["s"] + v.a * v.b}, {"row": [c["s"], 1]}

    return jf.scan(step, {"n": 0, "s": x[0]}, Pair(x, x * x))


def scan_length(x: Any) -> Any:
    return jf.scan(lambda c, _: (c * 0.5, jf.sum(c)), x, length=3)


def scan_nothing(x: Any) -> Any:
    return jf.scan(lambda c, v: (c + v, (c * v, 2)), x[0], x[:0])


def scan_in_cond(x: Any) -> Any:
    return jf.cond(x[0] > 0, lambda: scan_rows(x), lambda: (x[1], x))


def cond_in_scan(x: Any) -> Any:
    def step(c: Any, v: Any) -> Any:
        new = jf.cond(v > 0, lambda: c * v, lambda: c - v)
        return new, new

    return jf.scan(step, x[0], x)


def map_rows(x: Any) -> Any:
    return jf.map(lambda v: (v * v, jf.exp(v)), x)


def prefix_products(x: Any) -> Any:
    return jf.associative_scan(jf.multiply, x)


def affine_prefixes(x: Any) -> Any:
    def combine(f: Any, g: Any) -> Any:
        return f[0] * g[0], f[1] * g[0] + g[1]

    rows = jf.reshape(jf.concat([x, x * 2, x + 1]), (3, 3))
    pair = (rows, rows * rows)
    first = jf.associative_scan(combine, pair, axis=1)
    return first, jf.associative_scan(combine, pair, reverse=True)


PROGRAMS = [
    *(cond_operand, cond_number, cond_nested, cond_structure, switch_three),
    *(while_tuple, while_single, while_bounded, while_limited),
    *(weak_counter, weak_start, int_then_float),
    *(fori_static, fori_dynamic, fori_empty),
    *(scan_rows, scan_reverse, scan_unrolled, scan_unrolled_reverse),
    *(scan_structures, scan_length, scan_nothing, scan_in_cond, cond_in_scan),
    *(map_rows, prefix_products, affine_prefixes),
]
FORWARD_ONLY = {while_tuple, while_single, while_limited, fori_dynamic, weak_counter}
NO_GRADIENT = {cond_number, int_then_float, scan_nothing, fori_empty}


def assert_equal(actual: Any, expected: Any) -> None:
    found, structure = flatten(actual)
    wanted, other = flatten(expected)
    assert structure == other
    for a, e in zip(found, wanted, strict=True):
        if not isinstance(e, jf.Tensor):
            assert a is e or a == e
            continue
        assert a.dtype is e.dtype
        assert a.shape == e.shape
        np.testing.assert_allclose(a.numpy(), e.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
@pytest.mark.parametrize("sign", [1, -1])
def test_compiled_is_eager(program: Callable[..., Any], sign: int) -> None:
    x = X * sign
    assert_equal(jf.function(program)(x), program(x))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.0, 5e-324])
@pytest.mark.parametrize("program", [cond_operand, scan_rows, weak_start, cond_in_scan])
def test_nasty_values(program: Callable[..., Any], value: float) -> None:
    x = tensor([value, 1.0, value])
    assert_equal(jf.function(program)(x), program(x))


def total(program: Callable[..., Any]) -> Callable[..., Any]:
    """The sum of everything that a program returns, weighted unevenly."""

    def loss(x: Any) -> Any:
        leaves = [t for t in flatten(program(x))[0] if isinstance(t, jf.Tensor)]
        parts = [t for t in leaves if t.dtype.is_inexact]
        return sum(jf.sum(jf.sin(t) * (i + 1)) for i, t in enumerate(parts))

    return loss


def slope(loss: Callable[..., Any], direction: np.ndarray, eps: float = 1e-6) -> float:
    up, down = (float(loss(X + s * eps * direction)) for s in (1, -1))
    return (up - down) / (2 * eps)


REVERSIBLE = [p for p in PROGRAMS if p not in FORWARD_ONLY | NO_GRADIENT]


@pytest.mark.parametrize("program", REVERSIBLE, ids=lambda p: p.__name__)
def test_gradients(program: Callable[..., Any], rng: np.random.Generator) -> None:
    loss = total(program)
    direction = rng.normal(size=3)
    expected = slope(loss, direction)
    ways = [
        jf.grad(loss)(X),
        jf.function(jf.grad(loss))(X),
        jf.grad(jf.function(loss))(X),
    ]
    for gradient in ways:
        found = float(np.sum(gradient.numpy() * direction))
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("program", [while_tuple, while_single, fori_dynamic])
def test_a_while_loop_has_no_reverse_mode(program: Callable[..., Any]) -> None:
    with pytest.raises(TypeInferenceError, match="fori_loop"):
        jf.function(jf.grad(total(program)))(X)


def test_a_while_loop_has_reverse_mode_when_eager(rng: np.random.Generator) -> None:
    loss, direction = total(while_tuple), rng.normal(size=3)
    found = float(np.sum(jf.grad(loss)(X).numpy() * direction))
    assert found == pytest.approx(slope(loss, direction), rel=1e-5)


def test_second_derivative_through_scan() -> None:
    loss = total(scan_rows)
    eager = jf.grad(lambda x: jf.sum(jf.grad(loss)(x) ** 2))(X)
    compiled = jf.function(jf.grad(lambda x: jf.sum(jf.grad(loss)(x) ** 2)))(X)
    np.testing.assert_allclose(compiled.numpy(), eager.numpy(), rtol=1e-9)


# -- what bodies close over ------------------------------------------------------------


def test_closed_over_tensors_and_variables_have_gradients() -> None:
    w, c = jf.Variable(tensor(2.0)), tensor(3.0)

    def loss(x: Any) -> Any:
        last, rows = jf.scan(lambda s, v: (s * w + v * c, jf.sin(s)), x[0], x)
        return last + jf.sum(rows) + jf.cond(x[0] > 0, lambda: w * w, lambda: w.value)

    def gradients(x: Any) -> Any:
        with jf.GradientTape() as tape:
            tape.watch([x, c])
            value = loss(x)
        return tape.gradient(value, [x, c, w])

    assert_equal(jf.function(gradients)(X), gradients(X))


def test_variables_are_assigned_in_bodies() -> None:
    def program(x: Any, v: Any, n: Any) -> Any:
        def step(i: Any, a: Any) -> Any:
            v.assign_add(1.0)
            return a * v

        def chosen() -> Any:
            n.assign(n + 10)
            return x

        a = jf.fori_loop(0, 3, step, x)
        b = jf.while_loop(lambda a: v < 9.0, lambda a: step(0, a), x)
        c = jf.cond(v > 8.0, chosen, lambda: x * v)
        return a, b, c, jf.map(lambda y: step(0, y), x), v.value, n.value

    def variables() -> tuple[Any, Any]:
        return jf.Variable(tensor(1.0)), jf.Variable(tensor(0, "int64"))

    eager_v, eager_n = variables()
    v, n = variables()
    compiled = jf.function(lambda x: program(x, v, n))
    for _ in range(2):
        assert_equal(compiled(X), program(X, eager_v, eager_n))
        assert_equal([v.value, n.value], [eager_v.value, eager_n.value])


def test_random_numbers_in_a_loop_are_the_eager_ones() -> None:
    generator = jf.random.default_generator()

    def draw() -> Any:
        return jf.fori_loop(0, 3, lambda i, a: a + generator.normal((2,)), jf.zeros(2))

    jf.random.set_seed(3)
    expected = [draw(), draw()]
    jf.random.set_seed(3)
    compiled = jf.function(draw)
    for e in expected:
        np.testing.assert_allclose(compiled().numpy(), e.numpy(), rtol=1e-6)


def test_open_sizes() -> None:
    spec = [jf.TensorSpec([None, 2], "float64")]

    @jf.function(input_signature=spec)
    def program(x: Any) -> Any:
        n = x.shape[0]
        rows = jf.scan(lambda c, v: (c + v, c), jf.zeros(2, dtype="float64"), x)[1]
        return rows, jf.fori_loop(0, n, lambda i, a: a + 1.0, x[0])

    for n in (1, 4):
        x = np.arange(2.0 * n).reshape(n, 2)
        rows, last = program(tensor(x))
        np.testing.assert_array_equal(rows.numpy(), np.cumsum(x, 0) - x)
        np.testing.assert_array_equal(last.numpy(), x[0] + n)


def test_a_python_bool_chooses_while_tracing() -> None:
    calls = []

    def program(x: Any) -> Any:
        return jf.cond(True, lambda: x, lambda: calls.append(1))

    assert_equal(jf.function(program)(X), X)
    assert not calls


def test_equal_loops_are_one_op_in_the_graph() -> None:
    text = jf.function(scan_rows)
    text(X)
    assert text.ir().count("= scan(") == 1


# -- errors ----------------------------------------------------------------------------


def traced(program: Callable[..., Any]) -> Any:
    return jf.function(program)(X)


@pytest.mark.parametrize("run", [lambda p: p(X), traced], ids=["eager", "compiled"])
class TestStateErrors:
    """The same errors eagerly and compiled."""

    def test_dtype(self, run: Any) -> None:
        def program(x: Any) -> Any:
            return jf.fori_loop(0, 2, lambda i, a: jf.astype(a, "float32"), x)

        with pytest.raises(ControlFlowError, match=r"float64\[3\][^\n]*float32\[3\]"):
            run(program)

    def test_shape_names_the_path(self, run: Any) -> None:
        def program(x: Any) -> Any:
            def step(s: Any) -> Any:
                return {"a": s["a"], "b": jf.concat([s["b"], x])}

            return jf.while_loop(lambda s: s["a"] < 1, step, {"a": x[0], "b": x})

        with pytest.raises(ControlFlowError, match=r"loop_vars\['b'\]") as caught:
            run(program)
        assert "test_control_flow.py" in str(caught.value)

    def test_structure(self, run: Any) -> None:
        def program(x: Any) -> Any:
            return jf.scan(lambda c, v: ((c, c), v), x[0], x)

        with pytest.raises(ControlFlowError, match="containers"):
            run(program)

    def test_scan_needs_a_pair(self, run: Any) -> None:
        with pytest.raises(ArgumentError, match="a pair"):
            run(lambda x: jf.scan(lambda c, v: c, x[0], x))

    def test_slices_differ(self, run: Any) -> None:
        with pytest.raises(ShapeError, match="3, 2"):
            run(lambda x: jf.scan(lambda c, v: (c, v), 0, (x, x[:2])))

    def test_condition_of_rank_one(self, run: Any) -> None:
        with pytest.raises(ControlFlowError, match=r"jf\.any"):
            run(lambda x: jf.cond(x > 0, lambda: 1, lambda: 2))

    def test_switch_index(self, run: Any) -> None:
        with pytest.raises(ArgumentTypeError, match="integer"):
            run(lambda x: jf.switch(x[0], [lambda: x]))

    def test_fori_bound(self, run: Any) -> None:
        with pytest.raises(ArgumentTypeError, match="upper"):
            run(lambda x: jf.fori_loop(0, x[0], _keep, x))

    def test_associative_scan_sizes(self, run: Any) -> None:
        with pytest.raises(ShapeError, match="one fixed size"):
            run(lambda x: jf.associative_scan(lambda a, b: a, (x, x[:2])))


def test_branches_of_different_types() -> None:
    def program(x: Any) -> Any:
        return jf.cond(x[0] > 0, lambda: (x, x[0]), lambda: (x, x))

    with pytest.raises(ControlFlowError, match=r"the result\[1\]") as caught:
        traced(program)
    assert "float64[]" in str(caught.value)
    assert "float64[3]" in str(caught.value)
    assert "test_control_flow.py" in str(caught.value)


def test_branches_of_different_structures() -> None:
    with pytest.raises(ControlFlowError, match="structures"):
        traced(lambda x: jf.cond(x[0] > 0, lambda: x, lambda: (x, x)))


def test_a_branch_without_a_result() -> None:
    with pytest.raises(ControlFlowError, match="NoneType None"):
        traced(lambda x: jf.cond(x[0] > 0, lambda: x, lambda: None))


def test_a_tensor_that_leaves_its_body() -> None:
    kept: list[Any] = []

    def program(x: Any) -> Any:
        jf.fori_loop(0, 2, lambda i, a: (kept.append(a), a * 2)[1], x)
        return kept[0] + 1

    with pytest.raises(jf.errors.TracerError, match="used outside its trace"):
        jf.function(program, purity="off")(X)


def test_variables_cannot_be_created_in_a_loop() -> None:
    def program(x: Any) -> Any:
        return jf.fori_loop(0, 2, lambda i, a: a + jf.Variable(1.0), x)

    with pytest.raises(jf.errors.VariableError, match="in a loop or branch"):
        traced(program)


def test_the_condition_may_not_assign() -> None:
    v = jf.Variable(tensor(0.0))

    def program(x: Any) -> Any:
        return jf.while_loop(lambda a: v.assign_add(1.0).value < 3, double, x)

    with pytest.raises(ControlFlowError, match="in the body"):
        traced(program)
