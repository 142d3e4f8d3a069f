"""`Trainer`: `compile`, `fit`, `evaluate` and `predict`; a base of `Model`.

A training step (forward, backward, optimizer and metrics) is one `jf.function` with an
open batch size. Overridden `train_step`, `test_step` and `predict_step` are used in its
place, with the code of TensorFlow's Keras: a tape, `apply_gradients`, and metrics.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jitflow as jf
from jitflow.errors import ArgumentError
from jitflow.keras.callbacks.callback_list import CallbackList, as_numbers
from jitflow.keras.callbacks.history import History
from jitflow.keras.trainers import sources
from jitflow.keras.trainers.compilable import Compilable
from jitflow.keras.trainers.compiled import apply_gradients
from jitflow.keras.trainers.data import (
    Batch,
    DataSource,
    make_batch,
    train_validation_split,
    unpack_x_y_sample_weight,
)
from jitflow.keras.trainers.loops import Clock, Collector, EpochIterator, Hooks, Loop
from jitflow.keras.trainers.reports import Reporter
from jitflow.keras.trainers.steps import StepFunction
from jitflow.tracing.structure import flatten


class Trainer(Compilable):
    """What can be trained: mixed into `Model`.

    Attributes:
        stop_training: set by callbacks to end `fit` after the running step.
        history: the `History` of the last `fit`.
    """

    # -------------------------------------------------------------------------- steps

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of training; override it for another rule.

        Args:
            data: ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``.

        Returns:
            Values by name, for logs.
        """
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        with jf.GradientTape() as tape:
            y_pred = self(x, training=True)  # type: ignore[operator]
            loss = self.compute_loss(x, y, y_pred, sample_weight, training=True)
            scaled = self.optimizer.scale_loss(loss)
        self._track_loss(loss, x)
        variables = self.trainable_variables  # type: ignore[attr-defined]
        apply_gradients(self.optimizer, tape, scaled, variables)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        """One step of evaluation; see `train_step`."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)  # type: ignore[operator]
        if self._setup.loss is not None or self.losses:  # type: ignore[attr-defined]
            loss = self.compute_loss(x, y, y_pred, sample_weight, training=False)
            self._track_loss(loss, x)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def predict_step(self, data: Any) -> Any:
        """One step of prediction; returns the outputs."""
        x, _, _ = unpack_x_y_sample_weight(data)
        return self(x, training=False)  # type: ignore[operator]

    def _track_loss(self, loss: Any, x: Any) -> None:
        """Count the loss once for each sample of the batch."""
        first = flatten(x)[0][0]
        size = jf.size_of(first, 0, "float32") if first.ndim else 1.0
        self._setup.loss_tracker.update_state(loss, sample_weight=size)

    def _step(self, name: str) -> StepFunction:
        return self._setup.step(name, getattr(self, name))

    def _before(self, step: StepFunction, source: DataSource) -> Callable[..., None]:
        """What to do with a batch before its step: trace, then look at targets."""
        checked: list[bool] = []

        def first_check(batch: Batch) -> None:
            step.prepare(batch)
            everything = source.all_targets()
            loss = self._setup.loss
            if step.is_eager or loss is None or not loss.checks_targets:
                checked.append(True)
            elif everything is not None:
                loss.check_targets(everything)
                checked.append(True)
            else:
                loss.check_targets(unpack_x_y_sample_weight(batch.data())[1])

        return lambda batch: None if checked else first_check(batch)

    # ---------------------------------------------------------------------------- fit

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool | str = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
    ) -> History:
        """Train the model.

        Args:
            x: arrays or tensors (one, a list or a dict of them), a `PyDataset`, or an
                iterable of ``(x, y)`` or ``(x, y, sample_weight)`` batches.
            y: targets, for arrays.
            batch_size: for arrays; 32 if None.
            epochs: number of the last epoch.
            verbose: 0 for silence, 1 for progress, 2 for a line per epoch.
            callbacks: `Callback` objects.
            validation_split: share of the last samples of `x` to validate on.
            validation_data: ``(x, y)`` or ``(x, y, sample_weight)`` or an iterable.
            shuffle: a new order of samples each epoch (``"batch"``: of batches).
            class_weight: weights by label.
            sample_weight: weights of samples, for arrays.
            initial_epoch: number of the first epoch.
            steps_per_epoch: batches of an epoch; all of them if None.
            validation_steps: batches of a validation; all of them if None.
            validation_batch_size: that of training if None.
            validation_freq: validate every so many epochs, or in these (from 1).

        Returns:
            The `History` of metrics by epoch.

        Raises:
            ArgumentError: for data that do not fit together or to the model.
        """
        compiled = self._require_compiled("fit")
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = train_validation_split(
                (x, y, sample_weight), validation_split
            )
        source = sources.make_source(
            x,
            y,
            sample_weight,
            batch_size=batch_size,
            shuffle=shuffle,
            class_weight=class_weight,
            reuse=not compiled.is_eager,
        )
        validation = sources.validation_source(
            validation_data, validation_batch_size or batch_size
        )
        train = EpochIterator(source, steps_per_epoch)
        test = validation and EpochIterator(validation, validation_steps)
        verbose = _verbosity(verbose)
        hooks = _callback_list(
            callbacks,
            self,
            verbose,
            history=True,
            epochs=epochs,
            steps=train.num_batches,
        )
        reporter = Reporter(verbose, hooks)
        self.stop_training = False
        clock = Clock()
        logs: dict[str, Any] = {}
        hooks.on_train_begin()
        for epoch in range(initial_epoch, epochs):
            hooks.on_epoch_begin(epoch)
            self.reset_metrics()
            logs = self._train_epoch(train, hooks, clock)
            reporter.new_traces(self._step("train_step"))
            if test and _is_due(validation_freq, epoch):
                values = self._evaluate(test, hooks)
                logs.update({f"val_{name}": v for name, v in values.items()})
            hooks.on_epoch_end(epoch, logs)
            if self.stop_training:
                break
        compiled.finish(self.trainable_variables)  # type: ignore[attr-defined]
        hooks.on_train_end(logs)
        reporter.times(clock)
        assert self.history is not None
        return self.history

    def _train_epoch(
        self, data: EpochIterator, hooks: CallbackList, clock: Clock
    ) -> dict[str, Any]:
        step = self._step("train_step")
        loop = Loop(
            step,
            Hooks(hooks, "train"),
            self._setup.steps_per_execution,
            lambda: self.stop_training,
            self._before(step, data.source),
        )
        before = clock.steps
        logs = as_numbers(loop.run(data.epoch(), clock))
        data.source.on_epoch_end()
        if clock.steps == before:
            raise ArgumentError("x: there are no batches to train on")
        return logs

    # ----------------------------------------------------------------------- evaluate

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss and the metrics on data; see `fit` for the arguments.

        Returns:
            The loss, or a list of the loss and the metrics in the order of
            `metrics_names`; with `return_dict` a dict of them.

        Raises:
            ArgumentError: see `fit`.
        """
        self._require_compiled("evaluate")
        source = sources.make_source(x, y, sample_weight, batch_size=batch_size)
        data = EpochIterator(source, steps)
        hooks = _callback_list(
            callbacks, self, _verbosity(verbose), epochs=1, steps=data.num_batches
        )
        logs = self._evaluate(data, hooks)
        return logs if return_dict else _flat(logs)

    def _evaluate(self, data: EpochIterator, hooks: CallbackList) -> dict[str, Any]:
        self.reset_metrics()
        hooks.on_test_begin()
        step = self._step("test_step")
        loop = Loop(
            step,
            Hooks(hooks, "test"),
            self._setup.steps_per_execution,
            lambda: False,
            self._before(step, data.source),
        )
        clock = Clock()
        logs = as_numbers(loop.run(data.epoch(), clock))
        if not clock.steps:
            raise ArgumentError("x: there are no batches to evaluate on")
        data.source.on_epoch_end()
        hooks.on_test_end(logs)
        return logs

    # ------------------------------------------------------------------------ predict

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The outputs of the model for data, batch by batch.

        Args:
            x: see `fit`.
            batch_size: for arrays; 32 if None.
            verbose: 0 for silence, 1 for progress.
            steps: number of batches; all of them if None.
            callbacks: `Callback` objects.

        Returns:
            NumPy arrays in the structure of the outputs.

        Raises:
            ArgumentError: if there is no batch.
        """
        source = sources.make_source(x, batch_size=batch_size)
        data = EpochIterator(source, steps)
        hooks = _callback_list(
            callbacks, self, _verbosity(verbose), epochs=1, steps=data.num_batches
        )
        collector = Collector(source.num_samples if steps is None else None)
        step = self._step("predict_step")
        hooks.on_predict_begin()
        for number, batch in enumerate(data.epoch()):
            hooks.on_predict_batch_begin(number)
            outputs = step(batch)
            collector.add(outputs)
            hooks.on_predict_batch_end(number, {"outputs": outputs})
        hooks.on_predict_end()
        return collector.result()

    # ---------------------------------------------------------------------- one batch

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One training step on one batch; returns as `evaluate` does.

        Metrics are those of this batch: they start again at every call.
        """
        self._require_compiled("train_on_batch")
        batch = make_batch((x, y, sample_weight), class_weight)
        return self._on_batch("train_step", batch, return_dict)

    def test_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """One evaluation step on one batch; returns as `evaluate` does."""
        self._require_compiled("test_on_batch")
        batch = make_batch((x, y, sample_weight))
        return self._on_batch("test_step", batch, return_dict)

    def _on_batch(self, name: str, batch: Batch, return_dict: bool) -> Any:
        step = self._step(name)
        loss = self._setup.loss
        step.prepare(batch)
        if loss is not None and not step.is_eager and loss.checks_targets:
            loss.check_targets(unpack_x_y_sample_weight(batch.data())[1])
        self.reset_metrics()
        logs = as_numbers(step(batch))
        return logs if return_dict else _flat(logs)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as NumPy arrays."""
        collector = Collector(None)
        collector.add(self._step("predict_step")(make_batch((x,))))
        return collector.result()


def _callback_list(
    callbacks: Any, model: Any, verbose: int, history: bool = False, **params: Any
) -> CallbackList:
    if isinstance(callbacks, CallbackList):
        return callbacks
    return CallbackList(
        callbacks,
        add_history=history,
        add_progbar=verbose != 0,
        model=model,
        verbose=verbose,
        **params,
    )


def _verbosity(verbose: str | int) -> int:
    """0, 1 or 2; ``"auto"`` is 1 on a terminal and else a line per epoch."""
    if verbose == "auto":
        return 1 if sys.stdout is not None else 0
    if verbose not in (0, 1, 2):
        raise ArgumentError(f"verbose: 'auto', 0, 1 or 2, given {verbose!r}")
    return int(verbose)


def _is_due(validation_freq: int | Sequence[int], epoch: int) -> bool:
    if isinstance(validation_freq, int):
        return (epoch + 1) % validation_freq == 0
    return epoch + 1 in validation_freq


def _flat(logs: dict[str, Any]) -> Any:
    """A lone value, or the values as a list."""
    values = list(logs.values())
    return values[0] if len(values) == 1 else values
