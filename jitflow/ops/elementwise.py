"""Elementwise functions of the Array API: arithmetic, mathematics, logic, selection.

The functions promote (`jitflow.ops.promotion`) and broadcast their operands and then
apply one op record, or a few. Boring ones are a table entry.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from compiler.ir import op as op_table
from compiler.ir.types import DType
from jitflow.config import settings
from jitflow.dtypes import as_dtype, bool_, int8, int16, int32, int64
from jitflow.errors import ArgumentError, DTypeError, ShapeError
from jitflow.ops.coerce import (
    as_tensor,
    broadcast_pair,
    broadcast_shapes,
    promote_all,
    require,
)
from jitflow.ops.dispatch import apply, builder
from jitflow.tensor.tensor import Tensor

b = builder
_KINDS = {
    "iufc": "numeric",
    "iuf": "real",
    "fc": "floating-point",
    "f": "real floating-point",
    "biu": "integer or bool",
    "iu": "integer",
    "biuf": "real",
}


def _named(function: Any, name: str, doc: str) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


# ---------------------------------------------------------------- functions of one


def _math(name: str, record: str, doc: str) -> Callable[[Any], Tensor]:
    """A function whose integer arguments become the default float type."""
    op = op_table.get(record)

    def function(x: Any, /) -> Tensor:
        x = as_tensor(x)
        if not x.dtype.is_inexact:
            x = b.cast(x, settings.float_dtype)
        return apply(op, (x,))

    return _named(function, name, f"{doc}; integers give the default float type.")


def _same(name: str, record: str, kinds: str, doc: str) -> Callable[[Any], Tensor]:
    """A function whose result has the argument's dtype, of one of `kinds`."""
    op = op_table.get(record)

    def function(x: Any, /) -> Tensor:
        x = as_tensor(x)
        require(name, x, kinds, _KINDS[kinds])
        return apply(op, (x,))

    return _named(function, name, doc)


def _rounding(name: str, record: str, doc: str) -> Callable[[Any], Tensor]:
    """A function that does nothing to integers."""
    op = op_table.get(record)

    def function(x: Any, /) -> Tensor:
        x = as_tensor(x)
        require(name, x, "iuf", "real")
        return apply(op, (x,)) if x.dtype.is_float else x

    return _named(function, name, doc)


exp = _math("exp", "exponential", "``e**x``")
expm1 = _math("expm1", "exponential_minus_one", "``e**x - 1``, exact near 0")
log = _math("log", "log", "Natural logarithm")
log1p = _math("log1p", "log_plus_one", "``log(1 + x)``, exact near 0")
sqrt = _math("sqrt", "sqrt", "Square root")
rsqrt = _math("rsqrt", "rsqrt", "``1 / sqrt(x)``")
cbrt = _math("cbrt", "cbrt", "Real cube root")
sin = _math("sin", "sine", "Sine of radians")
cos = _math("cos", "cosine", "Cosine of radians")
tan = _math("tan", "tan", "Tangent of radians")
asin = _math("asin", "asin", "Inverse sine")
acos = _math("acos", "acos", "Inverse cosine")
atan = _math("atan", "atan", "Inverse tangent")
sinh = _math("sinh", "sinh", "Hyperbolic sine")
cosh = _math("cosh", "cosh", "Hyperbolic cosine")
tanh = _math("tanh", "tanh", "Hyperbolic tangent")
asinh = _math("asinh", "asinh", "Inverse hyperbolic sine")
acosh = _math("acosh", "acosh", "Inverse hyperbolic cosine")
atanh = _math("atanh", "atanh", "Inverse hyperbolic tangent")
sigmoid = _math("sigmoid", "logistic", "``1 / (1 + e**-x)``")
erf = _math("erf", "erf", "Error function")
erf_inv = _math("erf_inv", "erf_inv", "Inverse of the error function")
lgamma = _math("lgamma", "lgamma", "Logarithm of the absolute gamma function")
digamma = _math("digamma", "digamma", "Derivative of `lgamma`")

negative = _same("negative", "negate", "iufc", "``-x``; unsigned integers wrap.")
bitwise_invert = _same("bitwise_invert", "not", "biu", "``~x``: bits, or logical.")
bitwise_count = _same("bitwise_count", "popcnt", "iu", "Number of set bits.")

