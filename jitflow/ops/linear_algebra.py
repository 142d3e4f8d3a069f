"""Products of tensors over dot_general: matmul, tensordot, vecdot, outer; diagonals."""

from __future__ import annotations

from typing import Any

from jitflow.errors import ShapeError
from jitflow.ops.coerce import (
    as_tensor,
    broadcast_shapes,
    normalize_axis,
    promote_all,
    require,
)
from jitflow.ops.dispatch import builder as b
from jitflow.ops.elementwise import conj, multiply
from jitflow.ops.manipulation import expand_dims, permute_dims, reshape, squeeze
from jitflow.ops.reductions import sum as sum_
from jitflow.tensor.tensor import Tensor


def _contract(
    x: Tensor,
    y: Tensor,
    contract: tuple[tuple[int, ...], tuple[int, ...]],
    batch: tuple[tuple[int, ...], tuple[int, ...]] = ((), ()),
) -> Tensor:
    return b.dot_general(x, y, contract=contract, batch=batch)


def _inner_error(name: str, x: Tensor, y: Tensor, left: Any, right: Any) -> ShapeError:
    return ShapeError(
        f"{name} needs equal inner dimensions: {left} != {right}",
        operands={"x1": x, "x2": y},
        fix="transpose an operand with .mT, or check the layer that made it",
    )


def matmul(x1: Any, x2: Any, /) -> Tensor:
    """Matrix product; vectors are rows on the left and columns on the right.

    Leading dimensions broadcast as batches.

    Raises:
        ShapeError: for a rank of 0 or inner dimensions that differ.
    """
    x, y = promote_all("matmul", x1, x2)
    require("matmul", x, "iufc", "numeric")
    if not x.ndim or not y.ndim:
        raise ShapeError("matmul: a scalar is no matrix", operands={"x1": x, "x2": y})
    left, right = x.shape[-1], y.shape[-2] if y.ndim > 1 else y.shape[0]
    if left != right:
        raise _inner_error("matmul", x, y, left, right)
    if y.ndim <= 2:  # any leading dimensions of x are rows
        return _contract(x, y, ((x.ndim - 1,), (0,)))
    if x.ndim == 1:
        return squeeze(_batched(expand_dims(x, 0), y), -2)
    return _batched(x, y)


def _batched(x: Tensor, y: Tensor) -> Tensor:
    if x.ndim == 2:  # one matrix from the left for every matrix of y
        product = _contract(x, y, ((1,), (y.ndim - 2,)))
        rank = y.ndim
        return permute_dims(product, (*range(1, rank - 1), 0, rank - 1))
    lead = broadcast_shapes(x.shape[:-2], y.shape[:-2])
    x = b.broadcast(x, (*lead, *x.shape[-2:]))
    y = b.broadcast(y, (*lead, *y.shape[-2:]))
    axes = tuple(range(len(lead)))
    last = len(lead)
    return _contract(x, y, ((last + 1,), (last,)), (axes, axes))


def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Tensor:
    """Sum of products over pairs of axes: the last and first `axes`, or two lists.

    Raises:
        ShapeError: if paired axes differ in size.
    """
    x, y = promote_all("tensordot", x1, x2)
    if hasattr(axes, "__index__"):
        count = int(axes)
        left = tuple(range(x.ndim - count, x.ndim))
        right = tuple(range(count))
    else:
        left, right = (_axis_tuple(a) for a in axes)
    left = tuple(normalize_axis(a, x.ndim, "tensordot") for a in left)
    right = tuple(normalize_axis(a, y.ndim, "tensordot") for a in right)
    sizes = tuple(x.shape[a] for a in left), tuple(y.shape[a] for a in right)
    if sizes[0] != sizes[1]:
        raise _inner_error("tensordot", x, y, *sizes)
    return _contract(x, y, (left, right))


def _axis_tuple(axes: Any) -> tuple[int, ...]:
    return (axes,) if hasattr(axes, "__index__") else tuple(axes)


def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Tensor:
    """Sum of ``conj(x1) * x2`` along `axis`; the other dimensions broadcast.

    Raises:
        ShapeError: if the sizes along `axis` differ.
    """
    x, y = promote_all("vecdot", x1, x2)
    i, j = (normalize_axis(axis, t.ndim, "vecdot") for t in (x, y))
    if x.shape[i] != y.shape[j]:
        raise _inner_error("vecdot", x, y, x.shape[i], y.shape[j])
    products = multiply(conj(x), y)
    return sum_(products, axis=axis, dtype=products.dtype)


def outer(x1: Any, x2: Any, /) -> Tensor:
    """The matrix of products of two vectors.

    Raises:
        ShapeError: if an argument is not a vector.
    """
    x, y = promote_all("outer", x1, x2)
    if x.ndim != 1 or y.ndim != 1:
        raise ShapeError("outer: takes two vectors", operands={"x1": x, "x2": y})
    return multiply(expand_dims(x, 1), expand_dims(y, 0))


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """Sum of diagonal `offset` of matrices."""
    x = as_tensor(x)
    if x.ndim < 2:
        raise ShapeError("trace: x has no matrices", operands={"x": x})
    return sum_(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def diagonal(x: Any, /, *, offset: int = 0) -> Tensor:
    """Diagonal `offset` of matrices of static size, as the last dimension."""
    x = as_tensor(x)
    rows, cols = x.shape[-2:]
    length = max(min(rows + min(offset, 0), cols - max(offset, 0)), 0)
    flat = reshape(x, (*x.shape[:-2], rows * cols))
    first = max(-offset, 0) * cols + max(offset, 0)
    end = first + (length - 1) * (cols + 1) + 1 if length else first
    lead = x.ndim - 2
    return b.slice(
        flat,
        start=(0,) * lead + (first,),
        limit=(*x.shape[:-2], end),
        strides=(1,) * lead + (cols + 1,),
    )
