"""Power, reciprocal square root and cube root as scalar expressions."""

from __future__ import annotations

import math

from compiler.ir import types as t
from compiler.kernels.scalar_dsl import (
    F32,
    Definition,
    Format,
    Num,
    at_least,
    at_most,
    call,
    copysign,
    fast_two_sum,
    fma,
    horner,
    isnan,
    literal_like,
    nearest_integer,
    power_of_two,
    scale_by_power,
    select,
    two_product,
    two_sum,
    unary,
)
from compiler.kernels.scalar_math_exp import reduce_exp
from compiler.kernels.scalar_math_log import split_any

# ln 2 in two parts; the first has 42 bits, so that its product with an exponent is
# exact.
_LN2_HIGH, _LN2_LOW = 0.6931471805598903, 5.497923018708371e-14
_TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)
_TWO_FIFTHS = (0.4, -2.2204460492503132e-17)
# (2 atanh(s)/s - 2 - 2/3 s**2 - 2/5 s**4) / s**6 as a polynomial in s**2
_ATANH_TAIL = (
    0.28571428571430413,
    0.22222222221099783,
    0.18181818438826694,
    0.15384585743398108,
    0.13335232058390054,
    0.11696296280289747,
    0.11814878883036738,
)
# x**(-1/3) on [0.35, 2.83], to eight bits
_RECIPROCAL_CBRT = (
    2.014141082763672,
    -2.3816335201263428,
    2.297154188156128,
    -1.2287644147872925,
    0.3321925103664398,
    -0.035391949117183685,
)

Pair = tuple[Num, Num]
"""An unevaluated sum of a number and a correction below its last place."""


def _multiply_pairs(a: Pair, b: Pair) -> Pair:
    high, error = two_product(a[0], b[0])
    return fast_two_sum(high, fma(a[0], b[1], fma(a[1], b[0], error)))


def _plus_constant(constant: tuple[float, float], b: Pair, model: Num) -> Pair:
    """A sum whose first term is the larger one."""
    high, error = fast_two_sum(literal_like(constant[0], model), b[0])
    return high, error + (b[1] + constant[1])


def _log_pair(fmt: Format, x: Num) -> Pair:
    """``log(x)`` of a positive finite f64 to about 68 bits.

    With ``f = m - 1`` and ``s = f / (2 + f)`` it is the series of ``2 atanh(s)``; the
    terms that weigh more than 2**-12 of the sum are carried in pairs.
    """
    m, e = split_any(fmt, x)
    e = e.convert(fmt.dtype)
    f = m - 1.0
    divisor, divisor_low = fast_two_sum(fmt.num(2.0), f)
    s = f / divisor
    s_low = (fma(-s, divisor, f) - s * divisor_low) / divisor
    z = _multiply_pairs((s, s_low), (s, s_low))
    tail = z[0] * horner(z[0], _ATANH_TAIL)
    bracket = _plus_constant(_TWO_FIFTHS, fast_two_sum(tail, fmt.num(0.0)), s)
    bracket = _plus_constant(_TWO_THIRDS, _multiply_pairs(z, bracket), s)
    cubic = _multiply_pairs((s, s_low), _multiply_pairs(z, bracket))
    high, error = two_sum(e * _LN2_HIGH, s + s)
    high, error2 = two_sum(high, cubic[0])
    low = error + error2 + (fma(e, _LN2_LOW, s_low + s_low) + cubic[1])
    return fast_two_sum(high, low)


def _power_of_size(fmt: Format, size: Num, y: Num) -> Num:
    """``size**y`` for ``size >= 0`` in f64; NaN for the cases that are undecided."""
    high, low = _log_pair(fmt, size)
    special = ~((size > 0.0) & (size < math.inf))
    limit = select(size.equals(0.0), -math.inf, size)
    high = select(special, limit, high)
    product = y * high
    error = fma(y, high, -product) + y * low
    inside = (abs(product) < 1000.0) & ~special
    correction = select(inside, error, 0.0)
    clamped = at_most(at_least(product, -760.0), 720.0)
    tail, n = reduce_exp(fmt, clamped, correction)
    return scale_by_power(fmt, tail + 1.0, n)


def _power(fmt: Format, x: Num, y: Num) -> Num:
    """IEEE 754 pow. f32 goes through f64, where a plain logarithm is enough."""
    size = abs(x)
    if fmt is F32:
        wide = y.convert(t.f64) * call("log", size.convert(t.f64))
        value = call("exponential", wide).convert(t.f32)
    else:
        value = _power_of_size(fmt, size, y)
    whole = unary("floor", y).equals(y)
    half = y * 0.5
    odd = whole & unary("floor", half).differs(half)
    one = fmt.num(1.0)
    value = select(size.equals(1.0), select(isnan(y), y, one), value)
    # 0 and -inf have no NaN for fractional exponents, only negative finite numbers do.
    invalid = (x < 0.0) & (x > -math.inf) & ~whole
    value = select(invalid, math.nan, value)
    signed = copysign(value, x)
    value = select(odd, signed, value)
    return select(x.equals(1.0) | y.equals(0.0), one, value)


def _rsqrt(fmt: Format, x: Num) -> Num:
    return 1.0 / unary("sqrt", x)


def _cbrt(fmt: Format, x: Num) -> Num:
    """Newton steps for ``a**(-1/3)``, which need no division, and one for the root."""
    m, e = split_any(fmt, abs(x))
    _, k = nearest_integer(fmt, e.convert(fmt.dtype) * (1.0 / 3.0))
    a = m * power_of_two(fmt, e - (k + k + k))
    y = horner(a, _RECIPROCAL_CBRT)
    for _ in range(2 if fmt is F32 else 3):
        y = fma(y * (1.0 / 3.0), fma(-a * y * y, y, 1.0), y)
    root = a * y * y
    square, error = two_product(root, root)
    residual = fma(square, root, -a) + error * root
    root = fma(-residual, y * y * (1.0 / 3.0), root)
    value = copysign(root * power_of_two(fmt, k), x)
    ordinary = (abs(x) > 0.0) & (abs(x) < math.inf)
    return select(ordinary, value, x)


POWERS = (
    Definition("power", _power, 1.0, 1.5, ("x", "y")),
    Definition("rsqrt", _rsqrt, 1.5, 1.5),
    Definition("cbrt", _cbrt, 1.0, 1.0),
)
"""The definitions of this file, with their error bounds."""
