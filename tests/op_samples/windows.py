"""Samples of reduce_window and select_and_scatter."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.op_samples.common import Sample, random_array


def _case(
    shape: tuple[int, ...],
    window: tuple[int, ...],
    strides: tuple[int, ...] | None = None,
    low: tuple[int, ...] | None = None,
    high: tuple[int, ...] | None = None,
    dilation: tuple[int, ...] | None = None,
) -> tuple[tuple[int, ...], dict[str, Any]]:
    ones, zeros = (1,) * len(shape), (0,) * len(shape)
    attrs = {
        "window": window,
        "strides": strides or ones,
        "low": low or zeros,
        "high": high or zeros,
        "dilation": dilation or ones,
    }
    return shape, attrs


CASES = [
    _case((6,), (2,)),
    _case((6,), (2,), (2,)),
    _case((7,), (3,), (2,), (1,), (1,)),
    _case((7,), (3,), (3,), (0,), (2,)),
    _case((7,), (2,), (1,), (1,), (0,), (3,)),
    _case((5,), (2,), (3,), (-1,), (1,)),
    _case((2, 5, 6, 3), (1, 2, 2, 1), (1, 2, 2, 1)),
    _case((1, 4, 4, 2), (1, 3, 3, 1), (1, 2, 2, 1), (0, 1, 0, 0), (0, 1, 1, 0)),
    _case((2, 2), (3, 1)),
    _case((0, 4), (1, 2)),
    _case((1,), (1,)),
    _case((), ()),
]


def _windows(x: np.ndarray, w: dict[str, Any]) -> Iterator[tuple[tuple, list[tuple]]]:
    """Every window position with the places of the operand in it."""
    rows = zip(
        *(w[k] for k in ("window", "strides", "low", "high", "dilation")), strict=True
    )
    spans = [
        max((n + lo + hi - ((size - 1) * d + 1)) // s + 1, 0)
        for n, (size, s, lo, hi, d) in zip(x.shape, rows, strict=True)
    ]
    for position in np.ndindex(*spans):
        places = []
        for k in np.ndindex(*w["window"]):
            rows = zip(position, k, w["strides"], w["dilation"], w["low"], strict=True)
            place = tuple(p * s + i * d - lo for p, i, s, d, lo in rows)
            if all(0 <= a < n for a, n in zip(place, x.shape, strict=True)):
                places.append(place)
        yield position, places


def _out_shape(x: np.ndarray, w: dict[str, Any]) -> tuple[int, ...]:
    rows = zip(
        *(w[k] for k in ("window", "strides", "low", "high", "dilation")), strict=True
    )
    return tuple(
        max((n + lo + hi - ((size - 1) * d + 1)) // s + 1, 0)
        for n, (size, s, lo, hi, d) in zip(x.shape, rows, strict=True)
    )


_START = {"add": 0.0, "max": -math.inf, "min": math.inf}
_FOLD = {"add": np.add, "max": np.maximum, "min": np.minimum}


def _reduce(x: np.ndarray, *, combine: str, **w: Any) -> np.ndarray:
    start: Any = _START[combine]
    if x.dtype.kind in "iu" and combine != "add":
        start = np.iinfo(x.dtype).min if combine == "max" else np.iinfo(x.dtype).max
    wide = np.float32 if x.dtype.itemsize == 2 and x.dtype.kind in "fV" else x.dtype
    out = np.full(_out_shape(x, w), start, wide)
    for position, places in _windows(x, w):
        for place in places:
            out[position] = _FOLD[combine](out[position], x[place].astype(wide))
    return out.astype(x.dtype)


def _has_empty_window(x: np.ndarray, w: dict[str, Any]) -> bool:
    return any(not places for _, places in _windows(x, w))


def _reductions() -> list[Sample]:
    samples = []
    for shape, w in CASES:
        x = random_array("f64", shape)
        for combine in ("add", "max", "min"):
            attrs = {"combine": combine, **w}
            # the extremum of an empty window is infinite
            grad = combine == "add" or not _has_empty_window(x, w)
            samples.append(Sample([x], attrs, _reduce, grad=grad, atol=1e-14))
    shape, w = CASES[7]
    for d in ("f16", "bf16", "f32", "i8", "u16", "i64"):
        for combine in ("add", "max", "min"):
            attrs = {"combine": combine, **w}
            samples.append(Sample([random_array(d, shape)], attrs, _reduce))
    x = np.array([np.nan, 1.0, np.inf, -np.inf, -0.0, 0.0, 2.0], np.float32)
    attrs = {"combine": "max", **CASES[2][1]}
    return [*samples, Sample([x], attrs, _reduce, grad=False)]


def _scatter(x: np.ndarray, g: np.ndarray, *, select: str, **w: Any) -> np.ndarray:
    out = np.zeros(x.shape, np.float64)
    for position, places in _windows(x, w):
        best: Any = None
        for place in places:
            value = float(x[place])
            better = best is not None and (
                value > float(x[best]) if select == "max" else value < float(x[best])
            )
            if best is None or better:
                best = place
        if best is not None:
            out[best] += g[position]
    return out.astype(x.dtype)


def _scatters() -> list[Sample]:
    samples = []
    for shape, w in CASES:
        for d in ("f64", "f32"):
            x = random_array(d, shape)
            g = random_array(d, _out_shape(x, w), "g")
            for select in ("max", "min"):
                attrs = {"select": select, **w}
                grad = not _has_empty_window(x, w)
                samples.append(Sample([x, g], attrs, _scatter, grad=grad, atol=1e-6))
    ties = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    g = np.array([1.0, 10.0, 100.0, 1000.0, 10000.0])
    attrs = {"select": "max", **CASES[0][1]}
    return [*samples, Sample([ties, g], attrs, _scatter, grad=False)]


SAMPLES = {"reduce_window": _reductions(), "select_and_scatter": _scatters()}
