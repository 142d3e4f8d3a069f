"""The transforms. One op record does up to three dimensions at once, the last ones.

Real input of a complex transform becomes complex. float16 and bfloat16 are computed as
float32. `norm` says which direction is divided by what: ``"backward"`` (the inverse by
n), ``"forward"`` (the forward one by n) or ``"ortho"`` (both by the root of n).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jitflow.config import settings
from jitflow.dtypes import complex64, complex128, float32
from jitflow.errors import ArgumentError, DTypeError
from jitflow.ops import elementwise as e
from jitflow.ops.coerce import as_tensor, normalize_axis
from jitflow.ops.dispatch import builder as b
from jitflow.ops.manipulation import moveaxis, slice_axis
from jitflow.tensor.tensor import Tensor

_SWAPPED = {"backward": "forward", "forward": "backward", "ortho": "ortho"}
_MOST = 3  # dimensions that the op transforms at once


def _real(name: str, x: Any) -> Tensor:
    x = as_tensor(x)
    if x.dtype.is_complex:
        raise DTypeError(f"{name}: takes real tensors, given {x.dtype}")
    x = x if x.dtype.is_float else b.cast(x, settings.float_dtype)
    return b.cast(x, float32) if x.dtype.itemsize == 2 else x


def _complex(x: Any) -> Tensor:
    x = as_tensor(x)
    if x.dtype.is_complex:
        return x
    x = x if x.dtype.is_float else b.cast(x, settings.float_dtype)
    return b.cast(x, complex128 if x.dtype.itemsize == 8 else complex64)


def _axes(name: str, x: Tensor, s: Any, axes: Any) -> tuple[int, ...]:
    if axes is None:
        count = x.ndim if s is None else len(s)
        axes = range(x.ndim - count, x.ndim)
    chosen = tuple(normalize_axis(a, x.ndim, name) for a in axes)
    if s is not None and len(s) != len(chosen):
        raise ArgumentError(f"{name}: s {s} and axes {axes} do not pair up")
    if len(set(chosen)) != len(chosen):
        raise ArgumentError(f"{name}: axes {tuple(axes)} name one axis twice")
    return chosen


def _lengths(
    name: str, x: Tensor, s: Any, axes: Sequence[int], half: bool
) -> tuple[int, ...]:
    """Number of points along each axis; `half` if the last one holds half of them."""
    sizes = [x.shape[a] for a in axes]
    if half and sizes:
        sizes[-1] = 2 * (sizes[-1] - 1)
    if s is not None:
        sizes = [
            d if n is None or n == -1 else n for n, d in zip(s, sizes, strict=True)
        ]
    if any(n < 1 for n in sizes):
        raise ArgumentError(f"{name}: {sizes} points", operands={"x": x})
    return tuple(sizes)


def _resized(x: Tensor, axis: int, size: int) -> Tensor:
    """Cut, or filled up with zeros at the end."""
    have = x.shape[axis]
    if have == size:
        return x
    if have > size:
        return slice_axis(x, axis, 0, size)
    high = tuple(size - have if a == axis else 0 for a in range(x.ndim))
    none = (0,) * x.ndim
    return b.pad(x, b.scalar(0, x.dtype), low=none, high=high, interior=none)


def _factor(name: str, norm: str, points: int, inverse: bool) -> float:
    """What the result of the op, which follows "backward", is multiplied by."""
    if norm not in _SWAPPED:
        raise ArgumentError(
            f"{name}: norm is 'backward', 'ortho' or 'forward', given {norm!r}"
        )
    if norm == "ortho":
        return math.sqrt(points) if inverse else 1 / math.sqrt(points)
    if norm == "backward":
        return 1.0
    return float(points) if inverse else 1 / points


def _groups(count: int) -> list[slice]:
    """The axes from the last to the first, a few at a time."""
    ends = range(count, 0, -_MOST)
    return [slice(max(end - _MOST, 0), end) for end in ends]


def _apply(x: Tensor, kind: str, axes: Sequence[int], lengths: Sequence[int]) -> Tensor:
    last = tuple(range(x.ndim - len(axes), x.ndim))
    moved = moveaxis(x, tuple(axes), last)
    return moveaxis(b.fft(moved, kind=kind, length=tuple(lengths)), last, tuple(axes))


def _transform(name: str, x: Tensor, s: Any, axes: Any, norm: str, kind: str) -> Tensor:
    axes = _axes(name, x, s, axes)
    lengths = _lengths(name, x, s, axes, kind == "irfft")
    inverse = kind.startswith("i")
    factor = _factor(name, norm, math.prod(lengths), inverse)
    if not axes:
        return x
    for i, (axis, size) in enumerate(zip(axes, lengths, strict=True)):
        halved = kind == "irfft" and i == len(axes) - 1
        x = _resized(x, axis, size // 2 + 1 if halved else size)
    x = _in_groups(x, kind, axes, lengths)
    return x if factor == 1 else e.multiply(x, factor)


def _in_groups(x: Tensor, kind: str, axes: Any, lengths: Any) -> Tensor:
    """The last group is the one that changes between real and complex numbers."""
    first, *others = _groups(len(axes))
    rest = "ifft" if kind.startswith("i") else "fft"
    if kind == "irfft":  # back to real numbers at the end
        for part in others:
            x = _apply(x, rest, axes[part], lengths[part])
        return _apply(x, kind, axes[first], lengths[first])
    x = _apply(x, kind, axes[first], lengths[first])
    for part in others:
        x = _apply(x, rest, axes[part], lengths[part])
    return x


def _single(n: int | None) -> tuple[int, ...] | None:
    return None if n is None else (n,)


def fft(
    x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward"
) -> Tensor:
    """``X[k] = sum_j x[j] exp(-2 pi i j k / n)`` along `axis`.

    Args:
        x: real or complex.
        n: number of points: `x` is cut, or filled up with zeros.
        axis: where.
        norm: see the module.

    Raises:
        ArgumentError: if `n` is not positive, or for an unknown `norm`.
    """
    return _transform("fft", _complex(x), _single(n), (axis,), norm, "fft")


def ifft(
    x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward"
) -> Tensor:
    """The inverse of `fft`."""
    return _transform("ifft", _complex(x), _single(n), (axis,), norm, "ifft")


def fftn(
    x: Any, /, *, s: Any = None, axes: Any = None, norm: str = "backward"
) -> Tensor:
    """`fft` along several axes.

    Args:
        x: real or complex.
        s: number of points along each of `axes`.
        axes: where; all, or the last ``len(s)``, when left out.
        norm: see the module.
    """
    return _transform("fftn", _complex(x), s, axes, norm, "fft")


def ifftn(
    x: Any, /, *, s: Any = None, axes: Any = None, norm: str = "backward"
) -> Tensor:
    """The inverse of `fftn`."""
    return _transform("ifftn", _complex(x), s, axes, norm, "ifft")


def rfft(
    x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward"
) -> Tensor:
    """The first ``n // 2 + 1`` points of `fft` of real `x`; the others mirror them."""
    return _transform("rfft", _real("rfft", x), _single(n), (axis,), norm, "rfft")


