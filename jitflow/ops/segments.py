"""Reductions of rows that share a number: ``jf.segment_sum`` and its siblings."""

from __future__ import annotations

from typing import Any

from compiler.ir.types import TensorType
from compiler.ops.reductions import highest, lowest
from jitflow.config import settings
from jitflow.dtypes import int64
from jitflow.errors import DTypeError, ShapeError, TracerError
from jitflow.ops import elementwise as e
from jitflow.ops.coerce import as_tensor, is_tracing, require
from jitflow.ops.dispatch import builder as b
from jitflow.ops.manipulation import reshape
from jitflow.tensor.tensor import Tensor

__all__ = [
    "segment_max",
    "segment_mean",
    "segment_min",
    "segment_prod",
    "segment_sum",
]


def _segments(name: str, x: Tensor, ids: Any, num_segments: int | None) -> Any:
    ids = as_tensor(ids, argument="segment_ids")
    if not ids.dtype.is_integer:
        raise DTypeError(f"{name}: segment_ids are integers, given {ids.dtype}")
    if not ids.ndim or ids.shape != x.shape[: ids.ndim]:
        raise ShapeError(
            f"{name}: segment_ids number the first dimensions of x",
            operands={"x": x, "segment_ids": ids},
        )
    if num_segments is not None:
        return ids, num_segments
    if is_tracing():
        raise TracerError(
            f"{name}: the size of the result depends on values",
            operands={"segment_ids": ids},
            fix="give num_segments=",
        )
    return ids, (int(ids._data.max()) + 1 if ids.size else 0)


def _combine(
    name: str, x: Tensor, ids: Any, num_segments: int | None, how: str, start: Any
) -> Tensor:
    ids, count = _segments(name, x, ids, num_segments)
    board = b.full(start, TensorType(x.dtype, (count, *x.shape[ids.ndim :])))
    vectors = reshape(b.cast(ids, int64), (*ids.shape, 1))
    return b.scatter(board, vectors, x, dims=(0,), batch=0, mode="fill", combine=how)


def segment_sum(x: Any, segment_ids: Any, /, num_segments: int | None = None) -> Tensor:
    """Sums of the rows of `x` with equal numbers; 0 for a number that does not occur.

    Args:
        x: rows ``[n, ...]`` (or more leading dimensions, those of `segment_ids`).
        segment_ids: integers ``[n]`` in any order; rows with one that is negative or
            not below `num_segments` are left out.
        num_segments: size of the result; ``max(segment_ids) + 1`` when left out, which
            is not possible while tracing.

    Raises:
        ShapeError: if there is not one number per row.
        TracerError: while tracing without `num_segments`.
    """
    x = as_tensor(x)
    require("segment_sum", x, "iufc", "numeric")
    return _combine("segment_sum", x, segment_ids, num_segments, "add", 0)


def segment_prod(
    x: Any, segment_ids: Any, /, num_segments: int | None = None
) -> Tensor:
    """Products of the rows with equal numbers; 1 for none; see `segment_sum`."""
    x = as_tensor(x)
    require("segment_prod", x, "iufc", "numeric")
    return _combine("segment_prod", x, segment_ids, num_segments, "mul", 1)


def segment_max(x: Any, segment_ids: Any, /, num_segments: int | None = None) -> Tensor:
    """Largest elements of the rows with equal numbers; see `segment_sum`.

    For a number that does not occur the smallest value of the dtype (-inf of floats).
    """
    x = as_tensor(x)
    require("segment_max", x, "iuf", "real")
    start = lowest(x.dtype)
    return _combine("segment_max", x, segment_ids, num_segments, "max", start)


def segment_min(x: Any, segment_ids: Any, /, num_segments: int | None = None) -> Tensor:
    """Smallest elements of the rows with equal numbers; see `segment_sum`.

    For a number that does not occur the largest value of the dtype (inf of floats).
    """
    x = as_tensor(x)
    require("segment_min", x, "iuf", "real")
    start = highest(x.dtype)
    return _combine("segment_min", x, segment_ids, num_segments, "min", start)


def segment_mean(
    x: Any, segment_ids: Any, /, num_segments: int | None = None
) -> Tensor:
    """Means of the rows with equal numbers; 0 for none; see `segment_sum`."""
    x = as_tensor(x)
    x = x if x.dtype.is_inexact else b.cast(x, settings.float_dtype)
    ids, count = _segments("segment_mean", x, segment_ids, num_segments)
    total = segment_sum(x, ids, count)
    ones = b.full(1, TensorType(x.dtype, ids.shape))
    sizes = e.maximum(e.real(segment_sum(ones, ids, count)), 1)
    spread = reshape(sizes, (count, *(1,) * (total.ndim - 1)))
    return e.divide(total, spread)
