"""Windows of an array: slice, pad, dynamic_slice and dynamic_update_slice.

See `compiler.ops.indexing` for what ``emit`` receives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compiler.ir import types as t
from compiler.ir.dims import Dim, Shape, exact_div
from compiler.ir.op import Kind, op
from compiler.ir.types import TensorType
from compiler.ops.common import (
    Axis,
    align_batch,
    batch_size,
    fail,
    insert_at,
    move_axis,
    or_zeros,
    with_batch_at,
)
from compiler.ops.gathering import window_indices

Ints = tuple[int, ...]


def _check_rank(name: str, x: TensorType, *attrs: tuple[Any, ...]) -> None:
    if any(len(a) != x.rank for a in attrs):
        fail(name, "C1", f"attributes {attrs} need one entry per dimension of {x}")


def _slice_extent(start: Dim, limit: Dim, stride: int) -> Dim:
    span = limit - start
    if isinstance(span, int):
        return -(-span // stride)
    if stride == 1:
        return span
    extent = exact_div(span, stride)
    return (
        fail("slice", "C3", f"stride {stride} over {span}")
        if extent is None
        else extent
    )


@op("slice", kind=Kind.INDEXING, attrs=("limit", "start", "strides"))
class Slice:
    """Elements ``start, start + stride, ...`` below ``limit`` along each dimension.

    C1: the attributes have one entry per dimension.
    C2: ``0 <= start <= limit <= size`` where they are numbers, and ``stride >= 1``.
    C3: a symbolic span is divisible by its stride.
    """

    def infer(
        x: TensorType, *, start: Shape, limit: Shape, strides: Ints
    ) -> TensorType:
        _check_rank("slice", x, start, limit, strides)
        for lo, hi, stride, size in zip(start, limit, strides, x.shape, strict=True):
            bounds = [d for d in (0, lo, hi, size) if isinstance(d, int)]
            if bounds != sorted(bounds) or stride < 1:
                fail("slice", "C2", f"[{start}:{limit}:{strides}] does not fit {x}")
        spans = zip(start, limit, strides, strict=True)
        return x.with_shape(tuple(_slice_extent(*span) for span in spans))

    def evaluate(x: np.ndarray, *, start: Ints, limit: Ints, strides: Ints) -> Any:
        spans = zip(start, limit, strides, strict=True)
        return np.array(x[tuple(slice(*span) for span in spans)], order="C")

    def vjp(
        b: Any, g: Any, y: Any, x: Any, *, start: Shape, limit: Shape, strides: Ints
    ) -> tuple[Any]:
        sizes, outs = b.type_of(x).shape, b.type_of(y).shape
        high = tuple(
            # an empty window covers nothing: it has no last element
            size - lo - (0 if out == 0 else (out - 1) * stride + 1)
            for size, lo, out, stride in zip(sizes, start, outs, strides, strict=True)
        )
        zero = b.scalar(0, b.type_of(g).dtype)
        interior = tuple(s - 1 for s in strides)
        return (b.pad(g, zero, low=start, high=high, interior=interior),)

    def jvp(b: Any, ts: Any, y: Any, x: Any, **attrs: Any) -> Any:
        return None if ts[0] is None else b.slice(ts[0], **attrs)

    def batch(
        b: Any,
        xs: Any,
        dims: Sequence[Any],
        *,
        start: Shape,
        limit: Shape,
        strides: Ints,
    ) -> Any:
        d = dims[0]
        size = b.type_of(xs[0]).shape[d]
        return b.slice(
            xs[0],
            start=insert_at(start, d, 0),
            limit=insert_at(limit, d, size),
            strides=insert_at(strides, d, 1),
        ), d

    def emit(
        k: Any,
        index: Any,
        in_types: Any,
        out_type: Any,
        *,
        start: Shape,
        limit: Shape,
        strides: Ints,
    ) -> Any:
        spans = zip(index, start, strides, strict=True)
        return k.read(0, tuple(i * stride + lo for i, lo, stride in spans))


def _dilated(size: Dim, interior: int) -> Dim:
    if interior == 0 or size == 0:
        return size
    return size + (size - 1) * interior


def _pad_shape(x: TensorType, low: Shape, high: Shape, interior: Ints) -> Shape:
    parts = zip(x.shape, low, high, interior, strict=True)
    return tuple(lo + _dilated(size, inner) + hi for size, lo, hi, inner in parts)


def _unpad(b: Any, g: Any, x_shape: Shape, low: Any, high: Any, interior: Ints) -> Any:
    """The elements of `g` at the places a pad put its operand; zeros if it cut them."""
    rank = len(x_shape)
    full = tuple(_dilated(n, i) for n, i in zip(x_shape, interior, strict=True))
    grown = [isinstance(d, int) and d < 0 for d in (*low, *high)]
    if any(grown):
        zero = b.scalar(0, b.type_of(g).dtype)
        widen = tuple(max(0, -d) if isinstance(d, int) else 0 for d in (*low, *high))
        g = b.pad(g, zero, low=widen[:rank], high=widen[rank:], interior=(0,) * rank)
    start = tuple(max(d, 0) if isinstance(d, int) else d for d in low)
    limit = tuple(lo + n for lo, n in zip(start, full, strict=True))
    return b.slice(g, start=start, limit=limit, strides=tuple(i + 1 for i in interior))


def _padding_gradient(b: Any, g: Any, x: Any, value: Any, **attrs: Any) -> Any:
    """The sum of `g` over the places that hold the padding value."""
    inside = b.full(True, b.type_of(x).with_dtype(t.bool_))
    mask = b.pad(inside, b.scalar(False, t.bool_), **attrs)
    outside = b.select(mask, b.zeros_like(g), g)
    axes = tuple(range(b.type_of(g).rank))
    return b.reduce_sum(outside, axes=axes) if axes else outside


def _pad_read(k: Any, index: Any, x: TensorType, low: Any, high: Any, gap: Ints) -> Any:
    """Operand index of a pad, and the conditions under which it is inside."""
    where, inside = [], []
    for i, size, lo, hi, inner in zip(index, x.shape, low, high, gap, strict=True):
        place = i - lo
        begin = k.const(0, t.i64)
        if lo != 0:
            inside.append(k.binary("ge", k.position(place), begin))
        if inner:
            step = k.mod(place, inner + 1)
            inside.append(k.binary("eq", k.position(step), begin))
            place = k.floordiv(place, inner + 1)
        if hi != 0:
            end = k.position(k.dim(size))
            inside.append(k.binary("lt", k.position(place), end))
        guarded = lo != 0 or hi != 0
        where.append(k.clamp_index(place, 0, size - 1) if guarded else place)
    return tuple(where), inside


@op("pad", kind=Kind.INDEXING, attrs=("high", "interior", "low"))
class Pad:
    """The operand with `interior` copies of the padding value between neighbours, then
    `low` before and `high` after; negative `low` or `high` cut elements off.

    C1: the attributes have one entry per dimension of the operand.
    C2: the padding value is a scalar of the operand's dtype.
    C3: `interior` is not negative, and no result dimension is.
    """

    def infer(
        x: TensorType, value: TensorType, *, low: Shape, high: Shape, interior: Ints
    ) -> TensorType:
        _check_rank("pad", x, low, high, interior)
        if value != TensorType(x.dtype):
            fail("pad", "C2", f"padding value is {value}, operand is {x}")
        shape = _pad_shape(x, low, high, interior)
        sizes = [d for d in (*shape, *interior) if isinstance(d, int)]
        if any(d < 0 for d in sizes):
            fail("pad", "C3", f"padding {low}, {high}, {interior} of {x} gives {shape}")
        return x.with_shape(shape)

    def evaluate(
        x: np.ndarray, value: np.ndarray, *, low: Ints, high: Ints, interior: Ints
    ) -> np.ndarray:
        grown_low = [max(n, 0) for n in low]
        grown_high = [max(n, 0) for n in high]
        parts = list(zip(x.shape, grown_low, grown_high, interior, strict=True))
        shape: Any = [lo + _dilated(n, inner) + hi for n, lo, hi, inner in parts]
        out = np.full(shape, value, x.dtype)
        place = [slice(lo, lo + _dilated(n, i), i + 1) for n, lo, _, i in parts]
        out[tuple(place)] = x
        cuts = zip(shape, low, high, strict=True)
        kept = [slice(max(-lo, 0), n - max(-hi, 0)) for n, lo, hi in cuts]
        return np.array(out[tuple(kept)], order="C")

    def vjp(
        b: Any,
        g: Any,
        y: Any,
        x: Any,
        value: Any,
        *,
        low: Any,
        high: Any,
        interior: Any,
    ) -> tuple[Any, Any]:
        attrs = {"low": low, "high": high, "interior": interior}
        dx = _unpad(b, g, b.type_of(x).shape, low, high, interior)
        return dx, _padding_gradient(b, g, x, value, **attrs)

    def jvp(b: Any, ts: Any, y: Any, x: Any, value: Any, **attrs: Any) -> Any:
        if ts[0] is None and ts[1] is None:
            return None
        return b.pad(or_zeros(b, ts[0], x), or_zeros(b, ts[1], value), **attrs)

    def batch(
        b: Any,
        xs: Any,
        dims: Sequence[Any],
        *,
        low: Shape,
        high: Shape,
        interior: Ints,
    ) -> Any:
        attrs = {"low": (0, *low), "high": (0, *high), "interior": (0, *interior)}
        if dims[1] is None:
            return b.pad(move_axis(b, xs[0], dims[0], 0), xs[1], **attrs), 0
        x, value = align_batch(b, xs, dims)
        inside = b.full(True, b.type_of(x).with_dtype(t.bool_))
        mask = b.pad(inside, b.scalar(False, t.bool_), **attrs)
        padded = b.pad(x, b.scalar(0, b.type_of(x).dtype), **attrs)
        filler = b.broadcast_in_dim(value, dims=(0,), shape=b.type_of(padded).shape)
        return b.select(mask, padded, filler), 0

    def emit(
        k: Any,
        index: Any,
        in_types: Any,
        out_type: Any,
        *,
        low: Shape,
        high: Shape,
        interior: Ints,
    ) -> Any:
        if in_types[0].size == 0:
            return k.read(1, ())
        where, inside = _pad_read(k, index, in_types[0], low, high, interior)
        value = k.read(0, where)
        if not inside:
            return value
        condition = inside[0]
        for part in inside[1:]:
            condition = k.binary("and", condition, part)
        return k.where(condition, value, k.read(1, ()))


def _check_starts(name: str, x: TensorType, starts: Sequence[TensorType]) -> None:
    if len(starts) != x.rank:
        fail(name, "C1", f"{len(starts)} start operands for {x}")
    if any(s.rank or not s.dtype.is_integer for s in starts):
        fail(name, "C2", f"starts must be integer scalars, given {list(starts)}")


def _clamped(x: np.ndarray, starts: Any, sizes: Sequence[int]) -> tuple[slice, ...]:
    """Start positions moved into the array, as slices of the given sizes."""
    slices = []
    for start, size, extent in zip(starts, sizes, x.shape, strict=True):
        first = min(max(int(start), 0), extent - size)
        slices.append(slice(first, first + size))
    return tuple(slices)


@op("dynamic_slice", kind=Kind.EXTERN, attrs=("sizes",))
class DynamicSlice:
    """A window of `sizes` at run-time positions: ``(x, start_0, start_1, ...)``.
    Starts are moved so that the window lies inside the operand.

    C1: there is one start and one size per dimension.
    C2: the starts are integer scalars.
    C3: no size exceeds the dimension, where both are numbers.
    """

    def infer(x: TensorType, *starts: TensorType, sizes: Shape) -> TensorType:
        _check_starts("dynamic_slice", x, starts)
        _check_window("dynamic_slice", x, sizes)
        return x.with_shape(sizes)

    def evaluate(x: np.ndarray, *starts: np.ndarray, sizes: Ints) -> np.ndarray:
        return np.array(x[_clamped(x, starts, sizes)], order="C")

    def vjp(b: Any, g: Any, y: Any, x: Any, *starts: Any, sizes: Shape) -> Any:
        dx = b.dynamic_update_slice(b.zeros_like(x), g, *starts)
        return (dx, *(None for _ in starts))

    def jvp(b: Any, ts: Any, y: Any, x: Any, *starts: Any, sizes: Shape) -> Any:
        if ts[0] is None:
            return None
        return b.dynamic_slice(ts[0], *starts, sizes=sizes)

    def batch(b: Any, xs: Any, dims: Sequence[Any], *, sizes: Shape) -> Any:
        if all(d is None for d in dims[1:]):
            return _slice_batched(b, xs, dims[0], sizes), dims[0]
        indices, attrs, x = _window_places(b, xs[0], dims[0], xs[1:], dims[1:], sizes)
        return b.gather(x, indices, **attrs), 0

    emit = None


def _slice_batched(b: Any, xs: Any, dim: int, sizes: Shape) -> Any:
    """A dynamic slice of a batch at one place: the whole batch axis is taken."""
    size = b.type_of(xs[0]).shape[dim]
    starts = insert_at(xs[1:], dim, b.scalar(0, t.i64))
    return b.dynamic_slice(xs[0], *starts, sizes=insert_at(sizes, dim, size))


def _window_places(
    b: Any, x: Any, dim: Axis, starts: Any, dims: Sequence[Any], sizes: Shape
) -> tuple[Any, dict[str, Any], Any]:
    """Index vectors of windows at batched starts, and gather's attributes."""
    batch = batch_size(b, (x, *starts), (dim, *dims))
    x = with_batch_at(b, x, dim, 0, batch)
    aligned = [
        with_batch_at(b, s, d, 0, batch) for s, d in zip(starts, dims, strict=True)
    ]
    extents = b.type_of(x).shape[1:]
    indices = window_indices(b, aligned, sizes, extents)
    attrs = {"dims": tuple(range(1, len(sizes) + 1)), "batch": 1, "mode": "clip"}
    return indices, attrs, x


