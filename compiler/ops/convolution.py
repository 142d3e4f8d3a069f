"""Convolution and its two gradients, channels last.

With input ``x[n, s, c]``, filter ``w[k, c, o]`` and output ``y[n, p, o]`` (``s``, ``k``
and ``p`` stand for any number of spatial dimensions) all three are derivatives of the
trilinear form

    F(x, w, g) = sum over n, p, k, c, o of x[n, p*stride + k*dilation - low, c]
                                           * w[k, c, o] * g[n, p, o]

so the rules of each op are applications of the other two. The filter is not flipped.
With `groups`, channels and outputs are split into as many independent parts.
Attributes ``strides, low, high, dilation`` have one entry per spatial dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from compiler.ir.dims import Dim, Shape, exact_div
from compiler.ir.op import Kind, Op, define
from compiler.ir.types import TensorType
from compiler.ops.common import (
    align_batch,
    batch_size,
    fail,
    move_axis,
    require_kind,
    sum_tangents,
    via_f32,
)
from compiler.ops.windows import offsets, padded, window_shape

Ints = tuple[int, ...]
_ATTRS = ("dilation", "groups", "high", "low", "strides")
_DOC = """

C1: the window attributes have one entry per spatial dimension.
C2: window, strides and dilation are positive; a symbolic span fits its stride.
C3: both operands are numeric of one dtype, with equal ranks of at least 2.
C4: filter sizes are numbers, input channels are `groups` times the filter's, and
    `groups` divides the outputs.
