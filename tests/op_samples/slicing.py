"""Samples of slice, pad and their dynamic relatives."""

from __future__ import annotations

import numpy as np

from tests.op_samples.common import Sample, random_array


def _slice(x: np.ndarray, *, start: tuple, limit: tuple, strides: tuple) -> np.ndarray:
    parts = zip(start, limit, strides, strict=True)
    index = np.ix_(*(np.arange(lo, hi, step) for lo, hi, step in parts))
    return x[index] if x.ndim else x


def _slices() -> list[Sample]:
    cases = [
        ((5,), (1,), (4,), (1,)),
        ((5,), (0,), (5,), (2,)),
        ((5,), (1,), (5,), (3,)),
        ((5,), (2,), (2,), (1,)),
        ((4, 6), (1, 0), (3, 6), (1, 4)),
        ((0, 3), (0, 1), (0, 2), (1, 1)),
        ((), (), (), ()),
    ]
    return [
        Sample(
            [random_array(d, shape)],
            {"start": start, "limit": limit, "strides": strides},
            _slice,
        )
        for shape, start, limit, strides in cases
        for d in ("f64", "i16")
    ]


def _pad(
    x: np.ndarray, value: np.ndarray, *, low: tuple, high: tuple, interior: tuple
) -> np.ndarray:
    parts = list(zip(x.shape, low, high, interior, strict=True))
    shape = [lo + n + max(n - 1, 0) * i + hi for n, lo, hi, i in parts]
    out = np.full(shape, value, x.dtype)
    for place in np.ndindex(*x.shape):
        at = tuple(
            p * (i + 1) + lo for p, lo, i in zip(place, low, interior, strict=True)
        )
        if all(0 <= a < n for a, n in zip(at, shape, strict=True)):
            out[at] = x[place]
    return out


def _pads() -> list[Sample]:
    cases = [
        ((3,), (1,), (2,), (0,)),
        ((3,), (0,), (0,), (2,)),
        ((4,), (-1,), (-2,), (0,)),
        ((4,), (-1,), (2,), (1,)),
        ((4,), (2,), (-3,), (0,)),
        ((2, 3), (0, 1), (2, 0), (1, 0)),
        ((2, 3), (-1, -2), (1, 3), (2, 1)),
        ((0, 2), (1, 0), (2, 1), (3, 0)),
        ((1,), (2,), (2,), (4,)),
        ((5,), (-2,), (-3,), (0,)),
        ((2,), (-4,), (4,), (0,)),
        ((), (), (), ()),
    ]
    return [
        Sample(
            [random_array(d, shape), random_array(d, (), "pad")],
            {"low": low, "high": high, "interior": interior},
            _pad,
        )
        for shape, low, high, interior in cases
        for d in ("f64", "i16")
    ]


def _starts(*values: int) -> list[np.ndarray]:
    return [np.asarray(v, np.int64) for v in values]


def _window(x: np.ndarray, starts: tuple, sizes: tuple) -> tuple[slice, ...]:
    parts = zip(x.shape, starts, sizes, strict=True)
    return tuple(
        slice(at, at + size)
        for n, start, size in parts
        for at in [int(np.clip(start, 0, n - size))]
    )


def _dynamic_slice(x: np.ndarray, *starts: np.ndarray, sizes: tuple) -> np.ndarray:
    return x[_window(x, starts, sizes)]


def _update(x: np.ndarray, update: np.ndarray, *starts: np.ndarray) -> np.ndarray:
    out = x.copy()
    out[_window(x, starts, update.shape)] = update
    return out


_DYNAMIC = [
    ((5,), (2,), (1,)),
    ((5,), (2,), (-3,)),
    ((5,), (2,), (9,)),
    ((4, 6), (2, 6), (1, 3)),
    ((4, 6), (1, 0), (2, 2)),
    ((), (), ()),
]

SAMPLES = {
    "slice": _slices(),
    "pad": _pads(),
    "dynamic_slice": [
        Sample([random_array(d, s), *_starts(*at)], {"sizes": sizes}, _dynamic_slice)
        for s, sizes, at in _DYNAMIC
        for d in ("f64", "u8")
    ],
    "dynamic_update_slice": [
        Sample(
            [random_array(d, s), random_array(d, n, "u"), *_starts(*at)], {}, _update
        )
        for s, n, at in _DYNAMIC
        for d in ("f64", "u8")
    ],
}
