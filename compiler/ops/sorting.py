"""sort and top_k."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compiler.ir import types as t
from compiler.ir.op import Kind, op
from compiler.ir.types import TensorType
from compiler.ops.common import (
    align_batch,
    fail,
    is_half,
    move_axis,
    require_axes,
    require_kind,
)


def _order(x: np.ndarray, axis: int, descending: bool) -> np.ndarray:
    """Positions of the sorted elements; equal ones stay in order, NaN is largest."""
    keys = x.astype(np.float32) if is_half(x.dtype) else x
    if not descending:
        return np.argsort(keys, axis=axis, kind="stable")
    # sorted backwards and read backwards: descending, and still stable
    backwards = np.argsort(np.flip(keys, axis), axis=axis, kind="stable")
    return x.shape[axis] - 1 - np.flip(backwards, axis)


def _last(b: Any, x: Any, axis: int) -> Any:
    return move_axis(b, x, axis, b.type_of(x).rank - 1)


def _row_attrs(b: Any, x: Any) -> dict[str, Any]:
    last = b.type_of(x).rank - 1
    return {"dims": (last,), "batch": last, "mode": "clip"}


def _as_vectors(b: Any, positions: Any) -> Any:
    return b.reshape(positions, shape=(*b.type_of(positions).shape, 1))


def _take_rows(b: Any, x: Any, positions: Any) -> Any:
    """Elements of each row (last axis) of `x` at `positions` in it."""
    return b.gather(x, _as_vectors(b, positions), **_row_attrs(b, x))


def _put_rows(b: Any, g: Any, positions: Any, like: Any) -> Any:
    """Transpose of `_take_rows`: `g` added into rows of the type of `like`."""
    zeros = b.zeros_like(like)
    ind = _as_vectors(b, positions)
    return b.scatter(zeros, ind, g, combine="add", **_row_attrs(b, like))


def _positions(b: Any, x: Any, axis: int, descending: bool) -> Any:
    """The sorting permutation along `axis`, moved to the last axis."""
    ramp = b.iota(type=b.type_of(x).with_dtype(t.i64), dim=axis)
    _, order = b.sort(x, ramp, axis=axis, descending=descending)
    return _last(b, order, axis)


@op("sort", kind=Kind.EXTERN, attrs=("axis", "descending"))
class Sort:
    """The first operand sorted along `axis`, and the others permuted with it. Stable;
    NaN is the largest value, -0 equals +0. One result per operand.

    C1: there is at least one operand, and all have the same shape.
    C2: `axis` is an axis of the operands.
    C3: the first operand is not complex.
    """

    def infer(*xs: TensorType, axis: int, descending: bool) -> Any:
        if not xs or any(x.shape != xs[0].shape for x in xs):
            fail("sort", "C1", f"operand shapes differ: {list(xs)}")
        require_axes("sort", "C2", (axis,), xs[0].rank)
        require_kind("sort", "C3", xs[0], "biuf")
        return xs if len(xs) > 1 else xs[0]

    def evaluate(*xs: np.ndarray, axis: int, descending: bool) -> Any:
        order = _order(xs[0], axis, descending)
        results = tuple(
            np.array(np.take_along_axis(x, order, axis), order="C") for x in xs
        )
        return results if len(xs) > 1 else results[0]

    def vjp(b: Any, g: Any, y: Any, *xs: Any, axis: int, descending: bool) -> Any:
        positions = _positions(b, xs[0], axis, descending)
        gs = g if isinstance(g, tuple) else (g,)
        last = b.type_of(xs[0]).rank - 1

        def one(part: Any, x: Any) -> Any:
            if part is None or not b.type_of(x).dtype.is_inexact:
                return None
            rows = _put_rows(b, _last(b, part, axis), positions, _last(b, x, axis))
            return move_axis(b, rows, last, axis)

        return tuple(one(part, x) for part, x in zip(gs, xs, strict=True))

    def jvp(b: Any, ts: Any, y: Any, *xs: Any, axis: int, descending: bool) -> Any:
        if all(part is None for part in ts):
            return None
        positions = _positions(b, xs[0], axis, descending)
        last = b.type_of(xs[0]).rank - 1

        def one(part: Any) -> Any:
            if part is None:
                return None
            rows = _take_rows(b, _last(b, part, axis), positions)
            return move_axis(b, rows, last, axis)

        moved = tuple(one(part) for part in ts)
        return moved if len(xs) > 1 else moved[0]

    def batch(
        b: Any, xs: Any, dims: Sequence[Any], *, axis: int, descending: bool
    ) -> Any:
        aligned = align_batch(b, xs, dims)
        result = b.sort(*aligned, axis=axis + 1, descending=descending)
        return result, (0 if len(xs) == 1 else (0,) * len(xs))

    emit = None


@op("top_k", kind=Kind.EXTERN, attrs=("k",))
class TopK:
    """The `k` largest elements along the last axis, largest first, and their positions
    as i32. Of equal ones the first come first; NaN is the largest value.

    C1: the operand is not complex and has a last axis.
    C2: ``0 <= k <= size`` of that axis.
    """

    def infer(x: TensorType, *, k: int) -> tuple[TensorType, TensorType]:
        require_kind("top_k", "C1", x, "biuf")
        if x.rank == 0:
            fail("top_k", "C1", f"{x} has no last axis")
        size = x.shape[-1]
        if k < 0 or (isinstance(size, int) and k > size):
            fail("top_k", "C2", f"k = {k} of {x}")
        values = x.with_shape((*x.shape[:-1], k))
        return values, values.with_dtype(t.i32)

    def evaluate(x: np.ndarray, *, k: int) -> tuple[np.ndarray, np.ndarray]:
        order = _order(x, -1, descending=True)[..., :k]
        values = np.array(np.take_along_axis(x, order, -1), order="C")
        return values, order.astype(np.int32)

    def vjp(b: Any, g: Any, y: Any, x: Any, *, k: int) -> tuple[Any]:
        return (None if g[0] is None else _put_rows(b, g[0], y[1], x),)

    def jvp(b: Any, ts: Any, y: Any, x: Any, *, k: int) -> Any:
        if ts[0] is None:
            return None
        return _take_rows(b, ts[0], y[1]), None

    def batch(b: Any, xs: Any, dims: Sequence[Any], *, k: int) -> Any:
        (x,) = align_batch(b, xs, dims)
        return b.top_k(x, k=k), (0, 0)

    emit = None
