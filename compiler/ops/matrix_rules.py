"""Matrix algebra over a builder, for the rules of the linear-algebra ops.

All functions work on stacks of matrices ``[..., m, n]``. Cotangents follow the
convention of the other ops (a holomorphic function multiplies by its derivative, so
the pairing is ``Re sum g*t``); textbook formulas use ``Re sum conj(G)*t``, which is
the same for ``g = conj(G)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compiler.ir import types as t
from compiler.ir.dims import Dim


def matmul(b: Any, x: Any, y: Any) -> Any:
    """Matrix product of two stacks with equal leading dimensions."""
    rank = b.type_of(x).rank
    lead = tuple(range(rank - 2))
    return b.dot_general(x, y, contract=((rank - 1,), (rank - 2,)), batch=(lead, lead))


def transpose(b: Any, x: Any) -> Any:
    """The last two dimensions exchanged."""
    rank = b.type_of(x).rank
    order = (*range(rank - 2), rank - 1, rank - 2)
    return b.transpose(x, permutation=order)


def conjugate(b: Any, x: Any) -> Any:
    """Complex conjugate; a real array is its own."""
    if not b.type_of(x).dtype.is_complex:
        return x
    return b.complex(b.real(x), b.negate(b.imag(x)))


def adjoint(b: Any, x: Any) -> Any:
    """Conjugate transpose."""
    return conjugate(b, transpose(b, x))


def textbook(rule: Callable[..., Any]) -> Callable[..., Any]:
    """A vjp written for ``Re sum conj(G)*t`` as one for ``Re sum g*t``."""

    def vjp(b: Any, g: Any, *rest: Any, **attrs: Any) -> Any:
        parts = g if isinstance(g, tuple) else (g,)
        turned = tuple(p if p is None else conjugate(b, p) for p in parts)
        first = turned if isinstance(g, tuple) else turned[0]
        results = rule(b, first, *rest, **attrs)
        return tuple(r if r is None else conjugate(b, r) for r in results)

    return vjp


def _compare_axes(b: Any, x: Any, direction: str) -> Any:
    """Mask of a stack: row index against column index."""
    type_ = b.type_of(x).with_dtype(t.i64)
    row = b.iota(type=type_, dim=type_.rank - 2)
    column = b.iota(type=type_, dim=type_.rank - 1)
    return b.compare(row, column, direction=direction)


def keep(b: Any, x: Any, direction: str) -> Any:
    """Elements whose row and column compare so ("GE": the lower triangle), else 0."""
    return b.select(_compare_axes(b, x, direction), x, b.zeros_like(x))


def identity_like(b: Any, x: Any) -> Any:
    """Identity matrices of the type of `x`."""
    mask = _compare_axes(b, x, "EQ")
    return b.convert(mask, dtype=b.type_of(x).dtype)


def halve_diagonal(b: Any, x: Any) -> Any:
    """The lower triangle with half the diagonal."""
    strict = keep(b, x, "GT")
    return b.add(strict, b.scale(keep(b, x, "EQ"), 0.5))


def hermitian(b: Any, x: Any) -> Any:
    """``(x + x^H) / 2``."""
    return b.scale(b.add(x, adjoint(b, x)), 0.5)


def columns(b: Any, vector: Any, rows: Dim) -> Any:
    """``[..., n]`` repeated as every row of ``[..., rows, n]``."""
    shape = b.type_of(vector).shape
    rank = len(shape)
    dims = (*range(rank - 1), rank)
    return b.broadcast_in_dim(vector, dims=dims, shape=(*shape[:-1], rows, shape[-1]))


def rows(b: Any, vector: Any, count: Dim) -> Any:
    """``[..., n]`` repeated as every column of ``[..., n, count]``."""
    shape = b.type_of(vector).shape
    return b.broadcast_in_dim(
        vector, dims=tuple(range(len(shape))), shape=(*shape, count)
    )


def diagonal(b: Any, x: Any) -> Any:
    """The main diagonal of square matrices."""
    return b.reduce_sum(keep(b, x, "EQ"), axes=(b.type_of(x).rank - 1,))


def solve(b: Any, a: Any, x: Any, lower: bool, **how: Any) -> Any:
    """`triangular_solve` with defaults: from the left, not transposed."""
    attrs = {"left": True, "transpose": "none", "unit_diagonal": False, **how}
    return b.triangular_solve(a, x, lower=lower, **attrs)
