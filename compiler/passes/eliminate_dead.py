"""Dead code: nodes that no result needs."""

from __future__ import annotations

from compiler.ir.node import Graph
from compiler.ir.rewrite import topological
from compiler.passes.context import PassContext


def eliminate_dead(graph: Graph, ctx: PassContext) -> Graph:
    """Drop the nodes that the results do not depend on; parameters stay."""
    needed = topological(graph.outputs, graph.params)
    if len(needed) == len(graph.nodes):
        return graph
    kept = set(needed)
    nodes = [node for node in graph.nodes if node in kept]
    return Graph(graph.name, graph.params, nodes, graph.outputs, graph.aliases)
