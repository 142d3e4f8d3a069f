"""Activations, softmax and friends: values, gradients at kinks, extreme arguments."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

import jitflow as jf
from jitflow.errors import ArgumentError, DTypeError

X = np.concatenate(
    [np.linspace(-8, 8, 65), [0.0, -0.0, 100.0, -100.0, 3e38, -3e38]]
).astype(np.float32)
WIDE = X.astype(np.float64)


def quiet(function):
    with np.errstate(all="ignore"):
        return np.asarray(function(WIDE))


def sigmoid(x):
    return special.expit(x)


def elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


REFERENCES = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "elu": elu,
    "celu": elu,
    "selu": lambda x: 1.0507009873554805 * elu(x, 1.6732632423543772),
    "gelu": lambda x: x * special.ndtr(x),
    "silu": lambda x: x * sigmoid(x),
    "swish": lambda x: x * sigmoid(x),
    "mish": lambda x: x * np.tanh(np.logaddexp(x, 0)),
    "softplus": lambda x: np.logaddexp(x, 0),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "soft_shrink": lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
    "sigmoid": sigmoid,
    "log_sigmoid": lambda x: -np.logaddexp(-x, 0),
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard_silu": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "tanh": np.tanh,
}


@pytest.mark.parametrize("name", REFERENCES)
def test_activations(name):
    actual = np.asarray(getattr(jf.nn, name)(X))
    assert actual.dtype == np.float32
    expected = quiet(REFERENCES[name])
    np.testing.assert_allclose(actual, expected, rtol=3e-5, atol=2e-6)


@pytest.mark.parametrize("name", REFERENCES)
def test_activations_propagate_nan_and_have_finite_gradients(name):
    f = getattr(jf.nn, name)
    assert np.isnan(float(f(jf.asarray(np.nan))))
    moderate = X[np.abs(X) <= 100]
    grads = jf.grad(lambda x: jf.sum(f(x)))(moderate)
    assert np.isfinite(np.asarray(grads)).all()


@pytest.mark.parametrize("name", REFERENCES)
def test_gradients_of_activations(name):
    x = np.linspace(-4.03, 4.07, 30)
    f = getattr(jf.nn, name)
    g = np.asarray(jf.grad(lambda t: jf.sum(f(t)))(x))
    eps = 1e-6
    expected = (REFERENCES[name](x + eps) - REFERENCES[name](x - eps)) / (2 * eps)
    np.testing.assert_allclose(g, expected, rtol=1e-5, atol=1e-7)


def test_gradients_at_zero():
    grads = {n: float(jf.grad(getattr(jf.nn, n))(0.0)) for n in ("relu", "softplus")}
    assert grads == {"relu": 0.0, "softplus": 0.5}
    assert float(jf.grad(jf.nn.silu)(0.0)) == 0.5
    assert float(jf.grad(jf.nn.elu)(jf.asarray(1000.0))) == 1.0


def test_relu_of_integers():
    assert jf.nn.relu(np.array([-1, 2])).tolist() == [0, 2]
    assert jf.nn.relu(np.array([-1, 2])).dtype == "int64"


def test_gelu_approximation():
    inner = math.sqrt(2 / math.pi) * (WIDE + 0.044715 * WIDE**3)
    with np.errstate(all="ignore"):
        expected = 0.5 * WIDE * (1 + np.tanh(inner))
    actual = np.asarray(jf.nn.gelu(X, approximate=True))
    keep = np.abs(X) < 1e10  # the cube overflows beyond
    np.testing.assert_allclose(actual[keep], expected[keep], rtol=3e-5, atol=2e-6)


def test_glu():
    x = np.arange(8.0).reshape(2, 4)
    expected = x[:, :2] * sigmoid(x[:, 2:])
    np.testing.assert_allclose(np.asarray(jf.nn.glu(x)), expected)
    with pytest.raises(ArgumentError, match="odd"):
        jf.nn.glu(np.ones((2, 3)))


@pytest.mark.parametrize("axis", [-1, 0, (0, 1), None])
def test_softmax_family(axis):
    x = np.random.default_rng(0).normal(size=(4, 5)) * 50 + 1000
    np.testing.assert_allclose(
        np.asarray(jf.nn.softmax(x, axis)), special.softmax(x, axis), rtol=1e-12
    )
    np.testing.assert_allclose(
        np.asarray(jf.nn.log_softmax(x, axis)), special.log_softmax(x, axis), rtol=1e-9
    )
    for keepdims in (False, True):
        np.testing.assert_allclose(
            np.asarray(jf.nn.logsumexp(x, axis, keepdims)),
            special.logsumexp(x, axis, keepdims=keepdims),
        )


def test_softmax_gradient_and_extremes():
    x = np.random.default_rng(0).normal(size=(3, 4))
    w = np.random.default_rng(1).normal(size=(3, 4))
    g = np.asarray(jf.grad(lambda t: jf.sum(jf.nn.softmax(t) * w))(x))
    p = special.softmax(x, -1)
    expected = p * (w - (w * p).sum(-1, keepdims=True))
    np.testing.assert_allclose(g, expected, rtol=1e-9, atol=1e-12)
    masked = jf.nn.softmax(jf.asarray([0.0, -np.inf, 0.0]))
    assert masked.tolist() == [0.5, 0.0, 0.5]
    assert float(jf.nn.logsumexp(jf.asarray([-np.inf, -np.inf]))) == -np.inf
    assert float(jf.nn.logsumexp(jf.asarray([np.inf, 1.0]))) == np.inf
    assert jf.nn.softmax(jf.zeros((0, 3))).shape == (0, 3)


def test_moments():
    x = np.random.default_rng(0).normal(size=(4, 5)) + 100
    for axis in (0, None, (0, 1)):
        for keepdims in (False, True):
            mean, var = jf.nn.moments(x, axis, keepdims)
            np.testing.assert_allclose(
                np.asarray(mean), x.mean(axis, keepdims=keepdims)
            )
            np.testing.assert_allclose(np.asarray(var), x.var(axis, keepdims=keepdims))


def test_one_hot():
    x = np.array([[0, 2], [3, -1]])
    expected = (x[..., None] == np.arange(3)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(jf.nn.one_hot(x, 3)), expected)
    np.testing.assert_array_equal(
        np.asarray(jf.nn.one_hot(x, 3, axis=0, dtype="int8")),
        np.moveaxis(expected, -1, 0).astype(np.int8),
    )
    assert jf.nn.one_hot(jf.asarray(1), 2).tolist() == [0.0, 1.0]
    with pytest.raises(DTypeError, match="integers"):
        jf.nn.one_hot(jf.asarray([1.0]), 3)


def test_dropout():
    key = jf.random.key(0)
    x = jf.ones((100, 100))
    y = np.asarray(jf.nn.dropout(x, 0.25, key))
    assert set(np.unique(y)) == {np.float32(0), np.float32(4 / 3)}
    assert abs((y == 0).mean() - 0.25) < 0.02
    np.testing.assert_array_equal(y, np.asarray(jf.nn.dropout(x, 0.25, key)))
    rows = np.asarray(jf.nn.dropout(x, 0.5, key, noise_shape=(100, 1)))
    assert (rows == rows[:, :1]).all()
    assert jf.nn.dropout(x, 0, key) is x
    assert not np.asarray(jf.nn.dropout(x, 1, key)).any()
    with pytest.raises(ArgumentError, match="rate"):
        jf.nn.dropout(x, 1.5, key)
