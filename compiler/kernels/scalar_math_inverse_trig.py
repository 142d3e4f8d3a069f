"""Tangent and the inverse trigonometric functions; f32 is computed in f64."""

from __future__ import annotations

import math

from compiler.kernels.scalar_dsl import (
    Definition,
    Format,
    Num,
    copysign,
    fma,
    horner,
    isnan,
    select,
    through_f64,
    unary,
)
from compiler.kernels.scalar_math_trig import HALF_PI_F64, reduce_half_pi, sin_cos

_HALF_PI, _HALF_PI_LOW = HALF_PI_F64[:2]
# (atan(x)/x - 1) / x**2 as a polynomial in x**2 on |x| <= 1
_ATAN = (
    -0.3333333333333328,
    0.19999999999981602,
    -0.14285714284126474,
    0.11111111048700228,
    -0.09090907687015065,
    0.07692287337562566,
    -0.06666462132746419,
    0.05880857866865959,
    -0.05254931210088942,
    0.04726957237298404,
    -0.042309700739142066,
    0.03687586183378492,
    -0.030266202044896422,
    0.022420913120028377,
    -0.014303810699267743,
    0.007477390177279204,
    -0.003027408155630609,
    0.0008809832259287868,
    -0.0001627897212914632,
    1.4277969669555758e-05,
)
# (asin(x)/x - 1) / x**2 as a polynomial in x**2 on |x| <= 1/2
_ASIN = (
    0.16666666666666738,
    0.07499999999975443,
    0.04464285717100214,
    0.03038194285518138,
    0.022372211352095907,
    0.01735167033048805,
    0.01398018693139745,
    0.011403665627104608,
    0.010755595419646493,
    0.003793273112151381,
    0.021509049702810562,
    -0.0207340462788559,
    0.03247144174333975,
)


def _tan(fmt: Format, x: Num) -> Num:
    r, n = reduce_half_pi(fmt, x)
    sine, cosine = sin_cos(fmt, r)
    even = (n & 1).equals(0)
    value = select(even, sine, -cosine) / select(even, cosine, sine)
    return select(x.equals(0.0), x, value)


def _atan_up_to_one(x: Num) -> Num:
    z = x * x
    return fma(x * z, horner(z, _ATAN), x)


def _atan(fmt: Format, x: Num) -> Num:
    size = abs(x)
    inverted = size > 1.0
    value = _atan_up_to_one(select(inverted, 1.0 / size, size))
    value = select(inverted, _HALF_PI - (value - _HALF_PI_LOW), value)
    return copysign(value, x)


def _atan2(fmt: Format, y: Num, x: Num) -> Num:
    """Angle of the smaller over the larger coordinate, then mirrored into place."""
    a, b = abs(y), abs(x)
    steep = a > b
    small, large = select(steep, b, a), select(steep, a, b)
    # Equal coordinates divide to one, also when both are zero or infinite.
    zero, diagonal = large.equals(0.0), small.equals(math.inf)
    ratio = select(zero, 0.0, select(diagonal, 1.0, small / large))
    angle = _atan_up_to_one(ratio)
    angle = select(steep, _HALF_PI - (angle - _HALF_PI_LOW), angle)
    left = copysign(fmt.num(1.0), x) < 0.0
    mirrored = 2.0 * _HALF_PI - (angle - 2.0 * _HALF_PI_LOW)
    value = copysign(select(left, mirrored, angle), y)
    return select(isnan(x) | isnan(y), x + y, value)


def _asin_up_to_half(x: Num, z: Num) -> Num:
    return fma(x * z, horner(z, _ASIN), x)


def _asin(fmt: Format, x: Num) -> Num:
    size = abs(x)
    outer = size > 0.5
    z = select(outer, (1.0 - size) * 0.5, x * x)
    value = _asin_up_to_half(select(outer, unary("sqrt", z), size), z)
    value = select(outer, _HALF_PI - (value + value - _HALF_PI_LOW), value)
    return copysign(value, x)


def _acos(fmt: Format, x: Num) -> Num:
    size = abs(x)
    outer = size > 0.5
    z = select(outer, (1.0 - size) * 0.5, x * x)
    value = _asin_up_to_half(select(outer, unary("sqrt", z), x), z)
    left = 2.0 * _HALF_PI - (value + value - 2.0 * _HALF_PI_LOW)
    right = value + value
    inner = _HALF_PI - (value - _HALF_PI_LOW)
    return select(outer, select(x < 0.0, left, right), inner)


INVERSE_TRIGONOMETRY = (
    Definition("tan", through_f64("tan", _tan), 1.0, 3.0),
    Definition("atan", through_f64("atan", _atan), 1.0, 1.5),
    Definition("atan2", through_f64("atan2", _atan2), 1.0, 2.0, ("y", "x")),
    Definition("asin", through_f64("asin", _asin), 1.0, 2.5),
    Definition("acos", through_f64("acos", _acos), 1.0, 1.5),
)
"""The definitions of this file, with their error bounds."""
