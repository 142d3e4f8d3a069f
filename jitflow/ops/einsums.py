"""Einstein summation over `dot_general`."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

from jitflow.errors import ArgumentError, ShapeError
from jitflow.ops.coerce import as_tensor, promote_all
from jitflow.ops.dispatch import builder as b
from jitflow.ops.linear_algebra import diagonal
from jitflow.ops.manipulation import moveaxis, permute_dims
from jitflow.ops.reductions import sum as sum_
from jitflow.tensor.tensor import Tensor

__all__ = ["einsum"]


def _ellipses(terms: list[str], operands: Sequence[Tensor]) -> tuple[list[str], str]:
    """Terms with a label of its own for each dimension of ``...``, and these labels."""
    extra = [
        x.ndim - len(t.replace("...", "")) if "..." in t else 0
        for t, x in zip(terms, operands, strict=True)
    ]
    if min(extra, default=0) < 0:
        raise ArgumentError(f"einsum: {','.join(terms)!r} has more labels than axes")
    spare = "".join(chr(c) for c in range(0x391, 0x391 + max(extra, default=0)))
    pairs = zip(terms, extra, strict=True)
    return [t.replace("...", spare[len(spare) - n :]) for t, n in pairs], spare


def _parse(subscripts: str, operands: Sequence[Tensor]) -> tuple[list[str], str]:
    """Labels of the operands and of the result."""
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise ArgumentError(
            f"einsum: {len(terms)} terms in {subscripts!r}, {len(operands)} operands"
        )
    terms, spare = _ellipses(terms, operands)
    if arrow:
        return terms, right.replace("...", spare)
    letters = "".join(terms)
    once = sorted(c for c in set(letters) if letters.count(c) == 1 and c not in spare)
    return terms, spare + "".join(once)


def _from_lists(args: Sequence[Any]) -> tuple[str, list[Any]]:
    """``einsum(x, [0, 1], y, [1, 2], [0, 2])`` as subscripts and operands."""
    operands, lists = list(args[0::2]), list(args[1::2])
    result = operands.pop() if len(operands) > len(lists) else None

    def spell(labels: Any) -> str:
        return "".join(
            "..." if n is Ellipsis else string.ascii_letters[n] for n in labels
        )

    text = ",".join(map(spell, lists))
    return (text if result is None else f"{text}->{spell(result)}"), operands


def einsum(subscripts: Any, /, *operands: Any, optimize: Any = None) -> Tensor:
    """Einstein summation: ``"bij,bjk->bik"``.

    Pairs of operands are contracted in the order that keeps the intermediate results
    smallest, one step ahead.

    Args:
        subscripts: labels as in `numpy.einsum`, with ``...``, or NumPy's other form:
            operands and lists of ints in turn, and the list of the result.
        operands: one tensor per term.
        optimize: accepted for NumPy's sake.

    Raises:
        ArgumentError: if the subscripts do not fit the operands.
        ShapeError: if one label stands for different sizes.
    """
    if not isinstance(subscripts, str):
        subscripts, given = _from_lists((subscripts, *operands))
        operands = tuple(given)
    xs = list(promote_all("einsum", *map(as_tensor, operands)))
    terms, result = _parse(subscripts, xs)
    for term, x in zip(terms, xs, strict=True):
        if len(term) != x.ndim:
            raise ArgumentError(
                f"einsum: {term!r} in {subscripts!r} does not label an operand of "
                f"rank {x.ndim}",
                operands={"operand": x},
            )
    if len(set(result)) != len(result) or not set(result) <= set("".join(terms)):
        raise ArgumentError(f"einsum: {result!r} is no result of {subscripts!r}")
    pairs = [_diagonals(x, t) for x, t in zip(xs, terms, strict=True)]
    while len(pairs) > 1:
        i, j = _cheapest(pairs, result)
        rest = [p for k, p in enumerate(pairs) if k not in (i, j)]
        later = set(result).union(*(labels for _, labels in rest))
        pairs = [_pair(*pairs[i], *pairs[j], later), *rest]
    x, labels = _sum_out(*pairs[0], set(result))
    return permute_dims(x, [labels.index(c) for c in result])


def _diagonals(x: Tensor, labels: str) -> tuple[Tensor, str]:
    """Labels that occur twice made one, by taking diagonals."""
    for c in dict.fromkeys(labels):
        while labels.count(c) > 1:
            i = labels.index(c)
            j = labels.index(c, i + 1)
            if x.shape[i] != x.shape[j]:
                raise _sizes_differ(c, x, x, x.shape[i], x.shape[j])
            x = diagonal(moveaxis(x, (i, j), (-2, -1)))
            labels = labels[:i] + labels[i + 1 : j] + labels[j + 1 :] + c
    return x, labels


def _sizes_differ(label: str, x: Tensor, y: Tensor, m: Any, n: Any) -> ShapeError:
    return ShapeError(
        f"einsum: label {label!r} needs equal sizes: {m} != {n}",
        operands={"x1": x, "x2": y},
    )


def _cheapest(pairs: list[tuple[Tensor, str]], result: str) -> tuple[int, int]:
    """The two operands whose contraction grows memory least; the first two if sizes
    are not all known."""
    sizes = {c: d for x, t in pairs for c, d in zip(t, x.shape, strict=True) if d != 1}
    if len(pairs) == 2 or not all(isinstance(d, int) for d in sizes.values()):
        return 0, 1

    def volume(labels: set[str]) -> int:
        total = 1
        for c in labels:
            total *= sizes.get(c, 1)
        return total

    def growth(ij: tuple[int, int]) -> int:
        others = (t for k, (_, t) in enumerate(pairs) if k not in ij)
        needed = set(result).union(*others)
        both = [set(pairs[k][1]) for k in ij]
        return volume((both[0] | both[1]) & needed) - sum(map(volume, both))

    every = range(len(pairs))
    return min(((i, j) for i in every for j in every if i < j), key=growth)


def _sum_out(x: Tensor, labels: str, keep: set[str]) -> tuple[Tensor, str]:
    axes = tuple(i for i, c in enumerate(labels) if c not in keep)
    if axes:
        x = sum_(x, axis=axes, dtype=x.dtype)
    return x, "".join(c for c in labels if c in keep)


def _pair(x: Tensor, p: str, y: Tensor, q: str, later: set[str]) -> tuple[Tensor, str]:
    """Contract two labelled operands over the labels that nobody needs later."""
    x, p = _sum_out(x, p, set(q) | later)
    y, q = _sum_out(y, q, set(p) | later)
    x, y = _stretch(x, p, y, q), _stretch(y, q, x, p)
    common = [c for c in p if c in q]
    for c in common:
        if x.shape[p.index(c)] != y.shape[q.index(c)]:
            sizes = x.shape[p.index(c)], y.shape[q.index(c)]
            raise _sizes_differ(c, x, y, *sizes)
    batch = [c for c in common if c in later]
    inner = [c for c in common if c not in later]
    product = b.dot_general(
        x,
        y,
        contract=_places(inner, p, q),
        batch=_places(batch, p, q),
    )
    free = [c for c in p + q if c not in common]
    return product, "".join(batch + free)


def _places(labels: list[str], p: str, q: str) -> tuple[tuple[int, ...], ...]:
    return tuple(p.index(c) for c in labels), tuple(q.index(c) for c in labels)


def _stretch(x: Tensor, p: str, y: Tensor, q: str) -> Tensor:
    """`x` with sizes of 1 repeated to the size that the label has in `y`."""
    sizes = dict(zip(q, y.shape, strict=True))
    pairs = zip(p, x.shape, strict=True)
    shape = tuple(sizes.get(c, d) if d == 1 else d for c, d in pairs)
    return b.broadcast(x, shape)
