"""The verifier: every way a graph can be wrong is found and named."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import compiler.ops  # noqa: F401
from compiler.errors import VerifyError
from compiler.ir import op as op_table
from compiler.ir import types as t
from compiler.ir.builder import GraphBuilder
from compiler.ir.dims import symbol
from compiler.ir.location import Location
from compiler.ir.node import Graph, Node
from compiler.ir.types import TensorType
from compiler.ir.verify import verify

B = symbol("B")
TYPE = TensorType(t.f32, (B, 4))
ADD = op_table.get("add")
NEGATE = op_table.get("negate")


def build(count: int = 3) -> Graph:
    b = GraphBuilder("g")
    lines = iter(range(1, 1000))
    b.location = lambda: Location("m.py", next(lines))
    x, y = b.parameter(TYPE, "x"), b.parameter(TYPE, "y")
    for _ in range(count):
        x = b.add(x, y)
    return b.build([x, y], {0: 0})


def changed(graph: Graph, **fields: object) -> Graph:
    parts = {f: getattr(graph, f) for f in ("params", "nodes", "outputs", "aliases")}
    return Graph(graph.name, **(parts | fields))


def with_node(graph: Graph, node: Node) -> Graph:
    return changed(graph, nodes=[*graph.nodes, node])


def params_late(g: Graph) -> Graph:
    return changed(g, nodes=[g.nodes[0], *g.nodes[2:], g.nodes[1]])


def param_missing(g: Graph) -> Graph:
    return changed(g, params=g.params[:1])


def param_in_body(g: Graph) -> Graph:
    attrs = {"name": "z", "type": TYPE}
    return with_node(g, Node(op_table.get("parameter"), (), attrs, (TYPE,)))


def node_twice(g: Graph) -> Graph:
    return with_node(g, g.nodes[-1])


def stolen_result(g: Graph) -> Graph:
    node = Node(NEGATE, g.outputs[:1], {}, (TYPE,))
    node.outputs = g.nodes[-1].outputs
    return with_node(g, node)


def order_reversed(g: Graph) -> Graph:
    return changed(g, nodes=[*g.params, *g.nodes[:1:-1]])


def foreign_operand(g: Graph) -> Graph:
    return with_node(g, Node(NEGATE, build().outputs[:1], {}, (TYPE,)))


def wrong_type(g: Graph) -> Graph:
    return with_node(g, Node(NEGATE, g.outputs[:1], {}, (TYPE.with_dtype(t.f64),)))


def wrong_count(g: Graph) -> Graph:
    return with_node(g, Node(NEGATE, g.outputs[:1], {}, (TYPE, TYPE)))


def wrong_attrs(g: Graph) -> Graph:
    return with_node(g, Node(NEGATE, g.outputs[:1], {"axis": 1}, (TYPE,)))


def wrong_arity(g: Graph) -> Graph:
    return with_node(g, Node(ADD, g.outputs[:1], {}, (TYPE,)))


def broken_constraint(g: Graph) -> Graph:
    b = GraphBuilder()
    other = b.constant(np.zeros(4, np.float32))
    node = Node(ADD, (g.outputs[0], other), {}, (TYPE,))
    return changed(g, nodes=[*g.nodes, other.node, node])


def odd_attribute(g: Graph) -> Graph:
    return with_node(g, Node(NEGATE, g.outputs[:1], {"a": (1, [2])}, (TYPE,)))


def nested_broken(g: Graph) -> Graph:
    return with_node(g, Node(NEGATE, g.outputs[:1], {"a": order_reversed(g)}, (TYPE,)))


def result_undefined(g: Graph) -> Graph:
    return changed(g, outputs=build().outputs)


def alias_type(g: Graph) -> Graph:
    b = GraphBuilder("g")
    x, y = b.parameter(TYPE, "x"), b.parameter(TYPE.with_dtype(t.f64), "y")
    return b.build([x], {0: 1}) if y else g


BROKEN: list[tuple[Callable[[Graph], Graph], str]] = [
    (params_late, "V1"),
    (param_missing, "V1"),
    (param_in_body, "V1"),
    (node_twice, "V2"),
    (stolen_result, "V2: result 0 belongs to another node"),
    (order_reversed, "V3: operand 0, a result of add, is defined later"),
    (foreign_operand, "V3: operand 0, a result of add, is not defined in this graph"),
    (wrong_type, "V4: inference gives [f32[B,4]], the node says [f64[B,4]]"),
    (wrong_count, "V4: inference gives"),
    (wrong_attrs, "V4: negate takes attributes []"),
    (wrong_arity, "V4: add"),
    (broken_constraint, "operand types differ: f32[B,4] vs f32[4]"),
    (odd_attribute, "V5: attribute a cannot be of type list"),
    (nested_broken, "V5: in graph a: graph g, node 2 (add): V3"),
    (result_undefined, "V6: result 0"),
    (lambda g: changed(g, aliases={2: 0}), "V7: alias 2: 0 is out of range"),
    (lambda g: changed(g, aliases={0: -1}), "V7: alias 0: -1 is out of range"),
    (lambda g: changed(g, aliases={0: 0, 1: 0}), "V7: two results"),
    (alias_type, "V7: result 0 of type f32[B,4] aliases parameter 1 of type f64[B,4]"),
]


@pytest.mark.parametrize(("breaker", "message"), BROKEN)
def test_broken_graphs(breaker: Callable[[Graph], Graph], message: str) -> None:
    graph = build()
    verify(graph)
    with pytest.raises(VerifyError) as caught:
        verify(breaker(graph))
    assert message in caught.value.message


def test_empty_graph_verifies() -> None:
    verify(GraphBuilder().build([]))


def test_error_shows_neighbours_and_location() -> None:
    graph = build(20)
    nodes = list(graph.nodes)
    nodes[12], nodes[13] = nodes[13], nodes[12]
    with pytest.raises(VerifyError) as caught:
        verify(changed(graph, nodes=nodes))
    excerpt = caught.value.message.splitlines()[1:]
    assert len(excerpt) == 11
    assert [line[0] for line in excerpt] == [" "] * 5 + [">"] + [" "] * 5
    assert excerpt[5].startswith("> %10 = add(%11, %y) : f32[B,4]")
    assert caught.value.where == "m.py:14"


def test_known_nodes_are_not_inferred_again(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, known = build(), set()
    verify(graph, known)
    assert known == set(graph.nodes)
    inferred = []
    monkeypatch.setattr(
        "compiler.ir.verify.infer_types",
        lambda op, types, attrs: inferred.append(op.name) or types[:1],
    )
    bigger = with_node(graph, Node(NEGATE, graph.outputs[:1], {}, (TYPE,)))
    verify(bigger, known)
    assert inferred == ["negate"]
    with pytest.raises(VerifyError, match="V3"):  # order is checked all the same
        verify(order_reversed(graph), known)
