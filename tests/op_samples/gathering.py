"""Samples of gather and scatter, against loops over places."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.op_samples.common import Sample, random_array

# operand shape, indices shape without the vector axis, dims, batch
CASES: list[tuple[Any, ...]] = [
    ((5,), (3,), (0,), 0),
    ((5,), (), (0,), 0),
    ((5, 3), (4,), (0,), 0),
    ((5, 3), (2, 2), (1,), 0),
    ((4, 3, 2), (3,), (0, 1), 0),
    ((4, 3, 2), (3,), (2, 0), 0),
    ((2, 5), (2, 4), (1,), 1),
    ((2, 3, 4), (2, 3), (2,), 1),
    ((2, 3, 4), (2, 3, 5), (2,), 2),
    ((5, 0), (3,), (0,), 0),
    ((5, 3), (0,), (0,), 0),
    ((3, 2), (4,), (), 0),
    ((1, 1), (3,), (0,), 0),
]


def _places(
    x_shape: Any, ind: np.ndarray, dims: Any, batch: int, mode: str
) -> Iterator[tuple[tuple, tuple]]:
    """Pairs of the place in the result and the index into the operand."""
    rest = [d for d in range(batch, len(x_shape)) if d not in dims]
    for lead in np.ndindex(*ind.shape[:-1]):
        at: list[Any] = [slice(None)] * len(x_shape)
        at[:batch] = lead[:batch]
        inside = True
        for d, i in zip(dims, ind[lead], strict=True):
            inside &= bool(0 <= i < x_shape[d])
            at[d] = min(max(int(i), 0), x_shape[d] - 1)
        if inside or mode == "clip":
            yield (*lead, *(slice(None) for _ in rest)), tuple(at)


def _gather(x: np.ndarray, ind: np.ndarray, **attrs: Any) -> np.ndarray:
    dims, batch = attrs["dims"], attrs["batch"]
    rest = [x.shape[d] for d in range(batch, x.ndim) if d not in dims]
    out = np.zeros((*ind.shape[:-1], *rest), x.dtype)
    for place, at in _places(x.shape, ind, **attrs):
        out[place] = x[at]
    return out


_FOLD = {
    "set": lambda a, b: b,
    "add": np.add,
    "mul": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
}


def _scatter(
    x: np.ndarray, ind: np.ndarray, u: np.ndarray, *, combine: str, **attrs: Any
) -> np.ndarray:
    wide = np.float32 if x.dtype.itemsize == 2 and x.dtype.kind in "fV" else x.dtype
    out = x.astype(wide)
    for place, at in _places(x.shape, ind, **attrs):
        out[at] = _FOLD[combine](out[at], u[place].astype(wide))
    return out.astype(x.dtype)


def _indices(case: Any, dtype: type = np.int64) -> np.ndarray:
    x_shape, lead, dims, _ = case
    rng = np.random.default_rng(len(lead) + sum(lead))
    columns = [rng.integers(-2, x_shape[d] + 2, lead) for d in dims]
    if not columns:
        return np.zeros((*lead, 0), dtype)
    return np.stack(columns, axis=-1).astype(dtype)


def _samples() -> dict[str, list[Sample]]:
    gathers, scatters = [], []
    for case in CASES:
        x_shape, _, dims, batch = case
        for mode in ("clip", "fill"):
            attrs = {"dims": dims, "batch": batch, "mode": mode}
            x, ind = random_array("f64", x_shape), _indices(case)
            gathers.append(Sample([x, ind], attrs, _gather))
            updates = random_array("f64", _gather(x, ind, **attrs).shape, "u")
            for combine in _FOLD:
                scattered = {**attrs, "combine": combine}
                sample = Sample([x, ind, updates], scattered, _scatter, atol=1e-14)
                scatters.append(sample)
    attrs = {"dims": (0,), "batch": 0, "mode": "clip"}
    for d in ("bool", "bf16", "f16", "f32", "c64", "i8", "u64"):
        x, ind = random_array(d, (5, 3)), _indices(CASES[2], np.int32)
        gathers.append(Sample([x, ind], attrs, _gather))
        for combine in ("set",) if d in ("bool", "c64") else tuple(_FOLD):
            updates = random_array(d, (4, 3), "u")
            scattered = {**attrs, "combine": combine}
            scatters.append(Sample([x, ind, updates], scattered, _scatter, ulp=8))
    return {"gather": gathers, "scatter": scatters}


SAMPLES = _samples()
