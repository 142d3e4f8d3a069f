"""Special functions in NumPy, which has none of them: erf, erf_inv, lgamma, digamma.

All but a float32 `erf` are computed in float64 whatever the dtype. The polynomials are
Chebyshev interpolants of this project, on [-1, 1] of a mapped argument. `trigamma` is
written over a builder, so that it can be differentiated and compiled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from compiler.ops import special_tables as tables


def _elementwise(function: Callable[[float], float]) -> Callable[..., np.ndarray]:
    """A function of Python floats over an array, in float64."""
    mapped = np.frompyfunc(function, 1, 1)

    def apply(x: Any) -> np.ndarray:
        return np.asarray(mapped(np.asarray(x, np.float64)), np.float64)

    return apply


def _lgamma(x: float) -> float:
    if x == -math.inf or (x <= 0 and x == math.floor(x)):
        return math.inf
    return math.lgamma(x)


_lgamma64 = _elementwise(_lgamma)
_BLOCK = 16384  # elements: a few temporaries of this size stay in the L2 cache


def _in_blocks(function: Callable[[np.ndarray], np.ndarray]) -> Callable[..., Any]:
    """An elementwise function of a flat array, block by block."""

    def apply(x: np.ndarray) -> np.ndarray:
        flat = np.ravel(x)
        out = np.empty_like(flat)
        with np.errstate(all="ignore"):
            for begin in range(0, flat.size, _BLOCK):
                block = slice(begin, begin + _BLOCK)
                out[block] = function(flat[block])
        return out.reshape(x.shape)

    return apply


def _polynomial(coefficients: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    total = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total *= x
        total += x.dtype.type(coefficient)
    return total


def _erf_small(x: np.ndarray) -> np.ndarray:
    """`erf` for ``|x| <= 1``."""
    table = tables.ERF_F32 if x.dtype == np.float32 else tables.ERF_F64
    return x * _polynomial(table, 2 * x * x - 1)


def _erfc_large(x: np.ndarray) -> np.ndarray:
    """``1 - erf(x)`` for ``0.4 <= x``; 0 from 6.5 on."""
    table = tables.ERFC_F32 if x.dtype == np.float32 else tables.ERFC_F64
    mapped = (x - tables.ERFC_SCALE) / (x + tables.ERFC_SCALE)
    mapped = (mapped - tables.ERFC_CENTRE) * (1 / tables.ERFC_RADIUS)
    return np.where(x >= 6.5, 0, np.exp(-x * x) * _polynomial(table, mapped))


def _erf(x: np.ndarray) -> np.ndarray:
    size = np.abs(x)
    clipped = np.clip(size, 0.4, 6.5)
    large = 1 - _erfc_large(clipped)
    result = np.where(size < 1, _erf_small(np.minimum(size, 1)), large)
    return np.copysign(result, x)


_erf_blocks = _in_blocks(_erf)


def erf(x: np.ndarray) -> np.ndarray:
    """Error function, in the dtype of `x`."""
    return _erf_blocks(x)


def lgamma(x: np.ndarray) -> np.ndarray:
    """Logarithm of ``|gamma(x)|``: infinite at the poles."""
    return _lgamma64(x).astype(x.dtype)


def _estimate_inverse(size: np.ndarray) -> np.ndarray:
    """`erf_inv` of [0, 1) to 7 digits, as a polynomial in ``w = -log(1 - x**2)``."""
    w = -np.log((1 - size) * (1 + size))
    centre = _polynomial(tables.INVERSE_CENTRE, w / 2.5 - 1)
    root = (np.sqrt(w) - tables.INVERSE_MIDDLE) * (1 / tables.INVERSE_RADIUS)
    tail = _polynomial(tables.INVERSE_TAIL, root)
    return size * np.where(w < 5, centre, tail)


def _halley(y: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """One cubic step towards ``erf(y) = inside``."""
    # from 1/2 on it works on 1 - x, so that nothing is lost near 1
    near = inside - _erf_small(np.minimum(y, 1))
    far = _erfc_large(np.maximum(y, 0.4)) - (1 - inside)
    error = np.where(inside < 0.5, near, far)
    step = error * np.exp(y * y) * (math.sqrt(math.pi) / 2)
    return y + step / (1 - y * step)


def _erf_inv(x: np.ndarray) -> np.ndarray:
    size = np.abs(x.astype(np.float64))
    inside = np.where(size < 1, size, 0.5)
    y = _estimate_inverse(inside)
    if x.dtype == np.float64:
        y = _halley(y, inside)
    ends = np.where(size == 1, math.inf, math.nan)
    return np.copysign(np.where(size < 1, y, ends), x)


_erf_inv_blocks = _in_blocks(_erf_inv)


def erf_inv(x: np.ndarray) -> np.ndarray:
    """Inverse of `erf`: infinite at -1 and 1, NaN beyond."""
    return _erf_inv_blocks(x)


_DIGAMMA_SERIES = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
_TRIGAMMA_SERIES = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)
_SHIFT = 10  # the asymptotic series are exact to float64 from here on


def _digamma_positive(x: np.ndarray) -> np.ndarray:
    total = np.zeros_like(x)
    for _ in range(_SHIFT):
        small = x < _SHIFT
        total = np.where(small, total - 1 / x, total)
        x = np.where(small, x + 1, x)
    square = 1 / (x * x)
    series = np.zeros_like(x)
    for coefficient in reversed(_DIGAMMA_SERIES):
        series = square * (coefficient + series)
    return total + np.log(x) - 0.5 / x - series


def digamma(x: np.ndarray) -> np.ndarray:
    """Derivative of `lgamma`: NaN at the negative poles, -inf at +0, +inf at -0."""
    wide = np.asarray(x, np.float64)
    with np.errstate(all="ignore"):
        positive = _digamma_positive(np.where(wide > 0, wide, 1 - wide))
        fraction = wide - np.rint(wide)
        cotangent = math.pi / np.tan(math.pi * fraction)
        reflected = np.where(fraction == 0, math.nan, positive - cotangent)
        result = np.where(wide > 0, positive, reflected)
        result = np.where(wide == 0, -np.copysign(math.inf, wide), result)
        result = np.where(wide == math.inf, math.inf, result)
    return result.astype(x.dtype)


def trigamma(b: Any, x: Any) -> Any:
    """Derivative of `digamma`, from ops of the builder `b`."""
    one, zero = b.ones_like(x), b.zeros_like(x)
    positive = b.compare(x, zero, direction="GT")
    value = _trigamma_positive(b, b.select(positive, x, b.subtract(one, x)))
    fraction = b.subtract(x, b.round_nearest_even(x))
    sine = b.sine(b.scale(fraction, math.pi))
    ratio = b.divide(b.full_like(math.pi, x), sine)
    return b.select(positive, value, b.subtract(b.multiply(ratio, ratio), value))


def _trigamma_positive(b: Any, x: Any) -> Any:
    one, total = b.ones_like(x), b.zeros_like(x)
    for _ in range(_SHIFT):
        total = b.add(total, b.divide(one, b.multiply(x, x)))
        x = b.add(x, one)
    inverse = b.divide(one, x)
    square = b.multiply(inverse, inverse)
    series = b.zeros_like(x)
    for coefficient in reversed(_TRIGAMMA_SERIES):
        series = b.multiply(square, b.add(b.full_like(coefficient, x), series))
    tail = b.multiply(inverse, b.add(one, series))
    return b.add(total, b.add(tail, b.scale(square, 0.5)))
