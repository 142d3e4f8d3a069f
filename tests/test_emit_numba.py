"""Numba source of loop programs: as plain Python, compiled, and as text."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from compiler.driver import compile_graph
from compiler.errors import KernelError
from compiler.ir import types as t
from compiler.ir.interpret import interpret
from compiler.kernels import emit_numba, native, numba_target
from compiler.kernels.cache import KernelCache
from compiler.kernels.emit_llvm import emit_llvm
from compiler.kernels.emit_numba import emit_source, load_python
from compiler.kernels.loop_program import Buffer, LoopProgram, Store, load
from compiler.kernels.scalar_math import FUNCTIONS
from compiler.options import Options
from tests import random_graphs
from tests import sample_programs as samples
from tests.random_graphs import programs
from tests.sample_programs import K, assert_same, run_native

ROOT = Path(__file__).parent.parent
RNG = np.random.default_rng(5)


def compile_numba(program: LoopProgram) -> int:
    text = numba_target.lower_source(emit_source(program), program)
    return native.compile_and_load(text, ["kernel"])["kernel"]


def compile_llvm(program: LoopProgram) -> int:
    return native.compile_and_load(emit_llvm(program), ["kernel"])["kernel"]


def run_python(program, buffers, ints, extent, chunks=1):
    kernel = load_python(emit_source(program))
    flat = [b.reshape(-1) for b in buffers]
    with np.errstate(all="ignore"):
        for c in range(chunks):
            kernel(extent * c // chunks, extent * (c + 1) // chunks, c, *flat, *ints)


def matrix(rows, columns, dtype=np.float32):
    return RNG.standard_normal((rows, columns)).astype(dtype)


# -- values -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", samples.FLOATS, ids=str)
def test_broadcast(dtype):
    program = samples.broadcast(dtype)
    x, w = matrix(7, 37).astype(dtype.np), matrix(1, 37)[0].astype(dtype.np)
    outs = [np.zeros_like(x) for _ in range(3)]
    run_native(compile_numba(program), [x, w, outs[0]], [37], 7)
    run_native(compile_llvm(program), [x, w, outs[1]], [37], 7)
    run_python(program, [x, w, outs[2]], [37], 7)
    assert_same(outs[0], outs[1])
    assert_same(outs[2], outs[1])
    want = np.tanh(x.astype(np.float64) * w.astype(np.float64) + 0.5)
    tolerance = {t.f16: 2e-3, t.bf16: 2e-2, t.f32: 1e-6, t.f64: 1e-14}[dtype]
    np.testing.assert_allclose(outs[0].astype(np.float64), want, rtol=0, atol=tolerance)


def test_softmax():
    program = samples.softmax()
    x = matrix(9, 61)
    x[0] = 3e38  # overflows unless the largest element is subtracted
    x[1, 4] = -np.inf
    x[2, 5] = np.nan
    with np.errstate(all="ignore"):
        want = np.exp(x - x.max(1, keepdims=True), dtype=np.float64)
        want /= want.sum(1, keepdims=True)
    for run in (run_python, lambda p, *args: run_native(compile_numba(p), *args)):
        out = np.zeros_like(x)
        run(program, [x, out], [61], 9)
        np.testing.assert_allclose(out, want, rtol=2e-6, atol=1e-9)


def test_results_may_share_memory_with_operands():
    program = samples.broadcast()
    address = compile_numba(program)
    x, w, out = matrix(5, 133), matrix(1, 133)[0], np.zeros((5, 133), np.float32)
    run_native(address, [x, w, out], [133], 5)
    run_native(address, [x, w, x], [133], 5)
    assert_same(x, out)


@pytest.mark.parametrize("chunks", [1, 2, 3])
@pytest.mark.parametrize("how", ["python", "numba"])
def test_partial_sums(how, chunks):
    x = matrix(11, 29)

    def run(program, buffers):
        if how == "python":
            return run_python(program, buffers, [29], 11, chunks)
        return run_native(compile_numba(program), buffers, [29], 11, chunks)

    part = np.full((chunks, 29), np.nan, np.float32)
    run(samples.column_sums(), [x, part])
    np.testing.assert_allclose(part.sum(0), x.sum(0), rtol=1e-5, atol=1e-5)
    totals = np.full(chunks, np.nan)
    run(samples.total_of_rows(), [x, totals])
    np.testing.assert_allclose(totals.sum(), x.max(1).sum(dtype=np.float64), rtol=1e-12)
    out, scratch = np.zeros_like(x), np.zeros((chunks, 29), np.float32)
    run(samples.flipped_rows(), [x, out, scratch])
    assert_same(out, x[:, ::-1])


def test_loop_that_carries_a_value_is_not_marked_parallel():
    x = RNG.integers(-9, 9, (4, 300)).astype(np.int32)
    program = samples.running_sum()
    for run in (run_python, lambda p, *args: run_native(compile_numba(p), *args)):
        out = np.zeros_like(x)
        run(program, [x, out], [300], 4)
        assert_same(out, np.cumsum(x, 1, dtype=np.int32))


TOTALS = [
    (t.i8, "add", 0, np.add),
    (t.u16, "mul", 1, np.multiply),
    (t.i64, "maximum", -(1 << 63), np.maximum),
    (t.u64, "minimum", (1 << 64) - 1, np.minimum),
    (t.f64, "minimum", np.inf, np.minimum),
    (t.bool_, "or", False, np.logical_or),
    (t.bool_, "and", True, np.logical_and),
    (t.i32, "xor", 0, np.bitwise_xor),
]


@pytest.mark.parametrize(("dtype", "op", "start", "ufunc"), TOTALS, ids=str)
def test_accumulators(dtype, op, start, ufunc):
    x = RNG.integers(0, 2 if dtype is t.bool_ else 120, 203).astype(dtype.np)
    program = samples.flat_total(dtype, op, start)
    want = ufunc.reduce(x, dtype=dtype.np)
    for run in (run_python, lambda p, *args: run_native(compile_numba(p), *args)):
        part = np.zeros(1, dtype.np)
        run(program, [x, part], [0], 203)
        assert_same(part, np.array([want], dtype.np))
        run(program, [x, part], [0], 0)
        assert_same(part, np.array([start], dtype.np))


@pytest.mark.parametrize("dtype", samples.REAL, ids=str)
def test_primitives_agree_on_nasty_values(dtype):
    program = samples.primitives(dtype)
    inputs = samples.nasty_triples(dtype)
    results = []
    for run in (
        lambda *args: run_native(compile_llvm(program), *args),
        lambda *args: run_native(compile_numba(program), *args),
        lambda *args: run_python(program, *args),
    ):
        outputs = [np.zeros(inputs[0].size, b.dtype.np) for b in program.buffers[3:]]
        run([*inputs, *outputs], [], inputs[0].size)
        results.append(outputs)
    for i, name in enumerate(samples.operations(dtype)):
        assert_same(results[1][i], results[0][i], f"numba {name}")
        assert_same(results[2][i], results[0][i], f"python {name}")


def every_function(dtype):
    """A program that calls each scalar function once."""
    functions = [f for (_, d), f in FUNCTIONS.items() if d is dtype]
    inputs = [Buffer("x0", dtype, "in"), Buffer("x1", dtype, "in")]
    operands = [load(b, samples.var("i0")) for b in inputs]
    outputs = [Buffer(f"out{i}", dtype, "out") for i in range(len(functions))]
    stores = [
        Store(o.name, samples.var("i0"), K.call(f.name, *operands[: len(f.params)]))
        for o, f in zip(outputs, functions, strict=True)
    ]
    loop = samples.rows(*stores, parallel=True)
    return LoopProgram("functions", (*inputs, *outputs), (), (loop,))


@pytest.mark.parametrize("dtype", [t.f32, t.f64], ids=str)
def test_scalar_functions_are_linked(dtype):
    program = every_function(dtype)
    x, y, _ = samples.nasty_triples(dtype)
    results = []
    for address in (compile_numba(program), compile_llvm(program)):
        results.append([np.zeros_like(x) for _ in program.buffers[2:]])
        run_native(address, [x, y, *results[-1]], [], x.size)
    for got, want in zip(*results, strict=True):
        assert_same(got, want)


@pytest.mark.parametrize("chunks", [1, 3])
def test_kernels_of_a_graph(chunks):
    kernels = samples.lowered_kernels()
    assert len(kernels) >= 3
    for kernel in kernels:
        program, results = kernel.program, []
        for run in (
            lambda p, *args: run_native(compile_llvm(p), *args),
            lambda p, *args: run_native(compile_numba(p), *args),
            run_python,
        ):
            buffers = samples.buffers_of(kernel, chunks)
            run(program, buffers, kernel.ints, kernel.extent, chunks)
            results.append(buffers)
        for want, *got in zip(*results, strict=True):
            for each in got:
                np.testing.assert_allclose(each, want, rtol=2e-5, atol=1e-5)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs())
def test_graphs_compiled_through_numba_equal_interpreted(program):
    graph, arrays = program
    want = interpret(graph, *[a.copy() for a in arrays])
    executable = compile_graph(graph, Options(emitter="numba"))
    random_graphs.assert_same(executable([a.copy() for a in arrays]), want)


# -- compiled form ----------------------------------------------------------------


def test_iterations_are_declared_independent():
    text = numba_target.lower_source(emit_source(samples.softmax()), samples.softmax())
    assert text.count("llvm.loop.parallel_accesses") == 3
    assert "fadd reassoc contract" in text
    carried = samples.running_sum()
    text = numba_target.lower_source(emit_source(carried), carried)
    assert "parallel_accesses" not in text


def test_nothing_external_is_called():
    program = samples.primitives(t.f64)
    text = numba_target.lower_source(emit_source(program), program)
    native.optimise_and_emit(text)  # refuses modules that need a symbol from outside
    assert "NRT_" not in text and "frem" not in text


def test_second_process_finds_the_object(tmp_path):
    program = samples.softmax()
    cache = KernelCache(tmp_path)
    numba_target.compile_program(program, cache)
    (path,) = tmp_path.rglob("*.py")
    assert path.read_text() == emit_source(program)
    code = (
        "from compiler.kernels import numba_target as target\n"
        "from compiler.kernels.cache import KernelCache\n"
        "from tests import sample_programs as samples\n"
        f"cache = KernelCache({str(tmp_path)!r})\n"
        "target._numba_ir = None\n"
        "target.compile_program(samples.softmax(), cache)\n"
        "print(cache.counters())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "JITFLOW_CACHE"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "disk_hits=1, misses=0" in done.stdout


def test_source_changed_by_hand_is_what_runs(tmp_path):
    program, cache = samples.softmax(), KernelCache(tmp_path)
    x, out = matrix(2, 5), np.zeros((2, 5), np.float32)
    changed = emit_source(program).replace(" = t5", " = t5 + t5")
    run_native(numba_target.compile_program(program, cache), [x, out], [5], 2)
    np.testing.assert_allclose(out.sum(1), 1, rtol=1e-6)
    run_native(numba_target.compile_source(changed, program, cache), [x, out], [5], 2)
    np.testing.assert_allclose(out.sum(1), 2, rtol=1e-6)


def test_refused_source_is_a_kernel_error():
    program = samples.softmax()
    source = emit_source(program).replace("r0 = maximum", "r0 = f32.missing")
    with pytest.raises(KernelError, match="softmax: Numba refused"):
        numba_target.lower_source(source, program)


# -- text -------------------------------------------------------------------------


def test_source_is_readable():
    source = emit_source(samples.softmax(), ["mlp.py:14 softmax", "mlp.py:15"])
    assert source.startswith("# Kernel softmax.\n# mlp.py:14 softmax\n# mlp.py:15\n#\n")
    assert "accumulator r0" in source  # the text of the program
    assert "def kernel(lo, hi, chunk, x0, out0, n1):" in source
    assert "        for i1 in range(n1):" in source
    assert "r1 = reassoc_add(r1, t2)" in source
    assert "out0[i0 * n1 + i1] = t5" in source
    (function,) = (n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef))
    assert function.name == "kernel"


def test_source_is_the_same_every_time():
    first, second = emit_source(samples.softmax()), emit_source(samples.softmax())
    assert first == second


def test_file_runs_in_a_debugger(tmp_path):
    """Executed from a real file, each line of the kernel is a line of that file."""
    path = tmp_path / "kernel.py"
    path.write_text(emit_source(samples.softmax()))
    kernel = load_python(path.read_text(), str(path))
    lines = set()

    def trace(frame, event, arg):
        if frame.f_code.co_filename == str(path):
            lines.add(frame.f_lineno)
            return trace
        return None

    sys.settrace(trace)
    try:
        kernel(0, 1, 0, np.ones(3, np.float32), np.zeros(3, np.float32), 3)
    finally:
        sys.settrace(None)
    texts = path.read_text().splitlines()
    assert any("r0 = maximum" in texts[n - 1] for n in lines)


def test_awkward_names_become_identifiers():
    x, out = Buffer("lambda", t.f32, "in"), Buffer("f32", t.f32, "out")
    value = K.add(load(x, samples.var("t1")), K.const(np.nan, t.f32))
    program = LoopProgram(
        "odd", (x, out), ("t1",), (Store("f32", samples.var("t1"), value),)
    )
    out_array = np.zeros(2, np.float32)
    run_python(program, [np.ones(2, np.float32), out_array], [1], 0)
    assert np.isnan(out_array).tolist() == [False, True]


def test_unknown_helper_is_named():
    with pytest.raises(KernelError, match="no scalar function 'nonsense'"):
        emit_numba.helpers("f32 nonsense_f32")
