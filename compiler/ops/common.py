"""What op records share: error helpers, half-precision wrappers, batch-axis helpers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from compiler.errors import TypeInferenceError
from compiler.ir import types as t
from compiler.ir.builder import BuilderOps
from compiler.ir.dims import Dim
from compiler.ir.types import TensorType

Batched = tuple[Any, int | None]
Axis = int | None


def fail(op: str, label: str, what: str) -> NoReturn:
    """Raise `TypeInferenceError`: ``add: C1 operand types differ: ...``."""
    raise TypeInferenceError(f"{op}: {label} {what}")


def require_kind(op: str, label: str, type_: TensorType, kinds: str) -> None:
    """Check that the dtype of an operand is of one of the kinds ``b i u f c``."""
    if type_.dtype.kind not in kinds:
        names = {"b": "bool", "i": "int", "u": "uint", "f": "float", "c": "complex"}
        wanted = ", ".join(names[k] for k in kinds)
        fail(op, label, f"takes {wanted} operands, given {type_}")


def require_same(op: str, label: str, first: TensorType, *rest: TensorType) -> None:
    """Check that operands have one type."""
    for other in rest:
        if other != first:
            fail(op, label, f"operand types differ: {first} vs {other}")


def require_axes(op: str, label: str, axes: Sequence[int], rank: int) -> None:
    """Check that axes are distinct and lie in ``[0, rank)``."""
    if len(set(axes)) != len(axes) or any(not 0 <= a < rank for a in axes):
        fail(op, label, f"axes {tuple(axes)} are not distinct axes of rank {rank}")


def is_half(dtype: np.dtype) -> bool:
    """True for float16 and bfloat16 (which NumPy knows as a void type)."""
    return dtype.itemsize == 2 and dtype.kind in "fV"


def via_f32(function: Callable[..., Any]) -> Callable[..., Any]:
    """Evaluate f16 and bf16 in f32 and round once; always return an array."""

    @functools.wraps(function)
    def evaluate(*xs: Any, **attrs: Any) -> Any:
        dtype = xs[0].dtype
        if not is_half(dtype):
            return np.asarray(function(*xs, **attrs))
        wide = (x.astype(np.float32) for x in xs)
        return np.asarray(function(*wide, **attrs)).astype(dtype)

    return evaluate


def as_array(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return 0-d arrays where NumPy would return scalars."""

    @functools.wraps(function)
    def evaluate(*xs: Any, **attrs: Any) -> Any:
        return np.asarray(function(*xs, **attrs))

    return evaluate


def emit_via_f32(function: Callable[..., Any]) -> Callable[..., Any]:
    """Emit f16 and bf16 scalar code in f32, rounded once at the end."""

    def emit(k: Any, *xs: Any, **attrs: Any) -> Any:
        dtype = xs[0].dtype
        if dtype is not t.f16 and dtype is not t.bf16:
            return function(k, *xs, **attrs)
        wide = (k.convert(x, t.f32) for x in xs)
        return k.convert(function(k, *wide, **attrs), dtype)

    return emit


def real_dtype(dtype: t.DType) -> t.DType:
    """The dtype of the real part."""
    return {t.c64: t.f32, t.c128: t.f64}.get(dtype, dtype)


def complex_dtype(dtype: t.DType) -> t.DType | None:
    """The complex dtype whose parts have this dtype, or None."""
    return {t.f32: t.c64, t.f64: t.c128}.get(dtype)


def sum_tangents(b: BuilderOps, parts: Sequence[Any]) -> Any:
    """The sum of tangents that are not None; None if there is none."""
    kept = [p for p in parts if p is not None]
    return functools.reduce(b.add, kept) if kept else None


def or_zeros(b: BuilderOps, tangent: Any, x: Any) -> Any:
    """The tangent, or zeros like `x` where it is None."""
    return b.zeros_like(x) if tangent is None else tangent


# ---------------------------------------------------------------- batch axes


def batch_size(b: BuilderOps, xs: Sequence[Any], dims: Sequence[Axis]) -> Dim:
    """The size of the batch axis, from the first operand that has one."""
    return next(
        b.type_of(x).shape[d] for x, d in zip(xs, dims, strict=True) if d is not None
    )


def move_axis(b: BuilderOps, x: Any, source: int, target: int) -> Any:
    """Move one axis of `x`; nothing is built if it is there already."""
    if source == target:
        return x
    order = [i for i in range(b.type_of(x).rank) if i != source]
    order.insert(target, source)
    return b.transpose(x, permutation=tuple(order))


def insert_axis(b: BuilderOps, x: Any, axis: int, size: Dim) -> Any:
    """Repeat `x` along a new axis."""
    shape = list(b.type_of(x).shape)
    shape.insert(axis, size)
    kept = tuple(i for i in range(len(shape)) if i != axis)
    return b.broadcast_in_dim(x, dims=kept, shape=tuple(shape))


def with_batch_at(b: BuilderOps, x: Any, dim: Axis, target: int, size: Dim) -> Any:
    """`x` with its batch axis at `target`, repeated if it has none."""
    if dim is None:
        return insert_axis(b, x, target, size)
    return move_axis(b, x, dim, target)


def align_batch(
    b: BuilderOps, xs: Sequence[Any], dims: Sequence[Axis], target: int = 0
) -> list[Any]:
    """All operands with the batch axis at `target`."""
    size = batch_size(b, xs, dims)
    return [with_batch_at(b, x, d, target, size) for x, d in zip(xs, dims, strict=True)]


def batch_elementwise(name: str) -> Callable[..., Batched]:
    """The batch rule of an op whose operands all have the result's shape."""

    def batch(b: BuilderOps, xs: Sequence[Any], dims: Sequence[Axis], **attrs: Any):
        target = next(d for d in dims if d is not None)
        aligned = align_batch(b, xs, dims, target)
        return getattr(b, name)(*aligned, **attrs), target

    return batch


def shift_axes(axes: Sequence[int], dim: int) -> tuple[int, ...]:
    """Axes of the unbatched operand as axes of the operand batched at `dim`."""
    return tuple(a + (a >= dim) for a in axes)


def insert_at(values: Sequence[Any], position: int, value: Any) -> tuple[Any, ...]:
    """A tuple with one more item."""
    return (*values[:position], value, *values[position:])
