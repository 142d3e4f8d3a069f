"""What `fit` says about compilation and time."""

from __future__ import annotations

from typing import Any

from compiler.kernels.cache import default_cache
from jitflow.keras.callbacks.callback_list import CallbackList
from jitflow.keras.callbacks.progress import Display, ProgbarLogger
from jitflow.keras.trainers.loops import Clock
from jitflow.keras.trainers.steps import StepFunction


class Reporter:
    """Writes a line for each new trace, and one about time at the end.

    Args:
        verbose: nothing is written at 0.
        callbacks: lines go where the progress goes.
    """

    def __init__(self, verbose: int, callbacks: CallbackList) -> None:
        self.verbose = verbose
        bars = [c for c in callbacks.callbacks if isinstance(c, ProgbarLogger)]
        self.display = bars[0].display if bars else Display()
        self._seen: dict[int, Any] = {}
        self._counters = default_cache().counters()

    def new_traces(self, step: StepFunction) -> None:
        """Describe the traces that were made since the last call."""
        new = [
            (number, record)
            for number, record in enumerate(step.traces, start=1)
            if id(record) not in self._seen
        ]
        if not new:
            return
        self._seen.update({id(record): record for _, record in new})
        if self.verbose:
            for number, record in new:
                self.display.line(describe_trace(step, record, number) + self._cache())

    def _cache(self) -> str:
        """How many kernels were at hand since the last report."""
        before, self._counters = self._counters, default_cache().counters()
        counters = self._counters - before
        hits = counters.memory_hits + counters.disk_hits
        total = hits + counters.misses
        return f", cache {hits}/{total} hits" if total else ""

    def times(self, clock: Clock) -> None:
        """Say where the time went."""
        if self.verbose:
            self.display.line(clock.report())


def describe_trace(step: StepFunction, record: Any, number: int) -> str:
    """``train_step: compiled, trace 1, 14 kernels, 402 ms``, or why it was retraced."""
    seconds = sum(record.seconds.values())
    again = f" (traced again: {record.reason})" if number > 1 else ""
    parts = [
        "compiled" if step.jit_compile else "interpreted",
        f"trace {number}{again}",
        *_counts(record),
        f"{seconds * 1e3:.0f} ms",
    ]
    return f"{step.name}: {', '.join(parts)}"


def _counts(record: Any) -> list[str]:
    """Sizes of the executable of a trace, as far as it tells them."""
    counts = getattr(record.concrete.executable, "counts", None)
    if not isinstance(counts, dict):
        return []
    return [f"{counts[name]} {name}" for name in ("kernels", "dots") if name in counts]
