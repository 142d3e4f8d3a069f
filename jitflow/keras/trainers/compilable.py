"""`Compilable`: `compile` and what it sets up, the loss and the metrics of a model."""

from __future__ import annotations

from typing import Any

import jitflow as jf
from jitflow.errors import ArgumentError
from jitflow.keras import optimizers
from jitflow.keras.callbacks.history import History
from jitflow.keras.layers import tracking
from jitflow.keras.metrics.metric import Metric
from jitflow.keras.saving.serialization import (
    deserialize_keras_object,
    serialize_keras_object,
)
from jitflow.keras.trainers.compiled import Compiled


class Compilable:
    """A model with an optimizer, losses and metrics; a base of `Trainer`."""

    def __init__(self) -> None:
        self._compiled: Compiled | None = None
        self._predictor: Compiled | None = None
        self.stop_training = False
        self.history: History | None = None

    # ------------------------------------------------------------------------ compile

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Say how the model is trained.

        Args:
            optimizer: name, configuration or object.
            loss: a loss, or losses by position or name of the output.
            loss_weights: factors of the losses, in the same way.
            metrics: a list, or lists by position or name of the output.
            weighted_metrics: metrics that take sample and class weights into account.
            run_eagerly: run Python code at each step instead of a compiled trace.
            steps_per_execution: batches between the hooks of callbacks.
            jit_compile: ``"auto"`` and True compile steps to machine code; False runs
                them op by op.
            auto_scale_loss: wrap the optimizer in a `LossScaleOptimizer` if the model
                computes in float16.

        Raises:
            ArgumentError: for unknown names and values out of range.
        """
        self._compiled = Compiled(
            optimizer=optimizer,
            loss=loss,
            loss_weights=loss_weights,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            auto_scale_loss=auto_scale_loss,
            half_precision=getattr(self, "compute_dtype", "") == "float16",
        )
        self.stop_training = False

    @property
    def compiled(self) -> bool:
        """Whether `compile` has been called."""
        return self._compiled is not None

    def _require_compiled(self, method: str) -> Compiled:
        if self._compiled is None:
            raise ArgumentError(
                f"{method}: the model is not compiled",
                fix="call model.compile(optimizer=..., loss=...) first",
            )
        return self._compiled

    @property
    def _setup(self) -> Compiled:
        """What `compile` made; defaults for a model that only predicts."""
        if self._compiled is not None:
            return self._compiled
        if self._predictor is None:
            self._predictor = Compiled.for_prediction()
        return self._predictor

    @property
    def optimizer(self) -> Any:
        """The optimizer; None before `compile`."""
        return None if self._compiled is None else self._compiled.optimizer

    @optimizer.setter
    def optimizer(self, optimizer: Any) -> None:
        compiled = self._require_compiled("optimizer")
        compiled.optimizer = optimizers.get(optimizer)
        compiled.forget_steps()

    @property
    def loss(self) -> Any:
        """The loss as given to `compile`."""
        return None if self._compiled is None else self._compiled.arguments["loss"]

    @property
    def run_eagerly(self) -> bool:
        """Whether steps run as Python code."""
        return self._setup.run_eagerly

    @run_eagerly.setter
    def run_eagerly(self, value: bool) -> None:
        self._require_compiled("run_eagerly").run_eagerly = value
        self._setup.forget_steps()

    @property
    def jit_compile(self) -> bool:
        """Whether steps are compiled to machine code."""
        return self._setup.jit_compile

    @jit_compile.setter
    def jit_compile(self, value: bool) -> None:
        self._require_compiled("jit_compile").jit_compile = bool(value)
        self._setup.forget_steps()

    @property
    def train_function(self) -> Any:
        """The latest compiled training step, a `jf.function`; None before the first."""
        return self._setup.latest("train_step")

    @property
    def test_function(self) -> Any:
        """The latest compiled evaluation step; None before the first."""
        return self._setup.latest("test_step")

    @property
    def predict_function(self) -> Any:
        """The latest compiled prediction step; None before the first."""
        return self._setup.latest("predict_step")

    # ------------------------------------------------------------------------ metrics

    @property
    def metrics(self) -> list[Metric]:
        """The loss, the metrics of `compile` and those of layers, in this order."""
        own = [] if self._compiled is None else self._compiled.all_metrics
        layers: Any = self._flatten_layers()  # type: ignore[attr-defined]
        inside = [
            m for la in layers for m in tracking.of_kind(la._tracked.values(), "metric")
        ]
        return tracking.unique([*own, *inside])

    @property
    def metrics_names(self) -> list[str]:
        """Names of `metrics`."""
        return [m.name for m in self.metrics]

    def reset_metrics(self) -> None:
        """Forget all batches that metrics have seen."""
        for metric in self.metrics:
            metric.reset_state()

    def get_metrics_result(self) -> dict[str, Any]:
        """Values of all metrics now, by name in logs."""
        compiled = self._require_compiled("get_metrics_result")
        found = compiled.results()
        known = {id(m) for m in compiled.all_metrics}
        for metric in self.metrics:
            if id(metric) not in known:
                value = metric.result()
                found.update(value if isinstance(value, dict) else {metric.name: value})
        return found

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Take a batch into account; returns the values of all metrics."""
        compiled = self._require_compiled("compute_metrics")
        names = getattr(self, "output_names", None)
        compiled.metrics.update_state(y, y_pred, sample_weight, names)
        return self.get_metrics_result()

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The loss of a batch with the penalties of layers, as a scalar.

        Raises:
            ArgumentError: if there is neither a loss nor a penalty.
        """
        compiled = self._require_compiled("compute_loss")
        total: Any = None
        if compiled.loss is not None:
            names = getattr(self, "output_names", None)
            total = compiled.loss(y, y_pred, sample_weight, names)
        for penalty in self.losses:  # type: ignore[attr-defined]
            value = jf.sum(jf.astype(penalty, "float32")) if penalty.ndim else penalty
            total = value if total is None else total + value
        if total is None:
            raise ArgumentError(
                "loss: there is nothing to minimise",
                fix="compile with a loss, or call add_loss in a layer",
            )
        return total

    # ------------------------------------------------------------------ configuration

    def get_compile_config(self) -> dict[str, Any] | None:
        """The arguments of `compile` as plain data; None if it was not called."""
        if self._compiled is None:
            return None
        return dict(serialize_keras_object(self._compiled.arguments))

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile with the result of `get_compile_config`."""
        arguments = {k: deserialize_keras_object(v) for k, v in config.items()}
        self.compile(**arguments)
        if self.built:  # type: ignore[attr-defined]
            self.optimizer.build(self.trainable_variables)  # type: ignore[attr-defined]