floor = _rounding("floor", "floor", "Largest integer not above x.")
ceil = _rounding("ceil", "ceil", "Smallest integer not below x.")


def round(x: Any, /) -> Tensor:
    """Nearest integer, halves to even; of complex numbers in their parts."""
    x = as_tensor(x)
    require("round", x, "iufc", "numeric")
    if x.dtype.is_complex:
        parts = (b.round_nearest_even(part(x)) for part in (b.real, b.imag))
        return b.complex(*parts)
    return b.round_nearest_even(x) if x.dtype.is_float else x


def abs(x: Any, /) -> Tensor:
    """Absolute value; of a complex number its modulus (a real tensor)."""
    x = as_tensor(x)
    require("abs", x, "iufc", "numeric")
    return x if x.dtype.kind == "u" else b.abs(x)


def positive(x: Any, /) -> Tensor:
    """``+x``: the tensor itself."""
    x = as_tensor(x)
    require("positive", x, "iufc", "numeric")
    return x


def sign(x: Any, /) -> Tensor:
    """-1, 0 or 1; NaN stays NaN; of a complex number ``x / abs(x)``, 0 at 0."""
    x = as_tensor(x)
    require("sign", x, "iufc", "numeric")
    if not x.dtype.is_complex:
        return b.sign(x)
    zero = equal(x, 0)
    size = b.cast(b.abs(where(zero, 1, x)), x.dtype)  # no 0 / 0, for the gradient
    return where(zero, 0, divide(x, size))


def trunc(x: Any, /) -> Tensor:
    """Nearest integer toward zero."""
    x = as_tensor(x)
    require("trunc", x, "iuf", "real")
    if not x.dtype.is_float:
        return x
    return b.select(less(x, 0), b.ceil(x), b.floor(x))


def square(x: Any, /) -> Tensor:
    """``x * x``."""
    x = as_tensor(x)
    return multiply(x, x)


def reciprocal(x: Any, /) -> Tensor:
    """``1 / x``."""
    return divide(1, x)


def log2(x: Any, /) -> Tensor:
    """Logarithm to base 2; integers give the default float type."""
    return _scaled_log(x, 1 / math.log(2))


def log10(x: Any, /) -> Tensor:
    """Logarithm to base 10; integers give the default float type."""
    return _scaled_log(x, 1 / math.log(10))


def _scaled_log(x: Any, factor: float) -> Tensor:
    y = log(x)
    if not y.dtype.is_complex:
        return multiply(y, factor)
    # In parts: infinity times the imaginary 0 of the factor would be NaN.
    return b.complex(multiply(b.real(y), factor), multiply(b.imag(y), factor))


def real(x: Any, /) -> Tensor:
    """Real part."""
    x = as_tensor(x)
    return b.real(x) if x.dtype.is_complex else positive(x)


def imag(x: Any, /) -> Tensor:
    """Imaginary part; zeros for a real tensor."""
    x = as_tensor(x)
    return b.imag(x) if x.dtype.is_complex else b.zeros_like(positive(x))


def conj(x: Any, /) -> Tensor:
    """Complex conjugate."""
    x = as_tensor(x)
    if not x.dtype.is_complex:
        return positive(x)
    return b.complex(b.real(x), b.negate(b.imag(x)))


def complex(re: Any, im: Any, /) -> Tensor:
    """The complex tensor with the given real and imaginary parts (float32/float64)."""
    re, im = promote_all("complex", re, im, inexact=True)
    re, im = broadcast_pair(re, im, "complex")
    require("complex", re, "f", "real floating-point")
    return b.complex(re, im)


def isnan(x: Any, /) -> Tensor:
    """Where x is NaN."""
    x = as_tensor(x)
    return b.compare(x, x, direction="NE")


def isfinite(x: Any, /) -> Tensor:
    """Where x is neither infinite nor NaN."""
    x = as_tensor(x)
    if x.dtype.is_complex:
        return logical_and(b.is_finite(b.real(x)), b.is_finite(b.imag(x)))
    return b.is_finite(x) if x.dtype.is_float else b.compare(x, x, direction="EQ")


