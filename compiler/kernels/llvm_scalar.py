"""Lowers scalar expressions to LLVM IR text.

`LlvmScalar` appends the instructions of one expression after another to a list of
lines and answers with the SSA name of the result. The functions that expressions call
are added to the finished module text by `link_scalar_functions`.

Floating point keeps IEEE 754: the only fast-math flag is ``contract``, on the four
arithmetic instructions of kernel bodies, and none in the bodies of `scalar_math`,
whose error-free transformations it would break.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from compiler.errors import KernelError
from compiler.ir import types as t
from compiler.ir.types import DType
from compiler.kernels.expr import COMPARE, Expr
from compiler.kernels.expr_walk import post_order
from compiler.kernels.llvm_literals import (
    float_literal,
    literal,
    memory_type,
    register_type,
)
from compiler.kernels.llvm_remainder import REMAINDER_DEFINITIONS
from compiler.kernels.scalar_math import ScalarFunction, lookup

_FLOAT_ARITHMETIC = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_BITWISE = {"add": "add", "sub": "sub", "mul": "mul"}
_BITWISE |= {"and": "and", "or": "or", "xor": "xor"}
_BOOL = {"add": "or", "mul": "and", "minimum": "and", "maximum": "or"}
_BOOL |= {"and": "and", "or": "or", "xor": "xor", "sub": "xor"}
_FLOAT_UNARY = {"abs": "fabs", "sqrt": "sqrt", "floor": "floor", "ceil": "ceil"}
_FLOAT_UNARY |= {"rint": "roundeven", "trunc": "trunc"}
_FLOAT_COMPARE = {"eq": "oeq", "ne": "une", "lt": "olt", "le": "ole"}
_FLOAT_COMPARE |= {"gt": "ogt", "ge": "oge"}
_LLVM_FLOATS = {"float": "f32", "double": "f64"}
_SUPPORT = re.compile(r"@(jf_[a-z0-9_]+_f(?:32|64))\(")
_INTRINSIC = re.compile(r"call (?:[a-z]+ )*(\w+) @(llvm\.[\w.]+)\(([^)]*)\)")


class NameSupply:
    """Fresh SSA names ``%v1``, ``%v2``, ...; one supply for each LLVM function."""

    def __init__(self, prefix: str = "v") -> None:
        self._prefix = prefix
        self._count = 0

    def __call__(self) -> str:
        """The next name."""
        self._count += 1
        return f"%{self._prefix}{self._count}"


def _no_loads(expr: Expr) -> str:
    raise KernelError(f"a load outside of a kernel: {expr.attr}")


class LlvmScalar:
    """Lowers expressions to instructions appended to `lines`.

    Args:
        lines: where instructions go; may be replaced (``scalar.lines = block``) when
            the emitter moves to another basic block.
        fresh: supplies SSA names.
        load: lowers a ``load`` expression and answers with a register value; it may
            use `value` for indices and `from_memory` for the element.
        contract: let LLVM fuse products and sums of kernel arithmetic.

    `env` maps the names of ``var`` expressions to register values. Every `Expr` object
    is lowered once for each scope (`push_scope`, `pop_scope`): what was computed
    inside a loop does not dominate what comes after it.
    """

    def __init__(
        self,
        lines: list[str],
        fresh: Callable[[], str] | None = None,
        load: Callable[[Expr], str] = _no_loads,
        *,
        contract: bool = True,
    ) -> None:
        self.lines = lines
        self.env: dict[str, str] = {}
        self._fresh = fresh or NameSupply()
        self._load = load
        self._flags = "contract " if contract else ""
        self._scopes: list[dict[Expr, str]] = [{}]

    # Scopes

    def push_scope(self) -> None:
        """Enter a loop body or branch: values from here on are forgotten by pop."""
        self._scopes.append({})

    def pop_scope(self) -> None:
        """Leave the innermost scope."""
        self._scopes.pop()

    def _known(self, expr: Expr) -> str | None:
        return next((s[expr] for s in self._scopes if expr in s), None)

    # Expressions

    def value(self, expr: Expr) -> str:
        """The SSA name or literal of `expr`, lowering what is not yet lowered."""
        for each in post_order([expr], lambda e: self._known(e) is not None):
            self._scopes[-1][each] = self._lower(each)
        return self._known(expr) or ""

    def emit(self, instruction: str) -> str:
        """Append ``%fresh = instruction`` and answer with the name."""
        name = self._fresh()
        self.lines.append(f"  {name} = {instruction}")
        return name

    def _lower(self, expr: Expr) -> str:
        if expr.op == "const":
            return literal(expr.attr, expr.dtype)
        if expr.op == "var":
            return self._variable(expr)
        if expr.op == "load":
            return self._load(expr)
        args = [self._known(a) or "" for a in expr.args]
        if expr.op == "call":
            return self._call(expr, args)
        handler = _HANDLERS.get(expr.op)
        if handler is None:
            raise KernelError(f"LLVM has no lowering of scalar op {expr.op!r}")
        return handler(self, expr, *args)

    def _variable(self, expr: Expr) -> str:
        if expr.attr not in self.env:
            known = ", ".join(self.env) or "none"
            raise KernelError(f"scalar {expr.attr!r} is not bound; bound: {known}")
        return self.env[expr.attr]

    def _call(self, expr: Expr, args: list[str]) -> str:
        function = lookup(expr.attr, expr.dtype)
        ty = register_type(expr.dtype)
        actual = ", ".join(f"{ty} {a}" for a in args)
        return self.emit(f"call {ty} @{symbol_of(function)}({actual})")

    # Memory forms

    def from_memory(self, dtype: DType, stored: str) -> str:
        """Register value of a stored element (of type `memory_type`)."""
        if dtype is t.bool_:
            return self.emit(f"icmp ne i8 {stored}, 0")
        if dtype is t.f16:
            return self.emit(f"fpext half {stored} to float")
        if dtype is t.bf16:
            wide = self.emit(f"zext i16 {stored} to i32")
            high = self.emit(f"shl i32 {wide}, 16")
            return self.emit(f"bitcast i32 {high} to float")
        return stored

    def to_memory(self, dtype: DType, value: str) -> str:
        """Stored form (of type `memory_type`) of a register value."""
        if dtype is t.bool_:
            return self.emit(f"zext i1 {value} to i8")
        if dtype is t.f16:
            return self.emit(f"fptrunc float {value} to half")
        if dtype is t.bf16:
            return self._bf16_bits(value)
        return value

    def load_element(self, dtype: DType, pointer: str, suffix: str = "") -> str:
        """Load an element from `pointer` (an SSA name) into register form."""
        stored = self.emit(f"load {memory_type(dtype)}, ptr {pointer}{suffix}")
        return self.from_memory(dtype, stored)

    def store_element(
        self, dtype: DType, value: str, pointer: str, suffix: str = ""
    ) -> None:
        """Store a register value to `pointer`; `suffix` is alignment or metadata."""
        stored = self.to_memory(dtype, value)
        self.lines.append(
            f"  store {memory_type(dtype)} {stored}, ptr {pointer}{suffix}"
        )

    def _bf16_bits(self, value: str) -> str:
        """Round to nearest even in integers; a NaN is made quiet, not rounded up."""
        bits = self.emit(f"bitcast float {value} to i32")
        high = self.emit(f"lshr i32 {bits}, 16")
        odd = self.emit(f"and i32 {high}, 1")
        bias = self.emit(f"add i32 {odd}, 32767")
        sum_ = self.emit(f"add i32 {bits}, {bias}")
        rounded = self.emit(f"lshr i32 {sum_}, 16")
        quiet = self.emit(f"or i32 {high}, 64")
        nan = self.emit(f"fcmp uno float {value}, {value}")
        chosen = self.emit(f"select i1 {nan}, i32 {quiet}, i32 {rounded}")
        return self.emit(f"trunc i32 {chosen} to i16")

    def _rounded(self, dtype: DType, value: str) -> str:
        """A computed float as a value of `dtype`: f16 and bf16 round to 16 bits."""
        if dtype not in (t.f16, t.bf16):
            return value
        return self.from_memory(dtype, self.to_memory(dtype, value))

    # Arithmetic

    def _arithmetic(self, expr: Expr, a: str, b: str) -> str:
        dtype, ty = expr.dtype, register_type(expr.dtype)
        if dtype is t.bool_:
            return self.emit(f"{_BOOL[expr.op]} i1 {a}, {b}")
        if dtype.is_float:
            op = _FLOAT_ARITHMETIC[expr.op]
            return self._rounded(dtype, self.emit(f"{op} {self._flags}{ty} {a}, {b}"))
        return self.emit(f"{_BITWISE[expr.op]} {ty} {a}, {b}")

    def _divide(self, expr: Expr, a: str, b: str) -> str:
        if expr.dtype.is_float:
            return self._arithmetic(expr, a, b)
        quotient, zero = self._guarded(expr.dtype, "div", a, b)
        ty = register_type(expr.dtype)
        return self.emit(f"select i1 {zero}, {ty} 0, {ty} {quotient}")

    def _remainder(self, expr: Expr, a: str, b: str) -> str:
        if not expr.dtype.is_float:
            return self._guarded(expr.dtype, "rem", a, b)[0]
        ty = register_type(expr.dtype)
        symbol = f"jf_rem_{_LLVM_FLOATS[ty]}"
        exact = self.emit(f"call {ty} @{symbol}({ty} {a}, {ty} {b})")
        return self._rounded(expr.dtype, exact)

    def _guarded(self, dtype: DType, op: str, a: str, b: str) -> tuple[str, str]:
        """``a op b`` with a divisor of 1 where the instruction would trap.

        With 1, INT_MIN / -1 gives INT_MIN and x % 0 gives 0, as they should. The
        second result tells where the divisor was zero.
        """
        ty = register_type(dtype)
        zero = self.emit(f"icmp eq {ty} {b}, 0")
        unsafe = zero
        if dtype.kind == "i":
            smallest = self.emit(f"icmp eq {ty} {a}, {-(1 << (dtype.bits - 1))}")
            minus_one = self.emit(f"icmp eq {ty} {b}, -1")
            overflow = self.emit(f"and i1 {smallest}, {minus_one}")
            unsafe = self.emit(f"or i1 {zero}, {overflow}")
        safe = self.emit(f"select i1 {unsafe}, {ty} 1, {ty} {b}")
        prefix = "s" if dtype.kind == "i" else "u"
        return self.emit(f"{prefix}{op} {ty} {a}, {safe}"), zero

    def _fma(self, expr: Expr, a: str, b: str, c: str) -> str:
        if not expr.dtype.is_float:
            ty = register_type(expr.dtype)
            return self.emit(f"add {ty} {self.emit(f'mul {ty} {a}, {b}')}, {c}")
        return self._rounded(expr.dtype, self._intrinsic("fma", expr.dtype, a, b, c))

    def _intrinsic(self, name: str, dtype: DType, *args: str) -> str:
        """Call ``llvm.<name>``, all of whose operands have the result's type."""
        ty = register_type(dtype)
        suffix = _LLVM_FLOATS.get(ty, ty)
        actual = ", ".join(f"{ty} {a}" for a in args)
        return self.emit(f"call {ty} @llvm.{name}.{suffix}({actual})")

    def _negate(self, expr: Expr, x: str) -> str:
        ty = register_type(expr.dtype)
        if expr.dtype.is_float:
            return self.emit(f"fneg {ty} {x}")
        return x if expr.dtype is t.bool_ else self.emit(f"sub {ty} 0, {x}")

    def _float_unary(self, expr: Expr, x: str) -> str:
        if not expr.dtype.is_float:
            return self._integer_unary(expr, x)
        value = self._intrinsic(_FLOAT_UNARY[expr.op], expr.dtype, x)
        return self._rounded(expr.dtype, value) if expr.op == "sqrt" else value

    def _integer_unary(self, expr: Expr, x: str) -> str:
        if expr.op == "sqrt":
            raise KernelError(f"sqrt of {expr.dtype.long}: convert to a float first")
        if expr.op != "abs" or expr.dtype.kind != "i":
            return x
        ty = register_type(expr.dtype)
        negative = self.emit(f"icmp slt {ty} {x}, 0")
        negated = self.emit(f"sub {ty} 0, {x}")
        return self.emit(f"select i1 {negative}, {ty} {negated}, {ty} {x}")

    def _copysign(self, expr: Expr, a: str, b: str) -> str:
        return self._intrinsic("copysign", expr.dtype, a, b)

    def _extremum(self, expr: Expr, a: str, b: str) -> str:
        if expr.dtype is t.bool_:
            return self._arithmetic(expr, a, b)
        if expr.dtype.is_float:
            return self._intrinsic(expr.op, expr.dtype, a, b)
        sign = "s" if expr.dtype.kind == "i" else "u"
        return self._intrinsic(f"{sign}{expr.op[:3]}", expr.dtype, a, b)

    def _compare(self, expr: Expr, a: str, b: str) -> str:
        dtype = expr.args[0].dtype
        ty = register_type(dtype)
        if dtype.is_float:
            return self.emit(f"fcmp {_FLOAT_COMPARE[expr.op]} {ty} {a}, {b}")
        sign = "" if expr.op in ("eq", "ne") else "s" if dtype.kind == "i" else "u"
        return self.emit(f"icmp {sign}{expr.op} {ty} {a}, {b}")

    def _isnan(self, expr: Expr, x: str) -> str:
        dtype = expr.args[0].dtype
        if not dtype.is_float:
            return "false"
        return self.emit(f"fcmp uno {register_type(dtype)} {x}, {x}")

    # Bits

    def _not(self, expr: Expr, x: str) -> str:
        ones = "true" if expr.dtype is t.bool_ else "-1"
        return self.emit(f"xor {register_type(expr.dtype)} {x}, {ones}")

    def _popcnt(self, expr: Expr, x: str) -> str:
        return self._intrinsic("ctpop", expr.dtype, x)

    def _shift(self, expr: Expr, x: str, count: str) -> str:
        """Shift with the count compared unsigned: too large or negative gives 0."""
        ty, bits = register_type(expr.dtype), expr.dtype.bits
        small = self.emit(f"icmp ult {ty} {count}, {bits}")
        if expr.op == "sar":
            clamped = self.emit(f"select i1 {small}, {ty} {count}, {ty} {bits - 1}")
            return self.emit(f"ashr {ty} {x}, {clamped}")
        safe = self.emit(f"select i1 {small}, {ty} {count}, {ty} 0")
        op = "shl" if expr.op == "shl" else "lshr"
        shifted = self.emit(f"{op} {ty} {x}, {safe}")
        return self.emit(f"select i1 {small}, {ty} {shifted}, {ty} 0")

    def _select(self, expr: Expr, c: str, a: str, b: str) -> str:
        ty = register_type(expr.dtype)
        return self.emit(f"select i1 {c}, {ty} {a}, {ty} {b}")

    def _bitcast(self, expr: Expr, x: str) -> str:
        source, target = expr.args[0].dtype, expr.dtype
        stored = self.to_memory(source, x)
        from_type, to_type = memory_type(source), memory_type(target)
        if from_type != to_type:
            stored = self.emit(f"bitcast {from_type} {stored} to {to_type}")
        return self.from_memory(target, stored)

    # Conversions

    def _convert(self, expr: Expr, x: str) -> str:
        source, target = expr.args[0].dtype, expr.dtype
        if source is target:
            return x
        if target is t.bool_:
            return self._to_bool(source, x)
        if source.is_float:
            to = self._float_to_float if target.is_float else self._float_to_int
            return to(source, target, x)
        if target.is_float:
            return self._int_to_float(source, target, x)
        return self._int_to_int(source, target, x)

    def _to_bool(self, source: DType, x: str) -> str:
        ty = register_type(source)
        if source.is_float:
            return self.emit(f"fcmp une {ty} {x}, {float_literal(0.0)}")
        return self.emit(f"icmp ne {ty} {x}, 0")

    def _int_to_int(self, source: DType, target: DType, x: str) -> str:
        from_type, to_type = register_type(source), register_type(target)
        if from_type == to_type:
            return x
        extend = "sext" if source.kind == "i" else "zext"
        op = "trunc" if source.bits > target.bits else extend
        return self.emit(f"{op} {from_type} {x} to {to_type}")

    def _int_to_float(self, source: DType, target: DType, x: str) -> str:
        op = "sitofp" if source.kind == "i" else "uitofp"
        ty = "double" if target is t.f16 else register_type(target)
        value = self.emit(f"{op} {register_type(source)} {x} to {ty}")
        if target is t.f16:
            value = self._double_to_odd_float(value)
        return self._rounded(target, value)

    def _float_to_float(self, source: DType, target: DType, x: str) -> str:
        if target is t.f64:
            return self.emit(f"fpext float {x} to double")
        if source is t.f64 and target is t.f16:
            x = self._double_to_odd_float(x)
        elif source is t.f64:
            x = self.emit(f"fptrunc double {x} to float")
        return self._rounded(target, x)

    def _double_to_odd_float(self, x: str) -> str:
        """Narrow to f32 rounding to odd, so that rounding again to f16 is correct.

        LLVM's own f64 to f16 conversion is a library call on most CPUs.
        """
        nearest = self.emit(f"fptrunc double {x} to float")
        back = self.emit(f"fpext float {nearest} to double")
        inexact = self.emit(f"fcmp one double {x}, {back}")
        x_size = self._intrinsic("fabs", t.f64, x)
        back_size = self._intrinsic("fabs", t.f64, back)
        outward = self.emit(f"fcmp ogt double {back_size}, {x_size}")
        step = self.emit(f"select i1 {outward}, i32 -1, i32 0")
        bits = self.emit(f"bitcast float {nearest} to i32")
        toward_zero = self.emit(f"add i32 {bits}, {step}")
        odd = self.emit(f"or i32 {toward_zero}, 1")
        chosen = self.emit(f"select i1 {inexact}, i32 {odd}, i32 {bits}")
        return self.emit(f"bitcast i32 {chosen} to float")

    def _float_to_int(self, source: DType, target: DType, x: str) -> str:
        """Saturating, NaN to 0, in selects: ``llvm.fptosi.sat`` does not vectorise."""
        ty, to = register_type(source), register_type(target)
        signed = target.kind == "i"
        limit = float_literal(2.0 ** (target.bits - signed))
        low = float_literal(-(2.0 ** (target.bits - 1)) if signed else 0.0)
        above = self.emit(f"fcmp oge {ty} {x}, {limit}")
        below = self.emit(f"fcmp ole {ty} {x}, {low}")
        nan = self.emit(f"fcmp uno {ty} {x}, {x}")
        outside = self.emit(f"or i1 {self.emit(f'or i1 {above}, {below}')}, {nan}")
        zero = float_literal(0.0)
        safe = self.emit(f"select i1 {outside}, {ty} {zero}, {ty} {x}")
        op = "fptosi" if signed else "fptoui"
        inside = self.emit(f"{op} {ty} {safe} to {to}")
        smallest = -(1 << (target.bits - 1)) if signed else 0
        largest = (1 << (target.bits - signed)) - 1
        floor = self.emit(f"select i1 {below}, {to} {smallest}, {to} {inside}")
        return self.emit(f"select i1 {above}, {to} {largest}, {to} {floor}")


