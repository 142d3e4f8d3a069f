"""Common subexpressions: equal ops of equal operands are computed once."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from compiler.ir.node import Graph, Node, Value
from compiler.ir.rewrite import rebuild
from compiler.passes.canonicalize import COMMUTATIVE
from compiler.passes.context import PassContext

# Parameters are distinct by position, and a custom call may have effects.
_NEVER = frozenset(["parameter", "custom_call"])
_COMMUTATIVE = frozenset(COMMUTATIVE)


def eliminate_common(graph: Graph, ctx: PassContext) -> Graph:
    """Replace every node that repeats an earlier one by that one.

    Two nodes are equal if op, operands and attributes are; attributes are compared by
    their bits. The operands of a commutative op may be in either order.
    """
    first: dict[tuple[Any, ...], Node] = {}

    def rewrite(node: Node) -> Sequence[Value] | None:
        if node.op.name in _NEVER:
            return None
        kept = first.setdefault(_key(node, ctx), node)
        return None if kept is node else kept.outputs

    return rebuild(graph, rewrite)


def _key(node: Node, ctx: PassContext) -> tuple[Any, ...]:
    operands: Any = node.inputs
    if node.op.name in _COMMUTATIVE:
        operands = frozenset(operands)  # x + x and x + y differ in size, too
    if not node.attrs:
        return (node.op, operands)
    attrs = ctx.attr_keys.get(node)
    if attrs is None:
        attrs = tuple([_attr_key(v) for v in node.attrs.values()])
        ctx.attr_keys[node] = attrs
    return (node.op, operands, attrs)


def _attr_key(value: Any) -> Any:
    """Floats are equal if their bits are: 0.0 and -0.0 differ, and so do 1 and 1.0."""
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, tuple):
        return tuple([_attr_key(v) for v in value])
    return (bool, value) if isinstance(value, bool) else value
