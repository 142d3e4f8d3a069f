"""Unit vectors for Jacobians, and the way back from their images to blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from compiler.ir.types import DType
from compiler.ops.common import move_axis
from jitflow.errors import GradientError
from jitflow.ops.dispatch import builder
from jitflow.tensor.tensor import Tensor


def size_of_shape(shape: Sequence[Any], what: str) -> int:
    """The number of elements of a shape.

    Raises:
        GradientError: if a size is open: a Jacobian has one row per element.
    """
    size = math.prod(shape, start=1)
    if not isinstance(size, int):
        raise GradientError(
            f"{what} needs fixed sizes, given shape {tuple(map(str, shape))}",
            fix="trace with fixed shapes, or use vjp or jvp with chosen directions",
        )
    return size


def count_of(tensors: Sequence[Tensor], what: str) -> int:
    """The number of elements of all tensors; see `size_of_shape`."""
    return sum(size_of_shape(x.shape, what) for x in tensors)


def unit_vectors(shape: Sequence[int], dtype: DType) -> Tensor:
    """``[n, *shape]``: row i is 1 at the i-th element and 0 elsewhere."""
    count = math.prod(shape)
    return builder.constant(np.eye(count, dtype=dtype.np).reshape(count, *shape))


def standard_basis(tensors: Sequence[Tensor]) -> list[Tensor]:
    """For each tensor ``[n, *shape]``; row i of all is 1 at the i-th element of all."""
    count = sum(x.size for x in tensors)
    start = 0
    basis = []
    for x in tensors:
        rows = np.zeros((count, x.size), x.dtype.np)
        rows[np.arange(start, start + x.size), np.arange(x.size)] = 1
        basis.append(builder.constant(rows.reshape(count, *x.shape)))
        start += x.size
    return basis


def split_first(rows: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Rows per basis vector, ``[n, *rest]``, as ``[*shape, *rest]`` for each tensor."""
    rest = rows.shape[1:]
    parts = []
    start = 0
    for x in tensors:
        low, high = (start, *(0 for _ in rest)), (start + x.size, *rest)
        part = builder.slice(rows, start=low, limit=high, strides=(1,) * rows.ndim)
        parts.append(builder.reshape(part, shape=(*x.shape, *rest)))
        start += x.size
    return parts


def split_last(columns: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Rows ``[n, *rest]`` as ``[*rest, *shape]`` for each tensor."""
    blocks = split_first(columns, tensors)
    return [_turned(b, x.ndim) for b, x in zip(blocks, tensors, strict=True)]


def _turned(block: Any, count: int) -> Any:
    """The first `count` dimensions last."""
    for _ in range(count):
        block = move_axis(builder, block, 0, block.ndim - 1)
    return block
