"""Samples of convolution and its gradients, against loops over the definition."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from tests.op_samples.common import Sample, random_array, wide

# input shape, filter shape, strides, low, high, dilation, groups
CASES: list[tuple[Any, ...]] = [
    ((2, 5, 3), (3, 3, 4), (1,), (0,), (0,), (1,), 1),
    ((2, 6, 2), (3, 2, 4), (2,), (1,), (1,), (1,), 1),
    ((1, 7, 2), (2, 1, 4), (2,), (0,), (1,), (3,), 2),
    ((2, 5, 4, 3), (3, 3, 3, 2), (1, 1), (1, 1), (1, 1), (1, 1), 1),
    ((2, 5, 6, 4), (2, 3, 1, 8), (2, 1), (0, 1), (1, 1), (1, 2), 4),
    ((1, 3, 3, 3, 2), (2, 2, 2, 2, 2), (1, 2, 1), (0, 1, 0), (0, 0, 1), (1, 1, 1), 1),
    ((2, 5, 2), (2, 2, 3), (2,), (-1,), (0,), (1,), 1),
    ((0, 5, 3), (3, 3, 4), (1,), (0,), (0,), (1,), 1),
    ((2, 1, 1), (1, 1, 1), (1,), (0,), (0,), (1,), 1),
    ((2, 2, 1), (3, 1, 2), (1,), (0,), (0,), (1,), 1),
    ((3, 2), (2, 4), (), (), (), (), 1),
]


def _terms(x_shape: Any, w_shape: Any, attrs: dict[str, Any]) -> Any:
    """Index triples ``(input, filter, output)`` of the trilinear form."""
    window, (width, outs) = w_shape[:-2], w_shape[-2:]
    per_group = outs // attrs["groups"]
    positions = _positions(x_shape, w_shape, attrs)
    for p, k in itertools.product(np.ndindex(*positions), np.ndindex(*window)):
        rows = zip(p, k, attrs["strides"], attrs["dilation"], attrs["low"], strict=True)
        s = tuple(i * stride + j * d - lo for i, j, stride, d, lo in rows)
        if all(0 <= a < n for a, n in zip(s, x_shape[1:-1], strict=True)):
            for c, o in itertools.product(range(width), range(outs)):
                channel = o // per_group * width + c
                yield (slice(None), *s, channel), (*k, c, o), (slice(None), *p, o)


def _positions(x_shape: Any, w_shape: Any, attrs: dict[str, Any]) -> tuple[int, ...]:
    names = ("strides", "low", "high", "dilation")
    rows = zip(x_shape[1:-1], w_shape[:-2], *(attrs[n] for n in names), strict=True)
    return tuple(
        max((n + lo + hi - (k - 1) * d - 1) // s + 1, 0) for n, k, s, lo, hi, d in rows
    )


def _forward(x: np.ndarray, w: np.ndarray, **attrs: Any) -> np.ndarray:
    spatial = _positions(x.shape, w.shape, attrs)
    y = np.zeros((x.shape[0], *spatial, w.shape[-1]), x.dtype)
    for i, j, o in _terms(x.shape, w.shape, attrs):
        y[o] += x[i] * w[j]
    return y


def _input(g: np.ndarray, w: np.ndarray, *, shape: Any, **attrs: Any) -> np.ndarray:
    x = np.zeros(shape, g.dtype)
    for i, j, o in _terms(shape, w.shape, attrs):
        x[i] += g[o] * w[j]
    return x


def _filter(x: np.ndarray, g: np.ndarray, *, shape: Any, **attrs: Any) -> np.ndarray:
    w = np.zeros(shape, x.dtype)
    for i, j, o in _terms(x.shape, shape, attrs):
        w[j] += np.sum(x[i] * g[o], dtype=x.dtype)
    return w


_NAMES = ("strides", "low", "high", "dilation", "groups")


def _samples(dtypes: tuple[str, ...], cases: list[Any]) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {
        "convolution": [],
        "convolution_input_gradient": [],
        "convolution_filter_gradient": [],
    }
    for (x_shape, w_shape, *rest), d in itertools.product(cases, dtypes):
        attrs = dict(zip(_NAMES, rest, strict=True))
        spatial = _positions(x_shape, w_shape, attrs)
        x, w = random_array(d, x_shape, "x"), random_array(d, w_shape, "w")
        g = random_array(d, (x_shape[0], *spatial, w_shape[-1]), "g")
        tolerance = {"ulp": 64.0, "atol": 1e-13 if d in ("f64", "c128") else 1e-4}
        for name, operands, shape, reference in (
            ("convolution", [x, w], {}, _forward),
            ("convolution_input_gradient", [g, w], {"shape": x_shape}, _input),
            ("convolution_filter_gradient", [x, g], {"shape": w_shape}, _filter),
        ):
            sample = Sample(operands, {**attrs, **shape}, wide(reference), **tolerance)
            found[name].append(sample)
    return found


_ALL = _samples(("f64",), CASES)
_DTYPES = _samples(("f16", "bf16", "f32", "c64", "i8", "u32", "i64"), [CASES[2]])
SAMPLES = {name: _ALL[name] + _DTYPES[name] for name in _ALL}
