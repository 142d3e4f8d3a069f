"""dot_general: products summed over contracted dimensions, with batch dimensions."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from compiler.ir.op import Kind, op
from compiler.ir.types import TensorType
from compiler.ops.common import (
    fail,
    require_kind,
    shift_axes,
    sum_tangents,
    via_f32,
)

Ints = tuple[int, ...]
Pair = tuple[Ints, Ints]


def free_dims(rank: int, contract: Ints, batch: Ints) -> Ints:
    """Dimensions that are neither contracted nor batched, in order."""
    return tuple(d for d in range(rank) if d not in contract and d not in batch)


def _check_dims(x: TensorType, contract: Ints, batch: Ints, side: str) -> None:
    used = (*contract, *batch)
    if len(set(used)) != len(used) or any(not 0 <= d < x.rank for d in used):
        what = f"contract {contract} and batch {batch} are not distinct dims of {side}"
        fail("dot_general", "C2", f"{what} {x}")


def _to_stack(x: np.ndarray, order: Sequence[int], counts: Sequence[int]) -> np.ndarray:
    """`x` transposed to groups of `counts` dimensions, each merged to one."""
    moved, shape, begin = x.transpose(order), [], 0
    for count in counts:
        shape.append(prod(moved.shape[begin : begin + count]))
        begin += count
    return moved.reshape(shape)


Attrs = dict[str, Pair]


@functools.lru_cache(maxsize=4096)
def _gradient_plan(
    rank: int, own: tuple[Ints, Ints, Ints], far: tuple[Ints, Ints, Ints], first: bool
) -> tuple[bool, Attrs, Ints | None]:
    """How to make the cotangent of one operand from that of the result and the other.

    `own` and `far` are (contract, batch, free) of this operand and of the other, `rank`
    is that of the result; `first` tells that this one is the left operand. Of the two
    operand orders the one that needs no transpose is taken, if there is one.

    Returns:
        Whether the other operand comes first, the attributes of the product, and the
        permutation that is needed after it, if any.
    """
    (contract, batch, free), (far_contract, far_batch, far_free) = own, far
    lead = len(batch)
    split = lead + (len(free) if first else len(far_free))
    left, right = tuple(range(lead, split)), tuple(range(split, rank))
    summed = right if first else left
    tail = [contract[far_contract.index(d)] for d in sorted(far_contract)]
    rows = tuple(range(lead))
    g_first = [*batch, *free, *tail]
    other_first = [*batch, *tail, *free]
    if other_first == sorted(other_first) and g_first != sorted(g_first):
        return True, {"contract": (far_free, summed), "batch": (far_batch, rows)}, None
    attrs = {"contract": (summed, far_free), "batch": (rows, far_batch)}
    if g_first == sorted(g_first):
        return False, attrs, None
    order = tuple(g_first.index(d) for d in range(len(g_first)))
    return False, attrs, order


def _operand_gradient(
    b: Any, g: Any, other: Any, rank: int, own: Any, far: Any, first: bool
) -> Any:
    """Cotangent of one operand; see `_gradient_plan`."""
    swapped, attrs, order = _gradient_plan(rank, own, far, first)
    pair = (other, g) if swapped else (g, other)
    product = b.dot_general(*pair, **attrs)
    return product if order is None else b.transpose(product, permutation=order)


@functools.lru_cache(maxsize=4096)
def _sides(ranks: Ints, contract: Pair, batch: Pair) -> tuple[Any, Any]:
    """(contract, batch, free) dimensions of both operands."""
    left, right = (
        (contract[i], batch[i], free_dims(ranks[i], contract[i], batch[i]))
        for i in (0, 1)
    )
    return left, right


@op("dot_general", kind=Kind.CONTRACTION, attrs=("batch", "contract"))
class DotGeneral:
    """Sum of products over ``contract``; the result has the batch dimensions, the free
    dimensions of the left operand, then those of the right. f16 and bf16 are summed in
    f32 and rounded once.

    C1: both operands have the same numeric dtype.
    C2: `contract` and `batch` name distinct dimensions of each operand.
    C3: as many dimensions are named on the left as on the right, and sizes agree.
    """

    def infer(
        p: TensorType, q: TensorType, *, contract: Pair, batch: Pair
    ) -> TensorType:
        require_kind("dot_general", "C1", p, "iufc")
        if p.dtype is not q.dtype:
            fail("dot_general", "C1", f"operand dtypes differ: {p} vs {q}")
        _check_dims(p, contract[0], batch[0], "the left operand")
        _check_dims(q, contract[1], batch[1], "the right operand")
        for left, right in (contract, batch):
            if tuple(p.shape[d] for d in left) != tuple(q.shape[d] for d in right):
                fail("dot_general", "C3", f"dims {left} of {p} vs {right} of {q}")
        p_free = free_dims(p.rank, contract[0], batch[0])
        q_free = free_dims(q.rank, contract[1], batch[1])
        shape = [p.shape[d] for d in (*batch[0], *p_free)]
        return p.with_shape((*shape, *(q.shape[d] for d in q_free)))

    @via_f32
    def evaluate(
        p: np.ndarray, q: np.ndarray, *, contract: Pair, batch: Pair
    ) -> np.ndarray:
        if p.ndim == q.ndim == 2 and len(contract[0]) == 1 and not batch[0]:
            # views, which the library reads in place
            return np.matmul(
                p.T if contract[0][0] == 0 else p, q.T if contract[1][0] else q
            )
        p_free = free_dims(p.ndim, contract[0], batch[0])
        q_free = free_dims(q.ndim, contract[1], batch[1])
        shape = [p.shape[d] for d in (*batch[0], *p_free)]
        shape += [q.shape[d] for d in q_free]
        lead, summed = len(batch[0]), len(contract[0])
        left = (*batch[0], *p_free, *contract[0])
        right = (*batch[1], *contract[1], *q_free)
        stack_p = _to_stack(p, left, (lead, len(p_free), summed))
        stack_q = _to_stack(q, right, (lead, summed, len(q_free)))
        return np.matmul(stack_p, stack_q).reshape(shape)

    def vjp(
        b: Any, g: Any, y: Any, p: Any, q: Any, *, contract: Pair, batch: Pair
    ) -> tuple[Any, Any]:
        ranks = b.type_of(p).rank, b.type_of(q).rank
        left, right = _sides(ranks, contract, batch)
        rank = b.type_of(g).rank
        dp = dq = None
        if b.needs(0):
            dp = _operand_gradient(b, g, q, rank, left, right, True)
        if b.needs(1):
            dq = _operand_gradient(b, g, p, rank, right, left, False)
        return dp, dq

    def jvp(b: Any, ts: Any, y: Any, p: Any, q: Any, **attrs: Any) -> Any:
        pairs = ((ts[0], q), (p, ts[1]))
        kept = [pair for pair in pairs if pair[0] is not None and pair[1] is not None]
        return sum_tangents(b, [b.dot_general(*pair, **attrs) for pair in kept])

    def batch(
        b: Any, xs: Any, dims: Sequence[Any], *, contract: Pair, batch: Pair
    ) -> Any:
        sides = []
        for side, dim in enumerate(dims):
            pair = contract[side], batch[side]
            sides.append(
                pair if dim is None else tuple(shift_axes(axes, dim) for axes in pair)
            )
        contracts, batches = zip(*sides, strict=True)
        if None not in dims:
            batches = ((dims[0], *batches[0]), (dims[1], *batches[1]))
            return b.dot_general(*xs, contract=contracts, batch=batches), 0
        side = 0 if dims[0] is not None else 1
        free = [
            free_dims(b.type_of(x).rank, c, n)
            for x, c, n in zip(xs, contracts, batches, strict=True)
        ]
        position = len(batches[0]) + side * len(free[0])
        position += free[side].index(dims[side])
        return b.dot_general(*xs, contract=contracts, batch=batches), position

    emit = None
