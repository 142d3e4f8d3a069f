"""Give every product the memory layout that a matrix routine reads.

An operand of a product is ``[batch..., m..., k...]`` or ``[batch..., k..., m...]``,
each run of dimensions in the same order on both sides. Operands that are laid out
otherwise get a transpose, which is then one copy; all others are read in place.
"""

from __future__ import annotations

from dataclasses import dataclass

from compiler.ir import op as op_table
from compiler.ir.builder import infer_types
from compiler.ir.dims import Dim, size_of
from compiler.ir.node import Graph, Node, Value
from compiler.ir.rewrite import rebuild
from compiler.passes.context import PassContext

Dims = tuple[int, ...]


@dataclass(frozen=True)
class GemmShape:
    """A dot_general as a batched matrix product.

    ``C[batch, m, n] = op(A) op(B)``; `trans_a` says A is stored ``[k, m]``, `trans_b`
    that B is stored ``[n, k]``.
    """

    batch: Dim
    m: Dim
    n: Dim
    k: Dim
    trans_a: bool
    trans_b: bool


def gemm_shape(node: Node) -> GemmShape | None:
    """How a dot_general is a matrix product as it is stored; None if it is not."""
    (lhs, rhs), attrs = node.inputs, node.attrs
    (lc, rc), (lb, rb) = attrs["contract"], attrs["batch"]
    left = _matches(lhs, lb, lc)
    right = _matches(rhs, rb, rc)
    if left is None or right is None:
        return None
    free_l = [d for d in range(lhs.type.rank) if d not in lb and d not in lc]
    free_r = [d for d in range(rhs.type.rank) if d not in rb and d not in rc]
    return GemmShape(
        batch=size_of(lhs.shape[d] for d in lb),
        m=size_of(lhs.shape[d] for d in free_l),
        n=size_of(rhs.shape[d] for d in free_r),
        k=size_of(lhs.shape[d] for d in lc),
        trans_a=left == "contract first",
        trans_b=right == "contract last",
    )


def _matches(operand: Value, batch: Dims, contract: Dims) -> str | None:
    """Whether the contracted dimensions come last or first behind the batch."""
    rank, b, c = operand.type.rank, len(batch), len(contract)
    if batch != tuple(range(b)):
        return None
    if contract == tuple(range(rank - c, rank)):
        return "contract last"
    if contract == tuple(range(b, b + c)):
        return "contract first"
    return None


def layout_dots(graph: Graph, context: PassContext) -> Graph:
    """Insert transposes where `gemm_shape` has no answer."""

    def rewrite(node: Node) -> tuple[Value, ...] | None:
        if node.op.name != "dot_general" or gemm_shape(node) is not None:
            return None
        return _laid_out(node).outputs

    return rebuild(graph, rewrite)


def _laid_out(node: Node) -> Node:
    attrs = node.attrs
    sides = [
        _moved(node, operand, attrs["batch"][i], attrs["contract"][i])
        for i, operand in enumerate(node.inputs)
    ]
    operands, batch, contract = zip(*sides, strict=True)
    new_attrs = {"batch": batch, "contract": contract}
    return Node(node.op, operands, new_attrs, node.types, node.loc, node.scope)


def _moved(
    node: Node, operand: Value, batch: Dims, contract: Dims
) -> tuple[Value, Dims, Dims]:
    """The operand in a layout that fits, with its batch and contracted dimensions.

    The innermost dimension stays where it is if it can: the copy then moves runs of
    elements, and an operand that other products read both ways is copied once. But a
    filter, which is small beside the windows that it multiplies, gets the rows that
    register tiles read.
    """
    if _matches(operand, batch, contract) is not None:
        return operand, batch, contract
    b, c, rank = len(batch), len(contract), operand.type.rank
    free = tuple(d for d in range(rank) if d not in batch and d not in contract)
    windows = node.inputs[0].node.op.name == "patches"
    if rank - 1 in free or (windows and operand is node.inputs[1]):
        permutation, first = (*batch, *contract, *free), b
    else:
        permutation, first = (*batch, *free, *contract), rank - c
    record = op_table.get("transpose")
    attrs = {"permutation": permutation}
    types = infer_types(record, (operand.type,), attrs)
    copy = Node(record, (operand,), attrs, types, node.loc, node.scope).output
    return copy, tuple(range(b)), tuple(range(first, first + c))
