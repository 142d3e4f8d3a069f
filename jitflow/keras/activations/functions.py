"""Activation functions with Keras' names, arguments and numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jitflow as jf
from jitflow.errors import ArgumentError
from jitflow.keras.ops.symbolic import symbolic
from jitflow.keras.saving.registration import keras_export

F = TypeVar("F", bound=Callable[..., Any])


def _activation(function: F) -> F:
    """Make a function public, and able to take symbolic tensors."""
    exported = keras_export(f"keras.activations.{function.__name__}")
    return exported(symbolic(function))


@_activation
def relu(
    x: Any,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
) -> jf.Tensor:
    """``max(x, 0)``, in its general form.

    Args:
        x: a tensor.
        negative_slope: slope below `threshold`.
        max_value: where it is cut off, or None.
        threshold: below it the result is ``negative_slope * (x - threshold)``.
    """
    if not negative_slope and not threshold:
        if max_value is None:
            return jf.nn.relu(x)
        if max_value == 6:
            return jf.nn.relu6(x)
    below = negative_slope * (x - threshold) if negative_slope else 0.0
    result = jf.where(x > threshold if threshold else x > 0, x, below)
    return result if max_value is None else jf.minimum(result, max_value)


@_activation
def leaky_relu(x: Any, negative_slope: float = 0.2) -> jf.Tensor:
    """``x`` where positive, else ``negative_slope * x``."""
    return jf.nn.leaky_relu(x, negative_slope)


@_activation
def relu6(x: Any) -> jf.Tensor:
    """``min(max(x, 0), 6)``."""
    return jf.nn.relu6(x)


@_activation
def softmax(x: Any, axis: Any = -1) -> jf.Tensor:
    """``exp(x) / sum(exp(x))`` along `axis` (an int, or several).

    Raises:
        ArgumentError: for a tensor of rank 0.
    """
    if not x.shape:
        raise ArgumentError("softmax: a tensor of rank 1 or more is needed")
    return jf.nn.softmax(x, axis=axis)


@_activation
def log_softmax(x: Any, axis: Any = -1) -> jf.Tensor:
    """``log(softmax(x))`` without underflow."""
    return jf.nn.log_softmax(x, axis=axis)


@_activation
def elu(x: Any, alpha: float = 1.0) -> jf.Tensor:
    """``x`` where positive, else ``alpha * (e**x - 1)``."""
    return jf.nn.elu(x, alpha)


@_activation
def celu(x: Any, alpha: float = 1.0) -> jf.Tensor:
    """``x`` where positive, else ``alpha * (e**(x / alpha) - 1)``."""
    return jf.nn.celu(x, alpha)


@_activation
def selu(x: Any) -> jf.Tensor:
    """Scaled `elu`, which keeps mean 0 and variance 1."""
    return jf.nn.selu(x)


@_activation
def softplus(x: Any) -> jf.Tensor:
    """``log(1 + e**x)`` without overflow."""
    return jf.nn.softplus(x)


@_activation
def softsign(x: Any) -> jf.Tensor:
    """``x / (1 + abs(x))``."""
    return jf.nn.softsign(x)


@_activation
def soft_shrink(x: Any, threshold: float = 0.5) -> jf.Tensor:
    """``x`` moved toward 0 by `threshold`, and 0 between."""
    return jf.nn.soft_shrink(x, threshold)


@_activation
def hard_shrink(x: Any, threshold: float = 0.5) -> jf.Tensor:
    """``x`` where ``abs(x) > threshold``, else 0."""
    return jf.where(jf.abs(x) > threshold, x, 0.0)


@_activation
def tanh_shrink(x: Any) -> jf.Tensor:
    """``x - tanh(x)``."""
    return x - jf.tanh(x)


@_activation
def threshold(x: Any, threshold: float, default_value: float) -> jf.Tensor:
    """``x`` where ``x > threshold``, else `default_value`."""
    return jf.where(x > threshold, x, default_value)


@_activation
def sparse_plus(x: Any) -> jf.Tensor:
    """0 below -1, ``(x + 1)**2 / 4`` up to 1, then ``x``."""
    middle = 0.25 * jf.square(x + 1)
    return jf.where(x <= -1, 0.0, jf.where(x < 1, middle, x))


@_activation
def sparse_sigmoid(x: Any) -> jf.Tensor:
    """0 below -1, ``(x + 1) / 2`` up to 1, then 1."""
    return jf.where(x <= -1, 0.0, jf.where(x >= 1, 1.0, 0.5 * (x + 1)))


@_activation
def squareplus(x: Any, b: float = 4) -> jf.Tensor:
    """``(x + sqrt(x**2 + b)) / 2``."""
    return (x + jf.sqrt(jf.square(x) + b)) / 2


@_activation
def silu(x: Any) -> jf.Tensor:
    """``x * sigmoid(x)``; also called swish."""
    return jf.nn.silu(x)


@_activation
def gelu(x: Any, approximate: bool = False) -> jf.Tensor:
    """``x * P(N(0, 1) <= x)``; with `approximate` through a tanh."""
    return jf.nn.gelu(x, approximate)


@_activation
def glu(x: Any, axis: int = -1) -> jf.Tensor:
    """``a * sigmoid(b)`` of the two halves along `axis`."""
    return jf.nn.glu(x, axis)


@_activation
def tanh(x: Any) -> jf.Tensor:
    """Hyperbolic tangent."""
    return jf.nn.tanh(x)


@_activation
def sigmoid(x: Any) -> jf.Tensor:
    """``1 / (1 + e**-x)``."""
    return jf.nn.sigmoid(x)


@_activation
def log_sigmoid(x: Any) -> jf.Tensor:
    """``log(sigmoid(x))`` without underflow."""
    return jf.nn.log_sigmoid(x)


@_activation
def hard_sigmoid(x: Any) -> jf.Tensor:
    """``min(max(x / 6 + 1/2, 0), 1)``."""
    return jf.nn.hard_sigmoid(x)


@_activation
def hard_silu(x: Any) -> jf.Tensor:
    """``x * hard_sigmoid(x)``; also called hard_swish."""
    return jf.nn.hard_silu(x)


@_activation
def hard_tanh(x: Any) -> jf.Tensor:
    """``min(max(x, -1), 1)``."""
    return jf.nn.hard_tanh(x)


@_activation
def exponential(x: Any) -> jf.Tensor:
    """``e**x``."""
    return jf.exp(x)


@_activation
def linear(x: Any) -> Any:
    """``x``."""
    return x


@_activation
def mish(x: Any) -> jf.Tensor:
    """``x * tanh(softplus(x))``."""
    return jf.nn.mish(x)


@_activation
def sparsemax(x: Any, axis: int = -1) -> jf.Tensor:
    """The projection of `x` onto the probability simplex along `axis`.

    Source: Martins and Astudillo, "From softmax to sparsemax", 2016. (Keras 3.15 gives
    other numbers where more than one place is not zero: it sums the running sums.)
    """
    z = jf.moveaxis(x, axis, -1)
    ordered = jf.sort(z, axis=-1, descending=True)
    sums = jf.cumulative_sum(ordered, axis=-1)
    ranks = jf.cumulative_sum(jf.ones_like(ordered), axis=-1)
    support = 1.0 + ranks * ordered > sums
    count = jf.sum(jf.where(support, 1.0, 0.0), axis=-1, keepdims=True)
    total = jf.sum(jf.where(support, ordered, 0.0), axis=-1, keepdims=True)
    projected = jf.maximum(z - (total - 1.0) / count, 0.0)
    return jf.moveaxis(projected, -1, axis)


swish = silu
hard_swish = hard_silu

ALL = (
    *(relu, leaky_relu, relu6, softmax, log_softmax, elu, celu, selu, softplus),
    *(softsign, soft_shrink, hard_shrink, tanh_shrink, threshold, sparse_plus),
    *(sparse_sigmoid, squareplus, silu, gelu, glu, tanh, sigmoid, log_sigmoid),
    *(hard_sigmoid, hard_silu, hard_tanh, exponential, linear, mish, sparsemax),
)
