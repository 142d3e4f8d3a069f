"""`BatchNormalization`, with batch renormalization."""

from __future__ import annotations

from typing import Any

import jitflow as jf
from jitflow.errors import ArgumentError, ShapeError
from jitflow.keras import constraints, initializers, regularizers
from jitflow.keras.backend.config import epsilon
from jitflow.keras.backend.dtypes import result_type
from jitflow.keras.layers.input_spec import InputSpec
from jitflow.keras.layers.layer import Layer
from jitflow.keras.saving.registration import keras_export

_CLIPPING = ("rmax", "rmin", "dmax")
Moments = tuple[jf.Tensor, jf.Tensor]


@keras_export("keras.layers.BatchNormalization")
class BatchNormalization(Layer):
    """Mean 0 and variance 1 of each feature, then a trained scale and offset.

    In training the moments are those of the batch, and moving averages follow them;
    otherwise, and if the layer is frozen, the moving averages are used. Sources: Ioffe
    and Szegedy 2015; for `renorm`, Ioffe 2017.

    Args:
        axis: the axis of the features.
        momentum: how slowly the moving averages follow.
        epsilon: added to variances.
        center: whether there is an offset ``beta``.
        scale: whether there is a scale ``gamma``.
        beta_initializer: of the offset.
        gamma_initializer: of the scale.
        moving_mean_initializer: of the moving mean.
        moving_variance_initializer: of the moving variance.
        beta_regularizer: penalty on the offset.
        gamma_regularizer: penalty on the scale.
        beta_constraint: projection of the offset.
        gamma_constraint: projection of the scale.
        renorm: whether training corrects toward the moving averages.
        renorm_clipping: limits ``rmin``, ``rmax``, ``dmax`` of the correction.
        renorm_momentum: how slowly the averages of the correction follow.
        synchronized: only False is supported.

    Raises:
        ArgumentError: for limits that contradict each other, or `synchronized`.
    """

    _arguments = (
        *("axis", "momentum", "epsilon", "center", "scale"),
        *("beta_initializer", "gamma_initializer"),
        *("moving_mean_initializer", "moving_variance_initializer"),
        *("beta_regularizer", "gamma_regularizer"),
        *("beta_constraint", "gamma_constraint"),
        *("synchronized", "renorm", "renorm_clipping", "renorm_momentum"),
    )

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        renorm: bool = False,
        renorm_clipping: dict[str, float] | None = None,
        renorm_momentum: float = 0.99,
        synchronized: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if synchronized:
            raise ArgumentError("synchronized: only False is supported")
        self.axis = int(axis)
        self.synchronized = False
        self.momentum = float(momentum)
        self.epsilon = float(epsilon)
        self.center = center
        self.scale = scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.renorm = renorm
        self.renorm_clipping = _checked_clipping(renorm, renorm_clipping)
        self.renorm_momentum = renorm_momentum
        self.supports_masking = True
        self.gamma: Any = None
        self.beta: Any = None

    def build(self, input_shape: Any) -> None:
        """Make scale, offset and moving averages."""
        rank = len(input_shape)
        if not -rank <= self.axis < rank:
            raise ShapeError(
                f"BatchNormalization {self.name!r}: axis {self.axis} is out of bounds "
                f"for inputs of shape {tuple(input_shape)}"
            )
        size = input_shape[self.axis]
        if self.scale:
            self.gamma = self._weight(
                *("gamma", size, self.gamma_initializer),
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )
        if self.center:
            self.beta = self._weight(
                *("beta", size, self.beta_initializer),
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )
        mean, variance = self.moving_mean_initializer, self.moving_variance_initializer
        self.moving_mean = self._weight("moving_mean", size, mean, trainable=False)
        self.moving_variance = self._weight(
            "moving_variance", size, variance, trainable=False
        )
        if self.renorm:
            self._build_renorm(size)
        self.input_spec = InputSpec(ndim=rank, axes={self.axis: size})
        self._reduced = tuple(i for i in range(rank) if i != self.axis % rank)

    def _weight(self, name: str, size: Any, initializer: Any, **options: Any) -> Any:
        return self.add_weight(
            shape=(size,),
            name=name,
            initializer=initializer,
            autocast=False,
            **options,
        )

    def _build_renorm(self, size: Any) -> None:
        def stddev(shape: Any, dtype: Any = None) -> jf.Tensor:
            return jf.sqrt(self.moving_variance_initializer(shape, dtype))

        mean = self.moving_mean_initializer
        self.moving_stddev = self._weight(
            "moving_stddev", size, stddev, trainable=False
        )
        self.renorm_mean = self._weight("renorm_mean", size, mean, trainable=False)
        self.renorm_stddev = self._weight(
            "renorm_stddev", size, stddev, trainable=False
        )

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalize; see the class.

        Args:
            inputs: floats of any rank.
            training: whether the moments are those of the batch.
            mask: bools of the rank of the inputs less one: which places count.
        """
        # Moments of 16-bit inputs are computed in float32.
        dtype = result_type(inputs.dtype, "float32")
        x = jf.astype(inputs, dtype)
        gamma = jf.astype(self.gamma, dtype) if self.scale else None
        beta = jf.astype(self.beta, dtype) if self.center else None
        mean = jf.astype(self.moving_mean, dtype)
        variance = jf.astype(self.moving_variance, dtype)
        if training and self.trainable:
            moments = self._moments(x, mask)
            if self.renorm:
                gamma, beta = self._corrected(moments, gamma, beta)
                self._follow_renorm(*moments)
            else:
                self._follow(self.moving_mean, moments[0], self.momentum)
                self._follow(self.moving_variance, moments[1], self.momentum)
            mean, variance = moments
        return jf.astype(
            self._normalized(x, mean, variance, gamma, beta), self.compute_dtype
        )

    def _normalized(
        self, x: Any, mean: Any, variance: Any, gamma: Any, beta: Any
    ) -> jf.Tensor:
        inverse = jf.rsqrt(variance + self.epsilon)
        inverse = inverse if gamma is None else inverse * gamma
        offset = -mean * inverse
        offset = offset if beta is None else offset + beta
        return x * self._along(inverse, x) + self._along(offset, x)

    def _along(self, vector: Any, x: Any) -> jf.Tensor:
        """A vector over the features, shaped to broadcast against `x`."""
        rank = len(x.shape)
        shape = [1] * rank
        shape[self.axis % rank] = vector.shape[0]
        return jf.reshape(vector, tuple(shape))

    def _moments(self, x: Any, mask: Any) -> Moments:
        if mask is None:
            mean = jf.mean(x, axis=self._reduced)
            centered = x - self._along(mean, x)
            return mean, jf.mean(jf.square(centered), axis=self._reduced)
        if len(mask.shape) != len(x.shape) - 1:
            raise ShapeError(
                "mask: has the dimensions of the inputs but the last",
                operands={"inputs": x, "mask": mask},
            )
        counted = jf.broadcast_to(
            jf.expand_dims(jf.astype(mask, "bool"), axis=-1), x.shape
        )
        count = jf.sum(jf.astype(counted, x.dtype), axis=self._reduced) + epsilon()
        mean = jf.sum(jf.where(counted, x, 0), axis=self._reduced) / count
        squares = jf.square(jf.where(counted, x - self._along(mean, x), 0))
        return mean, jf.sum(squares, axis=self._reduced) / count

    def _follow(self, variable: Any, value: Any, momentum: float) -> None:
        """Move a moving average toward a value."""
        now = jf.astype(variable, value.dtype)
        variable.assign(now * momentum + value * (1.0 - momentum))

    def _corrected(self, moments: Moments, gamma: Any, beta: Any) -> Moments:
        """Scale and offset that also carry the correction of batch renormalization."""
        mean, variance = moments
        limits = self.renorm_clipping or {}
        stddev = jf.maximum(
            jf.astype(self.renorm_stddev, mean.dtype), self.epsilon**0.5
        )
        ratio = jf.sqrt(variance + self.epsilon) / stddev
        shift = (mean - jf.astype(self.renorm_mean, mean.dtype)) / stddev
        ratio = jf.clip(ratio, limits.get("rmin"), limits.get("rmax"))
        dmax = limits.get("dmax")
        shift = shift if dmax is None else jf.clip(shift, -dmax, dmax)
        ratio, shift = jf.stop_gradient(ratio), jf.stop_gradient(shift)
        if gamma is not None:
            ratio, shift = ratio * gamma, shift * gamma
        return ratio, shift if beta is None else shift + beta

    def _follow_renorm(self, mean: Any, variance: Any) -> None:
        stddev = jf.sqrt(variance + self.epsilon)
        self._follow(self.renorm_mean, mean, self.renorm_momentum)
        self._follow(self.renorm_stddev, stddev, self.renorm_momentum)
        self._follow(self.moving_mean, mean, self.momentum)
        self._follow(self.moving_stddev, stddev, self.momentum)
        # Rounding may make the difference negative.
        squares = jf.square(self.moving_stddev)
        self.moving_variance.assign(jf.maximum(squares - self.epsilon, 0.0))


def _checked_clipping(
    renorm: bool, clipping: dict[str, float] | None
) -> dict[str, float] | None:
    if not renorm:
        return clipping
    limits = dict(clipping or {})
    unknown = set(limits) - set(_CLIPPING)
    if unknown:
        raise ArgumentError(
            f"renorm_clipping: {sorted(unknown)} are not among {_CLIPPING}"
        )
    low, high = limits.get("rmin"), limits.get("rmax")
    if low is not None and high is not None and high < low:
        raise ArgumentError(f"renorm_clipping: rmax {high} is below rmin {low}")
    if limits.get("dmax", 0) < 0:
        raise ArgumentError("renorm_clipping: dmax is not negative")
    return limits
