"""Random initializers.

Each instance draws the same numbers every time it is called with one shape, because its
seed is fixed when it is made; pass a `SeedGenerator` as seed to draw new ones.

Sources: Glorot and Bengio 2010, LeCun and others 1998, He and others 2015, Saxe and
others 2014.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import jitflow as jf
from jitflow.errors import ArgumentError, ArgumentTypeError
from jitflow.keras import random
from jitflow.keras.backend.dtypes import standardize_dtype
from jitflow.keras.initializers.initializer import Initializer
from jitflow.keras.random.seed_generator import SeedGenerator, make_default_seed
from jitflow.keras.saving.registration import keras_export
from jitflow.keras.saving.serialization import (
    deserialize_keras_object,
    serialize_keras_object,
)

# Standard deviation of a unit normal distribution that is cut off at ±2.
_TRUNCATED_STDDEV = 0.87962566103423978
_MODES = ("fan_in", "fan_out", "fan_avg")
_DISTRIBUTIONS = ("normal", "truncated_normal", "untruncated_normal", "uniform")


class RandomInitializer(Initializer):
    """Base of initializers with a seed.

    Args:
        seed: an int, a `SeedGenerator`, or None for one drawn now.

    Raises:
        ArgumentTypeError: for any other seed.
    """

    def __init__(self, seed: Any = None) -> None:
        self._init_seed = seed
        if isinstance(seed, dict):
            seed = deserialize_keras_object(seed)
        self.seed = make_default_seed() if seed is None else seed
        if not isinstance(self.seed, int | SeedGenerator):
            raise ArgumentTypeError(
                "seed: an int, a keras.random.SeedGenerator or None is needed",
                operands={"seed": seed},
            )

    def get_config(self) -> dict[str, Any]:
        """See `Initializer`."""
        return {"seed": serialize_keras_object(self._init_seed)}


@keras_export("keras.initializers.RandomNormal", "keras.initializers.random_normal")
class RandomNormal(RandomInitializer):
    """Normally distributed.

    Args:
        mean: centre.
        stddev: standard deviation.
        seed: see `RandomInitializer`.
    """

    _draw = staticmethod(random.normal)

    def __init__(
        self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None
    ) -> None:
        self.mean = mean
        self.stddev = stddev
        super().__init__(seed)

    def __call__(self, shape: Any, dtype: Any = None) -> jf.Tensor:
        """See `Initializer`."""
        return self._draw(
            tuple(shape), self.mean, self.stddev, standardize_dtype(dtype), self.seed
        )

    def get_config(self) -> dict[str, Any]:
        """See `Initializer`."""
        return {**super().get_config(), "mean": self.mean, "stddev": self.stddev}


@keras_export(
    "keras.initializers.TruncatedNormal", "keras.initializers.truncated_normal"
)
class TruncatedNormal(RandomNormal):
    """Normally distributed within two standard deviations."""

    _draw = staticmethod(random.truncated_normal)


@keras_export("keras.initializers.RandomUniform", "keras.initializers.random_uniform")
class RandomUniform(RandomInitializer):
    """Uniform in ``[minval, maxval)``.

    Args:
        minval: lower bound.
        maxval: upper bound.
        seed: see `RandomInitializer`.
    """

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: Any = None
    ) -> None:
        self.minval = minval
        self.maxval = maxval
        super().__init__(seed)

    def __call__(self, shape: Any, dtype: Any = None) -> jf.Tensor:
        """See `Initializer`."""
        name = standardize_dtype(dtype)
        return random.uniform(tuple(shape), self.minval, self.maxval, name, self.seed)

    def get_config(self) -> dict[str, Any]:
        """See `Initializer`."""
        return {**super().get_config(), "minval": self.minval, "maxval": self.maxval}


@keras_export(
    "keras.initializers.VarianceScaling", "keras.initializers.variance_scaling"
)
class VarianceScaling(RandomInitializer):
    """Variance ``scale / n``, where n is a number of units that `mode` chooses.

    Args:
        scale: a positive number.
        mode: ``"fan_in"`` (inputs), ``"fan_out"`` (outputs) or ``"fan_avg"``.
        distribution: ``"truncated_normal"``, ``"untruncated_normal"`` or ``"uniform"``.
        seed: see `RandomInitializer`.
        input_axes: dimensions that count as inputs; see `compute_fans`.
        output_axes: dimensions that count as outputs.

    Raises:
        ArgumentError: for values out of these.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: Any = None,
        input_axes: Any = None,
        output_axes: Any = None,
    ) -> None:
        if scale <= 0.0:
            raise ArgumentError(f"scale: a positive number is needed, given {scale}")
        if mode not in _MODES:
            raise ArgumentError(f"mode: {mode!r} is not one of {_MODES}")
        name = distribution.lower()
        if name not in _DISTRIBUTIONS:
            raise ArgumentError(
                f"distribution: {distribution!r} is not one of {_DISTRIBUTIONS}"
            )
        self.scale = scale
        self.input_axes = input_axes
        self.output_axes = output_axes
        self.mode = mode
        self.distribution = "truncated_normal" if name == "normal" else name
        super().__init__(seed)

    def __call__(self, shape: Any, dtype: Any = None) -> jf.Tensor:
        """See `Initializer`."""
        shape, dtype = tuple(shape), standardize_dtype(dtype)
        fans = compute_fans(shape, self.input_axes, self.output_axes)
        units = {"fan_in": fans[0], "fan_out": fans[1], "fan_avg": sum(fans) / 2}
        variance = self.scale / max(1.0, units[self.mode])
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return random.uniform(shape, -limit, limit, dtype, self.seed)
        stddev = math.sqrt(variance)
        if self.distribution == "untruncated_normal":
            return random.normal(shape, 0.0, stddev, dtype, self.seed)
        stddev /= _TRUNCATED_STDDEV
        return random.truncated_normal(shape, 0.0, stddev, dtype, self.seed)

    def get_config(self) -> dict[str, Any]:
        """See `Initializer`."""
        return {
            **super().get_config(),
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }


