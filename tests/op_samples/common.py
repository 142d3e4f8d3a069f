"""The sample record and the arrays samples are made of."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from compiler.ir.types import dtype_of

FLOATS = ("f16", "bf16", "f32", "f64")
COMPLEX = ("c64", "c128")
SIGNED = ("i8", "i16", "i32", "i64")
UNSIGNED = ("u8", "u16", "u32", "u64")
INTS = SIGNED + UNSIGNED
SHAPES: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (5,), (2, 3), (3, 0, 2), (1, 4))

NASTY = (
    *(0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -3.5, 1e-3, 89.0, -104.0, 3e38, -3e38),
    *(np.inf, -np.inf, np.nan, 1e-40, -1e-45, 1.1754944e-38, 0.99999994, 1.0000001),
)


@dataclass
class Sample:
    """One application of an op.

    Attributes:
        inputs: the operand arrays.
        attrs: the attributes.
        reference: the same computation from other NumPy functions, or None.
        grad: check derivatives with finite differences where the operands are f64 or
            c128 (False at kinks).
        ulp: tolerance against the reference, in units of the result's last place.
        atol: absolute tolerance, where terms cancel.
        batch: check the batch rule.
    """

    inputs: Sequence[np.ndarray]
    attrs: dict[str, Any] = field(default_factory=dict)
    reference: Callable[..., Any] | None = None
    grad: bool = True
    ulp: float = 2.0
    atol: float = 0.0
    batch: bool = True


def random_array(
    dtype: str, shape: tuple[int, ...], seed: str = "", low: float = -2, high: float = 2
) -> np.ndarray:
    """Reproducible values between `low` and `high` (integers: a wider spread)."""
    rng = np.random.default_rng(zlib.crc32(f"{dtype}{shape}{seed}".encode()))
    kind = dtype_of(dtype).kind
    if kind == "b":
        return rng.integers(0, 2, shape).astype(bool).reshape(shape)
    if kind in "iu":
        first = max(0 if kind == "u" else -9, -9)
        return rng.integers(first, 10, shape).astype(dtype_of(dtype).np).reshape(shape)
    values = rng.uniform(low, high, shape)
    if kind == "c":
        values = values + 1j * rng.uniform(low, high, shape)
    return np.asarray(values).astype(dtype_of(dtype).np).reshape(shape)


def nasty(dtype: str) -> np.ndarray:
    """Zeros, infinities, NaN and denormals; for integers the extremes."""
    np_dtype = dtype_of(dtype).np
    if np_dtype.kind in "iu":
        info = np.iinfo(np_dtype)
        values = [0, 1, 2, 3, 7, info.max, info.max - 1, info.min, info.min + 1]
        return np.array(
            values + ([-1, -2, -7] if np_dtype.kind == "i" else []), np_dtype
        )
    with np.errstate(all="ignore"):
        return np.array(NASTY).astype(np_dtype)


def nasty_pairs(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of nasty values."""
    values = nasty(dtype)
    p, q = np.meshgrid(values, values, indexing="ij")
    return p.ravel().copy(), q.ravel().copy()


def wide(function: Callable[..., Any]) -> Callable[..., Any]:
    """Apply a NumPy function to 16-bit floats through float32."""

    def apply(*xs: np.ndarray, **attrs: Any) -> np.ndarray:
        half = [x.dtype.itemsize == 2 and x.dtype.kind in "fV" for x in xs]
        if not any(half):
            return np.asarray(function(*xs, **attrs))
        result = np.asarray(function(*(x.astype(np.float32) for x in xs), **attrs))
        return result.astype(xs[0].dtype) if result.dtype == np.float32 else result

    return apply
