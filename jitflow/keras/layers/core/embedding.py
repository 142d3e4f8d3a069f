"""`Embedding`: a trained vector for each integer."""

from __future__ import annotations

from typing import Any

import jitflow as jf
from jitflow.errors import ArgumentError
from jitflow.keras import constraints, initializers, regularizers
from jitflow.keras.layers.layer import Layer
from jitflow.keras.saving.registration import keras_export


@keras_export("keras.layers.Embedding")
class Embedding(Layer):
    """Integers ``(batch, ...)`` as vectors ``(batch, ..., output_dim)``.

    Args:
        input_dim: number of different integers, from 0 on.
        output_dim: length of the vectors.
        embeddings_initializer: of the table.
        embeddings_regularizer: penalty on it.
        embeddings_constraint: projection of it.
        mask_zero: whether 0 stands for nothing and is masked.
        weights: initial values of the table, in place of the initializer.
    """

    _arguments = (
        *("input_dim", "output_dim", "embeddings_initializer"),
        *("embeddings_regularizer", "activity_regularizer", "embeddings_constraint"),
        "mask_zero",
    )

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("input_length", None)  # Keras accepts and ignores it
        if kwargs.pop("quantization_config", None) is not None:
            raise ArgumentError("quantization_config: quantized layers do not exist")
        super().__init__(**kwargs)
        for name, size in (("input_dim", input_dim), ("output_dim", output_dim)):
            if not hasattr(size, "__index__") or size <= 0:
                raise ArgumentError(f"{name}: a positive int is needed, given {size!r}")
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = mask_zero
        self.supports_masking = mask_zero
        # The inputs are integers, whatever the policy says.
        self.autocast = False
        self._given_weights = weights

    @property
    def input_dtype(self) -> str:
        """Inputs are integers."""
        return "int32"

    def build(self, input_shape: Any = None) -> None:
        """Make the table."""
        self.embeddings = self.add_weight(
            shape=(self.input_dim, self.output_dim),
            initializer=self.embeddings_initializer,
            name="embeddings",
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )
        if self._given_weights is not None:
            given = self._given_weights
            table = given[0] if isinstance(given, list | tuple) else given
            self.embeddings.assign(table)

    def call(self, inputs: Any) -> Any:
        """The rows of the table."""
        if not inputs.dtype.is_integer:
            inputs = jf.astype(inputs, "int32")
        return jf.take(self.embeddings, inputs, axis=0)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """True where the input is not 0, if `mask_zero`."""
        return jf.not_equal(inputs, 0) if self.mask_zero else None

    def get_config(self) -> dict[str, Any]:
        """See `Layer`."""
        return {**super().get_config(), "quantization_config": None}
