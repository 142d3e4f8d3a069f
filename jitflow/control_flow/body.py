"""Tracing the body of a loop or a branch into a graph of its own.

A body sees its parameters and whatever it closes over; tensors and variables of the
traces around it become further parameters (constants of the loop). Assignments to
variables do not leave the body: the caller turns them into results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from compiler.ir.location import Location, caller_location
from compiler.ir.node import Graph
from compiler.ir.types import TensorType
from jitflow.control_flow.slots import Slot
from jitflow.tensor import Tensor, Variable, state
from jitflow.tracing.context import TraceContext
from jitflow.tracing.scalar import TracedScalar
from jitflow.tracing.structure import Structure, flatten


class BodyTrace(TraceContext):
    """The trace of a body, nested in the active trace (or in none, for types only)."""

    def __init__(self, name: str) -> None:
        parent = state.trace
        super().__init__(
            name,
            parent=parent,
            on_frame=None if parent is None else parent.on_frame,
            convert=None if parent is None else parent.convert,
        )
        self._seeded: set[int] = set()
        self._origin = caller_location() if parent is None else parent.location()

    def _location(self) -> Location:
        # A body that is the framework's own function has no line of the user's.
        found = super()._location()
        return found if found.line else self._origin

    def seed(self, variable: Variable) -> Tensor:
        """A parameter that stands for the value of a variable."""
        traced = self.parameter(TensorType(variable.dtype, variable.shape), "")
        self._variables[id(variable)] = (variable, traced)
        self._seeded.add(id(variable))
        return traced

    def tell_tapes(self) -> None:
        """Read the body's variables outside of it, where tapes may watch them."""
        for key, (variable, _) in list(self._variables.items()):
            if key not in self._seeded:
                variable.value  # noqa: B018

    def assigned(self) -> list[Variable]:
        """The variables that the body writes."""
        return list(self._written.values())

    def graph(
        self, consts: Sequence[Any], params: Sequence[Any], results: Sequence[Tensor]
    ) -> Graph:
        """The body as a function of ``(consts, params)``."""
        outputs = [self._value(t) for t in results]
        heads = [self.lift(c)._value.node for c in consts]
        order = [*heads, *(p._value.node for p in params)]
        built = self._builder.build(outputs)
        rest = built.nodes[len(built.params) :]
        return Graph(self.name, order, [*order, *rest], outputs)


@dataclass
class Body:
    """A body that has been traced.

    Attributes:
        trace: its trace, which has ended; `resumed` goes on with it.
        params: its parameters: those of the slots, then those of the variables.
        leaves: what it returned, flat.
        structure: how the leaves are nested.
        seeded: how many of the parameters, at the end, stand for variables.
    """

    trace: BodyTrace
    params: list[Any]
    leaves: list[Any]
    structure: Structure
    seeded: int = 0

    def lifted(self, results: Sequence[Tensor]) -> list[Tensor]:
        """Results as tensors of the body, also if it returns what it closes over."""
        return [self.trace.lift(t) for t in results]

    @contextmanager
    def resumed(self) -> Iterator[None]:
        """Stage further ops in the body."""
        with tapes_off(), self.trace.active():
            yield


@contextmanager
def tapes_off() -> Iterator[None]:
    """Tapes outside of a body see the whole of it as one op."""
    before = state.tapes
    state.tapes = ()
    try:
        yield
    finally:
        state.tapes = before


def run_body(
    name: str,
    function: Callable[[list[Any]], Any],
    slots: Sequence[Slot] = (),
    variables: Sequence[Variable] = (),
) -> Body:
    """Trace a body.

    Args:
        name: of its graph.
        function: called with the list of leaves that stand for `slots`.
        slots: what the body is given.
        variables: those whose values the loop carries.
    """
    trace = BodyTrace(name)
    params: list[Any] = []
    leaves = [_parameter(trace, slot, params) for slot in slots]
    params += [trace.seed(v) for v in variables]
    with tapes_off(), trace.active():
        results, structure = flatten(function(leaves))
    return Body(trace, params, results, structure, len(variables))


def _parameter(trace: BodyTrace, slot: Slot, params: list[Any]) -> Any:
    if slot.type is None:
        return slot.value
    traced = trace.parameter(slot.type, "")
    params.append(traced)
    if slot.weak is None:
        return traced
    return TracedScalar(traced._value, trace, slot.weak)


def common_captures(bodies: Sequence[Body]) -> list[Any]:
    """What the bodies close over, each thing once, in order of first use."""
    found = {id(what): what for body in bodies for what, _ in body.trace.captures}
    return list(found.values())


def results_of(outcome: Any) -> tuple[Any, ...]:
    """The results of an op as a tuple."""
    return outcome if isinstance(outcome, tuple) else (outcome,)
