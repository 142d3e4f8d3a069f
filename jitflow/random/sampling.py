"""Samples of distributions, each a pure function of a key."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from compiler.ir.types import DType
from jitflow.config import settings
from jitflow.dtypes import (
    as_dtype,
    bfloat16,
    float16,
    float32,
    float64,
    int32,
    int64,
    uint64,
)
from jitflow.errors import ArgumentError, DTypeError
from jitflow.ops import elementwise as e
from jitflow.ops.coerce import as_tensor, normalize_axis
from jitflow.ops.creation import arange, shape_of
from jitflow.ops.data_types import finfo
from jitflow.ops.dispatch import builder as b
from jitflow.ops.reductions import argmax
from jitflow.ops.searching import argsort, take
from jitflow.random.keys import as_key
from jitflow.tensor.tensor import Tensor

# Digits of the significand after the point: uniform numbers are multiples of 2**-n.
_MANTISSA = {float16: 10, bfloat16: 7, float32: 23, float64: 52}


def float_dtype(dtype: Any, name: str) -> DType:
    """The dtype of a sample: a float type, the default one when left out.

    Raises:
        DTypeError: for another kind.
    """
    chosen = settings.float_dtype if dtype is None else as_dtype(dtype)
    if not chosen.is_float:
        raise DTypeError(f"{name}: dtype is a float type, given {chosen}")
    return chosen


def _unit(key: Any, shape: Any, dtype: DType) -> Tensor:
    """Uniform in [0, 1): the top bits of random words as a fixed-point fraction."""
    width = 64 if dtype is float64 else 32
    digits = _MANTISSA[dtype]
    words = b.rng_bits(as_key(key), shape=shape_of(shape), bits=width)
    whole = e.bitwise_right_shift(words, width - digits)
    # As signed integers, which convert to floats in one instruction everywhere.
    signed = b.bitcast_convert(whole, dtype=int64 if width == 64 else int32)
    wide = float32 if dtype.itemsize == 2 else dtype
    fraction = e.multiply(b.cast(signed, wide), 2.0**-digits)
    return b.cast(fraction, dtype)


def uniform(
    key: Any,
    shape: Any = (),
    dtype: Any = None,
    minval: Any = 0.0,
    maxval: Any = 1.0,
) -> Tensor:
    """Uniform floats in ``[minval, maxval)``.

    Args:
        key: a key.
        shape: of the result; the bounds broadcast to it.
        dtype: a float type; the default one when left out.
        minval: lower bound, inclusive.
        maxval: upper bound, exclusive but for rounding.
    """
    target = float_dtype(dtype, "uniform")
    unit = _unit(key, shape, target)
    low, high = (e.cast_like(v, target) for v in (minval, maxval))
    return e.maximum(low, e.add(e.multiply(unit, e.subtract(high, low)), low))


def _open_uniform(key: Any, shape: Any, dtype: DType) -> Tensor:
    """Uniform in (-1, 1), both ends excluded, for inverse transforms."""
    low = np.nextafter(
        np.array(-1, wide_dtype(dtype).np), np.array(0, wide_dtype(dtype).np)
    )
    unit = _unit(key, shape, wide_dtype(dtype))
    scaled = e.add(e.multiply(unit, float(1 - low)), float(low))
    return e.maximum(float(low), scaled)


def wide_dtype(dtype: DType) -> DType:
    """The dtype that samples of `dtype` are computed in: at least 32 bits."""
    return float32 if dtype.itemsize == 2 else dtype


def normal(
    key: Any,
    shape: Any = (),
    dtype: Any = None,
    mean: Any = 0.0,
    stddev: Any = 1.0,
) -> Tensor:
    """Normally distributed floats, by the inverse of the distribution function.

    Args:
        key: a key.
        shape: of the result; `mean` and `stddev` broadcast to it.
        dtype: a float type; the default one when left out.
        mean: centre.
        stddev: standard deviation.
    """
    target = float_dtype(dtype, "normal")
    draws = e.multiply(e.erf_inv(_open_uniform(key, shape, target)), math.sqrt(2))
    draws = b.cast(draws, target)
    return _affine(draws, mean, stddev, target)


def _affine(x: Tensor, mean: Any, stddev: Any, dtype: DType) -> Tensor:
    if not (isinstance(stddev, float | int) and stddev == 1):
        x = e.multiply(x, e.cast_like(stddev, dtype))
    if not (isinstance(mean, float | int) and mean == 0):
        x = e.add(x, e.cast_like(mean, dtype))
    return x


def truncated_normal(
    key: Any,
    shape: Any = (),
    dtype: Any = None,
    mean: Any = 0.0,
    stddev: Any = 1.0,
    lower: float = -2.0,
    upper: float = 2.0,
) -> Tensor:
    """Normal floats restricted to ``[lower, upper]`` standard deviations.

    Raises:
        ArgumentError: if `lower` is not below `upper`.
    """
    if not lower < upper:
        raise ArgumentError(f"truncated_normal: lower {lower} is not below {upper}")
    target = float_dtype(dtype, "truncated_normal")
    wide = wide_dtype(target)
    begin, end = (math.erf(v / math.sqrt(2)) for v in (lower, upper))
    probability = uniform(key, shape, wide, begin, end)
    draws = e.multiply(e.erf_inv(probability), math.sqrt(2))
    # Rounding must not carry a draw over the ends.
    draws = e.clip(draws, lower, upper)
    return _affine(b.cast(draws, target), mean, stddev, target)


def gumbel(key: Any, shape: Any = (), dtype: Any = None) -> Tensor:
    """Gumbel-distributed floats: ``-log(-log(u))``."""
    target = float_dtype(dtype, "gumbel")
    tiny = finfo(wide_dtype(target)).smallest_normal
    unit = uniform(key, shape, wide_dtype(target), tiny, 1.0)
    draws = e.negative(e.log(e.negative(e.log(unit))))
    return b.cast(draws, target)


def bernoulli(key: Any, p: Any = 0.5, shape: Any = None) -> Tensor:
    """Bools that are True with probability `p`; `shape` defaults to that of `p`."""
    probability = as_tensor(p, like=settings.float_dtype)
    shape = probability.shape if shape is None else shape_of(shape)
    dtype = probability.dtype if probability.dtype.is_float else settings.float_dtype
    return e.less(_unit(key, shape, dtype), probability)


def categorical(key: Any, logits: Any, axis: int = -1, shape: Any = None) -> Tensor:
    """Indices drawn with probabilities ``softmax(logits)`` along `axis`, as int64.

    Args:
        key: a key.
        logits: unnormalised log-probabilities.
        axis: the dimension of the categories.
        shape: of the result; `logits` without `axis` broadcasts to it.
    """
    logits = as_tensor(logits, argument="logits")
    if not logits.dtype.is_float:
        logits = b.cast(logits, settings.float_dtype)
    position = normalize_axis(axis, logits.ndim, "categorical")
    rest = logits.shape[:position] + logits.shape[position + 1 :]
    target = rest if shape is None else shape_of(shape)
    common = zip((1,) * (len(target) - len(rest)) + rest, target, strict=False)
    if len(rest) > len(target) or any(d not in (1, n) for d, n in common):
        raise ArgumentError(f"categorical: {rest} does not broadcast to {target}")
    back = position - logits.ndim  # negative: the batch is added in front
    full = list(target)
    full.insert(len(full) + back + 1, logits.shape[position])
    noise = gumbel(key, tuple(full), logits.dtype)
    return argmax(e.add(noise, logits), axis=back)


def randint(
    key: Any, shape: Any = (), minval: Any = 0, maxval: Any = None, dtype: Any = int64
) -> Tensor:
    """Integers in ``[minval, maxval)``.

    64 random bits are reduced modulo the span, whose bias is below 2**-32 for spans
    below 2**32.

    Raises:
        ArgumentError: if the range of Python ints is empty.
    """
    target = as_dtype(dtype)
    if not target.is_integer:
        raise DTypeError(f"randint: dtype is an integer type, given {target}")
    if isinstance(minval, int) and isinstance(maxval, int) and minval >= maxval:
        raise ArgumentError(f"randint: [{minval}, {maxval}) is empty")
    if maxval is None:
        raise ArgumentError("randint: maxval is needed")
    low, high = (e.cast_like(v, int64) for v in (minval, maxval))
    span = b.bitcast_convert(e.subtract(high, low), dtype=uint64)
    words = b.rng_bits(as_key(key), shape=shape_of(shape), bits=64)
    offset = b.bitcast_convert(e.remainder(words, span), dtype=int64)
    return b.cast(e.add(offset, low), target)


def permutation(key: Any, x: Any, axis: int = 0) -> Tensor:
    """A random order of ``0 .. x-1``, or of the slices of a tensor along `axis`."""
    source = arange(x) if isinstance(x, int) else as_tensor(x)
    position = normalize_axis(axis, source.ndim, "permutation")
    size = source.shape[position]
    order = argsort(b.rng_bits(as_key(key), shape=(size,), bits=64))
    return take(source, order, axis=position)


def shuffle(key: Any, x: Any, axis: int = 0) -> Tensor:
    """The slices of `x` along `axis` in random order; another name of `permutation`."""
    return permutation(key, x, axis)
