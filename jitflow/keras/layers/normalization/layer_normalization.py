"""Normalization of each sample: over features, by norm, by groups of features."""

from __future__ import annotations

from typing import Any

import jitflow as jf
from jitflow.errors import ArgumentError, ArgumentTypeError
from jitflow.keras import constraints, initializers, regularizers
from jitflow.keras.backend.dtypes import result_type
from jitflow.keras.layers.input_spec import InputSpec
from jitflow.keras.layers.layer import Layer
from jitflow.keras.layers.merging.dot import l2_normalize
from jitflow.keras.saving.registration import keras_export


def _axis_list(axis: Any) -> list[int]:
    return list(axis) if isinstance(axis, list | tuple) else [axis]


def _along(vector: Any, x: Any, axes: list[int]) -> jf.Tensor:
    """A tensor over the normalized axes, shaped to broadcast against `x`."""
    rank = len(x.shape)
    kept = {a % rank for a in axes}
    shape = tuple(d if i in kept else 1 for i, d in enumerate(x.shape))
    return jf.reshape(jf.astype(vector, x.dtype), shape)


@keras_export("keras.layers.LayerNormalization")
class LayerNormalization(Layer):
    """Mean 0 and variance 1 of each sample over `axis`, then a scale and offset.

    Source: Ba and others, "Layer normalization", 2016.

    Args:
        axis: the axes of the moments and of the trained scale.
        epsilon: added to variances.
        center: whether there is an offset ``beta``.
        scale: whether there is a scale ``gamma``.
        beta_initializer: of the offset.
        gamma_initializer: of the scale.
        beta_regularizer: penalty on the offset.
        gamma_regularizer: penalty on the scale.
        beta_constraint: projection of the offset.
        gamma_constraint: projection of the scale.
        rms_scaling: Keras' deprecated variant that divides by the variance's root only.

    Raises:
        ArgumentTypeError: if `axis` is not an int or several.
    """

    _arguments = (
        *("axis", "epsilon", "center", "scale", "rms_scaling"),
        *("beta_initializer", "gamma_initializer"),
        *("beta_regularizer", "gamma_regularizer"),
        *("beta_constraint", "gamma_constraint"),
    )

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        rms_scaling: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not all(isinstance(a, int) for a in _axis_list(axis)):
            raise ArgumentTypeError(f"axis: an int or several, given {axis!r}")
        self.axis = axis if isinstance(axis, int) else list(axis)
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.rms_scaling = rms_scaling
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.supports_masking = True
        # 16-bit inputs are cast to float32 inside, not by the caller.
        self.autocast = False
        self.gamma: Any = None
        self.beta: Any = None

    def build(self, input_shape: Any) -> None:
        """Make scale and offset."""
        self.axis = sorted(_axis_list(self.axis))
        shape = tuple(input_shape[a] for a in self.axis)
        if self.scale or self.rms_scaling:
            self.gamma = self.add_weight(
                name="gamma",
                shape=shape,
                initializer=self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
                autocast=False,
            )
        if self.center and not self.rms_scaling:
            self.beta = self.add_weight(
                name="beta",
                shape=shape,
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
                autocast=False,
            )

    def call(self, inputs: Any) -> Any:
        """See the class."""
        axes = _axis_list(self.axis)
        x = jf.astype(inputs, result_type(inputs.dtype, "float32"))
        over = tuple(axes)
        mean = jf.mean(x, axis=over, keepdims=True)
        variance = jf.mean(jf.square(x - mean), axis=over, keepdims=True)
        inverse = jf.rsqrt(variance + self.epsilon)
        if self.rms_scaling:
            result = x * inverse * _along(self.gamma, x, axes)
            return jf.astype(result, self.compute_dtype)
        result = (x - mean) * inverse
        if self.gamma is not None:
            result = result * _along(self.gamma, x, axes)
        if self.beta is not None:
            result = result + _along(self.beta, x, axes)
        return jf.astype(result, self.compute_dtype)


