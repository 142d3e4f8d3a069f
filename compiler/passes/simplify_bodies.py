"""The passes applied to graphs inside nodes: loop bodies and branches."""

from __future__ import annotations

from typing import Any

from compiler.ir.node import Graph, Node, Value
from compiler.ir.rewrite import rebuild
from compiler.passes.context import PassContext


def simplify_bodies(graph: Graph, ctx: PassContext) -> Graph:
    """Run the pipeline on every graph that is an attribute of a node."""

    def rewrite(node: Node) -> tuple[Value, ...] | None:
        attrs = {key: _simplify(value, ctx) for key, value in node.attrs.items()}
        if all(attrs[key] is value for key, value in node.attrs.items()):
            return None
        new = Node(node.op, node.inputs, attrs, node.types, node.loc, node.scope)
        return new.outputs

    if not any(_has_graph(v) for n in graph.nodes for v in n.attrs.values()):
        return graph
    return rebuild(graph, rewrite)


def _has_graph(value: Any) -> bool:
    if isinstance(value, tuple):
        return any(_has_graph(item) for item in value)
    return isinstance(value, Graph)


def _simplify(value: Any, ctx: PassContext) -> Any:
    if isinstance(value, Graph):
        return ctx.simplify(value)
    if isinstance(value, tuple):
        items = tuple(_simplify(item, ctx) for item in value)
        same = all(a is b for a, b in zip(items, value, strict=True))
        return value if same else items
    return value
