"""Samples of elementwise ops of two operands."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from compiler.ir.types import dtype_of
from tests.op_samples.common import (
    COMPLEX,
    FLOATS,
    INTS,
    SHAPES,
    Sample,
    nasty_pairs,
    random_array,
    wide,
)


def family(
    reference: Callable[..., Any],
    dtypes: tuple[str, ...],
    low: float = -2.0,
    high: float = 2.0,
    nasties: tuple[str, ...] = ("bf16", "f32", "f64", "i8", "u8", "i32", "u64"),
    attrs: dict[str, Any] | None = None,
    ulp: float = 2.0,
) -> list[Sample]:
    """Every dtype once, every shape, every pair of nasty values."""
    attrs = attrs or {}
    main = "f64" if "f64" in dtypes else "i32"
    cases = [(d, (2, 3)) for d in dtypes] + [(main, shape) for shape in SHAPES]
    samples = [
        Sample(
            [random_array(d, s, f"{i}", low, high) for i in range(2)],
            attrs,
            wide(reference),
            ulp=ulp,
        )
        for d, s in cases
    ]
    for d in (d for d in dtypes if d in nasties):
        pair = nasty_pairs(d)
        samples.append(Sample(pair, attrs, wide(reference), grad=False, ulp=ulp))
    return samples


def python_ints(function: Callable[[int, int, int], int]) -> Callable[..., Any]:
    """An integer reference in Python, wrapped to the dtype; floats through NumPy."""

    def apply(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        bits = dtype_of(p.dtype).bits
        pairs = zip(p.ravel().tolist(), q.ravel().tolist(), strict=True)
        words = [function(a, b, bits) % (1 << bits) for a, b in pairs]
        unsigned = np.array(words, np.dtype(f"u{p.dtype.itemsize}"))
        return unsigned.view(p.dtype).reshape(p.shape)

    return apply


def _either(integer: Callable[..., Any], inexact: Callable[..., Any]) -> Any:
    ints = python_ints(integer)
    return lambda p, q: (ints if p.dtype.kind in "iu" else inexact)(p, q)


def _divide(a: int, b: int, bits: int) -> int:
    if b == 0:
        return 0
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def _remainder(a: int, b: int, bits: int) -> int:
    return a - b * _divide(a, b, bits) if b else 0


def _power(a: int, b: int, bits: int) -> int:
    if b >= 0:
        return pow(a, b, 1 << bits)
    return 0 if abs(a) != 1 else (a if b % 2 else 1)


def _count(b: int, bits: int) -> int:
    return b if 0 <= b < bits else bits


def _left(a: int, b: int, bits: int) -> int:
    return a << _count(b, bits)


def _right(a: int, b: int, bits: int) -> int:
    return (a % (1 << bits)) >> _count(b, bits)


def _arithmetic(a: int, b: int, bits: int) -> int:
    top = a >> (bits - 1) & 1
    signed = a - (1 << bits) if top and a > 0 else a
    return signed >> min(_count(b, bits), bits)


def _ordered(pick: Callable[..., float]) -> Callable[..., Any]:
    """An extremum of Python floats: NaN wins, -0 is below +0."""

    def one(a: float, b: float) -> float:
        if math.isnan(a) or math.isnan(b):
            return math.nan
        return pick(a, b, key=lambda v: (v, math.copysign(1, v)))

    def apply(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        if p.dtype.kind != "f":
            return np.maximum(p, q) if pick is max else np.minimum(p, q)
        pairs = zip(p.ravel().tolist(), q.ravel().tolist(), strict=True)
        return np.array([one(a, b) for a, b in pairs], p.dtype).reshape(p.shape)

    return apply


NUMBERS = FLOATS + COMPLEX + INTS
REALS = FLOATS + INTS
LOGICAL = ("bool", *INTS)
_COMPARE = {
    "EQ": np.equal,
    "NE": np.not_equal,
    "LT": np.less,
    "LE": np.less_equal,
    "GT": np.greater,
    "GE": np.greater_equal,
}


def _compare() -> list[Sample]:
    samples = []
    for direction in _COMPARE:
        dtypes = ("bool", "f32", "f64", "bf16", "i8", "u64")
        dtypes += COMPLEX if direction in ("EQ", "NE") else ()
        nasties = ("f32", "i8", "bf16")
        attrs = {"direction": direction}

        def reference(p: Any, q: Any, direction: str) -> Any:
            return _COMPARE[direction](p, q)

        samples += family(reference, dtypes, attrs=attrs, nasties=nasties)
    return samples


SAMPLES = {
    "add": family(np.add, NUMBERS),
    "subtract": family(np.subtract, NUMBERS),
    "multiply": family(np.multiply, NUMBERS),
    "divide": family(_either(_divide, np.divide), NUMBERS, 0.5, 2),
    "remainder": family(_either(_remainder, np.fmod), REALS, 0.3, 5),
    "power": [
        *family(_either(_power, np.power), NUMBERS, 0.3, 3),
    ],
    "atan2": family(np.arctan2, FLOATS, 0.2, 2),
    "maximum": family(_ordered(max), ("bool", *REALS)),
    "minimum": family(_ordered(min), ("bool", *REALS)),
    "and": family(np.bitwise_and, LOGICAL),
    "or": family(np.bitwise_or, LOGICAL),
    "xor": family(np.bitwise_xor, LOGICAL),
    "shift_left": family(python_ints(_left), INTS),
    "shift_right_logical": family(python_ints(_right), INTS),
    "shift_right_arithmetic": family(python_ints(_arithmetic), INTS),
    "compare": _compare(),
}
