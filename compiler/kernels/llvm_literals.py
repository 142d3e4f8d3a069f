"""LLVM names of element types and exact literals.

A value of an element type has two forms: in memory it is what NumPy stores (bool is a
byte, bf16 is its 16 bits), in a register it is what arithmetic wants (bool is ``i1``,
f16 and bf16 are the ``float`` of the same value).
"""

from __future__ import annotations

import struct
from typing import Any

from compiler.errors import KernelError
from compiler.ir import types as t
from compiler.ir.types import DType

_REGISTER = {t.bool_: "i1", t.f16: "float", t.bf16: "float", t.f32: "float"}
_REGISTER |= {t.f64: "double"}
_MEMORY = {t.bool_: "i8", t.f16: "half", t.bf16: "i16", t.f32: "float"}
_MEMORY |= {t.f64: "double"}


def register_type(dtype: DType) -> str:
    """LLVM type of a value of `dtype` in a register.

    Raises:
        KernelError: if `dtype` is complex; no kernel computes on complex scalars.
    """
    return _typed(_REGISTER, dtype)


def memory_type(dtype: DType) -> str:
    """LLVM type of an element of `dtype` in a buffer.

    Raises:
        KernelError: if `dtype` is complex.
    """
    return _typed(_MEMORY, dtype)


def _typed(table: dict[DType, str], dtype: DType) -> str:
    if dtype.is_complex:
        raise KernelError(f"scalar expressions have no {dtype.long} arithmetic")
    return table.get(dtype) or f"i{dtype.bits}"


def float_literal(value: float) -> str:
    """Exact literal of a ``float`` or ``double``: LLVM spells both as f64 bits.

    Every f32 is exact in f64, denormals and infinities included. A NaN becomes the
    quiet NaN of its sign, with the payload that fits.
    """
    bits = struct.unpack("<Q", struct.pack("<d", float(value)))[0]
    return f"0x{bits:016X}"


def literal(value: Any, dtype: DType) -> str:
    """Literal of `value` in the register form of `dtype`."""
    if register_type(dtype) == "i1":
        return "true" if value else "false"
    return float_literal(value) if dtype.is_float else str(int(value))
