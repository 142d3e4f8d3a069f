"""Normalisations: batch, layer, group, root-mean-square, unit length.

Data of 16 bits is normalised in float32 and rounded at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitflow.dtypes import float32
from jitflow.errors import ShapeError
from jitflow.nn.activations import floating, scoped
from jitflow.nn.normalizing import moments
from jitflow.ops import elementwise as e
from jitflow.ops.coerce import as_tensor, normalize_axes
from jitflow.ops.dispatch import builder as b
from jitflow.ops.manipulation import moveaxis, reshape
from jitflow.ops.reductions import max as max_
from jitflow.ops.reductions import mean
from jitflow.ops.reductions import sum as sum_
from jitflow.tensor.tensor import Tensor


def _wide(x: Any) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """`x` in at least 32 bits, and the way back."""
    x = floating(x)
    dtype = x.dtype
    wide = b.cast(x, float32) if dtype.itemsize == 2 else x
    return wide, lambda y: b.cast(y, dtype)


def _along(name: str, v: Any, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """A parameter over `axes` of `x`, with dimensions of size 1 for the others."""
    v = e.cast_like(v, x.dtype)
    sizes = tuple(x.shape[a] for a in axes)
    if v.shape != sizes:
        raise ShapeError(
            f"{name}: a parameter of shape {v.shape} for dimensions {sizes}",
            operands={"x": x, "parameter": v},
        )
    return reshape(v, tuple(d if i in axes else 1 for i, d in enumerate(x.shape)))


def _affine(
    name: str, x: Tensor, scale: Any, offset: Any, axes: tuple[int, ...]
) -> Tensor:
    if scale is not None:
        x = e.multiply(x, _along(name, scale, x, axes))
    return x if offset is None else e.add(x, _along(name, offset, x, axes))


@scoped
def batch_normalization(
    x: Any,
    mean: Any,
    variance: Any,
    /,
    axis: int = -1,
    offset: Any = None,
    scale: Any = None,
    epsilon: float = 1e-3,
) -> Tensor:
    """``(x - mean) / sqrt(variance + epsilon) * scale + offset``.

    Args:
        x: data.
        mean: one per channel; see `moments`.
        variance: one per channel.
        axis: the dimension of the channels.
        offset: one per channel.
        scale: one per channel.
        epsilon: keeps away from division by 0.

    Raises:
        ShapeError: if a parameter has another size.
    """
    x, back = _wide(x)
    axes = normalize_axes(axis, x.ndim, "batch_normalization")
    name = "batch_normalization"
    variance = _along(name, variance, x, axes)
    centered = e.subtract(x, _along(name, mean, x, axes))
    inverse = e.rsqrt(e.add(variance, epsilon))
    if scale is not None:
        inverse = e.multiply(inverse, _along(name, scale, x, axes))
    return back(_affine(name, e.multiply(centered, inverse), None, offset, axes))


@scoped
def layer_normalization(
    x: Any,
    scale: Any = None,
    offset: Any = None,
    /,
    *,
    axis: Any = -1,
    epsilon: float = 1e-3,
) -> Tensor:
    """Each example brought to mean 0 and variance 1 over `axis`, scaled and shifted.

    Args:
        x: data.
        scale: of the sizes of `axis`.
        offset: of the sizes of `axis`.
        axis: one axis or several.
        epsilon: added to the variance.

    Raises:
        ShapeError: if a parameter has another shape.
    """
    x, back = _wide(x)
    axes = normalize_axes(axis, x.ndim, "layer_normalization")
    center, spread = moments(x, axes, True)
    normal = e.multiply(e.subtract(x, center), e.rsqrt(e.add(spread, epsilon)))
    return back(_affine("layer_normalization", normal, scale, offset, axes))


@scoped
def group_normalization(
    x: Any,
    groups: int,
    scale: Any = None,
    offset: Any = None,
    /,
    *,
    axis: int = -1,
    epsilon: float = 1e-3,
) -> Tensor:
    """Each group of channels of each example brought to mean 0 and variance 1.

    Args:
        x: data ``[batch, ...]``.
        groups: number of groups; -1 for one per channel (instance normalisation).
        scale: one per channel.
        offset: one per channel.
        axis: the dimension of the channels.
        epsilon: added to the variance.

    Raises:
        ShapeError: if `groups` does not divide the channels.
    """
    x, back = _wide(x)
    (position,) = normalize_axes(axis, x.ndim, "group_normalization")
    last = moveaxis(x, position, -1)
    channels = last.shape[-1]
    groups = channels if groups == -1 else groups
    if groups < 1 or channels % groups:
        raise ShapeError(f"group_normalization: {channels} channels in {groups} groups")
    parts = reshape(last, (*last.shape[:-1], groups, channels // groups))
    over = (*range(1, parts.ndim - 2), parts.ndim - 1)
    center, spread = moments(parts, over, True)
    normal = e.multiply(e.subtract(parts, center), e.rsqrt(e.add(spread, epsilon)))
    normal = reshape(normal, last.shape)
    normal = _affine("group_normalization", normal, scale, offset, (x.ndim - 1,))
    return back(moveaxis(normal, -1, position))


@scoped
def rms_normalization(
    x: Any, scale: Any = None, /, *, axis: Any = -1, epsilon: float | None = None
) -> Tensor:
    """``x / sqrt(mean(x**2) + epsilon) * scale`` (Zhang and Sennrich, 2019).

    Args:
        x: data.
        scale: of the sizes of `axis`.
        axis: one axis or several.
        epsilon: 1e-6 when left out.

    Raises:
        ShapeError: if `scale` has another shape.
    """
    x, back = _wide(x)
    axes = normalize_axes(axis, x.ndim, "rms_normalization")
    size = mean(e.square(x), axis=axes, keepdims=True)
    inverse = e.rsqrt(e.add(size, 1e-6 if epsilon is None else epsilon))
    return back(_affine("rms_normalization", e.multiply(x, inverse), scale, None, axes))


@scoped
def normalize(
    x: Any, /, axis: Any = -1, order: float = 2, epsilon: float | None = None
) -> Tensor:
    """`x` divided by its `order`-norm over `axis`, which is at least `epsilon` (1e-12).

    The gradient at 0 is that of a division by `epsilon`.
    """
    x, back = _wide(x)
    floor = 1e-12 if epsilon is None else epsilon
    if order == float("inf"):
        size = max_(e.abs(x), axis=axis, keepdims=True)
        return back(e.divide(x, e.maximum(size, floor)))
    power = e.square(x) if order == 2 else e.pow(e.abs(x), order)
    total = e.maximum(sum_(power, axis=axis, keepdims=True), floor**order)
    if order == 2:
        return back(e.multiply(x, e.rsqrt(total)))
    return back(e.divide(x, e.pow(total, 1 / order)))


@scoped
def standardize(x: Any, /, axis: Any = None, epsilon: float = 1e-7) -> Tensor:
    """`x` brought to mean 0 and standard deviation 1 over `axis`."""
    x, back = _wide(as_tensor(x))
    center, spread = moments(x, axis, True)
    return back(e.divide(e.subtract(x, center), e.sqrt(e.add(spread, epsilon))))
