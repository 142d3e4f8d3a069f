"""Samples of sort and top_k, against Python's own sort."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.op_samples.common import INTS, Sample, nasty, random_array


def _key(value: Any) -> tuple[bool, float]:
    number = int(value) if value.dtype.kind in "biu" else float(value)
    return math.isnan(number), 0.0 if math.isnan(number) else number


def _row_order(row: np.ndarray, descending: bool) -> list[int]:
    sign = -1 if descending else 1

    def key(i: int) -> tuple[float, float]:
        nan, number = _key(row[i])
        return sign * nan, sign * number

    return sorted(range(len(row)), key=key)


def _sort(*xs: np.ndarray, axis: int, descending: bool) -> Any:
    results = [x.copy() for x in xs]
    moved = [np.moveaxis(r, axis, -1) for r in results]
    sources = [np.moveaxis(x, axis, -1) for x in xs]
    for place in np.ndindex(*moved[0].shape[:-1]):
        order = _row_order(sources[0][place], descending)
        for r, x in zip(moved, sources, strict=True):
            r[place] = x[place][order]
    return tuple(results) if len(xs) > 1 else results[0]


def _top_k(x: np.ndarray, *, k: int) -> tuple[np.ndarray, np.ndarray]:
    positions = np.zeros((*x.shape[:-1], k), np.int32)
    values = np.zeros((*x.shape[:-1], k), x.dtype)
    for place in np.ndindex(*x.shape[:-1]):
        order = _row_order(x[place], True)[:k]
        positions[place], values[place] = order, x[place][order]
    return values, positions


def _sorts() -> list[Sample]:
    cases = [
        ((5,), 0),
        ((3, 4), 0),
        ((3, 4), 1),
        ((2, 3, 4), 1),
        ((0,), 0),
        ((2, 0), 0),
    ]
    samples = []
    for descending in (False, True):
        for shape, axis in cases:
            attrs = {"axis": axis, "descending": descending}
            x, z = random_array("f64", shape), random_array("f64", shape, "z")
            samples.append(Sample([x], attrs, _sort))
            samples.append(Sample([x, z, random_array("i32", shape)], attrs, _sort))
        attrs = {"axis": 0, "descending": descending}
        for d in ("bool", "f16", "bf16", "f32", *INTS):
            samples.append(Sample([random_array(d, (9, 2))], attrs, _sort))
        for d in ("f32", "bf16", "i8", "u64"):
            samples.append(Sample([nasty(d)], attrs, _sort, grad=False))
        ties = np.array([1, 0, 1, 0, 1, 0], np.int8)
        samples.append(Sample([ties, np.arange(6)], attrs, _sort))
    return samples


SAMPLES = {
    "sort": _sorts(),
    "top_k": [
        *(
            Sample([random_array(d, shape)], {"k": k}, _top_k)
            for d in ("f64", "bf16", "u8")
            for shape, k in (
                ((5,), 2),
                ((2, 4), 4),
                ((2, 4), 0),
                ((0, 3), 1),
                ((1,), 1),
            )
        ),
        Sample([nasty("f32")], {"k": 5}, _top_k, grad=False),
        Sample([np.array([3, 1, 3, 2, 3], np.int32)], {"k": 3}, _top_k),
    ],
}
