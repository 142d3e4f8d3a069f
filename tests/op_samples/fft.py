"""Samples of the Fourier transforms, against the sums that define them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.op_samples.common import Sample, random_array


def _transform(x: np.ndarray, axis: int, sign: int) -> np.ndarray:
    n = x.shape[axis]
    phase = np.outer(np.arange(n), np.arange(n)) * (sign * 2j * np.pi / n)
    return np.moveaxis(np.moveaxis(x, axis, -1) @ np.exp(phase), -1, axis)


def _reference(x: np.ndarray, *, kind: str, length: tuple[int, ...]) -> Any:
    axes = range(x.ndim - len(length), x.ndim)
    wide = x.astype(np.complex128)
    single = x.dtype in (np.float32, np.complex64)
    if kind == "irfft":
        full = np.zeros((*x.shape[:-1], length[-1]), np.complex128)
        for axis in list(axes)[:-1]:
            wide = _transform(wide, axis, 1) / x.shape[axis]
        full[..., : x.shape[-1]] = wide
        for k in range(1, (length[-1] + 1) // 2):
            full[..., length[-1] - k] = np.conj(wide[..., k])
        full[..., 0] = full[..., 0].real
        if length[-1] % 2 == 0:
            full[..., length[-1] // 2] = full[..., length[-1] // 2].real
        result = _transform(full, x.ndim - 1, 1).real / length[-1]
        return result.astype(np.float32 if single else np.float64)
    for axis in axes:
        wide = _transform(wide, axis, 1 if kind == "ifft" else -1)
        if kind == "ifft":
            wide = wide / x.shape[axis]
    if kind == "rfft":
        wide = wide[..., : length[-1] // 2 + 1]
    return wide.astype(np.complex64 if single else np.complex128)


CASES = [((6,), (6,)), ((3, 5), (5,)), ((3, 4), (3, 4)), ((2, 3, 4), (2, 3, 4))]
CASES += [((1,), (1,)), ((0, 4), (4,)), ((2, 5, 2), (5, 2))]


def _samples() -> list[Sample]:
    samples = []
    for shape, length in CASES:
        half = (*shape[:-1], shape[-1] // 2 + 1)
        for kind, single, double, operand in (
            ("fft", "c64", "c128", shape),
            ("ifft", "c64", "c128", shape),
            ("rfft", "f32", "f64", shape),
            ("irfft", "c64", "c128", half),
        ):
            attrs = {"kind": kind, "length": length}
            for d, atol in ((single, 1e-5), (double, 1e-13)):
                x = random_array(d, operand)
                samples.append(Sample([x], attrs, _reference, atol=atol))
    return samples


SAMPLES = {"fft": _samples()}
