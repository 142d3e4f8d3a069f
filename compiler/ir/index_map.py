"""Affine index expressions: which element of an operand an output element reads.

An `Affine` is ``offset + sum(coefficient * dim_k)`` over the dimensions of an iteration
domain. Broadcast, transpose, slice, reverse and reshape of a dense buffer are only
maps of this kind, so they compose over a whole kernel and cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from compiler.ir.dims import Dim, Shape, SymDim, exact_div


class Affine:
    """``offset + sum(coeff * v_dim)``; immutable, equal by value."""

    __slots__ = ("_hash", "offset", "terms")

    def __init__(self, terms: Mapping[int, Dim], offset: Dim = 0) -> None:
        self.terms: dict[int, Dim] = {d: c for d, c in sorted(terms.items()) if c != 0}
        self.offset = offset
        self._hash = hash((tuple(self.terms.items()), offset))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Affine)
            and self.terms == other.terms
            and self.offset == other.offset
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        parts = [f"{c}*v{d}" if c != 1 else f"v{d}" for d, c in self.terms.items()]
        if self.offset != 0 or not parts:
            parts.append(str(self.offset))
        return " + ".join(parts)

    def __add__(self, other: Affine | Dim) -> Affine:
        if isinstance(other, int | SymDim):
            return Affine(self.terms, self.offset + other)
        if not isinstance(other, Affine):
            return NotImplemented
        terms = dict(self.terms)
        for dim, coeff in other.terms.items():
            terms[dim] = terms.get(dim, 0) + coeff
        return Affine(terms, self.offset + other.offset)

    __radd__ = __add__

    def __mul__(self, factor: Dim) -> Affine:
        if not isinstance(factor, int | SymDim):
            return NotImplemented
        return Affine(
            {d: c * factor for d, c in self.terms.items()}, self.offset * factor
        )

    __rmul__ = __mul__

    def __neg__(self) -> Affine:
        return self * -1

    def __sub__(self, other: Affine | Dim) -> Affine:
        return self + (-other)

    def __rsub__(self, other: Dim) -> Affine:
        return -self + other


ZERO = Affine({})


@cache
def identity(rank: int) -> tuple[Affine, ...]:
    """The index of a domain of the given rank in itself."""
    return tuple(Affine({d: 1}) for d in range(rank))


def flatten(index: Sequence[Affine], shape: Shape) -> Affine:
    """Row-major linear position of `index` in a dense array of `shape`."""
    position = ZERO
    stride: Dim = 1
    for i, extent in zip(reversed(index), reversed(shape), strict=True):
        if extent != 1:
            position = position + i * stride
        stride = stride * extent
    return position


def unflatten_through(
    index: Sequence[Affine], out_shape: Shape, in_shape: Shape
) -> tuple[Affine, ...] | None:
    """Index into `in_shape` of a reshape to `out_shape`, if it stays affine.

    Dimensions may be split, and size-1 dimensions may come and go; where a reshape
    merges two dimensions of its operand the answer is None (it needs a division).
    """
    result: list[Affine] = []
    outs = [(i, d) for i, d in zip(index, out_shape, strict=True) if d != 1]
    for extent in in_shape:
        if extent == 1:
            result.append(ZERO)
            continue
        position, remaining = ZERO, extent
        while remaining != 1:
            if not outs:
                return None
            i, d = outs.pop(0)
            rest = exact_div(remaining, d)
            if rest is None:
                return None
            position = position + i * rest
            remaining = rest
        result.append(position)
    return None if outs else tuple(result)
