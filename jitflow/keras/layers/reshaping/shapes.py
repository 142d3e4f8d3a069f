"""`Flatten`, `Reshape`, `Permute`, `RepeatVector`."""

from __future__ import annotations

from math import prod
from typing import Any

import jitflow as jf
from jitflow.errors import ArgumentError, ShapeError
from jitflow.keras.backend.config import standardize_data_format
from jitflow.keras.layers.input_spec import InputSpec
from jitflow.keras.layers.layer import Layer
from jitflow.keras.saving.registration import keras_export


@keras_export("keras.layers.Flatten")
class Flatten(Layer):
    """``(batch, a, b, ...)`` as ``(batch, a*b*...)``.

    Args:
        data_format: ``"channels_first"`` moves the channels last before.
    """

    _arguments = ("data_format",)

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(min_ndim=1)

    def call(self, inputs: Any) -> Any:
        """See the class."""
        rank = len(inputs.shape)
        if self.data_format == "channels_first" and rank > 2:
            inputs = jf.moveaxis(inputs, 1, -1)
        batch, *rest = inputs.shape
        return jf.reshape(inputs, (batch, prod(rest, start=1)))


@keras_export("keras.layers.Reshape")
class Reshape(Layer):
    """The elements of each sample under another shape.

    Args:
        target_shape: sizes without the batch; one may be -1.
    """

    _arguments = ("target_shape",)

    def __init__(self, target_shape: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        target = (target_shape,) if isinstance(target_shape, int) else target_shape
        self.target_shape = tuple(target)
        if sum(d == -1 for d in self.target_shape) > 1:
            raise ArgumentError(
                f"target_shape: only one size can be -1, given {self.target_shape}"
            )

    def call(self, inputs: Any) -> Any:
        """See the class."""
        batch, *rest = inputs.shape
        have, want = prod(rest, start=1), prod(self.target_shape, start=1)
        if -1 not in self.target_shape and isinstance(have, int) and have != want:
            raise ShapeError(
                f"Reshape {self.name!r}: {tuple(rest)} has {have} elements, "
                f"{self.target_shape} has {want}",
                operands={"inputs": inputs},
                fix="use -1 for the size that follows from the others",
            )
        return jf.reshape(inputs, (batch, *self.target_shape))


@keras_export("keras.layers.Permute")
class Permute(Layer):
    """Other order of the dimensions after the batch.

    Args:
        dims: the dimensions, counted from 1: ``(2, 1)`` exchanges the first two.

    Raises:
        ArgumentError: if they are not a permutation.
    """

    _arguments = ("dims",)

    def __init__(self, dims: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ArgumentError(
                f"dims: a permutation of 1 to {len(self.dims)} is needed, "
                f"given {self.dims}"
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, inputs: Any) -> Any:
        """See the class."""
        return jf.permute_dims(inputs, (0, *self.dims))


@keras_export("keras.layers.RepeatVector")
class RepeatVector(Layer):
    """``(batch, features)`` as ``(batch, n, features)``, repeated.

    Args:
        n: number of repetitions.

    Raises:
        ArgumentError: if it is not an int.
    """

    _arguments = ("n",)

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(n, int):
            raise ArgumentError(f"n: an int is needed, given {n!r}")
        self.n = n
        self.input_spec = InputSpec(ndim=2)

    def call(self, inputs: Any) -> Any:
        """See the class."""
        batch, features = inputs.shape
        rows = jf.expand_dims(inputs, axis=1)
        return jf.broadcast_to(rows, (batch, self.n, features))
