"""Moves sink below elementwise ops, so that elementwise chains share one shape.

``f(move(x), move(y))`` becomes ``move(f(x, y))`` for reshapes, transposes and
broadcasts. On its way down a move meets another one and cancels, becomes an index map
of a reduction, or reaches a dot that takes it in. A broadcast that sinks leaves the
work on its small operand.

Every operand must follow: literals and broadcasts can be had in any shape that fits,
parameters and reshapes are views under any shape of their size; anything else stays
where it is and stops the move.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compiler.ir.builder import BuilderOps
from compiler.ir.dims import Shape
from compiler.ir.node import Graph, Node, Value
from compiler.ir.op import Kind
from compiler.passes.context import PassContext
from compiler.passes.kinds import ELEMENTWISE, REDUCTIONS
from compiler.passes.pattern import EXACT, Match, Rule, X, apply_of
from compiler.passes.rewriter import apply_rules, rule_table
from compiler.passes.values import (
    DimGroup,
    dim_groups,
    is_increasing,
    splat,
)

SUM_ORDER = "the order of summation, which a reduction leaves open"


def _operand_of(node: Node, name: str) -> Node | None:
    """The first operand that is made by op `name`, if it is not a repeated scalar."""
    for value in node.inputs:
        if value.node.op.name == name and splat(value) is None:
            return value.node
    return None


def _has(name: str) -> Any:
    return lambda node: any(v.node.op.name == name for v in node.inputs)


def _follow(m: Match, operands: Sequence[Value | None]) -> Value | None:
    """The op on the moved operands, if all of them could follow."""
    kept = [v for v in operands if v is not None]
    if len(kept) != len(operands):
        return None
    return m.b.apply(m.node.op, tuple(kept), m.attrs)


# ------------------------------------------------------------------ broadcast


def _sink_broadcast(m: Match) -> Value | None:
    first = _operand_of(m.node, "broadcast_in_dim")
    if first is None:
        return None
    small, dims = first.inputs[0].shape, first.attrs["dims"]
    operands = [_unbroadcast(m.b, v, dims, small) for v in m.operands]
    result = _follow(m, operands)
    if result is None:
        return None
    return m.b.broadcast_in_dim(result, dims=dims, shape=m.out.shape)


def _unbroadcast(
    b: BuilderOps, value: Value, dims: tuple[int, ...], shape: Shape
) -> Value | None:
    scalar = splat(value)
    if scalar is not None:
        return b.broadcast(scalar, shape)
    node = value.node
    if node.op.name != "broadcast_in_dim" or node.attrs["dims"] != dims:
        return None
    return node.inputs[0] if node.inputs[0].shape == shape else None


# ------------------------------------------------------------------ reshape


def _sink_reshape(m: Match) -> Value | None:
    for value in m.operands:
        node = value.node
        if node.op.name == "reshape" and node.inputs[0].node.op.kind is not Kind.LEAF:
            result = _under_reshape(m, node.inputs[0].shape)
            if result is not None:
                return m.b.reshape(result, shape=m.out.shape)
    return None


def _under_reshape(m: Match, shape: Shape) -> Value | None:
    groups = dim_groups(shape, m.out.shape)
    if groups is None:
        return None
    return _follow(m, [_view(m.b, v, shape, groups) for v in m.operands])


def _reshape(b: BuilderOps, x: Value, shape: Shape) -> Value:
    return x if x.shape == shape else b.reshape(x, shape=shape)


def _view(
    b: BuilderOps, value: Value, shape: Shape, groups: list[DimGroup]
) -> Value | None:
    """`value` reshaped to `shape` without a copy, or None."""
    scalar = splat(value)
    if scalar is not None:
        return b.broadcast(scalar, shape)
    node = value.node
    if node.op.name == "reshape":
        return _reshape(b, node.inputs[0], shape)
    if node.op.name == "parameter":
        return _reshape(b, value, shape)
    if node.op.name == "broadcast_in_dim":
        return _broadcast_as(b, node, shape, groups)
    return None


def _broadcast_as(
    b: BuilderOps, node: Node, shape: Shape, groups: list[DimGroup]
) -> Value | None:
    """A broadcast to the target dims of `groups`, as one to their source dims.

    Each group must be repeated as a whole or not at all.
    """
    x, dims, full = node.inputs[0], node.attrs["dims"], node.outputs[0].shape
    if 1 in x.shape or not is_increasing(dims):
        return None  # canonicalize has not been here yet
    kept: list[int] = []
    for source, target in groups:
        inside = [d in dims for d in target if full[d] != 1]
        if any(inside) and not all(inside):
            return None
        if any(inside):
            kept.extend(d for d in source if shape[d] != 1)
    small = _reshape(b, x, tuple(shape[d] for d in kept))
    return b.broadcast_in_dim(small, dims=tuple(kept), shape=shape)


def _reshape_of_broadcast(m: Match) -> Value | None:
    node, shape = m["inner"], m.out.shape
    groups = dim_groups(shape, node.outputs[0].shape)
    return None if groups is None else _broadcast_as(m.b, node, shape, groups)


def _reduce_of_reshape(m: Match) -> Value | None:
    """Reduce before the reshape, if whole groups of dimensions are reduced."""
    x, middle, axes = m["x"], m.operands[0], set(m.attrs["axes"])
    groups = dim_groups(x.shape, middle.shape)
    if groups is None:
        return None
    reduced: list[int] = []
    for source, target in groups:
        gone = [d in axes for d in target if middle.shape[d] != 1]
        if any(gone) and not all(gone):
            return None
        if any(gone):
            reduced.extend(source)
    result = m.b.apply(m.node.op, (x,), {"axes": tuple(reduced)})
    return m.b.reshape(result, shape=m.out.shape)


# ------------------------------------------------------------------ transpose


def _sink_transpose(m: Match) -> Value | None:
    first = _operand_of(m.node, "transpose")
    if first is None:
        return None
    permutation, shape = first.attrs["permutation"], first.inputs[0].shape
    operands = [_untranspose(m.b, v, permutation, shape) for v in m.operands]
    result = _follow(m, operands)
    if result is None:
        return None
    return m.b.transpose(result, permutation=permutation)


def _untranspose(
    b: BuilderOps, value: Value, permutation: tuple[int, ...], shape: Shape
) -> Value | None:
    scalar = splat(value)
    if scalar is not None:
        return b.broadcast(scalar, shape)
    node = value.node
    if node.op.name == "transpose":
        same = node.attrs["permutation"] == permutation
        return node.inputs[0] if same else None
    if node.op.name == "broadcast_in_dim":
        dims = tuple(permutation[d] for d in node.attrs["dims"])
        return b.broadcast_in_dim(node.inputs[0], dims=dims, shape=shape)
    return None


def _transpose_of_broadcast(m: Match) -> Value:
    permutation = m.attrs["permutation"]
    dims = tuple(permutation.index(d) for d in m["inner"].attrs["dims"])
    return m.b.broadcast_in_dim(m["x"], dims=dims, shape=m.out.shape)


def _reduce_of_transpose(m: Match) -> Value:
    """Reduce before the transpose; what is left to transpose is smaller."""
    x, axes = m["x"], m.attrs["axes"]
    permutation = m["inner"].attrs["permutation"]
    kept = [p for i, p in enumerate(permutation) if i not in axes]
    gone = tuple(sorted(permutation[a] for a in axes))
    result = m.b.apply(m.node.op, (x,), {"axes": gone})
    order = tuple(sorted(kept).index(p) for p in kept)
    return m.b.transpose(result, permutation=order)


def _reduce_rules(name: str) -> tuple[Rule, Rule]:
    error = SUM_ORDER if name in ("reduce_sum", "reduce_prod") else EXACT
    return (
        Rule(
            f"{name}_of_reshape",
            apply_of(name, apply_of("reshape", X)),
            _reduce_of_reshape,
            f"{name}(reshape(x)) -> reshape({name}(x))",
            error,
        ),
        Rule(
            f"{name}_of_transpose",
            apply_of(name, apply_of("transpose", X, name="inner")),
            _reduce_of_transpose,
            f"{name}(transpose(x)) -> transpose({name}(x))",
            error,
        ),
    )


RULES: tuple[Rule, ...] = (
    Rule(
        "sink_broadcast",
        apply_of(ELEMENTWISE, where=_has("broadcast_in_dim")),
        _sink_broadcast,
        "f(broadcast x, broadcast y) -> broadcast f(x, y)",
    ),
    Rule(
        "sink_reshape",
        apply_of(ELEMENTWISE, where=_has("reshape")),
        _sink_reshape,
        "f(reshape x, reshape y) -> reshape f(x, y)",
    ),
    Rule(
        "sink_transpose",
        apply_of(ELEMENTWISE, where=_has("transpose")),
        _sink_transpose,
        "f(transpose x, transpose y) -> transpose f(x, y)",
    ),
    Rule(
        "reshape_of_broadcast",
        apply_of("reshape", apply_of("broadcast_in_dim", X, name="inner")),
        _reshape_of_broadcast,
        "reshape(broadcast(x)) -> broadcast(x)",
    ),
    Rule(
        "transpose_of_broadcast",
        apply_of("transpose", apply_of("broadcast_in_dim", X, name="inner")),
        _transpose_of_broadcast,
        "transpose(broadcast(x)) -> broadcast(x)",
    ),
    *(rule for name in REDUCTIONS for rule in _reduce_rules(name)),
)
_TABLE = rule_table(RULES)


def sink_reshapes(graph: Graph, ctx: PassContext) -> Graph:
    """Sink reshapes, transposes and broadcasts; see the module."""
    return apply_rules(graph, "sink_reshapes", _TABLE, ctx)
