"""Rewrite rules as data: a pattern over a node and its operands, and a replacement.

The pattern language has three forms::

    X                                      any value (`Hole`); twice: the same value
    literal("c", value=1)                  a scalar literal, broadcast or not (`Lit`)
    apply_of("add", X, literal("c"))       an op applied to patterns (`Apply`)

A rule is tried only on nodes of the ops at the root of its pattern.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from compiler.ir.builder import BuilderOps
from compiler.ir.node import Node, Value
from compiler.passes.values import same_number, splat_number

Found = dict[str, Any]
ANY_KIND = "biufc"


class Pattern:
    """Something a value may match."""

    __slots__ = ()

    def match(self, value: Value, found: Found) -> bool:
        """True if `value` matches; what the names stand for goes into `found`."""
        raise NotImplementedError


class Hole(Pattern):
    """Any value; the same value wherever the name occurs again."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def match(self, value: Value, found: Found) -> bool:
        """Bind the name to `value`, or compare with what it is bound to."""
        return found.setdefault(self.name, value) is value


X, Y, Z = Hole("x"), Hole("y"), Hole("z")


class Lit(Pattern):
    """A scalar literal, possibly broadcast; binds the name to its Python number."""

    __slots__ = ("kinds", "name", "test")

    def __init__(
        self, name: str, test: Callable[[Any], bool] | None, kinds: str
    ) -> None:
        self.name = name
        self.test = test
        self.kinds = kinds

    def match(self, value: Value, found: Found) -> bool:
        """Match dtype kind first: it is the cheapest test."""
        if value.type.dtype.kind not in self.kinds:
            return False
        number = splat_number(value)
        if number is None or (self.test is not None and not self.test(number)):
            return False
        found[self.name] = number
        return True


def literal(
    name: str = "c",
    value: Any = None,
    *,
    test: Callable[[Any], bool] | None = None,
    kinds: str = ANY_KIND,
) -> Lit:
    """A literal: any, one equal to `value` (0.0 and -0.0 differ), or one by a test."""
    if value is not None:
        return Lit(name, lambda number: same_number(number, value), kinds)
    return Lit(name, test, kinds)


class Apply(Pattern):
    """One of some ops, applied to operands that match.

    `where` is a test of the node; with `swap` the two operands match in either order;
    `name` binds the node.
    """

    __slots__ = ("kinds", "name", "operands", "ops", "swap", "where")

    def __init__(
        self,
        ops: frozenset[str],
        operands: tuple[Pattern, ...] | None,
        where: Callable[[Node], bool] | None,
        kinds: str,
        swap: bool,
        name: str | None,
    ) -> None:
        self.ops = ops
        self.operands = operands
        self.where = where
        self.kinds = kinds
        self.swap = swap
        self.name = name

    def match(self, value: Value, found: Found) -> bool:
        """Match the node that makes `value`."""
        node = value.node
        return node.op.name in self.ops and self.match_node(node, found)

    def match_node(self, node: Node, found: Found) -> bool:
        """Match a node whose op is known to be one of `ops`."""
        if node.outputs[0].type.dtype.kind not in self.kinds:
            return False
        if self.where is not None and not self.where(node):
            return False
        if self.name is not None:
            found[self.name] = node
        if self.operands is None:
            return True
        return self._operands(node.inputs, found)

    def _operands(self, inputs: tuple[Value, ...], found: Found) -> bool:
        if len(inputs) != len(self.operands or ()):
            return False
        before = dict(found) if self.swap else found
        if self._in_order(inputs, found):
            return True
        if not self.swap:
            return False
        found.clear()
        found.update(before)
        return self._in_order(inputs[::-1], found)

    def _in_order(self, inputs: tuple[Value, ...], found: Found) -> bool:
        return all(
            p.match(v, found) for p, v in zip(self.operands or (), inputs, strict=True)
        )


def apply_of(
    ops: str | Iterable[str],
    *operands: Pattern,
    where: Callable[[Node], bool] | None = None,
    kinds: str = ANY_KIND,
    swap: bool = False,
    name: str | None = None,
) -> Apply:
    """An `Apply` pattern; without operands it matches whatever the operands are.

    `ops` is a name, several names separated by blanks, or a collection of names;
    `kinds` are the dtype kinds of the result that are meant.
    """
    names = ops.split() if isinstance(ops, str) else ops
    return Apply(frozenset(names), operands or None, where, kinds, swap, name)


class Match:
    """What a replacement is given: the node, what the names matched, and a builder."""

    __slots__ = ("b", "found", "node")

    def __init__(self, b: BuilderOps, node: Node, found: Found) -> None:
        self.b = b
        self.node = node
        self.found = found

    def __getitem__(self, name: str) -> Any:
        return self.found[name]

    @property
    def attrs(self) -> dict[str, Any]:
        """Attributes of the matched node."""
        return self.node.attrs

    @property
    def operands(self) -> tuple[Value, ...]:
        """Operands of the matched node."""
        return self.node.inputs

    @property
    def out(self) -> Value:
        """The value that is replaced."""
        return self.node.outputs[0]


EXACT = "none: every bit is kept"


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One rewrite.

    Attributes:
        name: what users write to switch it on or see in reports.
        pattern: what it applies to.
        replacement: given the match, the value to use instead; None leaves the node.
        error: how far results may move; `EXACT` for rules that keep every bit of every
            number. (Which NaN comes out of an operation on NaNs is not specified by
            IEEE 754, and not kept: a NaN stays a NaN.)
        doc: the rewrite as a formula.
        relaxed: off unless a user asks for it by name.
    """

    name: str
    pattern: Apply
    replacement: Callable[[Match], Value | None]
    doc: str
    error: str = EXACT
    relaxed: bool = False

    @property
    def exact(self) -> bool:
        """True for rules that keep every bit."""
        return self.error == EXACT