def irfft(
    x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward"
) -> Tensor:
    """The inverse of `rfft`; `n` is ``2 * (size - 1)`` when left out."""
    return _transform("irfft", _complex(x), _single(n), (axis,), norm, "irfft")


def rfftn(
    x: Any, /, *, s: Any = None, axes: Any = None, norm: str = "backward"
) -> Tensor:
    """`fftn` of real `x`, with half of the last of `axes`."""
    return _transform("rfftn", _real("rfftn", x), s, axes, norm, "rfft")


def irfftn(
    x: Any, /, *, s: Any = None, axes: Any = None, norm: str = "backward"
) -> Tensor:
    """The inverse of `rfftn`; the last of `s` is ``2 * (size - 1)`` when left out."""
    return _transform("irfftn", _complex(x), s, axes, norm, "irfft")


def _swapped(name: str, norm: str) -> str:
    if norm not in _SWAPPED:
        _factor(name, norm, 1, False)
    return _SWAPPED[norm]


def hfft(
    x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward"
) -> Tensor:
    """`fft` of a Hermitian signal, of which `x` is the first half; the result is real.

    `n` is ``2 * (size - 1)`` when left out.
    """
    turned = e.conj(_complex(x))
    return irfft(turned, n=n, axis=axis, norm=_swapped("hfft", norm))


def ihfft(
    x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward"
) -> Tensor:
    """The inverse of `hfft`: half of a Hermitian signal."""
    real = _real("ihfft", x)
    return e.conj(rfft(real, n=n, axis=axis, norm=_swapped("ihfft", norm)))


def fft2(
    x: Any, /, *, s: Any = None, axes: Any = (-2, -1), norm: str = "backward"
) -> Tensor:
    """`fftn` over two axes."""
    return fftn(x, s=s, axes=axes, norm=norm)


def ifft2(
    x: Any, /, *, s: Any = None, axes: Any = (-2, -1), norm: str = "backward"
) -> Tensor:
    """`ifftn` over two axes."""
    return ifftn(x, s=s, axes=axes, norm=norm)


def rfft2(
    x: Any, /, *, s: Any = None, axes: Any = (-2, -1), norm: str = "backward"
) -> Tensor:
    """`rfftn` over two axes."""
    return rfftn(x, s=s, axes=axes, norm=norm)


def irfft2(
    x: Any, /, *, s: Any = None, axes: Any = (-2, -1), norm: str = "backward"
) -> Tensor:
    """`irfftn` over two axes."""
    return irfftn(x, s=s, axes=axes, norm=norm)
