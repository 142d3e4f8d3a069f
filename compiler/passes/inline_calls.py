"""Replace calls by the body of what they call, and so optimise across them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compiler.ir.builder import BuilderOps, infer_types
from compiler.ir.node import Graph, Node, Value
from compiler.ir.op import Op
from compiler.ir.rewrite import rebuild
from compiler.ir.transform import inline
from compiler.ir.types import TensorType
from compiler.passes.context import PassContext


class _Inliner(BuilderOps):
    """Makes the nodes of a body again, in the scope of the call; calls inside too."""

    def __init__(self, call: Node) -> None:
        self.call = call

    def apply(self, op: Op, inputs: tuple[Any, ...], attrs: Mapping[str, Any]) -> Any:
        """A node, or what a nested call stands for."""
        types = infer_types(op, tuple(v.type for v in inputs), attrs)
        node = Node(op, inputs, attrs, types, self.call.loc, self.call.scope)
        results = _inlined(node) or node.outputs
        return results[0] if len(results) == 1 else results

    def type_of(self, x: Value) -> TensorType:
        """The type of a graph value."""
        return x.type


def _inlined(node: Node) -> tuple[Value, ...] | None:
    if node.op.name != "call":
        return None
    return tuple(inline(_Inliner(node), node.attrs["body"], node.inputs))


def inline_calls(graph: Graph, context: PassContext) -> Graph:
    """A graph without calls."""
    return rebuild(graph, _inlined)
