"""What `fit` says about compilation and time."""

from __future__ import annotations

from typing import Any

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

    def new_traces(self, step: StepFunction) -> None:
        """Describe the traces that were made since the last call."""
        for number, record in enumerate(step.traces, start=1):
            if id(record) not in self._seen:
                self._seen[id(record)] = record
                if self.verbose:
                    self.display.line(describe_trace(step, record, number))

    def times(self, clock: Clock) -> None:
        """Say where the time went."""
        if self.verbose:
            self.display.line(clock.report())


def describe_trace(step: StepFunction, record: Any, number: int) -> str:
    """``train_step: compiled, trace 1, 14 kernels, 402 ms``, or why it was retraced."""
    seconds = sum(record.seconds.values())
    parts = [
        "compiled" if step.jit_compile else "interpreted",
        f"trace {number}",
        *_counts(record),
        f"{seconds * 1e3:.0f} ms",
    ]
    again = f" (traced again: {record.reason})" if number > 1 else ""
    return f"{step.name}: {', '.join(parts)}{again}"


def _counts(record: Any) -> list[str]:
    """Sizes of the executable of a trace, as far as it tells them."""
    counts = getattr(record.concrete.executable, "counts", None)
    if not isinstance(counts, dict):
        return []
    return [
        f"{counts[name]} {name}" for name in ("kernels", "products") if name in counts
    ]