@keras_export("keras.layers.RMSNormalization")
class RMSNormalization(Layer):
    """Divides by the root of the mean square over `axis`, then scales.

    Source: Zhang and Sennrich, "Root mean square layer normalization", 2019.

    Args:
        axis: the axes of the mean.
        epsilon: added to the mean square.
    """

    _arguments = ("axis", "epsilon")

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis
        self.epsilon = epsilon
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Make the scale."""
        self.axis = _axis_list(self.axis)
        shape = tuple(input_shape[a] for a in self.axis)
        self.scale = self.add_weight(name="scale", shape=shape, initializer="ones")

    def call(self, inputs: Any) -> Any:
        """See the class."""
        axes = _axis_list(self.axis)
        x = jf.astype(inputs, result_type(inputs.dtype, "float32"))
        square = jf.mean(jf.square(x), axis=tuple(axes), keepdims=True)
        result = x * jf.rsqrt(square + self.epsilon) * _along(self.scale, x, axes)
        return jf.astype(result, self.compute_dtype)


@keras_export("keras.layers.UnitNormalization")
class UnitNormalization(Layer):
    """Divides by the Euclidean norm over `axis`.

    Args:
        axis: the axes of the norm.
    """

    _arguments = ("axis",)

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis if isinstance(axis, int) else list(axis)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """See the class."""
        return l2_normalize(self.as_compute(inputs), tuple(_axis_list(self.axis)))


@keras_export("keras.layers.GroupNormalization")
class GroupNormalization(Layer):
    """Mean 0 and variance 1 of groups of features, then a scale and offset.

    Source: Wu and He, "Group normalization", 2018.

    Args:
        groups: number of groups; -1 makes every feature a group.
        axis: the axis of the features.
        epsilon: added to variances.
        center: whether there is an offset ``beta``.
        scale: whether there is a scale ``gamma``.
        beta_initializer: of the offset.
        gamma_initializer: of the scale.
        beta_regularizer: penalty on the offset.
        gamma_regularizer: penalty on the scale.
        beta_constraint: projection of the offset.
        gamma_constraint: projection of the scale.
    """

    _arguments = (
        *("groups", "axis", "epsilon", "center", "scale"),
        *("beta_initializer", "gamma_initializer"),
        *("beta_regularizer", "gamma_regularizer"),
        *("beta_constraint", "gamma_constraint"),
    )

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.groups = groups
        self.axis = axis
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.supports_masking = True
        self.gamma: Any = None
        self.beta: Any = None

    def build(self, input_shape: Any) -> None:
        """Make scale and offset.

        Raises:
            ArgumentError: if the groups do not divide the features.
        """
        size = input_shape[self.axis]
        if self.groups == -1:
            self.groups = size
        if size is not None and size % self.groups:
            raise ArgumentError(
                f"GroupNormalization {self.name!r}: {self.groups} groups do not divide "
                f"{size} features"
            )
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: size})
        if self.scale:
            self.gamma = self.add_weight(
                shape=(size,),
                name="gamma",
                initializer=self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )
        if self.center:
            self.beta = self.add_weight(
                shape=(size,),
                name="beta",
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )

    def call(self, inputs: Any) -> Any:
        """See the class."""
        x = jf.astype(inputs, result_type(inputs.dtype, "float32"))
        rank, position = len(x.shape), self.axis % len(x.shape)
        size = x.shape[position]
        split = (self.groups, size // self.groups)
        grouped = jf.reshape(x, (*x.shape[:position], *split, *x.shape[position + 1 :]))
        over = tuple(i for i in range(1, rank + 1) if i != position)
        mean = jf.mean(grouped, axis=over, keepdims=True)
        variance = jf.mean(jf.square(grouped - mean), axis=over, keepdims=True)
        result = (grouped - mean) * jf.rsqrt(variance + self.epsilon)
        result = jf.reshape(result, x.shape)
        if self.gamma is not None:
            result = result * _along(self.gamma, x, [self.axis])
        if self.beta is not None:
            result = result + _along(self.beta, x, [self.axis])
        return jf.astype(result, self.compute_dtype)
