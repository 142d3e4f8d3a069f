"""Samples of the linear-algebra ops. Factors are checked by multiplying them in
`tests/test_ops_linalg.py`; the eigenvectors of a complex matrix have a free phase, so
that finite differences say nothing about them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.op_samples.common import Sample, random_array

STACKS = [(3, 3), (1, 1), (2, 4, 4), (0, 3, 3), (0, 0)]
DTYPES = ("f64", "f32", "c128", "c64")


def positive(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Positive definite up to its skew part, which the op ignores."""
    x = random_array(dtype, shape)
    square = x @ np.conj(np.swapaxes(x, -1, -2))
    skew = random_array(dtype, shape, "skew") * x.dtype.type(0.1)
    eye = 2 * np.eye(shape[-1], dtype=x.dtype)
    return square + eye + skew - np.conj(np.swapaxes(skew, -1, -2))


def _cholesky(x: np.ndarray) -> np.ndarray:
    return np.linalg.cholesky((x + np.conj(np.swapaxes(x, -1, -2))) / 2)


def well_conditioned(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """A matrix far from singular, so that all tolerances can be tight."""
    x = random_array(dtype, shape)
    eye = np.eye(*shape[-2:], dtype=x.dtype)
    return x + 3 * eye


def _solve(a: np.ndarray, x: np.ndarray, **attrs: Any) -> np.ndarray:
    part = np.tril(a) if attrs["lower"] else np.triu(a)
    if attrs["unit_diagonal"]:
        n = a.shape[-1]
        part = part.copy()
        part[..., np.arange(n), np.arange(n)] = 1
    if attrs["transpose"] != "none":
        part = np.swapaxes(part, -1, -2)
    if attrs["transpose"] == "adjoint":
        part = np.conj(part)
    if attrs["left"]:
        return np.linalg.solve(part, x)
    turned = np.linalg.solve(np.swapaxes(part, -1, -2), np.swapaxes(x, -1, -2))
    return np.ascontiguousarray(np.swapaxes(turned, -1, -2))


def _solves() -> list[Sample]:
    samples = []
    for d in DTYPES:
        for left in (False, True):
            for lower in (False, True):
                for transpose in ("none", "transpose", "adjoint"):
                    for unit in (False, True):
                        attrs = {
                            "left": left,
                            "lower": lower,
                            "transpose": transpose,
                            "unit_diagonal": unit,
                        }
                        a = well_conditioned(d, (3, 3))
                        x = random_array(d, (3, 2) if left else (2, 3))
                        atol = 1e-12 if d in ("f64", "c128") else 1e-3
                        samples.append(Sample([a, x], attrs, _solve, atol=atol))
    attrs = {"left": True, "lower": True, "transpose": "none", "unit_diagonal": False}
    for a_shape, x_shape in (
        ((2, 3, 3), (2, 3, 4)),
        ((1, 1), (1, 1)),
        ((0, 0), (0, 2)),
    ):
        a, x = well_conditioned("f64", a_shape), random_array("f64", x_shape)
        samples.append(Sample([a, x], attrs, _solve, atol=1e-12))
    return samples


def _plain(shapes: Any, complex_grad: bool, **attrs: Any) -> list[Sample]:
    return [
        Sample(
            [well_conditioned(d, shape)],
            dict(attrs),
            grad=complex_grad or d == "f64",
            atol=1e-12 if d in ("f64", "c128") else 1e-4,
        )
        for d in DTYPES
        for shape in shapes
    ]


TALL = [(4, 3), (3, 3), (1, 1), (2, 4, 2)]
WIDE = [(3, 4), (2, 2, 3)]


def _no_gradient(samples: list[Sample]) -> list[Sample]:
    for sample in samples:
        sample.grad = False
    return samples


SAMPLES = {
    "cholesky": [
        Sample(
            [positive(d, s)], {}, _cholesky, ulp=64, atol=1e-5 if "4" not in d else 0
        )
        for d in ("f64", "f32", "c128")
        for s in STACKS
    ],
    "triangular_solve": _solves(),
    "lu": [
        *_plain(STACKS, True),
        *_no_gradient(_plain([(4, 3), (3, 4), (2, 3, 2)], False)),
    ],
    "qr": [
        *_plain(TALL, True, full=False),
        *_no_gradient(_plain(WIDE, False, full=False)),
        *_no_gradient(_plain([(4, 3), (3, 4)], False, full=True)),
    ],
    "eigh": _plain(STACKS, False),
    "svd": [
        *_plain([*TALL, *WIDE], False, full=False),
        *_plain([(3, 3)], False, full=True),
        *_no_gradient(_plain([(4, 3), (3, 4)], False, full=True)),
    ],
}
