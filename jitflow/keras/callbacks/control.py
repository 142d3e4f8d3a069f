"""Callbacks that act on training: stop it, change its rate, keep the best weights."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from jitflow.errors import ArgumentError
from jitflow.keras.callbacks.callback import Callback
from jitflow.keras.saving.registration import keras_export

_MAXIMISED = ("acc", "auc", "precision", "recall", "f1", "fbeta", "iou", "r2")


class Monitor:
    """Compares the values of a metric over epochs.

    Args:
        name: of the metric in logs.
        mode: ``"min"``, ``"max"``, or ``"auto"`` to decide by the metric's name.
        min_delta: smallest change that is an improvement.

    Raises:
        ArgumentError: for an unknown mode.
    """

    def __init__(self, name: str, mode: str = "auto", min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ArgumentError(f"mode: {mode!r} is not 'auto', 'min' or 'max'")
        self.name = name
        if mode == "auto":
            base = name.removeprefix("val_")
            mode = "max" if any(text in base for text in _MAXIMISED) else "min"
        self.mode = mode
        self.min_delta = abs(min_delta)
        self._warned = False

    @property
    def worst(self) -> float:
        """A value that every other one improves on."""
        return math.inf if self.mode == "min" else -math.inf

    def value(self, logs: dict[str, Any] | None) -> float | None:
        """The metric in `logs`; None, with one warning, if it is not among them."""
        if logs is not None and self.name in logs:
            self._warned = True  # missing in other epochs, as with validation_freq
            return float(logs[self.name])
        if not self._warned:
            self._warned = True
            hint = "; val_ names need validation_data" if "val_" in self.name else ""
            warnings.warn(
                f"monitor: {self.name!r} is not among the logs: "
                f"{', '.join(logs or {}) or 'none'}{hint}",
                stacklevel=4,
            )
        return None

    def improves(self, value: float, reference: float) -> bool:
        """Whether `value` is better than `reference` by more than `min_delta`."""
        if self.mode == "min":
            return value < reference - self.min_delta
        return value > reference + self.min_delta


def _say(verbose: int, text: str) -> None:
    if verbose:
        print(text)


@keras_export("keras.callbacks.EarlyStopping")
class EarlyStopping(Callback):
    """Stops training when a metric no longer improves.

    Args:
        monitor: name of the metric in logs.
        min_delta: smallest change that is an improvement.
        patience: epochs without improvement after which training stops.
        verbose: 1 to say so.
        mode: see `Monitor`.
        baseline: a value that has to be improved on.
        restore_best_weights: go back to the weights of the best epoch.
        start_from_epoch: epochs before this one are not looked at.

    Attributes:
        stopped_epoch: epoch at which training was stopped; 0 if it was not.
        best: best value; best_epoch: its epoch; best_weights: its weights.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__()
        self._metric = Monitor(monitor, mode, min_delta)
        self.monitor = monitor
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._reset()

    def _reset(self) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best_epoch = 0
        self.best: float = self._metric.worst
        self.best_weights: list[np.ndarray] | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Forget earlier runs."""
        self._reset()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the metric; an epoch without it does not count."""
        current = self._metric.value(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights = self.model.get_weights()
            self.best_epoch = epoch
        self.wait += 1
        if self._metric.improves(current, self.best):
            self._note(epoch, current)
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _note(self, epoch: int, current: float) -> None:
        self.best, self.best_epoch = current, epoch
        if self.restore_best_weights:
            self.best_weights = self.model.get_weights()
        if self.baseline is None or self._metric.improves(current, self.baseline):
            self.wait = 0

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Go back to the best weights, if asked for."""
        if self.stopped_epoch:
            text = f"Epoch {self.stopped_epoch + 1}: early stopping"
            _say(self.verbose, text)
        if self.restore_best_weights and self.best_weights is not None:
            number = self.best_epoch + 1
            _say(self.verbose, f"Restoring weights of the best epoch: {number}.")
            self.model.set_weights(self.best_weights)


@keras_export("keras.callbacks.ReduceLROnPlateau")
class ReduceLROnPlateau(Callback):
    """Lowers the learning rate when a metric no longer improves.

    Args:
        monitor: name of the metric in logs.
        factor: what the rate is multiplied by, below 1.
        patience: epochs without improvement before that.
        verbose: 1 to say so.
        mode: see `Monitor`.
        min_delta: smallest change that is an improvement.
        cooldown: epochs after a reduction that do not count.
        min_lr: lowest rate.

    Raises:
        ArgumentError: for a factor of 1 or more.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__()
        if factor >= 1.0:
            raise ArgumentError(f"factor: must be below 1, given {factor}")
        self._metric = Monitor(monitor, mode, min_delta)
        self.monitor = monitor
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = min_lr
        self._reset()

    def _reset(self) -> None:
        self.best: float = self._metric.worst
        self.cooldown_counter = 0
        self.wait = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Forget earlier runs."""
        self._reset()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the metric, and note the rate as ``learning_rate``."""
        logs = logs if logs is not None else {}
        current = self._metric.value(logs)
        rate = float(self.model.optimizer.learning_rate)
        logs["learning_rate"] = rate
        if current is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self._metric.improves(current, self.best):
            self.best, self.wait = current, 0
        elif not self.cooldown_counter:
            self.wait += 1
            if self.wait >= self.patience and rate > self.min_lr:
                self._reduce(epoch, rate)

    def _reduce(self, epoch: int, rate: float) -> None:
        rate = max(rate * self.factor, self.min_lr)
        self.model.optimizer.learning_rate = rate
        text = f"Epoch {epoch + 1}: learning rate reduced to {rate:.6g}."
        _say(self.verbose, text)
        self.cooldown_counter, self.wait = self.cooldown, 0


@keras_export("keras.callbacks.LearningRateScheduler")
class LearningRateScheduler(Callback):
    """Sets the learning rate at the start of every epoch.

    Args:
        schedule: called with the epoch and the rate, returns the new rate.
        verbose: 1 to say so.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        self.schedule = schedule
        self.verbose = verbose

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Ask for the rate, and set it.

        Raises:
            ArgumentError: if the schedule does not return a number.
        """
        rate = float(self.model.optimizer.learning_rate)
        try:
            new = self.schedule(epoch, rate)
        except TypeError:  # a schedule of the epoch alone
            new = self.schedule(epoch)
        if not hasattr(new, "__float__"):
            raise ArgumentError(f"schedule: returned {new!r}, a number is needed")
        self.model.optimizer.learning_rate = float(new)
        _say(self.verbose, f"Epoch {epoch + 1}: learning rate {float(new):.6g}.")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the rate as ``learning_rate``."""
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)


@keras_export("keras.callbacks.TerminateOnNaN")
class TerminateOnNaN(Callback):
    """Stops training when the loss is NaN or infinite."""

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Look at the loss."""
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            _say(1, f"Batch {batch}: the loss is {loss}, training stops.")
            self.model.stop_training = True
