"""Selecting, sorting, searching and set functions of the Array API.

Functions whose result shape depends on values (`nonzero`, `unique_values`) run on eager
tensors only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from compiler.ir.types import TensorType
from jitflow.dtypes import bfloat16, int64
from jitflow.errors import ArgumentError, DTypeError, IndexingError, TracerError
from jitflow.ops.checks import require_inside
from jitflow.ops.coerce import (
    as_tensor,
    is_tracing,
    normalize_axis,
    promote_all,
    require,
)
from jitflow.ops.dispatch import builder as b
from jitflow.ops.dispatch import quiet
from jitflow.ops.elementwise import (
    add,
    floor_divide,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    where,
)
from jitflow.ops.manipulation import moveaxis, reshape
from jitflow.tensor.tensor import Tensor, wrap


def gather_dims(x: Tensor, indices: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Elements of `x` at index vectors, the last axis of `indices`, along `dims`.

    The shape of the index vectors comes first in the result, then the dimensions of
    `x` that are not indexed. Indices are counted from 0 and clipped.
    """
    return b.gather(x, indices, dims=dims, batch=0, mode="clip")


def from_front(indices: Tensor, size: Any, name: str) -> Tensor:
    """Indices counted from 0, as int64; checked when their values are known."""
    if not indices.dtype.is_integer:
        raise DTypeError(f"{name}: indices are integers, given {indices.dtype}")
    indices = b.cast(indices, int64)
    if not is_tracing() and indices.size:
        low, high = indices._data.min(), indices._data.max()
        if low < -size or high >= size:
            bad = low if low < -size else high
            raise IndexingError(f"{name}: index {bad} is out of bounds for size {size}")
        if low >= 0:
            return indices
    require_inside(indices, size, name)
    return where(less(indices, 0), add(indices, size), indices)


def take(x: Any, indices: Any, /, *, axis: int | None = None) -> Tensor:
    """The elements of `x` at `indices` along `axis`, which their shape replaces.

    Raises:
        IndexingError: if an index is out of bounds.
    """
    x, indices = as_tensor(x), as_tensor(indices, argument="indices")
    if axis is None:
        if x.ndim != 1:
            raise ArgumentError(f"take: axis is needed for a tensor of rank {x.ndim}")
        axis = 0
    position = normalize_axis(axis, x.ndim, "take")
    index = from_front(indices, x.shape[position], "take")
    picked = gather_dims(x, reshape(index, (*index.shape, 1)), (position,))
    count = index.ndim
    return moveaxis(picked, _span(0, count), _span(position, position + count))


def _span(start: int, stop: int) -> tuple[int, ...]:
    return tuple(range(start, stop))


def take_along_axis(x: Any, indices: Any, /, *, axis: int = -1) -> Tensor:
    """``result[..., i, ...] = x[..., indices[..., i, ...], ...]`` along `axis`.

    The other dimensions of `x` and `indices` are equal, or 1 in one of them.
    """
    x, indices = as_tensor(x), as_tensor(indices, argument="indices")
    if x.ndim != indices.ndim:
        raise ArgumentError(
            f"take_along_axis: indices have rank {indices.ndim}, x has {x.ndim}"
        )
    position = normalize_axis(axis, x.ndim, "take_along_axis")
    return pick_along(
        x, from_front(indices, x.shape[position], "take_along_axis"), axis
    )


def pick_along(x: Tensor, index: Tensor, axis: int) -> Tensor:
    """`take_along_axis` for indices that are known to lie inside, from 0."""
    position = axis % x.ndim
    lead = _lead_shape(x, index, position)
    count, size = index.shape[position], x.shape[position]
    rows = b.broadcast(moveaxis(x, position, -1), (*lead, size))
    index = b.broadcast(moveaxis(index, position, -1), (*lead, count))
    vectors = reshape(index, (*lead, count, 1))
    last = len(lead)
    picked = b.gather(rows, vectors, dims=(last,), batch=last, mode="clip")
    return moveaxis(picked, -1, position)


def _lead_shape(x: Tensor, index: Tensor, axis: int) -> tuple[Any, ...]:
    pairs = [
        (d, e)
        for i, (d, e) in enumerate(zip(x.shape, index.shape, strict=True))
        if i != axis
    ]
    if any(d != e and 1 not in (d, e) for d, e in pairs):
        raise ArgumentError(
            "take_along_axis: shapes do not fit",
            operands={"x": x, "indices": index},
        )
    return tuple(e if d == 1 else d for d, e in pairs)


# ------------------------------------------------------------------------- sorting


def argsort(
    x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True
) -> Tensor:
    """Positions (int64) that sort `x` along `axis`; NaN counts as the largest
    value, ties stay in order."""
    x = as_tensor(x)
    require("argsort", x, "biuf", "real")
    position = normalize_axis(axis, x.ndim, "argsort")
    return _sort_positions(x, position, descending)[1]


def _sort_positions(x: Tensor, axis: int, descending: bool) -> tuple[Tensor, Tensor]:
    ramp = b.iota(type=b.type_of(x).with_dtype(int64), dim=axis)
    return b.sort(x, ramp, axis=axis, descending=descending)


def sort(
    x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True
) -> Tensor:
    """`x` sorted along `axis`; NaN counts as the largest value."""
    x = as_tensor(x)
    require("sort", x, "biuf", "real")
    position = normalize_axis(axis, x.ndim, "sort")
    return b.sort(x, axis=position, descending=descending)


