"""Softmax and its logarithms, moments, one-hot encoding and dropout."""

from __future__ import annotations

from typing import Any

from compiler.ir.types import TensorType
from jitflow.config import settings
from jitflow.dtypes import as_dtype, int64
from jitflow.errors import ArgumentError, DTypeError
from jitflow.gradient import stop_gradient
from jitflow.nn.activations import floating, scoped
from jitflow.ops import elementwise as e
from jitflow.ops.coerce import as_tensor, normalize_axes, normalize_axis
from jitflow.ops.dispatch import builder as b
from jitflow.ops.manipulation import expand_dims, reshape
from jitflow.ops.reductions import mean
from jitflow.ops.reductions import sum as sum_
from jitflow.random import bernoulli
from jitflow.tensor.tensor import Tensor

Axis = int | tuple[int, ...] | None


def _largest(x: Tensor, axis: Axis) -> Tensor:
    """The maximum over `axis`, kept as size 1 and without gradient; -inf of nothing."""
    axes = normalize_axes(axis, x.ndim, "softmax")
    shape = tuple(1 if i in axes else d for i, d in enumerate(x.shape))
    return stop_gradient(b.reshape(b.reduce_max(x, axes=axes), shape=shape))


@scoped
def softmax(x: Any, /, axis: Axis = -1) -> Tensor:
    """``exp(x) / sum(exp(x))`` along `axis`, without overflow."""
    x = floating(x)
    weights = e.exp(e.subtract(x, _largest(x, axis)))
    return e.divide(weights, sum_(weights, axis=axis, keepdims=True))


@scoped
def log_softmax(x: Any, /, axis: Axis = -1) -> Tensor:
    """``log(softmax(x))``, without underflow."""
    x = floating(x)
    shifted = e.subtract(x, _largest(x, axis))
    return e.subtract(shifted, e.log(sum_(e.exp(shifted), axis=axis, keepdims=True)))


@scoped
def logsumexp(x: Any, /, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """``log(sum(exp(x)))`` along `axis`, without overflow; -inf of nothing."""
    x = floating(x)
    top = _largest(x, axis)
    top = e.where(e.isfinite(top), top, 0)  # inf - inf would be NaN
    total = sum_(e.exp(e.subtract(x, top)), axis=axis, keepdims=True)
    result = e.add(e.log(total), top)
    if keepdims:
        return result
    axes = normalize_axes(axis, x.ndim, "logsumexp")
    return reshape(result, tuple(d for i, d in enumerate(x.shape) if i not in axes))


@scoped
def sparsemax(x: Any, /, axis: int = -1) -> Tensor:
    """The nearest probability vector along `axis` (Martins and Astudillo, 2016)."""
    x = floating(x)
    position = normalize_axis(axis, x.ndim, "sparsemax")
    ordered = b.sort(x, axis=position, descending=True)
    sums = b.cumulative_sum(ordered, axis=position, reverse=False)
    rank = b.iota(type=TensorType(x.dtype, x.shape), dim=position)
    rank = e.add(rank, 1)
    inside = e.greater(e.add(1, e.multiply(rank, ordered)), sums)
    count = sum_(b.cast(inside, x.dtype), axis=position, keepdims=True)
    kept = e.where(inside, ordered, 0)
    total = sum_(kept, axis=position, keepdims=True)
    threshold = e.divide(e.subtract(total, 1), count)
    moved = e.subtract(x, threshold)
    return e.where(e.less_equal(moved, 0), 0, moved)


@scoped
def moments(
    x: Any, /, axis: Axis = None, keepdims: bool = False
) -> tuple[Tensor, Tensor]:
    """Mean and variance (divided by N) along `axis`, in two passes."""
    x = floating(x)
    center = mean(x, axis=axis, keepdims=True)
    deviation = e.subtract(x, center)
    spread = mean(e.multiply(deviation, deviation), axis=axis, keepdims=keepdims)
    if keepdims:
        return center, spread
    return reshape(center, spread.shape), spread


@scoped
def one_hot(
    x: Any, num_classes: int, /, *, axis: int = -1, dtype: Any = None
) -> Tensor:
    """Ones at the positions `x` along a new dimension, zeros elsewhere.

    Positions outside ``[0, num_classes)`` give zeros.

    Args:
        x: integers.
        num_classes: size of the new dimension.
        axis: where the new dimension is in the result.
        dtype: of the result; the default float type when left out.

    Raises:
        DTypeError: if `x` is not of integers.
    """
    x = as_tensor(x)
    if not x.dtype.is_integer:
        raise DTypeError(f"one_hot: takes integers, given {x.dtype}")
    position = normalize_axis(axis, x.ndim + 1, "one_hot")
    indices = b.cast(expand_dims(x, position), int64)
    shape = (*x.shape[:position], num_classes, *x.shape[position:])
    classes = b.iota(type=TensorType(int64, shape), dim=position)
    hot = e.equal(indices, classes)
    return b.cast(hot, settings.float_dtype if dtype is None else as_dtype(dtype))


@scoped
def dropout(x: Any, rate: float, /, key: Any, *, noise_shape: Any = None) -> Tensor:
    """`x` with a fraction `rate` of its elements zeroed and the rest scaled up.

    Args:
        x: floats.
        rate: probability that an element is zeroed, in [0, 1].
        key: a `jf.random` key.
        noise_shape: shape of the mask, which broadcasts to `x`.

    Raises:
        ArgumentError: if `rate` is outside [0, 1].
    """
    x = floating(x)
    if not 0 <= rate <= 1:
        raise ArgumentError(f"dropout: rate is in [0, 1], given {rate}")
    if rate == 0:
        return x
    if rate == 1:
        return b.zeros_like(x)
    shape = x.shape if noise_shape is None else tuple(noise_shape)
    keep = bernoulli(key, 1 - rate, shape)
    return e.where(keep, e.multiply(x, 1 / (1 - rate)), 0)
