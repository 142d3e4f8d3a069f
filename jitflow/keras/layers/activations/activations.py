"""Activations as layers: `Activation`, `ReLU`, `PReLU`, `Softmax` and others."""

from __future__ import annotations

from typing import Any

import jitflow as jf
from jitflow.errors import ArgumentError, ShapeError
from jitflow.keras import activations, constraints, initializers, regularizers
from jitflow.keras.layers.input_spec import InputSpec
from jitflow.keras.layers.layer import Layer
from jitflow.keras.saving.registration import keras_export


@keras_export("keras.layers.Activation")
class Activation(Layer):
    """Any activation, by name or function.

    Args:
        activation: the activation.
    """

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.activation = activations.get(activation)

    def call(self, inputs: Any) -> Any:
        """See the class."""
        return self.activation(inputs)

    def get_config(self) -> dict[str, Any]:
        """See `Layer`."""
        activation = activations.serialize(self.activation)
        return {**super().get_config(), "activation": activation}


@keras_export("keras.layers.Identity")
class Identity(Layer):
    """Passes its input on."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """See the class."""
        return inputs


@keras_export("keras.layers.ReLU")
class ReLU(Layer):
    """`keras.activations.relu` as a layer.

    Args:
        max_value: where it is cut off, or None.
        negative_slope: slope below the threshold.
        threshold: where the positive part begins.

    Raises:
        ArgumentError: for a negative `max_value`, slope or threshold.
    """

    _arguments = ("max_value", "negative_slope", "threshold")

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        given = {"negative_slope": negative_slope, "threshold": threshold}
        if max_value is not None:
            given["max_value"] = max_value
        for name, value in given.items():
            if value is None or value < 0:
                raise ArgumentError(f"{name}: is not negative, given {value}")
        self.max_value = max_value
        self.negative_slope = negative_slope
        self.threshold = threshold
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """See the class."""
        return activations.relu(
            inputs,
            negative_slope=self.negative_slope,
            max_value=self.max_value,
            threshold=self.threshold,
        )


@keras_export("keras.layers.LeakyReLU")
class LeakyReLU(Layer):
    """``x`` where positive, else ``negative_slope * x``.

    Args:
        negative_slope: slope of the negative part.

    Raises:
        ArgumentError: if it is negative.
    """

    _arguments = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        negative_slope = kwargs.pop("alpha", negative_slope)
        super().__init__(**kwargs)
        if negative_slope is None or negative_slope < 0:
            raise ArgumentError(
                f"negative_slope: is not negative, given {negative_slope}"
            )
        self.negative_slope = negative_slope
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """See the class."""
        return activations.leaky_relu(inputs, self.negative_slope)


@keras_export("keras.layers.ELU")
class ELU(Layer):
    """``x`` where positive, else ``alpha * (e**x - 1)``.

    Args:
        alpha: size of the negative part.
    """

    _arguments = ("alpha",)

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = alpha
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """See the class."""
        return activations.elu(inputs, self.alpha)


@keras_export("keras.layers.PReLU")
class PReLU(Layer):
    """``x`` where positive, else ``alpha * x`` with a trained `alpha` per feature.

    Args:
        alpha_initializer: of the slopes.
        alpha_regularizer: penalty on them.
        alpha_constraint: projection of them.
        shared_axes: axes along which a slope is shared (the batch is anyway).
    """

    _arguments = (
        *("alpha_initializer", "alpha_regularizer", "alpha_constraint", "shared_axes"),
    )

    def __init__(
        self,
        alpha_initializer: Any = "Zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        if isinstance(shared_axes, int):
            shared_axes = [shared_axes]
        self.shared_axes = None if shared_axes is None else list(shared_axes)

    def build(self, input_shape: Any) -> None:
        """Make the slopes."""
        shared = [a % len(input_shape) for a in self.shared_axes or ()]
        shape = [1 if i in shared else d for i, d in enumerate(input_shape)][1:]
        self.alpha = self.add_weight(
            shape=shape,
            name="alpha",
            initializer=self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
        )
        known = {i: d for i, d in enumerate(input_shape) if i > 0 and i not in shared}
        self.input_spec = InputSpec(ndim=len(input_shape), axes=known)

    def call(self, inputs: Any) -> Any:
        """See the class."""
        positive = activations.relu(inputs)
        return positive - self.alpha * activations.relu(-inputs)


@keras_export("keras.layers.Softmax")
class Softmax(Layer):
    """`keras.activations.softmax` as a layer, with a mask.

    Args:
        axis: dimension(s) that sum to 1.
    """

    _arguments = ("axis",)

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Softmax over the places where `mask` is true; 0 elsewhere.

        Raises:
            ShapeError: if the mask has more dimensions than the inputs.
        """
        axis = tuple(self.axis) if isinstance(self.axis, list) else self.axis
        if mask is None:
            return jf.nn.softmax(inputs, axis=axis)
        mask = jf.asarray(mask)
        if len(mask.shape) > len(inputs.shape):
            raise ShapeError(
                "mask: has more dimensions than the inputs",
                operands={"inputs": inputs, "mask": mask},
            )
        mask = mask if mask.dtype == "bool" else mask > 0.5
        low = -3e4 if inputs.dtype == "float16" else -1e9
        outputs = jf.nn.softmax(jf.where(mask, inputs, low), axis=axis)
        # Where everything is masked the softmax is uniform, which nobody means.
        return jf.where(mask, outputs, 0.0)
