"""Gradient descent, with momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jitflow as jf
from jitflow.errors import ArgumentError
from jitflow.keras.optimizers.optimizer import Optimizer
from jitflow.keras.saving.registration import keras_export


@keras_export("keras.optimizers.SGD")
class SGD(Optimizer):
    """``w -= rate * g``, or with momentum ``m = momentum * m - rate * g; w += m``.

    Args:
        learning_rate: see `Optimizer`, as are the further arguments.
        momentum: share of the last update that is kept, in [0, 1].
        nesterov: look ahead by one momentum step.

    Raises:
        ArgumentError: for a momentum out of range.
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = "SGD",
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
        if not 0 <= momentum <= 1:
            raise ArgumentError(f"momentum: must be in [0, 1], given {momentum}")
        self.momentum = momentum
        self.nesterov = nesterov

    def build(self, variables: Sequence[Any]) -> None:
        """Create the slots."""
        super().build(variables)
        if self.momentum:
            self.momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `Optimizer.update_step`."""
        rate = self.rate_like(learning_rate, variable)
        step = jf.astype(gradient, variable.dtype) * rate
        if not self.momentum:
            self.assign_sub(variable, step)
            return
        slot = self.slot(self.momentums, variable)
        velocity = slot.value * self.momentum - step
        self.assign(slot, velocity)
        if self.nesterov:
            velocity = velocity * self.momentum - step
        self.assign_add(variable, velocity)

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        own = {"momentum": self.momentum, "nesterov": self.nesterov}
        return {**super().get_config(), **own}
