"""Transposes that dot_general takes in by naming other dimensions.

A BLAS product reads its operands transposed at no cost, so a transpose of an operand
disappears, and the transpose of a product is the product of the operands exchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

from compiler.ir.node import Graph, Node, Value
from compiler.ir.op import get
from compiler.ir.rewrite import rebuild
from compiler.passes.context import PassContext
from compiler.passes.pattern import Match, Rule, X, Y, apply_of
from compiler.passes.rewriter import RuleBuilder, apply_rules, rule_table
from compiler.passes.sink_reshapes import SUM_ORDER
from compiler.passes.values import is_increasing

Ints = tuple[int, ...]
Pair = tuple[Ints, Ints]


def _through(
    permutation: Ints, contract: Ints, batch: Ints
) -> tuple[Ints, Ints] | None:
    """Dimensions of a transposed operand as dimensions of what was transposed.

    None if the free dimensions would come out in another order.
    """
    used = (*contract, *batch)
    free = [p for i, p in enumerate(permutation) if i not in used]
    if not is_increasing(free):
        return None
    return tuple(permutation[d] for d in contract), tuple(permutation[d] for d in batch)


def _fold_side(m: Match, side: int) -> Value | None:
    contract, batch = m.attrs["contract"], m.attrs["batch"]
    permutation = m["inner"].attrs["permutation"]
    moved = _through(permutation, contract[side], batch[side])
    if moved is None:
        return None
    return m.b.dot_general(
        m["x"] if side == 0 else m.operands[0],
        m["x"] if side == 1 else m.operands[1],
        contract=_replaced(contract, side, moved[0]),
        batch=_replaced(batch, side, moved[1]),
    )


def _replaced(pair: Pair, side: int, dims: Ints) -> Pair:
    return (dims, pair[1]) if side == 0 else (pair[0], dims)


def _sort_contract(m: Match) -> Value | None:
    """Contracted dimensions in increasing order of the left operand's."""
    left, right = m.attrs["contract"]
    if is_increasing(left):
        return None
    order = sorted(range(len(left)), key=left.__getitem__)
    contract = tuple(left[i] for i in order), tuple(right[i] for i in order)
    return m.b.dot_general(*m.operands, contract=contract, batch=m.attrs["batch"])


def _exchange(m: Match) -> Value | None:
    """``(x @ y)^T -> y^T @ x^T``: exchange the blocks of free dimensions."""
    dot, permutation = m["inner"], m.attrs["permutation"]
    contract, batch = dot.attrs["contract"], dot.attrs["batch"]
    lead, split = len(batch[0]), m["x"].type.rank - len(contract[0])
    rank = len(permutation)
    if permutation != (*range(lead), *range(split, rank), *range(lead, split)):
        return None
    return m.b.dot_general(m["y"], m["x"], contract=contract[::-1], batch=batch[::-1])


EXCHANGE = Rule(
    "exchange_operands",
    apply_of("transpose", apply_of("dot_general", X, Y, name="inner")),
    _exchange,
    "transpose(x @ y) -> y^T @ x^T if nothing else reads x @ y",
    SUM_ORDER,
)
RULES: tuple[Rule, ...] = (
    Rule(
        "fold_transpose_left",
        apply_of("dot_general", apply_of("transpose", X, name="inner"), Y),
        lambda m: _fold_side(m, 0),
        "dot(transpose(x), y) -> dot(x, y) over other dimensions",
    ),
    Rule(
        "fold_transpose_right",
        apply_of("dot_general", Y, apply_of("transpose", X, name="inner")),
        lambda m: _fold_side(m, 1),
        "dot(x, transpose(y)) -> dot(x, y) over other dimensions",
    ),
    Rule(
        "sort_contract",
        apply_of("dot_general", X, Y),
        _sort_contract,
        "contracted dimensions in increasing order",
        SUM_ORDER,
    ),
    EXCHANGE,
)
_OPERANDS = rule_table(rule for rule in RULES if rule is not EXCHANGE)
_PRODUCTS = rule_table([EXCHANGE])


def fold_transpose(graph: Graph, ctx: PassContext) -> Graph:
    """Fold transposes into dots; see the module."""
    graph = apply_rules(graph, "fold_transpose", _OPERANDS, ctx)
    return _exchange_products(graph, ctx)


def _exchange_products(graph: Graph, ctx: PassContext) -> Graph:
    """Exchange the operands of dots that only a transpose reads.

    A dot with other readers would be computed twice.
    """
    transposes = [n for n in graph.nodes if n.op is get("transpose")]
    if not any(_reads_dot(n) for n in transposes):
        return graph
    single = _read_once(graph)
    builder = RuleBuilder(_PRODUCTS, set(), ctx.fired)

    def rewrite(node: Node) -> Sequence[Value] | None:
        if not _reads_dot(node) or node.inputs[0] not in single:
            return None
        return builder.rewrite(node)

    return rebuild(graph, rewrite)


def _reads_dot(node: Node) -> bool:
    return node.op.name == "transpose" and node.inputs[0].node.op.name == "dot_general"


def _read_once(graph: Graph) -> set[Value]:
    readers = graph.users()
    outputs = set(graph.outputs)
    return {v for v, nodes in readers.items() if len(nodes) == 1 and v not in outputs}
