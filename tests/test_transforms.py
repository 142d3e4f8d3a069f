"""Jacobians, Hessians, forward and reverse mode, tapes; values from JAX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitflow as jf
from jitflow.errors import ArgumentError, GradientError, ShapeError
from jitflow.tracing import flatten
from tests.transform_networks import Network, inputs_of, networks

REFERENCES = np.load(Path(__file__).parent / "data" / "transform_references.npz")
RNG = np.random.default_rng(2)
X = RNG.normal(size=(3,))
M = RNG.normal(size=(4, 3))


def same(actual: Any, expected: Any, rtol: float = 1e-9) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol, 1e-10)


def same_trees(actual: Any, expected: Any, rtol: float = 1e-9) -> None:
    found, wanted = flatten(actual), flatten(expected)
    assert found[1] == wanted[1]
    for a, b in zip(found[0], wanted[0], strict=True):
        same(a, b, rtol)


# ------------------------------------------------------------------------ against JAX


def transforms(net: Network) -> dict[str, Any]:
    """The functions of ``(params, x)`` whose values are kept."""

    def output(p: Any, x: Any) -> Any:
        return net.apply(jf, p, x)

    def loss(p: Any, x: Any) -> Any:
        return jf.sum(output(p, x) ** 2)

    def pushed(p: Any, x: Any) -> Any:
        tangent = np.cos(np.arange(x.size, dtype=np.float64)).reshape(x.shape)
        return jf.jvp(lambda v: output(p, v), (x,), (tangent,))[1]

    return {
        "value": output,
        "grad": jf.grad(loss),
        "jacobian": jf.jacrev(output, argnums=1),
        "jacobian_params": jf.jacfwd(output),
        "hessian": jf.hessian(loss, argnums=1),
        "jvp": pushed,
        "vmap": jf.vmap(output, in_axes=(None, 0)),
        "vmap_grad": jf.vmap(jf.grad(loss), in_axes=(None, 0)),
        "vmap_hessian": jf.vmap(jf.hessian(loss, argnums=1), in_axes=(None, 0)),
    }


NAMES = tuple(transforms(networks()[0]))


@pytest.mark.parametrize("net", networks(), ids=lambda net: net.name)
@pytest.mark.parametrize("name", NAMES)
def test_eager_transforms_agree_with_jax(net: Network, name: str) -> None:
    compare(net, name, transforms(net)[name])


@pytest.mark.parametrize("net", networks()[:2], ids=lambda net: net.name)
@pytest.mark.parametrize("name", ("grad", "jacobian_params", "vmap_hessian"))
def test_compiled_transforms_agree_with_jax(net: Network, name: str) -> None:
    compare(net, name, jf.function(transforms(net)[name]))


def compare(net: Network, name: str, function: Any) -> None:
    params, x, batch = inputs_of(net)
    given = batch if name.startswith("vmap") else x
    found = flatten(function(params, given))[0]
    for i, leaf in enumerate(found):
        same(leaf, REFERENCES[f"{net.name}.{name}.{i}"], 1e-8)
    assert f"{net.name}.{name}.{len(found)}" not in REFERENCES


def test_random_numbers_of_a_batch_of_keys_are_those_of_jax():
    keys = jf.asarray(REFERENCES["random.keys"])
    drawn = jf.vmap(lambda key: jf.random.uniform(key, (3,)))(keys)
    np.testing.assert_array_equal(drawn, REFERENCES["random.uniform"])


# ------------------------------------------------------------- jacfwd, jacrev, hessian


def nested(p: Any, x: Any) -> Any:
    return {"out": jf.sin(p["w"] @ x), "more": [jf.sum(x) * p["s"]]}


PARAMS = {"w": M, "s": np.array(2.0)}


@pytest.mark.parametrize("argnums", [0, 1, (0, 1), -1])
def test_both_modes_give_the_same_nested_jacobian(argnums: Any) -> None:
    forward = jf.jacfwd(nested, argnums=argnums)(PARAMS, X)
    same_trees(forward, jf.jacrev(nested, argnums=argnums)(PARAMS, X))
    block = forward["out"][1] if isinstance(argnums, tuple) else forward["out"]
    block = block["w"] if argnums == 0 else block
    assert block.shape == ((4, 4, 3) if argnums == 0 else (4, 3))


@pytest.mark.parametrize("outer", [jf.jacfwd, jf.jacrev])
@pytest.mark.parametrize("inner", [jf.jacfwd, jf.jacrev])
def test_hessians_of_all_modes_agree(outer: Any, inner: Any) -> None:
    def f(x: Any) -> Any:
        return jf.prod(jf.sin(x)) + jf.sum(x**3)

    same(outer(inner(f))(X), jf.hessian(f)(X))
    s, c = np.sin(X), np.cos(X)
    full = np.outer(c, c) * np.array(
        [[s[3 - i - j] if i != j else 0 for j in range(3)] for i in range(3)]
    )
    np.fill_diagonal(full, -np.prod(s) + 6 * X)
    same(jf.hessian(f)(X), full)


def test_third_derivatives():
    f = jf.jacfwd(jf.jacrev(jf.grad(lambda x: jf.sum(x**4))))
    expected = np.zeros((3, 3, 3))
    expected[range(3), range(3), range(3)] = 24 * X
    same(f(X), expected)


def test_auxiliary_results():
    def f(x: Any) -> Any:
        return jf.sin(x), {"n": jf.sum(x), "k": 3}

    for transform in (jf.jacfwd, jf.jacrev):
        jacobian, aux = transform(f, has_aux=True)(X)
        same(jacobian, np.diag(np.cos(X)))
        same(aux["n"], X.sum())
        assert int(aux["k"]) == 3
    _, t, aux = jf.jvp(f, (X,), (X,), has_aux=True)
    same(t, np.cos(X) * X)
    same(aux["n"], X.sum())


def test_empty_arguments_and_results():
    empty = np.zeros((0, 2))
    assert jf.jacrev(lambda x: jf.sum(x, axis=0))(empty).shape == (2, 0, 2)
    assert jf.jacfwd(lambda x: jf.sum(x, axis=0))(empty).shape == (2, 0, 2)
    assert jf.jacrev(lambda x: x[:0])(X).shape == (0, 3)


def test_holomorphic_functions():
    z = X + 1j * X[::-1]
    for transform in (jf.jacfwd, jf.jacrev):
        same(transform(jf.exp, holomorphic=True)(z), np.diag(np.exp(z)))
    same(jf.grad(lambda z: jf.sum(z * z), holomorphic=True)(z), 2 * z)
    with pytest.raises(GradientError, match="holomorphic=True"):
        jf.jacfwd(jf.exp)(z)
    with pytest.raises(GradientError, match="holomorphic=True"):
        jf.grad(lambda z: jf.sum(z * z))(z)
    with pytest.raises(GradientError, match="must be complex"):
        jf.jacfwd(jf.exp, holomorphic=True)(X)


def test_compiled_jacobians_need_fixed_sizes():
    spec = [jf.TensorSpec(["n"], "float64")]
    with pytest.raises(GradientError, match="fixed sizes"):
        jf.function(jf.jacfwd(jf.sin), input_signature=spec)(X)


def test_control_flow():
    def grow(x: Any) -> Any:
        return jf.fori_loop(0, 3, lambda i, v: v * jf.sin(v) + x, x)

    for function in (grow, jf.function(grow)):
        same(jf.jacfwd(function)(X), jf.jacrev(function)(X))
        rows = [np.asarray(grow(row)) for row in M]
        same(jf.vmap(function)(M), np.stack(rows))
        per_row = [np.asarray(jf.jacrev(grow)(row)) for row in M]
        same(jf.vmap(jf.jacrev(function))(M), np.stack(per_row))

    def choose(x: Any) -> Any:
        return jf.cond(jf.sum(x) > 0, lambda: jf.sin(x), lambda: x * 2)

    same(jf.vmap(choose)(M), np.stack([np.asarray(choose(row)) for row in M]))
    same(
        jf.vmap(jf.jacfwd(choose))(M),
        np.stack([np.asarray(jf.jacfwd(choose)(row)) for row in M]),
    )


# ----------------------------------------------------------------- jvp and linearize


def test_jvp_and_linearize_agree_with_the_jacobian():
    def f(x: Any) -> Any:
        return {"a": jf.tanh(M @ x), "b": jf.sum(x)}

    jacobian = jf.jacrev(f)(X)
    y, _ = jf.jvp(f, (X,), (X + 1,))
    result, push = jf.linearize(f, X)
    same_trees(result, y)
    for direction in (X + 1, X * 0, 2 * X):
        pushed = push(direction)
        same_trees(pushed, jf.jvp(f, (X,), (direction,))[1])
        same(pushed["a"], np.asarray(jacobian["a"]) @ direction)
    same(jf.vmap(push)(np.eye(3))["a"], np.asarray(jacobian["a"]).T)
    same(jf.grad(lambda v: jf.sum(push(v)["a"]))(X), np.asarray(jacobian["a"]).sum(0))


def test_linearize_inside_other_transforms():
    def directional(x: Any) -> Any:
        return jf.linearize(lambda v: jf.sum(v**3), x)[1](jf.ones_like(x))

    same(jf.grad(directional)(X), 6 * X)
    same(jf.function(directional)(X), np.sum(3 * X**2))
    same(jf.vmap(directional)(M), np.sum(3 * M**2, axis=1))


def test_tangents_of_integers_and_none():
    def f(x: Any, n: Any) -> Any:
        return x * n, n + 1

    (_, m), (t, s) = jf.jvp(f, (X, 2), (X, None))
    same(t, 2 * X)
    assert int(m) == 3
    assert int(s) == 0
    with pytest.raises(GradientError, match=r"primals\[1\] is int64"):
        jf.jvp(f, (X, 2), (X, 1))
    with pytest.raises(ShapeError, match=r"primals\[0\] has shape \(3,\)"):
        jf.jvp(f, (X, 2), (M, None))
    with pytest.raises(ArgumentError, match="structure"):
        jf.jvp(f, (X, 2), (X,))


def test_forward_mode_leaves_python_its_values():
    def f(x: Any) -> Any:
        return x[x > 0] * (2.0 if float(x[0]) > 0 else 3.0)

    values = np.array([1.0, -1.0, 2.0])
    same(jf.jvp(f, (values,), (np.ones(3),))[1], [2.0, 2.0])


def test_forward_mode_through_a_while_loop():
    def f(x: Any) -> Any:
        return jf.while_loop(lambda v: v < 100.0, lambda v: (v * v,), (x,))

    (y,), (t,) = jf.jvp(jf.function(f), (3.0,), (1.0,))
    assert float(y) == 3.0**8
    same(t, 8 * 3.0**7, 1e-6)


# ---------------------------------------------------------------------------- argnums


def test_gradients_by_several_arguments_and_structures():
    grads = jf.grad(lambda a, n, b: jf.sum(a["x"] * b) * n, argnums=(0, -1))(
        {"x": X, "none": None}, 2, X + 1
    )
    same(grads[0]["x"], 2 * (X + 1))
    assert grads[0]["none"] is None
    same(grads[1], 2 * X)


def test_integers_have_no_gradient_and_are_named():
    with pytest.raises(GradientError) as info:
        jf.grad(lambda x, p: jf.sum(x) * p["step"], argnums=1)(X, {"step": 3})
    assert "p['step'] (argument 1) is int64" in str(info.value)
    assert "astype" in str(info.value)
    for transform in (jf.jacfwd, jf.jacrev, jf.hessian):
        with pytest.raises(GradientError, match=r"n \(argument 0\) is int64"):
            transform(lambda n: n * 1.0)(np.arange(3))
    _, pull = jf.vjp(lambda x, n: x * n, X, 3)
    assert pull(np.ones(3))[1] is None


def test_gradients_need_a_scalar():
    with pytest.raises(GradientError, match="jacrev"):
        jf.grad(jf.sin)(X)
    with pytest.raises(GradientError, match="floating-point scalar"):
        jf.grad(lambda x: jf.argmax(x))(X)


# ------------------------------------------------------------------------------ tapes


def test_tape_jacobians_are_batched():
    w, x = jf.Variable(M), jf.asarray(X)
    with jf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = jf.tanh(w @ x)
    found = tape.jacobian(y, {"w": w, "x": x, "none": jf.Variable(1.0)})
    same(found["w"], jf.jacrev(lambda m: jf.tanh(m @ X))(M))
    same(found["x"], jf.jacrev(lambda v: jf.tanh(M @ v))(X))
    assert found["none"] is None
    zero = tape.jacobian(y, jf.Variable(1.0), unconnected_gradients="zero")
    assert zero.shape == (4,)
    with pytest.raises(ArgumentError, match="'none' or 'zero'"):
        tape.jacobian(y, x, unconnected_gradients="nothing")


def test_batch_jacobian():
    a = jf.asarray(RNG.normal(size=(5, 3)))
    for function in (lambda a: per_example(a), jf.function(lambda a: per_example(a))):
        found = function(a)
        assert found.shape == (5, 2, 2, 3)
        same(found, np.stack([np.asarray(jf.jacrev(outer_of)(row)) for row in a]))
    with jf.GradientTape() as tape:
        tape.watch(a)
        y = jf.sum(a)
    with pytest.raises(ShapeError, match="one batch size"):
        tape.batch_jacobian(y, a)


def outer_of(v: Any) -> Any:
    return jf.outer(jf.sin(v[:2]), v[1:])


def per_example(a: Any) -> Any:
    with jf.GradientTape() as tape:
        tape.watch(a)
        y = jf.sin(a[:, :2, None]) * a[:, None, 1:]
    return tape.batch_jacobian(y, a)


def test_the_jacobian_of_a_recorded_gradient():
    x = jf.asarray(X)
    with jf.GradientTape() as outer:
        outer.watch(x)
        with jf.GradientTape() as inner:
            inner.watch(x)
            y = jf.sum(x**3)
        g = inner.gradient(y, x)
    same(outer.jacobian(g, x), np.diag(6 * X))


def test_a_long_chain_takes_linear_time_and_no_recursion():
    applied: list[int] = []

    def chain(length: int) -> Any:
        def f(x: Any) -> Any:
            for _ in range(length):
                x = jf.sin(x)
            return x

        return f

    for length in (500, 5000):
        counter = jf.GradientTape(persistent=True, watch_accessed_variables=False)
        x = jf.asarray(1.0)
        counter.watch(x)
        with counter:
            jf.grad(chain(length))(x)
        applied.append(len(counter._records))
    assert applied[1] < 10.1 * applied[0]
    t = jf.jvp(chain(5000), (1.0,), (1.0,))[1]
    same(t, jf.grad(chain(5000))(1.0), 1e-4)
    same(jf.vmap(chain(5000))(np.ones(2)), [float(chain(5000)(np.array(1.0)))] * 2)
