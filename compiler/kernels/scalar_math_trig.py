"""Sine and cosine as scalar expressions; `reduce_half_pi` tells their range."""

from __future__ import annotations

from compiler.kernels.scalar_dsl import (
    Definition,
    Format,
    Num,
    at_least,
    at_most,
    fma,
    horner,
    nearest_integer,
    select,
)

TWO_OVER_PI = 0.6366197723675814
# pi/2 as a sum of numbers of each format.
HALF_PI_F32 = (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15)
HALF_PI_F64 = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)

# (sin(r)/r - 1) / r**2 as a polynomial in r**2
_SIN_F32 = (
    -0.1666666716337204,
    0.00833337102085352,
    -0.00019849385716952384,
    2.7939370284002507e-06,
)
_SIN_F64 = (
    -0.16666666666666666,
    0.008333333333333104,
    -0.00019841269841064342,
    2.7557319134382267e-06,
    -2.5052087582610566e-08,
    1.605648316339985e-10,
    -7.497662903137821e-13,
)
# (cos(r) - 1 + r**2/2) / r**4 as a polynomial in r**2
_COS_F32 = (0.04166664555668831, -0.0013887289678677917, 2.4428409233223647e-05)
_COS_F64 = (
    0.04166666666666658,
    -0.0013888888888870846,
    2.4801587287385063e-05,
    -2.755731373414271e-07,
    2.0875637817899416e-09,
    -1.1355160943422376e-11,
)


def reduce_half_pi(fmt: Format, x: Num) -> tuple[Num, Num]:
    """``x = n pi/2 + r``: answers ``(r, n)`` with n as an integer.

    Good to the last place up to |x| = 1e6 in f32 and 1e15 in f64, where neighbouring
    arguments are 1/16 of a radian apart. Beyond, `r` is only bounded, so that sines
    stay within one.
    """
    n_float, n = nearest_integer(fmt, x * TWO_OVER_PI)
    r = x
    for part in fmt.pick(HALF_PI_F32, HALF_PI_F64):
        r = fma(-n_float, part, r)
    return at_most(at_least(r, -1.0), 1.0), n


def sin_cos(fmt: Format, r: Num) -> tuple[Num, Num]:
    """Sine and cosine of a reduced argument, |r| a little above pi/4 at most."""
    z = r * r
    sine = fma(r * z, horner(z, fmt.pick(_SIN_F32, _SIN_F64)), r)
    square = fma(z, -0.5, 1.0)
    lost = fma(z, -0.5, 1.0 - square)
    tail = fma(z * z, horner(z, fmt.pick(_COS_F32, _COS_F64)), lost)
    return sine, square + tail


def _quadrant(fmt: Format, x: Num, shift: int) -> Num:
    r, n = reduce_half_pi(fmt, x)
    n = n + shift
    sine, cosine = sin_cos(fmt, r)
    value = select((n & 1).equals(0), sine, cosine)
    sign = (n & 2) << (fmt.integer.bits - 2)
    return (value.bits_as(fmt.integer) ^ sign).bits_as(fmt.dtype)


def _sine(fmt: Format, x: Num) -> Num:
    return select(x.equals(0.0), x, _quadrant(fmt, x, 0))


def _cosine(fmt: Format, x: Num) -> Num:
    return _quadrant(fmt, x, 1)


TRIGONOMETRY = (
    Definition("sine", _sine, 1.5, 1.5),
    Definition("cosine", _cosine, 1.5, 1.5),
)
"""The definitions of this file, with their error bounds."""
