"""Scalar expressions: the language in which kernels compute one element.

An `Expr` is immutable data. Op records build expressions through `ScalarBuilder`
(``emit(k, x)``), the scalar functions of `scalar_math` are written in the same
language, and every target walks the same data: LLVM IR, Python source for Numba and
CUDA, and NumPy for tests.

Primitive ops and their meaning (IEEE 754 where floats are concerned):

========================  ===========================================================
const, var, load          leaf: literal, named scalar, element of a buffer
add sub mul div           arithmetic; integer ``div`` truncates, by zero gives 0
rem                       C remainder (sign of the dividend); integer by zero gives 0
fma                       ``a*b+c`` rounded once
neg abs sqrt floor ceil   as named (``abs`` of the smallest integer is itself)
rint trunc copysign       round half to even; toward zero; sign of the second
minimum maximum           NaN if either is NaN; -0 < +0
eq ne lt le gt ge         compare, result bool; unordered is False but for ``ne``
and or xor not            bitwise on integers, logical on bool
shl shr sar               shifts; counts >= bits give 0 (``sar``: the sign)
popcnt                    number of set bits
select                    ``select(c, a, b)``: a where c else b (no short circuit)
convert                   C cast; float to int saturates and NaN gives 0
bitcast                   same bits, other type of the same size
call                      a function of `scalar_math` by name
isnan                     ``x != x``
========================  ===========================================================
"""

from __future__ import annotations

from typing import Any

import numpy as np

from compiler.ir import types as t
from compiler.ir.types import DType

UNARY = frozenset(
    [
        "neg",
        "abs",
        "sqrt",
        "floor",
        "ceil",
        "rint",
        "trunc",
        "not",
        "popcnt",
        "isnan",
        "convert",
        "bitcast",
    ]
)
COMPARE = frozenset(["eq", "ne", "lt", "le", "gt", "ge"])
BINARY = (
    frozenset(
        [
            "add",
            "sub",
            "mul",
            "div",
            "rem",
            "copysign",
            "minimum",
            "maximum",
            "and",
            "or",
            "xor",
            "shl",
            "shr",
            "sar",
        ]
    )
    | COMPARE
)
TERNARY = frozenset(["fma", "select"])


class Expr:
    """One scalar operation: `op`, operand expressions, result dtype, attribute.

    `attr` is the literal of a ``const`` (a NumPy scalar), the name of a ``var`` or
    ``call``, the ``(buffer, index)`` of a ``load``, and None otherwise. Shared
    sub-expressions are shared objects; a target names each object once.
    """

    __slots__ = ("args", "attr", "dtype", "op")

    def __init__(
        self, op: str, args: tuple[Expr, ...], dtype: DType, attr: Any = None
    ) -> None:
        self.op = op
        self.args = args
        self.dtype = dtype
        self.attr = attr

    def __repr__(self) -> str:
        attr = "" if self.attr is None else f"{self.attr}"
        return f"{self.op}.{self.dtype}({', '.join([attr, *map(repr, self.args)])})"


class ScalarBuilder:
    """Builds `Expr` objects; the ``k`` that op records and scalar functions receive."""

    def const(self, value: Any, dtype: DType) -> Expr:
        """A literal of the given dtype."""
        return Expr("const", (), dtype, dtype.np.type(value))

    def like(self, value: Any, x: Expr) -> Expr:
        """A literal of the dtype of `x`."""
        return self.const(value, x.dtype)

    def var(self, name: str, dtype: DType) -> Expr:
        """A named scalar: a parameter, a loop index or a let-bound value."""
        return Expr("var", (), dtype, name)

    def unary(self, op: str, x: Expr) -> Expr:
        """A unary primitive whose result has the operand's dtype."""
        return Expr(op, (x,), x.dtype)

    def binary(self, op: str, a: Expr, b: Expr) -> Expr:
        """A binary primitive; comparisons give bool, the rest the operand dtype."""
        return Expr(op, (a, b), t.bool_ if op in COMPARE else a.dtype)

    def add(self, a: Expr, b: Expr) -> Expr:
        """``a + b``."""
        return self.binary("add", a, b)

    def sub(self, a: Expr, b: Expr) -> Expr:
        """``a - b``."""
        return self.binary("sub", a, b)

    def mul(self, a: Expr, b: Expr) -> Expr:
        """``a * b``."""
        return self.binary("mul", a, b)

    def div(self, a: Expr, b: Expr) -> Expr:
        """``a / b``."""
        return self.binary("div", a, b)

    def fma(self, a: Expr, b: Expr, c: Expr) -> Expr:
        """``a * b + c`` with one rounding."""
        return Expr("fma", (a, b, c), a.dtype)

    def select(self, c: Expr, a: Expr, b: Expr) -> Expr:
        """``a`` where the bool `c` holds, else ``b``."""
        return Expr("select", (c, a, b), a.dtype)

    def isnan(self, x: Expr) -> Expr:
        """True where x is NaN."""
        return Expr("isnan", (x,), t.bool_)

    def convert(self, x: Expr, dtype: DType) -> Expr:
        """C cast; the identity when the dtype is already right."""
        return x if x.dtype is dtype else Expr("convert", (x,), dtype)

    def bitcast(self, x: Expr, dtype: DType) -> Expr:
        """Same bits, other dtype of the same size."""
        return Expr("bitcast", (x,), dtype)

    def call(self, name: str, *args: Expr) -> Expr:
        """A function of `scalar_math`; the result has the first operand's dtype."""
        return Expr("call", args, args[0].dtype, name)


def is_const(expr: Expr, value: Any = None) -> bool:
    """True for a literal, and, if `value` is given, for a literal of that value."""
    if expr.op != "const":
        return False
    return value is None or bool(np.asarray(expr.attr) == value)
