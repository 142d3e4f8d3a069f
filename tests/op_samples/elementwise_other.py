"""Samples of select, clamp, conversions and complex parts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from compiler.ir.types import ALL_DTYPES, DType, dtype_of
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


def _select() -> list[Sample]:
    cases = [(d.name, (2, 3)) for d in ALL_DTYPES] + [("f64", s) for s in SHAPES]
    return [
        Sample(
            [random_array("bool", s), random_array(d, s, "p"), random_array(d, s, "q")],
            {},
            np.where,
        )
        for d, s in cases
    ]


def _clamp() -> list[Sample]:
    samples = []
    for d, s in [(d, (2, 5)) for d in FLOATS + INTS] + [("f64", s) for s in SHAPES]:
        low, high = random_array(d, s, "low", -1, 0), random_array(d, s, "high", 0, 1)
        x = random_array(d, s, "x", -2, 2)
        reference = wide(lambda low, x, high: np.minimum(np.maximum(x, low), high))
        samples.append(Sample([low, x, high], {}, reference))
    x = nasty("f32")
    low, high = np.full_like(x, -1), np.full_like(x, 2)
    clip = wide(lambda low, x, high: np.clip(x, low, high))
    return [*samples, Sample([low, x, high], {}, clip, grad=False)]


def _to_integer(value: float, dtype: DType) -> int:
    info = np.iinfo(dtype.np)
    if math.isnan(value):
        return 0
    if math.isinf(value):
        return int(info.max if value > 0 else info.min)
    return min(max(math.trunc(value), int(info.min)), int(info.max))


def _convert_reference(x: np.ndarray, *, dtype: DType) -> np.ndarray:
    source = dtype_of(x.dtype)
    if source.is_float and dtype.is_integer:
        values = [_to_integer(float(v), dtype) for v in x.ravel()]
        return np.array(values, dtype.np).reshape(x.shape)
    if source.is_complex and not dtype.is_complex:
        return _convert_reference(x.real, dtype=dtype)
    return x != 0 if dtype.name == "bool" else x.astype(dtype.np)


def _convert() -> list[Sample]:
    samples = []
    for target in ALL_DTYPES:
        for source in ALL_DTYPES:
            x = random_array(source.name, (2, 3), target.name)
            grad = target.name in ("f64", "c128")  # the others are too coarse
            samples.append(Sample([x], {"dtype": target}, _convert_reference, grad))
        for source in ("f16", "bf16", "f32", "f64", "i8", "i64", "u64"):
            x = nasty(source)
            attrs = {"dtype": target}
            samples.append(Sample([x], attrs, _convert_reference, grad=False))
    big = np.array([2.0**31, -(2.0**31) - 1, 2.0**63, 2.0**64, -1.5, 127.9, 255.5])
    for target in INTS:
        attrs = {"dtype": dtype_of(target)}
        samples.append(Sample([big], attrs, _convert_reference, grad=False))
    return samples


def _bitcast() -> list[Sample]:
    pairs = [("f32", "i32"), ("f32", "u32"), ("i64", "f64"), ("bf16", "u16")]
    pairs += [("f16", "i16"), ("f64", "u64"), ("i8", "u8"), ("f32", "f32")]

    def reference(x: np.ndarray, *, dtype: DType) -> np.ndarray:
        return np.frombuffer(x.tobytes(), dtype.np).reshape(x.shape)

    return [
        Sample([x], {"dtype": dtype_of(b)}, reference)
        for a, b in pairs
        for x in (random_array(a, (2, 3)), nasty(a))
    ]


def _unary(reference: Any, dtypes: tuple[str, ...]) -> list[Sample]:
    cases = [(d, (2, 3)) for d in dtypes] + [("f64", s) for s in SHAPES]
    samples = [Sample([random_array(d, s)], {}, wide(reference)) for d, s in cases]
    return [*samples, Sample([nasty("f32")], {}, reference, grad=False)]


def _complex() -> list[Sample]:
    cases = [("f32", (2, 3)), *(("f64", s) for s in SHAPES)]
    samples = []
    for d, s in cases:
        parts = [random_array(d, s, "re"), random_array(d, s, "im")]
        dtype = np.complex64 if d == "f32" else np.complex128
        samples.append(Sample(parts, {}, lambda p, q, c=dtype: (p + 1j * q).astype(c)))
    return samples


SAMPLES = {
    "select": _select(),
    "clamp": _clamp(),
    "convert": _convert(),
    "bitcast_convert": _bitcast(),
    "abs": [
        *_unary(np.abs, FLOATS + COMPLEX + INTS),
        Sample([nasty("i8")], {}, np.abs),
        Sample([nasty("u8")], {}, np.abs),
    ],
    "real": _unary(np.real, FLOATS + COMPLEX),
    "imag": _unary(np.imag, FLOATS + COMPLEX),
    "complex": _complex(),
}
