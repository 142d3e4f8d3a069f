"""Samples of elementwise ops of one operand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

from tests.op_samples.common import (
    COMPLEX,
    FLOATS,
    INTS,
    SHAPES,
    Sample,
    nasty,
    random_array,
    wide,
)


def _exact_f32(function: Callable[..., Any]) -> Callable[..., Any]:
    """A float64 reference, rounded to the operand's dtype."""
    return lambda x: np.asarray(function(x.astype(np.float64))).astype(x.dtype)


def family(
    reference: Callable[..., Any],
    dtypes: tuple[str, ...] = FLOATS,
    low: float = -2.0,
    high: float = 2.0,
    ulp: float = 2.0,
    nasties: tuple[str, ...] = ("f16", "bf16", "f32", "f64"),
    atol: float = 0.0,
) -> list[Sample]:
    """Every dtype once, every shape in f64, nasty values."""
    reference = wide(reference)
    samples = [
        Sample(
            [random_array(d, (2, 3), low=low, high=high)],
            {},
            reference,
            ulp=ulp,
            atol=atol,
        )
        for d in dtypes
    ]
    for shape in SHAPES:
        x = random_array("f64" if "f64" in dtypes else "i32", shape, low=low, high=high)
        samples.append(Sample([x], {}, reference, ulp=ulp, atol=atol))
    for d in set(nasties) & set(dtypes):
        samples.append(
            Sample([nasty(d)], {}, reference, grad=False, ulp=ulp, atol=atol)
        )
    return samples


BOTH = FLOATS + COMPLEX
NUMBERS = BOTH + INTS


def _rsqrt(x: np.ndarray) -> np.ndarray:
    return 1 / np.sqrt(x)


def _logistic(x: np.ndarray) -> np.ndarray:
    return scipy.special.expit(x) if x.dtype.kind == "f" else 1 / (1 + np.exp(-x))


def _sign(x: np.ndarray) -> np.ndarray:
    return np.where(x == 0, x, np.sign(x))


def _popcount(x: np.ndarray) -> np.ndarray:
    mask = (1 << (8 * x.dtype.itemsize)) - 1
    counts = [bin(int(v) & mask).count("1") for v in x.ravel()]
    return np.array(counts, x.dtype).reshape(x.shape)


def _lgamma(x: np.ndarray) -> np.ndarray:
    """C's lgamma, which is +inf at -inf, where SciPy's is -inf."""
    return np.where(x == -np.inf, np.inf, scipy.special.gammaln(x))


SAMPLES = {
    "negate": family(np.negative, NUMBERS, nasties=(*FLOATS, "i8", "u8", "i64")),
    "sign": family(_sign, FLOATS + INTS, nasties=(*FLOATS, "i8", "u8", "i64")),
    "exponential": family(np.exp, BOTH),
    "exponential_minus_one": family(np.expm1, BOTH),
    "log": family(np.log, BOTH, 0.1, 4),
    "log_plus_one": family(np.log1p, BOTH, -0.9, 4),
    "sqrt": family(np.sqrt, BOTH, 0.1, 4),
    "rsqrt": family(_rsqrt, BOTH, 0.1, 4),
    "cbrt": family(np.cbrt, FLOATS, 0.1, 4),
    "tanh": family(np.tanh, BOTH),
    "logistic": family(_logistic, BOTH, ulp=4),
    "sine": family(np.sin, BOTH),
    "cosine": family(np.cos, BOTH),
    "tan": family(np.tan, BOTH, -1, 1),
    "asin": family(np.arcsin, BOTH, -0.9, 0.9),
    "acos": family(np.arccos, BOTH, -0.9, 0.9),
    "atan": family(np.arctan, BOTH),
    "sinh": family(np.sinh, BOTH),
    "cosh": family(np.cosh, BOTH),
    "asinh": family(np.arcsinh, BOTH),
    "acosh": family(np.arccosh, BOTH, 1.1, 4),
    "atanh": family(np.arctanh, BOTH, -0.9, 0.9),
    "erf": family(_exact_f32(scipy.special.erf), FLOATS),
    "erf_inv": family(_exact_f32(scipy.special.erfinv), FLOATS, -0.95, 0.95, ulp=8),
    "lgamma": [
        *family(_exact_f32(_lgamma), FLOATS, 0.3, 6, ulp=16, atol=1e-15),
        Sample([np.array([-0.5, -1.5, -2.25])], {}, _lgamma, ulp=16, atol=1e-15),
    ],
    "digamma": [
        *family(
            _exact_f32(scipy.special.digamma),
            FLOATS,
            0.3,
            6,
            ulp=32,
            nasties=(),
            atol=1e-14,
        ),
        Sample([np.array([-0.5, -1.4, -7.9])], {}, scipy.special.digamma, atol=1e-14),
        Sample(
            [np.array([0.0, -0.0, -1.0, np.inf, np.nan, 1e-8, 1e6])],
            {},
            scipy.special.digamma,
            grad=False,
            ulp=8,
        ),
    ],
    "floor": family(np.floor),
    "ceil": family(np.ceil),
    "round_nearest_even": family(np.rint),
    "is_finite": family(np.isfinite),
    "not": [
        *family(np.invert, INTS, nasties=("i8", "u8")),
        Sample([random_array("bool", (2, 3))], {}, np.logical_not),
    ],
    "popcnt": family(_popcount, INTS, nasties=("i8", "u8", "i64", "u64")),
}