_HANDLERS: dict[str, Callable[..., str]] = {
    **dict.fromkeys(("add", "sub", "mul", "and", "or", "xor"), LlvmScalar._arithmetic),
    **dict.fromkeys(_FLOAT_UNARY, LlvmScalar._float_unary),
    **dict.fromkeys(("minimum", "maximum"), LlvmScalar._extremum),
    **dict.fromkeys(("shl", "shr", "sar"), LlvmScalar._shift),
    **dict.fromkeys(COMPARE, LlvmScalar._compare),
    "div": LlvmScalar._divide,
    "rem": LlvmScalar._remainder,
    "fma": LlvmScalar._fma,
    "neg": LlvmScalar._negate,
    "copysign": LlvmScalar._copysign,
    "isnan": LlvmScalar._isnan,
    "not": LlvmScalar._not,
    "popcnt": LlvmScalar._popcnt,
    "select": LlvmScalar._select,
    "convert": LlvmScalar._convert,
    "bitcast": LlvmScalar._bitcast,
}


def symbol_of(function: ScalarFunction) -> str:
    """Name of a scalar function in LLVM modules: ``jf_tanh_f32``."""
    return f"jf_{function.name}_{function.dtype.name}"


def define_function(function: ScalarFunction) -> str:
    """LLVM definition of a scalar function, without fast-math flags."""
    lines: list[str] = []
    scalar = LlvmScalar(lines, contract=False)
    ty = register_type(function.dtype)
    scalar.env = {p.attr: f"%{p.attr}" for p in function.params}
    result = scalar.value(function.body)
    formal = ", ".join(f"{ty} %{p.attr}" for p in function.params)
    head = f"define internal {ty} @{symbol_of(function)}({formal})"
    attributes = "alwaysinline nounwind willreturn memory(none)"
    return "\n".join(
        [f"{head} {attributes} {{", "entry:", *lines, f"  ret {ty} {result}", "}\n"]
    )


