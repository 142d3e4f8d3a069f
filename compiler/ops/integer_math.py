"""Integer division, remainder and power with the meaning kernels give them.

Division truncates toward zero and by zero gives 0, so does the remainder; arithmetic
wraps. NumPy's own functions floor, raise, or leave the smallest integer over -1 open.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def _safe_divisor(b: np.ndarray) -> np.ndarray:
    bad = b == 0
    if b.dtype.kind == "i":
        bad = bad | (b == -1)
    return np.where(bad, b.dtype.type(1), b)


def divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a / b`` truncated; 0 where b is 0; the smallest integer over -1 is itself."""
    safe = _safe_divisor(b)
    quotient = np.floor_divide(a - np.fmod(a, safe), safe)
    if a.dtype.kind == "i":
        quotient = np.where(b == -1, np.negative(a), quotient)
    return np.where(b == 0, a.dtype.type(0), quotient)


def remainder(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a - b * divide(a, b)`` with the sign of `a`; 0 where b is 0."""
    return np.where(b == 0, a.dtype.type(0), np.fmod(a, _safe_divisor(b)))


def power(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a ** b`` wrapping; a negative exponent gives ``divide(1, a ** -b)``."""
    if a.dtype.kind == "u":
        return np.power(a, b)
    whole = np.power(a, np.where(b < 0, b.dtype.type(0), b))
    odd = np.bitwise_and(b, b.dtype.type(1)) == 1
    unit = np.where(odd, a, np.abs(a))
    zero = a.dtype.type(0)
    inverse = np.where(np.abs(a) == 1, unit, zero)
    return np.where(b < 0, inverse, whole).astype(a.dtype)


def emit_power(k: Any, a: Any, b: Any) -> Any:
    """`power` by repeated squaring, unrolled over the bits of the exponent."""
    one, zero = k.like(1, a), k.like(0, a)
    signed = a.dtype.kind == "i"
    result, square = one, a
    for bit in range(a.dtype.bits - signed):
        mask = k.binary("and", k.binary("shr", b, k.like(bit, b)), one)
        take = k.binary("ne", mask, zero)
        result = k.select(take, k.mul(result, square), result)
        square = k.mul(square, square)
    if not signed:
        return result
    minus = k.like(-1, a)
    odd = k.binary("ne", k.binary("and", b, one), zero)
    unit = k.select(odd, minus, one)
    inverse = k.select(k.binary("eq", a, minus), unit, zero)
    inverse = k.select(k.binary("eq", a, one), one, inverse)
    return k.select(k.binary("lt", b, zero), inverse, result)
