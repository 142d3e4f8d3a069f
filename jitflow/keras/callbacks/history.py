"""`History`: the metrics of every epoch."""

from __future__ import annotations

from typing import Any

from jitflow.keras.callbacks.callback import Callback
from jitflow.keras.saving.registration import keras_export


@keras_export("keras.callbacks.History")
class History(Callback):
    """What `fit` returns.

    Attributes:
        epoch: numbers of the epochs that ended.
        history: for each metric its value at the end of every epoch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start with no epochs."""
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the metrics."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
        # Visible to callbacks and to who interrupts training.
        self.model.history = self