@cache
def _definition(symbol: str) -> str:
    """Text of a ``jf_*`` function; cached, for kernels share few functions."""
    if symbol in REMAINDER_DEFINITIONS:
        return REMAINDER_DEFINITIONS[symbol]
    name, _, dtype = symbol.removeprefix("jf_").rpartition("_")
    return define_function(lookup(name, t.dtype_of(dtype)))


def link_scalar_functions(text: str) -> str:
    """`text` with definitions of the ``@jf_*`` functions it calls, and declarations.

    Adds every scalar function that is called but not defined, transitively, and a
    ``declare`` line for every ``llvm.*`` intrinsic that is called and not declared.
    """
    parts, defined = [text], set(re.findall(r"define [^@\n]*@(\w+)\(", text))
    pending = sorted(set(_SUPPORT.findall(text)) - defined)
    while pending:
        symbol = pending.pop()
        defined.add(symbol)
        parts.append(_definition(symbol))
        called = set(_SUPPORT.findall(parts[-1]))
        pending += sorted(called - defined - set(pending))
    module = "\n".join(parts)
    return f"{intrinsic_declarations(module)}\n{module}"


def intrinsic_declarations(text: str) -> str:
    """``declare`` lines of the ``llvm.*`` intrinsics called and not declared."""
    declared = set(re.findall(r"declare [^@\n]*@(llvm\.[\w.]+)\(", text))
    lines: dict[str, str] = {}
    for result, name, args in _INTRINSIC.findall(text):
        if name not in declared:
            types = ", ".join(a.split()[0] for a in args.split(",") if a.strip())
            lines[name] = f"declare {result} @{name}({types})"
    return "\n".join(lines[name] for name in sorted(lines))
