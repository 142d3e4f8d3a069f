"""`TraceCache`: the traces of one function, and finding the one that fits a call."""

from __future__ import annotations

from typing import Any

from jitflow.function.arguments import Call
from jitflow.function.concrete import ConcreteFunction
from jitflow.function.records import TraceRecord

Key = tuple[Any, ...]

# Tables of sizes that share a symbolic trace start anew at this many entries.
_MAX_KEYS = 4096


class TraceCache:
    """Traces by key. Readers take no lock; writers hold the function's.

    The lists in ``fast`` and ``exact`` are shared, so that a new or dead trace shows in
    both.

    Args:
        limit: how many traces are kept; None for all.

    Attributes:
        fast: keys of flat positional calls on tensors, made without a plan.
        exact: canonical keys.
        symbolic: keys without sizes, of traces with open sizes.
        records: of the traces that are kept, oldest first.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.fast: dict[Key, list[ConcreteFunction]] = {}
        self.exact: dict[Key, list[ConcreteFunction]] = {}
        self.symbolic: dict[Key, list[ConcreteFunction]] = {}
        self.records: list[TraceRecord] = []

    def clear(self) -> None:
        """Forget everything."""
        for table in (self.fast, self.exact, self.symbolic):
            table.clear()
        self.records = []

    def find(self, call: Call) -> ConcreteFunction | None:
        """A trace that fits the call and whose guards hold."""
        for concrete in self.exact.get(call.key, ()):
            if concrete.guards.holds():
                return concrete
        shapes = [shape for shape, _, _ in call.types()]
        for concrete in self.symbolic.get(call.skeleton, ()):
            if concrete.matches(shapes) and concrete.guards.holds():
                self.enter(call.key, concrete)
                return concrete
        return None

    def enter(self, key: Key, concrete: ConcreteFunction) -> None:
        """Put a trace first among those of a key."""
        if len(self.exact) > _MAX_KEYS:
            self._drop_sizes(key)
        entries = self.exact.setdefault(key, [])
        entries[:] = [concrete, *(c for c in entries if c is not concrete)]

    def _drop_sizes(self, kept: Key) -> None:
        """Forget which sizes use the symbolic traces; they are found again."""
        self.fast.clear()
        for key, entries in list(self.exact.items()):
            if key != kept and all(c.is_symbolic for c in entries):
                del self.exact[key]

    def add(self, record: TraceRecord, call: Call) -> None:
        """Keep a new trace; the least used one goes if there are too many."""
        concrete = record.concrete
        self.records.append(record)
        self.enter(call.key, concrete)
        if concrete.is_symbolic:
            self.symbolic.setdefault(call.skeleton, []).insert(0, concrete)
        if self.limit is not None and len(self.records) > self.limit:
            self.evict(min(self.records[:-1], key=lambda r: r.hits).concrete)

    def evict(self, concrete: ConcreteFunction) -> None:
        """Forget a trace."""
        concrete.alive = False
        for table in (self.fast, self.exact, self.symbolic):
            for key, entries in list(table.items()):
                if concrete in entries:
                    entries[:] = [c for c in entries if c is not concrete]
                if not entries:
                    table.pop(key, None)
        self.records = [r for r in self.records if r.concrete is not concrete]

    def record_of(self, concrete: ConcreteFunction) -> TraceRecord:
        """The record of a trace that is kept."""
        return next(r for r in self.records if r.concrete is concrete)
