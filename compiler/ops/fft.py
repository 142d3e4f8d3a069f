"""Discrete Fourier transforms over the last one to three dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compiler.ir.dims import Shape
from compiler.ir.op import Kind, op
from compiler.ir.types import TensorType
from compiler.ops.common import (
    complex_dtype,
    fail,
    move_axis,
    real_dtype,
    require_kind,
)

Ints = tuple[int, ...]

_TRANSFORMS: dict[str, Callable[..., Any]] = {
    "fft": lambda x, n, axes: np.fft.fftn(x, axes=axes),
    "ifft": lambda x, n, axes: np.fft.ifftn(x, axes=axes),
    "rfft": lambda x, n, axes: np.fft.rfftn(x, axes=axes),
    "irfft": lambda x, n, axes: np.fft.irfftn(x, s=n, axes=axes),
}


def _half(length: int) -> int:
    """Number of the frequencies of a real signal that are kept."""
    return length // 2 + 1


def _expected_tail(kind: str, length: Ints) -> Ints:
    """What the operand's last dimensions must be."""
    return (*length[:-1], _half(length[-1])) if kind == "irfft" else length


def _extend(b: Any, x: Any, last: int) -> Any:
    """`x` with zeros (or a cut) so that its last dimension has size `last`."""
    type_ = b.type_of(x)
    none = (0,) * type_.rank
    high = (*none[:-1], last - type_.shape[-1])
    zero = b.scalar(0, type_.dtype)
    return b.pad(x, zero, low=none, high=high, interior=none)


def _rfft_gradient(b: Any, g: Any, length: Ints) -> Any:
    """The real part of the full transform of the cotangent."""
    return b.real(b.fft(_extend(b, g, length[-1]), kind="fft", length=length))


def _irfft_gradient(b: Any, g: Any, length: Ints) -> Any:
    """Frequencies that stand for a conjugate pair count twice."""
    full = b.fft(b.complex(g, b.zeros_like(g)), kind="ifft", length=length)
    kept = _extend(b, full, _half(length[-1]))
    counts = np.full(_half(length[-1]), 2, b.type_of(kept).dtype.np)
    counts[0] = 1
    if length[-1] % 2 == 0:
        counts[-1] = 1
    return b.multiply(kept, b.broadcast(b.constant(counts), b.type_of(kept).shape))


@op("fft", kind=Kind.EXTERN, attrs=("kind", "length"))
class Fft:
    """Fourier transform over the last ``len(length)`` dimensions. `kind` is "fft",
    "ifft" (complex to complex, the inverse divides by the number of elements), "rfft"
    (real to the non-redundant half of the last dimension) or "irfft" (back; `length` is
    that of the real result).

    C1: `kind` is known, and the dtype is complex (for "rfft" f32 or f64).
    C2: `length` has one to three positive entries, not more than dimensions.
    C3: the last dimensions of the operand fit `length`.
    """

    def infer(x: TensorType, *, kind: str, length: Ints) -> TensorType:
        if kind not in _TRANSFORMS:
            fail("fft", "C1", f"unknown kind {kind!r}")
        require_kind("fft", "C1", x, "f" if kind == "rfft" else "c")
        if not 1 <= len(length) <= min(3, x.rank) or any(n < 1 for n in length):
            fail("fft", "C2", f"length {length} for {x}")
        tail: Shape = x.shape[-len(length) :]
        if tail != _expected_tail(kind, length):
            fail("fft", "C3", f"length {length} for {x}")
        if kind == "rfft":
            dtype = complex_dtype(x.dtype)
            if dtype is None:
                fail("fft", "C1", f"rfft takes f32 or f64, given {x}")
            return TensorType(dtype, (*x.shape[:-1], _half(length[-1])))
        if kind == "irfft":
            return TensorType(real_dtype(x.dtype), (*x.shape[:-1], length[-1]))
        return x

    def evaluate(x: np.ndarray, *, kind: str, length: Ints) -> np.ndarray:
        axes = tuple(range(x.ndim - len(length), x.ndim))
        if x.size == 0:  # an empty batch; NumPy's loop wants at least one
            tail = (_half(length[-1]),) if kind == "rfft" else length[-1:]
            single = x.dtype in (np.float32, np.complex64)
            real = np.float32 if single else np.float64
            wide = np.complex64 if single else np.complex128
            return np.zeros((*x.shape[:-1], *tail), real if kind == "irfft" else wide)
        return np.ascontiguousarray(_TRANSFORMS[kind](x, length, axes))

    def vjp(b: Any, g: Any, y: Any, x: Any, *, kind: str, length: Ints) -> tuple[Any]:
        if kind == "rfft":
            return (_rfft_gradient(b, g, length),)
        if kind == "irfft":
            return (_irfft_gradient(b, g, length),)
        return (b.fft(g, kind=kind, length=length),)  # a symmetric matrix

    def jvp(b: Any, ts: Any, y: Any, x: Any, **attrs: Any) -> Any:
        return None if ts[0] is None else b.fft(ts[0], **attrs)

    def batch(b: Any, xs: Any, dims: Sequence[Any], **attrs: Any) -> Any:
        return b.fft(move_axis(b, xs[0], dims[0], 0), **attrs), 0

    emit = None
