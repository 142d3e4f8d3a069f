"""`LossScaleOptimizer`: keeps half-precision gradients in range."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import jitflow as jf
from jitflow.errors import ArgumentError
from jitflow.keras.optimizers.gradients import update_if
from jitflow.keras.optimizers.optimizer import Optimizer
from jitflow.keras.saving.registration import keras_export
from jitflow.keras.saving.serialization import (
    deserialize_keras_object,
    serialize_keras_object,
)


@keras_export("keras.optimizers.LossScaleOptimizer")
class LossScaleOptimizer(Optimizer):
    """Multiplies the loss by a scale that is as large as the gradients allow.

    A step whose gradients are not all finite is left out and halves the scale; a run of
    `dynamic_growth_steps` finite ones doubles it.

    Args:
        inner_optimizer: the optimizer that takes the steps.
        initial_scale: the first scale.
        dynamic_growth_steps: finite steps after which the scale grows.
        name: first part of the paths of its variables.

    Raises:
        ArgumentError: if there is no inner optimizer.
    """

    def __init__(
        self,
        inner_optimizer: Optimizer,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
    ) -> None:
        if not isinstance(inner_optimizer, Optimizer):
            raise ArgumentError(f"inner_optimizer: no optimizer: {inner_optimizer!r}")
        super().__init__(0.0, name=name)
        self.inner_optimizer = inner_optimizer
        self.initial_scale = initial_scale
        self.dynamic_growth_steps = dynamic_growth_steps
        self.step_counter = self._scalar(0, "int32", "step_counter")
        self.dynamic_scale = self._scalar(initial_scale, "float32", "dynamic_scale")

    def _scalar(self, value: float, dtype: str, name: str) -> Any:
        return self.add_variable((), value, dtype, name=name)

    @property
    def iterations(self) -> Any:
        """See `Optimizer.iterations`: steps that were taken."""
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self) -> Any:
        """See `Optimizer.learning_rate`: that of the inner optimizer."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def variables(self) -> list[Any]:
        """See `Optimizer.variables`; those of the inner optimizer included."""
        own = [self.step_counter, self.dynamic_scale]
        return [*own, *self.inner_optimizer.variables]

    def build(self, variables: Sequence[Any]) -> None:
        """Create the slots of the inner optimizer."""
        super().build(variables)
        self.inner_optimizer.build(variables)

    def apply(
        self, grads: Sequence[Any], trainable_variables: Iterable[Any] | None = None
    ) -> None:
        """See `Optimizer.apply`; `grads` are those of the scaled loss."""
        variables = self._known(trainable_variables)
        finite = _all_finite(grads)
        scale = self.dynamic_scale.value
        unscaled = [None if g is None else g / jf.astype(scale, g.dtype) for g in grads]
        changed = [*variables, *self.inner_optimizer.variables]
        update_if(
            finite, changed, lambda: self.inner_optimizer.apply(unscaled, variables)
        )
        with jf.name_scope(self.name):
            self._adjust(finite, scale)

    def _adjust(self, finite: Any, scale: Any) -> None:
        count = self.step_counter.value + 1
        grown = count >= self.dynamic_growth_steps
        larger = jf.where(grown, scale * 2.0, scale)
        self.dynamic_scale.assign(jf.where(finite, larger, scale * 0.5))
        self.step_counter.assign(jf.where(finite & ~grown, count, 0))

    def scale_loss(self, loss: Any) -> Any:
        """See `Optimizer.scale_loss`."""
        return loss * jf.astype(self.dynamic_scale.value, loss.dtype)

    def finalize_variable_values(self, var_list: Iterable[Any]) -> None:
        """See `Optimizer.finalize_variable_values`."""
        self.inner_optimizer.finalize_variable_values(var_list)

    def set_weights(self, weights: Sequence[Any]) -> None:
        """See `Optimizer.set_weights`."""
        if len(weights) != len(self.variables):
            raise ArgumentError(
                f"weights: {len(weights)} arrays for {len(self.variables)} variables"
            )
        for variable, weight in zip(self.variables, weights, strict=True):
            variable.assign(weight)

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        return {
            "name": self.name,
            "inner_optimizer": serialize_keras_object(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """See `Optimizer.from_config`."""
        inner = deserialize_keras_object(config["inner_optimizer"], custom_objects)
        return cls(**{**config, "inner_optimizer": inner})


def _all_finite(grads: Sequence[Any]) -> Any:
    """Whether every element of every gradient is finite, as a bool scalar."""
    result: Any = None
    for gradient in grads:
        if gradient is not None:
            finite = jf.all(jf.isfinite(gradient))
            result = finite if result is None else result & finite
    return result
