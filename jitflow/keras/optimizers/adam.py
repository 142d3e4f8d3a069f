"""Adam and the optimizers made from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jitflow as jf
from jitflow.keras.optimizers.optimizer import Optimizer
from jitflow.keras.saving.registration import keras_export


def moments(optimizer: Any, gradient: Any, m: Any, v: Any) -> tuple[Any, Any]:
    """New running means of the gradient and of its square, assigned to `m` and `v`."""
    mean = m.value + (gradient - m.value) * (1.0 - optimizer.beta_1)
    square = v.value + (jf.square(gradient) - v.value) * (1.0 - optimizer.beta_2)
    optimizer.assign(m, mean)
    optimizer.assign(v, square)
    return mean, square


def power(optimizer: Any, beta: float, variable: Any) -> Any:
    """``beta`` to the number of this step, in the dtype of `variable`."""
    return optimizer.shared(
        ("power", beta, variable.dtype),
        lambda: jf.pow(beta, optimizer.step_like(variable)),
    )


@keras_export("keras.optimizers.Adam")
class Adam(Optimizer):
    """Steps in units of the running mean over its running deviation.

    Args:
        learning_rate: see `Optimizer`, as are the further arguments.
        beta_1: share of the old mean of gradients that is kept at each step.
        beta_2: the same for the mean of squared gradients.
        epsilon: keeps the divisor away from 0.
        amsgrad: divide by the largest deviation so far.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = "adam",
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
        self.epsilon = epsilon
        self.amsgrad = amsgrad

    def build(self, variables: Sequence[Any]) -> None:
        """Create the slots."""
        super().build(variables)
        names = ["momentum", "velocity"]
        slots = self.add_optimizer_variables(variables, names)
        self._momentums, self._velocities = slots
        if self.amsgrad:
            self._velocity_hats = self.add_optimizer_variables(
                variables, "velocity_hat"
            )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `Optimizer.update_step`."""
        gradient = jf.astype(gradient, variable.dtype)
        m = self.slot(self._momentums, variable)
        v = self.slot(self._velocities, variable)
        mean, square = moments(self, gradient, m, v)
        if self.amsgrad:
            largest = self.slot(self._velocity_hats, variable)
            square = jf.maximum(largest.value, square)
            self.assign(largest, square)
        alpha = self._alpha(variable, learning_rate)
        self.assign_sub(variable, mean * alpha / (jf.sqrt(square) + self.epsilon))

    def _alpha(self, variable: Any, learning_rate: Any) -> Any:
        """The learning rate with the bias of both means corrected."""

        def make() -> Any:
            rate = self.rate_like(learning_rate, variable)
            first = 1.0 - power(self, self.beta_1, variable)
            second = 1.0 - power(self, self.beta_2, variable)
            return rate * jf.sqrt(second) / first

        return self.shared(("alpha", variable.dtype), make)

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        own = {
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }
        return {**super().get_config(), **own}


@keras_export("keras.optimizers.AdamW")
class AdamW(Adam):
    """Adam with weight decay, which the gradient's deviation does not scale.

    Args:
        learning_rate: see `Adam`, as are the further arguments.
        weight_decay: share of the variable, times the learning rate, lost at each step.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = "adamw",
    ) -> None:
        super().__init__(
            learning_rate,
            beta_1,
            beta_2,
            epsilon,
            amsgrad,
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


@keras_export("keras.optimizers.Adamax")
class Adamax(Optimizer):
    """Adam with the running maximum of gradients in place of their deviation.

    Args:
        learning_rate: see `Optimizer`, as are the further arguments.
        beta_1: share of the old mean of gradients that is kept at each step.
        beta_2: the same for the mean of squared gradients.
        epsilon: keeps the divisor away from 0.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
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
        name: str | None = "adamax",
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
        self.epsilon = epsilon

    def build(self, variables: Sequence[Any]) -> None:
        """Create the slots."""
        super().build(variables)
        names = ["momentum", "norm"]
        self._m, self._u = self.add_optimizer_variables(variables, names)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `Optimizer.update_step`."""
        gradient = jf.astype(gradient, variable.dtype)
        m = self.slot(self._m, variable)
        u = self.slot(self._u, variable)
        mean = m.value + (gradient - m.value) * (1.0 - self.beta_1)
        largest = jf.maximum(self.beta_2 * u.value, jf.abs(gradient))
        self.assign(m, mean)
        self.assign(u, largest)
        rate = self.rate_like(learning_rate, variable)
        bias = 1.0 - power(self, self.beta_1, variable)
        self.assign_sub(variable, rate * mean / (bias * (largest + self.epsilon)))

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        own = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return {**super().get_config(), **own}


@keras_export("keras.optimizers.Nadam")
class Nadam(Optimizer):
    """Adam that looks ahead by one momentum step.

    Args:
        learning_rate: see `Optimizer`, as are the further arguments.
        beta_1: share of the old mean of gradients that is kept at each step.
        beta_2: the same for the mean of squared gradients.
        epsilon: keeps the divisor away from 0.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
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
        name: str | None = "nadam",
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
        self.epsilon = epsilon

    def build(self, variables: Sequence[Any]) -> None:
        """Create the slots."""
        super().build(variables)
        names = ["momentum", "velocity"]
        slots = self.add_optimizer_variables(variables, names)
        self._momentums, self._velocities = slots
        if not hasattr(self, "_u_product"):
            self._u_product = self.add_variable((), "ones", name="u_product")

    def _update(self, grads: list[Any], variables: list[Any]) -> None:
        # The product of all momentum shares moves on once a step, not per variable.
        share = self._shares(self._u_product)[0]
        self._u_product.assign(self._u_product.value * share)
        super()._update(grads, variables)

    def _shares(self, variable: Any) -> tuple[Any, Any]:
        """Momentum of this step and of the next one."""
        step = self.step_like(variable)
        now = self.beta_1 * (1.0 - 0.5 * jf.pow(0.96, step))
        following = self.beta_1 * (1.0 - 0.5 * jf.pow(0.96, step + 1.0))
        return now, following

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `Optimizer.update_step`."""
        gradient = jf.astype(gradient, variable.dtype)
        m = self.slot(self._momentums, variable)
        v = self.slot(self._velocities, variable)
        mean, square = moments(self, gradient, m, v)
        shares = ("shares", variable.dtype)
        now, following = self.shared(shares, lambda: self._shares(variable))
        product = jf.astype(self._u_product.value, variable.dtype)
        ahead = following * mean / (1.0 - product * following)
        direct = (1.0 - now) * gradient / (1.0 - product)
        deviation = jf.sqrt(square / (1.0 - power(self, self.beta_2, variable)))
        rate = self.rate_like(learning_rate, variable)
        self.assign_sub(variable, (ahead + direct) * rate / (deviation + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        own = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return {**super().get_config(), **own}


@keras_export("keras.optimizers.Lamb")
class Lamb(Optimizer):
    """Adam whose step in each variable has the length of the variable.

    Args:
        learning_rate: see `Optimizer`, as are the further arguments.
        beta_1: share of the old mean of gradients that is kept at each step.
        beta_2: the same for the mean of squared gradients.
        epsilon: keeps the divisor away from 0.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
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
        name: str | None = "lamb",
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
        self.epsilon = epsilon

    def build(self, variables: Sequence[Any]) -> None:
        """Create the slots."""
        super().build(variables)
        names = ["momentum", "velocity"]
        slots = self.add_optimizer_variables(variables, names)
        self._momentums, self._velocities = slots

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `Optimizer.update_step`."""
        gradient = jf.astype(gradient, variable.dtype)
        m = self.slot(self._momentums, variable)
        v = self.slot(self._velocities, variable)
        mean, square = moments(self, gradient, m, v)
        mean = mean / (1.0 - power(self, self.beta_1, variable))
        square = square / (1.0 - power(self, self.beta_2, variable))
        update = mean / (jf.sqrt(square) + self.epsilon)
        length = jf.sqrt(jf.sum(jf.square(variable.value)))
        norm = jf.sqrt(jf.sum(jf.square(update)))
        both = (length > 0) & (norm > 0)
        ratio = jf.where(both, length / jf.where(both, norm, 1.0), 1.0)
        rate = self.rate_like(learning_rate, variable)
        self.assign_sub(variable, ratio * rate * update)

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        own = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return {**super().get_config(), **own}
