"""Follow the regularised leader, for sparse linear models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jitflow as jf
from jitflow.errors import ArgumentError
from jitflow.keras.optimizers.optimizer import Optimizer
from jitflow.keras.saving.registration import keras_export


@keras_export("keras.optimizers.Ftrl")
class Ftrl(Optimizer):
    """Follow the regularised leader, with a first-order penalty that gives exact zeros.

    Args:
        learning_rate: see `Optimizer`, as are the further arguments.
        learning_rate_power: how the step shrinks with the sum of squares; -0.5 is the
            root, 0 a constant rate.
        initial_accumulator_value: where the sum of squared gradients starts.
        l1_regularization_strength: weight of the absolute values in the penalty.
        l2_regularization_strength: weight of the squares in the penalty.
        l2_shrinkage_regularization_strength: weight of the squares in the gradient.
        beta: added to the learning rate's divisor.

    Raises:
        ArgumentError: for values out of range.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = "ftrl",
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
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta
        self._check()

    def _check(self) -> None:
        if self.learning_rate_power > 0:
            raise ArgumentError(
                f"learning_rate_power: must be <= 0, given {self.learning_rate_power}"
            )
        for name in (
            "initial_accumulator_value",
            "l1_regularization_strength",
            "l2_regularization_strength",
            "l2_shrinkage_regularization_strength",
        ):
            if getattr(self, name) < 0:
                raise ArgumentError(
                    f"{name}: must be >= 0, given {getattr(self, name)}"
                )

    def build(self, variables: Sequence[Any]) -> None:
        """Create the slots."""
        super().build(variables)
        self._accumulators, self._linears = self.add_optimizer_variables(
            variables,
            ["accumulator", "linear"],
            [self.initial_accumulator_value, "zeros"],
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `Optimizer.update_step`."""
        gradient = jf.astype(gradient, variable.dtype)
        squares = self.slot(self._accumulators, variable)
        linears = self.slot(self._linears, variable)
        rate, power = self.rate_like(learning_rate, variable), -self.learning_rate_power
        shrinkage = 2.0 * self.l2_shrinkage_regularization_strength
        square = squares.value + jf.square(gradient)
        root = jf.pow(square, power)
        sigma = (root - jf.pow(squares.value, power)) / rate
        pull = gradient + shrinkage * variable.value - sigma * variable.value
        linear = linears.value + pull
        l2 = self.l2_regularization_strength + self.beta / (2.0 * rate)
        l1 = self.l1_regularization_strength
        self.assign(linears, linear)
        self.assign(squares, square)
        self.assign(
            variable, (jf.clip(linear, -l1, l1) - linear) / (root / rate + 2.0 * l2)
        )

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        shrinkage = self.l2_shrinkage_regularization_strength
        own = {
            "learning_rate_power": self.learning_rate_power,
            "initial_accumulator_value": self.initial_accumulator_value,
            "l1_regularization_strength": self.l1_regularization_strength,
            "l2_regularization_strength": self.l2_regularization_strength,
            "l2_shrinkage_regularization_strength": shrinkage,
            "beta": self.beta,
        }
        return {**super().get_config(), **own}
