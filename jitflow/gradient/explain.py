"""Why a gradient is None: the op and the line where the connection breaks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from compiler.ir.location import Location
from jitflow.errors import describe

# Ops without a derivative, in the user's words.
_MEANINGS = {
    "numpy()": "numpy() takes the value out of the tape's sight",
    "bitcast_convert": "stop_gradient (or a bit cast) blocks the gradient",
    "convert": "the conversion to integers or bools has no gradient",
    "compare": "a comparison has no gradient",
    "arg_reduce": "a position (argmax, argmin) has no gradient",
}


class Cut(NamedTuple):
    """A place where a gradient cannot pass.

    Attributes:
        how: the op, or ``numpy()``.
        sources: ids of the tracked operands.
        where: the user's line.
    """

    how: str
    sources: tuple[int, ...]
    where: Location | None

    def __str__(self) -> str:
        meaning = _MEANINGS.get(self.how, f"{self.how} has no gradient")
        return f"{meaning}, at {self.where}" if self.where else meaning


class Trail(NamedTuple):
    """What was recorded, by ids only: it keeps no tensor alive.

    Attributes:
        steps: ``(operand ids, result ids)`` of the differentiable ops, in order.
        cuts: where gradients end.
    """

    steps: list[tuple[tuple[int, ...], tuple[int, ...]]]
    cuts: list[Cut]

    @classmethod
    def of(cls, records: Iterable[Any], cuts: list[Cut]) -> Trail:
        """The trail of a tape's records."""
        steps = [
            (tuple(map(id, r.inputs)), tuple(map(id, r.outputs)))
            for r in records
            if r.op.vjp is not None
        ]
        return cls(steps, list(cuts))

    def reached_from(self, sources: Iterable[int]) -> set[int]:
        """Ids of everything that depends on `sources` differentiably."""
        reached = set(sources)
        for inputs, outputs in self.steps:
            if not reached.isdisjoint(inputs):
                reached.update(outputs)
        return reached


def _name(x: Any) -> str:
    name = getattr(x, "name", None)
    return f"variable {name!r}" if name else f"the tensor {describe(x)}"


def explain(
    trail: Trail, target: Any, source: Any, reads: Sequence[int], watched: bool
) -> str:
    """The text of `GradientTape.why`; `reads` are ids of the source's values."""
    if not source.dtype.is_inexact:
        return f"{_name(source)} is {source.dtype}: only floats have gradients."
    if not watched:
        return _not_watched(source)
    if not reads:
        return f"{_name(source)} was not read while the tape recorded."
    reached = trail.reached_from(reads)
    if id(target) in reached:
        return f"connected: the target depends on {_name(source)}."
    cuts = [c for c in trail.cuts if not reached.isdisjoint(c.sources)]
    if not cuts:
        return (
            f"the target does not use {_name(source)}: no recorded op leads from one "
            "to the other."
        )
    lines = "\n".join(f"  - {cut}" for cut in dict.fromkeys(cuts))
    return f"no path from {_name(source)} to the target. It is broken here:\n{lines}"


def _not_watched(source: Any) -> str:
    if getattr(source, "trainable", None) is False:
        return (
            f"{_name(source)} is not trainable, so the tape does not watch it; "
            "call tape.watch on it."
        )
    return (
        f"{_name(source)} is not watched: it was not read while the tape recorded, or "
        "tape.watch was not called on it before it was used."
    )
