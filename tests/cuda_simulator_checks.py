"""Checks of CUDA kernels in Numba's simulator; `test_emit_cuda` runs this file.

Pytest does not collect it by itself: the simulator must be chosen before Numba is
imported, so these checks need a process of their own.
"""

from __future__ import annotations

import numpy as np
import pytest

from compiler.errors import ExecutionError
from compiler.ir import types as t
from compiler.kernels import cuda_target
from compiler.kernels.emit_cuda import emit_cuda_source, form_of
from compiler.kernels.emit_numba import emit_source, load_python
from tests import sample_programs as samples
from tests.sample_programs import assert_same

THREADS = 4
RNG = np.random.default_rng(3)


def run_cuda(program, arrays, ints, extent, chunks=1):
    source = emit_cuda_source(program, threads=THREADS)
    cuda_target.launch(program, source, arrays, ints, extent, chunks)


def run_python(program, arrays, ints, extent, chunks=1):
    kernel = load_python(emit_source(program))
    flat = [a.reshape(-1) for a in arrays]
    with np.errstate(all="ignore"):
        for c in range(chunks):
            kernel(extent * c // chunks, extent * (c + 1) // chunks, c, *flat, *ints)


def matrix(rows, columns, dtype=t.f32):
    return RNG.standard_normal((rows, columns)).astype(dtype.np)


def test_simulator_is_on():
    assert cuda_target.simulated()


@pytest.mark.parametrize("dtype", samples.FLOATS, ids=str)
def test_broadcast(dtype):
    x, w = matrix(3, 10, dtype), matrix(1, 10, dtype)[0]
    out, want = np.zeros_like(x), np.zeros_like(x)
    run_cuda(samples.broadcast(dtype), [x, w, out], [10], 3)
    run_python(samples.broadcast(dtype), [x, w, want], [10], 3)
    assert_same(out, want)


@pytest.mark.parametrize("columns", [1, 3, 4, 9])
def test_softmax(columns):
    x = matrix(2, columns)
    out = np.zeros_like(x)
    run_cuda(samples.softmax(), [x, out], [columns], 2)
    want = np.exp(x - x.max(1, keepdims=True))
    np.testing.assert_allclose(out, want / want.sum(1, keepdims=True), rtol=1e-6)


@pytest.mark.parametrize("chunks", [1, 3])
def test_partial_sums(chunks):
    x = matrix(7, 6)
    part = np.full((chunks, 6), np.nan, np.float32)
    run_cuda(samples.column_sums(), [x, part], [6], 7, chunks)
    np.testing.assert_allclose(part.sum(0), x.sum(0), rtol=1e-5)
    totals = np.full(chunks, np.nan)
    run_cuda(samples.total_of_rows(), [x, totals], [6], 7, chunks)
    np.testing.assert_allclose(totals.sum(), x.max(1).sum(dtype=np.float64), rtol=1e-6)
    out, scratch = np.zeros_like(x), np.zeros((chunks, 6), np.float32)
    run_cuda(samples.flipped_rows(), [x, out, scratch], [6], 7, chunks)
    assert_same(out, x[:, ::-1])


TOTALS = [(t.f32, "add", 0.0), (t.i16, "maximum", -(1 << 15)), (t.bool_, "or", False)]


@pytest.mark.parametrize(("dtype", "op", "start"), TOTALS, ids=str)
@pytest.mark.parametrize("extent", [0, 1, 5, 11])
def test_flat_totals(dtype, op, start, extent):
    x = RNG.integers(0, 2, 11).astype(dtype.np)
    program = samples.flat_total(dtype, op, start)
    got, want = np.ones(2, dtype.np), np.zeros(2, dtype.np)
    run_cuda(program, [x, got], [0], extent, 2)
    run_python(program, [x, want], [0], extent, 2)
    assert_same(got, want)


def test_running_sum():
    x = RNG.integers(-9, 9, (2, 7)).astype(np.int32)
    out = np.zeros_like(x)
    run_cuda(samples.running_sum(), [x, out], [7], 2)
    assert_same(out, np.cumsum(x, 1, dtype=np.int32))


@pytest.mark.parametrize("dtype", [t.bool_, t.i8, t.u32, t.bf16, t.f32], ids=str)
def test_primitives(dtype):
    program = samples.primitives(dtype)
    inputs = [x[:40].copy() for x in samples.nasty_triples(dtype)]
    n = inputs[0].size
    got, want = (
        [np.zeros(n, b.dtype.np) for b in program.buffers[3:]] for _ in range(2)
    )
    run_cuda(program, [*inputs, *got], [], n)
    run_python(program, [*inputs, *want], [], n)
    for one, other, name in zip(got, want, samples.operations(dtype), strict=True):
        assert_same(one, other, name)


@pytest.mark.parametrize("chunks", [1, 3])
def test_kernels_of_a_graph(chunks):
    forms = set()
    for kernel in samples.lowered_kernels():
        forms.add(form_of(kernel.program))
        results = []
        for run in (run_python, run_cuda):
            results.append(samples.buffers_of(kernel, chunks))
            run(kernel.program, results[-1], kernel.ints, kernel.extent, chunks)
        for want, got in zip(*results, strict=True):
            np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-5)
    assert forms == {"threads", "rows", "chunks"}


def test_arguments_are_checked():
    x = matrix(2, 4)
    with pytest.raises(ExecutionError, match="buffer out0 is float64"):
        run_cuda(samples.softmax(), [x, x.astype(np.float64)], [4], 2)
    with pytest.raises(ExecutionError, match=r"buffer x0 .* strides"):
        run_cuda(samples.softmax(), [x.T, x], [4], 2)
    with pytest.raises(ExecutionError, match="1 arrays, 2 expected"):
        run_cuda(samples.softmax(), [x], [4], 2)
