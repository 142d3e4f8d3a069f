"""Faster eager forms of ops whose reference meaning copies or plans on every call.

Eager tensors never change, so that indexing ops may return views; products go to the
BLAS of the runtime. The results are those of the op's own ``evaluate``.
"""

from __future__ import annotations

import functools
import math
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
    if x.size and x.dtype.isbuiltin == 1 and x.flags.c_contiguous:
        # np.broadcast_to takes ten times as long as a small op.
        strides = [0] * len(shape)
        for size, stride, dim in zip(x.shape, x.strides, dims, strict=True):
            strides[dim] = stride if size > 1 else 0
        return np.ndarray(shape, x.dtype, x, 0, strides)
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


# Wichura's rational approximations to the normal quantile (algorithm AS 241, PPND16),
# exact to 1e-16: numerator and denominator, highest power first. The variable is
# 0.180625 - q**2 near the centre, sqrt(-log(tail)) - 1.6 or - 5 outside.
_CENTRE = (
    (
        *(2509.0809287301226727, 33430.575583588128105, 67265.770927008700853),
        *(45921.953931549871457, 13731.693765509461125, 1971.5909503065514427),
        *(133.14166789178437745, 3.3871328727963666080),
    ),
    (
        *(5226.4952788528545610, 28729.085735721942674, 39307.895800092710610),
        *(21213.794301586595867, 5394.1960214247511077, 687.18700749205790830),
        *(42.313330701600911252, 1.0),
    ),
)
_MIDDLE = (
    (
        *(7.74545014278341407640e-4, 0.0227238449892691845833),
        *(0.241780725177450611770, 1.27045825245236838258),
        *(3.64784832476320460504, 5.76949722146069140550),
        *(4.63033784615654529590, 1.42343711074968357734),
    ),
    (
        *(1.05075007164441684324e-9, 5.475938084995344946e-4),
        *(0.0151986665636164571966, 0.14810397642748007459),
        *(0.68976733498510000455, 1.6763848301838038494),
        *(2.05319162663775882187, 1.0),
    ),
)
_TAIL = (
    (
        *(2.01033439929228813265e-7, 2.71155556874348757815e-5),
        *(0.0012426609473880784386, 0.026532189526576123093),
        *(0.29656057182850489123, 1.7848265399172913358),
        *(5.4637849111641143699, 6.6579046435011037772),
    ),
    (
        *(2.04426310338993978564e-15, 1.4215117583164458887e-7),
        *(1.8463183175100546818e-5, 7.868691311456132591e-4),
        *(0.0148753612908506148525, 0.13692988092273580531),
        *(0.59983220655588793769, 1.0),
    ),
)


def _ratio(pair: tuple[Any, Any], x: np.ndarray) -> np.ndarray:
    return np.polyval(pair[0], x) / np.polyval(pair[1], x)


def _erf_inv(x: np.ndarray) -> np.ndarray:
    """``erf_inv(x) = quantile((x + 1) / 2) / sqrt(2)``, in float64 throughout."""
    q = np.asarray(x, np.float64) / 2
    result = np.asarray(q * _ratio(_CENTRE, 0.180625 - q * q))
    outer = ~(np.abs(q) <= 0.425)
    if outer.any():
        side = q[outer]
        r = np.sqrt(-np.log(0.5 - np.abs(side)))
        far = np.where(r <= 5, _ratio(_MIDDLE, r - 1.6), _ratio(_TAIL, r - 5))
        far = np.where(r == np.inf, np.inf, far)
        result[outer] = np.copysign(far, side)
    return (result * math.sqrt(0.5)).astype(x.dtype)


_FORMS: dict[str, Callable[..., Any]] = {
    "broadcast_in_dim": _broadcast_in_dim,
    "transpose": _transpose,
    "slice": _slice,
    "reverse": _reverse,
    "dot_general": _dot_general,
    "erf_inv": _erf_inv,
    # Rounded once for halves too: no detour through float32 is needed.
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "negate": np.negative,
}
# Ops with a form of their own; the others run their `evaluate`.
EAGER: dict[Op, Callable[..., Any]] = {
    op_table.get(name): form for name, form in _FORMS.items()
}
