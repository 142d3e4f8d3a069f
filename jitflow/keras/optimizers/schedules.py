"""Learning rates that depend on the step (`keras.optimizers.schedules`).

A schedule is called with the step as a scalar tensor, inside the compiled step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import jitflow as jf
from jitflow.errors import ArgumentError
from jitflow.keras import backend
from jitflow.keras.saving.registration import keras_export
from jitflow.keras.saving.serialization import (
    deserialize_keras_object,
    serialize_keras_object,
)

_PATH = "keras.optimizers.schedules"


def _float(x: Any) -> Any:
    """A number, tensor or variable as a tensor of the default float type."""
    value = x.value if isinstance(x, jf.Variable) else x
    return jf.astype(jf.asarray(value), backend.floatx())


@keras_export(f"{_PATH}.LearningRateSchedule")
class LearningRateSchedule:
    """Base of all schedules; a subclass defines ``__call__(step)`` and `get_config`."""

    def __call__(self, step: Any) -> Any:
        """The learning rate at a step, as a scalar tensor."""
        raise NotImplementedError(f"{type(self).__name__} does not define __call__")

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal schedule."""
        raise NotImplementedError(f"{type(self).__name__} does not define get_config")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """A schedule from the result of `get_config`."""
        return cls(**config)


class _Decay(LearningRateSchedule):
    """A schedule with a rate to start from and a number of steps."""

    def __init__(
        self, initial_learning_rate: float, decay_steps: int, name: str | None
    ) -> None:
        if not decay_steps > 0:
            raise ArgumentError(f"decay_steps: must be positive, given {decay_steps}")
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.name = name

    def get_config(self) -> dict[str, Any]:
        """See `LearningRateSchedule.get_config`."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "name": self.name,
        }


class _RateDecay(_Decay):
    """A decay by a rate every so many steps, at once if `staircase`."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(
            initial_learning_rate, decay_steps, name or type(self).__name__
        )
        self.decay_rate = decay_rate
        self.staircase = staircase

    def _periods(self, step: Any) -> Any:
        periods = _float(step) / self.decay_steps
        return jf.floor(periods) if self.staircase else periods

    def get_config(self) -> dict[str, Any]:
        """See `LearningRateSchedule.get_config`."""
        own = {"decay_rate": self.decay_rate, "staircase": self.staircase}
        return {**super().get_config(), **own}


@keras_export(f"{_PATH}.ExponentialDecay")
class ExponentialDecay(_RateDecay):
    """``initial * decay_rate ** (step / decay_steps)``.

    Args:
        initial_learning_rate: at step 0.
        decay_steps: after which the rate has been multiplied once by `decay_rate`.
        decay_rate: factor.
        staircase: change at whole multiples of `decay_steps` only.
        name: shown in graphs.
    """

    def __call__(self, step: Any) -> Any:
        """See `LearningRateSchedule`."""
        factor = jf.pow(float(self.decay_rate), self._periods(step))
        return self.initial_learning_rate * factor


@keras_export(f"{_PATH}.InverseTimeDecay")
class InverseTimeDecay(_RateDecay):
    """``initial / (1 + decay_rate * step / decay_steps)``; see `ExponentialDecay`."""

    def __call__(self, step: Any) -> Any:
        """See `LearningRateSchedule`."""
        divisor = 1.0 + self.decay_rate * self._periods(step)
        return self.initial_learning_rate / divisor


@keras_export(f"{_PATH}.PiecewiseConstantDecay")
class PiecewiseConstantDecay(LearningRateSchedule):
    """One value up to each boundary, and one after the last.

    Args:
        boundaries: increasing steps; a boundary itself still has the value before it.
        values: one more than boundaries.
        name: shown in graphs.

    Raises:
        ArgumentError: if the numbers of values and boundaries do not fit.
    """

    def __init__(
        self,
        boundaries: Sequence[float],
        values: Sequence[float],
        name: str | None = "PiecewiseConstant",
    ) -> None:
        if len(boundaries) != len(values) - 1:
            raise ArgumentError(
                f"values: {len(values)} for {len(boundaries)} boundaries, one more "
                "than boundaries is needed"
            )
        self.boundaries = list(boundaries)
        self.values = list(values)
        self.name = name

    def __call__(self, step: Any) -> Any:
        """See `LearningRateSchedule`."""
        step = jf.asarray(step.value if isinstance(step, jf.Variable) else step)
        rate = _float(self.values[-1])
        pairs = zip(self.boundaries, self.values[:-1], strict=True)
        for boundary, value in reversed(list(pairs)):
            limit = jf.asarray(boundary, dtype=step.dtype)
            rate = jf.where(step <= limit, _float(value), rate)
        return rate

    def get_config(self) -> dict[str, Any]:
        """See `LearningRateSchedule.get_config`."""
        return {
            "boundaries": self.boundaries,
            "values": self.values,
            "name": self.name,
        }


