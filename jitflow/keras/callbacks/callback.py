"""`Callback`: what to do at the beginnings and ends of training, epochs and batches."""

from __future__ import annotations

from typing import Any

from jitflow.keras.saving.registration import keras_export


@keras_export("keras.callbacks.Callback")
class Callback:
    """Base of all callbacks; a subclass overrides the hooks it wants.

    Hooks of batches that nobody overrides cost nothing.

    Attributes:
        params: ``{"verbose": ..., "epochs": ..., "steps": ...}`` of the running call.
    """

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self._model: Any = None

    @property
    def model(self) -> Any:
        """The model that is trained, evaluated or asked for predictions."""
        return self._model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called with the parameters before the first hook."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Called with the model before the first hook."""
        self._model = model

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Before the first epoch; `logs` is empty."""

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """After the last epoch; `logs` are those of that epoch."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Before an epoch, counted from 0; `logs` is empty."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """After an epoch; `logs` has the metrics and, as ``val_NAME``, validation."""

    def on_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Another name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Another name of `on_train_batch_end`."""

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Before a training step, counted from 0."""

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """After a training step; `logs` has the metrics of the epoch so far."""

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Before evaluation, in `fit` also before validation."""

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """After evaluation; `logs` has the metrics."""

    def on_test_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Before an evaluation step."""

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """After an evaluation step; `logs` has the metrics so far."""

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Before prediction."""

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        """After prediction."""

    def on_predict_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Before a prediction step."""

    def on_predict_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """After a prediction step; ``logs["outputs"]`` are the predictions."""
