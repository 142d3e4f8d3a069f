"""Questions that rewrite rules ask about values: literals and shapes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from compiler.ir.dims import Dim, Shape, size_of
from compiler.ir.node import Node, Value


def splat(value: Value) -> Value | None:
    """The rank-0 literal that `value` repeats (or is), or None."""
    node = value.node
    while node.op.name == "broadcast_in_dim":
        node = node.inputs[0].node
    if node.op.name == "constant" and not node.outputs[0].type.shape:
        return node.outputs[0]
    return None


def splat_number(value: Value) -> Any:
    """The Python number that `value` repeats, or None."""
    found = splat(value)
    return None if found is None else literal_number(found.node)


def literal_number(node: Node) -> Any:
    """The Python number of a rank-0 ``constant`` node."""
    array = node.attrs["value"].array
    # Extension dtypes (bfloat16) have no Python number of their own.
    return array.item() if array.dtype.kind in "biufc" else float(array)


def is_literal(value: Value) -> bool:
    """True for a literal, broadcast or not."""
    node = value.node
    while node.op.name == "broadcast_in_dim":
        node = node.inputs[0].node
    return node.op.name == "constant"


def same_number(a: Any, b: Any) -> bool:
    """Equal, and of equal sign if zero: 0.0 and -0.0 differ; a NaN equals nothing."""
    if a != b:
        return False
    if isinstance(a, float) and a == 0.0:
        return math.copysign(1.0, a) == math.copysign(1.0, b)
    return True


def is_uniform(array: np.ndarray) -> bool:
    """True if all elements of a non-empty array have the same bits."""
    if array.size <= 1:
        return array.size == 1
    raw = array.reshape(-1).view(np.uint8).reshape(array.size, array.itemsize)
    return bool((raw == raw[0]).all())


def is_identity(permutation: Sequence[int]) -> bool:
    """True for ``0, 1, 2, ...``."""
    return all(i == p for i, p in enumerate(permutation))


def is_increasing(dims: Sequence[int]) -> bool:
    """True if every number is larger than the one before."""
    return all(a < b for a, b in itertools.pairwise(dims))


DimGroup = tuple[tuple[int, ...], tuple[int, ...]]


def dim_groups(source: Shape, target: Shape) -> list[DimGroup] | None:
    """The finest way to cut both shapes of a reshape into runs of equal size.

    ``[6, 5]`` to ``[2, 3, 5]`` gives ``[((0,), (0, 1)), ((1,), (2,))]``. A dimension of
    size 1 may face nothing. None if the shapes have a dimension of size 0, or symbols
    that cannot be matched.
    """
    if 0 in source or 0 in target:
        return None
    groups: list[DimGroup] = []
    i = j = 0
    while i < len(source) or j < len(target):
        step = _next_group(source[i:], target[j:])
        if step is None:
            return None
        groups.append((tuple(range(i, i + step[0])), tuple(range(j, j + step[1]))))
        i, j = i + step[0], j + step[1]
    return groups


def _next_group(source: Shape, target: Shape) -> tuple[int, int] | None:
    if source and target and source[0] == target[0]:
        return 1, 1
    if source and source[0] == 1:
        return 1, 0
    if target and target[0] == 1:
        return 0, 1
    for total in range(3, len(source) + len(target) + 1):
        for m in range(max(1, total - len(target)), min(len(source), total - 1) + 1):
            if size_of(source[:m]) == size_of(target[: total - m]):
                return m, total - m
    return None


def drop_ones(shape: Shape) -> tuple[Dim, ...]:
    """`shape` without its dimensions of size 1."""
    return tuple(d for d in shape if d != 1)
