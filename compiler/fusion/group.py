"""The result of fusion: an ordered list of groups, each one step or kernel."""

from __future__ import annotations

from dataclasses import dataclass, field

from compiler.fusion.decision import KernelPlan
from compiler.ir.node import Graph, Node, Value


@dataclass(frozen=True)
class Group:
    """Nodes that are executed together.

    Attributes:
        kind: ``loop`` (a generated kernel), ``dot`` (a library product), ``copy`` (a
            view that is needed in memory), ``constant`` or ``host`` (run by NumPy).
        name: short description, from the ops and the scope.
        nodes: members, operands first.
        plan: the kernel plan of a loop group.
        outputs: results that are stored.
        inputs: values that are read from memory.
    """

    kind: str
    name: str
    nodes: tuple[Node, ...]
    outputs: tuple[Value, ...]
    inputs: tuple[Value, ...]
    plan: KernelPlan | None = None


@dataclass(frozen=True)
class FusedGraph:
    """A graph cut into groups, in execution order, with the refusals that shaped it."""

    graph: Graph
    groups: tuple[Group, ...]
    refusals: tuple[str, ...] = field(default=())

    @property
    def kernel_count(self) -> int:
        """Number of generated kernels that run."""
        return sum(g.kind in ("loop", "copy") for g in self.groups)
