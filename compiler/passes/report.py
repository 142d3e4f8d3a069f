"""What a pipeline run did: passes, rounds, nodes, milliseconds, rules."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from compiler.ir.node import Graph


@dataclass(slots=True)
class PassRecord:
    """One pass over all its rounds; `ms` does not include verification."""

    name: str
    rounds: int = 0
    changed: int = 0
    nodes_before: int = 0
    nodes_after: int = 0
    ms: float = 0.0

    def add(self, before: Graph, after: Graph, ms: float) -> None:
        """Count one run of the pass."""
        if not self.rounds:
            self.nodes_before = len(before.nodes)
        self.rounds += 1
        self.changed += after is not before
        self.nodes_after = len(after.nodes)
        self.ms += ms


@dataclass(slots=True)
class PipelineReport:
    """Printable account of a pipeline run.

    Attributes:
        records: one per pass, in order of their first run.
        fired: how often each rule was applied.
        verify_ms: time spent verifying.
    """

    records: dict[str, PassRecord] = field(default_factory=dict)
    fired: Counter[str] = field(default_factory=Counter)
    verify_ms: float = 0.0

    def record(self, name: str) -> PassRecord:
        """The record of a pass, made on first use."""
        return self.records.setdefault(name, PassRecord(name))

    @property
    def ms(self) -> float:
        """Time of all passes and of verification, in milliseconds."""
        return self.verify_ms + sum(r.ms for r in self.records.values())

    def __str__(self) -> str:
        rows = [f"{'pass':<20}{'rounds':>7}{'changed':>9}{'nodes':>14}{'ms':>9}"]
        for r in self.records.values():
            nodes = f"{r.nodes_before} -> {r.nodes_after}"
            rows.append(
                f"{r.name:<20}{r.rounds:>7}{r.changed:>9}{nodes:>14}{r.ms:>9.2f}"
            )
        rows.append(f"{'verify':<50}{self.verify_ms:>9.2f}")
        rows.append(f"{'total':<50}{self.ms:>9.2f}")
        if self.fired:
            counts = sorted(self.fired.items(), key=lambda item: (-item[1], item[0]))
            rows.append("rules: " + ", ".join(f"{n} x{c}" for n, c in counts))
        return "\n".join(rows)


@dataclass(frozen=True, slots=True)
class PipelineResult:
    """The optimised graph, and what was done to get it."""

    graph: Graph
    report: PipelineReport
