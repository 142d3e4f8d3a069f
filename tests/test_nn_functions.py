"""Convolutions, pooling, normalisation, attention and losses against plain NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import special

import jitflow as jf
from jitflow import nn
from jitflow.errors import ArgumentError, DTypeError, IndexingError, ShapeError
from jitflow.testing import check_gradients

RNG = np.random.default_rng(5)


def normal(*shape):
    return RNG.normal(size=shape)


def close(actual, expected, rtol=1e-9, atol=1e-10):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


# ------------------------------------------------------------- windows, by definition


def spans(n, k, stride, dilation, padding):
    """For each position of a window the elements that it sees (may lie outside)."""
    reach = (k - 1) * dilation + 1
    if padding == "same":
        count = -(-n // stride)
        low = max((count - 1) * stride + reach - n, 0) // 2
    else:
        low = reach - 1 if padding == "causal" else 0
        count = max((n + low - reach) // stride + 1, 0)
    return [[p * stride + i * dilation - low for i in range(k)] for p in range(count)]


def windows(x, window, strides, dilation, padding):
    """``(position, window index, row of x)`` for everything inside the data."""
    rows = zip(x.shape[1:-1], window, strides, dilation, strict=True)
    each = [spans(n, k, s, d, padding) for n, k, s, d in rows]
    for place in itertools.product(*(range(len(e)) for e in each)):
        for index in itertools.product(*map(range, window)):
            at = [e[p][i] for e, p, i in zip(each, place, index, strict=True)]
            if all(0 <= a < n for a, n in zip(at, x.shape[1:-1], strict=True)):
                yield place, index, tuple(at)


def positions(x, window, strides, dilation, padding):
    rows = zip(x.shape[1:-1], window, strides, dilation, strict=True)
    return tuple(len(spans(n, k, s, d, padding)) for n, k, s, d in rows)


def conv(x, w, strides, padding, dilation):
    groups = x.shape[-1] // w.shape[-2]
    window = w.shape[:-2]
    shape = positions(x, window, strides, dilation, padding)
    y = np.zeros((x.shape[0], *shape, w.shape[-1]))
    for place, index, at in windows(x, window, strides, dilation, padding):
        parts = np.split(x[(slice(None), *at)], groups, axis=-1)
        filters = np.split(w[index], groups, axis=-1)
        sums = [p @ f for p, f in zip(parts, filters, strict=True)]
        y[(slice(None), *place)] += np.concatenate(sums, axis=-1)
    return y


SIZES = {1: (7,), 2: (7, 5), 3: (4, 5, 3)}
KERNELS = {1: (3,), 2: (3, 2), 3: (2, 3, 2)}
STEPS = [(1, 1), (2, 1), (1, 2), (3, 1)]


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("stride, dilation", STEPS)
def test_convolutions(rank, padding, stride, dilation):
    x, w = normal(2, *SIZES[rank], 4), normal(*KERNELS[rank], 4, 6)
    s, d = (stride,) * rank, (dilation,) * rank
    how = {"strides": stride, "padding": padding, "dilation": dilation}
    close(nn.conv(x, w, **how), conv(x, w, s, padding, d))
    grouped = normal(*KERNELS[rank], 2, 6)
    close(nn.conv(x, grouped, **how), conv(x, grouped, s, padding, d))
    first = np.moveaxis(x, -1, 1)
    found = nn.conv(first, w, data_format="channels_first", **how)
    close(np.moveaxis(np.asarray(found), 1, -1), conv(x, w, s, padding, d))
    deep = normal(*KERNELS[rank], 4, 2)
    expected = conv(x, deep.reshape(*KERNELS[rank], 1, 8), s, padding, d)
    close(nn.depthwise_conv(x, deep, **how), expected)
    mix = normal(*(1,) * rank, 8, 3)
    found = nn.separable_conv(x, deep, mix, **how)
    close(found, expected @ mix.reshape(8, 3))


def test_causal_and_explicit_padding():
    x, w = normal(2, 7, 4), normal(3, 4, 5)
    for dilation in (1, 2):
        found = nn.conv(x, w, padding="causal", dilation=dilation)
        close(found, conv(x, w, (1,), "causal", (dilation,)))
        assert found.shape == (2, 7, 5)
    padded = np.pad(x, ((0, 0), (2, 1), (0, 0)))
    close(nn.conv(x, w, padding=[(2, 1)]), nn.conv(padded, w))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("stride, dilation", STEPS)
@pytest.mark.parametrize("extra", [None, 1])
def test_transposed_convolutions(rank, padding, stride, dilation, extra):
    """The transpose of a linear map: ``<conv(y), x> == <y, conv_transpose(x)>``."""
    if extra is not None and stride == 1:
        extra = 0
    x, w = normal(2, *KERNELS[rank], 3), normal(*KERNELS[rank], 5, 3)
    how = {"strides": stride, "dilation": dilation, "padding": padding}
    found = np.asarray(nn.conv_transpose(x, w, output_padding=extra, **how))
    for n, k, size in zip(x.shape[1:], KERNELS[rank], found.shape[1:-1], strict=False):
        reach = (k - 1) * dilation + 1
        if extra is not None:
            cut = 2 * (reach // 2) if padding == "same" else 0
            assert size == (n - 1) * stride + reach - cut + extra
        elif padding == "same":
            assert size == n * stride
        else:
            assert size == n * stride + max(reach - stride, 0)
    if padding == "valid" or extra is None:
        y = normal(*found.shape)
        image = conv(y, w, (stride,) * rank, padding, (dilation,) * rank)
        if image.shape == x.shape:
            np.testing.assert_allclose((image * x).sum(), (y * found).sum(), rtol=1e-9)
        else:
            assert padding == "valid"


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("size, stride", [(2, None), (3, 1), (2, 3)])
def test_pooling(rank, padding, size, stride):
    x = normal(2, *SIZES[rank], 3)
    window, steps = (size,) * rank, (stride or size,) * rank
    shape = positions(x, window, steps, (1,) * rank, padding)
    largest = np.full((2, *shape, 3), -np.inf)
    total, count = np.zeros((2, *shape, 3)), np.zeros((*shape, 1))
    for place, _, at in windows(x, window, steps, (1,) * rank, padding):
        spot = (slice(None), *place)
        row = x[(slice(None), *at)]
        largest[spot] = np.maximum(largest[spot], row)
        total[spot] += row
        count[place] += 1
    close(nn.max_pool(x, size, stride, padding), largest)
    close(nn.avg_pool(x, size, stride, padding), total / count)
    first = np.moveaxis(x, -1, 1)
    found = nn.avg_pool(first, size, stride, padding, data_format="channels_first")
    close(np.moveaxis(np.asarray(found), 1, -1), total / count)


def test_pooling_of_integers_and_nan():
    x = np.array([1, 5, 3, 2]).reshape(1, 4, 1)
    assert nn.max_pool(x, 2).tolist() == [[[5], [3]]]
    assert nn.avg_pool(x, 2).dtype == "float32"
    y = np.array([np.nan, 1, -np.inf, -np.inf]).reshape(1, 4, 1)
    close(nn.max_pool(y, 2), np.array([np.nan, -np.inf]).reshape(1, 2, 1))


# ------------------------------------------------------------------- normalisation


def scaled(x, axis, epsilon):
    mean, var = x.mean(axis, keepdims=True), x.var(axis, keepdims=True)
    return (x - mean) / np.sqrt(var + epsilon)


def test_normalisations():
    x, scale, offset = normal(3, 4, 6) * 3 + 1, normal(6), normal(6)
    mean, var = normal(6), np.abs(normal(6))
    expected = (x - mean) / np.sqrt(var + 1e-3) * scale + offset
    close(nn.batch_normalization(x, mean, var, offset=offset, scale=scale), expected)
    turned = np.moveaxis(x, -1, 1)
    found = nn.batch_normalization(turned, mean, var, 1, offset, scale)
    close(np.moveaxis(np.asarray(found), 1, -1), expected)
    expected = scaled(x, -1, 1e-3) * scale + offset
    close(nn.layer_normalization(x, scale, offset), expected)
    both = nn.layer_normalization(x, normal(4, 6) * 0 + scale, axis=(1, 2))
    close(both, scaled(x, (1, 2), 1e-3) * scale)
    groups = scaled(x.reshape(3, 4, 3, 2), (1, 3), 1e-3).reshape(x.shape)
    close(nn.group_normalization(x, 3, scale, offset), groups * scale + offset)
    close(nn.group_normalization(turned, 3, axis=1), np.moveaxis(groups, -1, 1))
    close(nn.group_normalization(x, -1), scaled(x, 1, 1e-3))
    rms = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
    close(nn.rms_normalization(x, scale), rms * scale)
    close(nn.standardize(x), scaled(x, None, 1e-7))
    for order in (1, 2, 3, np.inf):
        size = np.linalg.vector_norm(x, ord=order, axis=1, keepdims=True)
        close(nn.normalize(x, 1, order), x / size)
    assert not np.asarray(nn.normalize(np.zeros(3))).any()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(dtype):
    """A sum of squares beyond 65504 would overflow."""
    x = jf.asarray(np.full((2, 300), 200.0) + np.arange(300), dtype=dtype)
    for f in (nn.layer_normalization, nn.rms_normalization, nn.normalize):
        y = f(x)
        assert y.dtype == dtype
        wide = np.asarray(f(jf.astype(x, "float64")))
        close(jf.astype(y, "float64"), wide, rtol=0.02, atol=0.02)


# ----------------------------------------------------------------------- attention


def attend(q, k, v, mask=True, bias=0.0, scale=None):
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    scores = np.einsum("btnh,bsnh->bnts", q, k) * scale + bias
    scores = np.where(mask, scores, -1e300)
    return np.einsum("bnts,bsnh->btnh", special.softmax(scores, -1), v)


def test_attention():
    q, k, v = normal(2, 5, 4, 3), normal(2, 6, 4, 3), normal(2, 6, 4, 7)
    mask, bias = RNG.random((2, 4, 5, 6)) > 0.4, normal(2, 1, 5, 6)
    mask[..., 0] = True
    close(nn.dot_product_attention(q, k, v), attend(q, k, v))
    close(nn.dot_product_attention(q, k, v, bias), attend(q, k, v, bias=bias))
    found = nn.dot_product_attention(q, k, v, mask=mask, scale=0.3)
    close(found, attend(q, k, v, mask, scale=0.3))
    past = np.tril(np.ones((5, 6), bool))
    close(nn.dot_product_attention(q, k, v, is_causal=True), attend(q, k, v, past))
    few_k, few_v = k[:, :, :2], v[:, :, :2]
    expected = attend(q, np.repeat(few_k, 2, 2), np.repeat(few_v, 2, 2))
    close(nn.dot_product_attention(q, few_k, few_v), expected)
    nothing = nn.dot_product_attention(q, k, v, mask=np.zeros((5, 6), bool))
    assert np.isfinite(np.asarray(nothing)).all()
    half = nn.dot_product_attention(
        *(jf.asarray(x, dtype="bfloat16") for x in (q, k, v))
    )
    assert half.dtype == "bfloat16"


def test_embedding_lookup():
    table = normal(5, 3)
    ids = np.array([[0, 4], [2, 2]])
    close(nn.embedding_lookup(table, ids), table[ids])
    with pytest.raises(IndexingError):
        nn.embedding_lookup(table, [5])
    g = jf.grad(lambda t: jf.sum(nn.embedding_lookup(t, ids)))(table)
    close(
        g, np.repeat(np.bincount(ids.ravel(), minlength=5)[:, None], 3, 1).astype(float)
    )


# -------------------------------------------------------- activations and losses

ACTIVATIONS = {
    "hard_shrink": lambda x: np.where(np.abs(x) > 0.5, x, 0),
    "tanh_shrink": lambda x: x - np.tanh(x),
    "sparse_plus": lambda x: np.where(x <= -1, 0, np.where(x < 1, (x + 1) ** 2 / 4, x)),
    "sparse_sigmoid": lambda x: np.clip((x + 1) / 2, 0, 1),
    "squareplus": lambda x: (x + np.sqrt(x * x + 4)) / 2,
    "exponential": np.exp,
    "linear": lambda x: x,
    "hard_swish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    x = np.linspace(-4.03, 4.07, 41)
    f = getattr(nn, name)
    close(f(x), ACTIVATIONS[name](x))
    check_gradients(f, [x], rtol=1e-5)
    assert np.isnan(float(f(jf.asarray(np.nan))))


def test_threshold():
    close(nn.threshold(np.array([-1.0, 0.2, 3.0]), 0.2, 7), [7, 7, 3])


@pytest.mark.parametrize("axis", [-1, 0])
def test_sparsemax_is_the_projection_to_the_simplex(axis):
    x = normal(7, 6) * 2
    low, high = x.min(axis, keepdims=True) - 1, x.max(axis, keepdims=True)
    for _ in range(80):  # bisection for the threshold
        middle = (low + high) / 2
        above = np.maximum(x - middle, 0).sum(axis, keepdims=True) > 1
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    close(nn.sparsemax(x, axis), np.maximum(x - low, 0))
    check_gradients(lambda t: nn.sparsemax(t, axis) * x, [x], rtol=1e-5)


def test_losses():
    x, y = normal(4, 5) * 3, special.softmax(normal(4, 5), -1)
    p = special.expit(x)
    close(nn.sigmoid_cross_entropy(x, y), -y * np.log(p) - (1 - y) * np.log(1 - p))
    logp = special.log_softmax(x, -1)
    close(nn.softmax_cross_entropy(x, y), -(y * logp).sum(-1))
    close(nn.softmax_cross_entropy(x.T, y.T, 0), -(y * logp).sum(-1))
    ids = np.array([0, 4, 2, 2])
    close(nn.sparse_softmax_cross_entropy(x, ids), -logp[np.arange(4), ids])
    close(nn.sparse_softmax_cross_entropy(x.T, ids, 0), -logp[np.arange(4), ids])
    assert nn.sparse_softmax_cross_entropy(x, ids - 9).tolist() == [0, 0, 0, 0]
    q = special.softmax(x, -1)
    close(nn.kl_divergence(y, q), special.rel_entr(y, q).sum(-1))
    error = np.abs(x - y)
    close(nn.squared_error(x, y), error**2)
    close(nn.absolute_error(x, y), error)
    close(nn.mean_squared_error(x, y), (error**2).mean(-1))
    close(nn.mean_absolute_error(x, y, None), error.mean())
    expected = np.where(error <= 0.7, error**2 / 2, 0.7 * (error - 0.35))
    close(nn.huber(x, y, 0.7), expected)
    close(nn.poisson_loss(p, ids[:, None] + 0 * p), p - ids[:, None] * np.log(p))


def test_losses_at_the_extremes():
    """No NaN from large logits, nor from classes of probability 0."""
    huge = np.array([1e4, -1e4, 0.0])
    hot = np.array([1.0, 0.0, 0.0])
    close(nn.sigmoid_cross_entropy(huge, hot), [0, 0, np.log(2)])
    assert nn.softmax_cross_entropy(huge, hot).item() == 0
    masked = np.array([0.0, -np.inf, 0.0])
    close(nn.softmax_cross_entropy(masked, hot), np.log(2))
    close(nn.sparse_softmax_cross_entropy(masked, np.array(0)), np.log(2))
    assert nn.kl_divergence(hot, hot).item() == 0
    g = jf.grad(lambda x: nn.softmax_cross_entropy(x, hot))(masked)
    assert np.isfinite(np.asarray(g)).all()


# ------------------------------------------------------------- gradients and traces

W = normal(3, 3, 2, 4)
WEIGHTS = normal(2, 6)
DIFFERENTIABLE = {
    "conv": (lambda x, w: nn.conv(x, w, 2, "same"), [(1, 5, 4, 2), (3, 3, 2, 2)]),
    "conv_dilated": (lambda x, w: nn.conv(x, w, dilation=2), [(2, 6, 2), (2, 2, 3)]),
    "conv_groups": (lambda x, w: nn.conv(x, w), [(1, 4, 4), (2, 2, 4)]),
    "depthwise": (lambda x, w: nn.depthwise_conv(x, w), [(1, 4, 3), (2, 3, 2)]),
    "transpose": (
        lambda x, w: nn.conv_transpose(x, w, 2, "same"),
        [(1, 3, 2, 2), (3, 3, 2, 2)],
    ),
    "max_pool": (lambda x: nn.max_pool(x, 2, 1), [(1, 4, 4, 2)]),
    "avg_pool": (lambda x: nn.avg_pool(x, 2, 1, "same"), [(1, 4, 4, 2)]),
    "batch_norm": (
        lambda x, m, s: nn.batch_normalization(x, m, s * s, scale=m, offset=s),
        [(2, 6), (6,), (6,)],
    ),
    "layer_norm": (
        lambda x, s, o: nn.layer_normalization(x, s, o) * WEIGHTS,
        [(2, 6), (6,), (6,)],
    ),
    "group_norm": (lambda x: nn.group_normalization(x, 2) * WEIGHTS, [(2, 6)]),
    "rms_norm": (lambda x: nn.rms_normalization(x) * WEIGHTS, [(2, 6)]),
    "normalize": (lambda x: nn.normalize(x) * WEIGHTS, [(2, 6)]),
    "attention": (
        lambda q, k, v: nn.dot_product_attention(q, k, v, is_causal=True),
        [(1, 3, 2, 2)] * 3,
    ),
    "cross_entropy": (nn.softmax_cross_entropy, [(2, 3), (2, 3)]),
    "sparse": (lambda x: nn.sparse_softmax_cross_entropy(x, [1, 0]), [(2, 3)]),
    "sigmoid": (nn.sigmoid_cross_entropy, [(2, 3), (2, 3)]),
    "huber": (nn.huber, [(2, 3), (2, 3)]),
}


def arguments(name):
    return [normal(*shape) for shape in DIFFERENTIABLE[name][1]]


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients(name):
    check_gradients(DIFFERENTIABLE[name][0], arguments(name), rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_compiled_is_eager(name):
    f, args = DIFFERENTIABLE[name][0], arguments(name)
    close(jf.function(f)(*args), f(*args), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", ["conv", "transpose", "max_pool", "attention"])
def test_batched_is_a_loop(name):
    f, args = DIFFERENTIABLE[name][0], [arguments(name) for _ in range(2)]
    found = jf.vmap(f)(*(np.stack(column) for column in zip(*args, strict=True)))
    close(found, np.stack([np.asarray(f(*a)) for a in args]))


def test_open_batch_size():
    @jf.function(input_signature=[jf.TensorSpec([None, 6, 6, 2], "float64")])
    def f(x):
        y = nn.avg_pool(nn.conv(x, W, 1, "same"), 2, padding="same")
        return nn.layer_normalization(nn.max_pool(y, 3))

    for n in (1, 3):
        x = normal(n, 6, 6, 2)
        close(f(x), f.python_function(x), rtol=1e-7, atol=1e-8)


def test_bad_arguments_are_explained():
    x, w = np.ones((1, 5, 5, 4)), np.ones((3, 3, 4, 2))
    q = np.ones((1, 2, 3, 4))
    for call, kind, words in [
        (lambda: nn.conv(x, w[0]), ShapeError, "rank"),
        (lambda: nn.conv(x, np.ones((3, 3, 3, 2))), ShapeError, "channels"),
        (lambda: nn.conv(x, w, 0), ArgumentError, "strides"),
        (lambda: nn.conv(x, w, padding="causal"), ArgumentError, "padding"),
        (lambda: nn.conv(x, w, data_format="NHWC"), ArgumentError, "data_format"),
        (lambda: nn.conv_transpose(x, w, padding="full"), ArgumentError, "padding"),
        (lambda: nn.max_pool(x[0, 0], 2), ShapeError, "rank"),
        (lambda: nn.max_pool(x, (2, 2, 2)), ArgumentError, "pool_size"),
        (lambda: nn.layer_normalization(x, np.ones(3)), ShapeError, "parameter"),
        (lambda: nn.group_normalization(x, 3), ShapeError, "groups"),
        (lambda: nn.dot_product_attention(q, q[:, :, :2], q), ShapeError, "takes"),
        (lambda: nn.dot_product_attention(q, q, q, mask=[1]), ArgumentError, "bools"),
        (lambda: nn.softmax_cross_entropy(x, x[0]), ShapeError, "differ"),
        (lambda: nn.sparse_softmax_cross_entropy(x, x[0]), DTypeError, "integers"),
        (lambda: nn.sparse_softmax_cross_entropy(x, [1]), ShapeError, "label"),
    ]:
        with pytest.raises(kind, match=words):
            call()
