"""Sliding windows: reduce_window and its gradient, select_and_scatter.

A window is described per dimension by five attributes: ``window`` (its size),
``strides``, ``dilation`` (distance between its elements) and the padding ``low`` and
``high``; padding counts as absent.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from compiler.ir.dims import Dim, exact_div
from compiler.ir.op import Kind, op
from compiler.ir.types import TensorType, dtype_of
from compiler.ops.common import (
    align_batch,
    fail,
    is_half,
    require_kind,
)
from compiler.ops.reductions import highest, lowest

Ints = tuple[int, ...]
ATTRS = ("dilation", "high", "low", "strides", "window")


def window_extent(
    op_name: str, n: Dim, window: int, stride: int, pad: Dim, dilation: int
) -> Dim:
    """Number of positions of a window over `n` elements and `pad` of padding."""
    span = n + pad - ((window - 1) * dilation + 1)
    if isinstance(span, int):
        return max(span // stride + 1, 0)
    steps = exact_div(span, stride)
    if steps is None:
        fail(op_name, "C2", f"stride {stride} over a symbolic span {span}")
    return steps + 1


def window_shape(
    op_name: str,
    sizes: Sequence[Dim],
    window: Ints,
    strides: Ints,
    low: Ints,
    high: Ints,
    dilation: Ints,
) -> tuple[Dim, ...]:
    """Shape of the window positions; checks the attributes (C1, C2)."""
    attrs = (window, strides, low, high, dilation)
    if any(len(a) != len(sizes) for a in attrs):
        fail(op_name, "C1", f"{attrs} need one entry per dimension of {tuple(sizes)}")
    if any(v < 1 for v in (*window, *strides, *dilation)):
        fail(op_name, "C2", f"window {window}, strides {strides}, dilation {dilation}")
    rows = zip(sizes, window, strides, low, high, dilation, strict=True)
    return tuple(
        window_extent(op_name, n, w, s, lo + hi, d) for n, w, s, lo, hi, d in rows
    )


def padded(x: np.ndarray, value: Any, low: Ints, high: Ints) -> np.ndarray:
    """`x` in a frame of `value`; negative padding cuts."""
    grow = [(max(lo, 0), max(hi, 0)) for lo, hi in zip(low, high, strict=True)]
    if any(map(any, grow)):
        x = np.pad(x, grow, constant_values=value)
    cuts = zip(x.shape, low, high, strict=True)
    return x[tuple(slice(max(-lo, 0), n - max(-hi, 0)) for n, lo, hi in cuts)]


def offsets(
    out: Sequence[int], window: Ints, strides: Ints, dilation: Ints
) -> Iterator[tuple[slice, ...]]:
    """For each element of the window the slices that it visits in the padded array."""
    for place in itertools.product(*map(range, window)):
        rows = zip(place, out, strides, dilation, strict=True)
        yield tuple(
            slice(k * d, k * d + max(n - 1, 0) * s + (n > 0), s) for k, n, s, d in rows
        )


_COMBINE = {"add": np.add, "max": np.maximum, "min": np.minimum}


def _identity(combine: str, dtype: Any) -> Any:
    return {"add": lambda d: 0, "max": lowest, "min": highest}[combine](dtype)


def _evaluate_window(
    x: np.ndarray, identity: Any, combine: str, **w: Ints
) -> np.ndarray:
    source = x.astype(np.float32) if is_half(x.dtype) else x
    low, high = w.pop("low"), w.pop("high")
    frame = padded(source, identity, low, high)
    out = _out_shape(frame, w)
    result = np.full(out, identity, source.dtype)
    for place in offsets(out, w["window"], w["strides"], w["dilation"]):
        _COMBINE[combine](result, frame[place], out=result)
    return result.astype(x.dtype, copy=False)


def _out_shape(frame: np.ndarray, w: dict[str, Ints]) -> Any:
    zeros = (0,) * frame.ndim
    return window_shape(
        "reduce_window",
        frame.shape,
        w["window"],
        w["strides"],
        zeros,
        zeros,
        w["dilation"],
    )


def _sum_gradient(b: Any, g: Any, x: Any, w: dict[str, Ints]) -> Any:
    """Cotangent of a windowed sum: a windowed sum of the spread-out cotangent."""
    sizes, outs = b.type_of(x).shape, b.type_of(g).shape
    reach = [(n - 1) * d for n, d in zip(w["window"], w["dilation"], strict=True)]
    low = tuple(r - lo for r, lo in zip(reach, w["low"], strict=True))
    rows = zip(sizes, outs, w["strides"], low, reach, strict=True)
    # high is what makes the result as long as x again
    high = tuple(n + r - lo - _spread(m, s) for n, m, s, lo, r in rows)
    zero = b.scalar(0, b.type_of(g).dtype)
    interior = tuple(s - 1 for s in w["strides"])
    spread = b.pad(g, zero, low=low, high=high, interior=interior)
    ones = (1,) * len(sizes)
    none = (0,) * len(sizes)
    attrs = {"window": w["window"], "dilation": w["dilation"]}
    return b.reduce_window(
        spread, combine="add", strides=ones, low=none, high=none, **attrs
    )


def _spread(count: Dim, stride: int) -> Dim:
    if stride == 1 or count == 0:
        return count
    return (count - 1) * stride + 1


def _frame(b: Any, x: Any, value: Any, w: dict[str, Ints]) -> Any:
    filler = b.scalar(value, b.type_of(x).dtype)
    none = (0,) * len(w["low"])
    return b.pad(x, filler, low=w["low"], high=w["high"], interior=none)


def _visits(
    b: Any, frame: Any, out: Sequence[Dim], w: dict[str, Ints]
) -> Iterator[Any]:
    """The padded array as each element of the window sees it."""
    for place in itertools.product(*map(range, w["window"])):
        rows = list(zip(place, out, w["strides"], w["dilation"], strict=True))
        start = tuple(k * d for k, _, _, d in rows)
        limit = tuple(k * d + _spread(n, s) for k, n, s, d in rows)
        yield b.slice(frame, start=start, limit=limit, strides=w["strides"])


def _pick(b: Any, x: Any, values: Any, combine: str, out: Any, w: dict) -> Any:
    """From `values` the elements at the places where `x` has its window extremum."""
    extreme = _identity(combine, b.type_of(x).dtype)
    direction = "GT" if combine == "max" else "LT"
    pairs = zip(
        _visits(b, _frame(b, x, extreme, w), out, w),
        _visits(b, _frame(b, values, 0, w), out, w),
        strict=True,
    )
    best, chosen = next(pairs)
    for seen, value in pairs:
        better = b.compare(seen, best, direction=direction)
        unordered = b.compare(seen, seen, direction="NE")
        better = getattr(b, "or")(better, unordered)
        best = b.select(better, seen, best)
        chosen = b.select(better, value, chosen)
    return chosen


def _batch_attrs(w: dict[str, Any]) -> dict[str, Any]:
    first = {"window": 1, "strides": 1, "dilation": 1, "low": 0, "high": 0}
    return {k: (first[k], *v) if k in first else v for k, v in w.items()}


@op("reduce_window", kind=Kind.EXTERN, attrs=(*ATTRS, "combine"))
class ReduceWindow:
    """Sum, maximum or minimum over every position of a window: `combine` is "add",
    "max" or "min". f16 and bf16 accumulate in f32. The gradient of an extremum goes to
    its first occurrence in the window.

    C1: the window attributes have one entry per dimension.
    C2: window, strides and dilation are positive; a symbolic span fits its stride.
    C3: the dtype is a number, not complex for an extremum; `combine` is known.
    """

    def infer(x: TensorType, *, combine: str, **w: Ints) -> TensorType:
        if combine not in _COMBINE:
            fail("reduce_window", "C3", f"unknown combine {combine!r}")
        require_kind("reduce_window", "C3", x, "iufc" if combine == "add" else "iuf")
        return x.with_shape(window_shape("reduce_window", x.shape, **w))

    def evaluate(x: np.ndarray, *, combine: str, **w: Ints) -> np.ndarray:
        return _evaluate_window(x, _identity(combine, dtype_of(x.dtype)), combine, **w)

    def vjp(b: Any, g: Any, y: Any, x: Any, *, combine: str, **w: Ints) -> tuple[Any]:
        if combine == "add":
            return (_sum_gradient(b, g, x, w),)
        return (b.select_and_scatter(x, g, select=combine, **w),)

    def jvp(b: Any, ts: Any, y: Any, x: Any, *, combine: str, **w: Ints) -> Any:
        if ts[0] is None:
            return None
        if combine == "add":
            return b.reduce_window(ts[0], combine=combine, **w)
        return _pick(b, x, ts[0], combine, b.type_of(y).shape, w)

    def batch(b: Any, xs: Any, dims: Sequence[Any], **attrs: Any) -> Any:
        (x,) = align_batch(b, xs, dims)
        return b.reduce_window(x, **_batch_attrs(attrs)), 0

    emit = None


def _choose(
    frame: np.ndarray, select: str, out: Ints, w: dict[str, Ints]
) -> np.ndarray:
    """For every window the number of the element that is its first extremum."""
    better: Callable[..., Any] = np.greater if select == "max" else np.less
    best: Any = None
    chosen = np.zeros(out, np.int64)
    for k, place in enumerate(offsets(out, w["window"], w["strides"], w["dilation"])):
        seen = frame[place]
        if best is None:
            best = seen.copy()
            continue
        take = better(seen, best) | ((seen != seen) & (best == best))
        best = np.where(take, seen, best)
        chosen = np.where(take, k, chosen)
    return chosen


@op("select_and_scatter", kind=Kind.EXTERN, attrs=(*ATTRS, "select"))
class SelectAndScatter:
    """The gradient of a windowed extremum: each element of the source is added to the
    place of the operand that is the first maximum (or minimum, by `select`) of its
    window. A NaN is the extremum of its window.

    C1: the window attributes have one entry per dimension.
    C2: window, strides and dilation are positive; a symbolic span fits its stride.
    C3: operands ``(x, source)`` are float; `select` is "max" or "min".
    C4: the source has the dtype of the operand and the shape of the window positions.
    """

    def infer(x: TensorType, g: TensorType, *, select: str, **w: Ints) -> TensorType:
        require_kind("select_and_scatter", "C3", x, "f")
        if select not in ("max", "min"):
            fail("select_and_scatter", "C3", f"unknown select {select!r}")
        expected = x.with_shape(window_shape("select_and_scatter", x.shape, **w))
        if g != expected:
            fail("select_and_scatter", "C4", f"source is {g}, expected {expected}")
        return x

    def evaluate(x: np.ndarray, g: np.ndarray, *, select: str, **w: Ints) -> np.ndarray:
        wide = np.dtype(np.float32) if is_half(x.dtype) else x.dtype
        extreme = -math.inf if select == "max" else math.inf
        frame = padded(x.astype(wide, copy=False), extreme, w["low"], w["high"])
        source = g.astype(wide, copy=False)
        chosen = _choose(frame, select, g.shape, w)
        spread = np.zeros(frame.shape, wide)
        places = offsets(g.shape, w["window"], w["strides"], w["dilation"])
        for k, place in enumerate(places):
            spread[place] += np.where(chosen == k, source, 0)
        back = (tuple(-p for p in w["low"]), tuple(-p for p in w["high"]))
        return np.array(padded(spread, 0, *back), dtype=x.dtype, order="C")

    def vjp(
        b: Any, g: Any, y: Any, x: Any, source: Any, *, select: str, **w: Ints
    ) -> tuple[Any, Any]:
        out = b.type_of(source).shape
        return b.zeros_like(x), _pick(b, x, g, select, out, w)

    def jvp(b: Any, ts: Any, y: Any, x: Any, source: Any, **attrs: Any) -> Any:
        if ts[1] is None:
            return None if ts[0] is None else b.zeros_like(x)
        return b.select_and_scatter(x, ts[1], **attrs)

    def batch(b: Any, xs: Any, dims: Sequence[Any], **attrs: Any) -> Any:
        aligned = align_batch(b, xs, dims)
        return b.select_and_scatter(*aligned, **_batch_attrs(attrs)), 0

    emit = None
