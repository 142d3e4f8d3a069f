"""Every op, compiled: kernels and library calls agree with `evaluate`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import compiler.ops  # noqa: F401
from compiler.driver import compile_graph
from compiler.ir import op as op_table
from compiler.ir.builder import GraphBuilder, infer_types
from compiler.ir.op import Op
from compiler.ir.types import type_of_array
from compiler.options import Options
from tests.op_samples import ALL, Sample

TABLE = op_table.table()
CHUNK = 60
# Angles beyond this are reduced inexactly by the kernels' own functions.
PERIODIC, PERIODIC_RANGE = {"sine", "cosine", "tan"}, 1e5
# Their relative error is not bounded near zeros; `scalar_math` bounds the absolute one.
ABSOLUTE = {"lgamma": 1e-4, "digamma": 1e-4}


def _cases() -> Iterator[object]:
    for name, samples in sorted(ALL.items()):
        for first in range(0, len(samples), CHUNK):
            part = samples[first : first + CHUNK]
            yield pytest.param(TABLE[name], part, id=f"{name}-{first}")


@pytest.mark.parametrize(("op", "samples"), list(_cases()))
def test_compiled_equals_evaluate(op: Op, samples: list[Sample]) -> None:
    b = GraphBuilder(op.name)
    outputs, counts = [], []
    for sample in samples:
        params = [b.parameter(type_of_array(x)) for x in sample.inputs]
        results = b.apply(op, tuple(params), sample.attrs)
        results = results if isinstance(results, tuple) else (results,)
        outputs += results
        counts.append(len(results))
    arrays = [np.array(x) for s in samples for x in s.inputs]
    found = iter(compile_graph(b.build(outputs), Options())(arrays))
    for sample, count in zip(samples, counts, strict=True):
        with np.errstate(all="ignore"):
            want = op.evaluate(*sample.inputs, **sample.attrs)
        wanted = want if isinstance(want, tuple) else (want,)
        types = tuple(type_of_array(x) for x in sample.inputs)
        for type_, expected in zip(
            infer_types(op, types, sample.attrs), wanted, strict=True
        ):
            _compare(op, sample, next(found), expected, type_.dtype.is_inexact)
        assert count == len(wanted)


def _compare(
    op: Op, sample: Sample, got: np.ndarray, want: np.ndarray, inexact: bool
) -> None:
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    if not inexact:
        np.testing.assert_array_equal(got, want)
        return
    wide = np.complex128 if got.dtype.kind == "c" else np.float64
    half = got.dtype.itemsize == 2
    eps = (2.0**-7 if got.dtype.kind == "V" else 2.0**-10) if half else 0.0
    eps = eps or float(np.finfo(got.dtype).eps)
    got, want = got.astype(wide), want.astype(wide)
    if op.name in PERIODIC and wide is np.float64:
        fine = ~(np.abs(sample.inputs[0].astype(np.float64)) > PERIODIC_RANGE)
        got, want = got[fine], want[fine]
    tiny = 2.0**-23 if half else 1e-44 if eps > 1e-10 else 0.0
    scale = float(np.max(np.abs(want[np.isfinite(want)]), initial=0.0))
    summed = op.kind.value in ("reduction", "contraction", "extern")
    atol = max(tiny, sample.atol, 16 * eps * scale if summed else 0.0)
    atol = max(atol, ABSOLUTE.get(op.name, 0.0))
    np.testing.assert_allclose(got, want, rtol=16 * eps, atol=atol, err_msg=op.name)
