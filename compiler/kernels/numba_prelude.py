"""The names of `python_prelude.NAMESPACE` for Numba, on the CPU and on CUDA.

Each primitive is an intrinsic: it emits the LLVM instructions that `llvm_scalar`
writes as text, so generated source keeps vectorising and keeps its rounding. Generated
functions must be compiled with ``error_model="numpy"`` and without ``fastmath``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from compiler.ir import types as t
from compiler.ir.types import DType
from compiler.kernels import python_prelude

Emit = Callable[[ir.IRBuilder, Any, list[ir.Value]], ir.Value]
"""``emit(builder, signature, operands)`` of one intrinsic."""


def _numba_type(dtype: DType) -> Any:
    return getattr(types, dtype.long)


def _same(*operands: Any) -> Any:
    return operands[0]


def _define(name: str, arity: int, emit: Emit, result: Any = _same) -> Any:
    """An intrinsic `name` of `arity` operands; `result` gives its type from theirs."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return emit(builder, signature, list(args))

    def unary(typing_context: Any, a: Any) -> Any:
        return result(a)(a), codegen

    def binary(typing_context: Any, a: Any, b: Any) -> Any:
        return result(a, b)(a, b), codegen

    def ternary(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
        return result(a, b, c)(a, b, c), codegen

    function = (unary, binary, ternary)[arity - 1]
    function.__name__ = name
    return intrinsic(function)


def _is_float(signature: Any, index: int = 0) -> bool:
    return isinstance(signature.args[index], types.Float)


def _is_signed(signature: Any, index: int = 0) -> bool:
    return bool(getattr(signature.args[index], "signed", False))


def _llvm(builder: ir.IRBuilder, name: str, *args: ir.Value) -> ir.Value:
    """Call ``llvm.<name>``, all of whose operands have the result's type."""
    ty = args[0].type
    prototype = ir.FunctionType(ty, [ty] * len(args))
    function = builder.module.declare_intrinsic(f"llvm.{name}", [ty], prototype)
    return builder.call(function, args)


def _float_op(name: str) -> Emit:
    return lambda builder, signature, args: _llvm(builder, name, *args)


def _const(value: ir.Value, number: float) -> ir.Constant:
    return ir.Constant(value.type, number)


# Emitters


def _select(b: ir.IRBuilder, s: Any, args: list[ir.Value]) -> ir.Value:
    return b.select(*args)


def _fma(b: ir.IRBuilder, s: Any, args: list[ir.Value]) -> ir.Value:
    if _is_float(s):
        return _llvm(b, "fma", *args)
    return b.add(b.mul(args[0], args[1]), args[2])


def _extremum(name: str) -> Emit:
    less = "<" if name == "minimum" else ">"

    def emit(b: ir.IRBuilder, s: Any, args: list[ir.Value]) -> ir.Value:
        x, y = args
        if _is_float(s):
            return _float_extremum(b, less, x, y)
        compare = b.icmp_signed if _is_signed(s) else b.icmp_unsigned
        return b.select(compare(less, x, y), x, y)

    return emit


def _float_extremum(b: ir.IRBuilder, less: str, x: ir.Value, y: ir.Value) -> ir.Value:
    """NaN from either side; equal operands (zeros) merge their sign bits."""
    integer = ir.IntType(32 if isinstance(x.type, ir.FloatType) else 64)
    merge = b.or_ if less == "<" else b.and_
    bits = merge(b.bitcast(x, integer), b.bitcast(y, integer))
    chosen = b.select(b.fcmp_ordered(less, x, y), x, y)
    tie = b.select(b.fcmp_ordered("==", x, y), b.bitcast(bits, x.type), chosen)
    return b.select(b.fcmp_unordered("uno", x, y), b.fadd(x, y), tie)


def _divide(b: ir.IRBuilder, s: Any, args: list[ir.Value]) -> ir.Value:
    x, y = args
    safe, zero = _safe_divisor(b, _is_signed(s), x, y)
    quotient = b.sdiv(x, safe) if _is_signed(s) else b.udiv(x, safe)
    return b.select(zero, _const(x, 0), quotient)


def _remainder(b: ir.IRBuilder, s: Any, args: list[ir.Value]) -> ir.Value:
    if _is_float(s):
        return b.frem(*args)
    x, y = args
    safe, _ = _safe_divisor(b, _is_signed(s), x, y)
    return b.srem(x, safe) if _is_signed(s) else b.urem(x, safe)


def _safe_divisor(
    b: ir.IRBuilder, signed: bool, x: ir.Value, y: ir.Value
) -> tuple[ir.Value, ir.Value]:
    """One where the division would trap: by zero, and INT_MIN by -1."""
    zero = b.icmp_unsigned("==", y, _const(y, 0))
    unsafe = zero
    if signed:
        smallest = b.icmp_unsigned("==", x, _const(x, -(1 << (x.type.width - 1))))
        minus_one = b.icmp_unsigned("==", y, _const(y, -1))
        unsafe = b.or_(zero, b.and_(smallest, minus_one))
    return b.select(unsafe, _const(y, 1), y), zero


def _shift(name: str) -> Emit:
    def emit(b: ir.IRBuilder, s: Any, args: list[ir.Value]) -> ir.Value:
        x, count = args
        small = b.icmp_unsigned("<", count, _const(count, x.type.width))
        full = x.type.width - 1 if name == "ashr" else 0
        shifted = getattr(b, name)(x, b.select(small, count, _const(count, full)))
        return shifted if full else b.select(small, shifted, _const(x, 0))

    return emit


def _not(b: ir.IRBuilder, s: Any, args: list[ir.Value]) -> ir.Value:
    return b.not_(args[0])


def _absolute(b: ir.IRBuilder, s: Any, args: list[ir.Value]) -> ir.Value:
    (x,) = args
    if _is_float(s):
        return _llvm(b, "fabs", x)
    if not _is_signed(s):
        return x
    return b.select(b.icmp_signed("<", x, _const(x, 0)), b.neg(x), x)


def _negate(b: ir.IRBuilder, s: Any, args: list[ir.Value]) -> ir.Value:
    (x,) = args
    if _is_float(s):
        return b.fneg(x)
    return x if s.args[0] == types.boolean else b.neg(x)


def _isnan(b: ir.IRBuilder, s: Any, args: list[ir.Value]) -> ir.Value:
    return b.fcmp_unordered("uno", args[0], args[0])


def _bitcast(b: ir.IRBuilder, s: Any, args: list[ir.Value]) -> ir.Value:
    width = s.return_type.bitwidth
    target = ir.IntType(width)
    if isinstance(s.return_type, types.Float):
        target = ir.FloatType() if width == 32 else ir.DoubleType()
    return args[0] if args[0].type == target else b.bitcast(args[0], target)


def _saturate(b: ir.IRBuilder, s: Any, args: list[ir.Value]) -> ir.Value:
    (x,) = args
    bits, signed = s.return_type.bitwidth, s.return_type.signed
    to = ir.IntType(bits)
    limit = _const(x, 2.0 ** (bits - signed))
    low = _const(x, -(2.0 ** (bits - 1)) if signed else 0.0)
    above, below = b.fcmp_ordered(">=", x, limit), b.fcmp_ordered("<=", x, low)
    inside = b.and_(b.fcmp_ordered("<", x, limit), b.fcmp_ordered(">", x, low))
    safe = b.select(inside, x, _const(x, 0.0))
    value = b.fptosi(safe, to) if signed else b.fptoui(safe, to)
    smallest = -(1 << (bits - 1)) if signed else 0
    value = b.select(below, ir.Constant(to, smallest), value)
    return b.select(above, ir.Constant(to, (1 << (bits - signed)) - 1), value)


# f16 and bf16 live in f32 registers


def _f16_bits(b: ir.IRBuilder, s: Any, args: list[ir.Value]) -> ir.Value:
    return b.bitcast(_to_half(b, args[0]), ir.IntType(16))


def _to_half(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """From f64 through an f32 rounded to odd: rounding twice is then correct."""
    if isinstance(x.type, ir.DoubleType):
        x = _double_to_odd_float(b, x)
    return b.fptrunc(x, ir.HalfType())


def _double_to_odd_float(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    nearest = b.fptrunc(x, ir.FloatType())
    back = b.fpext(nearest, ir.DoubleType())
    bits = b.bitcast(nearest, ir.IntType(32))
    # The larger size of the two, without fabs, which libNVVM does not know.
    above, below = b.fcmp_ordered(">", back, x), b.fcmp_ordered("<", back, x)
    outward = b.select(b.fcmp_ordered(">", x, _const(x, 0.0)), above, below)
    odd = b.or_(b.sub(bits, b.zext(outward, bits.type)), _const(bits, 1))
    chosen = b.select(b.fcmp_ordered("!=", x, back), odd, bits)
    return b.bitcast(chosen, ir.FloatType())


def _round_f16(b: ir.IRBuilder, s: Any, args: list[ir.Value]) -> ir.Value:
    return b.fpext(_to_half(b, args[0]), ir.FloatType())


def _f16_from_bits(b: ir.IRBuilder, s: Any, args: list[ir.Value]) -> ir.Value:
    return b.fpext(b.bitcast(args[0], ir.HalfType()), ir.FloatType())


def _bf16_high(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """The rounded upper half of an f32, in the low 16 bits of an i32."""
    if isinstance(x.type, ir.DoubleType):
        x = b.fptrunc(x, ir.FloatType())
    bits = b.bitcast(x, ir.IntType(32))
    high = b.lshr(bits, _const(bits, 16))
    bias = b.add(b.and_(high, _const(bits, 1)), _const(bits, 0x7FFF))
    rounded = b.lshr(b.add(bits, bias), _const(bits, 16))
    nan = b.fcmp_unordered("uno", x, x)
    return b.select(nan, b.or_(high, _const(bits, 0x40)), rounded)


def _bf16_bits(b: ir.IRBuilder, s: Any, args: list[ir.Value]) -> ir.Value:
    return b.trunc(_bf16_high(b, args[0]), ir.IntType(16))


def _round_bf16(b: ir.IRBuilder, s: Any, args: list[ir.Value]) -> ir.Value:
    high = _bf16_high(b, args[0])
    return b.bitcast(b.shl(high, _const(high, 16)), ir.FloatType())


def _bf16_from_bits(b: ir.IRBuilder, s: Any, args: list[ir.Value]) -> ir.Value:
    wide = b.zext(args[0], ir.IntType(32))
    return b.bitcast(b.shl(wide, _const(wide, 16)), ir.FloatType())


def _always(dtype: Any) -> Callable[..., Any]:
    return lambda *operands: dtype


def _second(condition: Any, a: Any, b: Any) -> Any:
    return a


def _intrinsics() -> dict[str, Any]:
    f32, u16, boolean = types.float32, types.uint16, types.boolean
    unary = {"sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "trunc": "trunc"}
    table = {n: _define(n, 1, _float_op(op)) for n, op in unary.items()}
    table |= {
        "rint": _define("rint", 1, _float_op("rint")),
        "copysign": _define("copysign", 2, _float_op("copysign")),
        "popcnt": _define("popcnt", 1, _float_op("ctpop")),
        "select": _define("select", 3, _select, _second),
        "fma": _define("fma", 3, _fma),
        "minimum": _define("minimum", 2, _extremum("minimum")),
        "maximum": _define("maximum", 2, _extremum("maximum")),
        "div": _define("div", 2, _divide),
        "rem": _define("rem", 2, _remainder),
        "shl": _define("shl", 2, _shift("shl")),
        "shr": _define("shr", 2, _shift("lshr")),
        "sar": _define("sar", 2, _shift("ashr")),
        "bitnot": _define("bitnot", 1, _not),
        "absolute": _define("absolute", 1, _absolute),
        "negate": _define("negate", 1, _negate),
        "isnan": _define("isnan", 1, _isnan, _always(boolean)),
        "round_f16": _define("round_f16", 1, _round_f16, _always(f32)),
        "round_bf16": _define("round_bf16", 1, _round_bf16, _always(f32)),
        "f16_bits": _define("f16_bits", 1, _f16_bits, _always(u16)),
        "bf16_bits": _define("bf16_bits", 1, _bf16_bits, _always(u16)),
        "f16_from_bits": _define("f16_from_bits", 1, _f16_from_bits, _always(f32)),
        "bf16_from_bits": _define("bf16_from_bits", 1, _bf16_from_bits, _always(f32)),
    }
    return table


def _typed(name: str) -> Any:
    """``f32``, ``bool_``, ``saturate_i32``, ``bitcast_u64``: by name."""
    kind, _, short = name.removesuffix("_").rpartition("_")
    dtype = t.dtype_of(short)
    if not kind:
        return dtype.np.type
    emit = _saturate if kind == "saturate" else _bitcast
    return _define(name, 1, emit, _always(_numba_type(dtype)))


@cache
def cpu_namespace() -> Mapping[str, Any]:
    """Every name of `python_prelude.NAMESPACE` for Numba functions; built once."""
    table = {"INF": np.inf, "NAN": np.nan} | _intrinsics()
    names = [n for n in python_prelude.NAMESPACE if n not in table]
    return table | {name: _typed(name) for name in names}


def cuda_namespace() -> Mapping[str, Any]:
    """The names for CUDA kernels; in Numba's CUDA simulator those of plain Python."""
    simulated = bool(getattr(config, "ENABLE_CUDASIM", False))
    return python_prelude.NAMESPACE if simulated else cpu_namespace()
