"""Convolutions of one to three dimensions, and their transposes.

Filters are not flipped. Data is ``[batch, *spatial, channels]`` with data format
``"channels_last"`` and ``[batch, channels, *spatial]`` with ``"channels_first"``.
Window arguments (`strides`, `dilation`) are one int, or one per spatial dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compiler.ir.dims import SymDim
from jitflow.errors import ArgumentError, ShapeError
from jitflow.nn.activations import scoped
from jitflow.ops.coerce import promote_all
from jitflow.ops.dispatch import builder as b
from jitflow.ops.manipulation import moveaxis, reshape
from jitflow.tensor.tensor import Tensor

Ints = tuple[int, ...]


def per_dimension(value: Any, count: int, name: str) -> Ints:
    """A window argument as one positive int per spatial dimension.

    Raises:
        ArgumentError: if it is none.
    """
    values = (value,) * count if hasattr(value, "__index__") else tuple(value)
    if len(values) != count or any(int(v) < 1 for v in values):
        raise ArgumentError(
            f"{name}: {value!r} is not {count} positive sizes",
            fix="give one int, or one per spatial dimension",
        )
    return tuple(int(v) for v in values)


def same_padding(
    sizes: Sequence[Any], window: Ints, strides: Ints, dilation: Ints
) -> tuple[Ints, Ints]:
    """Padding before and behind for ``ceil(size / stride)`` positions, more behind.

    Raises:
        ShapeError: for a stride over a dimension whose size is open.
    """
    low, high = [], []
    for n, k, s, d in zip(sizes, window, strides, dilation, strict=True):
        reach = (k - 1) * d + 1
        if s == 1:
            total = reach - 1
        elif isinstance(n, SymDim):
            raise ShapeError(
                f"padding 'same' with stride {s} over the open size {n}",
                fix="fix the size in the TensorSpec, or use padding 'valid'",
            )
        else:
            total = max((-(-n // s) - 1) * s + reach - n, 0)
        low.append(total // 2)
        high.append(total - total // 2)
    return tuple(low), tuple(high)


def padding_of(
    padding: Any,
    sizes: Sequence[Any],
    window: Ints,
    strides: Ints,
    dilation: Ints,
) -> tuple[Ints, Ints]:
    """What ``padding="valid"``, ``"same"`` or ``"causal"``, or pairs, come to.

    Raises:
        ArgumentError: for another word, or pairs that do not fit.
    """
    count = len(window)
    if padding == "valid":
        return (0,) * count, (0,) * count
    if padding == "same":
        return same_padding(sizes, window, strides, dilation)
    if padding == "causal" and count == 1:
        return ((window[0] - 1) * dilation[0],), (0,)
    if isinstance(padding, str) or len(padding) != count:
        raise ArgumentError(
            f"padding: {padding!r} for {count} spatial dimensions",
            fix="'valid', 'same', 'causal' (one dimension), or (low, high) pairs",
        )
    return tuple(int(p[0]) for p in padding), tuple(int(p[1]) for p in padding)


def channels_last(x: Tensor, data_format: str) -> Tensor:
    """Data in the order that the ops take.

    Raises:
        ArgumentError: for an unknown data format.
    """
    if data_format not in ("channels_last", "channels_first"):
        raise ArgumentError(f"data_format: unknown {data_format!r}")
    return x if data_format == "channels_last" else moveaxis(x, 1, -1)


def restored(y: Tensor, data_format: str) -> Tensor:
    """The inverse of `channels_last`."""
    return y if data_format == "channels_last" else moveaxis(y, -1, 1)


def _operands(name: str, x: Any, kernel: Any, data_format: str) -> tuple[Any, Any]:
    x, kernel = promote_all(name, x, kernel)
    if x.ndim != kernel.ndim or not 3 <= x.ndim <= 5:
        raise ShapeError(
            f"{name}: takes data and a filter of equal rank, 3 to 5",
            operands={"x": x, "kernel": kernel},
        )
    return channels_last(x, data_format), kernel


@scoped
def conv(
    x: Any,
    kernel: Any,
    /,
    strides: Any = 1,
    padding: Any = "valid",
    *,
    data_format: str = "channels_last",
    dilation: Any = 1,
    groups: int | None = None,
) -> Tensor:
    """Convolution over one to three spatial dimensions.

    Args:
        x: data.
        kernel: ``[*window, in_channels / groups, out_channels]``.
        strides: steps of the window.
        padding: ``"valid"``; ``"same"``, for ``ceil(size / stride)`` positions;
            ``"causal"``, before a single spatial dimension; or one ``(low, high)`` pair
            per spatial dimension.
        data_format: see the module.
        dilation: distance of the elements of the window.
        groups: number of independent parts of the channels; from the shapes when left
            out.

    Raises:
        ShapeError: if the ranks or channels do not fit.
        ArgumentError: for strides, padding or dilation that do not fit.
    """
    x, kernel = _operands("conv", x, kernel, data_format)
    window = kernel.shape[:-2]
    strides = per_dimension(strides, len(window), "strides")
    dilation = per_dimension(dilation, len(window), "dilation")
    low, high = padding_of(padding, x.shape[1:-1], window, strides, dilation)
    groups = _groups(x, kernel) if groups is None else groups
    y = b.convolution(
        x,
        kernel,
        strides=strides,
        low=low,
        high=high,
        dilation=dilation,
        groups=groups,
    )
    return restored(y, data_format)


def _groups(x: Tensor, kernel: Tensor) -> int:
    channels, part = x.shape[-1], kernel.shape[-2]
    if not part or channels % part or kernel.shape[-1] % (channels // part or 1):
        raise ShapeError(
            f"conv: {channels} channels for a filter of {part} inputs and "
            f"{kernel.shape[-1]} outputs",
            operands={"x": x, "kernel": kernel},
        )
    return channels // part


@scoped
def depthwise_conv(
    x: Any,
    kernel: Any,
    /,
    strides: Any = 1,
    padding: Any = "valid",
    *,
    data_format: str = "channels_last",
    dilation: Any = 1,
) -> Tensor:
    """Each channel convolved with filters of its own.

    Args:
        x: data.
        kernel: ``[*window, in_channels, multiplier]``; output channel ``c * multiplier
            + m`` belongs to input channel ``c``.
        strides: see `conv`.
        padding: see `conv`.
        data_format: see the module.
        dilation: see `conv`.

    Raises:
        ShapeError: see `conv`.
    """
    x, kernel = promote_all("depthwise_conv", x, kernel)
    *window, channels, multiplier = kernel.shape
    grouped = reshape(kernel, (*window, 1, channels * multiplier))
    how = {"data_format": data_format, "dilation": dilation, "groups": channels}
    return conv(x, grouped, strides, padding, **how)


@scoped
def separable_conv(
    x: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    /,
    strides: Any = 1,
    padding: Any = "valid",
    *,
    data_format: str = "channels_last",
    dilation: Any = 1,
) -> Tensor:
    """`depthwise_conv`, then a mixture of the channels of each position.

    Args:
        x: data.
        depthwise_kernel: ``[*window, in_channels, multiplier]``.
        pointwise_kernel: ``[1, ..., in_channels * multiplier, out_channels]``.
        strides: see `conv`.
        padding: see `conv`.
        data_format: see the module.
        dilation: see `conv`.

    Raises:
        ShapeError: see `conv`.
    """
    how = {"data_format": data_format, "dilation": dilation}
    y = depthwise_conv(x, depthwise_kernel, strides, padding, **how)
    return conv(y, pointwise_kernel, data_format=data_format)


@scoped
def conv_transpose(
    x: Any,
    kernel: Any,
    /,
    strides: Any = 1,
    padding: str = "valid",
    *,
    output_padding: Any = None,
    data_format: str = "channels_last",
    dilation: Any = 1,
) -> Tensor:
    """The transpose of a convolution: its gradient, as a layer that enlarges.

    Args:
        x: data.
        kernel: ``[*window, out_channels, in_channels]``.
        strides: of the convolution that is transposed.
        padding: ``"valid"``, for ``size * stride + max(window - stride, 0)`` positions,
            or ``"same"``, for ``size * stride``.
        output_padding: positions added behind ``(size - 1) * stride + window - 2 *
            (window // 2 if "same" else 0)``, which is then the size.
        data_format: see the module.
        dilation: of the convolution that is transposed.

    Raises:
        ShapeError: if the ranks or channels do not fit.
        ArgumentError: for arguments that do not fit.
    """
    x, kernel = _operands("conv_transpose", x, kernel, data_format)
    if padding not in ("valid", "same"):
        raise ArgumentError(f"conv_transpose: padding {padding!r}")
    window, count = kernel.shape[:-2], x.ndim - 2
    strides = per_dimension(strides, count, "strides")
    dilation = per_dimension(dilation, count, "dilation")
    extra = _extra(output_padding, count)
    rows = zip(x.shape[1:-1], window, strides, dilation, extra, strict=True)
    found = [_enlarged(*row, padding) for row in rows]
    sizes, low, high = (tuple(column) for column in zip(*found, strict=True))
    y = b.convolution_input_gradient(
        x,
        kernel,
        shape=(x.shape[0], *sizes, kernel.shape[-2]),
        groups=1,
        strides=strides,
        low=low,
        high=high,
        dilation=dilation,
    )
    return restored(y, data_format)


def _extra(output_padding: Any, count: int) -> tuple[Any, ...]:
    if output_padding is None or hasattr(output_padding, "__index__"):
        return (output_padding,) * count
    return tuple(output_padding)


def _enlarged(
    n: Any, k: int, stride: int, dilation: int, extra: Any, padding: str
) -> tuple[Any, int, int]:
    """Size, and the padding of the convolution that leads from it back to `n`."""
    reach = (k - 1) * dilation + 1
    if extra is not None:
        cut = 2 * (reach // 2) if padding == "same" else 0
        size = (n - 1) * stride + reach - cut + extra
    elif padding == "same":
        size = n * stride
    else:
        size = n * stride + max(reach - stride, 0)
    total = (n - 1) * stride + reach - size
    total = max(int(total), 0) if isinstance(total, int) else 0
    low = total // 2 if padding == "same" else 0
    return size, low, total - low
