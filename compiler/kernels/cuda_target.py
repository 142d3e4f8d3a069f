"""Runs and compiles generated CUDA source: on a GPU, in the simulator, or to PTX.

With ``NUMBA_ENABLE_CUDASIM=1`` in the environment before Numba is imported, `launch`
runs in Numba's simulator, on any machine. `compile_ptx` needs NVIDIA's libNVVM but no
GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, cuda, types
from numba.cuda import compiler as cuda_compiler
from numba.extending import intrinsic

from compiler.errors import ExecutionError, KernelError
from compiler.ir import types as t
from compiler.ir.types import DType
from compiler.kernels.emit_cuda import form_of
from compiler.kernels.emit_numba import RUNTIME, SYMBOL, scalar_functions
from compiler.kernels.loop_program import LoopProgram
from compiler.kernels.numba_prelude import cpu_namespace, cuda_namespace
from compiler.kernels.python_prelude import register_dtype
from compiler.kernels.python_scalar import python_name

MAX_BLOCKS = 1 << 16
_COMPILER: Any = cuda_compiler  # Numba's simulator has another module here
_BITS = (t.f16, t.bf16)


def simulated() -> bool:
    """True when kernels run in Numba's simulator instead of on a GPU."""
    return bool(getattr(config, "ENABLE_CUDASIM", False))


@cache
def device_names() -> Mapping[str, Any]:
    """The meaning of every helper name of generated source on the device."""
    return {**RUNTIME, **cuda_namespace(), **({} if simulated() else _device())}


def _device() -> dict[str, Any]:
    """Floating-point helpers for libNVVM, which knows few intrinsics of LLVM.

    Nor does it know ``fneg``: the IR that it reads is older.
    """
    routines = {"absolute": "fabs", "rem": "fmod"}
    routines |= {n: n for n in ("sqrt", "floor", "ceil", "trunc", "rint", "copysign")}
    device = {name: _routine(name, routine) for name, routine in routines.items()}
    return {**device, "negate": _float_version("negate", _flip_sign)}


Emit = Callable[[Any, Any], Any]
"""``emit(builder, operands)`` of floats."""


def _float_version(name: str, emit: Emit) -> Any:
    """The helper `name`, with `emit` for floats and the prelude's for the rest."""
    prelude = cpu_namespace()[name]._defn

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return emit(builder, args)

    def unary(typing_context: Any, x: Any) -> Any:
        floats = isinstance(x, types.Float)
        return (x(x), codegen) if floats else prelude(typing_context, x)

    def binary(typing_context: Any, x: Any, y: Any) -> Any:
        floats = isinstance(x, types.Float)
        return (x(x, x), codegen) if floats else prelude(typing_context, x, y)

    return intrinsic(binary if name in ("rem", "copysign") else unary)


def _routine(name: str, routine: str) -> Any:
    """A helper that is a function of NVIDIA's libdevice for floats."""

    def emit(builder: Any, args: Any) -> Any:
        ty = args[0].type
        symbol = f"__nv_{routine}{'f' if isinstance(ty, ir.FloatType) else ''}"
        prototype = ir.FunctionType(ty, [ty] * len(args))
        found = builder.module.globals.get(symbol)
        return builder.call(
            found or ir.Function(builder.module, prototype, symbol), args
        )

    return _float_version(name, emit)


def _flip_sign(builder: Any, args: Any) -> Any:
    width = 32 if isinstance(args[0].type, ir.FloatType) else 64
    bits = builder.bitcast(args[0], ir.IntType(width))
    return builder.bitcast(builder.xor(bits, bits.type(1 << (width - 1))), args[0].type)


@cache
def _namespace(source: str) -> dict[str, Any]:
    """The names that `source` defines; cached, so each kernel is compiled once."""
    return _run(source)


def _run(source: str) -> dict[str, Any]:
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
    namespace = _run(source)  # of its own: device functions belong to one capability
    try:
        _compile_device_functions(namespace, program, capability)
        kernel = namespace[SYMBOL].py_func
        text, _ = cuda.compile_ptx(kernel, signature, cc=capability)
    except Exception as error:  # Numba raises many kinds, all of them internal
        message = str(error).strip() or type(error).__name__
        raise KernelError(f"{program.name}: no PTX: {message}") from error
    return str(text)


def _compile_device_functions(
    namespace: dict[str, Any], program: LoopProgram, capability: tuple[int, int]
) -> None:
    """Compile what the kernel calls, callees first.

    Numba would do so by itself, but only for the GPU that it finds in the machine.
    """
    options = {"opt": 3, "fastmath": False}
    for name, args in _device_signatures(namespace, program).items():
        dispatcher = namespace[name]
        result = _COMPILER.compile_cuda(
            dispatcher.py_func, None, args, nvvm_options=options, cc=capability
        )
        dispatcher.overloads[args] = result
        result.target_context.insert_user_function(
            result.entry_point, result.fndesc, [result.library]
        )


def _device_signatures(
    namespace: dict[str, Any], program: LoopProgram
) -> dict[str, tuple[Any, ...]]:
    functions = scalar_functions(program)
    table = {
        python_name(f): (getattr(types, f.dtype.long),) * len(f.params)
        for f in functions
    }
    for name in namespace:
        if name.startswith("block_"):
            dtype = register_dtype(t.dtype_of(name.rpartition("_")[2]))
            number = types.boolean if dtype is t.bool_ else getattr(types, dtype.long)
            table[name] = (number,)
    return table


def _array_type(dtype: DType) -> Any:
    name = "uint16" if dtype in _BITS else dtype.long
    return types.Array(getattr(types, name), 1, "C")