class _NamedScaling(VarianceScaling):
    """A variance scaling with a name of its own."""

    _arguments: tuple[float, str, str]

    def __init__(
        self, seed: Any = None, input_axes: Any = None, output_axes: Any = None
    ) -> None:
        super().__init__(*self._arguments, seed, input_axes, output_axes)

    def get_config(self) -> dict[str, Any]:
        """See `Initializer`."""
        config = super().get_config()
        return {k: config[k] for k in ("seed", "input_axes", "output_axes")}


@keras_export("keras.initializers.GlorotUniform", "keras.initializers.glorot_uniform")
class GlorotUniform(_NamedScaling):
    """Uniform within ``sqrt(6 / (fan_in + fan_out))``; the default of most layers."""

    _arguments = (1.0, "fan_avg", "uniform")


@keras_export("keras.initializers.GlorotNormal", "keras.initializers.glorot_normal")
class GlorotNormal(_NamedScaling):
    """Truncated normal of variance ``2 / (fan_in + fan_out)``."""

    _arguments = (1.0, "fan_avg", "truncated_normal")


@keras_export("keras.initializers.LecunNormal", "keras.initializers.lecun_normal")
class LecunNormal(_NamedScaling):
    """Truncated normal of variance ``1 / fan_in``."""

    _arguments = (1.0, "fan_in", "truncated_normal")


@keras_export("keras.initializers.LecunUniform", "keras.initializers.lecun_uniform")
class LecunUniform(_NamedScaling):
    """Uniform within ``sqrt(3 / fan_in)``."""

    _arguments = (1.0, "fan_in", "uniform")


@keras_export("keras.initializers.HeNormal", "keras.initializers.he_normal")
class HeNormal(_NamedScaling):
    """Truncated normal of variance ``2 / fan_in``."""

    _arguments = (2.0, "fan_in", "truncated_normal")


@keras_export("keras.initializers.HeUniform", "keras.initializers.he_uniform")
class HeUniform(_NamedScaling):
    """Uniform within ``sqrt(6 / fan_in)``."""

    _arguments = (2.0, "fan_in", "uniform")


@keras_export(
    "keras.initializers.Orthogonal",
    "keras.initializers.orthogonal",
    "keras.initializers.OrthogonalInitializer",
)
class Orthogonal(RandomInitializer):
    """An orthogonal matrix times `gain`; more than two dimensions are flattened.

    Args:
        gain: factor.
        seed: see `RandomInitializer`.
    """

    def __init__(self, gain: float = 1.0, seed: Any = None) -> None:
        self.gain = gain
        super().__init__(seed)

    def __call__(self, shape: Any, dtype: Any = None) -> jf.Tensor:
        """See `Initializer`.

        Raises:
            ArgumentError: for fewer than two dimensions.
        """
        shape = tuple(shape)
        if len(shape) < 2:
            raise ArgumentError(
                f"shape: Orthogonal needs two dimensions or more, given {shape}"
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = (max(rows, columns), min(rows, columns))
        draws = random.normal(tall, seed=self.seed, dtype="float32").numpy()
        q, r = np.linalg.qr(draws)
        # The signs make the matrix uniform among all orthogonal ones.
        q = q * np.sign(np.diagonal(r))
        q = q.T if rows < columns else q
        return jf.asarray(self.gain * q.reshape(shape), dtype=standardize_dtype(dtype))

    def get_config(self) -> dict[str, Any]:
        """See `Initializer`."""
        return {**super().get_config(), "gain": self.gain}


def compute_fans(
    shape: tuple[int, ...], input_axes: Any = None, output_axes: Any = None
) -> tuple[int, int]:
    """Numbers of input and output units of a weight: ``(fan_in, fan_out)``.

    A kernel of a convolution has its channels in the last two dimensions; the axes of
    other kernels can be given.
    """
    if input_axes is not None and output_axes is not None:
        fan_in = math.prod(shape[a] for a in input_axes)
        return fan_in, math.prod(shape[a] for a in output_axes)
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    field = math.prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field
