"""Runs and compiles generated CUDA source: on a GPU, in the simulator, or to PTX.

With ``NUMBA_ENABLE_CUDASIM=1`` in the environment before Numba is imported, `launch`
runs in Numba's simulator, on any machine. `compile_ptx` needs NVIDIA's libNVVM but no
GPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numba import config, cuda, types

from compiler.errors import ExecutionError, KernelError
from compiler.ir import types as t
from compiler.ir.types import DType
from compiler.kernels.emit_cuda import form_of
from compiler.kernels.emit_numba import RUNTIME, SYMBOL
from compiler.kernels.loop_program import LoopProgram
from compiler.kernels.numba_prelude import cuda_namespace

MAX_BLOCKS = 1 << 16
_BITS = (t.f16, t.bf16)


def simulated() -> bool:
    """True when kernels run in Numba's simulator instead of on a GPU."""
    return bool(config.ENABLE_CUDASIM)


@cache
def device_names() -> Mapping[str, Any]:
    """The meaning of every helper name of generated source on the device."""
    return {**RUNTIME, **cuda_namespace()}


@cache
def _namespace(source: str) -> dict[str, Any]:
    """The names that `source` defines; cached, so each kernel is compiled once."""
    namespace: dict[str, Any] = {}
    exec(compile(source, "<cuda kernel>", "exec"), namespace)
    return namespace


def launch(
    program: LoopProgram,
    source: str,
    arrays: Sequence[Any],
    ints: Sequence[int],
    extent: int,
    nchunks: int = 1,
) -> None:
    """Run a kernel once over ``[0, extent)`` and wait for it.

    Args:
        program: what `source` was emitted from.
        source: of `emit_cuda.emit_cuda_source`.
        arrays: one C-contiguous array for each buffer, in order: device arrays, or
            NumPy arrays that are copied to the device and back. Partial and scratch
            buffers hold `nchunks` parts.
        ints: one integer for each integer parameter.
        extent: iterations of the outer loop.
        nchunks: chunks of a program that keeps partial results.

    Raises:
        ExecutionError: if the arguments do not fit the program.
    """
    _check(program, arrays, ints)
    flat = [_flat(a, b.dtype) for a, b in zip(arrays, program.buffers, strict=True)]
    namespace = _namespace(source)
    blocks = _blocks(form_of(program), extent, nchunks, namespace["THREADS"])
    configured = namespace[SYMBOL][blocks, namespace["THREADS"]]
    configured(extent, nchunks, *flat, *(int(n) for n in ints))
    cuda.synchronize()


def _blocks(form: str, extent: int, nchunks: int, threads: int) -> int:
    wanted = {
        "threads": -(-extent // threads),
        "rows": extent,
        "chunks": nchunks,
    }[form]
    return max(1, min(wanted, MAX_BLOCKS))


def _check(program: LoopProgram, arrays: Sequence[Any], ints: Sequence[int]) -> None:
    for what, given, wanted in (
        ("arrays", len(arrays), len(program.buffers)),
        ("ints", len(ints), len(program.ints)),
    ):
        if given != wanted:
            raise ExecutionError(f"{program.name}: {given} {what}, {wanted} expected")
    for array, buffer in zip(arrays, program.buffers, strict=True):
        if array.dtype != buffer.dtype.np or not _is_contiguous(array):
            raise ExecutionError(
                f"{program.name}: buffer {buffer.name} is {array.dtype} "
                f"{array.shape} with strides {array.strides}",
                fix=f"give a C-contiguous array of {buffer.dtype.long}",
            )


def _is_contiguous(array: Any) -> bool:
    flags = array.flags
    return bool(flags["C_CONTIGUOUS"])


def _flat(array: Any, dtype: DType) -> Any:
    flat = array.reshape(-1)
    return flat.view(np.uint16) if dtype in _BITS else flat


def compile_ptx(
    source: str, program: LoopProgram, capability: tuple[int, int] = (8, 0)
) -> str:
    """PTX text of a kernel for a compute capability, without a GPU.

    Raises:
        KernelError: if Numba or NVVM refuses the source, or libNVVM is missing.
    """
    buffers = (_array_type(b.dtype) for b in program.buffers)
    ints = (types.int64,) * len(program.ints)
    signature = (types.int64, types.int64, *buffers, *ints)
    kernel = _namespace(source)[SYMBOL].py_func
    try:
        text, _ = cuda.compile_ptx(kernel, signature, cc=capability)
    except Exception as error:  # Numba raises many kinds, all of them internal
        message = str(error).strip() or type(error).__name__
        raise KernelError(f"{program.name}: no PTX: {message}") from error
    return str(text)


def _array_type(dtype: DType) -> Any:
    name = "uint16" if dtype in _BITS else dtype.long
    return types.Array(getattr(types, name), 1, "C")
