"""Activation functions.

At a kink the derivative is that of the flat side, so that it is 0 for ``relu(0)``.
NaN stays NaN everywhere. Integers become the default float type.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar

from jitflow.config import settings
from jitflow.errors import ArgumentError
from jitflow.ops import elementwise as e
from jitflow.ops.coerce import as_tensor
from jitflow.ops.dispatch import builder as b
from jitflow.ops.manipulation import split
from jitflow.tensor.state import name_scope
from jitflow.tensor.tensor import Tensor

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946

F = TypeVar("F", bound=Callable[..., Any])


def scoped(function: F) -> F:
    """Run a function under a name scope of its own name."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with name_scope(function.__name__):
            return function(*args, **kwargs)

    return wrapped  # type: ignore[return-value]


def floating(x: Any) -> Tensor:
    """`x` as a tensor of floats."""
    x = as_tensor(x)
    return x if x.dtype.is_inexact else b.cast(x, settings.float_dtype)


@scoped
def relu(x: Any, /) -> Tensor:
    """``max(x, 0)``; of integers too."""
    x = as_tensor(x)
    return e.where(e.less_equal(x, 0), 0, x)


@scoped
def relu6(x: Any, /) -> Tensor:
    """``min(max(x, 0), 6)``."""
    x = as_tensor(x)
    return e.where(e.greater_equal(x, 6), 6, relu(x))


@scoped
def leaky_relu(x: Any, /, negative_slope: float = 0.2) -> Tensor:
    """``x`` where positive, else ``negative_slope * x``."""
    x = floating(x)
    return e.where(e.greater(x, 0), x, e.multiply(x, negative_slope))


@scoped
def elu(x: Any, /, alpha: float = 1.0) -> Tensor:
    """``x`` where positive, else ``alpha * (e**x - 1)``."""
    x = floating(x)
    positive = e.greater(x, 0)
    # The unused branch must stay finite: its zero gradient would be 0 * inf otherwise.
    below = e.expm1(e.where(positive, 0, x))
    return e.where(positive, x, e.multiply(below, alpha))


@scoped
def celu(x: Any, /, alpha: float = 1.0) -> Tensor:
    """``x`` where positive, else ``alpha * (e**(x/alpha) - 1)``."""
    x = floating(x)
    positive = e.greater(x, 0)
    below = e.expm1(e.divide(e.where(positive, 0, x), alpha))
    return e.where(positive, x, e.multiply(below, alpha))


@scoped
def selu(x: Any, /) -> Tensor:
    """Scaled `elu`, which keeps mean 0 and variance 1 (Klambauer and others, 2017)."""
    return e.multiply(elu(x, _SELU_ALPHA), _SELU_SCALE)


@scoped
def gelu(x: Any, /, approximate: bool = False) -> Tensor:
    """``x * P(N(0, 1) <= x)``; with `approximate` through a tanh."""
    x = floating(x)
    if approximate:
        cubic = e.multiply(e.multiply(x, e.multiply(x, x)), 0.044715)
        inner = e.multiply(e.add(x, cubic), math.sqrt(2 / math.pi))
        return e.multiply(e.multiply(x, 0.5), e.add(e.tanh(inner), 1))
    share = e.add(e.erf(e.multiply(x, math.sqrt(0.5))), 1)
    return e.multiply(e.multiply(x, 0.5), share)


@scoped
def silu(x: Any, /) -> Tensor:
    """``x * sigmoid(x)``."""
    x = floating(x)
    return e.multiply(x, e.sigmoid(x))


swish = silu


@scoped
def mish(x: Any, /) -> Tensor:
    """``x * tanh(softplus(x))``."""
    x = floating(x)
    return e.multiply(x, e.tanh(softplus(x)))


@scoped
def softplus(x: Any, /) -> Tensor:
    """``log(1 + e**x)`` without overflow."""
    x = floating(x)
    rest = e.log1p(e.exp(e.negative(e.abs(x))))
    # At 0 the maximum has the derivative 1/2, which is softplus' own.
    return e.add(e.maximum(x, 0), rest)


