"""Special functions in NumPy, which has none of them: erf, erf_inv, lgamma, digamma.

They are computed in float64 whatever the dtype; `trigamma` is written over a builder,
so that it can be differentiated and compiled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np


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


_erf64 = _elementwise(math.erf)
_erfc64 = _elementwise(math.erfc)
_lgamma64 = _elementwise(_lgamma)


def erf(x: np.ndarray) -> np.ndarray:
    """Error function, in the dtype of `x`."""
    return _erf64(x).astype(x.dtype)


def lgamma(x: np.ndarray) -> np.ndarray:
    """Logarithm of ``|gamma(x)|``: infinite at the poles."""
    return _lgamma64(x).astype(x.dtype)


def erf_inv(x: np.ndarray) -> np.ndarray:
    """Inverse of `erf`: Winitzki's estimate, then Halley steps.

    From 1/2 on the steps work on ``1 - |x|``, so that nothing is lost near the ends.
    """
    wide = np.asarray(x, np.float64)
    with np.errstate(all="ignore"):
        size = np.abs(wide)
        inside = np.where(size < 1, size, 0.5)
        log = np.log1p(-inside * inside)
        half = 2 / (math.pi * 0.147) + log / 2
        y = np.sqrt(np.sqrt(half * half - log / 0.147) - half)
        for _ in range(3):
            error = np.where(
                inside < 0.5, inside - _erf64(y), _erfc64(y) - (1 - inside)
            )
            step = error * np.exp(y * y) * (math.sqrt(math.pi) / 2)
            y = y + step / (1 - y * step)
        ends = np.where(size == 1, math.inf, math.nan)
        result = np.copysign(np.where(size < 1, y, ends), wide)
    return result.astype(x.dtype)


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
