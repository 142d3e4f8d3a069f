"""What is remembered about each trace, and how it is told to the user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from compiler.ir.location import Location
from jitflow.function.arguments import Leaf
from jitflow.function.concrete import ConcreteFunction
from jitflow.function.shapes import describe_change


class CacheInfo(NamedTuple):
    """Like `functools.lru_cache`'s, plus the number of traces that were made."""

    hits: int
    misses: int
    maxsize: int | None
    currsize: int


@dataclass
class TraceRecord:
    """One trace of a function.

    Attributes:
        number: counts from 1.
        signature: ``(path, description)`` of every argument.
        reason: why it was traced.
        fix: what would have avoided it, or "".
        where: the line of the call.
        seconds: cost by stage: ``trace`` and ``compile``.
        side_effects: messages about side effects.
        notes: what was decided on the way.
        concrete: the trace itself.
        skeleton: the key of the call without sizes.
    """

    number: int
    paths: tuple[str, ...]
    leaves: tuple[Leaf, ...]
    reason: str
    fix: str
    where: Location
    seconds: dict[str, float]
    concrete: ConcreteFunction
    skeleton: tuple[Any, ...]
    side_effects: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def signature(self) -> tuple[tuple[str, str], ...]:
        """``(path, description)`` of every argument; open sizes as symbols."""
        types = iter(self.concrete.pattern)
        shown = []
        for path, leaf in zip(self.paths, self.leaves, strict=True):
            passed = leaf.kind in ("array", "number")
            type_ = next(types) if passed else None
            shown.append((path, str(type_) if leaf.kind == "array" else leaf.shown))
        return tuple(shown)

    @property
    def hits(self) -> int:
        """Calls that used the trace after the one that made it."""
        return self.concrete.hits

    @property
    def guards(self) -> list[str]:
        """The Python values that the trace relies on."""
        return [repr(g) for g in self.concrete.guards.guards]

    def __repr__(self) -> str:
        args = ", ".join(f"{p}: {d}" for p, d in self.signature)
        return f"<trace #{self.number} ({args}): {self.reason}>"


class Difference(NamedTuple):
    """How one argument differs from an earlier trace."""

    path: str
    old: Leaf
    new: Leaf

    @property
    def is_number(self) -> bool:
        """Whether only the value of a Python int or float differs."""
        kinds = (self.old.key, self.new.key)
        if not (self.old.kind == self.new.kind == "value"):
            return False
        first, second = kinds
        return first[0] is second[0] and first[0] in (int, float)

    @property
    def is_shape(self) -> bool:
        """Whether only sizes differ, not the dtype or the rank."""
        if not (self.old.kind == self.new.kind == "array"):
            return False
        (old, old_dtype), (new, new_dtype) = self.old.key, self.new.key
        return old_dtype is new_dtype and len(old) == len(new)

    @property
    def weight(self) -> int:
        """How far apart the two are; smaller is closer."""
        if self.is_shape or self.is_number:
            return 1
        if self.old.kind == self.new.kind == "array":
            return 2 + (self.old.key[1] is not self.new.key[1])
        return 4

    def __str__(self) -> str:
        return f"{self.path}: {self.old.shown} -> {self.new.shown}{self._detail()}"

    def _detail(self) -> str:
        if self.is_shape:
            return f" ({describe_change(self.old.key[0], self.new.key[0])})"
        if self.is_number:
            return " (new value of a Python argument)"
        if self.old.kind == self.new.kind == "object":
            return " (another object)"
        return ""


def differences(
    record: TraceRecord, paths: Sequence[str], leaves: Sequence[Leaf]
) -> list[Difference]:
    """The arguments in which a call differs from a trace; paths only one has, too."""
    old = dict(zip(record.paths, record.leaves, strict=True))
    new = dict(zip(paths, leaves, strict=True))
    absent = Leaf("absent", None, "not given")
    found = []
    for path in dict.fromkeys((*old, *new)):
        a, b = old.get(path, absent), new.get(path, absent)
        if not a.same(b):
            found.append(Difference(path, a, b))
    return found


def fix_for(changes: Sequence[Difference]) -> str:
    """What to do about a retrace; "" if nothing has to be done."""
    for change in changes:
        if change.is_number:
            return f"make {change.path} a tensor or a jf.Variable"
        if change.old.kind == change.new.kind == "array" and not change.is_shape:
            return f"give {change.path} one dtype and rank in all calls"
        if change.old.kind == change.new.kind == "object":
            return f"pass the same object as {change.path} each time"
    return ""


def why(name: str, records: Sequence[TraceRecord], calls: int) -> str:
    """The text of ``f.why()``: every trace, its cause, its cost and the fix."""
    if not records:
        return f"{name}: not traced yet"
    total = sum(sum(r.seconds.values()) for r in records)
    plural = "trace" if len(records) == 1 else "traces"
    lines = [f"{name}: {len(records)} {plural}, {calls} hits   {total:.3g} s in total"]
    for record in records:
        cost = 1e3 * sum(record.seconds.values())
        args = ", ".join(f"{p}: {d}" for p, d in record.signature)
        lines.append(f"#{record.number}  {record.where}  +{cost:.1f} ms  ({args})")
        lines.append(f"    {record.reason}")
        lines.extend(f"    note: {note}" for note in record.notes)
        lines.extend(f"    side effect: {text}" for text in record.side_effects)
        if record.fix:
            lines.append(f"    fix: {record.fix}")
    return "\n".join(lines)
