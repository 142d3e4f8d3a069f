"""`Graph`: a context in which ops are recorded, to be run later by a `Session`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any

from compiler.ir.dims import symbol
from compiler.ir.node import Graph as IRGraph
from compiler.ir.node import Node, Value
from compiler.ir.op import get
from compiler.ir.parser import parse_graph
from compiler.ir.printer import print_graph
from compiler.ir.rewrite import topological
from compiler.ir.types import TensorType
from jitflow.errors import ArgumentError, JitFlowError
from jitflow.tensor import TracedTensor, Variable, state
from jitflow.tracing.context import TraceContext
from jitflow.tracing.spec import TensorSpec


class GraphError(JitFlowError, ValueError):
    """A graph or a session was used with something that is not part of it."""

    code = "JF250"


class Updates:
    """Fetched from a session, it carries out the assignments of a graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def __repr__(self) -> str:
        return f"<updates of {self.graph.name}>"


class GraphTrace(TraceContext):
    """The trace of a `Graph`; it may be entered more than once."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph.name, may_create=True)
        self.graph = graph

    @property
    def nodes(self) -> list[Node]:
        """The ops so far, without the parameters."""
        return [n for n in self._builder.nodes if n.op.name != "parameter"]


class Graph:
    """Ops that are recorded inside ``with graph:`` and run by `Session.run`.

    Variables may be created and used inside; `updates` stands for all assignments that
    were recorded. The context may be entered again, to add to the graph.

    Args:
        name: an identifier, shown in texts.

    Attributes:
        placeholders: the inputs, by name.
        outputs: the results of a graph that was made by `from_text`.
        updates: fetch it to carry out the assignments; its value is None.

    Example:
        >>> with jf.Graph() as g:
        ...     x = jf.placeholder("float32", [None, 3], "x")
        ...     y = jf.sum(x * 2)
        >>> jf.Session(g).run(y, {x: np.ones((2, 3))})
    """

    def __init__(self, name: str = "graph") -> None:
        self.name = name
        self.trace = GraphTrace(self)
        self.placeholders: dict[str, TracedTensor] = {}
        self.outputs: tuple[TracedTensor, ...] = ()
        self.updates = Updates(self)
        self._entered: list[ExitStack] = []

    def __enter__(self) -> Graph:
        if state.trace is self.trace:
            raise GraphError(f"{self.name} records already")
        if state.trace is not None:
            raise GraphError(
                f"{self.name} is opened inside {state.trace.name}",
                fix="leave the other graph, or the compiled function, first",
            )
        stack = ExitStack()
        stack.enter_context(self.trace.active())
        self._entered.append(stack)
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self._entered.pop().close()

    def placeholder(
        self, dtype: Any = "float32", shape: Iterable[Any] = (), name: str = ""
    ) -> TracedTensor:
        """An input of the graph.

        Args:
            dtype: element type.
            shape: sizes; None leaves a size open, a string gives an open size a name
                that other placeholders may share.
            name: of the input; made up when left out.

        Raises:
            GraphError: if the name is taken.
        """
        name = name or f"placeholder_{len(self.placeholders)}"
        if name in self.placeholders:
            raise GraphError(f"{self.name} has a placeholder {name!r} already")
        spec = TensorSpec(shape, dtype)
        sizes = tuple(
            symbol(f"{name}_{i}") if d is None else d for i, d in enumerate(spec.shape)
        )
        traced = self.trace.parameter(TensorType(spec.dtype, sizes), name)
        self.placeholders[name] = traced
        return traced

    def variables(self) -> list[Variable]:
        """The variables that the graph reads or assigns."""
        found = [what for what, _ in self.trace.captures]
        return [what for what in found if isinstance(what, Variable)]

    def value_of(self, tensor: Any) -> Value:
        """The node's result that a fetch stands for.

        Raises:
            GraphError: if it is not of this graph.
        """
        if isinstance(tensor, str) and tensor in self.placeholders:
            return self.placeholders[tensor]._value
        if isinstance(tensor, Variable):
            known = {id(what): node for what, node in self.trace.captures}
            if id(tensor) in known:
                return known[id(tensor)].output
        if isinstance(tensor, TracedTensor) and tensor._trace is self.trace:
            return tensor._value
        raise GraphError(
            f"{tensor!r} is not of the graph {self.name}",
            fix="fetch tensors that were made inside `with graph:`, variables that it "
            "reads, or graph.updates",
        )

    def subgraph(
        self, values: Sequence[Value], updated: bool
    ) -> tuple[IRGraph, list[str], list[Any]]:
        """What is needed for some results.

        Args:
            values: the results.
            updated: add the new values of assigned variables, as updates in place.

        Returns:
            The graph, the names of its placeholders and what else it captures, in the
            order of its parameters.
        """
        written = self.trace.written if updated else []
        outputs = [*values, *(new._value for _, new in written)]
        captured = {id(node): what for what, node in self.trace.captures}
        node_of = {id(what): node for what, node in self.trace.captures}
        nodes = topological(outputs)
        # An updated variable is a parameter also where its old value is not needed.
        needed = {id(n) for n in nodes} | {id(node_of[id(v)]) for v, _ in written}
        names = [n for n, t in self.placeholders.items() if id(t._value.node) in needed]
        given = [self.placeholders[n]._value.node for n in names]
        others = [node for _, node in self.trace.captures if id(node) in needed]
        params: list[Node] = [*given, *others]
        aliases = {
            len(values) + i: params.index(node_of[id(variable)])
            for i, (variable, _) in enumerate(written)
        }
        body = [n for n in nodes if n.op.name != "parameter"]
        made = IRGraph(self.name, params, [*params, *body], outputs, aliases)
        return made, names, [captured[id(node)] for node in others]

    def as_text(self, fetches: Sequence[Any] | None = None) -> str:
        """The graph as text.

        Args:
            fetches: what it should give; by default its outputs, or else every result
                that nothing uses, and the updates.
        """
        if fetches is not None:
            values = [self.value_of(t) for t in fetches]
            return print_graph(self.subgraph(values, False)[0])
        values = [t._value for t in self.outputs] or self._unused()
        return print_graph(self.subgraph(values, True)[0])

    def _unused(self) -> list[Value]:
        nodes = self.trace.nodes
        used = {v for node in nodes for v in node.inputs}
        used |= {new._value for _, new in self.trace.written}
        return [v for node in nodes for v in node.outputs if v not in used]

    @classmethod
    def from_text(cls, text: str) -> Graph:
        """The graph of a text that `as_text` gave; `outputs` are its results.

        A text holds no values: variables come back as placeholders.

        Raises:
            ParseError: with line and column.
        """
        parsed = parse_graph(text)
        made = cls(parsed.name)
        with made:
            made.outputs = tuple(_copied(made, parsed))
        return made

    def __repr__(self) -> str:
        return (
            f"<jf.Graph {self.name}: {len(self.placeholders)} placeholders, "
            f"{len(self.trace.nodes)} nodes>"
        )


def _copied(graph: Graph, source: IRGraph) -> list[TracedTensor]:
    """Record the nodes of another graph, each with its line and its scope."""
    trace = graph.trace
    values: dict[Value, Any] = {}
    before = state.location, state.scopes
    try:
        for node in source.nodes:
            state.location = node.loc if node.loc.line else None
            state.scopes = tuple(node.scope.split("/")) if node.scope else ()
            if node.op is get("parameter"):
                traced = trace.parameter(node.output.type, node.attrs["name"])
                graph.placeholders[node.attrs["name"]] = traced
                values[node.output] = traced
                continue
            result = trace.apply(
                node.op, tuple(values[v] for v in node.inputs), node.attrs
            )
            parts = result if isinstance(result, tuple) else (result,)
            values.update(zip(node.outputs, parts, strict=True))
    finally:
        state.location, state.scopes = before
    return [values[v] for v in source.outputs]


def placeholder(
    dtype: Any = "float32", shape: Iterable[Any] = (), name: str = ""
) -> Any:
    """An input of the graph that records now; see `Graph.placeholder`.

    Raises:
        ArgumentError: outside of ``with jf.Graph():``.
    """
    graph = getattr(state.trace, "graph", None)
    if not isinstance(graph, Graph):
        raise ArgumentError(
            "placeholder: no graph records here",
            fix="call it inside `with jf.Graph() as g:`, or use graph.placeholder",
        )
    return graph.placeholder(dtype, shape, name)
