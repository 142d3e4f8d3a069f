"""Penalties on weights and activities."""

from __future__ import annotations

import math
from typing import Any

import jitflow as jf
from jitflow.errors import ArgumentError
from jitflow.keras.saving.registration import keras_export


class Regularizer:
    """Maps a tensor to a scalar that is added to the loss.

    Subclasses implement `__call__` and `get_config`.
    """

    def __call__(self, x: Any) -> Any:
        """The penalty of a tensor, a scalar of its dtype."""
        raise NotImplementedError(f"{type(self).__name__} implements __call__")

    def get_config(self) -> dict[str, Any]:
        """The arguments, as plain values."""
        raise NotImplementedError(f"{type(self).__name__} implements get_config()")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A new regularizer of that configuration."""
        return cls(**config)


def _factor(value: Any, name: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
        raise ArgumentError(
            f"{name}: a finite number that is not negative, given {value!r}"
        )
    return float(value)


@keras_export("keras.regularizers.L1L2", "keras.regularizers.l1_l2")
class L1L2(Regularizer):
    """``l1 * sum(abs(x)) + l2 * sum(x**2)``.

    Args:
        l1: factor of the first term.
        l2: factor of the second term.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = _factor(0.0 if l1 is None else l1, "l1")
        self.l2 = _factor(0.0 if l2 is None else l2, "l2")

    def __call__(self, x: Any) -> Any:
        """See `Regularizer`."""
        penalty = jf.zeros((), dtype=x.dtype)
        if self.l1:
            penalty = penalty + self.l1 * jf.sum(jf.abs(x))
        if self.l2:
            penalty = penalty + self.l2 * jf.sum(jf.square(x))
        return penalty

    def get_config(self) -> dict[str, Any]:
        """See `Regularizer`."""
        return {"l1": self.l1, "l2": self.l2}


@keras_export("keras.regularizers.L1", "keras.regularizers.l1")
class L1(Regularizer):
    """``l1 * sum(abs(x))``.

    Args:
        l1: the factor.
    """

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = _factor(0.01 if l1 is None else l1, "l1")

    def __call__(self, x: Any) -> Any:
        """See `Regularizer`."""
        return self.l1 * jf.sum(jf.abs(x))

    def get_config(self) -> dict[str, Any]:
        """See `Regularizer`."""
        return {"l1": self.l1}


@keras_export("keras.regularizers.L2", "keras.regularizers.l2")
class L2(Regularizer):
    """``l2 * sum(x**2)``.

    Args:
        l2: the factor.
    """

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = _factor(0.01 if l2 is None else l2, "l2")

    def __call__(self, x: Any) -> Any:
        """See `Regularizer`."""
        return self.l2 * jf.sum(jf.square(x))

    def get_config(self) -> dict[str, Any]:
        """See `Regularizer`."""
        return {"l2": self.l2}


@keras_export(
    "keras.regularizers.OrthogonalRegularizer",
    "keras.regularizers.orthogonal_regularizer",
)
class OrthogonalRegularizer(Regularizer):
    """Mean absolute cosine between different rows (or columns) of a matrix.

    Args:
        factor: factor of the penalty.
        mode: ``"rows"`` or ``"columns"``.

    Raises:
        ArgumentError: for another mode.
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        if mode not in ("rows", "columns"):
            raise ArgumentError(f"mode: 'rows' or 'columns', given {mode!r}")
        self.factor = _factor(factor, "factor")
        self.mode = mode

    def __call__(self, x: Any) -> Any:
        """See `Regularizer`.

        Raises:
            ArgumentError: for anything but a matrix.
        """
        if len(x.shape) != 2:
            raise ArgumentError("x: a matrix is needed", operands={"x": x})
        rows = jf.asarray(x) if self.mode == "rows" else jf.matrix_transpose(x)
        squares = jf.sum(jf.square(rows), axis=1, keepdims=True)
        rows = rows * jf.rsqrt(jf.maximum(squares, 1e-12))
        cosines = jf.abs(rows @ jf.matrix_transpose(rows))
        size = rows.shape[0]
        others = cosines * (1.0 - jf.eye(size, dtype=rows.dtype))
        pairs = size * (size - 1.0) / 2.0
        return self.factor * 0.5 * jf.sum(others) / pairs

    def get_config(self) -> dict[str, Any]:
        """See `Regularizer`."""
        return {"factor": self.factor, "mode": self.mode}
