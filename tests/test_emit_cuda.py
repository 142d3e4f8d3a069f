"""CUDA source of loop programs: its form, its text, the simulator and PTX."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from numba.cuda.cudadrv import nvvm

from compiler.errors import KernelError
from compiler.ir import types as t
from compiler.kernels import cuda_target
from compiler.kernels.emit_cuda import emit_cuda_source, form_of
from compiler.kernels.expr import ScalarBuilder
from compiler.kernels.loop_program import Buffer, LoopProgram, Store, load
from compiler.kernels.scalar_math import lookup
from tests import sample_programs as samples

ROOT = Path(__file__).parent.parent

needs_nvvm = pytest.mark.skipif(
    not nvvm.is_available(), reason="NVIDIA's libNVVM is not installed"
)


def test_in_the_simulator():
    """The checks of `cuda_simulator_checks`, in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "tests/cuda_simulator_checks.py"],
        cwd=ROOT,
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def flat(value_of):
    """A flat program ``out0[i] = value_of(x0[i])`` on f32."""
    x0, out = Buffer("x0", t.f32, "in"), Buffer("out0", t.f32, "out")
    store = Store("out0", samples.var("i0"), value_of(load(x0, samples.var("i0"))))
    return LoopProgram("flat", (x0, out), (), (samples.rows(store, parallel=True),))


def test_form_follows_the_program():
    assert form_of(flat(lambda x: x)) == "threads"
    assert form_of(samples.broadcast()) == "rows"
    assert form_of(samples.softmax()) == "rows"
    assert form_of(samples.running_sum()) == "threads"
    assert form_of(samples.column_sums()) == "chunks"
    assert form_of(samples.flipped_rows()) == "chunks"
    assert form_of(samples.flat_total(t.f32, "add", 0.0)) == "chunks"


def test_source_of_an_elementwise_kernel():
    source = emit_cuda_source(flat(lambda x: ScalarBuilder().mul(x, x)))
    assert "for i0 in range(cuda.grid(1), extent, cuda.gridsize(1)):" in source
    assert "shared" not in source and "syncthreads" not in source


def test_source_of_a_row_reduction():
    source = emit_cuda_source(samples.softmax(), ["mlp.py:14"])
    assert "# mlp.py:14" in source
    assert "for i0 in range(cuda.blockIdx.x, extent, cuda.gridDim.x):" in source
    assert "for i1 in range(thread, n1, THREADS):" in source
    assert "r0_all = block_maximum_f32(r0)" in source
    assert "r1_all = block_add_f32(r1)" in source


def test_stores_outside_of_loops_are_made_once_and_seen_by_all():
    source = emit_cuda_source(samples.total_of_rows())
    assert "        if thread == 0:\n            part0[chunk] = a0_all" in source
    kernel = emit_cuda_source(samples.flipped_rows()).partition("def kernel")[2]
    assert kernel.count("cuda.syncthreads()") == 2


def test_total_that_is_read_too_early_is_refused():
    k = ScalarBuilder()
    program = samples.total_of_rows()
    early = Store("part0", samples.var("chunk"), k.var("a0", t.f64))
    declare, loop, _ = program.body
    broken = LoopProgram("early", program.buffers, program.ints, (declare, early, loop))
    with pytest.raises(KernelError, match="'a0' is not bound"):
        emit_cuda_source(broken)


# -- PTX --------------------------------------------------------------------------


def assemble(ptx: str, folder: Path) -> None:
    """Let NVIDIA's assembler check the text, where it is installed."""
    ptxas = shutil.which("ptxas")
    if ptxas:
        path = folder / "kernel.ptx"
        path.write_text(ptx)
        command = [ptxas, "-arch=sm_80", str(path), "-o", str(folder / "kernel.cubin")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@needs_nvvm
@pytest.mark.parametrize("dtype", samples.REAL, ids=str)
def test_ptx_of_primitives(dtype, tmp_path):
    program = samples.primitives(dtype)
    ptx = cuda_target.compile_ptx(emit_cuda_source(program), program)
    assert ".visible .entry" in ptx
    assemble(ptx, tmp_path)


PROGRAMS = [
    samples.broadcast(t.bf16),
    samples.softmax(),
    samples.column_sums(),
    samples.total_of_rows(),
    samples.flat_total(t.bool_, "or", False),
]


@needs_nvvm
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)
def test_ptx_of_programs(program, tmp_path):
    ptx = cuda_target.compile_ptx(emit_cuda_source(program), program)
    assert ".target sm_80" in ptx
    assert ("bar.sync" in ptx) == (program.name != "broadcast")
    assemble(ptx, tmp_path)


@needs_nvvm
def test_ptx_for_another_capability():
    program = flat(lambda x: ScalarBuilder().call("logistic", x))
    assert lookup("logistic", t.f32)
    for capability in ((7, 5), (9, 0)):
        text = cuda_target.compile_ptx(emit_cuda_source(program), program, capability)
        assert f".target sm_{capability[0]}{capability[1]}" in text


@needs_nvvm
def test_refused_source_is_a_kernel_error():
    program = samples.softmax()
    source = emit_cuda_source(program).replace("r0 = maximum", "r0 = f32.missing")
    with pytest.raises(KernelError, match="softmax: no PTX"):
        cuda_target.compile_ptx(source, program)
