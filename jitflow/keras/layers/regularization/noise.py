"""Dropout and noise: layers that change their input in training only.

Each draws from a `SeedGenerator` of its own, whose state is a variable: compiled and
eager runs with one seed draw the same numbers.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import jitflow as jf
from jitflow.errors import ArgumentError
from jitflow.keras import random
from jitflow.keras.backend.config import standardize_data_format
from jitflow.keras.layers.input_spec import InputSpec
from jitflow.keras.layers.layer import Layer
from jitflow.keras.random.seed_generator import SeedGenerator
from jitflow.keras.saving.registration import keras_export
from jitflow.tensor.state import state

_SELU_FLOOR = -1.6732632423543772848170429916717 * 1.0507009873554804934193349852946


class RandomLayer(Layer):
    """Base of layers that add noise in training.

    Args:
        strength: rate or standard deviation, between 0 and 1; at 0 nothing happens.
        argument: name of that argument.
        seed: an int, or None for one drawn now.

    Raises:
        ArgumentError: if the strength is not between 0 and 1.
    """

    def __init__(
        self, strength: float, argument: str, seed: Any, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= strength <= 1:
            raise ArgumentError(f"{argument}: between 0 and 1, given {strength}")
        setattr(self, argument, strength)
        self._strength_name = argument
        self.seed = seed
        if strength > 0:
            self.seed_generator = SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The inputs, with noise in training."""
        if state.trace is not None:
            state.trace.observe_attribute(self, self._strength_name)
        if training and getattr(self, self._strength_name) > 0:
            return self.disturb(self.as_compute(inputs))
        return inputs

    def disturb(self, inputs: jf.Tensor) -> jf.Tensor:
        """The inputs with noise."""
        raise NotImplementedError(f"{type(self).__name__} implements disturb()")


@keras_export("keras.layers.Dropout")
class Dropout(RandomLayer):
    """In training, zeroes a fraction `rate` and scales the rest by ``1/(1-rate)``.

    Args:
        rate: between 0 and 1.
        noise_shape: shape of the mask, which broadcasts; None entries are taken from
            the input. ``(None, 1, None)`` drops whole features of a sequence.
        seed: an int, or None for one drawn now.
    """

    _arguments = ("rate", "seed", "noise_shape")
    rate: float

    def __init__(
        self, rate: float, noise_shape: Any = None, seed: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(rate, "rate", seed, **kwargs)
        self.noise_shape = noise_shape

    def disturb(self, inputs: jf.Tensor) -> jf.Tensor:
        """See `RandomLayer`."""
        return random.dropout(
            inputs, self.rate, noise_shape=self.noise_shape, seed=self.seed_generator
        )


class SpatialDropout(Dropout):
    """Base of the layers that drop whole feature maps."""

    _rank: ClassVar[int]

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: Any = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(rate, seed=seed, name=name, dtype=dtype)
        self.data_format = standardize_data_format(data_format)
        ones = (1,) * (self._rank - 2)
        last = self.data_format == "channels_last"
        self.noise_shape = (None, *ones, None) if last else (None, None, *ones)
        self.input_spec = InputSpec(ndim=self._rank)

    def get_config(self) -> dict[str, Any]:
        """See `Layer`."""
        return {
            "rate": self.rate,
            "seed": self.seed,
            "name": self.name,
            "dtype": self.dtype,
            "data_format": self.data_format,
        }


@keras_export("keras.layers.SpatialDropout1D")
class SpatialDropout1D(SpatialDropout):
    """`Dropout` of whole features of ``(batch, time, features)``.

    Args:
        rate: between 0 and 1.
        seed: an int, or None for one drawn now.
        name: of the layer.
        dtype: see `Layer`.
    """

    _rank = 3

    def __init__(
        self, rate: float, seed: Any = None, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(rate, "channels_last", seed, name, dtype)

    def get_config(self) -> dict[str, Any]:
        """See `Layer`."""
        config = super().get_config()
        return {k: v for k, v in config.items() if k != "data_format"}


@keras_export("keras.layers.SpatialDropout2D")
class SpatialDropout2D(SpatialDropout):
    """`Dropout` of whole feature maps of images; see `Dropout` for the arguments."""

    _rank = 4


@keras_export("keras.layers.SpatialDropout3D")
class SpatialDropout3D(SpatialDropout):
    """`Dropout` of whole feature maps of volumes; see `Dropout` for the arguments."""

    _rank = 5


@keras_export("keras.layers.GaussianNoise")
class GaussianNoise(RandomLayer):
    """In training, adds normal noise.

    Args:
        stddev: standard deviation, between 0 and 1.
        seed: an int, or None for one drawn now.
    """

    _arguments = ("stddev", "seed")
    stddev: float

    def __init__(self, stddev: float, seed: Any = None, **kwargs: Any) -> None:
        super().__init__(stddev, "stddev", seed, **kwargs)

    def disturb(self, inputs: jf.Tensor) -> jf.Tensor:
        """See `RandomLayer`."""
        return inputs + random.normal(
            inputs.shape, 0.0, self.stddev, self.compute_dtype, self.seed_generator
        )


@keras_export("keras.layers.GaussianDropout")
class GaussianDropout(RandomLayer):
    """In training, multiplies by normal noise of mean 1, variance ``rate/(1-rate)``.

    Args:
        rate: between 0 and 1.
        seed: an int, or None for one drawn now.
    """

    _arguments = ("rate", "seed")
    rate: float

    def __init__(self, rate: float, seed: Any = None, **kwargs: Any) -> None:
        super().__init__(rate, "rate", seed, **kwargs)

    def disturb(self, inputs: jf.Tensor) -> jf.Tensor:
        """See `RandomLayer`."""
        stddev = math.sqrt(self.rate / (1.0 - self.rate))
        return inputs * random.normal(
            inputs.shape, 1.0, stddev, self.compute_dtype, self.seed_generator
        )


@keras_export("keras.layers.AlphaDropout")
class AlphaDropout(RandomLayer):
    """Dropout that keeps mean and variance of `selu` activations.

    Source: Klambauer and others, "Self-normalizing neural networks", 2017.

    Args:
        rate: between 0 and 1.
        noise_shape: see `Dropout`.
        seed: an int, or None for one drawn now.
    """

    _arguments = ("rate", "seed", "noise_shape")
    rate: float

    def __init__(
        self, rate: float, noise_shape: Any = None, seed: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(rate, "rate", seed, **kwargs)
        self.noise_shape = noise_shape

    def disturb(self, inputs: jf.Tensor) -> jf.Tensor:
        """See `RandomLayer`."""
        shape = self.noise_shape or (None,) * len(inputs.shape)
        pairs = zip(shape, inputs.shape, strict=True)
        sizes = tuple(d if s is None else s for s, d in pairs)
        kept = random.uniform(sizes, seed=self.seed_generator) >= self.rate
        scale = ((1 - self.rate) * (1 + self.rate * _SELU_FLOOR**2)) ** -0.5
        offset = -scale * _SELU_FLOOR * self.rate
        return scale * jf.where(kept, inputs, _SELU_FLOOR) + offset
