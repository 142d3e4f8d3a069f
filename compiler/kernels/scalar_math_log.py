"""Logarithms as scalar expressions."""

from __future__ import annotations

import math

import numpy as np

from compiler.kernels.scalar_dsl import (
    F32,
    Definition,
    Format,
    Num,
    copysign,
    fma,
    horner,
    power_of_two,
    select,
    two_sum,
)
from compiler.kernels.scalar_math_exp import LN2_F32, LN2_F64

# (log(1+f) - f + f**2/2) / f**3 on [sqrt(1/2)-1, sqrt(2)-1]
_LOG_F32 = (
    0.33333316445350647,
    -0.25000813603401184,
    0.20002295076847076,
    -0.16624459624290466,
    0.14181067049503326,
    -0.13129521906375885,
    0.12882444262504578,
    -0.07858473062515259,
)
# (2 atanh(s)/s - 2) / s**2 as a polynomial in s**2, s = f/(2+f)
_LOG_F64 = (
    0.6666666666666735,
    0.3999999999940998,
    0.2857142874345016,
    0.22222198461021758,
    0.18183570349914469,
    0.15313891056847656,
    0.1479760129771933,
)


def split_mantissa(fmt: Format, x: Num) -> tuple[Num, Num]:
    """``x = m * 2**e`` with m in [sqrt(1/2), sqrt(2)); `x` positive and normal."""
    root = int(np.array(math.sqrt(0.5), fmt.dtype.np).view(fmt.integer.np))
    offset = x.bits_as(fmt.integer) - root
    fraction = offset & ((1 << fmt.mantissa) - 1)
    return (fraction + root).bits_as(fmt.dtype), offset.shift_right(fmt.mantissa)


def split_any(fmt: Format, x: Num) -> tuple[Num, Num]:
    """`split_mantissa` for denormal `x` too."""
    small = x < fmt.smallest_normal
    shift = fmt.mantissa + 2
    m, e = split_mantissa(fmt, select(small, x * 2.0**shift, x))
    return m, select(small, e - shift, e)


def _log_of_parts(fmt: Format, f: Num, e: Num) -> Num:
    """``log((1+f) * 2**e)``."""
    high, low = fmt.pick(LN2_F32, LN2_F64)
    half_square = f * f * 0.5
    if fmt is F32:
        q = horner(f, _LOG_F32)
        rest = fma(f * f * f, q, e * low) - half_square
    else:
        s = f / (f + 2.0)
        z = s * s
        correction = fma(s, fma(z, horner(z, _LOG_F64), half_square), e * low)
        rest = correction - half_square
    return fma(e, high, f + rest)


def _with_poles(x: Num, pole: float, value: Num) -> Num:
    """-inf at `pole`, NaN below it and for NaN, inf at inf."""
    value = select(x.equals(math.inf), x, value)
    value = select(x.equals(pole), -math.inf, value)
    return select(x >= pole, value, math.nan)


def _log(fmt: Format, x: Num) -> Num:
    m, e = split_any(fmt, x)
    value = _log_of_parts(fmt, m - 1.0, e.convert(fmt.dtype))
    return _with_poles(x, 0.0, value)


def _log_plus_one(fmt: Format, x: Num) -> Num:
    """The rounding error of ``1 + x`` is added to the reduced argument."""
    u, error = two_sum(fmt.num(1.0), x)
    m, e = split_mantissa(fmt, u)
    # Where 2**-e is out of range the error is far below the last place.
    scale = power_of_two(fmt, -select(e > 2 * fmt.mantissa, 2 * fmt.mantissa, e))
    f = fma(error, scale, m - 1.0)
    value = _log_of_parts(fmt, f, e.convert(fmt.dtype))
    return copysign(_with_poles(x, -1.0, value), x)


LOGARITHMS = (
    Definition("log", _log, 1.0, 1.0),
    Definition("log_plus_one", _log_plus_one, 1.5, 1.5),
)
"""The definitions of this file, with their error bounds."""
