"""Products of tensors: matmul, tensordot, vecdot, outer, einsum over dot_general."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitflow.errors import ArgumentError, ShapeError
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


# ------------------------------------------------------------------------- einsum


def _parse(subscripts: str, operands: Sequence[Tensor]) -> tuple[list[str], str]:
    """Labels of the operands and of the result, ellipses given capital labels."""
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise ArgumentError(
            f"einsum: {len(terms)} terms in {subscripts!r}, {len(operands)} operands"
        )
    extra = [
        x.ndim - len(t.replace("...", "")) if "..." in t else 0
        for t, x in zip(terms, operands, strict=True)
    ]
    spare = [chr(c) for c in range(0x391, 0x391 + max(extra, default=0))]
    terms = [
        t.replace("...", "".join(spare[len(spare) - n :]))
        for t, n in zip(terms, extra, strict=True)
    ]
    if arrow:
        return terms, right.replace("...", "".join(spare))
    letters = "".join(terms)
    once = sorted(c for c in set(letters) if letters.count(c) == 1 and c not in spare)
    return terms, "".join(spare) + "".join(once)


def einsum(subscripts: str, /, *operands: Any) -> Tensor:
    """Einstein summation: ``"bij,bjk->bik"``; operands are contracted left to right.

    Args:
        subscripts: labels as in `numpy.einsum`, with ``...``; a label may occur at
            most once per operand.
        operands: one tensor per term.

    Raises:
        ArgumentError: if the subscripts do not fit the operands.
    """
    xs = list(promote_all("einsum", *operands))
    terms, result = _parse(subscripts, xs)
    for term, x in zip(terms, xs, strict=True):
        if len(term) != x.ndim or len(set(term)) != len(term):
            raise ArgumentError(
                f"einsum: {term!r} in {subscripts!r} does not label an operand of "
                f"rank {x.ndim}",
                operands={"operand": x},
            )
    if len(set(result)) != len(result) or not set(result) <= set("".join(terms)):
        raise ArgumentError(f"einsum: {result!r} is no result of {subscripts!r}")
    labels, x = terms[0], xs[0]
    for i in range(1, len(xs)):
        later = set("".join(terms[i + 1 :])) | set(result)
        labels, x = _pair(x, labels, xs[i], terms[i], later)
    x, labels = _sum_out(x, labels, set(result))
    return permute_dims(x, [labels.index(c) for c in result])


def _sum_out(x: Tensor, labels: str, keep: set[str]) -> tuple[Tensor, str]:
    axes = tuple(i for i, c in enumerate(labels) if c not in keep)
    if axes:
        x = sum_(x, axis=axes, dtype=x.dtype)
    return x, "".join(c for c in labels if c in keep)


def _pair(x: Tensor, p: str, y: Tensor, q: str, later: set[str]) -> tuple[str, Tensor]:
    """Contract two labelled operands over the labels that nobody needs later."""
    x, p = _sum_out(x, p, set(q) | later)
    y, q = _sum_out(y, q, set(p) | later)
    x, y = _stretch(x, p, y, q), _stretch(y, q, x, p)
    common = [c for c in p if c in q]
    batch = [c for c in common if c in later]
    inner = [c for c in common if c not in later]
    for c in common:
        if x.shape[p.index(c)] != y.shape[q.index(c)]:
            left, right = x.shape[p.index(c)], y.shape[q.index(c)]
            raise _inner_error(f"einsum: label {c!r}", x, y, left, right)
    product = _contract(
        x,
        y,
        (tuple(p.index(c) for c in inner), tuple(q.index(c) for c in inner)),
        (tuple(p.index(c) for c in batch), tuple(q.index(c) for c in batch)),
    )
    free = [c for c in p + q if c not in common]
    return "".join(batch + free), product


def _stretch(x: Tensor, p: str, y: Tensor, q: str) -> Tensor:
    """`x` with sizes of 1 repeated to the size that the label has in `y`."""
    sizes = dict(zip(q, y.shape, strict=True))
    pairs = zip(p, x.shape, strict=True)
    shape = tuple(sizes.get(c, d) if d == 1 else d for c, d in pairs)
    return b.broadcast(x, shape)


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
