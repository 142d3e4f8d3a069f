"""Derivatives of derivatives: every vjp rule differentiated by the rules of its ops."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from compiler.ir import op as op_table
from compiler.ir.builder import BuilderOps
from compiler.ir.op import Kind, Op
from compiler.ir.types import TensorType, type_of_array
from tests.numpy_builder import NumpyBuilder
from tests.op_samples import ALL, Sample

TABLE = op_table.table()
B = NumpyBuilder()


@dataclass
class Dual:
    """A value with its tangent (None for zero)."""

    value: Any
    tangent: Any = None


class DualBuilder(BuilderOps):
    """Forward-mode differentiation of whatever a rule computes."""

    def apply(self, op: Op, inputs: tuple[Any, ...], attrs: Mapping[str, Any]) -> Any:
        """Evaluate an op together with its jvp."""
        xs = tuple(x.value for x in inputs)
        y = B.apply(op, xs, attrs)
        ts = tuple(x.tangent for x in inputs)
        tangent = None
        if any(t is not None for t in ts):
            assert op.jvp is not None or not op.differentiable, op
            tangent = op.jvp(B, ts, y, *xs, **attrs) if op.jvp else None
        if not isinstance(y, tuple):
            return Dual(y, tangent)
        parts = tangent if tangent is not None else (None,) * len(y)
        return tuple(map(Dual, y, parts))

    def type_of(self, x: Dual) -> TensorType:
        """The type of the value."""
        return type_of_array(x.value)


def inexact(x: np.ndarray) -> bool:
    return x.dtype in (np.float64, np.complex128)


# The vjp of a composite of many steps has the derivative of each step tested already.
PER_OP = 4


def _small(sample: Sample) -> bool:
    return sum(x.size for x in sample.inputs) <= 60


CASES = [
    pytest.param(TABLE[name], sample, id=f"{name}-{i}")
    for name, samples in sorted(ALL.items())
    if TABLE[name].vjp and TABLE[name].kind is not Kind.CONTROL
    for i, sample in enumerate(
        [s for s in samples if s.grad and _small(s) and any(map(inexact, s.inputs))][
            -PER_OP:
        ]
    )
]


def random_like(x: np.ndarray, seed: str) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(f"{x.shape}{seed}".encode()))
    value = rng.normal(size=x.shape)
    if x.dtype.kind == "c":
        value = value + 1j * rng.normal(size=x.shape)
    return np.asarray(value).astype(x.dtype)


def gradient(
    b: Any, op: Op, g: Any, xs: tuple[Any, ...], attrs: Any
) -> tuple[Any, ...]:
    y = b.apply(op, xs, attrs)
    return op.vjp(b, g, y, *xs, **attrs)


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_derivative_of_the_vjp(op: Op, sample: Sample) -> None:
    y = B.apply(op, tuple(sample.inputs), sample.attrs)
    results = y if isinstance(y, tuple) else (y,)
    gs = tuple(
        random_like(r, f"g{i}") if inexact(r) else None for i, r in enumerate(results)
    )
    g = gs if isinstance(y, tuple) else gs[0]
    ts = [
        random_like(x, f"t{i}") if inexact(x) else None
        for i, x in enumerate(sample.inputs)
    ]
    duals = tuple(map(Dual, sample.inputs, ts))
    dual_gs = tuple(None if part is None else Dual(part) for part in gs)
    dual_g = dual_gs if isinstance(y, tuple) else dual_gs[0]
    ours = gradient(DualBuilder(), op, dual_g, duals, sample.attrs)
    step = 1e-6

    def moved(sign: int) -> tuple[Any, ...]:
        xs = tuple(
            x if t is None else np.asarray(x + sign * step * t)
            for x, t in zip(sample.inputs, ts, strict=True)
        )
        return gradient(B, op, g, xs, sample.attrs)

    for dual, up, down in zip(ours, moved(1), moved(-1), strict=True):
        if dual is None:
            continue
        numeric = (up - down) / (2 * step)
        tangent = np.zeros_like(numeric) if dual.tangent is None else dual.tangent
        scale = 1 + np.abs(numeric).max(initial=0)
        np.testing.assert_allclose(tangent, numeric, rtol=1e-5, atol=1e-6 * scale)
