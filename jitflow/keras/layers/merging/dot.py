"""`Dot`: products of the samples of two tensors."""

from __future__ import annotations

import string
from typing import Any

import jitflow as jf
from jitflow.errors import ArgumentError, ShapeError
from jitflow.keras.backend.config import epsilon
from jitflow.keras.layers.merging.merging import Merge
from jitflow.keras.saving.registration import keras_export

# Labels of the dimensions: A is the batch, Z what is summed over.
_LETTERS = string.ascii_lowercase


def l2_normalize(x: Any, axis: Any) -> jf.Tensor:
    """``x`` divided by its norm along `axis`; tiny norms count as `epsilon`."""
    inverse = jf.rsqrt(jf.sum(jf.square(x), axis=axis, keepdims=True))
    # In float16 the limit is beyond the largest number.
    limit = min(1.0 / epsilon(), jf.finfo(x.dtype).max)
    return x * jf.minimum(inverse, limit)


def batch_dot(x: Any, y: Any, axes: tuple[int, int]) -> jf.Tensor:
    """Sum over axis ``axes[0]`` of `x` and ``axes[1]`` of `y`, sample by sample.

    Two matrices give ``(batch, 1)``.

    Raises:
        ShapeError: if the sizes differ.
    """
    a, b = axes[0] % len(x.shape), axes[1] % len(y.shape)
    if x.shape[a] != y.shape[b]:
        raise ShapeError(
            f"dot: axis {axes[0]} of the first and axis {axes[1]} of the second input "
            "have different sizes",
            operands={"x": x, "y": y},
        )
    xs = "".join("Z" if i == a else _LETTERS[i] for i in range(1, len(x.shape)))
    ys = "".join("Z" if i == b else _LETTERS[-i] for i in range(1, len(y.shape)))
    rest = (xs + ys).replace("Z", "")
    result = jf.einsum(f"A{xs},A{ys}->A{rest}", x, y)
    return result if rest else jf.expand_dims(result, axis=-1)


@keras_export("keras.layers.Dot")
class Dot(Merge):
    """The product of each sample of one input with that of the other.

    Args:
        axes: the axis to sum over, or one per input; not the batch axis 0.
        normalize: whether to divide by the norms first, which gives cosines.

    Raises:
        ArgumentError: for axes that are not that.
    """

    _arguments = ("axes", "normalize")

    def __init__(self, axes: Any, normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(axes, int):
            axes = list(axes)
            if len(axes) != 2 or not all(isinstance(a, int) for a in axes):
                raise ArgumentError(f"axes: an int or two ints, given {axes!r}")
        if 0 in (axes if isinstance(axes, list) else [axes]):
            raise ArgumentError("axes: the batch axis 0 cannot be summed over")
        self.axes = axes
        self.normalize = normalize

    def build(self, input_shape: Any) -> None:
        """Check that there are two inputs."""
        super().build(input_shape)
        if len(input_shape) != 2:
            raise ArgumentError(
                f"Dot {self.name!r} takes 2 inputs, was given {len(input_shape)}"
            )

    def call(self, inputs: Any) -> Any:
        """See the class."""
        x, y = inputs
        axes = (self.axes,) * 2 if isinstance(self.axes, int) else tuple(self.axes)
        if self.normalize:
            x, y = l2_normalize(x, axes[0]), l2_normalize(y, axes[1])
        return batch_dot(x, y, axes)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The output has no mask."""
        return None


@keras_export("keras.layers.dot")
def dot(inputs: Any, axes: Any = -1, **kwargs: Any) -> Any:
    """The product of each sample of one tensor with that of the other; see `Dot`."""
    return Dot(axes=axes, **kwargs)(inputs)
