"""The state that a loop carries: how its types are found, and who assigns what.

A body is traced with a guess: numbers stay weak, and no variable is assigned. What the
trace shows to be otherwise corrects the guess, until it holds; nearly always at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jitflow.control_flow.body import Body, run_body
from jitflow.control_flow.errors import ControlFlowError
from jitflow.control_flow.slots import (
    Slot,
    leaf_of,
    next_slot,
    operand_of,
    slot_of,
    state_error,
)
from jitflow.tensor import Tensor, Variable, state
from jitflow.tracing.structure import Structure, flatten, leaf_paths, unflatten

# int -> float -> tensor is the longest way that a type can go; variables add a round.
_ROUNDS = 6
Step = Callable[[list[Any]], Any]


def next_strictly(path: str, before: Slot, after: Slot) -> Slot:
    """The slot of a loop variable.

    Raises:
        ControlFlowError: if its type changes.
    """
    found = next_slot(before, after)
    if found is None:
        raise state_error(path, before, after)
    return found


@dataclass
class LoopState:
    """The carried values of one loop.

    Attributes:
        structure: how the leaves are nested.
        leaves: the initial values, flat.
        paths: how messages call them.
        slots: what the leaves are.
        variables: those that the body assigns; they are carried after the leaves.
    """

    structure: Structure
    leaves: list[Any]
    paths: list[str]
    slots: list[Slot] = field(default_factory=list)
    variables: list[Variable] = field(default_factory=list)

    @classmethod
    def of(cls, init: Any, name: str) -> LoopState:
        """The state that starts with `init`; `name` is the argument's."""
        leaves, structure = flatten(init)
        made = cls(structure, leaves, leaf_paths(init, name))
        made.slots = [slot_of(leaf) for leaf in leaves]
        return made

    def trace(
        self, name: str, step: Step, count: int, extra: Sequence[Slot] = ()
    ) -> Body:
        """Trace a body until its results have the types of the state.

        Args:
            name: of the graph.
            step: takes the leaves of the state and of `extra`; gives a list of new
                leaves, whose first `count` are the state.
            count: number of leaves of the state.
            extra: what the body is given besides.
        """
        for _ in range(_ROUNDS):
            slots = [*self.slots, *extra]
            body = run_body(name, step, slots, self.variables)
            if self._agrees(body.leaves[:count], body.trace.assigned()):
                return body
        raise ControlFlowError(
            "the types of the loop's state do not settle",
            fix="give the initial values the types that the body returns",
        )

    def _agrees(self, after: Sequence[Any], assigned: Sequence[Variable]) -> bool:
        rows = zip(self.paths, self.slots, after, strict=True)
        slots = [next_strictly(path, slot, slot_of(leaf)) for path, slot, leaf in rows]
        known = {id(v) for v in self.variables}
        new = [v for v in assigned if id(v) not in known]
        changed = slots != self.slots or bool(new)
        self.slots = slots
        self.variables += new
        return not changed

    def operands(self) -> list[Tensor]:
        """The initial values, as the loop takes them."""
        return [*carriers(self.leaves, self.slots), *(v.value for v in self.variables)]

    def finish(self, results: Sequence[Any], keep_weak: bool) -> list[Any]:
        """The last values; also assigns the variables. `results` are the carriers."""
        rest = iter(results)
        leaves = [
            leaf_of(None if s.type is None else next(rest), s, keep_weak)
            for s in self.slots
        ]
        for variable, value in zip(self.variables, rest, strict=True):
            state.trace.write_variable(variable, value)
        return leaves

    def rebuild(self, leaves: Sequence[Any]) -> Any:
        """Leaves in the structure of the state."""
        return unflatten(self.structure, leaves)

    def check_structure(self, other: Structure, name: str) -> None:
        """Raise unless the body returns what it was given.

        Raises:
            ControlFlowError: naming both structures.
        """
        if other != self.structure:
            raise ControlFlowError(
                f"{name} is {self.structure} before an iteration and {other} after it",
                fix="return the containers that the loop started with",
            )


def carriers(leaves: Sequence[Any], slots: Sequence[Slot]) -> list[Tensor]:
    """The tensors that carry leaves; static ones need none."""
    pairs = zip(leaves, slots, strict=True)
    return [operand_of(leaf, slot) for leaf, slot in pairs if slot.type is not None]


def in_order(body: Body, state_slots: Sequence[Slot]) -> list[Any]:
    """Parameters of a body as loops want them: state, variables, what else there is."""
    first = sum(s.type is not None for s in state_slots)
    last = len(body.params) - body.seeded
    params = body.params
    return [*params[:first], *params[last:], *params[first:last]]


def variables_after(body: Body, variables: Sequence[Variable]) -> list[Tensor]:
    """The values that variables have at the end of a body."""
    return [body.trace.read_variable(v) for v in variables]
