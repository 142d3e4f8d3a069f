"""`TraceContext`: the recording of one function into a graph.

While a context is active every op is staged, whatever its operands. Tensors that come
from outside become captured inputs, never constants; variables that are read become
inputs, and variables that are written become outputs that replace those inputs.

A context may be nested in another (the body of a loop): tensors of the outer trace are
then captured like eager ones.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import Any

import numpy as np

from compiler.ir.builder import GraphBuilder
from compiler.ir.interpret import interpret
from compiler.ir.location import Location
from compiler.ir.node import Graph, Node, Value, bind_attrs
from compiler.ir.op import Op
from compiler.ir.rewrite import topological
from compiler.ir.types import TensorType
from jitflow.errors import TracerError, VariableError
from jitflow.tensor import Tensor, TracedTensor, Variable, state
from jitflow.tensor.tensor import made_by
from jitflow.tracing.frames import FrameWatcher

Captured = Tensor | Variable


class TraceContext:
    """One graph in the making; implements what `jitflow.tensor.state.Trace` asks.

    Args:
        name: of the graph.
        parent: the trace this one is nested in, or None.
        on_frame: see `FrameWatcher`.
        on_attribute: called with ``(object, attribute name, location)`` when framework
            code reads a Python attribute that the graph depends on.
        may_create: whether variables may be created while this trace is active.
        convert: what is called in place of a function that the user hands over to the
            framework; see `jitflow.tensor.state.user_function`.

    Attributes:
        captures: ``(what was captured, its parameter node)`` in order of first use.
        created: the variables that were created while tracing.
        decisions: what became of each branch and loop of the source, by its place;
            shared with nested traces.
        print_token: orders what is printed; see `jitflow.ops.printing`.
        checks: assertions to look at after each run; see `jitflow.ops.checks`.
    """

    staging = True

    def __init__(
        self,
        name: str,
        *,
        parent: TraceContext | None = None,
        on_frame: Callable[[FrameType], bool] | None = None,
        on_attribute: Callable[[Any, str, Location], None] | None = None,
        may_create: bool = False,
        convert: Callable[[Any], Any] | None = None,
    ) -> None:
        self.name = name
        self.parent = parent
        self.on_frame = on_frame
        self.convert = convert or (lambda function: function)
        self.captures: list[tuple[Captured, Node]] = []
        self.created: list[Variable] = []
        self.closed = False
        self.decisions: dict[str, str] = {} if parent is None else parent.decisions
        self.checks: Any = None if parent is None else parent.checks
        self.print_token: Any = None if parent is None else parent.print_token
        self._watcher = FrameWatcher(on_frame)
        self._on_attribute = on_attribute
        self._may_create = may_create
        self._builder = GraphBuilder(name)
        self._builder.location = self._location
        self._builder.scope = lambda: state.scope
        self._lifted: dict[int, TracedTensor] = {}
        self._variables: dict[int, tuple[Variable, TracedTensor]] = {}
        self._written: dict[int, Variable] = {}
        self._commits: dict[int, tuple[Variable, np.ndarray]] = {}

    # ------------------------------------------------------------ running the body

    def active(self) -> AbstractContextManager[None]:
        """Stage everything that happens inside the ``with`` block of the caller."""
        self._watcher.start(sys._getframe(1))
        return self._activated()

    @contextmanager
    def _activated(self) -> Iterator[None]:
        before = state.trace
        state.trace = self
        self.closed = False
        try:
            yield
        finally:
            state.trace = before
            self.closed = True
            self._watcher.stop()
            # A leaked tensor keeps its trace: it must not keep the user's objects too.
            self._on_attribute = None

    def _location(self) -> Location:
        # The walk is needed even if a tape says where the op belongs: it finds frames.
        here = self._watcher.location()
        return state.location or here

    def location(self) -> Location:
        """The user's line that is running."""
        return self._location()

    # -------------------------------------------------------------- parameters, ops

    def parameter(self, type_: TensorType, name: str) -> TracedTensor:
        """A new input of the graph."""
        return TracedTensor(self._builder.parameter(type_, name), self)

    def apply(
        self, op: Op, inputs: tuple[Tensor, ...], attrs: Mapping[str, Any]
    ) -> Any:
        """Stage an op; returns a traced tensor, or a tuple of them.

        Raises:
            TracerError: if an operand belongs to a trace that has ended.
            TypeInferenceError: if the operands do not fit.
        """
        values = tuple(self._value(t) for t in inputs)
        result = self._builder.apply(op, values, attrs)
        if isinstance(result, Value):
            return TracedTensor(result, self)
        return tuple(TracedTensor(v, self) for v in result)

    def _value(self, tensor: Tensor) -> Value:
        if isinstance(tensor, TracedTensor) and tensor._trace is self:
            return tensor._value
        return self.lift(tensor)._value

    def lift(self, tensor: Tensor) -> TracedTensor:
        """The traced tensor of this trace that stands for `tensor`.

        Raises:
            TracerError: if it belongs to a trace that has ended or is not around this.
        """
        if isinstance(tensor, TracedTensor) and tensor._trace is self:
            return tensor
        found = self._lifted.get(id(tensor))
        if found is None:
            self._check_alive(tensor)
            found = self._capture(tensor, f"c{len(self.captures)}")
            self._lifted[id(tensor)] = found
        return found

    def _capture(self, what: Captured, name: str) -> TracedTensor:
        traced = self.parameter(TensorType(what.dtype, what.shape), name)
        # The list also keeps `what` alive, so that its id stays its own.
        self.captures.append((what, traced._value.node))
        return traced

    def _check_alive(self, tensor: Tensor) -> None:
        if not isinstance(tensor, TracedTensor):
            return
        outer = self.parent
        while outer is not None and outer is not tensor._trace:
            outer = outer.parent
        if outer is None or outer.closed:
            raise leaked(tensor)

    # -------------------------------------------------------------------- variables

    def read_variable(self, variable: Variable) -> TracedTensor:
        """The value of a variable at this point of the trace."""
        found = self._variables.get(id(variable))
        if found is None:
            found = (variable, self._first_read(variable))
            self._variables[id(variable)] = found
        return found[1]

    def _first_read(self, variable: Variable) -> TracedTensor:
        if self.parent is None:
            return self._capture(variable, f"v{len(self.captures)}_{_clean(variable)}")
        return self.lift(self.parent.read_variable(variable))

    def write_variable(self, variable: Variable, value: Tensor) -> None:
        """Stage an assignment; the variable also becomes an input, to be updated."""
        self.read_variable(variable)
        self._variables[id(variable)] = (variable, self.lift(value))
        self._written[id(variable)] = variable

    @property
    def written(self) -> list[tuple[Variable, TracedTensor]]:
        """Variables that the trace assigns, with their last values."""
        return [self._variables[key] for key in self._written]

    def created_variable(self, variable: Variable) -> None:
        """A variable is about to be created.

        Raises:
            VariableError: if this trace may not create any.
        """
        root = self
        while root.parent is not None:
            root = root.parent
        if not root._may_create or root is not self:
            how = "each time it is called" if root is self else "in a loop or branch"
            raise VariableError(
                f"{root.name} creates variable {variable.name!r} {how}",
                cause="a traced function may create a variable once only",
                fix="create it outside the function, or under a check such as "
                "`if self.w is None:`",
            )
        self.created.append(variable)

    def observe_attribute(self, owner: Any, name: str) -> None:
        """Tell the trace that its graph depends on a Python attribute of an object."""
        root = self
        while root.parent is not None:
            root = root.parent
        if root._on_attribute is not None:
            root._on_attribute(owner, name, self._location())

    # ----------------------------------------------------- values while still tracing

    def concrete(self, tensor: Tensor) -> np.ndarray:
        """The value of a tensor that depends on captured values only.

        Used for the initial values of variables that are created while tracing. If the
        value came from a variable with a staged assignment (a random generator), that
        assignment is remembered, to be carried out by `commit`.

        Raises:
            VariableError: if the tensor depends on an argument of the function.
        """
        if not isinstance(tensor, TracedTensor):
            return tensor._data
        (array,) = self._evaluate([tensor._value])
        reads = {id(n) for n in topological([tensor._value])}
        for what, node in self.captures:
            if id(what) in self._written and id(node) in reads:
                assert isinstance(what, Variable)
                value = self._variables[id(what)][1]._value
                self._commits[id(what)] = (what, self._evaluate([value])[0])
        return array

    def _evaluate(self, values: Sequence[Value]) -> tuple[np.ndarray, ...]:
        nodes = topological(values)
        known = {id(node): what for what, node in self.captures}
        params = [n for n in nodes if n.op.name == "parameter"]
        for node in params:
            if id(node) not in known:
                raise VariableError(
                    "the initial value of a variable depends on "
                    f"{node.attrs['name']!r}, an argument of the traced function",
                    fix="compute initial values from constants, or create the "
                    "variable outside the function",
                )
        ordered = [*params, *(n for n in nodes if n.op.name != "parameter")]
        graph = Graph("initial_value", params, ordered, values)
        return interpret(graph, *(known[id(n)]._data for n in params))

    def commit(self) -> None:
        """Carry out the assignments that `concrete` has looked at."""
        for variable, array in self._commits.values():
            variable._data = np.array(array, order="C")

    # ------------------------------------------------------------------------ result

    def build(self, results: Sequence[Tensor]) -> Graph:
        """The graph: `results`, then the new values of written variables."""
        outputs = [self._value(t) for t in results]
        position = {id(p): i for i, p in enumerate(self._builder.params)}
        node_of = {id(what): node for what, node in self.captures}
        aliases: dict[int, int] = {}
        for variable, value in self.written:
            source = node_of.get(id(variable))
            if source is not None:
                aliases[len(outputs)] = position[id(source)]
            outputs.append(value._value)
        return self._builder.build(outputs, aliases)


