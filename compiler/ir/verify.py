"""Graph verification: structure, and types by running every op's `infer` again.

Nodes never change, so a node that was verified once stays verified. A caller that
verifies after every pass hands in the same ``known`` set each time; only the order of
definitions and the new nodes are looked at then.
"""

from __future__ import annotations

from typing import Any, NoReturn

from compiler.errors import CompilerError, VerifyError
from compiler.ir.builder import infer_types
from compiler.ir.dims import SymDim
from compiler.ir.node import Graph, Literal, Node, Value
from compiler.ir.printer import print_excerpt
from compiler.ir.types import DType, TensorType

_ATTR_TYPES = (
    *(int, float, str, bool, type(None)),
    *(DType, TensorType, SymDim, Literal, Graph),
)


def verify(graph: Graph, known: set[Node] | None = None) -> None:
    """Check that `graph` is well formed.

    - V1: the parameters are the first nodes, and there are no others.
    - V2: a node occurs once, and owns its results.
    - V3: an operand is defined by an earlier node of the same graph.
    - V4: the op's `infer` accepts the operands and attributes and gives the types.
    - V5: attributes are of the kinds that text can carry; nested graphs verify.
    - V6: results are defined.
    - V7: an alias joins a result and a parameter of the same type; each one once.

    Args:
        graph: the graph.
        known: nodes verified before, which are not inferred again; the nodes verified
            now are added to it.

    Raises:
        VerifyError: naming the node, its neighbours, its location and the constraint.
    """
    known = set() if known is None else known
    _check_params(graph)
    defined: set[Value] = set()
    seen: set[Node] = set()
    for position, node in enumerate(graph.nodes):
        if node in seen:
            _fail(graph, position, "V2: the node occurs twice")
        seen.add(node)
        if not defined.issuperset(node.inputs):
            _fail_operand(graph, position, defined)
        if node not in known:
            _check_node(graph, position, known)
            known.add(node)
        defined.update(node.outputs)
    _check_outputs(graph, defined)
    _check_aliases(graph)


def _check_params(graph: Graph) -> None:
    count = len(graph.params)
    if graph.nodes[:count] != graph.params:
        _fail(graph, 0, "V1: the parameters are not the first nodes, in order")
    for i, node in enumerate(graph.nodes):
        if (node.op.name == "parameter") != (i < count):
            _fail(graph, i, "V1: the list of parameters and the nodes disagree")


def _fail_operand(graph: Graph, position: int, defined: set[Value]) -> NoReturn:
    node = graph.nodes[position]
    i = next(i for i, v in enumerate(node.inputs) if v not in defined)
    producer = node.inputs[i].node
    later = producer in graph.nodes
    what = "is defined later" if later else "is not defined in this graph"
    _fail(graph, position, f"V3: operand {i}, a result of {producer.op.name}, {what}")


def _check_node(graph: Graph, position: int, known: set[Node]) -> None:
    node = graph.nodes[position]
    for i, value in enumerate(node.outputs):
        if value.node is not node or value.index != i:
            _fail(graph, position, f"V2: result {i} belongs to another node")
    for key, attr in node.attrs.items():
        _check_attr(graph, position, key, attr, known)
    try:
        types = infer_types(node.op, tuple(v.type for v in node.inputs), node.attrs)
    except CompilerError as error:
        _fail(graph, position, f"V4: {error.message}")
    if types != node.types:
        _fail(
            graph,
            position,
            f"V4: inference gives {list(types)}, the node says {list(node.types)}",
        )


def _check_attr(
    graph: Graph, position: int, key: str, value: Any, known: set[Node]
) -> None:
    if isinstance(value, tuple):
        for item in value:
            _check_attr(graph, position, key, item, known)
    elif isinstance(value, Graph):
        try:
            verify(value, known)
        except VerifyError as error:
            _fail(graph, position, f"V5: in graph {key}: {error.message}")
    elif not isinstance(value, _ATTR_TYPES):
        kind = type(value).__name__
        _fail(graph, position, f"V5: attribute {key} cannot be of type {kind}")


def _check_outputs(graph: Graph, defined: set[Value]) -> None:
    for i, value in enumerate(graph.outputs):
        if value not in defined:
            raise VerifyError(
                f"graph {graph.name}: V6: result {i}, a result of "
                f"{value.node.op.name}, is not defined in this graph",
                where=_where(value.node),
            )


def _check_aliases(graph: Graph) -> None:
    if len(set(graph.aliases.values())) != len(graph.aliases):
        raise VerifyError(f"graph {graph.name}: V7: two results alias one parameter")
    for result, param in graph.aliases.items():
        in_range = 0 <= result < len(graph.outputs) and 0 <= param < len(graph.params)
        if not in_range:
            raise VerifyError(
                f"graph {graph.name}: V7: alias {result}: {param} is out of range"
            )
        types = graph.output_types[result], graph.input_types[param]
        if types[0] != types[1]:
            raise VerifyError(
                f"graph {graph.name}: V7: result {result} of type {types[0]} aliases "
                f"parameter {param} of type {types[1]}"
            )


def _where(node: Node) -> str:
    return str(node.loc) if node.loc.line else ""


def _fail(graph: Graph, position: int, message: str) -> NoReturn:
    if position >= len(graph.nodes):
        raise VerifyError(f"graph {graph.name}: {message}")
    node = graph.nodes[position]
    raise VerifyError(
        f"graph {graph.name}, node {position} ({node.op.name}): {message}\n"
        f"{_safe_excerpt(graph, position)}",
        where=_where(node),
    )


def _safe_excerpt(graph: Graph, position: int) -> str:
    try:
        return print_excerpt(graph, position)
    except CompilerError:  # V5: an attribute near here has no text
        nodes = graph.nodes[max(0, position - 5) : position + 6]
        return "\n".join(
            f"{'>' if n is graph.nodes[position] else ' '} {n!r}" for n in nodes
        )