def _check_window(name: str, x: TensorType, sizes: Shape) -> None:
    if len(sizes) != x.rank:
        fail(name, "C1", f"sizes {sizes} for {x}")
    for size, extent in zip(sizes, x.shape, strict=True):
        if isinstance(size, int) and isinstance(extent, int) and size > extent:
            fail(name, "C3", f"a window of {sizes} does not fit {x}")


@op("dynamic_update_slice", kind=Kind.EXTERN)
class DynamicUpdateSlice:
    """The operand with a window replaced: ``(x, update, start_0, start_1, ...)``.
    Starts are moved so that the window lies inside the operand.

    C1: there is one start per dimension.
    C2: the starts are integer scalars.
    C3: the update has the operand's dtype and rank and is nowhere larger.
    """

    def infer(x: TensorType, update: TensorType, *starts: TensorType) -> TensorType:
        _check_starts("dynamic_update_slice", x, starts)
        if update.dtype is not x.dtype or update.rank != x.rank:
            fail("dynamic_update_slice", "C3", f"update {update} for {x}")
        _check_window("dynamic_update_slice", x, update.shape)
        return x

    def evaluate(x: np.ndarray, update: np.ndarray, *starts: np.ndarray) -> Any:
        out = x.copy(order="C")
        out[_clamped(x, starts, update.shape)] = update
        return out

    def vjp(b: Any, g: Any, y: Any, x: Any, update: Any, *starts: Any) -> Any:
        dx = b.dynamic_update_slice(g, b.zeros_like(update), *starts)
        dupdate = b.dynamic_slice(g, *starts, sizes=b.type_of(update).shape)
        return (dx, dupdate, *(None for _ in starts))

    def jvp(b: Any, ts: Any, y: Any, x: Any, update: Any, *starts: Any) -> Any:
        if ts[0] is None and ts[1] is None:
            return None
        parts = or_zeros(b, ts[0], x), or_zeros(b, ts[1], update)
        return b.dynamic_update_slice(*parts, *starts)

    def batch(b: Any, xs: Any, dims: Sequence[Any]) -> Any:
        size = batch_size(b, xs, dims)
        update = with_batch_at(b, xs[1], dims[1], 0, size)
        if all(d is None for d in dims[2:]):
            x = with_batch_at(b, xs[0], dims[0], 0, size)
            zero = b.scalar(0, t.i64)
            return b.dynamic_update_slice(x, update, zero, *xs[2:]), 0
        sizes = b.type_of(update).shape[1:]
        places = _window_places(b, xs[0], dims[0], xs[2:], dims[2:], sizes)
        indices, attrs, x = places
        return b.scatter(x, indices, update, combine="set", **attrs), 0

    emit = None
