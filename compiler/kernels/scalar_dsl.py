"""Arithmetic notation for the functions of `scalar_math`.

`Num` is an `Expr` with operators; `Format` knows the bit layout of f32 or f64. A
function of `scalar_math` receives a `Format` and its arguments as `Num` and answers
with a `Num`; nothing here computes, everything builds expressions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from compiler.ir import types as t
from compiler.ir.types import DType
from compiler.kernels.expr import Expr, ScalarBuilder

_K = ScalarBuilder()


class Num:
    """A scalar expression with Python's operators; literals take its dtype."""

    __slots__ = ("expr",)

    def __init__(self, expr: Expr) -> None:
        self.expr = expr

    def _binary(self, op: str, other: Num | float, *, swap: bool = False) -> Num:
        if not isinstance(other, Num):
            other = literal_like(other, self)
        pair = (other, self) if swap else (self, other)
        return Num(_K.binary(op, pair[0].expr, pair[1].expr))

    def __add__(self, other: Num | float) -> Num:
        return self._binary("add", other)

    def __radd__(self, other: float) -> Num:
        return self._binary("add", other, swap=True)

    def __sub__(self, other: Num | float) -> Num:
        return self._binary("sub", other)

    def __rsub__(self, other: float) -> Num:
        return self._binary("sub", other, swap=True)

    def __mul__(self, other: Num | float) -> Num:
        return self._binary("mul", other)

    def __rmul__(self, other: float) -> Num:
        return self._binary("mul", other, swap=True)

    def __truediv__(self, other: Num | float) -> Num:
        return self._binary("div", other)

    def __rtruediv__(self, other: float) -> Num:
        return self._binary("div", other, swap=True)

    def __lt__(self, other: Num | float) -> Num:
        return self._binary("lt", other)

    def __le__(self, other: Num | float) -> Num:
        return self._binary("le", other)

    def __gt__(self, other: Num | float) -> Num:
        return self._binary("gt", other)

    def __ge__(self, other: Num | float) -> Num:
        return self._binary("ge", other)

    def __and__(self, other: Num | int) -> Num:
        return self._binary("and", other)

    def __or__(self, other: Num | int) -> Num:
        return self._binary("or", other)

    def __xor__(self, other: Num | int) -> Num:
        return self._binary("xor", other)

    def __lshift__(self, count: Num | int) -> Num:
        return self._binary("shl", count)

    def __neg__(self) -> Num:
        return Num(_K.unary("neg", self.expr))

    def __invert__(self) -> Num:
        return Num(_K.unary("not", self.expr))

    def __abs__(self) -> Num:
        return Num(_K.unary("abs", self.expr))

    def equals(self, other: Num | float) -> Num:
        """``self == other`` as a bool expression."""
        return self._binary("eq", other)

    def differs(self, other: Num | float) -> Num:
        """``self != other`` as a bool expression; true for NaN."""
        return self._binary("ne", other)

    def shift_right(self, count: int) -> Num:
        """Arithmetic shift right."""
        return self._binary("sar", count)

    def convert(self, dtype: DType) -> Num:
        """C cast."""
        return Num(_K.convert(self.expr, dtype))

    def bits_as(self, dtype: DType) -> Num:
        """The same bits as another dtype."""
        return Num(_K.bitcast(self.expr, dtype))


@dataclass(frozen=True)
class Format:
    """Layout of a binary floating-point type and of the integer of its size."""

    dtype: DType
    integer: DType
    mantissa: int
    bias: int

    @property
    def rounder(self) -> float:
        """``x + rounder - rounder`` rounds |x| < 2**(mantissa-1) to an integer."""
        return 1.5 * 2.0**self.mantissa

    @property
    def smallest_normal(self) -> float:
        """Smallest positive normal number."""
        return 2.0 ** (1 - self.bias)

    @property
    def inf_bits(self) -> int:
        """Bits of positive infinity."""
        return (2 * self.bias + 1) << self.mantissa

    def pick(self, f32: Sequence[float], f64: Sequence[float]) -> Sequence[float]:
        """The constants of this format."""
        return f32 if self is F32 else f64

    def num(self, value: float) -> Num:
        """A literal of this format."""
        return Num(_K.const(value, self.dtype))

    def int(self, value: int) -> Num:
        """A literal of the integer type of the same size."""
        return Num(_K.const(value, self.integer))


@dataclass(frozen=True)
class Definition:
    """How one function of `scalar_math` is written.

    `build(fmt, *params)` answers with the body for a format; `max_ulp_f32` and
    `max_ulp_f64` are the documented error bounds.
    """

    name: str
    build: Callable[..., Num]
    max_ulp_f32: float
    max_ulp_f64: float
    params: tuple[str, ...] = ("x",)


