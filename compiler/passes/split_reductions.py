"""Split reductions over interleaved dimensions into two that kernels can run.

A kernel reduces one run of neighbouring dimensions. A reduction over, say, dimensions 0
and 2 of three first reduces dimension 2, row by row, and then dimension 0.
"""

from __future__ import annotations

from compiler.ir.builder import infer_types
from compiler.ir.node import Graph, Node, Value
from compiler.ir.rewrite import rebuild
from compiler.passes.context import PassContext


def split_reductions(graph: Graph, context: PassContext) -> Graph:
    """Leave only reductions whose axes, but for size-1 dimensions, are one run."""

    def rewrite(node: Node) -> tuple[Value, ...] | None:
        last = _last_run(node)
        if last is None:
            return None
        rest = tuple(a for a in node.attrs["axes"] if a not in last)
        first = _reduce(node, node.inputs[0], last)
        # The inner result has lost dimensions behind all of the remaining axes.
        return _reduce(node, first.output, rest).outputs

    return rebuild(graph, rewrite)


def _last_run(node: Node) -> tuple[int, ...] | None:
    """The last run of axes, if there are earlier ones that it is not connected to."""
    if not node.op.name.startswith("reduce_") or "axes" not in node.attrs:
        return None
    if node.output.dtype.bits == 16:
        return None  # rounding between the two would lose precision
    shape, axes = node.inputs[0].shape, set(node.attrs["axes"])
    gap = None
    for d in reversed(range(len(shape))):
        if shape[d] == 1:
            continue
        if d not in axes and any(a > d and shape[a] != 1 for a in axes):
            gap = d
            break
    if gap is None or not any(a < gap and shape[a] != 1 for a in axes):
        return None
    return tuple(a for a in node.attrs["axes"] if a > gap)


def _reduce(node: Node, operand: Value, axes: tuple[int, ...]) -> Node:
    attrs = {"axes": axes}
    types = infer_types(node.op, (operand.type,), attrs)
    return Node(node.op, (operand,), attrs, types, node.loc, node.scope)
