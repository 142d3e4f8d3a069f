"""NumPy's elementwise functions beyond the Array API, and some of SciPy's.

Composites of the functions of `jitflow.ops.elementwise`: they compile into one kernel
and have gradients. Where one branch of a `where` could be infinite or NaN, its argument
is made harmless first, so that the gradient of the other branch stays right.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from jitflow.dtypes import bool_, int8, int16, int32, int64
from jitflow.errors import ArgumentError
from jitflow.ops import elementwise as e
from jitflow.ops.coerce import as_tensor, broadcast_pair, promote_all, require
from jitflow.ops.creation import zeros_like
from jitflow.ops.data_types import finfo
from jitflow.ops.dispatch import builder as b
from jitflow.ops.reductions import all as all_
from jitflow.tensor.tensor import Tensor

__all__ = [
    "allclose",
    "angle",
    "array_equal",
    "deg2rad",
    "divide_no_nan",
    "divmod",
    "erfc",
    "exp2",
    "fabs",
    "float_power",
    "fmax",
    "fmin",
    "fmod",
    "gamma",
    "gcd",
    "heaviside",
    "isclose",
    "iscomplex",
    "isneginf",
    "isposinf",
    "isreal",
    "lcm",
    "ldexp",
    "logaddexp2",
    "logit",
    "modf",
    "nan_to_num",
    "nextafter",
    "polyval",
    "rad2deg",
    "select",
    "sinc",
    "spacing",
    "xlog1py",
    "xlogy",
]

_SIGNED = {1: int8, 2: int16, 4: int32, 8: int64}


def nextafter(x1: Any, x2: Any, /) -> Tensor:
    """The next number of the dtype after x1 in the direction of x2.

    Equal arguments give x2, NaN gives NaN; the step away from zero is to the smallest
    denormal number. It has no gradient.
    """
    x, y = promote_all("nextafter", x1, x2, inexact=True)
    require("nextafter", x, "f", "real floating-point")
    x, y = broadcast_pair(x, y, "nextafter")
    word = _SIGNED[x.dtype.itemsize]
    bits = b.bitcast_convert(x, dtype=word)
    away = e.equal(e.less(x, y), e.greater(x, 0))  # from zero: magnitudes grow
    stepped = e.where(away, e.add(bits, 1), e.subtract(bits, 1))
    first = e.copysign(b.bitcast_convert(b.full_like(1, bits), dtype=x.dtype), y)
    moved = b.select(e.equal(x, 0), first, b.bitcast_convert(stepped, dtype=x.dtype))
    moved = b.select(e.equal(x, y), y, moved)
    lost = e.logical_or(e.isnan(x), e.isnan(y))
    return b.select(lost, b.full_like(math.nan, x), moved)


def spacing(x: Any, /) -> Tensor:
    """Distance from x to the next number away from zero, with the sign of x."""
    (x,) = promote_all("spacing", x, inexact=True)
    return e.subtract(nextafter(x, e.copysign(math.inf, x)), x)


def exp2(x: Any, /) -> Tensor:
    """``2**x``; integers give the default float type."""
    (x,) = promote_all("exp2", x, inexact=True)
    return e.pow(2.0, x)


def deg2rad(x: Any, /) -> Tensor:
    """Degrees as radians."""
    (x,) = promote_all("deg2rad", x, inexact=True)
    return e.multiply(x, math.pi / 180)


def rad2deg(x: Any, /) -> Tensor:
    """Radians as degrees."""
    (x,) = promote_all("rad2deg", x, inexact=True)
    return e.multiply(x, 180 / math.pi)


def fabs(x: Any, /) -> Tensor:
    """Absolute value as a float."""
    (x,) = promote_all("fabs", x, inexact=True)
    return e.abs(x)


def float_power(x1: Any, x2: Any, /) -> Tensor:
    """``x1 ** x2`` in floating point."""
    return e.pow(*promote_all("float_power", x1, x2, inexact=True))


def fmax(x1: Any, x2: Any, /) -> Tensor:
    """The larger; of a number and NaN the number."""
    x, y = promote_all("fmax", x1, x2)
    return e.where(e.isnan(x), y, e.where(e.isnan(y), x, e.maximum(x, y)))


def fmin(x1: Any, x2: Any, /) -> Tensor:
    """The smaller; of a number and NaN the number."""
    x, y = promote_all("fmin", x1, x2)
    return e.where(e.isnan(x), y, e.where(e.isnan(y), x, e.minimum(x, y)))


def fmod(x1: Any, x2: Any, /) -> Tensor:
    """Remainder with the sign of x1, as in C; by integer zero: 0."""
    x, y = promote_all("fmod", x1, x2)
    require("fmod", x, "iuf", "real")
    x, y = broadcast_pair(x, y, "fmod")
    rest = b.remainder(x, y)
    return rest if x.dtype.is_float else e.where(e.equal(y, 0), 0, rest)


def divmod(x1: Any, x2: Any, /) -> tuple[Tensor, Tensor]:
    """``(x1 // x2, x1 % x2)``."""
    return e.floor_divide(x1, x2), e.remainder(x1, x2)


def modf(x: Any, /) -> tuple[Tensor, Tensor]:
    """Fractional and integral part, both with the sign of x."""
    (x,) = promote_all("modf", x, inexact=True)
    whole = e.trunc(x)
    part = e.where(e.isinf(x), 0, e.subtract(x, whole))
    return e.copysign(part, x), e.copysign(whole, x)


def divide_no_nan(x1: Any, x2: Any, /) -> Tensor:
    """``x1 / x2``, and 0 where x2 is 0."""
    x, y = promote_all("divide_no_nan", x1, x2, inexact=True)
    zero = e.equal(y, 0)
    return e.where(zero, 0, e.divide(x, e.where(zero, 1, y)))


def ldexp(x1: Any, x2: Any, /) -> Tensor:
    """``x1 * 2**x2`` without overflow of the power on the way; x2 is integer."""
    (x,) = promote_all("ldexp", x1, inexact=True)
    half = e.floor_divide(as_tensor(x2), 2)
    rest = e.subtract(x2, half)
    powers = (e.pow(2.0, e.astype(n, x.dtype)) for n in (half, rest))
    return functools.reduce(e.multiply, powers, x)


def logaddexp2(x1: Any, x2: Any, /) -> Tensor:
    """``log2(2**x1 + 2**x2)`` without overflow on the way."""
    x, y = promote_all("logaddexp2", x1, x2, inexact=True)
    scaled = (e.multiply(v, math.log(2)) for v in (x, y))
    return e.divide(e.logaddexp(*scaled), math.log(2))


def heaviside(x1: Any, x2: Any, /) -> Tensor:
    """0 for negative x1, 1 for positive, x2 for zero; NaN stays NaN."""
    x, y = promote_all("heaviside", x1, x2, inexact=True)
    step = e.astype(e.greater(x, 0), x.dtype)
    return e.where(e.isnan(x), x, e.where(e.equal(x, 0), y, step))


def sinc(x: Any, /) -> Tensor:
    """``sin(pi x) / (pi x)``, and 1 at 0."""
    (x,) = promote_all("sinc", x, inexact=True)
    y = e.multiply(x, math.pi)
    small = e.less(e.abs(y), 1e-2)
    safe = e.where(small, 1, y)
    square = e.square(e.where(small, y, 0))
    # The series near zero: its derivatives of any order are right there.
    inner = e.subtract(1, e.multiply(square, 1 / 42))
    inner = e.subtract(1, e.multiply(e.multiply(square, inner), 1 / 20))
    series = e.subtract(1, e.multiply(e.multiply(square, inner), 1 / 6))
    return e.where(small, series, e.divide(e.sin(safe), safe))


def erfc(x: Any, /) -> Tensor:
    """``1 - erf(x)``; it loses digits where erf is close to 1."""
    return e.subtract(1, e.erf(x))


def gamma(x: Any, /) -> Tensor:
    """The gamma function; NaN at negative integers."""
    (x,) = promote_all("gamma", x, inexact=True)
    whole = e.floor(x)
    odd = e.logical_and(e.less(x, 0), e.not_equal(e.remainder(whole, 2), 0))
    value = e.multiply(e.where(odd, -1, 1), e.exp(e.lgamma(x)))
    pole = e.logical_and(e.less(x, 0), e.equal(whole, x))
    value = e.where(e.logical_or(pole, e.equal(x, -math.inf)), math.nan, value)
    return e.where(e.equal(x, 0), e.copysign(math.inf, x), value)


def logit(x: Any, /) -> Tensor:
    """``log(x / (1 - x))``: the inverse of the sigmoid."""
    (x,) = promote_all("logit", x, inexact=True)
    return e.subtract(e.log(x), e.log1p(e.negative(x)))


def xlogy(x1: Any, x2: Any, /) -> Tensor:
    """``x1 * log(x2)``, and 0 where x1 is 0 and x2 is not NaN."""
    x, y = promote_all("xlogy", x1, x2, inexact=True)
    zero = e.logical_and(e.equal(x, 0), e.logical_not(e.isnan(y)))
    return e.where(zero, 0, e.multiply(x, e.log(e.where(zero, 1, y))))


def xlog1py(x1: Any, x2: Any, /) -> Tensor:
    """``x1 * log1p(x2)``, and 0 where x1 is 0 and x2 is not NaN."""
    x, y = promote_all("xlog1py", x1, x2, inexact=True)
    zero = e.logical_and(e.equal(x, 0), e.logical_not(e.isnan(y)))
    return e.where(zero, 0, e.multiply(x, e.log1p(e.where(zero, 0, y))))


def angle(x: Any, /, *, deg: bool = False) -> Tensor:
    """Argument of complex numbers, in radians or degrees; pi for negative reals."""
    (x,) = promote_all("angle", x, inexact=True)
    result = e.atan2(e.imag(x), e.real(x))
    return rad2deg(result) if deg else result


def nan_to_num(
    x: Any, /, *, nan: float = 0.0, posinf: Any = None, neginf: Any = None
) -> Tensor:
    """NaN replaced by `nan`, infinities by `posinf` and `neginf`.

    Args:
        x: any tensor; complex numbers are treated in their parts.
        nan: in place of NaN.
        posinf: in place of infinity; the largest number of the dtype when left out.
        neginf: in place of minus infinity; the smallest number when left out.
    """
    x = as_tensor(x)
    if x.dtype.is_complex:
        how = {"nan": nan, "posinf": posinf, "neginf": neginf}
        return e.complex(nan_to_num(e.real(x), **how), nan_to_num(e.imag(x), **how))
    if not x.dtype.is_float:
        return x
    high, low = finfo(x.dtype).max, finfo(x.dtype).min
    y = e.where(isposinf(x), high if posinf is None else posinf, x)
    y = e.where(isneginf(x), low if neginf is None else neginf, y)
    return e.where(e.isnan(x), nan, y)


def isposinf(x: Any, /) -> Tensor:
    """Where x is plus infinity."""
    x = as_tensor(x)
    return e.equal(x, math.inf) if x.dtype.is_float else zeros_like(x, dtype=bool_)


def isneginf(x: Any, /) -> Tensor:
    """Where x is minus infinity."""
    x = as_tensor(x)
    return e.equal(x, -math.inf) if x.dtype.is_float else zeros_like(x, dtype=bool_)


def isreal(x: Any, /) -> Tensor:
    """Where the imaginary part is zero."""
    return e.logical_not(iscomplex(x))


def iscomplex(x: Any, /) -> Tensor:
    """Where the imaginary part is not zero."""
    x = as_tensor(x)
    return (
        e.not_equal(e.imag(x), 0) if x.dtype.is_complex else zeros_like(x, dtype=bool_)
    )


def isclose(
    x1: Any,
    x2: Any,
    /,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    equal_nan: bool = False,
) -> Tensor:
    """Where ``abs(x1 - x2) <= atol + rtol * abs(x2)``, or both are one infinity.

    Args:
        x1: any tensor.
        x2: what it is compared with.
        rtol: relative tolerance.
        atol: absolute tolerance.
        equal_nan: NaN is close to NaN.
    """
    x, y = promote_all("isclose", x1, x2, inexact=True)
    limit = e.add(atol, e.multiply(e.abs(y), rtol))
    near = e.less_equal(e.abs(e.subtract(x, y)), limit)
    close = e.logical_or(e.logical_and(near, e.isfinite(y)), e.equal(x, y))
    if not equal_nan:
        return close
    return e.logical_or(close, e.logical_and(e.isnan(x), e.isnan(y)))


def allclose(
    x1: Any,
    x2: Any,
    /,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    equal_nan: bool = False,
) -> Tensor:
    """Whether all elements are close; see `isclose`."""
    return all_(isclose(x1, x2, rtol=rtol, atol=atol, equal_nan=equal_nan))


def array_equal(x1: Any, x2: Any, /) -> Tensor:
    """Whether both have one shape and equal elements."""
    x, y = as_tensor(x1), as_tensor(x2)
    if x.shape != y.shape:
        return as_tensor(False)
    return all_(e.equal(x, y))


def _euclid(x: Tensor, y: Tensor) -> Tensor:
    # Of consecutive remainders the larger one shrinks by the golden ratio at least:
    # 64-bit integers need 92 steps at most.
    for _ in range(math.ceil(x.dtype.bits * math.log(2) / math.log((1 + 5**0.5) / 2))):
        done = e.equal(y, 0)
        rest = b.remainder(x, e.where(done, 1, y))
        x, y = b.select(done, x, y), b.select(done, y, rest)
    return x


def gcd(x1: Any, x2: Any, /) -> Tensor:
    """Greatest common divisor of the absolute values; ``gcd(0, 0)`` is 0."""
    x, y = promote_all("gcd", x1, x2)
    require("gcd", x, "iu", "integer")
    return _euclid(*broadcast_pair(e.abs(x), e.abs(y), "gcd"))


def lcm(x1: Any, x2: Any, /) -> Tensor:
    """Least common multiple of the absolute values; 0 if one is 0."""
    x, y = promote_all("lcm", x1, x2)
    require("lcm", x, "iu", "integer")
    x, y = broadcast_pair(e.abs(x), e.abs(y), "lcm")
    divisor = e.maximum(_euclid(x, y), 1)
    return e.multiply(e.floor_divide(x, divisor), y)


def polyval(coefficients: Any, x: Any, /) -> Tensor:
    """The polynomial with `coefficients` (highest power first) at x: Horner's rule."""
    p, x = promote_all("polyval", coefficients, x)
    terms = [p[i] for i in range(p.shape[0])]
    return functools.reduce(
        lambda total, c: e.add(e.multiply(total, x), c), terms, zeros_like(x)
    )


def select(
    conditions: Sequence[Any], choices: Sequence[Any], /, default: Any = 0
) -> Tensor:
    """From the first of `choices` whose condition holds, else `default`.

    Raises:
        ArgumentError: if the numbers of conditions and choices differ, or are 0.
    """
    if len(conditions) != len(choices) or not len(conditions):
        raise ArgumentError(
            f"select: {len(conditions)} conditions for {len(choices)} choices"
        )
    result: Any = default
    for condition, choice in reversed(list(zip(conditions, choices, strict=True))):
        result = e.where(condition, choice, result)
    return result
