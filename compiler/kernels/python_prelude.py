"""Runtime of generated Python kernels: the primitives that Python lacks, in NumPy.

Generated source (`python_scalar`) uses operators where Python's mean the same, and the
names of `NAMESPACE` elsewhere. The functions take NumPy scalars or arrays. Values of
f16 and bf16 are held as f32 and rounded after each operation (`round_f16`,
`round_bf16`), on every target. `numba_prelude` has the same names for Numba.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import ml_dtypes
import numpy as np

from compiler.ir import types as t
from compiler.ir.types import DType

Value = Any  # a NumPy scalar or array
_REGISTER = {t.f16: t.f32, t.bf16: t.f32}


def register_dtype(dtype: DType) -> DType:
    """The dtype in which values of `dtype` are held between operations."""
    return _REGISTER.get(dtype, dtype)


def select(condition: Value, a: Value, b: Value) -> Value:
    """``a`` where `condition` holds, else ``b``."""
    return np.asarray(np.where(condition, a, b))[()]


# fma


def fma(a: Value, b: Value, c: Value) -> Value:
    """``a * b + c`` with one rounding; integers wrap."""
    with np.errstate(all="ignore"):
        if np.result_type(a, b, c).kind != "f":
            return a * b + c
        return (_fma_f32 if np.asarray(a).dtype == np.float32 else _fma_f64)(a, b, c)


def _fma_f32(a: Value, b: Value, c: Value) -> Value:
    """The product is exact in f64; the sum is rounded to odd, and then to f32."""
    product = np.float64(a) * np.float64(b)
    total = np.asarray(product + np.float64(c))
    return _round_to_odd(total, _sum_error(product, np.float64(c), total)).astype(
        np.float32
    )[()]


def _sum_error(a: Value, b: Value, total: Value) -> Value:
    from_b = total - a
    return (a - (total - from_b)) + (b - from_b)


def _round_to_odd(total: np.ndarray, error: Value) -> np.ndarray:
    """The neighbour of `total` with odd last bit, where `error` is not zero."""
    even = (total.view(np.int64) & 1) == 0
    inexact = np.isfinite(error) & (error != 0) & np.isfinite(total)
    toward = np.nextafter(total, np.where(error > 0, np.inf, -np.inf))
    return np.asarray(np.where(even & inexact, toward, total))


def _fma_f64(a: Value, b: Value, c: Value) -> Value:
    """Error-free sums (Boldo and Melquiond, 2008); exact fractions near the limits."""
    high = a * b
    low = _product_error(a, b, high)
    carry = np.asarray(c + low)
    carry_error = _sum_error(c, low, carry)
    total = np.asarray(high + carry)
    rest = _sum_error(high, carry, total)
    tail = np.asarray(carry_error + rest)
    tail = _round_to_odd(tail, _sum_error(carry_error, rest, tail))
    result = np.asarray(total + tail)
    factors = np.isfinite(a) & np.isfinite(b)
    finite = factors & np.isfinite(c)
    result = np.where(finite, result, np.where(factors, c, high + c))
    unsafe = finite & (_far(a) | _far(b) | _far(c) | _far(high))
    return _exactly(result, np.asarray(unsafe), a, b, c)[()]


def _far(x: Value) -> Value:
    size = np.abs(x)
    return (size > 1e290) | (size < 1e-250)


def _product_error(a: Value, b: Value, product: Value) -> Value:
    (ah, al), (bh, bl) = _halves(a), _halves(b)
    return ((ah * bh - product) + ah * bl + al * bh) + al * bl


def _halves(x: Value) -> tuple[Value, Value]:
    scaled = x * 134217729.0
    high = scaled - (scaled - x)
    return high, x - high


def _exactly(
    result: np.ndarray, unsafe: np.ndarray, a: Value, b: Value, c: Value
) -> np.ndarray:
    if not unsafe.any():
        return result
    a, b, c = np.broadcast_arrays(a, b, c)
    out = np.array(np.broadcast_to(result, np.broadcast_shapes(a.shape, unsafe.shape)))
    for index in np.argwhere(unsafe):
        i = tuple(index)
        out[i] = _fma_fraction(float(a[i]), float(b[i]), float(c[i]))
    return out


def _fma_fraction(a: float, b: float, c: float) -> float:
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        return a * b + c  # the sign of a zero follows from the operands
    try:
        return exact.numerator / exact.denominator
    except OverflowError:
        return np.inf if exact > 0 else -np.inf


# Arithmetic


def _by_sign(a: Value, b: Value, chosen: Value, tie: Value) -> Value:
    """`chosen`, but for equal floats (zeros of either sign) `tie`."""
    return np.asarray(np.where(a == b, tie, chosen))[()]


def minimum(a: Value, b: Value) -> Value:
    """Smaller of two; NaN if either is NaN; -0 is below +0."""
    if np.asarray(a).dtype.kind != "f":
        return np.minimum(a, b)
    return _by_sign(a, b, np.minimum(a, b), np.where(np.signbit(a), a, b))


def maximum(a: Value, b: Value) -> Value:
    """Larger of two; NaN if either is NaN; +0 is above -0."""
    if np.asarray(a).dtype.kind != "f":
        return np.maximum(a, b)
    return _by_sign(a, b, np.maximum(a, b), np.where(np.signbit(a), b, a))


def div(a: Value, b: Value) -> Value:
    """Integer quotient toward zero; 0 where `b` is 0; wraps."""
    with np.errstate(all="ignore"):
        exact = (a - np.fmod(a, _safe(b))) // _safe(b)
        wrapped = np.where(_minus_one(b), 0 - a, exact)
        return np.where(b == 0, np.zeros_like(a), wrapped).astype(a.dtype)[()]


def _safe(b: Value) -> Value:
    return np.where((b == 0) | _minus_one(b), np.ones_like(b), b)


def _minus_one(b: Value) -> Value:
    return (b == -1) if np.asarray(b).dtype.kind == "i" else np.zeros_like(b, np.bool_)


def rem(a: Value, b: Value) -> Value:
    """C remainder, exact for floats; integer by zero gives 0."""
    with np.errstate(all="ignore"):
        if np.asarray(a).dtype.kind == "f":
            return np.fmod(a, b)
        return np.fmod(a, _safe(b)).astype(a.dtype)[()]


def _shift(x: Value, count: Value, shifted: Callable[..., Value], full: int) -> Value:
    bits = np.asarray(x).dtype.itemsize * 8
    small = (count >= 0) & (count < bits)
    kept = np.where(small, count, np.asarray(full, np.asarray(count).dtype))
    return small, np.asarray(shifted(x, kept.astype(np.asarray(x).dtype)))


def shl(x: Value, count: Value) -> Value:
    """Shift left; counts outside of the width give 0."""
    small, out = _shift(x, count, np.left_shift, 0)
    return np.where(small, out, np.zeros_like(out))[()]


def shr(x: Value, count: Value) -> Value:
    """Logical shift right; counts outside of the width give 0."""
    dtype = np.asarray(x).dtype
    unsigned = np.asarray(x).view(f"u{dtype.itemsize}")
    small, out = _shift(unsigned, count, np.right_shift, 0)
    return np.where(small, out, np.zeros_like(out)).view(dtype)[()]


def sar(x: Value, count: Value) -> Value:
    """Arithmetic shift right; counts outside of the width give the sign."""
    dtype = np.asarray(x).dtype
    signed = np.asarray(x).view(f"i{dtype.itemsize}")
    out = _shift(signed, count, np.right_shift, dtype.itemsize * 8 - 1)[1]
    return np.asarray(out).view(dtype)[()]


def bitnot(x: Value) -> Value:
    """Bitwise complement; logical for bool."""
    return np.invert(x)


def popcnt(x: Value) -> Value:
    """Number of set bits, in the dtype of `x`."""
    array = np.asarray(x)
    unsigned = array.view(f"u{array.dtype.itemsize}")
    return np.bitwise_count(unsigned).astype(array.dtype)[()]


def absolute(x: Value) -> Value:
    """Absolute value; of the smallest integer itself."""
    with np.errstate(all="ignore"):
        return np.abs(x)


def negate(x: Value) -> Value:
    """``-x``; integers wrap, bool is unchanged."""
    with np.errstate(all="ignore"):
        return x if np.asarray(x).dtype == np.bool_ else np.negative(x)


# Rounding to and conversion between types


def round_f16(x: Value) -> Value:
    """An f32 (or f64) value rounded to f16, as f32."""
    with np.errstate(all="ignore"):
        return np.asarray(x).astype(np.float16).astype(np.float32)[()]


def round_bf16(x: Value) -> Value:
    """A value rounded to f32 and then to bf16, as f32."""
    with np.errstate(all="ignore"):
        narrow = np.asarray(x).astype(np.float32).astype(ml_dtypes.bfloat16)
        return narrow.astype(np.float32)[()]


def f16_bits(x: Value) -> Value:
    """The u16 bits of an f32 value rounded to f16."""
    return np.asarray(x).astype(np.float16).view(np.uint16)[()]


def bf16_bits(x: Value) -> Value:
    """The u16 bits of an f32 value rounded to bf16."""
    return np.asarray(x).astype(ml_dtypes.bfloat16).view(np.uint16)[()]


def f16_from_bits(bits: Value) -> Value:
    """The f32 value of f16 bits."""
    return np.asarray(bits).view(np.float16).astype(np.float32)[()]


def bf16_from_bits(bits: Value) -> Value:
    """The f32 value of bf16 bits."""
    return np.asarray(bits).view(ml_dtypes.bfloat16).astype(np.float32)[()]


def _cast(dtype: DType) -> Callable[[Value], Value]:
    def cast(x: Value) -> Value:
        with np.errstate(all="ignore"):
            return np.asarray(x).astype(dtype.np)[()]

    cast.__doc__ = f"``x`` as {dtype.long}; integers wrap."
    return cast


def _saturate(dtype: DType) -> Callable[[Value], Value]:
    info = np.iinfo(dtype.np)

    def saturate(x: Value) -> Value:
        x = np.asarray(x)
        limit = x.dtype.type(2.0 ** (dtype.bits - (dtype.kind == "i")))
        low = -limit if dtype.kind == "i" else x.dtype.type(0)
        inside = (x > low) & (x < limit)
        truncated = np.where(inside, x, 0).astype(dtype.np)
        out = np.where(x <= low, info.min, truncated).astype(dtype.np)
        return np.where(x >= limit, info.max, out).astype(dtype.np)[()]

    saturate.__doc__ = f"Float to {dtype.long}, saturating; NaN gives 0."
    return saturate


def _bitcast(dtype: DType) -> Callable[[Value], Value]:
    def bitcast(x: Value) -> Value:
        return np.asarray(x).view(dtype.np)[()]

    bitcast.__doc__ = f"The bits of ``x`` as {dtype.long}."
    return bitcast


_CASTABLE = tuple(d for d in t.ALL_DTYPES if not d.is_complex and d not in _REGISTER)

NAMESPACE: Mapping[str, Any] = MappingProxyType(
    {"INF": np.inf, "NAN": np.nan}
    | {
        f.__name__: f
        for f in (
            *(select, fma, minimum, maximum, div, rem, shl, shr, sar, bitnot, popcnt),
            *(absolute, negate, round_f16, round_bf16, f16_bits, bf16_bits),
            *(f16_from_bits, bf16_from_bits),
            *(np.sqrt, np.floor, np.ceil, np.rint, np.trunc, np.copysign, np.isnan),
        )
    }
    | {("bool_" if d is t.bool_ else d.name): _cast(d) for d in _CASTABLE}
    | {f"saturate_{d.name}": _saturate(d) for d in _CASTABLE if d.is_integer}
    | {f"bitcast_{d.name}": _bitcast(d) for d in _CASTABLE if d is not t.bool_}
)
"""Every name that generated source may use, as NumPy functions and constants."""
