"""Data type functions of the Array API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from compiler.ir.types import DType
from jitflow.dtypes import as_dtype, bfloat16
from jitflow.errors import ArgumentError, DTypeError
from jitflow.ops.coerce import as_tensor
from jitflow.ops.promotion import is_scalar, result_dtype, scalar_dtype
from jitflow.tensor.tensor import Operators


def _dtype_in(x: Any) -> DType:
    return x.dtype if isinstance(x, Operators) else as_dtype(x)


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The common dtype of tensors, dtypes and Python scalars, which are weak.

    Raises:
        DTypeError: if there is none.
    """
    scalars = [type(x) for x in arrays_and_dtypes if is_scalar(x)]
    strong = [
        as_tensor(x).dtype if isinstance(x, np.ndarray) else _dtype_in(x)
        for x in arrays_and_dtypes
        if not is_scalar(x)
    ]
    if strong:
        return result_dtype(strong, scalars)
    if not scalars:
        raise ArgumentError("result_type: at least one argument is needed")
    return result_dtype([scalar_dtype(kind()) for kind in scalars])


def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether promotion may turn dtype `from_` into `to` without loss."""
    source, target = _dtype_in(from_), as_dtype(to)
    try:
        return result_dtype([source, target]) is target
    except DTypeError:
        return False


@dataclass(frozen=True, slots=True)
class FloatInfo:
    """Limits of a floating-point type: what `finfo` returns."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


@dataclass(frozen=True, slots=True)
class IntegerInfo:
    """Limits of an integer type: what `iinfo` returns."""

    bits: int
    max: int
    min: int
    dtype: DType


def finfo(type: Any, /) -> FloatInfo:
    """Limits of a floating-point type; of a complex one those of its parts.

    Raises:
        DTypeError: for another kind of dtype.
    """
    dtype = _dtype_in(type)
    if not dtype.is_inexact:
        raise DTypeError(f"finfo: {dtype} is not a floating-point dtype")
    info = ml_dtypes.finfo(dtype.np) if dtype is bfloat16 else np.finfo(dtype.np)
    return FloatInfo(
        bits=info.bits,
        eps=float(info.eps),
        max=float(info.max),
        min=float(info.min),
        smallest_normal=float(info.smallest_normal),
        dtype=as_dtype(info.dtype),
    )


def iinfo(type: Any, /) -> IntegerInfo:
    """Limits of an integer type.

    Raises:
        DTypeError: for another kind of dtype.
    """
    dtype = _dtype_in(type)
    if not dtype.is_integer:
        raise DTypeError(f"iinfo: {dtype} is not an integer dtype")
    info = np.iinfo(dtype.np)
    return IntegerInfo(info.bits, int(info.max), int(info.min), dtype)


_KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "iufc",
}


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is one, is of a kind (``"numeric"``), or of one of a tuple.

    Raises:
        ArgumentError: for an unknown kind.
    """
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    dtype = as_dtype(dtype)
    if isinstance(kind, str) and kind in _KINDS:
        return dtype.kind in _KINDS[kind]
    if isinstance(kind, str):
        raise ArgumentError(f"isdtype: unknown kind {kind!r}", fix=str(list(_KINDS)))
    return dtype is as_dtype(kind)
