"""Samples of dot_general."""

from __future__ import annotations

import string

import numpy as np

from tests.op_samples.common import COMPLEX, FLOATS, INTS, Sample, random_array, wide


def _einsum(
    p: np.ndarray, q: np.ndarray, *, contract: tuple, batch: tuple
) -> np.ndarray:
    letters = iter(string.ascii_letters)
    left = [next(letters) for _ in range(p.ndim)]
    right = [next(letters) for _ in range(q.ndim)]
    for pair in (contract, batch):
        for i, j in zip(*pair, strict=True):
            right[j] = left[i]
    out = [left[i] for i in batch[0]]
    out += [c for i, c in enumerate(left) if i not in (*contract[0], *batch[0])]
    out += [c for j, c in enumerate(right) if j not in (*contract[1], *batch[1])]
    spec = f"{''.join(left)},{''.join(right)}->{''.join(out)}"
    return np.einsum(spec, p, q).astype(p.dtype)


NONE = ((), ())
CASES = [
    ((2, 3), (3, 4), ((1,), (0,)), NONE),
    ((3, 2), (3, 4), ((0,), (0,)), NONE),
    ((2, 3), (4, 3), ((1,), (1,)), NONE),
    ((3, 2), (4, 3), ((0,), (1,)), NONE),
    ((3,), (3,), ((0,), (0,)), NONE),
    ((3,), (2,), NONE, NONE),
    ((), (2,), NONE, NONE),
    ((2, 3), (3,), ((1,), (0,)), NONE),
    ((5, 2, 3), (5, 3, 4), ((2,), (1,)), ((0,), (0,))),
    ((2, 5, 3), (3, 4, 5), ((2,), (0,)), ((1,), (2,))),
    ((2, 3, 4), (4, 3, 5), ((1, 2), (1, 0)), NONE),
    ((2, 3, 4), (4, 3, 5), ((2, 1), (0, 1)), NONE),
    ((2, 3, 4), (2, 3), NONE, ((0, 1), (0, 1))),
    ((3, 2, 4), (2, 3), NONE, ((1, 0), (0, 1))),
    ((0, 3), (3, 2), ((1,), (0,)), NONE),
    ((2, 0), (0, 3), ((1,), (0,)), NONE),
    ((1, 1), (1, 4), ((1,), (0,)), NONE),
    ((6, 2, 3), (3, 4), ((2,), (0,)), NONE),
]

SAMPLES = {
    "dot_general": [
        Sample(
            [random_array(d, s, "p"), random_array(d, r, "q")],
            {"contract": contract, "batch": batch},
            wide(_einsum),
            ulp=64,
            atol=1e-14 if d == "f64" else 1e-5,
        )
        for s, r, contract, batch in CASES
        for d in ("f64", "f32")
    ]
    + [
        Sample(
            [random_array(d, (2, 3), "p"), random_array(d, (3, 4), "q")],
            {"contract": ((1,), (0,)), "batch": NONE},
            wide(_einsum),
            ulp=64,
        )
        for d in FLOATS + COMPLEX + INTS
    ],
}