C5: the operands and results fit ``x[n, s, c]``, ``w[k, c / groups, o]``,
    ``y[n, p, o]``."""


def _output_type(
    name: str, x: TensorType, w: TensorType, groups: int, **attrs: Ints
) -> TensorType:
    """Type of the output for an input and a filter; checks everything but C5."""
    require_kind(name, "C3", x, "iufc")
    if x.dtype is not w.dtype or x.rank != w.rank or x.rank < 2:
        fail(name, "C3", f"input {x} and filter {w}")
    if not w.is_static:
        fail(name, "C4", f"filter sizes must be numbers, given {w}")
    filter_shape: Any = w.shape
    channels, out = filter_shape[-2:]
    if groups < 1 or channels * groups != x.shape[-1] or out % groups:
        fail(name, "C4", f"input {x} and filter {w} in {groups} groups")
    spatial = window_shape(name, x.shape[1:-1], filter_shape[:-2], **attrs)
    return x.with_shape((x.shape[0], *spatial, out))


def _infer(x: TensorType, w: TensorType, *, groups: int, **attrs: Ints) -> TensorType:
    return _output_type("convolution", x, w, groups, **attrs)


def _infer_input(
    g: TensorType, w: TensorType, *, shape: Shape, groups: int, **attrs: Ints
) -> TensorType:
    name = "convolution_input_gradient"
    x = g.with_shape(shape)
    expected = _output_type(name, x, w, groups, **attrs)
    if g != expected:
        fail(name, "C5", f"gradient is {g}, expected {expected} for input {x}")
    return x


def _infer_filter(
    x: TensorType, g: TensorType, *, shape: Shape, groups: int, **attrs: Ints
) -> TensorType:
    name = "convolution_filter_gradient"
    w = x.with_shape(shape)
    expected = _output_type(name, x, w, groups, **attrs)
    if g != expected:
        fail(name, "C5", f"gradient is {g}, expected {expected} for filter {w}")
    return w


# ------------------------------------------------------------------- evaluation


def _taps(out: Ints, window: Ints, strides: Ints, dilation: Ints) -> Iterator[Any]:
    """For every filter element: its index and the part of the input that it meets."""
    spatial = out[1:-1]
    places = offsets(spatial, tuple(window), strides, dilation)
    every = slice(None)
    for k, place in zip(np.ndindex(*window), places, strict=True):
        yield k, (every, *place, every)


def _by_group(rows: np.ndarray, groups: int) -> np.ndarray:
    """``[..., groups * c]`` as ``[groups, rows, c]``."""
    width = rows.shape[-1] // groups
    return rows.reshape(rows.size // max(rows.shape[-1], 1), groups, width).swapaxes(
        0, 1
    )


def _filter_by_group(w: np.ndarray, groups: int) -> np.ndarray:
    """One filter element ``[c, groups * o]`` as ``[groups, c, o]``."""
    return w.reshape(w.shape[0], groups, w.shape[1] // groups).swapaxes(0, 1)


@via_f32
def _evaluate(
    x: np.ndarray,
    w: np.ndarray,
    *,
    groups: int,
    strides: Ints,
    low: Ints,
    high: Ints,
    dilation: Ints,
) -> np.ndarray:
    frame = padded(x, 0, (0, *low, 0), (0, *high, 0))
    window, out_channels = w.shape[:-2], w.shape[-1]
    zeros = (0,) * len(window)
    spatial = window_shape(
        "convolution", frame.shape[1:-1], window, strides, zeros, zeros, dilation
    )
    shape = (x.shape[0], *spatial, out_channels)
    rows = int(np.prod(shape[:-1]))
    total = np.zeros((groups, rows, out_channels // groups), x.dtype)
    if x.size and total.size:
        for k, place in _taps(shape, window, strides, dilation):
            part = _by_group(frame[place], groups)
            total += np.matmul(part, _filter_by_group(w[k], groups))
    return np.ascontiguousarray(total.swapaxes(0, 1)).reshape(shape)


@via_f32
def _evaluate_input(
    g: np.ndarray,
    w: np.ndarray,
    *,
    shape: Ints,
    groups: int,
    strides: Ints,
    low: Ints,
    high: Ints,
    dilation: Ints,
) -> np.ndarray:
    frame = padded(np.zeros(shape, g.dtype), 0, (0, *low, 0), (0, *high, 0)).copy()
    if frame.size and g.size:
        rows = _by_group(g, groups)
        for k, place in _taps(g.shape, w.shape[:-2], strides, dilation):
            taps = _filter_by_group(w[k], groups).swapaxes(1, 2)
            part = np.matmul(rows, taps).swapaxes(0, 1)
            frame[place] += part.reshape(*g.shape[:-1], shape[-1])
    back = tuple(-p for p in low), tuple(-p for p in high)
    return np.array(padded(frame, 0, (0, *back[0], 0), (0, *back[1], 0)), order="C")


@via_f32
def _evaluate_filter(
    x: np.ndarray,
    g: np.ndarray,
    *,
    shape: Ints,
    groups: int,
    strides: Ints,
    low: Ints,
    high: Ints,
    dilation: Ints,
) -> np.ndarray:
    frame = padded(x, 0, (0, *low, 0), (0, *high, 0))
    result = np.zeros(shape, x.dtype)
    if x.size and g.size:
        rows = _by_group(g, groups)
        for k, place in _taps(g.shape, shape[:-2], strides, dilation):
            part = _by_group(frame[place], groups).swapaxes(1, 2)
            result[k] = np.matmul(part, rows).swapaxes(0, 1).reshape(shape[-2:])
    return result


# -------------------------------------------------------------------- derivatives


def _shape_of(b: Any, x: Any) -> Shape:
    return b.type_of(x).shape


def _vjp(b: Any, g: Any, y: Any, x: Any, w: Any, **attrs: Any) -> tuple[Any, Any]:
    dx = dw = None
    if b.needs(0):
        dx = b.convolution_input_gradient(g, w, shape=_shape_of(b, x), **attrs)
    if b.needs(1):
        dw = b.convolution_filter_gradient(x, g, shape=_shape_of(b, w), **attrs)
    return dx, dw


def _vjp_input(
    b: Any, h: Any, y: Any, g: Any, w: Any, *, shape: Shape, **attrs: Any
) -> tuple[Any, Any]:
    dw = b.convolution_filter_gradient(h, g, shape=_shape_of(b, w), **attrs)
    return b.convolution(h, w, **attrs), dw


def _vjp_filter(
    b: Any, h: Any, y: Any, x: Any, g: Any, *, shape: Shape, **attrs: Any
) -> tuple[Any, Any]:
    dx = b.convolution_input_gradient(g, h, shape=_shape_of(b, x), **attrs)
    return dx, b.convolution(x, h, **attrs)


def _bilinear_jvp(name: str) -> Callable[..., Any]:
    def jvp(b: Any, ts: Any, y: Any, p: Any, q: Any, **attrs: Any) -> Any:
        apply = getattr(b, name)
        left = None if ts[0] is None else apply(ts[0], q, **attrs)
        right = None if ts[1] is None else apply(p, ts[1], **attrs)
        return sum_tangents(b, [left, right])

    return jvp


# -------------------------------------------------------------------- batch rules


def _merge(b: Any, x: Any, dim: int, into: int) -> Any:
    """The batch axis at `dim` moved before axis `into` and merged with it."""
    moved = move_axis(b, x, dim, into)
    shape = _shape_of(b, moved)
    merged = (*shape[:into], shape[into] * shape[into + 1], *shape[into + 2 :])
    return b.reshape(moved, shape=merged)


def _split(b: Any, x: Any, axis: int, size: Dim) -> Any:
    shape = _shape_of(b, x)
    rest = exact_div(shape[axis], size) or 0
    return b.reshape(x, shape=(*shape[:axis], size, rest, *shape[axis + 1 :]))


def _scale_at(shape: Shape, axis: int, factor: Dim) -> Shape:
    axis %= len(shape)
    return (*shape[:axis], shape[axis] * factor, *shape[axis + 1 :])


def _batch_rule(
    name: str, result_scaled: int, filter_result: bool
) -> Callable[..., Any]:
    """Batch rule of one of the three ops.

    A batch of the first operand alone is more examples; anything else becomes more
    groups: the batch joins the channels. `result_scaled` is the axis of the attribute
    ``shape`` that grows with the groups.
    """

    def batch(
        b: Any, xs: Any, dims: Sequence[Any], *, groups: int, **attrs: Any
    ) -> Any:
        apply = getattr(b, name)
        size = batch_size(b, xs, dims)
        if dims[1] is None and not filter_result:
            if "shape" in attrs:
                attrs["shape"] = _scale_at(attrs["shape"], 0, size)
            first = _merge(b, xs[0], dims[0], 0)
            return _split(b, apply(first, xs[1], groups=groups, **attrs), 0, size), 0
        if not isinstance(size, int):
            fail(name, "C4", f"a batch of filters needs a fixed size, given {size}")
        p, q = align_batch(b, xs, dims)
        rank = b.type_of(p).rank - 1
        if "shape" in attrs:
            attrs["shape"] = _scale_at(attrs["shape"], result_scaled, size)
        merged = [_merge(b, x, 0, rank - 1) for x in (p, q)]
        result = apply(*merged, groups=groups * size, **attrs)
        return _split(b, result, rank - 1, size), rank - 1

    return batch


def _define(
    name: str,
    doc: str,
    extra: tuple[str, ...],
    infer: Callable[..., Any],
    evaluate: Callable[..., Any],
    vjp: Callable[..., Any],
    filter_result: bool = False,
) -> Op:
    return define(
        name,
        kind=Kind.CONTRACTION,
        doc=doc + _DOC,
        attrs=(*_ATTRS, *extra),
        infer=infer,
        evaluate=evaluate,
        vjp=vjp,
        jvp=_bilinear_jvp(name),
        batch=_batch_rule(name, -1, filter_result),
        emit=None,
    )


_define(
    "convolution",
    "Cross-correlation ``y = dF/dg`` of ``(x, w)``. f16 and bf16 sum in f32.",
    (),
    _infer,
    _evaluate,
    _vjp,
)
_define(
    "convolution_input_gradient",
    "Transposed convolution ``dF/dx`` of ``(g, w)``; `shape` is that of ``x``.",
    ("shape",),
    _infer_input,
    _evaluate_input,
    _vjp_input,
)
_define(
    "convolution_filter_gradient",
    "``dF/dw`` of ``(x, g)``; `shape` is that of ``w``.",
    ("shape",),
    _infer_filter,
    _evaluate_filter,
    _vjp_filter,
    filter_result=True,
)
