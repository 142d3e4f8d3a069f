"""Gradients: the tape, the functional transforms, explanations, higher order."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import jitflow as jf
from jitflow.errors import ArgumentError, GradientError


def numeric(f, x, eps=1e-6):
    """Central differences of the sum of `f` in float64."""
    x = np.asarray(x, np.float64)
    out = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += eps
        down[i] -= eps
        out[i] = (np.sum(f(up)) - np.sum(f(down))) / (2 * eps)
    return out


def check(f, *args, rtol=1e-6):
    """Reverse and forward mode of a jf function against finite differences."""
    args = [np.asarray(a, np.float64) for a in args]
    grads = jf.grad(lambda *xs: jf.sum(f(*xs)), argnums=tuple(range(len(args))))(*args)
    for i, (g, a) in enumerate(zip(grads, args, strict=True)):

        def one(v, i=i):
            return np.asarray(f(*(v if j == i else x for j, x in enumerate(args))))

        np.testing.assert_allclose(np.asarray(g), numeric(one, a), rtol, 1e-7)
    rng = np.random.default_rng(0)
    tangents = [rng.normal(size=a.shape) for a in args]
    _, pushed = jf.jvp(lambda *xs: jf.sum(f(*xs)), args, tangents)
    expected = sum(
        np.sum(np.asarray(g) * t) for g, t in zip(grads, tangents, strict=True)
    )
    np.testing.assert_allclose(float(pushed), expected, rtol, 1e-7)


RNG = np.random.default_rng(1)
X = RNG.normal(size=(3, 4))
Y = RNG.normal(size=(3, 4)) + 3
P = np.abs(X) + 0.5

CASES = {
    "arithmetic": (lambda x, y: (x + y) * x / y - x, X, Y),
    "broadcasting": (lambda x, y: x * y[0] + y[:, :1], X, Y),
    "powers": (lambda x, y: x**y + x**2 + x**0.5, P, Y),
    "remainder": (lambda x, y: x % y, X, Y),
    "exp_log": (lambda x: jf.exp(x) + jf.log(x) + jf.log1p(x) + jf.sqrt(x), P),
    "trigonometry": (lambda x: jf.sin(x) * jf.cos(x) + jf.atan2(x, x + 3), X),
    "hyperbolic": (lambda x: jf.tanh(x) + jf.sinh(x) + jf.asinh(x), X),
    "matmul": (lambda x, y: x @ y.mT, X, Y),
    "matmul_vector": (lambda x, y: x @ y, X, Y[0]),
    "matmul_batch": (lambda x, y: jf.matmul(x, y), X[None], np.stack([Y.T, 2 * Y.T])),
    "einsum": (lambda x, y: jf.einsum("ij,kj->ki", x, y), X, Y),
    "reductions": (lambda x: jf.sum(x, axis=0) * jf.mean(x) * jf.std(x, axis=0), X),
    "extrema": (lambda x: jf.max(x, axis=1) * jf.min(x), X),
    "prod": (lambda x: jf.prod(x, axis=1), X),
    "cumulative": (lambda x: jf.cumulative_sum(x, axis=0) ** 2, X),
    "indexing": (lambda x: x[1:, ::-2] * x[0, 1] + x[None, ..., 0][0, 0], X),
    "gather": (lambda x: x[[0, 2, 0]] * x[[1]], X),
    "two_indices": (lambda x: x[[0, 2], [1, 1]] ** 2, X),
    "take_along_axis": (
        lambda x: jf.take_along_axis(x, np.argsort(X, axis=1), axis=1) ** 2,
        X,
    ),
    "sort": (lambda x: jf.sort(x, axis=1) * np.arange(4), X),
    "shape": (lambda x: jf.concat([x.T, jf.reshape(x, (4, 3))], axis=1) ** 2, X),
    "pad_roll_flip": (lambda x: jf.roll(jf.pad(jf.flip(x), 1), 2, axis=1) ** 3, X),
    "tile_repeat": (lambda x: jf.tile(x, (2, 1)) * jf.repeat(x, 2, axis=0), X),
    "where_clip": (lambda x: jf.where(x > 0, x * x, -x) + jf.clip(x, -0.5, 0.5), X),
    "maximum": (lambda x, y: jf.maximum(x, y) * jf.minimum(x, y - 3), X, Y),
    "hypot_logaddexp": (lambda x, y: jf.hypot(x, y) + jf.logaddexp(x, y), X, Y),
    "stack": (lambda x: jf.stack([x, x * x], axis=1)[:, 1], X),
    "special": (lambda x: jf.erf(x) + jf.lgamma(jf.abs(x) + 1), X),
    "triangles": (lambda x: jf.tril(x @ x.mT) + jf.triu(x @ x.mT, k=1) ** 2, X),
    "diagonal": (lambda x: jf.trace(x @ x.mT) * jf.diagonal(x, offset=1), X),
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives_are_those_of_finite_differences(name):
    check(*CASES[name])


# ---------------------------------------------------------------------------- tape


def test_variables_are_watched_and_constants_are_not():
    w, frozen = jf.Variable(2.0), jf.Variable(3.0, trainable=False)
    x = jf.asarray(5.0)
    with jf.GradientTape() as tape:
        y = w * frozen * x
    assert tape.watched_variables() == (w,)
    grads = tape.gradient(y, {"w": w, "rest": [frozen, x]})
    assert float(grads["w"]) == 15.0
    assert grads["rest"] == [None, None]


def test_watching_can_be_turned_off():
    w, v = jf.Variable(2.0), jf.Variable(3.0)
    with jf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(w)
        y = w * v
    assert tape.gradient(y, [w, v])[1] is None


def test_gradient_of_a_variable_sums_over_its_reads():
    v = jf.Variable(3.0)
    with jf.GradientTape() as tape:
        first = v * v
        v.assign(10.0)
        second = v * 2.0
        y = first + second
    assert float(tape.gradient(y, v)) == 3 + 3 + 2


def test_targets_may_be_structures_and_weighted():
    x = jf.asarray([1.0, 2.0])
    with jf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        a, b = x * 2, x * x
    assert tape.gradient([a, b], x).tolist() == [4.0, 6.0]
    assert tape.gradient({"a": a, "b": b}, x).tolist() == [4.0, 6.0]
    weighted = tape.gradient([a, b], x, output_gradients=[[1.0, 0.0], None])
    assert weighted.tolist() == [4.0, 4.0]
    with pytest.raises(ArgumentError, match="shape"):
        tape.gradient(a, x, output_gradients=[1.0, 2.0, 3.0])
    assert tape.gradient(x, x).tolist() == [1.0, 1.0]


def test_gradients_of_intermediate_values():
    x = jf.asarray(3.0)
    with jf.GradientTape() as tape:
        tape.watch(x)
        h = x * x
        y = h * h + x
    dy_dx, dy_dh = tape.gradient(y, [x, h])
    assert float(dy_dh) == 2 * 9
    assert float(dy_dx) == 4 * 27 + 1


def test_a_tape_is_used_once_unless_persistent():
    v = jf.Variable(2.0)
    with jf.GradientTape() as tape:
        y = v * v
    tape.gradient(y, v)
    with pytest.raises(GradientError, match="persistent"):
        tape.gradient(y, v)
    with jf.GradientTape(persistent=True) as tape:
        y = v * v
    assert float(tape.gradient(y, v)) == float(tape.gradient(y, v)) == 4.0
    tape.reset()
    assert tape.gradient(y, v) is None


def test_stop_recording():
    v = jf.Variable(2.0)
    with jf.GradientTape() as tape:
        y = v * v
        with tape.stop_recording():
            z = v * 100.0
        y = y + z
    assert float(tape.gradient(y, v)) == 4.0


def test_unconnected_gradients():
    v, w = jf.Variable([1.0, 2.0]), jf.Variable(1.0)
    with jf.GradientTape(persistent=True) as tape:
        y = jf.sum(v)
    assert tape.gradient(y, w) is None
    zero = tape.gradient(y, [w, v], unconnected_gradients="zero")[0]
    assert (zero.shape, float(zero)) == ((), 0.0)
    with pytest.raises(ArgumentError, match="unconnected_gradients"):
        tape.gradient(y, w, unconnected_gradients="explode")


def test_integers_cannot_be_watched():
    with jf.GradientTape() as tape, pytest.raises(GradientError, match="int64"):
        tape.watch(jf.asarray([1, 2]))


def test_bad_sources_are_named():
    with jf.GradientTape() as tape:
        y = jf.Variable(1.0) * 2
    with pytest.raises(ArgumentError, match="float"):
        tape.gradient(y, 1.0)


def test_nested_tapes_give_higher_orders():
    x = jf.Variable(2.0)
    with jf.GradientTape() as outer:
        with jf.GradientTape() as inner:
            y = x**3.0
        first = inner.gradient(y, x)
    second = outer.gradient(first, x)
    assert float(first) == pytest.approx(12.0)
    assert float(second) == pytest.approx(12.0)
    third = jf.grad(jf.grad(jf.grad(lambda t: t * t * t * t)))(3.0)
    assert float(third) == pytest.approx(72.0)


def test_a_persistent_tape_records_its_own_backward_pass():
    x = jf.Variable(2.0)
    with jf.GradientTape(persistent=True) as tape:
        y = x * x * x
        first = tape.gradient(y, x)
    assert float(tape.gradient(first, x)) == 12.0


def test_jacobian():
    w = RNG.normal(size=(2, 3)).astype(np.float32)
    x = jf.asarray(RNG.normal(size=(3,)).astype(np.float32))
    with jf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = jf.matmul(w, x)
    np.testing.assert_allclose(np.asarray(tape.jacobian(y, x)), w, rtol=1e-6)
    assert tape.jacobian(y, {"v": jf.Variable(1.0)}) == {"v": None}
    with jf.GradientTape() as tape:
        tape.watch(x)
        y = x * x
    np.testing.assert_allclose(
        np.asarray(tape.jacobian(y, x)), np.diag(2 * np.asarray(x)), rtol=1e-6
    )


def test_long_chains_need_no_recursion_and_one_rule_per_op():
    length = 5000
    v = jf.Variable(1.0)
    counter = jf.GradientTape(watch_accessed_variables=False, persistent=True)
    with jf.GradientTape() as tape:
        y = v * 1.0
        for _ in range(length):
            y = y * 1.001
    seed = jf.asarray(1.0)
    counter.watch(seed)
    with counter:
        g = tape.gradient(y, v, output_gradients=seed)
    assert float(g) == pytest.approx(1.001**length, rel=1e-2)
    # Nobody asks for the cotangent of the constant factor: one product per op.
    assert len(counter._records) == length + 1


def test_fan_out_is_summed():
    x = jf.asarray(2.0)
    with jf.GradientTape() as tape:
        tape.watch(x)
        y = jf.sum(jf.stack([x * float(i) for i in range(50)]))
    assert float(tape.gradient(y, x)) == sum(range(50))


def test_a_finished_tape_keeps_nothing_alive():
    v = jf.Variable(np.ones(10, np.float32))
    with jf.GradientTape() as tape:
        h = v * 2.0
        y = jf.sum(h * h)
    alive = weakref.ref(h)
    tape.gradient(y, v)
    del h
    gc.collect()
    assert alive() is None


def test_gradients_of_mixed_dtypes():
    x = jf.asarray([1.0, 2.0])
    with jf.GradientTape() as tape:
        tape.watch(x)
        y = jf.sum(jf.astype(x, "float64") * np.array([3.0, 4.0]))
    g = tape.gradient(y, x)
    assert g.dtype == "float32"
    assert g.tolist() == [3.0, 4.0]


# --------------------------------------------------------------------- explanations


def why(body, source, watch=True):
    with jf.GradientTape() as tape:
        if watch:
            tape.watch(source)
        y = body(source)
    assert tape.gradient(y, source) is None
    return tape.why(y, source)


def test_why_names_the_cause_and_the_line():
    x = jf.asarray([1.0, 2.0])
    text = why(lambda t: jf.sum(jf.asarray(t.numpy()) * 2), x)
    assert "numpy()" in text
    assert "test_gradient.py:" in text
    assert "stop_gradient" in why(lambda t: jf.sum(jf.stop_gradient(t * 2)), x)
    assert "conversion" in why(lambda t: jf.astype(jf.astype(t, "int32"), "float32"), x)
    assert "comparison" in why(lambda t: jf.astype(t > 1, "float32"), x)
    assert "argmax" in why(lambda t: jf.astype(jf.argmax(t), "float32"), x)
    assert "does not use" in why(lambda t: jf.ones(2) * 2, x)
    assert "not watched" in why(lambda t: t * 2, x, watch=False)


def test_why_for_variables():
    w = jf.Variable(1.0, name="kernel")
    frozen = jf.Variable(1.0, trainable=False, name="table")
    with jf.GradientTape() as tape:
        y = w * frozen
    assert "not trainable" in tape.why(y, frozen)
    assert "connected" in tape.why(y, w)
    assert "'unread' is not watched" in tape.why(y, jf.Variable(1.0, name="unread"))
    assert "int64" in tape.why(y, jf.Variable(1))


# ----------------------------------------------------------------------- functions


def test_grad_argnums_aux_and_structures():
    def f(params, x, scale=1.0):
        y = jf.sum(params["w"] * x) * scale + params["b"]
        return y, {"y": y}

    params = {"w": jf.asarray([1.0, 2.0]), "b": jf.asarray(0.5)}
    x = jf.asarray([3.0, 4.0])
    (value, aux), grads = jf.value_and_grad(f, has_aux=True)(params, x, scale=2.0)
    assert float(value) == float(aux["y"]) == 22.5
    assert grads["w"].tolist() == [6.0, 8.0]
    assert float(grads["b"]) == 1.0
    (dp, dx), _ = jf.grad(f, argnums=(0, 1), has_aux=True)(params, x)
    assert dx.tolist() == [1.0, 2.0]
    assert dp["w"].tolist() == [3.0, 4.0]
    assert float(jf.grad(lambda v: v * v)(jf.Variable(3.0))) == 6.0
    assert float(jf.grad(lambda x, y: x * y, argnums=-1)(2.0, 3.0)) == 2.0


def test_grad_errors():
    with pytest.raises(GradientError, match="scalar"):
        jf.grad(lambda x: x * 2)(jf.ones(2))
    with pytest.raises(ArgumentError, match="argnums"):
        jf.grad(lambda x: x, argnums=3)(1.0)
    with pytest.raises(GradientError, match="int64"):
        jf.grad(lambda x: x)(1)


def test_grad_does_not_confuse_equal_arguments():
    x = jf.asarray(3.0)
    assert float(jf.grad(lambda a, b: a * b * b)(x, x)) == 9.0


def test_vjp_pulls_structures_back():
    x, y = jf.asarray([1.0, 2.0]), jf.asarray([3.0, 4.0])
    result, pull = jf.vjp(lambda a, b: {"p": a * b, "s": a + b}, x, y)
    assert result["p"].tolist() == [3.0, 8.0]
    ones = jf.ones(2)
    dx, dy = pull({"p": ones, "s": 2 * ones})
    assert dx.tolist() == [5.0, 6.0]
    assert dy.tolist() == [3.0, 4.0]
    again, _ = pull({"p": ones, "s": 0 * ones})
    assert again.tolist() == [3.0, 4.0]


def test_jvp_of_structures_and_of_constants():
    f = lambda p: {"a": p["x"] ** 2, "b": jf.ones(2)}  # noqa: E731
    value, tangent = jf.jvp(f, ({"x": jf.asarray(3.0)},), ({"x": jf.asarray(2.0)},))
    assert float(value["a"]) == 9.0
    assert float(tangent["a"]) == 12.0
    assert tangent["b"].tolist() == [0.0, 0.0]
    with pytest.raises(ArgumentError, match="structure"):
        jf.jvp(f, ({"x": 1.0},), (1.0,))


def test_stop_gradient():
    g = jf.grad(lambda x: x * jf.stop_gradient(x * x))(jf.asarray(3.0))
    assert float(g) == 9.0
    kept = jf.stop_gradient({"i": jf.asarray([1]), "x": jf.asarray([2.0])})
    assert kept["i"].tolist() == [1]
    assert kept["x"].tolist() == [2.0]


def test_custom_gradient():
    @jf.custom_gradient
    def reverse(x):
        return x * 1.0, lambda g: -2.0 * g

    assert float(jf.grad(lambda x: reverse(x) * 3.0)(1.0)) == -6.0

    @jf.custom_gradient
    def cube(x):
        return x * x * x, lambda g: g * 3.0 * x * x

    assert float(jf.grad(jf.grad(cube))(2.0)) == 12.0

    @jf.custom_gradient
    def pair(x, y):
        return (x + y, x * y), lambda g, h: (g + h * y, g + h * x)

    dx, dy = jf.grad(lambda x, y: pair(x, y)[1] * 1.0, argnums=(0, 1))(2.0, 5.0)
    assert (float(dx), float(dy)) == (5.0, 2.0)

    @jf.custom_gradient
    def wrong(x):
        return x * 1.0, lambda g: (g, g)

    with pytest.raises(GradientError, match="2 gradients for 1"):
        jf.grad(wrong)(1.0)


def test_gradients_at_kinks_and_poles():
    assert float(jf.grad(jf.abs)(0.0)) == 0.0
    assert float(jf.grad(lambda x: jf.maximum(x, 0.0))(0.0)) == 0.5
    assert float(jf.grad(jf.sqrt)(0.0)) == np.inf
    assert float(jf.grad(lambda x: x**2)(0.0)) == 0.0
    assert float(jf.grad(lambda x: jf.where(x > 0, jf.log(x), 0.0))(2.0)) == 0.5
    ties = jf.grad(jf.max)(jf.asarray([1.0, 3.0, 3.0]))
    assert ties.tolist() == [0.0, 0.5, 0.5]
    zeros = jf.grad(jf.prod)(jf.asarray([0.0, 2.0, 3.0]))
    assert zeros.tolist() == [6.0, 0.0, 0.0]


def test_complex_gradients_are_holomorphic_derivatives():
    z = jf.asarray(1 + 2j)
    g = jf.vjp(lambda x: x * x, z)[1](jf.asarray(1 + 0j))[0]
    assert complex(g) == pytest.approx(2 + 4j)