@keras_export(f"{_PATH}.PolynomialDecay")
class PolynomialDecay(_Decay):
    """From the initial rate to the last one along ``(1 - step / decay_steps)**power``.

    Args:
        initial_learning_rate: at step 0.
        decay_steps: after which the last rate is reached.
        end_learning_rate: the last rate.
        power: 1 is a straight line.
        cycle: start again, each time with a multiple of `decay_steps`, at the end.
        name: shown in graphs.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str | None = "PolynomialDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, name)
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle

    def __call__(self, step: Any) -> Any:
        """See `LearningRateSchedule`."""
        step = _float(step)
        total: Any = float(self.decay_steps)
        if self.cycle:
            total = total * jf.where(step == 0, 1.0, jf.ceil(step / self.decay_steps))
        else:
            step = jf.minimum(step, total)
        span = self.initial_learning_rate - self.end_learning_rate
        left = jf.pow(1.0 - step / total, float(self.power))
        return span * left + self.end_learning_rate

    def get_config(self) -> dict[str, Any]:
        """See `LearningRateSchedule.get_config`."""
        own = {
            "end_learning_rate": self.end_learning_rate,
            "power": self.power,
            "cycle": self.cycle,
        }
        return {**super().get_config(), **own}


@keras_export(f"{_PATH}.CosineDecay")
class CosineDecay(_Decay):
    """Half a cosine from the initial rate to `alpha` times it, after a linear warm-up.

    Args:
        initial_learning_rate: at step 0.
        decay_steps: length of the decay, which starts after the warm-up.
        alpha: share of the rate that is left at the end.
        name: shown in graphs.
        warmup_target: rate at the end of the warm-up; None means no warm-up.
        warmup_steps: length of the warm-up.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        name: str | None = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, name)
        self.alpha = alpha
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps

    def __call__(self, step: Any) -> Any:
        """See `LearningRateSchedule`."""
        step = _float(step)
        if self.warmup_target is None:
            return self._decayed(step, self.initial_learning_rate)
        decayed = self._decayed(step - self.warmup_steps, self.warmup_target)
        if not self.warmup_steps:
            return decayed
        rise = self.warmup_target - self.initial_learning_rate
        warm = rise * (step / self.warmup_steps) + self.initial_learning_rate
        return jf.where(step < self.warmup_steps, warm, decayed)

    def _decayed(self, step: Any, start: float) -> Any:
        share = jf.minimum(step, float(self.decay_steps)) / self.decay_steps
        wave = 0.5 * (1.0 + jf.cos(math.pi * share))
        return start * ((1.0 - self.alpha) * wave + self.alpha)

    def get_config(self) -> dict[str, Any]:
        """See `LearningRateSchedule.get_config`."""
        own = {
            "alpha": self.alpha,
            "warmup_target": self.warmup_target,
            "warmup_steps": self.warmup_steps,
        }
        return {**super().get_config(), **own}


@keras_export(f"{_PATH}.CosineDecayRestarts")
class CosineDecayRestarts(LearningRateSchedule):
    """Half cosines one after the other, each longer and lower than the last.

    Args:
        initial_learning_rate: at step 0.
        first_decay_steps: length of the first one.
        t_mul: how much longer each one is.
        m_mul: share of the height that each one keeps.
        alpha: share of the initial rate that is left at the end of each one.
        name: shown in graphs.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: int,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str | None = "SGDRDecay",
    ) -> None:
        if not first_decay_steps > 0:
            raise ArgumentError(
                f"first_decay_steps: must be positive, given {first_decay_steps}"
            )
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = first_decay_steps
        self._t_mul = t_mul
        self._m_mul = m_mul
        self.alpha = alpha
        self.name = name

    def __call__(self, step: Any) -> Any:
        """See `LearningRateSchedule`."""
        number, share = self._round(_float(step) / self.first_decay_steps)
        height = 0.5 * jf.pow(float(self._m_mul), number)
        wave = height * (1.0 + jf.cos(math.pi * share))
        return self.initial_learning_rate * ((1.0 - self.alpha) * wave + self.alpha)

    def _round(self, periods: Any) -> tuple[Any, Any]:
        """Number of the round that `periods` first lengths fall into, and the share."""
        factor = float(self._t_mul)
        if factor == 1.0:
            number = jf.floor(periods)
            return number, periods - number
        number = jf.floor(jf.log(1.0 - periods * (1.0 - factor)) / math.log(factor))
        length = jf.pow(factor, number)
        start = (1.0 - length) / (1.0 - factor)
        return number, (periods - start) / length

    def get_config(self) -> dict[str, Any]:
        """See `LearningRateSchedule.get_config`."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "first_decay_steps": self.first_decay_steps,
            "t_mul": self._t_mul,
            "m_mul": self._m_mul,
            "alpha": self.alpha,
            "name": self.name,
        }


def serialize(learning_rate_schedule: LearningRateSchedule) -> Any:
    """The configuration of a schedule."""
    return serialize_keras_object(learning_rate_schedule)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The schedule that a configuration describes."""
    return deserialize_keras_object(config, custom_objects)