def isinf(x: Any, /) -> Tensor:
    """Where x is infinite."""
    x = as_tensor(x)
    if x.dtype.is_complex:
        return logical_or(isinf(b.real(x)), isinf(b.imag(x)))
    return logical_not(logical_or(isfinite(x), isnan(x)))


_SAME_SIZE = {1: int8, 2: int16, 4: int32, 8: int64}


def signbit(x: Any, /) -> Tensor:
    """Where the sign bit is set (also that of -0.0 and of NaN)."""
    x = as_tensor(x)
    require("signbit", x, "f", "real floating-point")
    bits = b.bitcast_convert(x, dtype=_SAME_SIZE[x.dtype.itemsize])
    return less(bits, 0)


# ---------------------------------------------------------------- functions of two


def _binary(
    name: str, record: str, kinds: str, doc: str, *, inexact: bool = False
) -> Callable[[Any, Any], Tensor]:
    op = op_table.get(record)

    def function(x1: Any, x2: Any, /) -> Tensor:
        x, y = promote_all(name, x1, x2, inexact=inexact)
        require(name, x, kinds, _KINDS[kinds])
        return apply(op, broadcast_pair(x, y, name))

    return _named(function, name, doc)


def _bool_as(
    name: str, record: str, on_bool: str, doc: str
) -> Callable[[Any, Any], Tensor]:
    """Arithmetic that is logical on bool, as in NumPy."""
    arithmetic, logical = op_table.get(record), op_table.get(on_bool)

    def function(x1: Any, x2: Any, /) -> Tensor:
        x, y = promote_all(name, x1, x2)
        op = logical if x.dtype is bool_ else arithmetic
        return apply(op, broadcast_pair(x, y, name))

    return _named(function, name, doc)


def _comparison(name: str, direction: str, doc: str) -> Callable[[Any, Any], Tensor]:
    op = op_table.get("compare")
    attrs = {"direction": direction}

    def function(x1: Any, x2: Any, /) -> Tensor:
        x, y = promote_all(name, x1, x2)
        if direction not in ("EQ", "NE"):
            require(name, x, "biuf", "real")
        return apply(op, broadcast_pair(x, y, name), attrs)

    return _named(function, name, doc)


add = _bool_as("add", "add", "or", "``x1 + x2``; bools are or-ed, as in NumPy.")
multiply = _bool_as(
    "multiply", "multiply", "and", "``x1 * x2``; bools are and-ed, as in NumPy."
)
subtract = _binary("subtract", "subtract", "iufc", "``x1 - x2``.")
divide = _binary(
    "divide",
    "divide",
    "fc",
    "``x1 / x2``; integers give the default float type.",
    inexact=True,
)
maximum = _binary("maximum", "maximum", "biuf", "The larger; NaN if either is NaN.")
minimum = _binary("minimum", "minimum", "biuf", "The smaller; NaN if either is NaN.")
atan2 = _binary(
    "atan2", "atan2", "f", "Angle of the point ``(x2, x1)``, in radians.", inexact=True
)
bitwise_and = _binary("bitwise_and", "and", "biu", "``x1 & x2``.")
bitwise_or = _binary("bitwise_or", "or", "biu", "``x1 | x2``.")
bitwise_xor = _binary("bitwise_xor", "xor", "biu", "``x1 ^ x2``.")
bitwise_left_shift = _binary(
    "bitwise_left_shift", "shift_left", "iu", "``x1 << x2``; counts >= bits give 0."
)
equal = _comparison("equal", "EQ", "``x1 == x2``; NaN equals nothing.")
not_equal = _comparison("not_equal", "NE", "``x1 != x2``; NaN differs from all.")
less = _comparison("less", "LT", "``x1 < x2``.")
less_equal = _comparison("less_equal", "LE", "``x1 <= x2``.")
greater = _comparison("greater", "GT", "``x1 > x2``.")
greater_equal = _comparison("greater_equal", "GE", "``x1 >= x2``.")


