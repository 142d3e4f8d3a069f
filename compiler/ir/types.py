"""Element types and tensor types: ``f32[B,784]``."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from compiler.ir.dims import Dim, Shape, SymDim, parse_dim, size_of


class DType:
    """An element type. Instances are interned: the compiler compares with ``is``.

    ``==`` also accepts names, NumPy dtypes and scalar types (``x.dtype == "float32"``).

    ``name`` is the short name of the IR (``f32``), ``long`` the NumPy name
    (``float32``), ``kind`` one of ``b i u f c`` (bool, signed, unsigned, float,
    complex), ``bits`` the storage size.
    """

    __slots__ = ("bits", "itemsize", "kind", "long", "name", "np")

    def __init__(self, name: str, long: str, kind: str, np_dtype: np.dtype) -> None:
        self.name = name
        self.long = long
        self.kind = kind
        self.np = np_dtype
        self.itemsize = np_dtype.itemsize
        self.bits = 1 if kind == "b" else np_dtype.itemsize * 8

    def __repr__(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.long

    def __eq__(self, other: object) -> bool:
        if self is other or isinstance(other, DType):
            return self is other
        if not isinstance(other, str | np.dtype | type):
            return False
        try:
            return dtype_of(other) is self
        except TypeError:
            return False

    def __hash__(self) -> int:
        return hash(self.long)

    @property
    def __numpy_dtype__(self) -> np.dtype:
        # NumPy's protocol: an instance is accepted wherever NumPy takes a dtype.
        return self.np

    def __reduce__(self) -> tuple[Any, ...]:
        return (dtype_of, (self.name,))

    @property
    def is_float(self) -> bool:
        """True for f16, bf16, f32 and f64."""
        return self.kind == "f"

    @property
    def is_complex(self) -> bool:
        """True for c64 and c128."""
        return self.kind == "c"

    @property
    def is_inexact(self) -> bool:
        """True for float and complex types: those that have gradients."""
        return self.kind in "fc"

    @property
    def is_integer(self) -> bool:
        """True for signed and unsigned integers, not for bool."""
        return self.kind in "iu"


def _make(name: str, long: str, kind: str, np_type: Any) -> DType:
    return DType(name, long, kind, np.dtype(np_type))


bool_ = _make("bool", "bool", "b", np.bool_)
i8 = _make("i8", "int8", "i", np.int8)
i16 = _make("i16", "int16", "i", np.int16)
i32 = _make("i32", "int32", "i", np.int32)
i64 = _make("i64", "int64", "i", np.int64)
u8 = _make("u8", "uint8", "u", np.uint8)
u16 = _make("u16", "uint16", "u", np.uint16)
u32 = _make("u32", "uint32", "u", np.uint32)
u64 = _make("u64", "uint64", "u", np.uint64)
f16 = _make("f16", "float16", "f", np.float16)
bf16 = _make("bf16", "bfloat16", "f", ml_dtypes.bfloat16)
f32 = _make("f32", "float32", "f", np.float32)
f64 = _make("f64", "float64", "f", np.float64)
c64 = _make("c64", "complex64", "c", np.complex64)
c128 = _make("c128", "complex128", "c", np.complex128)

ALL_DTYPES: tuple[DType, ...] = (
    *(bool_, i8, i16, i32, i64, u8, u16, u32, u64),
    *(f16, bf16, f32, f64, c64, c128),
)
_LOOKUP: dict[Any, DType] = {}
for _dtype in ALL_DTYPES:
    _LOOKUP.update({_dtype.name: _dtype, _dtype.long: _dtype, _dtype.np: _dtype})
    _LOOKUP[_dtype.np.type] = _dtype


def dtype_of(value: Any) -> DType:
    """The `DType` of a name, a NumPy dtype or scalar type, or a `DType`.

    Raises:
        TypeError: if there is no such element type.
    """
    if isinstance(value, DType):
        return value
    try:
        found = _LOOKUP.get(value)
        if found is None:
            found = _LOOKUP.get(np.dtype(value))
    except TypeError:
        found = None
    if found is None:
        names = ", ".join(d.long for d in ALL_DTYPES)
        raise TypeError(f"unknown dtype {value!r}; known dtypes: {names}")
    return found


class TensorType:
    """The type of a value: element type and shape."""

    __slots__ = ("_hash", "dtype", "shape")

    def __init__(self, dtype: DType, shape: Shape = ()) -> None:
        self.dtype = dtype
        self.shape = tuple(shape)
        self._hash = hash((dtype.name, self.shape))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, TensorType)
            and self.dtype is other.dtype
            and self.shape == other.shape
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{','.join(map(str, self.shape))}]"

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> Dim:
        """Number of elements."""
        return size_of(self.shape)

    @property
    def nbytes(self) -> Dim:
        """Size in bytes of a dense row-major buffer of this type."""
        return self.size * self.dtype.itemsize

    @property
    def is_static(self) -> bool:
        """True when no dimension is symbolic."""
        return not any(isinstance(d, SymDim) for d in self.shape)

    def with_shape(self, shape: Shape) -> TensorType:
        """Same element type, other shape."""
        return TensorType(self.dtype, shape)

    def with_dtype(self, dtype: DType) -> TensorType:
        """Same shape, other element type."""
        return TensorType(dtype, self.shape)


def type_of_array(array: np.ndarray) -> TensorType:
    """The type of a NumPy array (or NumPy scalar)."""
    return TensorType(dtype_of(array.dtype), array.shape)


def parse_type(text: str) -> TensorType:
    """Inverse of ``str(type)``.

    Raises:
        ValueError: if `text` is not a type such as ``f32[B,784]``.
    """
    name, bracket, rest = text.strip().partition("[")
    if not bracket or not rest.endswith("]") or name not in _LOOKUP:
        raise ValueError(f"not a tensor type: {text!r}")
    dims = [d for d in rest[:-1].split(",") if d.strip()]
    return TensorType(_LOOKUP[name], tuple(parse_dim(d.strip()) for d in dims))
