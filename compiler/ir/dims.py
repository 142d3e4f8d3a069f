"""Dimensions: an ``int``, or a polynomial over named symbols (``B``, ``2*B+1``).

A symbolic dimension stands for a size that is known when an executable is called.
Equal polynomials are equal dimensions; nothing else is assumed about a symbol but
that it is a non-negative integer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import prod

from compiler.errors import TypeInferenceError

Monomial = tuple[str, ...]  # sorted symbol names, repeated for powers


class SymDim:
    """A polynomial with integer coefficients over named symbols, in normal form."""

    __slots__ = ("_hash", "_text", "terms")

    def __init__(self, terms: Mapping[Monomial, int]) -> None:
        self.terms: tuple[tuple[Monomial, int], ...] = tuple(sorted(terms.items()))
        self._text = _print(self.terms)
        self._hash = hash(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SymDim) and self._text == other._text

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return self._text

    def __add__(self, other: Dim) -> Dim:
        terms = dict(self.terms)
        for mono, coeff in _terms(other):
            terms[mono] = terms.get(mono, 0) + coeff
        return _normal(terms)

    __radd__ = __add__

    def __neg__(self) -> Dim:
        return self * -1

    def __sub__(self, other: Dim) -> Dim:
        return self + (other * -1)

    def __rsub__(self, other: Dim) -> Dim:
        return self * -1 + other

    def __mul__(self, other: Dim) -> Dim:
        terms: dict[Monomial, int] = {}
        for mono, coeff in self.terms:
            for mono2, coeff2 in _terms(other):
                key = tuple(sorted(mono + mono2))
                terms[key] = terms.get(key, 0) + coeff * coeff2
        return _normal(terms)

    __rmul__ = __mul__

    def __floordiv__(self, other: Dim) -> Dim:
        result = exact_div(self, other)
        if result is None:
            raise TypeInferenceError(
                f"{self} is not known to be divisible by {other}",
                fix="give the dimension a fixed size in the TensorSpec",
            )
        return result

    @property
    def symbols(self) -> frozenset[str]:
        """The names this dimension depends on."""
        return frozenset(name for mono, _ in self.terms for name in mono)

    def substitute(self, bindings: Mapping[str, Dim]) -> Dim:
        """The dimension with symbols replaced; symbols not in `bindings` stay."""
        total: Dim = 0
        for mono, coeff in self.terms:
            term: Dim = coeff
            for name in mono:
                term = term * bindings.get(name, symbol(name))
            total = total + term
        return total


Dim = int | SymDim
Shape = tuple[Dim, ...]


def symbol(name: str) -> SymDim:
    """The dimension that is just the symbol `name`."""
    return SymDim({(name,): 1})


def _terms(dim: Dim) -> Iterable[tuple[Monomial, int]]:
    return dim.terms if isinstance(dim, SymDim) else (((), int(dim)),)


def _normal(terms: dict[Monomial, int]) -> Dim:
    kept = {mono: coeff for mono, coeff in terms.items() if coeff}
    if not kept:
        return 0
    if set(kept) == {()}:
        return kept[()]
    return SymDim(kept)


def _print(terms: tuple[tuple[Monomial, int], ...]) -> str:
    parts = []
    for mono, coeff in sorted(terms, key=lambda t: (-len(t[0]), t[0])):
        factors = list(mono)
        if coeff != 1 or not factors:
            factors = [str(coeff), *factors]
        parts.append("*".join(factors))
    return "+".join(parts).replace("+-", "-")


_TOKEN = re.compile(r"([+-]?)((?:[A-Za-z_]\w*|\d+)(?:\*(?:[A-Za-z_]\w*|\d+))*)")


def parse_dim(text: str) -> Dim:
    """Inverse of ``str(dim)``: ``"128"``, ``"B"``, ``"2*B+1"``."""
    text = re.sub(r"\s*([*+-])\s*", r"\1", text.strip())
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    total: Dim = 0
    position = 0
    for match in _TOKEN.finditer(text):
        if match.start() != position or (position and not match[1]):
            break
        position = match.end()
        term: Dim = -1 if match[1] == "-" else 1
        for factor in match[2].split("*"):
            term = term * (int(factor) if factor.isdigit() else symbol(factor))
        total = total + term
    if position != len(text) or not text:
        raise ValueError(f"not a dimension: {text!r}")
    return total


def exact_div(a: Dim, b: Dim) -> Dim | None:
    """``a / b`` when every term of `a` is divisible by the single-term `b`."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b if b and a % b == 0 else None
    if a == b:
        return 1
    divisor = list(_terms(b))
    if len(divisor) != 1:
        return None
    (mono_b, coeff_b) = divisor[0]
    if coeff_b == 0:
        return None
    out: dict[Monomial, int] = {}
    for mono, coeff in _terms(a):
        rest = list(mono)
        for name in mono_b:
            if name not in rest:
                return None
            rest.remove(name)
        if coeff % coeff_b:
            return None
        out[tuple(rest)] = coeff // coeff_b
    return _normal(out)


def size_of(shape: Iterable[Dim]) -> Dim:
    """Number of elements of a shape."""
    return prod(shape, start=1)


def substitute(dim: Dim, bindings: Mapping[str, Dim]) -> Dim:
    """`dim` with its symbols replaced; an int is returned as it is."""
    return dim.substitute(bindings) if isinstance(dim, SymDim) else dim


def concrete(dim: Dim, bindings: Mapping[str, int]) -> int:
    """The integer a dimension stands for under `bindings`."""
    value = substitute(dim, bindings)
    if not isinstance(value, int):
        missing = sorted(value.symbols - set(bindings))
        raise TypeInferenceError(f"dimension {dim} needs a value for {missing}")
    return value


def symbols_of(shape: Iterable[Dim]) -> frozenset[str]:
    """All symbol names that a shape depends on."""
    names: frozenset[str] = frozenset()
    for dim in shape:
        if isinstance(dim, SymDim):
            names |= dim.symbols
    return names
