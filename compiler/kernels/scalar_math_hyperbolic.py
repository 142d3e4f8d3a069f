"""Hyperbolic functions and their inverses; f32 is computed in f64."""

from __future__ import annotations

import math

from compiler.kernels.scalar_dsl import (
    Definition,
    Format,
    Num,
    call,
    copysign,
    fma,
    select,
    through_f64,
    unary,
)

_LN2 = 0.6931471805599453
_LARGE = 2.0**28  # x**2 + 1 == x**2


def _sinh(fmt: Format, x: Num) -> Num:
    """From expm1; exp(|x|) itself overflows before sinh does, so it is squared."""
    size = abs(x)
    growth = call("exponential_minus_one", size)
    near = 0.5 * (growth + growth / (growth + 1.0))
    half = call("exponential", size * 0.5)
    value = select(size > 709.0, half * 0.5 * half, near)
    return copysign(select(size < 2.0**-28, size, value), x)


def _cosh(fmt: Format, x: Num) -> Num:
    size = abs(x)
    growth = call("exponential", size)
    half = call("exponential", size * 0.5)
    near = 0.5 * growth + 0.5 / growth
    return select(size > 709.0, half * 0.5 * half, near)


def _asinh(fmt: Format, x: Num) -> Num:
    size = abs(x)
    square = size * size
    near = size + square / (unary("sqrt", square + 1.0) + 1.0)
    far = call("log", size) + _LN2
    value = select(size > _LARGE, far, call("log_plus_one", near))
    return copysign(select(size < 2.0**-28, size, value), x)


def _acosh(fmt: Format, x: Num) -> Num:
    """Near one the square root is taken of the exact ``(x-1)(x+1)``."""
    above = x - 1.0
    near = above + unary("sqrt", fma(above, above, above + above))
    far = call("log", x) + _LN2
    value = select(x > _LARGE, far, call("log_plus_one", near))
    return select(x >= 1.0, value, math.nan)


def _atanh(fmt: Format, x: Num) -> Num:
    size = abs(x)
    twice = size + size
    quotient = twice / (1.0 - size)
    value = 0.5 * call("log_plus_one", quotient)
    return copysign(select(size < 2.0**-28, size, value), x)


HYPERBOLICS = (
    Definition("sinh", through_f64("sinh", _sinh), 1.0, 2.5),
    Definition("cosh", through_f64("cosh", _cosh), 1.0, 2.5),
    Definition("asinh", through_f64("asinh", _asinh), 1.0, 2.0),
    Definition("acosh", through_f64("acosh", _acosh), 1.0, 2.5),
    Definition("atanh", through_f64("atanh", _atanh), 1.0, 2.0),
)
"""The definitions of this file, with their error bounds."""