def _clean(variable: Variable) -> str:
    """The variable's name as an identifier."""
    name = str(getattr(variable, "path", None) or variable.name)
    text = "".join(c if c.isalnum() else "_" for c in name)
    return text or "variable"


def leaked(tensor: TracedTensor) -> TracerError:
    """The error for a traced tensor that is used after or outside its trace."""
    return TracerError(
        f"a tensor of {tensor._trace.name!r} is used outside its trace",
        operands={"x": tensor},
        cause=f"x was made by {made_by(tensor)} while tracing; it was kept in an "
        "attribute, a global or a container",
        fix="return it from the function and use the result",
    )


@contextmanager
def init_scope() -> Iterator[None]:
    """Leave the trace and the tapes: ops inside run at once, also while tracing.

    For what has to happen once, when a function is traced: building variables.
    """
    trace, tapes, scopes = state.trace, state.tapes, state.scopes
    state.trace, state.tapes, state.scopes = None, (), ()
    try:
        yield
    finally:
        state.trace, state.tapes, state.scopes = trace, tapes, scopes


def replay(
    graph: Graph,
    inputs: Sequence[Tensor],
    apply: Callable[..., Any],
    sizes: Mapping[str, Any],
) -> tuple[Tensor, ...]:
    """Run the nodes of a graph one by one on tensors with ``apply(op, inputs, attrs)``.

    `sizes` says what the graph's symbols stand for: ints, or sizes of another trace.
    Under an active trace this inlines the graph.
    """
    values: dict[Value, Tensor] = {
        p.output: t for p, t in zip(graph.params, inputs, strict=True)
    }
    for node in graph.nodes:
        if node.op.name == "parameter":
            continue
        attrs = bind_attrs(node.attrs, sizes) if sizes else node.attrs
        result = apply(node.op, tuple(values[v] for v in node.inputs), attrs)
        parts = result if isinstance(result, tuple) else (result,)
        values.update(zip(node.outputs, parts, strict=True))
    return tuple(values[v] for v in graph.outputs)
