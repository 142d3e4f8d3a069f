"""Keras' own dtype rules: names, families and the promotion that avoids 64 bits.

Integers with floats give the default float type and nothing becomes 64 bits wide unless
an operand is. The lattice is that of "JAX type promotion semantics", which Keras uses.
"""

from __future__ import annotations

import functools
from typing import Any

from jitflow.dtypes import DType, as_dtype
from jitflow.errors import ArgumentError, DTypeError
from jitflow.keras.backend import config as config

BOOL_TYPES = ("bool",)
INT_TYPES = (
    *("uint8", "uint16", "uint32", "uint64"),
    *("int8", "int16", "int32", "int64"),
)
FLOAT_TYPES = ("bfloat16", "float16", "float32", "float64")
# Names that Keras knows and that no tensor of this framework can have.
FLOAT8_TYPES = ("float8_e4m3fn", "float8_e5m2")
COMPLEX_TYPES = ("complex64", "complex128")
ALLOWED_DTYPES = (
    *(*FLOAT_TYPES, *INT_TYPES, *BOOL_TYPES),
    *(*FLOAT8_TYPES, *COMPLEX_TYPES, "string"),
)
_PYTHON_TYPES = {bool: "bool", int: "int32", str: "string"}

# What each type promotes to in one step; the join of two is their first common bound.
# A trailing * marks the weak types of Python numbers.
_NEXT: dict[str, tuple[str, ...]] = {
    "bool": ("int*",),
    "int*": ("uint8", "int8"),
    "uint8": ("int16", "uint16"),
    "uint16": ("int32", "uint32"),
    "uint32": ("int64", "uint64"),
    "uint64": ("float*",),
    "int8": ("int16",),
    "int16": ("int32",),
    "int32": ("int64",),
    "int64": ("float*",),
    "float*": ("bfloat16", "float16"),
    "bfloat16": ("float32",),
    "float16": ("float32",),
    "float32": ("float64", "complex64"),
    "float64": ("complex128",),
    "complex64": ("complex128",),
    "complex128": (),
}


@functools.cache
def _bounds(name: str) -> frozenset[str]:
    """The type itself and everything above it."""
    return frozenset((name,)).union(*(_bounds(n) for n in _NEXT[name]))


@functools.cache
def _join(a: str, b: str) -> str:
    common = _bounds(a) & _bounds(b)
    return next(c for c in common if common <= _bounds(c))


def standardize_dtype(dtype: Any) -> str:
    """The name of a dtype; the default float type for None.

    Args:
        dtype: a name, a `DType`, a NumPy dtype or scalar type, or ``bool``, ``int``,
            ``float`` (which means `floatx`), or None.

    Raises:
        ArgumentError: if there is no such dtype.
    """
    if isinstance(dtype, DType):
        return dtype.long
    if dtype is None or dtype is float:
        return config.floatx()
    if dtype in _PYTHON_TYPES:
        return _PYTHON_TYPES[dtype]
    name = getattr(dtype, "name", dtype)
    if name in ALLOWED_DTYPES:
        return str(name)
    try:
        return as_dtype(dtype).long
    except DTypeError:
        raise ArgumentError(f"dtype: {dtype!r} is not a dtype") from None


def is_float_dtype(dtype: Any) -> bool:
    """Whether a dtype is a floating-point type."""
    return standardize_dtype(dtype).startswith(("float", "bfloat"))


def is_int_dtype(dtype: Any) -> bool:
    """Whether a dtype is an integer type."""
    return standardize_dtype(dtype).startswith(("int", "uint"))


def result_type(*dtypes: Any) -> str:
    """The common type of operands by Keras' rules.

    ``result_type("int32", "float32")`` is float32, ``result_type("int64", float)`` the
    default float type, and integers of 64 bits stay as they are.

    Args:
        dtypes: dtypes; the Python types ``int`` and ``float`` stand for weak numbers.
            Without any, the default float type.

    Raises:
        ArgumentError: if one is not a dtype that promotes.
    """
    if not dtypes:
        return config.floatx()
    names = [_lattice_name(d) for d in dtypes]
    joined = functools.reduce(_join, names)
    if joined == "int*":
        return "int32"
    return config.floatx() if joined == "float*" else joined


def _lattice_name(dtype: Any) -> str:
    if dtype is int or dtype is float:
        return f"{dtype.__name__}*"
    name = standardize_dtype(dtype)
    if name not in _NEXT:
        raise ArgumentError(f"dtype: {name!r} does not promote with other types")
    return name
