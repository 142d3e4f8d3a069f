"""vmap: against Python loops for every op, nested, with tapes, traces and variables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitflow as jf
from compiler.ir import op as op_table
from compiler.ir.op import Op
from jitflow import keras
from jitflow.errors import (
    ArgumentError,
    ArgumentTypeError,
    GradientError,
    IndexingError,
    ShapeError,
    TracerError,
    VariableError,
)
from jitflow.ops.dispatch import apply
from tests.op_samples import ALL, Sample
from tests.test_ops import assert_close

TABLE = op_table.table()
SIZE = 3
CASES = [
    pytest.param(TABLE[name], sample, id=f"{name}-{i}")
    for name, samples in sorted(ALL.items())
    for i, sample in enumerate(samples[:4])
    if TABLE[name].batch and sample.batch and sample.inputs
]
RNG = np.random.default_rng(5)
X = RNG.normal(size=(4, 3)).astype(np.float32)
W = RNG.normal(size=(3, 2)).astype(np.float32)


def loop(function: Any, *args: Any) -> np.ndarray:
    """The function on each element, stacked."""
    return np.stack([np.asarray(function(*row)) for row in zip(*args, strict=True)])


def same(actual: Any, expected: Any, rtol: float = 1e-6) -> None:
    np.testing.assert_allclose(np.asarray(actual), expected, rtol, 1e-6)


def batched(x: np.ndarray) -> np.ndarray:
    return np.stack([np.roll(x, i).reshape(x.shape) for i in range(SIZE)])


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_every_op_against_a_loop(op: Op, sample: Sample) -> None:
    count = len(sample.inputs)
    for layout in ([True] * count, [i == 0 for i in range(count)]):
        xs = [
            batched(x) if on else x for x, on in zip(sample.inputs, layout, strict=True)
        ]
        axes = tuple(0 if on else None for on in layout)

        def run(*args: Any) -> tuple[Any, ...]:
            found = apply(op, tuple(map(jf.asarray, args)), sample.attrs)
            return found if isinstance(found, tuple) else (found,)

        results = jf.vmap(run, in_axes=axes)(*xs)
        for i in range(SIZE):
            one = [x[i] if on else x for x, on in zip(xs, layout, strict=True)]
            for result, value in zip(results, run(*one), strict=True):
                actual = np.asarray(result)[i]
                assert_close(np.asarray(actual), value.numpy(), 64, sample.atol)


# --------------------------------------------------------------------------- axes


def test_axes_of_arguments_and_results():
    f = jf.vmap(lambda x, w: x @ w, in_axes=(1, None), out_axes=1)
    same(f(X.T, W), (X @ W).T, 1e-5)
    same(jf.vmap(lambda x: x * 2, in_axes=-1, out_axes=-1)(X), X * 2)
    same(jf.vmap(lambda x, w: x @ w, in_axes=(None, 1), out_axes=-1)(X, W), X @ W, 1e-5)


def test_structures_have_axes_of_their_form():
    def f(p: dict[str, Any], pair: tuple[Any, Any]) -> dict[str, Any]:
        return {"sum": p["a"] + pair[0], "rest": [pair[1], p["b"]]}

    axes = ({"a": 0, "b": None}, (1, None))
    args = ({"a": X[:, 0], "b": W}, (X[:2].T @ np.ones((2, 4), np.float32), W))
    out = jf.vmap(f, in_axes=axes, out_axes={"sum": 0, "rest": None})(*args)
    assert out["sum"].shape == (4, 3)
    same(out["sum"], args[0]["a"][:, None] + args[1][0].T)
    same(out["rest"][0], W)
    assert jf.vmap(f, in_axes=axes)(*args)["rest"][1].shape == (4, *W.shape)


def test_keyword_arguments_and_none():
    f = jf.vmap(lambda x, y, scale: (x * scale, y))
    product, nothing = f(X, None, scale=X[:, 0])
    same(product, X * X[:, :1])
    assert nothing is None


def test_results_that_do_not_depend_on_the_batch():
    f = jf.vmap(lambda x: (x, jf.ones(2)), out_axes=(0, None))
    assert [y.shape for y in f(X)] == [(4, 3), (2,)]
    assert jf.vmap(lambda: jf.ones(2), axis_size=5)().shape == (5, 2)
    with pytest.raises(ArgumentError, match="depends on the batch"):
        jf.vmap(lambda x: x, out_axes=None)(X)


def test_an_empty_batch_and_one_of_one():
    f = jf.vmap(lambda x: jf.sum(x @ W))
    assert f(X[:0]).shape == (0,)
    same(f(X[:1]), [np.sum(X[0] @ W)], 1e-5)


def test_nested():
    outer = jf.vmap(lambda x: jf.vmap(lambda y: jf.sin(x) * y)(X[0]))(X[:, 1])
    same(outer, np.sin(X[:, 1])[:, None] * X[0])
    crossed = jf.vmap(jf.vmap(lambda x, w: x @ w, in_axes=(None, 1)), in_axes=(0, None))
    same(crossed(X, W), X @ W, 1e-5)
    inner = jf.vmap(jf.vmap(lambda x: jf.argmax(x), in_axes=0), in_axes=1)
    cube = RNG.normal(size=(2, 3, 5))
    np.testing.assert_array_equal(inner(cube), cube.argmax(-1).T)


# ------------------------------------------------------- tapes, traces, variables


def loss(w: Any, x: Any) -> Any:
    return jf.sum(jf.tanh(x @ w) ** 2)


def test_gradients_inside_and_outside():
    inside = jf.vmap(jf.grad(loss), in_axes=(None, 0))(W, X)
    same(inside, loop(lambda x: jf.grad(loss)(W, x), X))

    def total(w: Any) -> Any:
        return jf.sum(jf.vmap(loss, in_axes=(None, 0))(w, X))

    same(jf.grad(total)(W), np.asarray(inside).sum(0), 1e-5)
    w = jf.Variable(W)
    with jf.GradientTape() as tape:
        value = jf.sum(jf.vmap(lambda x: loss(w, x))(X))
    same(tape.gradient(value, w), np.asarray(inside).sum(0), 1e-5)
    penalty = jf.grad(lambda w: jf.sum(jf.vmap(jf.grad(loss), (None, 0))(w, X) ** 2))
    expected = sum(
        np.asarray(jf.grad(lambda w, x=x: jf.sum(jf.grad(loss)(w, x) ** 2))(W))
        for x in X
    )
    same(penalty(W), expected, 1e-4)


def test_traced_with_fixed_and_open_sizes():
    per_example = jf.vmap(jf.grad(loss), in_axes=(None, 0))
    expected = np.asarray(per_example(W, X))
    same(jf.function(per_example)(W, X), expected, 1e-5)
    spec = [jf.TensorSpec([3, 2]), jf.TensorSpec(["B", 3])]
    compiled = jf.function(per_example, input_signature=spec)
    for rows in (1, 4, 2):
        same(compiled(W, X[:rows]), expected[:rows], 1e-5)
    assert len(compiled.traces) == 1
    inner = jf.vmap(jf.function(loss), in_axes=(None, 0))
    same(inner(W, X), loop(lambda x: loss(W, x), X), 1e-5)


def test_variables_are_the_same_for_all_elements():
    scale, count = jf.Variable(3.0), jf.Variable(0.0)

    def f(x: Any) -> Any:
        count.assign_add(1.0)
        return x * scale

    same(jf.vmap(f)(X), X * 3)
    assert float(count.value) == 1.0
    with pytest.raises(VariableError, match="differs within vmap"):
        jf.vmap(lambda x: scale.assign(x[0]).value)(X)


def test_random_functions_take_a_key_for_each_element():
    keys = jf.random.split(jf.random.key(3), 5)

    def draw(key: Any) -> tuple[Any, ...]:
        first, second = jf.random.split(key)
        return (
            jf.random.normal(first, (2,)),
            jf.random.permutation(second, 6),
            jf.random.bernoulli(first, 0.5, (3,)),
            jf.random.randint(second, 0, 10, (2,)),
            jf.random.uniform(jf.random.fold_in(key, 2), (2, 2)),
        )

    found = jf.vmap(draw)(keys)
    for i, key in enumerate(keys):
        for all_rows, row in zip(found, draw(key), strict=True):
            np.testing.assert_array_equal(np.asarray(all_rows)[i], np.asarray(row))
    folded = jf.vmap(lambda n: jf.random.fold_in(keys[0], n))(np.arange(3))
    np.testing.assert_array_equal(folded[2], jf.random.fold_in(keys[0], 2))


def test_reparameterised_samples_have_gradients():
    keys = jf.random.split(jf.random.key(3), 4)

    def f(scale: Any) -> Any:
        draws = jf.vmap(lambda key: scale * jf.random.normal(key, (2,)))(keys)
        return jf.sum(draws)

    expected = np.sum([np.asarray(jf.random.normal(k, (2,))) for k in keys])
    same(jf.grad(f)(2.0), expected, 1e-5)


def test_indexing_and_linear_algebra():
    rows = np.array([2, 0, 1, 1])
    same(
        jf.vmap(lambda x, i: jf.take(x, i, axis=0))(X, rows % 3), X[range(4), rows % 3]
    )
    same(jf.vmap(lambda x: jf.sort(x)[::-1])(X), np.sort(X)[:, ::-1])
    cube = RNG.normal(size=(4, 3, 3))
    same(jf.vmap(jf.matmul)(cube, cube), cube @ cube)
    same(
        jf.vmap(lambda a, b: jf.einsum("ij,jk->ki", a, b))(cube, cube),
        np.swapaxes(cube @ cube, 1, 2),
    )


def test_indices_out_of_bounds_are_found_in_the_whole_batch():
    take = jf.vmap(lambda x, i: jf.take(x, i, axis=0))
    good, bad = np.array([0, 1, 2, -3]), np.array([0, 1, 3, 1])
    for f in (take, jf.function(take)):
        same(f(X, good), X[range(4), good])
        with pytest.raises(IndexingError, match="out of bounds for size 3"):
            f(X, bad)

    def branch(x: Any, i: Any) -> Any:
        return jf.cond(x[0] > 0, lambda: x[i], lambda: x[0])

    expected = np.where(X[:, 0] > 0, X[range(4), good], X[:, 0])
    for f in (jf.vmap(branch), jf.function(jf.vmap(branch))):
        same(f(X, good), expected)


def test_layers_work_inside():
    layer = keras.layers.Dense(2, activation="tanh")
    layer.build((None, 3))
    same(jf.vmap(lambda x: layer(x[None])[0])(X), np.asarray(layer(X)))
    for transform in (jf.jacfwd, jf.jacrev):
        found = jf.vmap(transform(lambda x: layer(x[None])[0]))(X)
        slope = 1 - np.asarray(layer(X)) ** 2
        same(found, slope[:, :, None] * np.asarray(layer.kernel).T, 1e-5)


# -------------------------------------------------------------------------- errors


def test_sizes_that_differ_are_all_named():
    with pytest.raises(ShapeError) as info:
        jf.vmap(lambda x, p: x + p["w"])(X, {"w": W})
    assert "x has 4 (axis 0)" in str(info.value)
    assert "p['w'] has 3 (axis 0)" in str(info.value)
    with pytest.raises(ShapeError, match="axis_size is 7"):
        jf.vmap(lambda x: x, axis_size=7)(X)


def test_axes_that_do_not_exist():
    with pytest.raises(ShapeError, match=r"x of shape \(4, 3\) has no axis 2"):
        jf.vmap(lambda x: x, in_axes=2)(X)
    with pytest.raises(ShapeError, match=r"x of shape \(\) has no axis 0"):
        jf.vmap(lambda x: x)(1.0)
    with pytest.raises(ArgumentError, match="out_axes: 3 for a result that has 2"):
        jf.vmap(lambda x: x, out_axes=3)(X)
    with pytest.raises(ArgumentError, match="2 axes for 1 positional"):
        jf.vmap(lambda x: x, in_axes=(0, 0))(X)
    with pytest.raises(ArgumentError, match="does not fit the structure"):
        jf.vmap(lambda x: x["a"], in_axes=({"b": 0},))({"a": X})
    with pytest.raises(ArgumentError, match="no argument has a batch axis"):
        jf.vmap(lambda x: x, in_axes=None)(X)
    with pytest.raises(ArgumentTypeError, match="text is a str"):
        jf.vmap(lambda text: 1.0)("hello")


def test_errors_speak_of_single_elements():
    with pytest.raises(ShapeError) as info:
        jf.vmap(lambda x: x @ jf.ones(5))(X)
    assert "float32[3]" in str(info.value)
    assert "test_vmap.py" in str(info.value)


def test_an_element_has_no_value():
    with pytest.raises(TracerError, match="inside vmap"):
        jf.vmap(lambda x: float(x[0]))(X)
    with pytest.raises(TracerError, match="inside vmap"):
        jf.vmap(lambda x: x if x[0] > 0 else -x)(X)
    kept = []
    jf.vmap(lambda x: kept.append(x) or x)(X)
    with pytest.raises(TracerError, match="inside vmap"):
        kept[0] + 1.0


def test_the_state_is_restored_after_an_error():
    with pytest.raises(ZeroDivisionError):
        jf.vmap(lambda x: x / jf.asarray(1 // 0))(X)
    assert float(jf.asarray(1.0) + 1.0) == 2.0
    with pytest.raises(GradientError):
        jf.vmap(jf.grad(lambda x: x))(X)
    same(jf.vmap(lambda x: x)(X), X)