def top_k(x: Any, k: int, /, *, axis: int = -1) -> tuple[Tensor, Tensor]:
    """The `k` largest elements along `axis`, in order, and their positions (int64).

    Raises:
        ArgumentError: if there are fewer than `k`.
    """
    x = as_tensor(x)
    require("top_k", x, "iuf", "real")
    position = normalize_axis(axis, x.ndim, "top_k")
    size = x.shape[position]
    if k < 0 or (isinstance(size, int) and k > size):
        raise ArgumentError(f"top_k: k = {k} of {size} elements")
    values, places = b.top_k(moveaxis(x, position, -1), k=k)
    return moveaxis(values, -1, position), moveaxis(b.cast(places, int64), -1, position)


def searchsorted(
    x1: Any, x2: Any, /, *, side: str = "left", sorter: Any = None
) -> Tensor:
    """Positions (int64) where the elements of `x2` go in the sorted vector `x1`.

    NaN counts as the largest value.

    Args:
        x1: a vector in ascending order.
        x2: a tensor or a number.
        side: ``"left"`` for the first such position, ``"right"`` for the last.
        sorter: positions that sort `x1`, if it is not sorted.

    Raises:
        ArgumentError: if `side` is not one of these, or `x1` is not a vector.
    """
    if side not in ("left", "right"):
        raise ArgumentError(f"searchsorted: side is 'left' or 'right', given {side!r}")
    x1, x2 = promote_all("searchsorted", x1, x2)
    require("searchsorted", x1, "biuf", "real")
    if x1.ndim != 1:
        raise ArgumentError("searchsorted: x1 is a vector", operands={"x1": x1})
    x1 = x1 if sorter is None else take(x1, sorter)
    if quiet() and x1.dtype is not bfloat16:
        return wrap(np.searchsorted(x1._data, x2._data, side))  # type: ignore[call-overload]
    if isinstance(x1.shape[0], int):
        return _bisect(x1, x2, side == "right")
    below = _is_before(x1, as_column(x2), side == "right")
    return b.reduce_sum(b.cast(below, int64), axes=(x2.ndim,))


def as_column(x: Tensor) -> Tensor:
    """`x` with a new last dimension of size 1."""
    return reshape(x, (*x.shape, 1))


def _is_before(x: Tensor, y: Tensor, or_equal: bool) -> Tensor:
    """``x < y`` (or ``x <= y``) in the order of sort, where NaN is the largest."""
    if not x.dtype.is_float:
        return less_equal(x, y) if or_equal else less(x, y)
    if or_equal:
        return logical_or(less_equal(x, y), isnan(y))
    return logical_or(less(x, y), logical_and(isnan(y), logical_not(isnan(x))))


def _bisect(x: Tensor, y: Tensor, right: bool) -> Tensor:
    """Halving all intervals at once: one step per bit of the length."""
    size = x.shape[0]
    low = b.full(0, TensorType(int64, y.shape))
    high = b.full(size, TensorType(int64, y.shape))
    for _ in range(size.bit_length()):
        middle = floor_divide(add(low, high), 2)
        below = _is_before(gather_dims(x, as_column(middle), (0,)), y, right)
        open_ = less(low, high)
        low = where(logical_and(open_, below), add(middle, 1), low)
        high = where(logical_and(open_, logical_not(below)), middle, high)
    return low


# ---------------------------------------------------------- value-dependent shapes


def eager_array(name: str, x: Any) -> np.ndarray:
    """The values of `x`, for a function that needs them.

    Raises:
        TracerError: while tracing.
    """
    x = as_tensor(x)
    if is_tracing():
        raise TracerError(
            f"{name}: the shape of the result depends on values",
            operands={"x": x},
            fix=f"call jf.{name} outside the function, or use jf.where",
        )
    return x.numpy()


def nonzero(x: Any, /) -> tuple[Tensor, ...]:
    """Positions of the elements that are not zero, one tensor per dimension.

    Raises:
        TracerError: while tracing.
    """
    return tuple(wrap(i) for i in np.nonzero(eager_array("nonzero", x)))


class UniqueAll(NamedTuple):
    """What `unique_all` returns."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """What `unique_counts` returns."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """What `unique_inverse` returns."""

    values: Tensor
    inverse_indices: Tensor


def unique_all(x: Any, /) -> UniqueAll:
    """Distinct values, first positions, positions in the values, and counts.

    Raises:
        TracerError: while tracing.
    """
    return UniqueAll(*map(wrap, np.unique_all(eager_array("unique_all", x))))


def unique_counts(x: Any, /) -> UniqueCounts:
    """Distinct values and how often each occurs.

    Raises:
        TracerError: while tracing.
    """
    return UniqueCounts(*map(wrap, np.unique_counts(eager_array("unique_counts", x))))


def unique_inverse(x: Any, /) -> UniqueInverse:
    """Distinct values and for every element its position in them.

    Raises:
        TracerError: while tracing.
    """
    array = eager_array("unique_inverse", x)
    return UniqueInverse(*map(wrap, np.unique_inverse(array)))


def unique_values(x: Any, /) -> Tensor:
    """Distinct values, sorted.

    Raises:
        TracerError: while tracing.
    """
    return wrap(np.sort(np.unique_values(eager_array("unique_values", x))))


def isin(x1: Any, x2: Any, /, *, invert: bool = False) -> Tensor:
    """Where the elements of `x1` occur in `x2`."""
    x1, x2 = as_tensor(x1), as_tensor(x2)
    column = reshape(x1, (*x1.shape, 1))
    found = b.reduce_or(column == reshape(x2, (-1,)), axes=(x1.ndim,))
    return ~found if invert else found
