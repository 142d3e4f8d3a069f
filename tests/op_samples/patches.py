"""Samples of patches."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.op_samples.common import Sample, random_array

CASES: list[tuple[tuple[int, ...], dict[str, tuple[int, ...]]]] = [
    ((2, 6, 3), {"window": (3,)}),
    ((1, 7, 2), {"window": (3,), "strides": (2,), "low": (1,), "high": (2,)}),
    ((2, 4, 1), {"window": (2,), "dilation": (3,), "low": (2,), "high": (1,)}),
    ((2, 4, 3), {"window": (3,), "spacing": (2,), "low": (1,), "high": (1,)}),
    ((1, 3, 2), {"window": (2,), "spacing": (3,), "low": (-1,), "high": (0,)}),
    ((2, 4, 5, 3), {"window": (3, 2), "strides": (2, 1), "low": (1, 0)}),
    ((2, 3, 3, 1), {"window": (1, 1)}),
    ((0, 5, 2), {"window": (2,)}),
]


def _attrs(shape: tuple[int, ...], given: dict[str, Any]) -> dict[str, Any]:
    ones, zeros = (1,) * (len(shape) - 2), (0,) * (len(shape) - 2)
    defaults = {
        "strides": ones,
        "dilation": ones,
        "spacing": ones,
        "low": zeros,
        "high": zeros,
    }
    return {**defaults, **given}


def reference(x: np.ndarray, **w: Any) -> np.ndarray:
    """One element at a time, from the definition."""
    names = ("window", "strides", "low", "high", "dilation", "spacing")
    rows = list(zip(*(w[n] for n in names), strict=True))
    sizes = []
    for n, (k, s, lo, hi, d, gap) in zip(x.shape[1:-1], rows, strict=True):
        sizes.append(((n - 1) * gap + 1 + lo + hi - ((k - 1) * d + 1)) // s + 1)
    out = np.zeros((x.shape[0], *sizes, *w["window"], x.shape[-1]), x.dtype)
    n = len(sizes)
    for at in np.ndindex(*sizes, *w["window"]):
        place = []
        for p, k, row, size in zip(at[:n], at[n:], rows, x.shape[1:-1], strict=True):
            q, rest = divmod(p * row[1] + k * row[4] - row[2], row[5])
            place.append(q if rest == 0 and 0 <= q < size else None)
        if None not in place:
            out[(slice(None), *at)] = x[(slice(None), *place)]
    return out


SAMPLES = {
    "patches": [
        Sample(
            [random_array(dtype, shape)],
            _attrs(shape, given),
            reference,
            grad=False,
            batch=False,
        )
        for shape, given in CASES
        for dtype in ("f32", "f64", "i32")
    ]
}
