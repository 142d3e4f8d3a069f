"""NumPy's selections and sets, most of them with results of value-dependent size.

Those need values, so they run on eager tensors only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compiler.ir.types import TensorType
from jitflow.dtypes import int64
from jitflow.errors import ArgumentError
from jitflow.ops import elementwise as e
from jitflow.ops.coerce import as_tensor, normalize_axis
from jitflow.ops.dispatch import builder as b
from jitflow.ops.manipulation import concat, reshape
from jitflow.ops.searching import (
    argsort,
    eager_array,
    nonzero,
    pick_along,
    sort,
    take,
    unique_values,
)
from jitflow.tensor.tensor import Tensor, wrap

__all__ = [
    "argpartition",
    "argwhere",
    "choose",
    "compress",
    "extract",
    "flatnonzero",
    "intersect1d",
    "lexsort",
    "partition",
    "ravel_multi_index",
    "setdiff1d",
    "setxor1d",
    "union1d",
    "unique",
    "unravel_index",
    "where",
]


def where(condition: Any, x1: Any = None, x2: Any = None, /) -> Any:
    """``x1`` where `condition` holds, else ``x2``; all three broadcast.

    With `condition` alone its `nonzero` positions, in eager code only.

    Raises:
        ArgumentError: if one of two is left out.
        ShapeError: if the shapes do not broadcast.
        TracerError: while tracing, with `condition` alone.
    """
    if x1 is None and x2 is None:
        return nonzero(condition)
    if x1 is None or x2 is None:
        raise ArgumentError("where: takes one tensor or three")
    return e.where(condition, x1, x2)


def argwhere(x: Any, /) -> Tensor:
    """Positions of the elements that are not zero, one a row.

    Raises:
        TracerError: while tracing.
    """
    return wrap(np.argwhere(eager_array("argwhere", x)))


def flatnonzero(x: Any, /) -> Tensor:
    """Row-major positions of the elements that are not zero.

    Raises:
        TracerError: while tracing.
    """
    return nonzero(reshape(x, (-1,)))[0]


def extract(condition: Any, x: Any, /) -> Tensor:
    """The elements of `x` where `condition` holds, as a vector.

    Raises:
        TracerError: while tracing.
    """
    return take(reshape(as_tensor(x), (-1,)), flatnonzero(condition))


def compress(condition: Any, x: Any, /, *, axis: int | None = None) -> Tensor:
    """The slices of `x` along `axis` where the vector `condition` holds.

    Raises:
        TracerError: while tracing.
    """
    x = reshape(as_tensor(x), (-1,)) if axis is None else as_tensor(x)
    return take(x, flatnonzero(condition), axis=axis or 0)


def choose(indices: Any, choices: Sequence[Any], /) -> Tensor:
    """For each index the element of that one of `choices`; indices are clipped."""
    found = as_tensor(choices[0])
    for i, choice in enumerate(choices[1:], 1):
        found = e.where(e.greater_equal(indices, i), choice, found)
    return found


# --------------------------------------------------------------------------- orders


def partition(x: Any, kth: int, /, *, axis: int = -1) -> Tensor:
    """`x` with its `kth` smallest element in place along `axis`: here, sorted."""
    normalize_axis(kth, as_tensor(x).shape[axis], "partition")
    return sort(x, axis=axis)


def argpartition(x: Any, kth: int, /, *, axis: int = -1) -> Tensor:
    """Positions that `partition` `x`."""
    normalize_axis(kth, as_tensor(x).shape[axis], "argpartition")
    return argsort(x, axis=axis)


def lexsort(keys: Any, /, *, axis: int = -1) -> Tensor:
    """Positions that sort by the last of `keys`, ties by the one before it, ..."""
    columns = [as_tensor(k) for k in keys]
    order = argsort(columns[0], axis=axis)
    for column in columns[1:]:
        step = argsort(pick_along(column, order, axis), axis=axis)
        order = pick_along(order, step, axis)
    return order


def unravel_index(indices: Any, shape: Sequence[Any], /) -> tuple[Tensor, ...]:
    """Coordinates of row-major positions in a tensor of `shape`."""
    rest = b.cast(as_tensor(indices), int64)
    parts: list[Tensor] = []
    for size in reversed(tuple(shape)):
        parts.append(e.remainder(rest, size))
        rest = e.floor_divide(rest, size)
    return tuple(reversed(parts))


def ravel_multi_index(indices: Sequence[Any], shape: Sequence[Any], /) -> Tensor:
    """Row-major positions of coordinates in a tensor of `shape`.

    Raises:
        ArgumentError: if their numbers differ.
    """
    if len(indices) != len(shape):
        raise ArgumentError(f"ravel_multi_index: {len(indices)} for shape {shape}")
    total: Any = b.scalar(0, int64)
    for index, size in zip(indices, shape, strict=True):
        total = e.add(e.multiply(total, size), as_tensor(index))
    return total


# ----------------------------------------------------------------------------- sets


def unique(
    x: Any,
    /,
    *,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """Distinct elements in ascending order, or slices along `axis`; as NumPy's.

    Args:
        x: any tensor.
        return_index: also where each occurs first.
        return_inverse: also for each element its position in the result.
        return_counts: also how often each occurs.
        axis: along which slices are compared; elements when left out.
        size: of the result, cut or filled up: this form works while tracing, for
            elements and without further results.
        fill_value: fills up; the smallest element when left out.

    Raises:
        TracerError: while tracing without `size`.
    """
    more = return_index or return_inverse or return_counts
    if size is not None and axis is None and not more:
        return _sized_unique(reshape(as_tensor(x), (-1,)), size, fill_value)
    how: dict[str, Any] = {
        "return_index": return_index,
        "return_inverse": return_inverse,
        "return_counts": return_counts,
    }
    found = np.unique(eager_array("unique", x), axis=axis, **how)
    return tuple(map(wrap, found)) if more else wrap(found)


def _sized_unique(x: Tensor, size: int, fill_value: Any) -> Tensor:
    ordered = sort(x)
    fresh = e.not_equal(ordered[1:], ordered[:-1])
    fresh = concat([b.full(True, TensorType(fresh.dtype, (1,))), fresh])
    place = e.subtract(b.cumulative_sum(b.cast(fresh, int64), axis=0, reverse=False), 1)
    first = ordered[0] if fill_value is None else e.cast_like(fill_value, x.dtype)
    board = b.broadcast(first, (size,))
    vectors = reshape(place, (-1, 1))
    how = {"dims": (0,), "batch": 0, "mode": "fill", "combine": "set"}
    return b.scatter(board, vectors, ordered, **how)


def _flat(x: Any) -> Tensor:
    return reshape(as_tensor(x), (-1,))


def _arrays(name: str, x1: Any, x2: Any) -> tuple[np.ndarray, np.ndarray]:
    return eager_array(name, x1), eager_array(name, x2)


def union1d(x1: Any, x2: Any, /) -> Tensor:
    """Distinct elements of either, ascending."""
    return unique_values(concat([_flat(x1), _flat(x2)]))


def intersect1d(x1: Any, x2: Any, /) -> Tensor:
    """Distinct elements of both, ascending."""
    return wrap(np.intersect1d(*_arrays("intersect1d", x1, x2)))


def setdiff1d(x1: Any, x2: Any, /) -> Tensor:
    """Distinct elements of x1 that are not in x2, ascending."""
    return wrap(np.setdiff1d(*_arrays("setdiff1d", x1, x2)))


def setxor1d(x1: Any, x2: Any, /) -> Tensor:
    """Distinct elements of exactly one, ascending."""
    return wrap(np.setxor1d(*_arrays("setxor1d", x1, x2)))
