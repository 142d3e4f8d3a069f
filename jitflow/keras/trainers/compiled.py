"""What `compile` makes of its arguments, and the gradients of a step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Self

from jitflow.config import functions_run_eagerly
from jitflow.errors import ArgumentError, GradientError, GradientWarning
from jitflow.keras import optimizers
from jitflow.keras.metrics.metric import Metric
from jitflow.keras.metrics.reduction import Mean
from jitflow.keras.optimizers import LossScaleOptimizer
from jitflow.keras.trainers.compiled_loss import CompiledLoss
from jitflow.keras.trainers.compiled_metrics import CompiledMetrics
from jitflow.keras.trainers.steps import StepFunction


class Compiled:
    """Optimizer, losses, metrics and steps of a compiled model.

    Args:
        arguments: those of `Trainer.compile`, and ``half_precision``: whether the model
            computes in float16.

    Raises:
        ArgumentError: for unknown names and values out of range.
    """

    def __init__(self, half_precision: bool = False, **arguments: Any) -> None:
        self.arguments = arguments
        optimizer = optimizers.get(arguments["optimizer"])
        if half_precision and arguments["auto_scale_loss"]:
            optimizer = _scaled(optimizer)
        self.optimizer = optimizer
        loss = arguments["loss"]
        weights = arguments["loss_weights"]
        self.loss = None if loss is None else CompiledLoss(loss, weights)
        self.metrics = CompiledMetrics(
            arguments["metrics"], arguments["weighted_metrics"]
        )
        self.loss_tracker = Mean(name="loss")
        self.run_eagerly = bool(arguments["run_eagerly"])
        self.jit_compile = _jit(arguments["jit_compile"])
        self.steps_per_execution = _positive(arguments["steps_per_execution"])
        self.steps: dict[str, StepFunction] = {}

    @classmethod
    def for_prediction(cls) -> Self:
        """The setup of a model that was not compiled."""
        return cls(**_DEFAULTS)

    @property
    def is_eager(self) -> bool:
        """Whether steps run as Python code now."""
        return self.run_eagerly or functions_run_eagerly()

    def step(self, name: str, method: Callable[[Any], Any]) -> StepFunction:
        """The step of that name; `method` is what it runs."""
        found = self.steps.get(name)
        if found is None:
            found = StepFunction(name, method, self.run_eagerly, self.jit_compile)
            self.steps[name] = found
        return found

    def latest(self, name: str) -> Any:
        """The `jf.function` of a step that was made last; None if there is none."""
        step = self.steps.get(name)
        return list(step.functions.values())[-1] if step and step.functions else None

    def forget_steps(self) -> None:
        """Make new steps when they are needed next."""
        self.steps = {}

    @property
    def all_metrics(self) -> list[Metric]:
        """The loss, the losses of outputs, and the metrics."""
        trackers = [] if self.loss is None else self.loss.trackers
        return [self.loss_tracker, *trackers, *self.metrics.metrics]

    def results(self) -> dict[str, Any]:
        """Values of all metrics by name in logs."""
        trackers = [] if self.loss is None else self.loss.trackers
        losses = {m.name: m.result() for m in (self.loss_tracker, *trackers)}
        return {**losses, **self.metrics.results()}

    def finish(self, variables: Sequence[Any]) -> None:
        """Called when training is over."""
        if self.optimizer.built:
            self.optimizer.finalize_variable_values(variables)


_DEFAULTS: dict[str, Any] = {
    "optimizer": "rmsprop",
    "loss": None,
    "loss_weights": None,
    "metrics": None,
    "weighted_metrics": None,
    "run_eagerly": False,
    "steps_per_execution": 1,
    "jit_compile": "auto",
    "auto_scale_loss": True,
}


def _scaled(optimizer: Any) -> Any:
    if isinstance(optimizer, LossScaleOptimizer) or optimizer.loss_scale_factor:
        return optimizer
    return LossScaleOptimizer(optimizer, name="loss_scale_optimizer")


def _jit(jit_compile: bool | str) -> bool:
    if jit_compile not in (True, False, "auto"):
        raise ArgumentError(f"jit_compile: 'auto' or a bool, given {jit_compile!r}")
    return bool(jit_compile)


def _positive(steps: Any) -> int:
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ArgumentError(f"steps_per_execution: a positive int, given {steps!r}")
    return steps


def apply_gradients(
    optimizer: Any, tape: Any, loss: Any, variables: Sequence[Any]
) -> None:
    """One step of `optimizer` along the gradients of `loss`.

    Variables without a gradient stay as they are, with a warning that says why.

    Raises:
        GradientError: if no variable has a gradient, with the reason of the first.
    """
    if not variables:
        return
    grads = tape.gradient(loss, list(variables))
    missing = [v for v, g in zip(variables, grads, strict=True) if g is None]
    if missing:
        _complain(tape, loss, missing, len(missing) == len(grads))
    optimizer.apply_gradients(zip(grads, variables, strict=True))


def _complain(tape: Any, loss: Any, missing: Sequence[Any], all_missing: bool) -> None:
    paths = [str(getattr(v, "path", v.name)) for v in missing]
    reason = tape.why(loss, missing[0])
    if all_missing:
        raise GradientError(
            f"no variable has a gradient of the loss: {', '.join(paths)}",
            cause=reason,
            fix="compute the loss from the outputs of the model with jf operations",
        )
    warnings.warn(
        f"no gradient of the loss for {', '.join(paths)}: they are not trained. "
        f"{paths[0]}: {reason}",
        GradientWarning,
        stacklevel=2,
    )
