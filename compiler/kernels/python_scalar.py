"""Lowers scalar expressions to Python source, one readable assignment each.

The source runs as plain Python on NumPy scalars or arrays with the names of
`python_prelude.NAMESPACE`, and inside Numba functions (CPU and CUDA, compiled with
``error_model="numpy"``) with those of `numba_prelude`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from compiler.errors import KernelError
from compiler.ir import types as t
from compiler.ir.types import DType
from compiler.kernels.expr import COMPARE, Expr
from compiler.kernels.expr_walk import post_order
from compiler.kernels.python_prelude import NAMESPACE
from compiler.kernels.scalar_math import ScalarFunction, lookup

_INFIX = {"add": "+", "sub": "-", "mul": "*", "and": "&", "or": "|", "xor": "^"}
_COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_BOOL = {"add": "|", "mul": "&", "sub": "^", "minimum": "&", "maximum": "|"}
_ROUNDING = frozenset(["add", "sub", "mul", "div", "rem", "fma", "sqrt"])
_CALLED = {"neg": "negate", "abs": "absolute", "not": "bitnot"}
_WORDS = {t.i64, t.u64, t.f32, t.f64, t.bool_}  # Numba keeps these dtypes


class TemporaryNames:
    """Fresh names ``t1``, ``t2``, ...; one supply for each Python function."""

    def __init__(self, prefix: str = "t") -> None:
        self._prefix = prefix
        self._count = 0

    def __call__(self) -> str:
        """The next name."""
        self._count += 1
        return f"{self._prefix}{self._count}"


def _no_loads(expr: Expr) -> str:
    raise KernelError(f"a load outside of a kernel: {expr.attr}")


class PythonScalar:
    """Lowers expressions to assignments appended to `lines`.

    Args:
        lines: where the assignments go; may be replaced between expressions.
        fresh: supplies names of temporaries.
        load: lowers a ``load`` expression and answers with a name or an atom.
        indent: put before every line; may be changed between expressions.

    `env` maps the names of ``var`` expressions to Python names. As in `LlvmScalar`,
    every `Expr` object is lowered once for each scope.
    """

    def __init__(
        self,
        lines: list[str],
        fresh: Callable[[], str] | None = None,
        load: Callable[[Expr], str] = _no_loads,
        indent: str = "    ",
    ) -> None:
        self.lines = lines
        self.indent = indent
        self.env: dict[str, str] = {}
        self._fresh = fresh or TemporaryNames()
        self._load = load
        self._scopes: list[dict[Expr, str]] = [{}]

    def push_scope(self) -> None:
        """Enter a loop body: values from here on are forgotten by pop."""
        self._scopes.append({})

    def pop_scope(self) -> None:
        """Leave the innermost scope."""
        self._scopes.pop()

    def _known(self, expr: Expr) -> str | None:
        return next((s[expr] for s in self._scopes if expr in s), None)

    def value(self, expr: Expr) -> str:
        """The name or literal of `expr`, lowering what is not yet lowered."""
        for each in post_order([expr], lambda e: self._known(e) is not None):
            self._scopes[-1][each] = self._lower(each)
        return self._known(expr) or ""

    def assign(self, source: str) -> str:
        """Append ``name = source`` with a fresh name and answer with the name."""
        name = self._fresh()
        self.lines.append(f"{self.indent}{name} = {source}")
        return name

    def _lower(self, expr: Expr) -> str:
        if expr.op == "const":
            return literal(expr.attr, expr.dtype)
        if expr.op == "var":
            return self._variable(expr)
        if expr.op == "load":
            return self._load(expr)
        args = [self._known(a) or "" for a in expr.args]
        return self.assign(_operation(expr, args))

    def _variable(self, expr: Expr) -> str:
        if expr.attr not in self.env:
            known = ", ".join(self.env) or "none"
            raise KernelError(f"scalar {expr.attr!r} is not bound; bound: {known}")
        return self.env[expr.attr]


def literal(value: Any, dtype: DType) -> str:
    """Source of a literal in the register form of `dtype`: ``f32(0.5)``."""
    if dtype is t.bool_:
        return f"bool_({bool(value)})"
    if not dtype.is_float:
        return f"{dtype.name}({int(value)})"
    number = float(value)
    text = {math.inf: "INF", -math.inf: "-INF"}.get(number, repr(number))
    text = "NAN" if math.isnan(number) else text
    return f"{'f64' if dtype is t.f64 else 'f32'}({text})"


def _operation(expr: Expr, args: list[str]) -> str:
    """Source of one operation on atoms."""
    if expr.op == "call":
        name = python_name(lookup(expr.attr, expr.dtype))
        return f"{name}({', '.join(args)})"
    if expr.op == "convert":
        return _conversion(expr.args[0].dtype, expr.dtype, args[0])
    if expr.op == "bitcast":
        return _bitcast(expr.args[0].dtype, expr.dtype, args[0])
    if expr.op in COMPARE:
        return f"{args[0]} {_COMPARE[expr.op]} {args[1]}"
    if expr.dtype is t.bool_ and expr.op in _BOOL:
        return f"{args[0]} {_BOOL[expr.op]} {args[1]}"
    return _kept(expr, _arithmetic(expr, args))


def _arithmetic(expr: Expr, args: list[str]) -> str:
    if expr.op in _INFIX:
        return f"{args[0]} {_INFIX[expr.op]} {args[1]}"
    if expr.op == "div" and expr.dtype.is_float:
        return f"{args[0]} / {args[1]}"
    if expr.op in ("floor", "ceil", "rint", "trunc") and not expr.dtype.is_float:
        return args[0]
    if expr.op == "isnan" and not expr.args[0].dtype.is_float:
        return "bool_(False)"
    name = _CALLED.get(expr.op, expr.op)
    if name not in NAMESPACE:
        raise KernelError(f"Python has no lowering of scalar op {expr.op!r}")
    return f"{name}({', '.join(args)})"


def _kept(expr: Expr, source: str) -> str:
    """Bring a result back to its dtype, where an operator may leave it."""
    if expr.dtype in (t.f16, t.bf16):
        rounds = expr.op in _ROUNDING
        return f"round_{expr.dtype.name}({source})" if rounds else source
    if expr.dtype in _WORDS or expr.op not in _INFIX:
        return source
    return f"{expr.dtype.name}({source})"


def _conversion(source: DType, target: DType, x: str) -> str:
    if source is target:
        return x
    if target is t.bool_:
        return f"{x} != {literal(0, source)}"
    if target.is_integer and source.is_float:
        return f"saturate_{target.name}({x})"
    if target in (t.f16, t.bf16):
        wide = x if source.is_float else f"f64({x})" if target is t.f16 else f"f32({x})"
        return f"round_{target.name}({wide})"
    return f"{target.name}({x})"


def _bitcast(source: DType, target: DType, x: str) -> str:
    if source in (t.f16, t.bf16):
        source, x = t.u16, f"{source.name}_bits({x})"
    if target in (t.f16, t.bf16):
        bits = x if source is t.u16 else f"bitcast_u16({x})"
        return f"{target.name}_from_bits({bits})"
    if source is target:
        return x
    name = "bool_" if target is t.bool_ else target.name
    return f"{name}({x})" if t.bool_ in (source, target) else f"bitcast_{name}({x})"


def python_name(function: ScalarFunction) -> str:
    """Name of a scalar function in generated source: ``tanh_f32``."""
    return f"{function.name}_{function.dtype.name}"


def python_function_source(function: ScalarFunction) -> str:
    """The ``def`` of a scalar function."""
    lines: list[str] = []
    scalar = PythonScalar(lines)
    scalar.env = {p.attr: p.attr for p in function.params}
    result = scalar.value(function.body)
    formal = ", ".join(p.attr for p in function.params)
    head = f"def {python_name(function)}({formal}):"
    return "\n".join([head, *lines, f"    return {result}", ""])
