"""Optimizers that scale each step by the gradients seen so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jitflow as jf
from jitflow.errors import ArgumentError
from jitflow.keras.optimizers.optimizer import Optimizer
from jitflow.keras.saving.registration import keras_export


@keras_export("keras.optimizers.RMSprop")
class RMSprop(Optimizer):
    """Steps in units of the running root mean square of the gradient.

    Args:
        learning_rate: see `Optimizer`, as are the further arguments.
        rho: share of the old mean square that is kept at each step.
        momentum: share of the last update that is kept.
        epsilon: keeps the divisor away from 0.
        centered: divide by the deviation in place of the root mean square.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = "rmsprop",
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
        self.rho = rho
        self.momentum = momentum
        self.epsilon = epsilon
        self.centered = centered

    def build(self, variables: Sequence[Any]) -> None:
        """Create the slots."""
        super().build(variables)
        self._velocities = self.add_optimizer_variables(variables, "velocity")
        if self.momentum > 0:
            self._momentums = self.add_optimizer_variables(variables, "momentum")
        if self.centered:
            self._average_gradients = self.add_optimizer_variables(
                variables, "average_gradient"
            )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `Optimizer.update_step`."""
        gradient = jf.astype(gradient, variable.dtype)
        rate = self.rate_like(learning_rate, variable)
        increment = rate * gradient / jf.sqrt(self._variance(gradient, variable))
        if self.momentum > 0:
            slot = self.slot(self._momentums, variable)
            increment = self.momentum * slot.value + increment
            self.assign(slot, increment)
        self.assign_sub(variable, increment)

    def _variance(self, gradient: Any, variable: Any) -> Any:
        """The new mean square of the gradient (about its mean if centered)."""
        slot = self.slot(self._velocities, variable)
        square = self.rho * slot.value + (1.0 - self.rho) * jf.square(gradient)
        self.assign(slot, square)
        if self.centered:
            slot = self.slot(self._average_gradients, variable)
            mean = self.rho * slot.value + (1.0 - self.rho) * gradient
            self.assign(slot, mean)
            square = square - jf.square(mean)
        return square + self.epsilon

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        own = {
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "centered": self.centered,
        }
        return {**super().get_config(), **own}


@keras_export("keras.optimizers.Adagrad")
class Adagrad(Optimizer):
    """Steps in units of the root of the sum of all squared gradients.

    Args:
        learning_rate: see `Optimizer`, as are the further arguments.
        initial_accumulator_value: where the sum starts.
        epsilon: keeps the divisor away from 0.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = "adagrad",
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
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def build(self, variables: Sequence[Any]) -> None:
        """Create the slots."""
        super().build(variables)
        self._accumulators = self.add_optimizer_variables(
            variables, "accumulator", self.initial_accumulator_value
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `Optimizer.update_step`."""
        gradient = jf.astype(gradient, variable.dtype)
        slot = self.slot(self._accumulators, variable)
        total = slot.value + jf.square(gradient)
        self.assign(slot, total)
        rate = self.rate_like(learning_rate, variable)
        self.assign_sub(variable, rate * gradient / jf.sqrt(total + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        own = {
            "initial_accumulator_value": self.initial_accumulator_value,
            "epsilon": self.epsilon,
        }
        return {**super().get_config(), **own}


@keras_export("keras.optimizers.Adadelta")
class Adadelta(Optimizer):
    """Steps whose size follows that of the last updates.

    Args:
        learning_rate: see `Optimizer`, as are the further arguments.
        rho: share of the old means that is kept at each step.
        epsilon: keeps the divisor away from 0.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = "adadelta",
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
        self.rho = rho
        self.epsilon = epsilon

    def build(self, variables: Sequence[Any]) -> None:
        """Create the slots."""
        super().build(variables)
        names = ["accumulated_grad", "accumulated_delta_var"]
        slots = self.add_optimizer_variables(variables, names)
        self._accumulated_grads, self._accumulated_delta_vars = slots

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `Optimizer.update_step`."""
        gradient = jf.astype(gradient, variable.dtype)
        grads = self.slot(self._accumulated_grads, variable)
        deltas = self.slot(self._accumulated_delta_vars, variable)
        square = self.rho * grads.value + (1.0 - self.rho) * jf.square(gradient)
        delta = -self._root(deltas.value) * gradient / self._root(square)
        self.assign(grads, square)
        self.assign(
            deltas, self.rho * deltas.value + (1.0 - self.rho) * jf.square(delta)
        )
        self.assign_add(variable, self.rate_like(learning_rate, variable) * delta)

    def _root(self, square: Any) -> Any:
        return jf.sqrt(square + self.epsilon)

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        own = {"rho": self.rho, "epsilon": self.epsilon}
        return {**super().get_config(), **own}


@keras_export("keras.optimizers.Lion")
class Lion(Optimizer):
    """Steps of one size in the direction of the sign of the mean gradient.

    Args:
        learning_rate: see `Optimizer`, as are the further arguments.
        beta_1: share of the old mean in the direction of a step.
        beta_2: share of the old mean that is kept at each step.

    Raises:
        ArgumentError: for a `beta_1` out of range.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = "lion",
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
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        if not 0 < beta_1 <= 1:
            raise ArgumentError(f"beta_1: must be in (0, 1], given {beta_1}")

    def build(self, variables: Sequence[Any]) -> None:
        """Create the slots."""
        super().build(variables)
        self._momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `Optimizer.update_step`."""
        gradient = jf.astype(gradient, variable.dtype)
        slot = self.slot(self._momentums, variable)
        m = slot.value
        direction = jf.sign(m * self.beta_1 + gradient * (1.0 - self.beta_1))
        rate = self.rate_like(learning_rate, variable)
        self.assign_sub(variable, rate * direction)
        self.assign(slot, m * self.beta_2 + gradient * (1.0 - self.beta_2))

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        own = {"beta_1": self.beta_1, "beta_2": self.beta_2}
        return {**super().get_config(), **own}
