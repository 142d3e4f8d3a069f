"""Initializers that draw no random numbers."""

from __future__ import annotations

from typing import Any

import jitflow as jf
from jitflow.errors import ArgumentError
from jitflow.keras.backend.dtypes import standardize_dtype
from jitflow.keras.initializers.initializer import Initializer
from jitflow.keras.saving.registration import keras_export
from jitflow.keras.saving.serialization import (
    deserialize_keras_object,
    serialize_keras_object,
)


@keras_export("keras.initializers.Constant", "keras.initializers.constant")
class Constant(Initializer):
    """Every element is `value`, which may be an array that broadcasts.

    Args:
        value: a number or an array.
    """

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Any, dtype: Any = None) -> jf.Tensor:
        """See `Initializer`."""
        value = jf.asarray(self.value, dtype=standardize_dtype(dtype))
        return jf.broadcast_to(value, tuple(shape))

    def get_config(self) -> dict[str, Any]:
        """See `Initializer`."""
        return {"value": serialize_keras_object(self.value)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Constant:
        """See `Initializer`."""
        return cls(deserialize_keras_object(config["value"]))


@keras_export("keras.initializers.Zeros", "keras.initializers.zeros")
class Zeros(Initializer):
    """Every element is 0."""

    def __call__(self, shape: Any, dtype: Any = None) -> jf.Tensor:
        """See `Initializer`."""
        return jf.zeros(tuple(shape), dtype=standardize_dtype(dtype))


@keras_export("keras.initializers.Ones", "keras.initializers.ones")
class Ones(Initializer):
    """Every element is 1."""

    def __call__(self, shape: Any, dtype: Any = None) -> jf.Tensor:
        """See `Initializer`."""
        return jf.ones(tuple(shape), dtype=standardize_dtype(dtype))


@keras_export(
    "keras.initializers.Identity",
    "keras.initializers.identity",
    "keras.initializers.IdentityInitializer",
)
class Identity(Initializer):
    """`gain` on the diagonal of a matrix, 0 elsewhere.

    Args:
        gain: the value on the diagonal.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Any, dtype: Any = None) -> jf.Tensor:
        """See `Initializer`.

        Raises:
            ArgumentError: if `shape` is not that of a matrix.
        """
        if len(shape) != 2:
            raise ArgumentError(f"shape: Identity makes matrices, not {tuple(shape)}")
        return self.gain * jf.eye(*shape, dtype=standardize_dtype(dtype))

    def get_config(self) -> dict[str, Any]:
        """See `Initializer`."""
        return {"gain": self.gain}
