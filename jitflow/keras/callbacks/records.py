"""Callbacks that write things down: functions, CSV files, checkpoints."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from jitflow.errors import ArgumentError
from jitflow.keras.callbacks.callback import Callback
from jitflow.keras.callbacks.control import Monitor
from jitflow.keras.saving.registration import keras_export


@keras_export("keras.callbacks.LambdaCallback")
class LambdaCallback(Callback):
    """A callback from functions; further hooks are given by name.

    Args:
        on_epoch_begin: called with ``(epoch, logs)``.
        on_epoch_end: called with ``(epoch, logs)``.
        on_train_begin: called with ``(logs)``.
        on_train_end: called with ``(logs)``.
        on_train_batch_begin: called with ``(batch, logs)``.
        on_train_batch_end: called with ``(batch, logs)``.

    Raises:
        ArgumentError: for a name that is not a hook.
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **hooks: Callable[..., Any],
    ) -> None:
        super().__init__()
        unknown = [n for n in hooks if not (n[:3] == "on_" and hasattr(Callback, n))]
        if unknown:
            raise ArgumentError(f"{unknown[0]}: there is no such hook")
        given = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **hooks,
        }
        for name, function in given.items():
            if function is not None:
                setattr(self, name, function)


@keras_export("keras.callbacks.CSVLogger")
class CSVLogger(Callback):
    """Writes the metrics of every epoch to a file.

    Args:
        filename: of the file.
        separator: between values.
        append: go on with a file that exists, under its header.
    """

    def __init__(
        self, filename: str | Path, separator: str = ",", append: bool = False
    ) -> None:
        super().__init__()
        self.filename = Path(filename)
        self.separator = separator
        self.append = append
        self._file: TextIO | None = None
        self._names: list[str] | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Open the file."""
        goes_on = self.append and self.filename.exists()
        self._names = self._header() if goes_on else None
        self._file = self.filename.open("a" if goes_on else "w", newline="")

    def _header(self) -> list[str] | None:
        with self.filename.open(newline="") as file:
            return next(csv.reader(file, delimiter=self.separator), None)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write a line; a metric that appears later than the header has no column."""
        assert self._file is not None
        row = {"epoch": epoch, **(logs or {})}
        names = self._names or ["epoch", *sorted(logs or {})]
        writer = csv.DictWriter(
            self._file,
            names,
            restval="NA",
            extrasaction="ignore",
            delimiter=self.separator,
        )
        if self._names is None:
            writer.writeheader()
            self._names = names
        writer.writerow({k: _cell(v) for k, v in row.items()})
        self._file.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _cell(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


@keras_export("keras.callbacks.ModelCheckpoint")
class ModelCheckpoint(Callback):
    """Saves the model or its weights, at the end of epochs or every so many batches.

    Args:
        filepath: may contain ``{epoch}`` (from 1) and names of metrics, as in
            ``"w-{epoch:02d}-{val_loss:.2f}.weights.h5"``.
        monitor: name of the metric that says what is best.
        verbose: 1 to say so.
        save_best_only: save when the metric improves only.
        save_weights_only: save the weights, not the model.
        mode: see `Monitor`.
        save_freq: ``"epoch"``, or a number of batches.
        initial_value_threshold: a value that has to be improved on.

    Raises:
        ArgumentError: for an unknown `save_freq`.
    """

    def __init__(
        self,
        filepath: str | Path,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__()
        if save_freq != "epoch" and not isinstance(save_freq, int):
            raise ArgumentError(f"save_freq: 'epoch' or an int, given {save_freq!r}")
        self._metric = Monitor(monitor, mode)
        self.filepath = str(filepath)
        self.monitor = monitor
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        threshold = initial_value_threshold
        self.best: float = self._metric.worst if threshold is None else threshold
        self._epoch = 0
        self._batches = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the epoch, for the names of files."""
        self._epoch = epoch

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Save, if this is one of the batches."""
        self._batches += 1
        if self.save_freq != "epoch" and self._batches % int(self.save_freq) == 0:
            self._save(logs or {})

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save, if the metric is the best so far or each epoch is to be saved."""
        if self.save_freq == "epoch":
            self._save(logs or {})

    def _save(self, logs: dict[str, Any]) -> None:
        if self.save_best_only:
            current = self._metric.value(logs)
            if current is None or not self._metric.improves(current, self.best):
                return
            self.best = current
        path = self._path(logs)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)
        if self.verbose:
            print(f"Epoch {self._epoch + 1}: saved {path}")

    def _path(self, logs: dict[str, Any]) -> str:
        try:
            return self.filepath.format(epoch=self._epoch + 1, **logs)
        except KeyError as error:
            raise ArgumentError(
                f"filepath: {error.args[0]!r} is not among the logs",
                fix=f"names are: epoch, {', '.join(logs)}",
            ) from None
