"""Element types under their long names, and their families.

The objects are the compiler's interned `DType`; they compare equal to their names, to
NumPy dtypes and to NumPy scalar types (``x.dtype == "float32"``), and NumPy accepts
them as dtypes.
"""

from __future__ import annotations

from typing import Any

from compiler.ir import types as t
from compiler.ir.types import DType, dtype_of
from jitflow.errors import DTypeError

bool_ = t.bool_
int8, int16, int32, int64 = t.i8, t.i16, t.i32, t.i64
uint8, uint16, uint32, uint64 = t.u8, t.u16, t.u32, t.u64
float16, bfloat16, float32, float64 = t.f16, t.bf16, t.f32, t.f64
complex64, complex128 = t.c64, t.c128

__all__ = [
    "DType",
    "as_dtype",
    "bfloat16",
    "bool_",
    "complex64",
    "complex128",
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
]

# Python's own types as dtypes mean the defaults of the framework, not NumPy's.
_PYTHON_TYPES = {bool: bool_, int: int64}


def as_dtype(value: Any, argument: str = "dtype") -> DType:
    """The `DType` that `value` names.

    Args:
        value: a `DType`, a name, a NumPy dtype or scalar type, ``bool`` or ``int``.
        argument: name of the argument in the error.

    Raises:
        DTypeError: if there is no such element type.
    """
    if isinstance(value, DType):
        return value
    if value in _PYTHON_TYPES:
        return _PYTHON_TYPES[value]
    try:
        return dtype_of(value)
    except TypeError as error:
        raise DTypeError(
            f"{argument}: {error}", fix="use for example jf.float32 or 'float32'"
        ) from None
