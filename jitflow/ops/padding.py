"""`pad` with all of NumPy's modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitflow.errors import ArgumentError
from jitflow.ops import elementwise as e
from jitflow.ops import reductions as r
from jitflow.ops.coerce import as_tensor
from jitflow.ops.creation import linspace
from jitflow.ops.dispatch import builder as b
from jitflow.ops.manipulation import concat, flip, repeat, reshape, slice_axis
from jitflow.ops.searching import take
from jitflow.ops.statistics import median
from jitflow.tensor.tensor import Tensor

__all__ = ["pad"]

_STATISTICS: dict[str, Callable[..., Tensor]] = {
    "maximum": r.max,
    "minimum": r.min,
    "mean": r.mean,
    "median": median,
}
_MODES = (
    *("constant", "edge", "reflect", "symmetric", "wrap", "linear_ramp", "empty"),
    *_STATISTICS,
)


def pad(
    x: Any,
    /,
    pad_width: Any,
    mode: str = "constant",
    *,
    constant_values: Any = 0,
    end_values: Any = 0,
    stat_length: int | None = None,
) -> Tensor:
    """`x` with elements added around it.

    Args:
        x: any tensor.
        pad_width: ``n``, ``(before, after)``, or one pair per dimension.
        mode: ``"constant"``; ``"reflect"`` (without the edge), ``"symmetric"`` (with
            it), ``"wrap"`` or ``"edge"``; ``"linear_ramp"`` down to `end_values`;
            ``"maximum"``, ``"minimum"``, ``"mean"`` or ``"median"`` of the elements
            nearest to the edge; ``"empty"``, which is constant 0.
        constant_values: for mode ``"constant"``; in the forms of `pad_width`.
        end_values: for mode ``"linear_ramp"``; in the forms of `pad_width`.
        stat_length: how many elements statistics take; all when left out.

    Raises:
        ArgumentError: for widths or a mode that do not fit.
    """
    x = as_tensor(x)
    widths = _widths(pad_width, x.ndim)
    if mode not in _MODES:
        raise ArgumentError(f"pad: mode is one of {_MODES}, given {mode!r}")
    if mode == "constant" and not hasattr(constant_values, "__len__"):
        return _constant(x, widths, constant_values)
    if mode == "empty":
        return _constant(x, widths, 0)
    if mode == "constant":
        ends = _pairs(constant_values, x.ndim, "constant_values")
    else:
        ends = _pairs(end_values, x.ndim, "end_values")
    for axis, (low, high) in enumerate(widths):
        if not low and not high:
            continue
        if mode in _STATISTICS:
            parts = _statistic(x, axis, (low, high), mode, stat_length)
        elif mode in ("constant", "linear_ramp"):
            parts = _toward(x, axis, (low, high), ends[axis], mode)
        else:
            x = _from_inside(x, axis, low, high, mode)
            continue
        x = concat([parts[0], x, parts[1]], axis=axis)
    return x


def _pairs(value: Any, rank: int, name: str) -> list[tuple[Any, Any]]:
    """A scalar, one pair or a pair per dimension as pairs."""
    if not hasattr(value, "__len__"):
        return [(value, value)] * rank
    pairs = [tuple(p) if hasattr(p, "__len__") else p for p in value]
    if len(pairs) == 2 and not any(isinstance(p, tuple) for p in pairs):
        pairs = [tuple(pairs)]
    if len(pairs) == 1:
        one = pairs[0]
        pairs = [one if isinstance(one, tuple) else (one, one)] * rank
    pairs = [p * 2 if isinstance(p, tuple) and len(p) == 1 else p for p in pairs]
    valid = all(isinstance(p, tuple) and len(p) == 2 for p in pairs)
    if len(pairs) != rank or not valid:
        raise ArgumentError(f"pad: {name} {value!r} does not fit rank {rank}")
    return pairs


def _widths(pad_width: Any, rank: int) -> list[tuple[int, int]]:
    if hasattr(pad_width, "tolist"):
        pad_width = pad_width.tolist()
    pairs = _pairs(pad_width, rank, "pad_width")
    whole = all(hasattr(n, "__index__") and n >= 0 for pair in pairs for n in pair)
    if not whole:
        raise ArgumentError(f"pad: pad_width {pad_width!r} is not of sizes")
    return [(int(low), int(high)) for low, high in pairs]


def _constant(x: Tensor, widths: list[tuple[int, int]], value: Any) -> Tensor:
    filler = b.cast(as_tensor(value, like=x.dtype), x.dtype)
    low, high = (tuple(w[side] for w in widths) for side in (0, 1))
    return b.pad(x, filler, low=low, high=high, interior=(0,) * x.ndim)


def _statistic(
    x: Tensor, axis: int, widths: tuple[int, int], mode: str, length: int | None
) -> list[Tensor]:
    size = x.shape[axis]
    count = size if length is None else min(length, size)
    ends = slice_axis(x, axis, 0, count), slice_axis(x, axis, size - count, size)
    parts = []
    for width, end in zip(widths, ends, strict=True):
        value = _STATISTICS[mode](end, axis=axis, keepdims=True)
        value = value if x.dtype.is_inexact else e.round(value)
        parts.append(repeat(b.cast(value, x.dtype), width, axis=axis))
    return parts


def _toward(
    x: Tensor, axis: int, widths: tuple[int, int], ends: Any, mode: str
) -> list[Tensor]:
    size = x.shape[axis]
    edges = slice_axis(x, axis, 0, 1), slice_axis(x, axis, size - 1, size)
    parts = []
    for side, (width, end, edge) in enumerate(zip(widths, ends, edges, strict=True)):
        target = b.cast(as_tensor(end, like=x.dtype), x.dtype)
        wide = repeat(b.broadcast(target, edge.shape), width, axis=axis)
        if mode == "linear_ramp" and width:
            share = linspace(0, 1, width, endpoint=False, dtype="float64")
            share = reshape(share, (-1, *(1,) * (x.ndim - axis - 1)))
            ramp = e.add(wide, e.multiply(e.subtract(edge, wide), share))
            ramp = ramp if x.dtype.is_inexact else e.trunc(ramp)
            wide = b.cast(flip(ramp, axis=axis) if side else ramp, x.dtype)
        parts.append(wide)
    return parts


def _from_inside(x: Tensor, axis: int, low: int, high: int, mode: str) -> Tensor:
    size = x.shape[axis]
    skip = int(mode == "reflect")
    if mode == "edge":
        first, last = slice_axis(x, axis, 0, 1), slice_axis(x, axis, size - 1, size)
        parts = [repeat(first, low, axis=axis), x, repeat(last, high, axis=axis)]
    elif isinstance(size, int) and max(low, high) > size - skip:
        if size == 0:
            raise ArgumentError(f"pad: axis {axis} is empty", operands={"x": x})
        # Once around is not enough: NumPy's order of positions.
        table = np.pad(np.arange(size), (low, high), mode=mode)  # type: ignore[call-overload]
        return take(x, table, axis=axis)
    elif mode == "wrap":
        first, last = (
            slice_axis(x, axis, size - low, size),
            slice_axis(x, axis, 0, high),
        )
        parts = [first, x, last]
    else:
        first = slice_axis(x, axis, skip, skip + low)
        last = slice_axis(x, axis, size - skip - high, size - skip)
        parts = [flip(first, axis=axis), x, flip(last, axis=axis)]
    kept = [p for p, n in zip(parts, (low, 1, high), strict=True) if n]
    return concat(kept, axis=axis)
