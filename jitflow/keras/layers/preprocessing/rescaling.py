"""`Rescaling`: ``inputs * scale + offset``."""

from __future__ import annotations

from typing import Any

import jitflow as jf
from jitflow.keras.layers.layer import Layer
from jitflow.keras.saving.registration import keras_export


@keras_export("keras.layers.Rescaling")
class Rescaling(Layer):
    """``inputs * scale + offset`` in the compute dtype.

    Args:
        scale: a number, or one per channel.
        offset: a number, or one per channel.
    """

    _arguments = ("scale", "offset")

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale
        self.offset = offset
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """See the class."""
        x = self.as_compute(inputs)
        return x * self._factor(self.scale) + self._factor(self.offset)

    def _factor(self, value: Any) -> Any:
        if isinstance(value, int | float):
            return value
        return jf.asarray(value, dtype=self.compute_dtype)
