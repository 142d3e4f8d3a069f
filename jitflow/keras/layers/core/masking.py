"""`Masking`: leaves out time steps that hold nothing."""

from __future__ import annotations

from typing import Any

import jitflow as jf
from jitflow.keras.backend.call_context import set_keras_mask
from jitflow.keras.layers.layer import Layer
from jitflow.keras.saving.registration import keras_export
from jitflow.keras.saving.serialization import deserialize_keras_object


@keras_export("keras.layers.Masking")
class Masking(Layer):
    """Masks the time steps all of whose features equal `mask_value`.

    The mask travels with the output to the layers that use one.

    Args:
        mask_value: the value that stands for nothing.
    """

    _arguments = ("mask_value",)

    def __init__(self, mask_value: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(mask_value, dict):
            mask_value = deserialize_keras_object(mask_value)
        self.mask_value = mask_value
        self.supports_masking = True

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """True where a time step holds something, ``(batch, time)``."""
        return jf.any(jf.not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs: Any) -> Any:
        """The inputs with 0 in masked time steps."""
        used = self.compute_mask(inputs)
        outputs = jf.where(jf.expand_dims(used, axis=-1), inputs, 0)
        set_keras_mask(outputs, used)
        return outputs
