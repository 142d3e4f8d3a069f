"""Rebuilding graphs: the one loop that every pass uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from compiler.ir.node import Graph, Node, Value

# Given a node whose inputs are already the new ones: its replacement results, or None
# to keep it. New nodes it makes are told to the caller through `emit`.
Rewriter = Callable[[Node], Sequence[Value] | None]


def with_inputs(node: Node, inputs: tuple[Value, ...]) -> Node:
    """`node` reading other values of the same types; itself if nothing differs."""
    if all(a is b for a, b in zip(node.inputs, inputs, strict=True)):
        return node
    return Node(node.op, inputs, node.attrs, node.types, node.loc, node.scope)


def topological(outputs: Iterable[Value], params: Iterable[Node] = ()) -> list[Node]:
    """`params`, then every node that `outputs` need, operands first (no recursion)."""
    order = list(params)
    seen = set(order)
    stack: list[tuple[Node, bool]] = [(v.node, False) for v in outputs][::-1]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((v.node, False) for v in reversed(node.inputs))
    return order


def rebuild(graph: Graph, rewrite: Rewriter) -> Graph:
    """Replace nodes front to back; the same object comes back if nothing changed.

    `rewrite` sees each node with its new inputs and returns replacement results (whose
    nodes may be new) or None. Nodes that nothing needs any more are dropped; the
    relative order of the rest is kept as far as operands allow.
    """
    new: dict[Value, Value] = {}
    changed = False
    for node in graph.nodes:
        current = node
        if new and not new.keys().isdisjoint(node.inputs):
            current = with_inputs(node, tuple(new.get(v, v) for v in node.inputs))
        results = rewrite(current)
        if results is None and current is node:
            continue
        outputs = current.outputs if results is None else tuple(results)
        changed |= results is not None
        for old, value in zip(node.outputs, outputs, strict=True):
            if value is not old:
                new[old] = value
    if not changed:
        return graph
    outputs = tuple(new.get(v, v) for v in graph.outputs)
    nodes = topological(outputs, graph.params)
    return Graph(graph.name, graph.params, nodes, outputs, graph.aliases)
