"""Adafactor: adaptive steps with memory that grows with rows plus columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jitflow as jf
from jitflow.keras.optimizers.optimizer import Optimizer
from jitflow.keras.saving.registration import keras_export


@keras_export("keras.optimizers.Adafactor")
class Adafactor(Optimizer):
    """Adaptive steps from row and column means of squared gradients.

    Args:
        learning_rate: see `Optimizer`, as are the further arguments.
        beta_2_decay: power of the step with which old means are forgotten.
        epsilon_1: added to squared gradients.
        epsilon_2: smallest size that a variable counts as.
        clip_threshold: largest root mean square of an update.
        relative_step: bound the rate by one over the root of the step; as in Keras, the
            size of a step is bounded so in any case.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = "adafactor",
    ) -> None:
        super().__init__(
            learning_rate,
            weight_decay,
            clipnorm,
            clipvalue,
            global_clipnorm,
            use_ema,
            ema_momentum,
            ema_overwrite_frequency,
            loss_scale_factor,
            gradient_accumulation_steps,
            name,
        )
        self.beta_2_decay = beta_2_decay
        self.epsilon_1 = epsilon_1
        self.epsilon_2 = epsilon_2
        self.clip_threshold = clip_threshold
        self.relative_step = relative_step

    def build(self, variables: Sequence[Any]) -> None:
        """Create the slots."""
        super().build(variables)
        self._r = [self._factor(v, v.shape[:-1], "row") for v in variables]
        self._c = [
            self._factor(v, (*v.shape[:-2], *v.shape[-1:]), "column") for v in variables
        ]
        self._v = self.add_optimizer_variables(variables, "velocity")

    def _factor(self, variable: Any, shape: tuple[int, ...], name: str) -> Any:
        """Running means along one axis of a matrix; unused for vectors."""
        key = (id(variable), name)
        if key not in self._slots:
            shape = shape if len(variable.shape) > 1 else ()
            self._slots[key] = self.add_variable(
                shape, dtype=variable.dtype, name=f"{variable.name}_{name}"
            )
        return self._slots[key]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `Optimizer.update_step`."""
        gradient = jf.astype(gradient, variable.dtype)
        update = gradient / jf.sqrt(self._mean_square(gradient, variable))
        update = update / jf.maximum(_rms(update) / self.clip_threshold, 1.0)
        size = jf.maximum(_rms(variable.value), self.epsilon_2)
        self.assign_sub(
            variable, size * self._relative(learning_rate, variable) * update
        )

    def _relative(self, learning_rate: Any, variable: Any) -> Any:
        rate = self.rate_like(learning_rate, variable)
        return jf.minimum(rate, jf.rsqrt(self.step_like(variable)))

    def _mean_square(self, gradient: Any, variable: Any) -> Any:
        """The new estimate of the mean square of each element of the gradient."""
        square = jf.square(gradient) + self.epsilon_1
        keep = 1.0 - jf.pow(self.step_like(variable), self.beta_2_decay)
        slot = self.slot(self._v, variable)
        if len(variable.shape) < 2:
            estimate = keep * slot.value + (1.0 - keep) * square
        else:
            rows = self._blend(self._r, variable, keep, jf.mean(square, axis=-1))
            columns = self._blend(self._c, variable, keep, jf.mean(square, axis=-2))
            share = rows / jf.mean(rows, axis=-1, keepdims=True)
            estimate = jf.expand_dims(share, axis=-1) * jf.expand_dims(columns, axis=-2)
        self.assign(slot, estimate)
        return estimate

    def _blend(self, slots: Any, variable: Any, keep: Any, new: Any) -> Any:
        slot = self.slot(slots, variable)
        value = keep * slot.value + (1.0 - keep) * new
        self.assign(slot, value)
        return value

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        own = {
            "beta_2_decay": self.beta_2_decay,
            "epsilon_1": self.epsilon_1,
            "epsilon_2": self.epsilon_2,
            "clip_threshold": self.clip_threshold,
            "relative_step": self.relative_step,
        }
        return {**super().get_config(), **own}


def _rms(x: Any) -> Any:
    """Root mean square of all elements."""
    return jf.sqrt(jf.mean(jf.square(x)))
