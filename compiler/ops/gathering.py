"""gather and scatter: elements chosen by an array of index vectors.

Both describe the same places. The last axis of `indices` holds index vectors of length
``len(dims)``: entry ``j`` selects along dimension ``dims[j]`` of the operand. The first
`batch` dimensions of the operand and of the indices are walked together. A place, and
so the result of gather and the updates of scatter, has the shape

    batch dimensions, other index dimensions, other operand dimensions.

An index outside its dimension is moved to the nearest end (`mode` "clip"), or the
place is dropped: gather gives 0 there and scatter ignores it (`mode` "fill").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compiler.ir import types as t
from compiler.ir.dims import Shape
from compiler.ir.op import Kind, op
from compiler.ir.types import TensorType
from compiler.ops.common import (
    align_batch,
    fail,
    is_half,
    move_axis,
    or_zeros,
    require_kind,
    shift_axes,
    sum_tangents,
)

Ints = tuple[int, ...]


def _others(rank: int, dims: Ints, batch: int) -> Ints:
    return tuple(d for d in range(batch, rank) if d not in dims)


def _place_type(
    name: str, x: TensorType, indices: TensorType, dims: Ints, batch: int, mode: str
) -> TensorType:
    if not indices.dtype.is_integer or indices.rank <= batch:
        fail(name, "C1", f"indices are {indices} with {batch} batch dimensions")
    distinct = len(set(dims)) == len(dims)
    if not distinct or any(not batch <= d < x.rank for d in dims) or batch < 0:
        fail(name, "C2", f"dims {dims} of {x} with {batch} batch dimensions")
    if indices.shape[-1] != len(dims):
        fail(name, "C3", f"index vectors of {indices} for dims {dims}")
    if x.shape[:batch] != indices.shape[:batch]:
        fail(name, "C4", f"batch dimensions of {x} and {indices} differ")
    if mode not in ("clip", "fill"):
        fail(name, "C5", f"unknown mode {mode!r}")
    rest = tuple(x.shape[d] for d in _others(x.rank, dims, batch))
    return x.with_shape((*indices.shape[:-1], *rest))


_CONSTRAINTS = """C1: `indices` are integers with an axis beyond the batch dimensions.
    C2: `dims` are distinct dimensions of the operand behind the batch dimensions.
    C3: the last axis of `indices` has one entry per dimension in `dims`.
    C4: the batch dimensions of operand and indices agree.
    C5: `mode` is "clip" or "fill"."""


class _Places:
    """Where index vectors point: rows of the operand with its indexed dims first."""

    def __init__(
        self, x_shape: Ints, indices: np.ndarray, dims: Ints, batch: int, mode: str
    ) -> None:
        self.order = (*range(batch), *dims, *_others(len(x_shape), dims, batch))
        moved = tuple(x_shape[d] for d in self.order)
        split = batch + len(dims)
        self.lead, self.rest = moved[:split], moved[split:]
        wide = indices.astype(np.int64)
        sizes = np.array([x_shape[d] for d in dims], np.int64)
        inside = np.ones(wide.shape[:-1], bool)
        if mode == "fill":
            inside = np.all((wide >= 0) & (wide < sizes), axis=-1)
        elif 0 in sizes:
            inside = np.zeros(wide.shape[:-1], bool)
        self.inside = inside
        row = np.zeros(wide.shape[:-1], np.int64)
        for axis, size in enumerate(x_shape[:batch]):
            ramp = np.arange(size).reshape(-1, *(1,) * (row.ndim - axis - 1))
            row = row * size + ramp
        for j, size in enumerate(sizes):
            row = row * size + np.clip(wide[..., j], 0, max(size - 1, 0))
        self.row = row

    def rows_of(self, x: np.ndarray) -> np.ndarray:
        """The operand as ``[rows, rest]``."""
        count = int(np.prod(self.lead, dtype=np.int64))
        return x.transpose(self.order).reshape(count, *self.rest)

    def back(self, rows: np.ndarray) -> np.ndarray:
        """Inverse of `rows_of`."""
        moved = rows.reshape(*self.lead, *self.rest)
        return np.array(moved.transpose(np.argsort(self.order)), order="C")


@op("gather", kind=Kind.EXTERN, attrs=("batch", "dims", "mode"))
class Gather:
    __doc__ = f"""Elements of ``x`` at the places of ``indices``; see the module.

    {_CONSTRAINTS}
    """

    def infer(
        x: TensorType, indices: TensorType, *, dims: Ints, batch: int, mode: str
    ) -> TensorType:
        return _place_type("gather", x, indices, dims, batch, mode)

    def evaluate(
        x: np.ndarray, indices: np.ndarray, *, dims: Ints, batch: int, mode: str
    ) -> np.ndarray:
        places = _Places(x.shape, indices, dims, batch, mode)
        shape = (*indices.shape[:-1], *places.rest)
        if places.inside.all():
            return np.asarray(places.rows_of(x)[places.row]).reshape(shape)
        result = np.zeros(shape, x.dtype)
        result[places.inside] = places.rows_of(x)[places.row[places.inside]]
        return result

    def vjp(b: Any, g: Any, y: Any, x: Any, indices: Any, **attrs: Any) -> Any:
        dx = b.scatter(b.zeros_like(x), indices, g, combine="add", **attrs)
        return dx, None

    def jvp(b: Any, ts: Any, y: Any, x: Any, indices: Any, **attrs: Any) -> Any:
        return None if ts[0] is None else b.gather(ts[0], indices, **attrs)

    def batch(
        b: Any, xs: Any, dims_: Sequence[Any], *, dims: Ints, batch: int, mode: str
    ) -> Any:
        x, indices = xs
        if dims_[1] is None:  # the batch is one more dimension that is not indexed
            last = b.type_of(x).rank - 1
            x = move_axis(b, x, dims_[0], last)
            y = b.gather(x, indices, dims=dims, batch=batch, mode=mode)
            return y, b.type_of(y).rank - 1
        if dims_[0] is None and batch == 0:
            indices = move_axis(b, indices, dims_[1], 0)
            return b.gather(x, indices, dims=dims, batch=0, mode=mode), 0
        x, indices = align_batch(b, xs, dims_)
        moved = shift_axes(dims, 0)
        return b.gather(x, indices, dims=moved, batch=batch + 1, mode=mode), 0

    def emit(
        k: Any, index: Any, types: Any, out: Any, *, dims: Ints, batch: int, mode: str
    ) -> Any:
        x, indices = types
        lead = indices.rank - 1
        rest = iter(index[lead:])
        at = [k.read_index(1, (*index[:lead], j)) for j in range(len(dims))]
        sizes = [x.shape[d] for d in dims]
        inside = [k.within(i, n) for i, n in zip(at, sizes, strict=True)]
        safe = [k.clamp_index(i, 0, n - 1) for i, n in zip(at, sizes, strict=True)]
        place = dict(zip(dims, safe, strict=True))
        where = [
            index[d] if d < batch else place[d] if d in place else next(rest)
            for d in range(x.rank)
        ]
        value = k.read(0, where)
        if mode == "fill":
            for condition in inside:
                value = k.where(condition, value, k.const(0, x.dtype))
        return value


_UFUNC = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}


def _combine_rows(rows: np.ndarray, at: np.ndarray, new: np.ndarray, how: str) -> None:
    """``rows[at] = combine(rows[at], new)`` in order, repeated places included."""
    order = np.argsort(at, kind="stable")
    at, new = at[order], new[order]
    starts = np.flatnonzero(np.r_[True, at[1:] != at[:-1]])
    if how == "set":
        ends = np.r_[starts[1:], len(at)] - 1
        rows[at[starts]] = new[ends]
        return
    ufunc = _UFUNC[how]
    total = ufunc.reduceat(new, starts, axis=0, dtype=rows.dtype)
    rows[at[starts]] = ufunc(rows[at[starts]], total)


def _winners(b: Any, x: Any, indices: Any, updates: Any, attrs: dict) -> Any:
    """Which updates of a "set" are not overwritten by a later one."""
    type_ = b.type_of(updates)
    flat = TensorType(t.i64, (type_.size,))
    own = b.reshape(b.iota(type=flat, dim=0), shape=type_.shape)
    board = b.full(-1, b.type_of(x).with_dtype(t.i64))
    board = b.scatter(board, indices, own, combine="set", **attrs)
    return b.compare(b.gather(board, indices, **attrs), own, direction="EQ")


def _as_weight(b: Any, mask: Any, like: Any) -> Any:
    return b.convert(mask, dtype=b.type_of(like).dtype)


def _count(b: Any, x: Any, indices: Any, parts: Any, attrs: dict) -> Any:
    return b.scatter(b.zeros_like(x), indices, parts, combine="add", **attrs)


def _product_weights(b: Any, y: Any, x: Any, ind: Any, u: Any, attrs: dict) -> Any:
    factor = b.scatter(b.ones_like(x), ind, u, combine="mul", **attrs)
    count = b.gather(_count(b, x, ind, b.ones_like(u), attrs), ind, **attrs)
    alone = b.compare(count, b.ones_like(count), direction="LE")
    others = b.divide(b.gather(y, ind, **attrs), u)
    return factor, b.select(alone, b.gather(x, ind, **attrs), others)


def _extremum_weights(b: Any, y: Any, x: Any, ind: Any, u: Any, attrs: dict) -> Any:
    own = _as_weight(b, b.compare(x, y, direction="EQ"), x)
    at = b.gather(y, ind, **attrs)
    other = _as_weight(b, b.compare(u, at, direction="EQ"), x)
    count = b.add(own, _count(b, x, ind, other, attrs))
    shared = b.gather(count, ind, **attrs)  # 0 where the place was dropped
    shared = b.maximum(shared, b.ones_like(shared))
    return b.divide(own, count), b.divide(other, shared)


def _weights(b: Any, combine: str, *operands: Any) -> tuple[Any, Any]:
    """Derivatives of the result in the operand and in the updates at their place."""
    rule = _product_weights if combine == "mul" else _extremum_weights
    return rule(b, *operands)


@op("scatter", kind=Kind.EXTERN, attrs=("batch", "combine", "dims", "mode"))
class Scatter:
    __doc__ = f"""``x`` with ``updates`` combined into the places of ``indices`` (see
    the module), of operands ``(x, indices, updates)``. `combine` is "set" (the last
    update of a place wins), "add", "mul", "min" or "max". f16 and bf16 combine in f32.
    The gradient of "mul" divides by the update where a place has several.

    {_CONSTRAINTS}
    C6: `updates` have the type that gather would give.
    C7: `combine` is known, and the dtype is a number unless it is "set".
    """

    def infer(
        x: TensorType,
        indices: TensorType,
        updates: TensorType,
        *,
        dims: Ints,
        batch: int,
        mode: str,
        combine: str,
    ) -> TensorType:
        place = _place_type("scatter", x, indices, dims, batch, mode)
        if updates != place:
            fail("scatter", "C6", f"updates are {updates}, expected {place}")
        if combine not in ("set", *_UFUNC):
            fail("scatter", "C7", f"unknown combine {combine!r}")
        if combine != "set":
            kinds = "iuf" if combine in ("min", "max") else "iufc"
            require_kind("scatter", "C7", x, kinds)
        return x

    def evaluate(
        x: np.ndarray,
        indices: np.ndarray,
        updates: np.ndarray,
        *,
        dims: Ints,
        batch: int,
        mode: str,
        combine: str,
    ) -> np.ndarray:
        places = _Places(x.shape, indices, dims, batch, mode)
        wide = np.float32 if is_half(x.dtype) else x.dtype
        rows = np.array(places.rows_of(x), dtype=wide, order="C")
        new = updates.astype(wide)[places.inside]
        at = places.row[places.inside]
        if at.size and rows.size:
            _combine_rows(rows, at, new, combine)
        return places.back(rows).astype(x.dtype, copy=False)

    def vjp(
        b: Any, g: Any, y: Any, x: Any, ind: Any, u: Any, *, combine: str, **attrs: Any
    ) -> tuple[Any, ...]:
        at = b.gather(g, ind, **attrs)
        if combine == "add":
            return g, None, at
        if combine == "set":
            kept = b.scatter(g, ind, b.zeros_like(u), combine="set", **attrs)
            winners = _winners(b, x, ind, u, attrs)
            return kept, None, b.select(winners, at, b.zeros_like(at))
        own, other = _weights(b, combine, y, x, ind, u, attrs)
        return b.multiply(g, own), None, b.multiply(at, other)

    def jvp(
        b: Any, ts: Any, y: Any, x: Any, ind: Any, u: Any, *, combine: str, **attrs: Any
    ) -> Any:
        if ts[0] is None and ts[2] is None:
            return None
        if combine in ("add", "set"):
            tx, tu = or_zeros(b, ts[0], x), or_zeros(b, ts[2], u)
            return b.scatter(tx, ind, tu, combine=combine, **attrs)
        own, other = _weights(b, combine, y, x, ind, u, attrs)
        first = None if ts[0] is None else b.multiply(ts[0], own)
        second = None
        if ts[2] is not None:
            second = _count(b, x, ind, b.multiply(ts[2], other), attrs)
        return sum_tangents(b, [first, second])

    def batch(
        b: Any, xs: Any, dims_: Sequence[Any], *, dims: Ints, batch: int, **attrs: Any
    ) -> Any:
        aligned = align_batch(b, xs, dims_)
        moved = shift_axes(dims, 0)
        return b.scatter(*aligned, dims=moved, batch=batch + 1, **attrs), 0

    emit = None


def window_indices(b: Any, starts: Sequence[Any], sizes: Shape, extents: Shape) -> Any:
    """Index vectors of a window, ``[..., *sizes, rank]``, for starts of shape [...].

    Starts are moved so that the window lies inside `extents`.
    """
    lead = b.type_of(starts[0]).shape
    shape = (*lead, *sizes, 1)
    parts = []
    for d, (start, size, extent) in enumerate(zip(starts, sizes, extents, strict=True)):
        start = b.cast(start, t.i64)
        zero, last = b.zeros_like(start), b.full_like(extent - size, start)
        start = b.clamp(zero, start, last)
        ramp = b.iota(type=TensorType(t.i64, shape), dim=len(lead) + d)
        spread = b.broadcast_in_dim(start, dims=tuple(range(len(lead))), shape=shape)
        parts.append(b.add(spread, ramp))
    return b.concatenate(*parts, dimension=len(shape) - 1)