def bitwise_right_shift(x1: Any, x2: Any, /) -> Tensor:
    """``x1 >> x2``: keeps the sign of signed integers."""
    x, y = promote_all("bitwise_right_shift", x1, x2)
    require("bitwise_right_shift", x, "iu", "integer")
    x, y = broadcast_pair(x, y, "bitwise_right_shift")
    if x.dtype.kind == "u":
        return b.shift_right_logical(x, y)
    return b.shift_right_arithmetic(x, y)


def pow(x1: Any, x2: Any, /) -> Tensor:
    """``x1 ** x2``; integers stay integers and take no negative Python exponent.

    Raises:
        ArgumentError: for an integer tensor to a negative Python integer.
    """
    x, y = promote_all("pow", x1, x2)
    require("pow", x, "iufc", "numeric")
    if type(x2) is int and x2 < 0 and x.dtype.is_integer:
        raise ArgumentError(
            f"pow: integers to the negative power {x2} are fractions",
            fix="convert x1 with jf.astype(x1, 'float32')",
        )
    if type(x2) is int and x2 == 2:
        return b.multiply(x, x)  # exact, and its gradient has no logarithm
    return b.power(*broadcast_pair(x, y, "pow"))


def floor_divide(x1: Any, x2: Any, /) -> Tensor:
    """``x1 // x2``: the quotient rounded down, as in Python; by integer zero: 0."""
    x, y = promote_all("floor_divide", x1, x2)
    require("floor_divide", x, "iuf", "real")
    x, y = broadcast_pair(x, y, "floor_divide")
    rest = b.remainder(x, y)
    if x.dtype.kind == "u":
        return b.divide(x, y)
    if x.dtype.kind == "i":
        down = _needs_correction(rest, y)
        quotient = b.divide(x, y)
        return b.select(down, b.subtract(quotient, b.ones_like(x)), quotient)
    # From the exact remainder: floor(x / y) alone is wrong where x / y rounds up.
    quotient = b.divide(b.subtract(x, rest), y)
    lower = b.subtract(quotient, b.ones_like(x))
    quotient = b.select(_needs_correction(rest, y), lower, quotient)
    quotient, ratio = b.round_nearest_even(quotient), b.divide(x, y)
    quotient = b.select(equal(quotient, 0), multiply(ratio, 0), quotient)  # its sign
    return b.select(equal(y, 0), ratio, quotient)


def remainder(x1: Any, x2: Any, /) -> Tensor:
    """``x1 % x2``: has the sign of x2, as in Python; by integer zero: 0."""
    x, y = promote_all("remainder", x1, x2)
    require("remainder", x, "iuf", "real")
    x, y = broadcast_pair(x, y, "remainder")
    rest = b.remainder(x, y)
    if x.dtype.kind == "u":
        return rest
    if x.dtype.kind == "i":
        rest = b.select(equal(y, 0), b.zeros_like(x), rest)
    fixed = b.select(_needs_correction(rest, y), b.add(rest, y), rest)
    if x.dtype.kind == "i":
        return fixed
    return b.select(equal(fixed, 0), copysign(fixed, y), fixed)


def _needs_correction(rest: Tensor, y: Tensor) -> Tensor:
    """Where the truncated remainder is not the floored one: signs differ."""
    differ = bitwise_xor(less(rest, 0), less(y, 0))
    return logical_and(not_equal(rest, 0), differ)


def copysign(x1: Any, x2: Any, /) -> Tensor:
    """``abs(x1)`` with the sign bit of x2."""
    x, y = promote_all("copysign", x1, x2, inexact=True)
    require("copysign", x, "f", "real floating-point")
    x, y = broadcast_pair(x, y, "copysign")
    return b.select(bitwise_xor(signbit(x), signbit(y)), b.negate(x), x)


def hypot(x1: Any, x2: Any, /) -> Tensor:
    """``sqrt(x1**2 + x2**2)`` without overflow on the way."""
    x, y = promote_all("hypot", x1, x2, inexact=True)
    require("hypot", x, "f", "real floating-point")
    x, y = broadcast_pair(b.abs(x), b.abs(y), "hypot")
    high, low = b.maximum(x, y), b.minimum(x, y)
    # An infinite side makes the length infinite, even beside NaN (IEEE 754).
    high = b.select(logical_or(isinf(x), isinf(y)), b.full_like(math.inf, x), high)
    # Zero and infinity would make the ratio NaN.
    plain = logical_or(equal(high, 0), isinf(high))
    ratio = b.divide(low, b.select(plain, b.ones_like(high), high))
    scaled = b.multiply(
        high, b.sqrt(b.add(b.ones_like(high), b.multiply(ratio, ratio)))
    )
    return b.select(plain, high, scaled)


