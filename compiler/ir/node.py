"""Values, nodes and graphs. Nodes never change; a rewrite makes new ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from compiler.ir.dims import SymDim, substitute, symbols_of
from compiler.ir.location import UNKNOWN, Location
from compiler.ir.op import Op
from compiler.ir.types import DType, TensorType, type_of_array


class Literal:
    """An array in an attribute: immutable, compared and hashed by its bits."""

    __slots__ = ("_key", "array")

    def __init__(self, array: Any) -> None:
        self.array = np.array(array, order="C", copy=True)
        self.array.setflags(write=False)
        digest = hashlib.sha256(self.array.tobytes()).digest()
        self._key = (self.array.dtype.str, self.array.shape, digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"Literal({self.array!r})"

    @property
    def type(self) -> TensorType:
        """The type of the array."""
        return type_of_array(self.array)


# An attribute is an int, float, str, bool, DType, TensorType, SymDim, Literal, Graph,
# None, or a tuple of these: all hashable, all printable and parsable.
Attrs = Mapping[str, Any]


class Value:
    """One result of a node."""

    __slots__ = ("index", "node", "type")

    def __init__(self, node: Node, index: int, type_: TensorType) -> None:
        self.node = node
        self.index = index
        self.type = type_

    @property
    def dtype(self) -> DType:
        """Element type."""
        return self.type.dtype

    @property
    def shape(self) -> tuple[Any, ...]:
        """Shape; dimensions are ints or symbols."""
        return self.type.shape

    def __repr__(self) -> str:
        return f"<{self.node.op.name}.{self.index}: {self.type}>"


class Node:
    """An op applied to values.

    `outputs` are its results; `loc` and `scope` say where the user made it. Two nodes
    are the same only if they are the same object.
    """

    __slots__ = ("attrs", "inputs", "loc", "op", "outputs", "scope")

    def __init__(
        self,
        op: Op,
        inputs: Iterable[Value],
        attrs: Attrs,
        types: Iterable[TensorType],
        loc: Location = UNKNOWN,
        scope: str = "",
    ) -> None:
        self.op = op
        self.inputs = tuple(inputs)
        self.attrs = dict(sorted(attrs.items()))
        self.loc = loc
        self.scope = scope
        self.outputs = tuple(Value(self, i, t) for i, t in enumerate(types))

    @property
    def output(self) -> Value:
        """The only result."""
        (value,) = self.outputs
        return value

    @property
    def types(self) -> tuple[TensorType, ...]:
        """Types of the results."""
        return tuple(v.type for v in self.outputs)

    def __repr__(self) -> str:
        return f"<node {self.op.name} -> {', '.join(map(repr, self.types))}>"


class Graph:
    """A function: parameter nodes, nodes in topological order, result values.

    Attributes:
        name: an identifier.
        params: the parameter nodes, in call order; they are the first of `nodes`.
        nodes: every node, operands before users.
        outputs: the results, in order; a value may occur more than once.
        aliases: ``{output position: input position}`` of results that replace the
            buffer of an input (a variable that is updated).
    """

    __slots__ = ("aliases", "name", "nodes", "outputs", "params")

    def __init__(
        self,
        name: str,
        params: Iterable[Node],
        nodes: Iterable[Node],
        outputs: Iterable[Value],
        aliases: Mapping[int, int] | None = None,
    ) -> None:
        self.name = name
        self.params = tuple(params)
        self.nodes = tuple(nodes)
        self.outputs = tuple(outputs)
        self.aliases = dict(aliases or {})

    @property
    def input_types(self) -> tuple[TensorType, ...]:
        """Types of the parameters."""
        return tuple(p.output.type for p in self.params)

    @property
    def output_types(self) -> tuple[TensorType, ...]:
        """Types of the results."""
        return tuple(v.type for v in self.outputs)

    def users(self) -> dict[Value, list[Node]]:
        """For every value the nodes that read it, in order, repeated per operand."""
        found: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for value in node.inputs:
                found.setdefault(value, []).append(node)
        return found

    def symbols(self) -> tuple[str, ...]:
        """Names of the symbolic dimensions of the parameters, sorted."""
        names: frozenset[str] = frozenset()
        for type_ in self.input_types:
            names |= symbols_of(type_.shape)
        return tuple(sorted(names))

    def __repr__(self) -> str:
        return f"<graph {self.name}: {len(self.nodes)} nodes>"


def bind_attrs(attrs: Attrs, bindings: Mapping[str, int]) -> dict[str, Any]:
    """Attributes with symbolic dimensions replaced by their values."""
    return {key: _bind(value, bindings) for key, value in attrs.items()}


def _bind(value: Any, bindings: Mapping[str, int]) -> Any:
    if isinstance(value, SymDim):
        return substitute(value, bindings)
    if isinstance(value, tuple):
        return tuple(_bind(v, bindings) for v in value)
    if isinstance(value, TensorType):
        return value.with_shape(_bind(value.shape, bindings))
    if isinstance(value, Graph) and any(_has_symbol(n.types) for n in value.nodes):
        return _bind_graph(value, bindings)
    return value


def _has_symbol(types: Iterable[TensorType]) -> bool:
    return any(not isinstance(d, int) for t in types for d in t.shape)


def _bind_graph(graph: Graph, bindings: Mapping[str, int]) -> Graph:
    new: dict[Value, Value] = {}
    made: dict[Node, Node] = {}
    for node in graph.nodes:
        inputs = tuple(new[v] for v in node.inputs)
        types = tuple(_bind(t, bindings) for t in node.types)
        attrs = bind_attrs(node.attrs, bindings)
        bound = Node(node.op, inputs, attrs, types, node.loc, node.scope)
        made[node] = bound
        new.update(zip(node.outputs, bound.outputs, strict=True))
    params = [made[p] for p in graph.params]
    outputs = [new[v] for v in graph.outputs]
    return Graph(graph.name, params, list(made.values()), outputs, graph.aliases)