@scoped
def softsign(x: Any, /) -> Tensor:
    """``x / (1 + abs(x))``."""
    x = floating(x)
    return e.divide(x, e.add(e.abs(x), 1))


@scoped
def soft_shrink(x: Any, /, threshold: float = 0.5) -> Tensor:
    """``x`` moved toward 0 by `threshold`, and 0 between."""
    x = floating(x)
    moved = e.subtract(x, e.multiply(e.sign(x), threshold))
    return e.where(e.less_equal(e.abs(x), threshold), 0, moved)


@scoped
def sigmoid(x: Any, /) -> Tensor:
    """``1 / (1 + e**-x)``."""
    return e.sigmoid(x)


@scoped
def log_sigmoid(x: Any, /) -> Tensor:
    """``log(sigmoid(x))`` without underflow."""
    return e.negative(softplus(e.negative(floating(x))))


@scoped
def hard_sigmoid(x: Any, /) -> Tensor:
    """``min(max(x / 6 + 1/2, 0), 1)``."""
    return e.divide(relu6(e.add(floating(x), 3)), 6)


@scoped
def hard_silu(x: Any, /) -> Tensor:
    """``x * hard_sigmoid(x)``."""
    x = floating(x)
    return e.multiply(x, hard_sigmoid(x))


@scoped
def hard_tanh(x: Any, /) -> Tensor:
    """``min(max(x, -1), 1)``."""
    x = floating(x)
    low = e.where(e.less_equal(x, -1), -1, x)
    return e.where(e.greater_equal(x, 1), 1, low)


@scoped
def tanh(x: Any, /) -> Tensor:
    """Hyperbolic tangent."""
    return e.tanh(x)


@scoped
def glu(x: Any, /, axis: int = -1) -> Tensor:
    """``a * sigmoid(b)`` of the two halves of `x` along `axis`.

    Raises:
        ArgumentError: if the size along `axis` is odd.
    """
    x = floating(x)
    size = x.shape[axis]
    if isinstance(size, int) and size % 2:
        raise ArgumentError(f"glu: axis {axis} has the odd size {size}")
    first, second = split(x, 2, axis=axis)
    return e.multiply(first, e.sigmoid(second))


@scoped
def hard_shrink(x: Any, /, threshold: float = 0.5) -> Tensor:
    """``x``, and 0 between ``-threshold`` and `threshold`."""
    x = floating(x)
    return e.where(e.less_equal(e.abs(x), threshold), 0, x)


@scoped
def tanh_shrink(x: Any, /) -> Tensor:
    """``x - tanh(x)``."""
    x = floating(x)
    return e.subtract(x, e.tanh(x))


@scoped
def threshold(x: Any, /, threshold: float, default_value: float) -> Tensor:
    """``x`` above `threshold`, `default_value` elsewhere."""
    x = floating(x)
    below = e.less_equal(x, threshold)
    return e.where(below, default_value, x)


@scoped
def sparse_plus(x: Any, /) -> Tensor:
    """0 up to -1, ``(x + 1)**2 / 4`` up to 1, ``x`` beyond."""
    x = floating(x)
    middle = e.multiply(e.square(e.add(x, 1)), 0.25)
    above = e.where(e.greater_equal(x, 1), x, middle)
    return e.where(e.less_equal(x, -1), 0, above)


@scoped
def sparse_sigmoid(x: Any, /) -> Tensor:
    """``min(max((x + 1) / 2, 0), 1)``."""
    return e.multiply(e.add(hard_tanh(x), 1), 0.5)


@scoped
def squareplus(x: Any, /, b: float = 4) -> Tensor:
    """``(x + sqrt(x**2 + b)) / 2``."""
    x = floating(x)
    return e.multiply(e.add(x, e.sqrt(e.add(e.square(x), b))), 0.5)


@scoped
def exponential(x: Any, /) -> Tensor:
    """``e**x``."""
    return e.exp(x)


@scoped
def linear(x: Any, /) -> Tensor:
    """``x`` itself."""
    return as_tensor(x)


hard_swish = hard_silu
