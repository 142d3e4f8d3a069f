"""`Dense`: a matrix product, a bias and an activation."""

from __future__ import annotations

from typing import Any

import jitflow as jf
from jitflow.errors import ArgumentError
from jitflow.keras import activations, constraints, initializers, regularizers
from jitflow.keras.layers.input_spec import InputSpec
from jitflow.keras.layers.layer import Layer
from jitflow.keras.saving.registration import keras_export


@keras_export("keras.layers.Dense")
class Dense(Layer):
    """``activation(inputs @ kernel + bias)`` over the last axis.

    Input ``(batch, ..., features)``, output ``(batch, ..., units)``.

    Args:
        units: size of the output's last axis.
        activation: name or function; none when left out.
        use_bias: whether there is a bias.
        kernel_initializer: of the kernel ``(features, units)``.
        bias_initializer: of the bias ``(units,)``.
        kernel_regularizer: penalty on the kernel.
        bias_regularizer: penalty on the bias.
        activity_regularizer: penalty on the output.
        kernel_constraint: projection of the kernel.
        bias_constraint: projection of the bias.
        lora_rank: if set, the kernel is frozen when built and a product of two thin
            matrices of this rank is trained in its place.
        lora_alpha: scale of that product times `lora_rank`; `lora_rank` when left out.

    Raises:
        ArgumentError: if `units` is not a positive int.
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(units, int) or units <= 0:
            raise ArgumentError(f"units: a positive int is needed, given {units!r}")
        kwargs = _without_quantization(kwargs)
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.units = units
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.lora_rank = lora_rank
        self.lora_alpha = lora_rank if lora_alpha is None else lora_alpha
        self.lora_enabled = False
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True
        self.bias: Any = None
        self.lora_kernel_a: Any = None
        self.lora_kernel_b: Any = None

    def build(self, input_shape: Any) -> None:
        """Make kernel and bias."""
        self._kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.input_spec = InputSpec(min_ndim=2, axes={-1: input_shape[-1]})
        if self.lora_rank:
            self.enable_lora(self.lora_rank)

    @property
    def kernel(self) -> Any:
        """The matrix the inputs are multiplied with, ``(features, units)``."""
        if "_kernel" not in self.__dict__:
            raise AttributeError(
                f"Dense {self.name!r} has no kernel before it is built"
            )
        if not self.lora_enabled:
            return self._kernel
        update = jf.matmul(self.lora_kernel_a, self.lora_kernel_b)
        assert self.lora_alpha is not None and self.lora_rank is not None
        total = self._kernel + (self.lora_alpha / self.lora_rank) * update
        return jf.astype(total, self.compute_dtype)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """See the class."""
        x = jf.matmul(self.as_compute(inputs), self.kernel)
        if self.bias is not None:
            x = jf.add(x, self.bias)
        return self.activation(x)

    def enable_lora(
        self,
        rank: int,
        lora_alpha: float | None = None,
        a_initializer: Any = "he_uniform",
        b_initializer: Any = "zeros",
    ) -> None:
        """Freeze the kernel and train a low-rank change of it.

        Source: Hu and others, "LoRA", 2021.

        Args:
            rank: columns of the first and rows of the second matrix.
            lora_alpha: scale times `rank`; `rank` when left out.
            a_initializer: of the first, ``(features, rank)``.
            b_initializer: of the second, ``(rank, units)``.

        Raises:
            ArgumentError: before the layer is built, a second time, or with a
                constraint on the kernel.
        """
        if self.kernel_constraint is not None:
            raise ArgumentError("enable_lora: the kernel has a constraint")
        if "_kernel" not in self.__dict__:
            raise ArgumentError("enable_lora: the layer is not built")
        if self.lora_enabled:
            raise ArgumentError("enable_lora: it is already enabled")
        features = self._kernel.shape[0]
        for name, shape, initializer in (
            ("lora_kernel_a", (features, rank), a_initializer),
            ("lora_kernel_b", (rank, self.units), b_initializer),
        ):
            weight = self.add_weight(
                name=name,
                shape=shape,
                initializer=initializer,
                regularizer=self.kernel_regularizer,
            )
            setattr(self, name, weight)
        self._kernel.trainable = False
        self.lora_enabled = True
        self.lora_rank = rank
        self.lora_alpha = rank if lora_alpha is None else lora_alpha

    def get_config(self) -> dict[str, Any]:
        """See `Layer`."""
        config = {
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
            "quantization_config": None,
        }
        if self.lora_rank:
            config |= {"lora_rank": self.lora_rank, "lora_alpha": self.lora_alpha}
        return {**super().get_config(), **config}


def _without_quantization(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Configurations of Keras carry ``quantization_config``, None where unused."""
    if kwargs.get("quantization_config") is not None:
        raise ArgumentError("quantization_config: quantized layers are not supported")
    return {k: v for k, v in kwargs.items() if k != "quantization_config"}
