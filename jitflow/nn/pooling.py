"""Pooling over one to three spatial dimensions."""

from __future__ import annotations

import math
from typing import Any

from jitflow.errors import ArgumentError, ShapeError
from jitflow.nn.activations import floating, scoped
from jitflow.nn.convolutions import (
    channels_last,
    padding_of,
    per_dimension,
    restored,
)
from jitflow.ops import elementwise as e
from jitflow.ops.coerce import as_tensor
from jitflow.ops.dispatch import builder as b
from jitflow.tensor.tensor import Tensor


def _window(
    name: str, x: Tensor, pool_size: Any, strides: Any, padding: Any
) -> dict[str, Any]:
    """Attributes of the op for data with the channels last."""
    count = x.ndim - 2
    if not 1 <= count <= 3:
        raise ShapeError(f"{name}: takes data of rank 3 to 5", operands={"x": x})
    if padding == "causal":
        raise ArgumentError(f"{name}: padding is 'valid' or 'same'")
    window = per_dimension(pool_size, count, "pool_size")
    steps = window if strides is None else per_dimension(strides, count, "strides")
    ones = (1,) * count
    low, high = padding_of(padding, x.shape[1:-1], window, steps, ones)
    return {
        "window": (1, *window, 1),
        "strides": (1, *steps, 1),
        "low": (0, *low, 0),
        "high": (0, *high, 0),
        "dilation": (1, *ones, 1),
    }


@scoped
def max_pool(
    x: Any,
    /,
    pool_size: Any,
    strides: Any = None,
    padding: Any = "valid",
    *,
    data_format: str = "channels_last",
) -> Tensor:
    """The largest element of each window; NaN if there is one.

    Args:
        x: data ``[batch, *spatial, channels]``, or by `data_format`.
        pool_size: size of the window: one int, or one per spatial dimension.
        strides: steps of the window; `pool_size` when left out.
        padding: ``"valid"``, ``"same"`` or pairs, see `conv`; it never wins.
        data_format: see `conv`.

    Raises:
        ShapeError: for data of another rank.
        ArgumentError: for arguments that do not fit.
    """
    x = channels_last(as_tensor(x), data_format)
    how = _window("max_pool", x, pool_size, strides, padding)
    return restored(b.reduce_window(x, combine="max", **how), data_format)


@scoped
def avg_pool(
    x: Any,
    /,
    pool_size: Any,
    strides: Any = None,
    padding: Any = "valid",
    *,
    data_format: str = "channels_last",
) -> Tensor:
    """The mean of each window, in which padding does not count; see `max_pool`."""
    x = channels_last(floating(x), data_format)
    how = _window("avg_pool", x, pool_size, strides, padding)
    total = b.reduce_window(x, combine="add", **how)
    if not any(how["low"]) and not any(how["high"]):
        return restored(e.multiply(total, 1 / math.prod(how["window"])), data_format)
    ones = b.ones_like(x[:1, ..., :1])
    counts = b.reduce_window(ones, combine="add", **how)
    return restored(e.divide(total, counts), data_format)
