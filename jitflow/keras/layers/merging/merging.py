"""Elementwise merging (`Add`, `Multiply`, `Maximum`, ...) and `Concatenate`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jitflow as jf
from jitflow.errors import ArgumentError, ShapeError
from jitflow.keras.backend.dtypes import result_type
from jitflow.keras.backend.tensors import is_shape
from jitflow.keras.layers.layer import Layer
from jitflow.keras.saving.registration import keras_export


class Merge(Layer):
    """Base of layers that take a list of tensors.

    Inputs of lower rank get dimensions of size 1 after the batch; then they broadcast.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Check the shapes.

        Raises:
            ArgumentError: for anything but a list of inputs.
            ShapeError: for batches of different sizes.
        """
        if is_shape(input_shape) or not isinstance(input_shape, list | tuple):
            raise ArgumentError(
                f"{type(self).__name__} {self.name!r} takes a list of inputs, "
                f"was given one of shape {input_shape}",
                fix="call it as layer([a, b])",
            )
        batches = {s[0] for s in input_shape if s} - {None}
        if len(batches) > 1:
            raise ShapeError(
                f"{type(self).__name__} {self.name!r}: the batches have different "
                f"sizes {sorted(batches)}"
            )

    def call(self, inputs: Any) -> Any:
        """The merged tensor."""
        if not isinstance(inputs, list | tuple):
            raise ArgumentError(
                f"{type(self).__name__} {self.name!r} takes a list of inputs",
                fix="call it as layer([a, b])",
            )
        return self.merge(_same_type(_same_rank(inputs)))

    def merge(self, inputs: Sequence[jf.Tensor]) -> jf.Tensor:
        """The merged tensor, of inputs of one rank and dtype."""
        raise NotImplementedError(f"{type(self).__name__} implements merge()")

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """A place counts if it counts in one of the inputs; None if one has no mask."""
        if mask is None or any(m is None for m in mask):
            return None
        return functools.reduce(jf.logical_or, mask)


def _same_rank(inputs: Sequence[Any]) -> list[Any]:
    rank = max(len(x.shape) for x in inputs)
    return [
        functools.reduce(
            lambda y, _: jf.expand_dims(y, axis=1), range(rank - len(x.shape)), x
        )
        for x in inputs
    ]


def _same_type(inputs: Sequence[Any]) -> list[Any]:
    dtypes = {x.dtype for x in inputs}
    if len(dtypes) == 1:
        return list(inputs)
    common = result_type(*dtypes)
    return [jf.astype(x, common) for x in inputs]


@keras_export("keras.layers.Add")
class Add(Merge):
    """The sum of the inputs."""

    def merge(self, inputs: Sequence[jf.Tensor]) -> jf.Tensor:
        """See `Merge`."""
        return functools.reduce(jf.add, inputs)


@keras_export("keras.layers.Subtract")
class Subtract(Merge):
    """The first input minus the second."""

    def build(self, input_shape: Any) -> None:
        """Check that there are two."""
        super().build(input_shape)
        if len(input_shape) != 2:
            raise ArgumentError(
                f"Subtract {self.name!r} takes 2 inputs, was given {len(input_shape)}"
            )

    def merge(self, inputs: Sequence[jf.Tensor]) -> jf.Tensor:
        """See `Merge`."""
        if len(inputs) != 2:
            raise ArgumentError(
                f"Subtract {self.name!r} takes 2 inputs, was given {len(inputs)}"
            )
        return jf.subtract(*inputs)


@keras_export("keras.layers.Multiply")
class Multiply(Merge):
    """The product of the inputs; places masked in one are left as in the others."""

    def merge(self, inputs: Sequence[jf.Tensor]) -> jf.Tensor:
        """See `Merge`."""
        return functools.reduce(jf.multiply, inputs)


@keras_export("keras.layers.Average")
class Average(Merge):
    """The mean of the inputs."""

    def merge(self, inputs: Sequence[jf.Tensor]) -> jf.Tensor:
        """See `Merge`."""
        return functools.reduce(jf.add, inputs) / len(inputs)


@keras_export("keras.layers.Maximum")
class Maximum(Merge):
    """The largest of the inputs, element by element."""

    def merge(self, inputs: Sequence[jf.Tensor]) -> jf.Tensor:
        """See `Merge`."""
        return functools.reduce(jf.maximum, inputs)


@keras_export("keras.layers.Minimum")
class Minimum(Merge):
    """The smallest of the inputs, element by element."""

    def merge(self, inputs: Sequence[jf.Tensor]) -> jf.Tensor:
        """See `Merge`."""
        return functools.reduce(jf.minimum, inputs)


@keras_export("keras.layers.Concatenate")
class Concatenate(Merge):
    """The inputs one after the other along an axis.

    Args:
        axis: the axis.
    """

    _arguments = ("axis",)

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def build(self, input_shape: Any) -> None:
        """Check that the other sizes are equal.

        Raises:
            ShapeError: if they are not.
        """
        if is_shape(input_shape) or not input_shape:
            raise ArgumentError(
                f"Concatenate {self.name!r} takes a list of inputs",
                fix="call it as layer([a, b])",
            )
        ranks = {len(s) for s in input_shape}
        rank = len(input_shape[0])
        others = set(range(rank)) - {self.axis % max(rank, 1)}
        wrong = len(ranks) > 1 or any(
            len({s[i] for s in input_shape} - {None}) > 1 for i in others
        )
        if wrong:
            raise ShapeError(
                f"Concatenate {self.name!r}: the shapes {[*input_shape]} differ "
                f"elsewhere than along axis {self.axis}"
            )

    def call(self, inputs: Any) -> Any:
        """See the class."""
        return jf.concat(_same_type(inputs), axis=self.axis)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The masks one after the other; inputs without one count everywhere."""
        if mask is None or all(m is None for m in mask):
            return None
        masks = [_full_mask(x, m) for x, m in zip(inputs, mask, strict=True)]
        return jf.any(jf.concat(masks, axis=self.axis), axis=-1)


def _full_mask(x: Any, mask: Any) -> jf.Tensor:
    """A mask with all dimensions of its tensor."""
    if mask is None:
        return jf.ones_like(x, dtype="bool")
    while len(mask.shape) < len(x.shape):
        mask = jf.expand_dims(mask, axis=-1)
    return jf.broadcast_to(mask, x.shape)


def _function(cls: Any, doc: str, name: str) -> Any:
    def merge(inputs: Any, **kwargs: Any) -> Any:
        return cls(**kwargs)(inputs)

    merge.__name__ = merge.__qualname__ = name
    merge.__doc__ = doc
    return keras_export(f"keras.layers.{name}")(merge)


add = _function(Add, "The sum of a list of tensors.", "add")
subtract = _function(Subtract, "The first of two tensors minus the second.", "subtract")
multiply = _function(Multiply, "The product of a list of tensors.", "multiply")
average = _function(Average, "The mean of a list of tensors.", "average")
maximum = _function(Maximum, "The elementwise largest of a list.", "maximum")
minimum = _function(Minimum, "The elementwise smallest of a list.", "minimum")


@keras_export("keras.layers.concatenate")
def concatenate(inputs: Any, axis: int = -1, **kwargs: Any) -> Any:
    """A list of tensors one after the other along `axis`."""
    return Concatenate(axis=axis, **kwargs)(inputs)
