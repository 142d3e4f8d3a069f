"""Guards: is what a trace has read from Python still the same?

A `GuardSet` is checked on every call, so it is a few flat lists of identities; only
when one differs is the value compared properly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jitflow.function.snapshot import MISSING, Snapshot, is_mutable_container
from jitflow.function.sources import (
    AttributeSource,
    CellSource,
    NameSource,
    Source,
    weak,
)


class Guard:
    """One source and the value that the trace relied on."""

    __slots__ = ("snapshot", "source")

    def __init__(self, source: Source, snapshot: Snapshot) -> None:
        self.source = source
        self.snapshot = snapshot

    def holds(self) -> bool:
        """Whether the source still has the value; the slow, exact check."""
        return self.snapshot.matches(self.source.read())

    def explain(self) -> str:
        """``captured global 'T' changed 1.0 -> 0.7 (sample.py:12)``."""
        now = Snapshot(self.source.read()).shown
        before = self.snapshot.shown
        change = f"{before} -> {now}" if now != before else f"({before})"
        return f"{self.source.label} changed {change} ({self.source.where})"

    def __repr__(self) -> str:
        source = self.source
        return f"{source.label} = {self.snapshot.shown} ({source.where})"


class GuardSet:
    """All guards of one trace.

    Args:
        guards: what to check.
        on_dead: called when an object that is guarded by identity has died: the trace
            can never be used again.
    """

    __slots__ = (
        "_attributes",
        "_by_key",
        "_cells",
        "_contents",
        "_names",
        "_references",
        "guards",
    )

    def __init__(self, guards: Iterable[Guard], on_dead: Callable[[], None]) -> None:
        self.guards: Sequence[Guard] = tuple(guards)
        self._by_key = {g.source.key: g for g in self.guards}
        self._names: list[list[Any]] = []
        self._attributes: list[list[Any]] = []
        self._cells: list[list[Any]] = []
        self._contents: list[Guard] = []
        self._references: list[Any] = []
        for guard in self.guards:
            self._enter(guard)
            self.watch(guard.source.read(), on_dead)

    def _enter(self, guard: Guard) -> None:
        source, ident = guard.source, guard.snapshot.ident
        if guard.snapshot.content is not None:
            self._contents.append(guard)
        elif isinstance(source, NameSource):
            self._names.append([source.names, source.name, ident, source.key])
        elif isinstance(source, AttributeSource):
            self._attributes.append([source.owner, source.name, ident, source.key])
        elif isinstance(source, CellSource):
            self._cells.append([source.cell, ident, source.key])

    def watch(self, value: Any, on_dead: Callable[[], None]) -> None:
        """Call `on_dead` when `value` dies."""
        if value is not MISSING and not is_mutable_container(value):
            # For what cannot be referred to weakly this keeps the value, and so its id.
            self._references.append(weak(value, lambda _: on_dead()))

    def __len__(self) -> int:
        return len(self.guards)

    def holds(self) -> bool:
        """Whether every guard holds; a fraction of a microsecond for a few guards."""
        for row in self._names:
            names, name, ident, key = row
            if id(names.get(name, MISSING)) != ident and not self._repin(row, key):
                return False
        for row in self._attributes:
            owner, name, ident, key = row
            if id(getattr(owner(), name, MISSING)) != ident and not self._repin(
                row, key
            ):
                return False
        for row in self._cells:
            cell, ident, key = row
            if id(_content(cell)) != ident and not self._repin(row, key):
                return False
        return not self._contents or all(g.holds() for g in self._contents)

    def _repin(self, row: list[Any], key: Any) -> bool:
        """Accept an equal scalar in place of the one that was seen."""
        guard = self._by_key[key]
        value = guard.source.read()
        if not guard.snapshot.matches(value):
            return False
        guard.snapshot = Snapshot(value)
        row[-2] = id(value)
        return True

    def broken(self) -> list[Guard]:
        """The guards that do not hold."""
        return [g for g in self.guards if not g.holds()]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING
