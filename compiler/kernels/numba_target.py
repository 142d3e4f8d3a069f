"""Compiles generated Python source for the CPU through Numba.

Numba types the source and lowers it to LLVM IR. From there on a kernel takes the way
of every other kernel: our pass pipeline, our object cache, our loader, the native
signature. Buffers are raw pointers, so an index never wraps around. The transcendental
functions are linked as LLVM functions and not compiled from source for each kernel.

Importing this module imports Numba, which takes 0.15 s; a kernel that is in the cache
needs nothing else of it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import compiler as numba_compiler
from numba.core import cpu, types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.extending import (
    intrinsic,
    lower_builtin,
    models,
    register_model,
    type_callable,
)

from compiler.errors import KernelError
from compiler.ir import types as t
from compiler.ir.types import DType
from compiler.kernels.cache import KernelCache, default_cache, key_of
from compiler.kernels.emit_numba import (
    SYMBOL,
    cache_request,
    emit_source,
    load_python,
    scalar_functions,
)
from compiler.kernels.llvm_scalar import link_scalar_functions, symbol_of
from compiler.kernels.loop_program import For, LoopProgram, walk
from compiler.kernels.numba_prelude import cpu_namespace
from compiler.kernels.python_prelude import register_dtype
from compiler.kernels.python_scalar import python_name

_ANY_ORDER = ["reassoc", "contract"]
_FUNCTION = re.compile(r'^define i32 @("[^"]+"|[\w.$]+)\(', re.MULTILINE)
# What the module names but our pipeline sets, defines or has no use for.
_DROPPED = re.compile(
    r"^(?:declare [^@\n]*@jf_|@_ZN08NumbaEnv|source_filename|target ).*\n", re.MULTILINE
)
_METADATA = re.compile(r"^!(\d+) = ", re.MULTILINE)
_LABEL = re.compile(r'^("[^"]+"|[\w.$-]+):')
_ACCESS = re.compile(r"^  (?:%\S+ = load|store) ")


def compile_program(program: LoopProgram, cache: KernelCache | None = None) -> int:
    """Address of the native kernel of a program.

    The object code is kept by `cache` (the process's, if none is given), beside the
    source as a ``.py`` file; on a hit neither is made.

    Raises:
        KernelError: if Numba or LLVM refuses the source.
    """
    return _cached(cache_request(program), program, cache, lambda: emit_source(program))


def compile_source(
    source: str, program: LoopProgram, cache: KernelCache | None = None
) -> int:
    """As `compile_program`, of a source that may have been changed by hand."""
    parts = {**cache_request(program), "source": source}
    return _cached(parts, program, cache, lambda: source)


def _cached(
    parts: dict[str, str],
    program: LoopProgram,
    cache: KernelCache | None,
    make_source: Callable[[], str],
) -> int:
    store = cache or default_cache()

    def make_ir() -> str:
        return _stored_ir(parts, program, store, make_source())

    return store.get_or_compile(parts, make_ir, SYMBOL)


def ir_of(program: LoopProgram) -> str:
    """LLVM IR text of a program; its source is put into the process's cache."""
    parts = cache_request(program)
    return _stored_ir(parts, program, default_cache(), emit_source(program))


def _stored_ir(
    parts: dict[str, str], program: LoopProgram, store: KernelCache, source: str
) -> str:
    key = key_of(store.full_parts(parts, SYMBOL))
    path = store.put_source(key, ".py", source)
    return lower_source(source, program, str(path))


def lower_source(source: str, program: LoopProgram, filename: str = "<kernel>") -> str:
    """LLVM IR text that defines ``kernel`` with the native signature.

    `filename` is where Numba's messages say that `source` is.

    Raises:
        KernelError: if Numba refuses the source.
    """
    kernel = load_python(source, filename)
    _bind_native(kernel.__globals__, program)
    text = _numba_ir(kernel, _argument_types(program), program.name)
    match = _FUNCTION.search(text)
    if match is None:
        raise KernelError(f"{program.name}: Numba's module defines no function")
    text = _DROPPED.sub("", text).replace("define i32 @", "define internal i32 @", 1)
    if all(loop.parallel for loop in _innermost_loops(program)):
        text = _mark_parallel(text)
    return link_scalar_functions(f"{text}\n{_entry(match[1], program)}")


# -- Numba ------------------------------------------------------------------------


def _bind_native(names: dict[str, Any], program: LoopProgram) -> None:
    """Replace the plain Python helpers in a kernel's globals by intrinsics."""
    native = {**cpu_namespace(), **_EXTRA}
    for function in scalar_functions(program):
        number = getattr(types, function.dtype.long)
        linked = _linked(symbol_of(function), number, len(function.params))
        native[python_name(function)] = linked
    for name in names.keys() & native.keys():
        names[name] = native[name]


def _flags() -> Any:
    flags: Any = numba_compiler.Flags()
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    flags.no_rewrites = True
    flags.error_model = "numpy"
    flags.fastmath = cpu.FastMathOptions({"contract"})
    return flags


def _numba_ir(kernel: Callable[..., None], args: tuple[Any, ...], name: str) -> str:
    """Numba's LLVM IR, after its cheap passes and without machine code."""
    typing, target = cpu_target.typing_context, cpu_target.target_context
    with global_compiler_lock:
        typing.refresh()
        target.refresh()
        try:
            result = numba_compiler.compile_extra(
                typing, target, kernel, args, types.none, _flags(), {}
            )
        except Exception as error:  # Numba raises many kinds, all of them internal
            message = str(error).strip() or type(error).__name__
            raise KernelError(f"{name}: Numba refused the source: {message}") from error
        return str(result.library.get_llvm_str())


def _argument_types(program: LoopProgram) -> tuple[Any, ...]:
    buffers = (Elements(b.dtype) for b in program.buffers)
    return (types.int64,) * 3 + (*buffers,) + (types.int64,) * len(program.ints)


def _linked(symbol: str, number: Any, arity: int) -> Any:
    """An intrinsic that calls the LLVM function `symbol`, linked later."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.call(_declared(builder.module, symbol, args), args)

    def unary(typing_context: Any, a: Any) -> Any:
        return number(number), codegen

    def binary(typing_context: Any, a: Any, b: Any) -> Any:
        return number(number, number), codegen

    def ternary(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
        return number(number, number, number), codegen

    # Numba reads the number of operands from the signature of the function.
    return intrinsic((unary, binary, ternary)[arity - 1])


def _declared(module: Any, symbol: str, args: Any) -> Any:
    """The function `symbol` of a module: operands and result have one type."""
    found = module.globals.get(symbol)
    if found is None:
        prototype = ir.FunctionType(args[0].type, [a.type for a in args])
        found = ir.Function(module, prototype, symbol)
    return found


@intrinsic
def _reassoc_add(typing_context: Any, a: Any, b: Any) -> Any:
    return a(a, b), lambda c, builder, s, args: builder.fadd(*args, flags=_ANY_ORDER)


@intrinsic
def _reassoc_mul(typing_context: Any, a: Any, b: Any) -> Any:
    return a(a, b), lambda c, builder, s, args: builder.fmul(*args, flags=_ANY_ORDER)


def _float_version(name: str, symbol: Callable[[Any], str]) -> Any:
    """`name` of the prelude with floats given to the LLVM function `symbol`."""
    prelude = cpu_namespace()[name]._defn

    def binary(typing_context: Any, a: Any, b: Any) -> Any:
        if not isinstance(a, types.Float):
            return prelude(typing_context, a, b)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            function = _declared(builder.module, symbol(a), args)
            return builder.call(function, args)

        return a(a, b), codegen

    return intrinsic(binary)


_EXTRA = {
    "reassoc_add": _reassoc_add,
    "reassoc_mul": _reassoc_mul,
    # LLVM's frem would call the C library.
    "rem": _float_version("rem", lambda a: f"jf_rem_f{a.bitwidth}"),
    # As intrinsics LLVM recognises them as reductions, as selects it does not.
    "minimum": _float_version("minimum", lambda a: f"llvm.minimum.f{a.bitwidth}"),
    "maximum": _float_version("maximum", lambda a: f"llvm.maximum.f{a.bitwidth}"),
}


# -- elements in memory -----------------------------------------------------------


class Elements(types.Type):  # type: ignore[misc]
    """A pointer to elements of `dtype`; an element is read in register form."""

    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype
        self.number = getattr(types, register_dtype(dtype).long)
        super().__init__(name=f"Elements({dtype.name})")


register_model(Elements)(models.OpaqueModel)


@type_callable(operator.getitem)
def _type_getitem(context: Any) -> Any:
    def typer(pointer: Any, index: Any) -> Any:
        fits = isinstance(pointer, Elements) and isinstance(index, types.Integer)
        return pointer.number if fits else None

    return typer


@type_callable(operator.setitem)
def _type_setitem(context: Any) -> Any:
    def typer(pointer: Any, index: Any, value: Any) -> Any:
        fits = isinstance(pointer, Elements) and isinstance(index, types.Integer)
        return types.none if fits else None

    return typer


def _memory_type(dtype: DType) -> ir.Type:
    floats = {t.f16: ir.HalfType, t.f32: ir.FloatType, t.f64: ir.DoubleType}
    return floats[dtype]() if dtype in floats else ir.IntType(dtype.itemsize * 8)


def _address(builder: Any, dtype: DType, pointer: Any, index: Any) -> Any:
    typed = builder.bitcast(pointer, _memory_type(dtype).as_pointer())
    return builder.gep(typed, [index], inbounds=True)


@lower_builtin(operator.getitem, Elements, types.Integer)
def _getitem(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    dtype = signature.args[0].dtype
    stored = builder.load(_address(builder, dtype, *args))
    if dtype is t.bool_:
        return builder.icmp_unsigned("!=", stored, stored.type(0))
    if dtype is t.f16:
        return builder.fpext(stored, ir.FloatType())
    if dtype is t.bf16:
        wide = builder.zext(stored, ir.IntType(32))
        return builder.bitcast(builder.shl(wide, wide.type(16)), ir.FloatType())
    return stored


@lower_builtin(operator.setitem, Elements, types.Integer, types.Any)
def _setitem(context: Any, builder: Any, signature: Any, args: Any) -> None:
    """Values of f16 and bf16 are rounded already: narrowing them is exact."""
    pointer_type, _, value_type = signature.args
    pointer, index, value = args
    value = context.cast(builder, value, value_type, pointer_type.number)
    dtype = pointer_type.dtype
    if dtype is t.bool_:
        value = builder.zext(value, ir.IntType(8))
    elif dtype is t.f16:
        value = builder.fptrunc(value, ir.HalfType())
    elif dtype is t.bf16:
        bits = builder.bitcast(value, ir.IntType(32))
        value = builder.trunc(builder.lshr(bits, bits.type(16)), ir.IntType(16))
    builder.store(value, _address(builder, dtype, pointer, index))


# -- text of the module -----------------------------------------------------------


def _innermost_loops(program: LoopProgram) -> list[For]:
    loops = [s for s in walk(program.body) if isinstance(s, For)]
    return [a for a in loops if not any(isinstance(s, For) for s in walk(a.body))]


def _mark_parallel(text: str) -> str:
    """Tell LLVM that iterations of loops of a single block are independent.

    Results may share memory with operands, so no pointer is ``noalias``; without this
    a kernel that works in place would not vectorise. Innermost loops of a program are
    branch-free, and Numba's passes leave each as one block that jumps to itself.
    """
    lines = text.splitlines()
    metadata: list[str] = []
    first = 1 + max(map(int, _METADATA.findall(text)), default=-1)
    start, label = 0, ""
    for at, line in enumerate(lines):
        found = _LABEL.match(line)
        if found:
            start, label = at, found[1]
        elif label and re.search(rf"^  br .*label %{re.escape(label)}(?:,|$)", line):
            _mark_block(lines, start, at, metadata, first)
    return "\n".join([*lines, *metadata])


def _mark_block(
    lines: list[str], start: int, end: int, metadata: list[str], first: int
) -> None:
    n = first + len(metadata)
    group, accesses, loop = f"!{n}", f"!{n + 1}", f"!{n + 2}"
    metadata.append(f"{group} = distinct !{{}}")
    metadata.append(f'{accesses} = !{{!"llvm.loop.parallel_accesses", {group}}}')
    metadata.append(f"{loop} = distinct !{{{loop}, {accesses}}}")
    for i in range(start, end):
        if _ACCESS.match(lines[i]):
            lines[i] += f", !llvm.access.group {group}"
    lines[end] = f"{lines[end].partition(', !llvm.loop')[0]}, !llvm.loop {loop}"


def _entry(function: str, program: LoopProgram) -> str:
    """``kernel`` with the native signature: unpacks its arguments and calls."""
    lines = [
        f"define void @{SYMBOL}(i64 %lo, i64 %hi, i64 %chunk, ptr %bufs, ptr %ints) "
        "nounwind {",
        "  %result = alloca ptr",
        "  %error = alloca ptr",
    ]
    args = ["ptr %result", "ptr %error", "i64 %lo", "i64 %hi", "i64 %chunk"]
    for ty, array, count in (
        ("ptr", "bufs", len(program.buffers)),
        ("i64", "ints", len(program.ints)),
    ):
        for i in range(count):
            lines.append(
                f"  %{array}{i}.at = getelementptr {ty}, ptr %{array}, i64 {i}"
            )
            lines.append(f"  %{array}{i} = load {ty}, ptr %{array}{i}.at")
            args.append(f"{ty} %{array}{i}")
    call = f"  %status = call i32 @{function}({', '.join(args)})"
    return "\n".join([*lines, call, "  ret void", "}"])
