"""Interpolation, integration and differences on grids, under NumPy's names."""

from __future__ import annotations

from typing import Any

from jitflow.errors import ArgumentError, ShapeError
from jitflow.ops import elementwise as e
from jitflow.ops import reductions as r
from jitflow.ops.coerce import as_tensor, normalize_axes, normalize_axis, promote_all
from jitflow.ops.dispatch import builder as b
from jitflow.ops.manipulation import concat, reshape, slice_axis
from jitflow.ops.searching import argsort, as_column, gather_dims, searchsorted
from jitflow.tensor.tensor import Tensor

# `gradient` stays in this module: the package of that name has the name.
__all__ = ["ediff1d", "interp", "trapezoid", "unwrap"]


def interp(
    x: Any,
    xp: Any,
    fp: Any,
    /,
    left: Any = None,
    right: Any = None,
    period: float | None = None,
) -> Tensor:
    """Linear interpolation between the points ``(xp, fp)``.

    Args:
        x: where, of any shape.
        xp: vector, ascending.
        fp: values at `xp`.
        left: value before `xp`; ``fp[0]`` when left out.
        right: value behind `xp`; ``fp[-1]`` when left out.
        period: `x` and `xp` are taken modulo this, and `xp` need not ascend.

    Raises:
        ShapeError: if `xp` and `fp` are not vectors of one size with elements.
    """
    x, xp, fp = promote_all("interp", x, xp, fp, inexact=True)
    if xp.ndim != 1 or xp.shape != fp.shape or xp.shape[0] == 0:
        raise ShapeError("interp: two vectors", operands={"xp": xp, "fp": fp})
    if period is not None:
        x, xp, fp = _periodic(x, xp, fp, period)
    last = xp.shape[0] - 1
    place = e.subtract(searchsorted(xp, x, side="right"), 1)
    low = e.clip(place, 0, max(last - 1, 0) if isinstance(last, int) else last - 1)
    high = e.minimum(e.add(low, 1), last)
    (x0, x1), (f0, f1) = ([_at(v, i) for i in (low, high)] for v in (xp, fp))
    width = e.subtract(x1, x0)
    flat = e.equal(width, 0)
    share = e.divide(e.subtract(x, x0), e.where(flat, 1, width))
    inside = e.add(f0, e.multiply(share, e.subtract(f1, f0)))
    inside = e.where(e.equal(x, x0), f0, e.where(e.equal(x, x1), f1, inside))
    first, end = fp[0] if left is None else left, fp[-1] if right is None else right
    result = e.where(
        e.less(x, xp[0]), first, e.where(e.greater(x, xp[-1]), end, inside)
    )
    return e.where(e.isnan(x), x, result)


def _at(v: Tensor, places: Tensor) -> Tensor:
    return gather_dims(v, as_column(places), (0,))


def _periodic(x: Tensor, xp: Tensor, fp: Tensor, period: float) -> Any:
    if period == 0:
        raise ArgumentError("interp: period is not 0")
    span = max(period, -period)
    x, xp = e.remainder(x, span), e.remainder(xp, span)
    order = argsort(xp)
    xp, fp = _at(xp, order), _at(fp, order)
    xp = concat([e.subtract(xp[-1:], span), xp, e.add(xp[:1], span)])
    return x, xp, concat([fp[-1:], fp, fp[:1]])


def trapezoid(y: Any, x: Any = None, /, *, dx: Any = 1.0, axis: int = -1) -> Tensor:
    """Integral along `axis` by the trapezoidal rule, at points `x` or `dx` apart."""
    y = promote_all("trapezoid", y, inexact=True)[0]
    position = normalize_axis(axis, y.ndim, "trapezoid")
    size = y.shape[position]
    if x is not None:
        points = as_tensor(x)
        width = r.diff(points, axis=position if points.ndim == y.ndim else -1)
        if points.ndim == 1:
            width = reshape(width, (-1, *(1,) * (y.ndim - position - 1)))
    else:
        width = dx
    low, high = slice_axis(y, position, 0, size - 1), slice_axis(y, position, 1, size)
    areas = e.multiply(e.multiply(e.add(low, high), width), 0.5)
    return r.sum(areas, axis=position)


def ediff1d(x: Any, /, *, to_end: Any = None, to_begin: Any = None) -> Tensor:
    """Differences of neighbours of the flattened `x`, between two other parts."""
    x = reshape(as_tensor(x), (-1,))
    parts = [to_begin, r.diff(x), to_end]
    chosen = [reshape(as_tensor(p), (-1,)) for p in parts if p is not None]
    return concat([b.cast(p, x.dtype) for p in chosen])


def gradient(f: Any, /, *spacing: Any, axis: Any = None) -> Any:
    """Slopes by central differences, one-sided at the ends.

    Args:
        f: values on a grid.
        spacing: nothing (1), one number for all axes, or for each axis a number or
            the vector of its coordinates.
        axis: an axis, several, or all when left out.

    Returns:
        A tensor like `f`, or a list of one per axis.

    Raises:
        ArgumentError: if `spacing` does not fit, or an axis has fewer than 2 points.
    """
    f = promote_all("gradient", f, inexact=True)[0]
    axes = normalize_axes(axis, f.ndim, "gradient")
    steps = (
        spacing * len(axes) if len(spacing) == 1 else (spacing or (1.0,) * len(axes))
    )
    if len(steps) != len(axes):
        raise ArgumentError(f"gradient: {len(steps)} spacings for {len(axes)} axes")
    slopes = [_slope(f, a, h) for a, h in zip(axes, steps, strict=True)]
    return slopes[0] if len(slopes) == 1 else slopes


def _slope(f: Tensor, axis: int, step: Any) -> Tensor:
    size = f.shape[axis]
    if size < 2:
        raise ArgumentError(f"gradient: axis {axis} has {size} points, not 2")
    step = as_tensor(step, like=f.dtype)
    if step.ndim:
        widths = reshape(r.diff(step), (-1, *(1,) * (f.ndim - axis - 1)))
    else:
        widths = b.broadcast(step, (size - 1, *(1,) * (f.ndim - axis - 1)))
    rise = r.diff(f, axis=axis)
    sides = e.divide(rise, widths)  # slope of each interval
    low, high = (
        slice_axis(sides, axis, 0, size - 2),
        slice_axis(sides, axis, 1, size - 1),
    )
    before, behind = widths[: size - 2], widths[1:]
    weighted = e.add(e.multiply(low, behind), e.multiply(high, before))
    inner = e.divide(weighted, e.add(before, behind))
    ends = slice_axis(sides, axis, 0, 1), slice_axis(sides, axis, size - 2, size - 1)
    return concat([ends[0], inner, ends[1]], axis=axis)


def unwrap(x: Any, /, *, axis: int = -1, period: float = 6.283185307179586) -> Tensor:
    """Angles with jumps of more than half a `period` undone along `axis`."""
    x = promote_all("unwrap", x, inexact=True)[0]
    position = normalize_axis(axis, x.ndim, "unwrap")
    steps = r.diff(x, axis=position)
    half = period / 2
    wrapped = e.subtract(e.remainder(e.add(steps, half), period), half)
    edge = e.logical_and(e.equal(wrapped, -half), e.greater(steps, 0))
    wrapped = e.where(edge, half, wrapped)
    fix = e.where(e.less(e.abs(steps), half), 0, e.subtract(wrapped, steps))
    moved = r.cumulative_sum(fix, axis=position)
    size = x.shape[position]
    first = slice_axis(x, position, 0, 1)
    rest = e.add(slice_axis(x, position, 1, size), moved)
    return concat([first, rest], axis=position)
