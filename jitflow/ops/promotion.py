"""Element types of results: NumPy 2 promotion with weak Python scalars.

Two tensors promote as in NumPy 2 (int32 with float32 gives float64). A Python scalar
never changes the kind's width: it takes the tensor's dtype, or the default of its own
kind when it is of a higher kind (an int32 tensor with 1.5 gives the default float).
bfloat16, which NumPy does not know, promotes like float16, and with it to float32.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np

from compiler.ir.types import DType, dtype_of
from jitflow.config import default_complex_dtype, settings
from jitflow.dtypes import bfloat16, bool_, complex64, complex128, float32, int64
from jitflow.errors import DTypeError

_KINDS = "biufc"
_SCALAR_KINDS = {bool: "b", int: "i", float: "f", complex: "c"}


@functools.cache
def promote_dtypes(a: DType, b: DType) -> DType:
    """The common type of two tensors.

    Raises:
        DTypeError: if there is none.
    """
    if a is b:
        return a
    if bfloat16 in (a, b):
        other = b if a is bfloat16 else a
        return _promote_bfloat16(other)
    try:
        return dtype_of(np.promote_types(a.np, b.np))
    except TypeError:
        raise DTypeError(f"{a} and {b} have no common dtype") from None


def _promote_bfloat16(other: DType) -> DType:
    if other.name == "f16":
        return float32
    as_half = dtype_of(np.promote_types(np.float16, other.np))
    return bfloat16 if as_half.name == "f16" else as_half


def default_float_of(dtype: DType) -> DType:
    """`dtype` itself if it is inexact, else the default float type."""
    return dtype if dtype.is_inexact else settings.float_dtype


def scalar_dtype(value: Any) -> DType:
    """The dtype of a Python scalar that meets no tensor."""
    kind = _SCALAR_KINDS[type(value)]
    return {
        "b": bool_,
        "i": int64,
        "f": settings.float_dtype,
        "c": default_complex_dtype(),
    }[kind]


def weak_dtype(kind: type, dtype: DType) -> DType:
    """The common type of a tensor of `dtype` and a Python scalar of type `kind`."""
    if kind is complex and not dtype.is_complex:
        if dtype.is_float:
            return complex128 if dtype.name == "f64" else complex64
        return default_complex_dtype()
    if kind is float and not dtype.is_inexact:
        return settings.float_dtype
    if kind is int and dtype is bool_:
        return int64
    return dtype


def result_dtype(dtypes: Iterable[DType], scalars: Iterable[type] = ()) -> DType:
    """The common type of tensors and Python scalar types; at least one dtype.

    Raises:
        DTypeError: if there is none.
    """
    result = functools.reduce(promote_dtypes, dtypes)
    return functools.reduce(lambda d, kind: weak_dtype(kind, d), scalars, result)


def is_scalar(value: Any) -> bool:
    """True for a Python bool, int, float or complex, which is weak; not for NumPy's."""
    return type(value) in _SCALAR_KINDS
