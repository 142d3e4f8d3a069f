"""Products of windows that need not be written down.

A convolution is a product of `patches` with a filter, and so is its gradient. Where all
readers of the windows are such products, and the numbers of channels suit register
tiles, the runtime reads the windows out of the array itself, and the step that would
have written them, often many times the size of the array, falls away.
"""

from __future__ import annotations

from math import prod

from compiler.fusion.group import FusedGraph, Group
from compiler.ir.node import Node, Value
from compiler.passes.layout_dots import gemm_shape

COLUMN_MULTIPLE = 16
"""Output channels that fill the vectors of every CPU."""
LONGEST_SUM = 2304
"""Rows of the filter that stay in an L2 cache, a panel of its columns at a time."""


def read_in_place(fused: FusedGraph) -> frozenset[Node]:
    """The `patches` ops whose results are not needed in memory."""
    alone = {g.nodes[0] for g in fused.groups if _is_patches(g)}
    if not alone:
        return frozenset()
    kept = {v.node for v in fused.graph.outputs}
    for node in fused.graph.nodes:
        whole = node.inputs[1:] if is_window_product(node) else node.inputs
        kept.update(value.node for value in whole)
    return frozenset(alone - kept)


def _is_patches(group: Group) -> bool:
    return len(group.nodes) == 1 and group.nodes[0].op.name == "patches"


def is_window_product(node: Node) -> bool:
    """Whether an op is a product of windows as the runtime multiplies them."""
    if node.op.name != "dot_general" or node.inputs[0].node.op.name != "patches":
        return False
    shape = gemm_shape(node)
    if shape is None or shape.trans_b or node.attrs["batch"] != ((), ()):
        return False
    if node.output.dtype.name not in ("f32", "f64"):
        return False
    columns, fits = shape.n, _fits(node.inputs[0].node, is_gradient(node))
    return fits and isinstance(columns, int) and columns % COLUMN_MULTIPLE == 0


def is_gradient(node: Node) -> bool:
    """Whether a product of windows sums over positions, not over windows."""
    return 0 in node.attrs["contract"][0]


def _fits(patches: Node, gradient: bool) -> bool:
    """Whether windows can be found by a table, and the filter is short enough."""
    (x,), attrs = patches.inputs, patches.attrs
    spatial = len(attrs["window"])
    depth = x.shape[-1]
    if not _static(x) or not _static(patches.output):
        return False
    assert isinstance(depth, int)
    length = prod(attrs["window"]) * depth
    return spatial > 0 and depth > 0 and (gradient or length <= LONGEST_SUM)


def _static(value: Value) -> bool:
    """Whether all sizes but the number of images are known."""
    return all(isinstance(d, int) for d in value.shape[1:])
