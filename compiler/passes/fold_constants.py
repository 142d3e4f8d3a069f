"""Constant folding: ops of literals are worked out now, by the op's own `evaluate`.

A repeated scalar stays a repeated scalar, whatever its shape; other results are made
only if they are small. ``get_dimension_size`` is never folded, not even where the size
is known: kernels take extents as arguments, so that one kernel serves all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compiler.ir.dims import SymDim
from compiler.ir.node import Graph, Node, Value
from compiler.passes.context import PassContext
from compiler.passes.kinds import ELEMENTWISE, EVALUABLE
from compiler.passes.pattern import Match, Rule, apply_of
from compiler.passes.rewriter import apply_rules, rule_table
from compiler.passes.values import is_literal, splat

MAX_RESULT = 1024  # elements; larger literals would only take memory and text
MAX_OPERAND = 16384
_KEPT = frozenset(["broadcast_in_dim", "get_dimension_size"])
_FOLDABLE = tuple(name for name in EVALUABLE if name not in _KEPT)


def _evaluate(node: Node, arrays: Sequence[np.ndarray]) -> np.ndarray:
    with np.errstate(all="ignore"):
        return node.op.evaluate(*arrays, **node.attrs)


def _literal(value: Value) -> Any:
    return value.node.attrs["value"].array


def _fold_splats(m: Match) -> Value | None:
    if not m.operands:
        return None
    scalars = [splat(v) for v in m.operands]
    arrays = [_literal(s) for s in scalars if s is not None]
    if len(arrays) != len(scalars):
        return None
    return m.b.broadcast(m.b.constant(_evaluate(m.node, arrays)), m.out.shape)


def _static_size(value: Value) -> int | None:
    size = value.type.size
    return None if isinstance(size, SymDim) else size


def _small(value: Value, limit: int) -> bool:
    size = _static_size(value)
    return size is not None and size <= limit


def _all_small_literals(node: Node) -> bool:
    return (
        bool(node.inputs)
        and len(node.outputs) == 1
        and all(is_literal(v) for v in node.inputs)
        and _small(node.outputs[0], MAX_RESULT)
        and all(_small(v, MAX_OPERAND) for v in node.inputs)
    )


def _array(value: Value) -> np.ndarray:
    """The elements of a literal that may be broadcast."""
    node = value.node
    if node.op.name == "constant":
        return _literal(value)
    return _evaluate(node, [_array(node.inputs[0])])


def _fold_literals(m: Match) -> Value:
    return m.b.constant(_evaluate(m.node, [_array(v) for v in m.operands]))


def _fold_extremum(m: Match) -> Value | None:
    """An extremum of equal elements is one of them, if there is at least one."""
    x = m.operands[0]
    scalar = splat(x)
    sizes = [x.shape[a] for a in m.attrs["axes"]]
    if scalar is None or any(isinstance(n, SymDim) or n == 0 for n in sizes):
        return None
    return m.b.broadcast(scalar, m.out.shape)


def _same_splats(m: Match) -> Value | None:
    """Joining equal repeated scalars, or padding one with itself."""
    scalars = [splat(v) for v in m.operands]
    first = scalars[0]
    if first is None:
        return None
    literal = first.node.attrs["value"]
    for scalar in scalars[1:]:
        if scalar is None or scalar.node.attrs["value"] != literal:
            return None
    return m.b.broadcast(first, m.out.shape)


RULES: tuple[Rule, ...] = (
    Rule(
        "fold_splats",
        apply_of(ELEMENTWISE),
        _fold_splats,
        "f(broadcast c, broadcast d) -> broadcast f(c, d)",
    ),
    Rule(
        "fold_extremum",
        apply_of("reduce_max reduce_min reduce_and reduce_or"),
        _fold_extremum,
        "an extremum over equal elements -> the element",
    ),
    Rule(
        "fold_same_splats",
        apply_of("concatenate pad"),
        _same_splats,
        "concatenate or pad equal elements -> a broadcast scalar",
    ),
    Rule(
        "fold_literals",
        apply_of(_FOLDABLE, where=_all_small_literals),
        _fold_literals,
        f"an op of literals with at most {MAX_RESULT} results -> a literal",
    ),
)
_TABLE = rule_table(RULES)


def fold_constants(graph: Graph, ctx: PassContext) -> Graph:
    """Evaluate ops whose operands are all literals; see the module."""
    return apply_rules(graph, "fold_constants", _TABLE, ctx)
