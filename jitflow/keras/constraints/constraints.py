"""Projections that keep weights in a set; applied after each update."""

from __future__ import annotations

from typing import Any

import jitflow as jf
from jitflow.keras.backend.config import epsilon
from jitflow.keras.saving.registration import keras_export


class Constraint:
    """Maps a weight to the nearest allowed one.

    Subclasses implement `__call__` and `get_config`.
    """

    def __call__(self, w: Any) -> Any:
        """The projected weight."""
        return w

    def get_config(self) -> dict[str, Any]:
        """The arguments, as plain values."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A new constraint of that configuration."""
        return cls(**config)


def _norms(w: Any, axis: Any) -> jf.Tensor:
    axis = tuple(axis) if isinstance(axis, list) else axis
    return jf.sqrt(jf.sum(jf.square(w), axis=axis, keepdims=True))


@keras_export("keras.constraints.MaxNorm", "keras.constraints.max_norm")
class MaxNorm(Constraint):
    """Norms along `axis` are at most `max_value`.

    Args:
        max_value: the largest norm.
        axis: dimension(s) of the norms: 0 for a `Dense` kernel.
    """

    def __init__(self, max_value: float = 2, axis: Any = 0) -> None:
        self.max_value = max_value
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        """See `Constraint`."""
        norms = _norms(w, self.axis)
        return w * (jf.clip(norms, 0, self.max_value) / (epsilon() + norms))

    def get_config(self) -> dict[str, Any]:
        """See `Constraint`."""
        return {"max_value": self.max_value, "axis": self.axis}


@keras_export("keras.constraints.NonNeg", "keras.constraints.non_neg")
class NonNeg(Constraint):
    """No weight is negative."""

    def __call__(self, w: Any) -> Any:
        """See `Constraint`."""
        return jf.maximum(w, 0)


@keras_export("keras.constraints.UnitNorm", "keras.constraints.unit_norm")
class UnitNorm(Constraint):
    """Norms along `axis` are 1.

    Args:
        axis: dimension(s) of the norms.
    """

    def __init__(self, axis: Any = 0) -> None:
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        """See `Constraint`."""
        return w / (epsilon() + _norms(w, self.axis))

    def get_config(self) -> dict[str, Any]:
        """See `Constraint`."""
        return {"axis": self.axis}


@keras_export("keras.constraints.MinMaxNorm", "keras.constraints.min_max_norm")
class MinMaxNorm(Constraint):
    """Norms along `axis` move into ``[min_value, max_value]``.

    Args:
        min_value: the smallest norm.
        max_value: the largest norm.
        rate: 1 moves all the way in one step, less only that part of it.
        axis: dimension(s) of the norms.
    """

    def __init__(
        self,
        min_value: float = 0.0,
        max_value: float = 1.0,
        rate: float = 1.0,
        axis: Any = 0,
    ) -> None:
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        """See `Constraint`."""
        norms = _norms(w, self.axis)
        inside = jf.clip(norms, self.min_value, self.max_value)
        desired = self.rate * inside + (1 - self.rate) * norms
        return w * (desired / (epsilon() + norms))

    def get_config(self) -> dict[str, Any]:
        """See `Constraint`."""
        return {
            "min_value": self.min_value,
            "max_value": self.max_value,
            "rate": self.rate,
            "axis": self.axis,
        }
