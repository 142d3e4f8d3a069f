"""Samples of running reductions."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.op_samples.common import FLOATS, INTS, Sample, nasty, random_array, wide


def family(ufunc: np.ufunc, dtypes: tuple[str, ...]) -> list[Sample]:
    """Each axis both ways, every dtype, empty and size-1 axes, NaN, zeros."""

    def reference(x: np.ndarray, *, axis: int, reverse: bool) -> np.ndarray:
        out = x.copy()
        order = range(x.shape[axis])
        running: Any = None
        for i in reversed(order) if reverse else order:
            place = (*(slice(None),) * axis, i)
            running = x[place] if running is None else ufunc(running, x[place])
            out[place] = running
        return out

    cases = [("f64", s) for s in ((5,), (2, 3), (1,), (0,), (2, 0, 3), (3, 7))]
    cases += [(d, (2, 3)) for d in dtypes]
    samples = [
        Sample(
            [random_array(d, s)],
            {"axis": axis, "reverse": reverse},
            wide(reference),
            ulp=8,
        )
        for d, s in cases
        for axis in range(len(s))
        for reverse in (False, True)
    ]
    attrs = {"axis": 0, "reverse": False}
    samples.append(Sample([nasty("f32")], attrs, reference, grad=False))
    return samples


def _zeros(reverse: bool) -> Sample:
    x = np.array([2.0, 0.0, 3.0, 0.0, 4.0])
    attrs = {"axis": 0, "reverse": reverse}
    flip = slice(None, None, -1 if reverse else 1)
    return Sample([x], attrs, lambda x, **_: np.cumprod(x[flip])[flip])


SAMPLES = {
    "cumulative_sum": family(np.add, FLOATS + INTS + ("c64", "c128")),
    "cumulative_prod": [
        *family(np.multiply, FLOATS + INTS),
        _zeros(False),
        _zeros(True),
    ],
    "cumulative_max": family(np.maximum, FLOATS + INTS),
    "cumulative_min": family(np.minimum, FLOATS + INTS),
}
