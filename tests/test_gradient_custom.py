"""checkpoint, derivatives written by hand, and the checker of derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitflow as jf
from compiler.ir.interpret import interpret
from compiler.ir.parser import parse_graph
from compiler.ir.printer import print_graph
from jitflow.errors import ArgumentError, GradientError
from jitflow.testing import GradientMismatch, check_gradients
from tests.test_transforms import same, same_trees

RNG = np.random.default_rng(2)
X = RNG.normal(size=(3,))
M = RNG.normal(size=(4, 3))


# ------------------------------------------------------------------------- checkpoint


def test_checkpoint_changes_no_derivative():
    w = jf.Variable(M)
    shift = jf.asarray(0.5)

    def block(x: Any, scale: float = 1.0, *, out: dict[str, Any]) -> Any:
        h = jf.tanh(w @ x + shift)
        return {"y": jf.sum(h * h) * scale + out["b"]}

    def total(f: Any) -> Any:
        return lambda x, b: f(x, 2.0, out={"b": b})["y"] ** 2

    plain, kept = total(block), total(jf.checkpoint(block))
    for change in (lambda f: f, jf.function):
        both = [
            change(jf.value_and_grad(f, argnums=(0, 1)))(X, 3.0) for f in (plain, kept)
        ]
        same_trees(both[1], both[0])
        hessians = [change(jf.hessian(f))(X, jf.asarray(3.0)) for f in (plain, kept)]
        same(hessians[1], hessians[0])
        rows = [change(jf.vmap(jf.grad(f), (0, None)))(M, 3.0) for f in (plain, kept)]
        same(rows[1], rows[0])
    grads = []
    for f in (plain, kept):
        with jf.GradientTape() as tape:
            y = f(X, 3.0)
        grads.append(tape.gradient(y, w))
    same(grads[1], grads[0])
    same(jf.grad(jf.function(kept))(X, 3.0), jf.grad(plain)(X, 3.0))


def test_checkpoint_keeps_only_its_inputs():
    def deep(x: Any) -> Any:
        for _ in range(20):
            x = jf.sin(x)
        return x

    recorded = []
    for f in (deep, jf.checkpoint(deep)):
        with jf.GradientTape() as tape:
            x = jf.asarray(X)
            tape.watch(x)
            f(x)
        recorded.append(sum(len(r.outputs) for r in tape._records))
    assert recorded == [20, 1]
    text = jf.function(jf.grad(lambda x: jf.sum(jf.checkpoint(deep)(x))))
    text(X)
    # The forward chain stays in the body of the call: 20 sines, and 20 cosines and
    # 20 sines again in the backward pass.
    assert text.ir("traced").count("sine(") == 60


def test_checkpoint_needs_less_memory_compiled():
    def block(x: Any) -> Any:
        for _ in range(6):
            x = jf.tanh(x @ x)
        return x

    def loss(x: Any, f: Any) -> Any:
        for _ in range(4):
            x = f(x)
        return jf.sum(x)

    square = RNG.normal(size=(64, 64)) / 8
    results, sizes = [], []
    for f in (block, jf.checkpoint(block)):
        compiled = jf.function(jf.grad(lambda x, f=f: loss(x, f)))
        results.append(compiled(square))
        text = compiled.compile(square).buffers()
        sizes.append(int(text.split("arena ")[1].split()[0]))
    same(results[1], results[0], 1e-6)
    assert sizes[1] < sizes[0] / 2


def test_checkpoint_carries_out_assignments_once():
    count = jf.Variable(0.0)

    @jf.checkpoint
    def f(x: Any) -> Any:
        count.assign_add(1.0)
        return x * count

    same(jf.grad(lambda x: jf.sum(f(x)))(X), np.ones(3))
    assert float(count.value) == 1.0
    same(jf.function(jf.grad(lambda x: jf.sum(f(x))))(X), 2 * np.ones(3))
    assert float(count.value) == 2.0


# ------------------------------------------------------------------ custom derivatives


@jf.custom_gradient
def doubled(x: Any) -> Any:
    """exp with a gradient of twice the true one."""
    y = jf.exp(x)
    return y, lambda g: 2 * g * y


@jf.custom_jvp
def tripled(x: Any) -> Any:
    """exp with a tangent of three times the true one."""
    return jf.exp(x)


@tripled.defjvp
def _tripled(primals: Any, tangents: Any) -> Any:
    y = jf.exp(primals[0])
    return y, 3 * y * tangents[0]


@jf.custom_vjp
def halved(x: Any) -> Any:
    """exp with a gradient of half the true one."""
    return jf.exp(x)


halved.defvjp(lambda x: (jf.exp(x), jf.exp(x)), lambda y, g: (0.5 * g * y,))


@pytest.mark.parametrize(
    ("f", "factor"), [(doubled, 2.0), (tripled, 3.0), (halved, 0.5)]
)
def test_custom_derivatives_hold_everywhere(f: Any, factor: float) -> None:
    e = np.exp(X)

    def total(x: Any) -> Any:
        return jf.sum(f(x))

    same(f(X), e)
    same(jf.grad(total)(X), factor * e)
    same(jf.function(jf.grad(total))(X), factor * e)
    same(jf.grad(jf.function(total))(X), factor * e)
    same(jf.jvp(f, (X,), (X,))[1], factor * e * X)
    same(jf.jvp(jf.function(f), (X,), (X,))[1], factor * e * X)
    same(jf.linearize(f, X)[1](X), factor * e * X)
    same(jf.jacfwd(f)(X), np.diag(factor * e))
    same(jf.vmap(jf.grad(f))(X), factor * e)
    same(jf.grad(lambda x: jf.sum(jf.vmap(f)(x)))(X), factor * e)
    same(jf.grad(jf.function(lambda x: jf.sum(jf.vmap(f)(x))))(X), factor * e)
    same(jf.vmap(jf.vmap(jf.grad(f)))(M), factor * np.exp(M))
    rows = jf.grad(jf.function(lambda x, s: jf.sum(jf.vmap(lambda r: f(r * s))(x))), 1)
    same(rows(M, np.array(1.5)), np.sum(factor * np.exp(1.5 * M) * M))


def test_custom_derivatives_of_higher_order_differentiate_what_is_kept():
    e = np.exp(X)
    for transform in (jf.grad, jf.jacfwd, jf.jacrev):
        second = transform(jf.grad(lambda x: doubled(x)))
        same([second(x) for x in X], 2 * e)
    compiled = jf.function(lambda x: doubled(x))
    same([jf.grad(jf.grad(compiled))(x) for x in X], 2 * e)


def test_graphs_with_custom_derivatives_have_a_text():
    def pair(x: Any, n: int) -> Any:
        return doubled(x) * n, tripled(x)

    graph = jf.function(pair).trace(X, 2).graph
    assert {"custom_derivative"} <= {node.op.name for node in graph.nodes}
    again = parse_graph(print_graph(graph))
    assert print_graph(again) == print_graph(graph)
    for a, b in zip(interpret(again, X), pair(X, 2), strict=True):
        same(a, b)


def test_custom_derivatives_cost_nothing_when_compiled():
    f = jf.function(lambda x: doubled(x) + 1)
    f(X)
    assert "custom_derivative" in f.ir("traced")
    assert "custom_derivative" not in f.ir("optimized")


def test_custom_derivatives_inside_loops():
    @jf.function
    def f(x: Any) -> Any:
        return jf.fori_loop(0, 3, lambda i, v: doubled(v) * 0.1, x)

    def chain(x: Any) -> Any:
        v, slope = x, np.ones_like(x)
        for _ in range(3):
            slope = slope * 0.2 * np.exp(v)
            v = np.exp(v) * 0.1
        return slope

    same(jf.grad(lambda x: jf.sum(f(x)))(X), chain(X))
    same(jf.jvp(f, (X,), (np.ones(3),))[1], chain(X))


def test_custom_gradients_with_several_arguments_and_results():
    @jf.custom_gradient
    def f(x: Any, n: Any, y: Any) -> Any:
        def pull(a: Any, b: Any) -> Any:
            return 10 * a + b, None, 100 * b

        return (x * y, x + y), pull

    def total(x: Any, y: Any) -> Any:
        a, b = f(x, 3, y)
        return jf.sum(a) + 2 * jf.sum(b)

    for g in (jf.grad(total, (0, 1)), jf.grad(jf.function(total), (0, 1))):
        dx, dy = g(X, X + 1)
        same(dx, np.full(3, 12.0))
        same(dy, np.full(3, 200.0))


def test_custom_vjp_with_constants_and_structures():
    @lambda f: jf.custom_vjp(f, nondiff_argnums=(0,))
    def apply(function: Any, p: Any, x: Any) -> Any:
        return {"y": function(p["w"] * x)}

    def backward(function: Any, kept: Any, g: Any) -> Any:
        return {"w": g["y"] * kept[1] * 5, "b": None}, None

    apply.defvjp(lambda f, p, x: (apply.fun(f, p, x), (p, x)), backward)
    grads = jf.grad(lambda p, x: jf.sum(apply(jf.sin, p, x)["y"]), (0, 1))(
        {"w": X, "b": np.ones(2)}, X
    )
    same(grads[0]["w"], 5 * X)
    same(grads[0]["b"], np.zeros(2))
    same(grads[1], np.zeros(3))


def test_mistakes_in_custom_derivatives():
    with pytest.raises(ArgumentError, match="defvjp"):
        jf.custom_vjp(lambda x: x)(X)
    with pytest.raises(ArgumentError, match="defjvp"):
        jf.custom_jvp(lambda x: x)(X)
    wrong = jf.custom_gradient(lambda x: (x, lambda g: jf.sum(g)))
    with pytest.raises(GradientError, match=r"shape \(\) for an argument of shape"):
        jf.grad(lambda x: jf.sum(wrong(x)))(X)
    many = jf.custom_gradient(lambda x: (x, lambda g: (g, g)))
    with pytest.raises(GradientError, match="2 gradients for 1 arguments"):
        jf.grad(lambda x: jf.sum(many(x)))(X)


def test_vmap_of_custom_gradients_with_shared_arguments():
    @jf.custom_gradient
    def scaled(x: Any, w: Any) -> Any:
        return x * w, lambda g: (g * w, 7 * g * x)

    def total(w: Any) -> Any:
        return jf.sum(jf.vmap(scaled, in_axes=(0, None))(M, w))

    for f in (total, jf.function(total)):
        same(jf.grad(f)(X), 7 * M.sum(0))
        same(jf.jvp(f, (X,), (X,))[1], 7 * np.sum(M * X))


# -------------------------------------------------------------------- check_gradients


def test_check_gradients_of_all_orders_and_modes():
    def f(x: Any, n: Any, m: Any) -> Any:
        return {"a": jf.sin(m @ x) * n, "b": jf.exp(x[0]), "n": n, "c": x * (1 + 2j)}

    check_gradients(f, [X, np.array(2), M], order=2)
    check_gradients(jf.function(f), [X.astype(np.float32), 3, M], modes=("fwd",))


def test_check_gradients_of_the_ops_that_are_hard():
    check_gradients(lambda x: jf.sort(x) * np.arange(3.0), [X], order=2)
    check_gradients(lambda x: jf.prod(x), [np.array([0.0, 2.0, 0.0])], order=2)
    check_gradients(lambda x: jf.cumulative_prod(x), [X], order=2)
    check_gradients(lambda x: x[[0, 2, 0]] ** 2, [X], order=3, rtol=1e-4)


@pytest.mark.parametrize(
    ("modes", "text"),
    [(("rev",), "reverse mode, order 1, argument 1"), (("fwd",), "forward mode")],
)
def test_check_gradients_reports_what_is_wrong(modes: Any, text: str) -> None:
    with pytest.raises(GradientMismatch) as info:
        check_gradients(lambda x, y: x + doubled(y), [X, X], modes=modes)
    assert text in str(info.value)
    assert "3 of 3 elements differ" in str(info.value)


def test_check_gradients_sees_wrong_second_derivatives():
    second = jf.custom_gradient(
        lambda x: (x**3, lambda g: g * jf.stop_gradient(3 * x**2))
    )
    check_gradients(second, [X])
    with pytest.raises(GradientMismatch, match="order 2"):
        check_gradients(second, [X], order=2)
    with pytest.raises(ArgumentError, match="neither"):
        check_gradients(second, [X], modes=("both",))
    with pytest.raises(ArgumentError, match="no argument is a real float"):
        check_gradients(second, [np.arange(3)])
