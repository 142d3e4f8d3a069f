"""Progress of `fit`, `evaluate` and `predict`, on a terminal or in a log.

A terminal gets one line that is rewritten in place; anything else (a file, a pipe, a
notebook's log) plain lines: one for each epoch, and one every ten seconds within long
ones. ``NO_COLOR`` in the environment switches off the only colour there is.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from jitflow.keras.callbacks.callback import Callback
from jitflow.keras.saving.registration import keras_export

_REDRAW_SECONDS = 0.1
_PLAIN_SECONDS = 10.0


def format_seconds(seconds: float) -> str:
    """A duration with three significant digits and a unit: ``1.24 ms``."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def format_value(value: Any) -> str:
    """A metric with four significant digits."""
    try:
        return f"{float(value):.4g}"
    except (TypeError, ValueError):
        return str(value)


class Display:
    """Writes lines to standard output; the last one may be rewritten.

    Args:
        stream: where to; `sys.stdout` when None, looked up at each write.
    """

    def __init__(self, stream: Any = None) -> None:
        self._stream = stream
        self._width = 0

    @property
    def stream(self) -> Any:
        """Where lines go."""
        return self._stream or sys.stdout

    @property
    def is_terminal(self) -> bool:
        """Whether lines can be rewritten."""
        return bool(getattr(self.stream, "isatty", lambda: False)())

    def line(self, text: str) -> None:
        """Write a line for good, in place of one that was being rewritten."""
        padding = " " * max(self._width - len(text), 0)
        start = "\r" if self._width else ""
        self.stream.write(f"{start}{text}{padding}\n")
        self.stream.flush()
        self._width = 0

    def rewrite(self, text: str) -> None:
        """Show a line that the next one replaces."""
        text = text[: _terminal_width() - 1]
        padding = " " * max(self._width - len(text), 0)
        self.stream.write(f"\r{dim(text)}{padding}")
        self.stream.flush()
        self._width = len(text)


def _terminal_width() -> int:
    try:
        return max(os.get_terminal_size().columns, 20)
    except OSError:
        return 120


def dim(text: str) -> str:
    """`text` in grey, unless ``NO_COLOR`` is set."""
    return text if os.environ.get("NO_COLOR") else f"\x1b[2m{text}\x1b[0m"


@keras_export("keras.callbacks.ProgbarLogger")
class ProgbarLogger(Callback):
    """Shows progress: ``Epoch 3/10  47/47  1.2 ms/step  loss 0.412  accuracy 0.88``.

    With ``verbose=2`` there is one line for each epoch and nothing in between.

    Args:
        stream: where to; standard output when None.
    """

    # Metrics are converted to numbers when a line is due, not at each step.
    takes_tensors = True

    def __init__(self, stream: Any = None) -> None:
        super().__init__()
        self.display = Display(stream)
        self._title = ""
        self._epochs = 1
        self._in_fit = False
        self._start_of_part()

    def set_params(self, params: dict[str, Any]) -> None:
        """See `Callback.set_params`."""
        super().set_params(params)
        self._epochs = params.get("epochs") or 1

    @property
    def _verbose(self) -> int:
        return int(self.params.get("verbose", 1))

    def _start_of_part(self) -> None:
        now = time.perf_counter()
        self._began = self._shown = now
        self._steps = 0

    # ------------------------------------------------------------------------- training

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """See `Callback`."""
        self._in_fit = True

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """See `Callback`."""
        self._title = f"Epoch {epoch + 1}/{self._epochs}"
        self._start_of_part()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """See `Callback`."""
        self._tick(batch + 1, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """See `Callback`."""
        self.display.line(self._line(logs))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """See `Callback`."""
        self._in_fit = False

    # ---------------------------------------------------------- evaluation, prediction

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """See `Callback`; validation inside `fit` has no line of its own."""
        if not self._in_fit:
            self._title = "Evaluate"
            self._start_of_part()

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """See `Callback`."""
        if not self._in_fit:
            self._tick(batch + 1, logs)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """See `Callback`."""
        if not self._in_fit:
            self.display.line(self._line(logs))

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        """See `Callback`."""
        self._title = "Predict"
        self._start_of_part()

    def on_predict_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """See `Callback`."""
        self._tick(batch + 1, None)

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        """See `Callback`."""
        self.display.line(self._line(None))

    # ---------------------------------------------------------------------------- lines

    def _tick(self, steps: int, logs: dict[str, Any] | None) -> None:
        self._steps = steps
        now = time.perf_counter()
        if self._verbose == 2 or now - self._shown < _REDRAW_SECONDS:
            return
        if self.display.is_terminal:
            self._shown = now
            self.display.rewrite(self._line(logs))
        elif now - self._shown >= _PLAIN_SECONDS:
            self._shown = now
            self.display.line(self._line(logs))

    def _line(self, logs: dict[str, Any] | None) -> str:
        total = self.params.get("steps")
        seconds = time.perf_counter() - self._began
        parts = [
            self._title,
            f"{self._steps}/{total or '?'}",
            f"{format_seconds(seconds / max(self._steps, 1))}/step",
        ]
        parts += [f"{name} {format_value(v)}" for name, v in (logs or {}).items()]
        return "  ".join(parts)