def logaddexp(x1: Any, x2: Any, /) -> Tensor:
    """``log(exp(x1) + exp(x2))`` without overflow on the way."""
    x, y = promote_all("logaddexp", x1, x2, inexact=True)
    require("logaddexp", x, "f", "real floating-point")
    x, y = broadcast_pair(x, y, "logaddexp")
    high, difference = b.maximum(x, y), b.subtract(x, y)
    # inf - inf: the sum is that infinity itself, as x + y is.
    same = equal(x, y)
    log_two = b.add(x, b.full_like(math.log(2), x))
    safe = b.select(same, b.zeros_like(x), difference)
    rest = b.log_plus_one(b.exponential(b.negate(b.abs(safe))))
    return b.select(same, log_two, b.add(high, rest))


# -------------------------------------------------------------------------- logic


def as_bool(x: Any) -> Tensor:
    """``x != 0`` as bool; a bool tensor itself."""
    x = as_tensor(x)
    return x if x.dtype is bool_ else not_equal(x, 0)


def logical_not(x: Any, /) -> Tensor:
    """Where x is zero or False."""
    return bitwise_invert(as_bool(x))


def logical_and(x1: Any, x2: Any, /) -> Tensor:
    """Where both are true."""
    return bitwise_and(as_bool(x1), as_bool(x2))


def logical_or(x1: Any, x2: Any, /) -> Tensor:
    """Where either is true."""
    return bitwise_or(as_bool(x1), as_bool(x2))


def logical_xor(x1: Any, x2: Any, /) -> Tensor:
    """Where exactly one is true."""
    return bitwise_xor(as_bool(x1), as_bool(x2))


# ---------------------------------------------------------------------- selection


def where(condition: Any, x1: Any, x2: Any, /) -> Tensor:
    """``x1`` where `condition` holds, else ``x2``; all three broadcast.

    Raises:
        ShapeError: if the shapes do not broadcast.
    """
    condition = as_bool(condition)
    x, y = promote_all("where", x1, x2)
    try:
        shape = broadcast_shapes(condition.shape, x.shape, y.shape)
    except ShapeError as error:
        raise ShapeError(
            f"where: {error.message}",
            operands={"condition": condition, "x1": x, "x2": y},
        ) from None
    return b.select(*(b.broadcast(t, shape) for t in (condition, x, y)))


def clip(x: Any, /, min: Any = None, max: Any = None) -> Tensor:
    """`x` limited to ``[min, max]``; a limit that is None does not apply.

    Raises:
        DTypeError: if a limit has a dtype that does not convert to that of `x`.
    """
    x = as_tensor(x)
    require("clip", x, "iuf", "real")
    if min is not None:
        x = maximum(x, _limit(x, min, "min"))
    if max is not None:
        x = minimum(x, _limit(x, max, "max"))
    return x


def _limit(x: Tensor, limit: Any, name: str) -> Tensor:
    limit = as_tensor(limit, like=x.dtype, argument=name)
    if limit.dtype.is_float and not x.dtype.is_float:
        raise DTypeError(
            f"clip: {name} is {limit.dtype} and x is {x.dtype}",
            fix="convert x with jf.astype, or give integer limits",
        )
    return b.cast(limit, x.dtype)


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """`x` converted to `dtype`; floats to integers truncate and saturate.

    `copy` and `device` are accepted for the Array API; tensors never change, so that
    nothing needs to be copied.
    """
    return b.cast(as_tensor(x), as_dtype(dtype))


def cast_like(x: Any, dtype: DType) -> Tensor:
    """`x` as a tensor of `dtype`; for internal use with known dtypes."""
    return b.cast(as_tensor(x, like=dtype), dtype)
