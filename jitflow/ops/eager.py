"""Faster eager forms of ops whose reference meaning copies or plans on every call.

Eager tensors never change, so that indexing ops may return views; products go to the
BLAS of the runtime. The results are those of the op's own ``evaluate``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from compiler.ir import op as op_table
from compiler.ir.op import Op
from compiler.runtime.blas import matmul

Ints = tuple[int, ...]
Pair = tuple[Ints, Ints]
_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
_HALF = (np.dtype(np.float16), _BFLOAT16)


def _broadcast_in_dim(x: np.ndarray, *, dims: Ints, shape: Ints) -> np.ndarray:
    if len(dims) > 1 and list(dims) != sorted(dims):
        order = sorted(range(len(dims)), key=dims.__getitem__)
        x, dims = x.transpose(order), tuple(dims[i] for i in order)
    full = [1] * len(shape)
    for size, dim in zip(x.shape, dims, strict=True):
        full[dim] = size
    return np.broadcast_to(x.reshape(full), shape)


def _transpose(x: np.ndarray, *, permutation: Ints) -> np.ndarray:
    return x.transpose(permutation)


def _slice(x: np.ndarray, *, start: Ints, limit: Ints, strides: Ints) -> np.ndarray:
    return x[tuple(map(slice, start, limit, strides))]


def _reverse(x: np.ndarray, *, dims: Ints) -> np.ndarray:
    return np.flip(x, dims)


@functools.lru_cache(maxsize=4096)
def _plan(ranks: Ints, contract: Pair, batch: Pair) -> tuple[Any, ...]:
    """Orders of the operands' dimensions, and how many of each group there are."""
    free = [
        tuple(d for d in range(rank) if d not in c and d not in lead)
        for rank, c, lead in zip(ranks, contract, batch, strict=True)
    ]
    # A transposed operand costs the BLAS nothing, one whose merged dimensions are out
    # of order a copy: contracted dimensions are summed in the order of the left one.
    pairs = sorted(zip(*contract, strict=True))
    left, right = ([p[i] for p in pairs] for i in (0, 1))
    return (
        (*batch[0], *free[0], *left),
        (*batch[1], *right, *free[1]),
        len(batch[0]),
        len(free[0]),
        len(left),
    )


def _merge(x: np.ndarray, order: Ints, lead: int, rows: int) -> np.ndarray:
    """`x` as a stack of matrices: leading, row and column dimensions merged."""
    moved = x if order == tuple(range(x.ndim)) else x.transpose(order)
    shape = moved.shape
    if len(shape) == lead + 2 and rows == 1:
        return moved
    middle, last = shape[lead : lead + rows], shape[lead + rows :]
    return moved.reshape((*shape[:lead], _size(middle), _size(last)))


def _size(shape: Ints) -> int:
    total = 1
    for d in shape:
        total *= d
    return total


def _dot_general(
    p: np.ndarray, q: np.ndarray, *, contract: Pair, batch: Pair
) -> np.ndarray:
    dtype = p.dtype
    if dtype in _HALF:
        p, q = p.astype(np.float32), q.astype(np.float32)
    left, right, lead, rows, inner = _plan((p.ndim, q.ndim), contract, batch)
    a, b = _merge(p, left, lead, rows), _merge(q, right, lead, inner)
    product = matmul(a, b)
    if p.ndim != lead + 2 or q.ndim != lead + 2 or rows != 1 or inner != 1:
        shape = [p.shape[d] for d in left[: lead + rows]]
        shape += [q.shape[d] for d in right[lead + inner :]]
        product = product.reshape(shape)
    return product if product.dtype == dtype else product.astype(dtype)


_FORMS: dict[str, Callable[..., Any]] = {
    "broadcast_in_dim": _broadcast_in_dim,
    "transpose": _transpose,
    "slice": _slice,
    "reverse": _reverse,
    "dot_general": _dot_general,
}
# Ops with a form of their own; the others run their `evaluate`.
EAGER: dict[Op, Callable[..., Any]] = {
    op_table.get(name): form for name, form in _FORMS.items()
}