F32 = Format(t.f32, t.i32, 23, 127)
F64 = Format(t.f64, t.i64, 52, 1023)


def literal_like(value: float, model: Num) -> Num:
    """A literal of the dtype of `model`."""
    return Num(_K.like(value, model.expr))


def fma(a: Num, b: Num | float, c: Num | float) -> Num:
    """``a * b + c`` rounded once."""
    b, c = (v if isinstance(v, Num) else literal_like(v, a) for v in (b, c))
    return Num(_K.fma(a.expr, b.expr, c.expr))


def select(condition: Num, a: Num | float, b: Num | float) -> Num:
    """``a`` where `condition` holds, else ``b``; at least one is a `Num`."""
    model = a if isinstance(a, Num) else b
    assert isinstance(model, Num)
    a, b = (v if isinstance(v, Num) else literal_like(v, model) for v in (a, b))
    return Num(_K.select(condition.expr, a.expr, b.expr))


def horner(x: Num, coefficients: Sequence[float]) -> Num:
    """Polynomial with ascending `coefficients`, one fma each."""
    value = Num(_K.like(coefficients[-1], x.expr))
    for c in reversed(coefficients[:-1]):
        value = fma(value, x, c)
    return value


def unary(op: str, x: Num) -> Num:
    """A unary primitive: ``sqrt``, ``floor``, ``rint``, ..."""
    return Num(_K.unary(op, x.expr))


def isnan(x: Num) -> Num:
    """True where `x` is NaN."""
    return Num(_K.isnan(x.expr))


def copysign(x: Num, sign: Num) -> Num:
    """`x` with the sign bit of `sign`."""
    return Num(_K.binary("copysign", x.expr, sign.expr))


def call(name: str, *args: Num) -> Num:
    """A function of `scalar_math` by name."""
    return Num(_K.call(name, *(a.expr for a in args)))


def at_least(x: Num, low: float) -> Num:
    """``max(x, low)`` that lets NaN through."""
    return select(x < low, low, x)


def at_most(x: Num, high: float) -> Num:
    """``min(x, high)`` that lets NaN through."""
    return select(x > high, high, x)


def two_sum(a: Num, b: Num) -> tuple[Num, Num]:
    """``a + b`` as rounded sum and exact error."""
    s = a + b
    bb = s - a
    return s, (a - (s - bb)) + (b - bb)


def fast_two_sum(a: Num, b: Num) -> tuple[Num, Num]:
    """`two_sum` for ``|a| >= |b|`` or ``a == 0``."""
    s = a + b
    return s, b - (s - a)


def two_product(a: Num, b: Num) -> tuple[Num, Num]:
    """``a * b`` as rounded product and exact error."""
    p = a * b
    return p, fma(a, b, -p)


def power_of_two(fmt: Format, exponent: Num) -> Num:
    """``2.0**exponent`` for an integer `exponent` in the normal range."""
    return ((exponent + fmt.bias) << fmt.mantissa).bits_as(fmt.dtype)


def scale_by_power(fmt: Format, x: Num, exponent: Num) -> Num:
    """``x * 2**exponent`` in two steps, so that results round once, at the end.

    The exponent may reach twice the normal range; overflow gives infinity and
    denormal results are rounded correctly.
    """
    half = exponent.shift_right(1)
    return x * power_of_two(fmt, half) * power_of_two(fmt, exponent - half)


def nearest_integer(fmt: Format, x: Num) -> tuple[Num, Num]:
    """`x` rounded to an integer, as float and as int; ``|x| < 2**(mantissa-2)``.

    Adds a constant whose last mantissa bit weighs one: that costs two additions,
    while a conversion to int64 needs instructions that not every CPU has.
    """
    shifted = x + fmt.rounder
    offset = int(np.array(fmt.rounder, fmt.dtype.np).view(fmt.integer.np))
    return shifted - fmt.rounder, shifted.bits_as(fmt.integer) - offset


def through_f64(name: str, build: Callable[..., Num]) -> Callable[..., Num]:
    """`build` for f64; f32 converts, calls the f64 function and rounds once more.

    For functions too rare to be worth polynomials of their own in f32.
    """

    def wide(fmt: Format, *args: Num) -> Num:
        if fmt is F64:
            return build(fmt, *args)
        return call(name, *(a.convert(t.f64) for a in args)).convert(t.f32)

    return wide
