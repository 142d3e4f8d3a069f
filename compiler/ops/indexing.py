"""Ops whose result elements are chosen elements of an operand.

``emit(k, index, in_types, out_type, **attrs)`` gives the scalar expression of one
result element. `index` holds one index expression per result dimension; it supports
``+``, ``-`` and ``*`` with dimensions. Beside `ScalarBuilder`, `k` offers:
``read(operand, index)``, ``read_flat(operand, position)`` by row-major position,
``flatten(index, shape)``, ``position(i)`` (an i64 expression), ``dim(d)`` (a dimension
as an index), ``clamp_index(i, low, high)`` (both inclusive), ``floordiv(i, n)``,
``mod(i, n)`` and ``where(cond, a, b)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compiler.ir import types as t
from compiler.ir.dims import Shape
from compiler.ir.index_map import ZERO
from compiler.ir.op import Kind, op
from compiler.ir.types import TensorType
from compiler.ops.common import (
    align_batch,
    fail,
    move_axis,
    or_zeros,
    require_axes,
    shift_axes,
)

Ints = tuple[int, ...]


def inverse_permutation(permutation: Sequence[int]) -> Ints:
    """The permutation that undoes one."""
    inverse = [0] * len(permutation)
    for position, axis in enumerate(permutation):
        inverse[axis] = position
    return tuple(inverse)


def _apply_jvp(name: str) -> Any:
    """The jvp of a linear op of one operand: the op itself, on the tangent."""

    def jvp(b: Any, ts: Any, y: Any, x: Any, **attrs: Any) -> Any:
        return None if ts[0] is None else getattr(b, name)(ts[0], **attrs)

    return jvp


@op("broadcast_in_dim", kind=Kind.INDEXING, attrs=("dims", "shape"))
class BroadcastInDim:
    """Operand dimension ``i`` becomes result dimension ``dims[i]``; a size of 1 is
    repeated, and the other result dimensions repeat the whole.

    C1: `dims` has one entry per operand dimension.
    C2: the entries are distinct dimensions of `shape`.
    C3: each operand dimension is 1 or equals its result dimension.
    """

    def infer(x: TensorType, *, dims: Ints, shape: Shape) -> TensorType:
        if len(dims) != x.rank:
            fail("broadcast_in_dim", "C1", f"dims {dims} for an operand {x}")
        require_axes("broadcast_in_dim", "C2", dims, len(shape))
        for size, dim in zip(x.shape, dims, strict=True):
            if size != 1 and size != shape[dim]:
                what = f"size {size} of {x} cannot become {shape[dim]} of {shape}"
                fail("broadcast_in_dim", "C3", what)
        return x.with_shape(shape)

    def evaluate(x: np.ndarray, *, dims: Ints, shape: Ints) -> np.ndarray:
        full = [1] * len(shape)
        for size, dim in zip(x.shape, dims, strict=True):
            full[dim] = size
        order = sorted(dims)
        if order != list(dims):
            x = x.transpose([dims.index(d) for d in order])
        out = np.empty(shape, x.dtype)
        out[...] = x.reshape(full)
        return out

    def vjp(b: Any, g: Any, y: Any, x: Any, *, dims: Ints, shape: Shape) -> tuple[Any]:
        in_shape = b.type_of(x).shape
        pairs = zip(in_shape, dims, strict=True)
        kept = {d for size, d in pairs if size == shape[d]}
        axes = tuple(d for d in range(len(shape)) if d not in kept)
        reduced = b.reduce_sum(g, axes=axes) if axes else g
        order = tuple(sorted(kept))
        wanted = [d for d in dims if d in kept]
        if list(order) != wanted:
            reduced = b.transpose(
                reduced, permutation=tuple(order.index(d) for d in wanted)
            )
        if b.type_of(reduced).shape != in_shape:
            reduced = b.reshape(reduced, shape=in_shape)
        return (reduced,)

    jvp = _apply_jvp("broadcast_in_dim")

    def batch(
        b: Any, xs: Any, dims_: Sequence[Any], *, dims: Ints, shape: Shape
    ) -> Any:
        x = move_axis(b, xs[0], dims_[0], 0)
        size = b.type_of(x).shape[0]
        moved = (0, *(d + 1 for d in dims))
        return b.broadcast_in_dim(x, dims=moved, shape=(size, *shape)), 0

    def emit(
        k: Any, index: Any, in_types: Any, out_type: Any, *, dims: Ints, shape: Any
    ) -> Any:
        pairs = zip(in_types[0].shape, dims, strict=True)
        return k.read(0, tuple(ZERO if size == 1 else index[d] for size, d in pairs))


@op("reshape", kind=Kind.INDEXING, attrs=("shape",))
class Reshape:
    """The same elements in row-major order under another shape.

    C1: the number of elements stays the same.
    """

    def infer(x: TensorType, *, shape: Shape) -> TensorType:
        result = x.with_shape(shape)
        if x.size != result.size:
            fail("reshape", "C1", f"{x} has {x.size} elements, {result} {result.size}")
        return result

    def evaluate(x: np.ndarray, *, shape: Ints) -> np.ndarray:
        return x.reshape(shape)

    def vjp(b: Any, g: Any, y: Any, x: Any, *, shape: Shape) -> tuple[Any]:
        return (b.reshape(g, shape=b.type_of(x).shape),)

    jvp = _apply_jvp("reshape")

    def batch(b: Any, xs: Any, dims: Sequence[Any], *, shape: Shape) -> Any:
        x = move_axis(b, xs[0], dims[0], 0)
        return b.reshape(x, shape=(b.type_of(x).shape[0], *shape)), 0

    def emit(k: Any, index: Any, in_types: Any, out_type: Any, *, shape: Shape) -> Any:
        return k.read_flat(0, k.flatten(index, out_type.shape))


@op("transpose", kind=Kind.INDEXING, attrs=("permutation",))
class Transpose:
    """Result dimension ``i`` is operand dimension ``permutation[i]``.

    C1: `permutation` is a permutation of the operand's dimensions.
    """

    def infer(x: TensorType, *, permutation: Ints) -> TensorType:
        if sorted(permutation) != list(range(x.rank)):
            fail("transpose", "C1", f"{permutation} does not permute {x}")
        return x.with_shape(tuple(x.shape[p] for p in permutation))

    def evaluate(x: np.ndarray, *, permutation: Ints) -> np.ndarray:
        # copy, not ascontiguousarray: that makes rank 0 rank 1
        return x.transpose(permutation).copy(order="C")

    def vjp(b: Any, g: Any, y: Any, x: Any, *, permutation: Ints) -> tuple[Any]:
        return (b.transpose(g, permutation=inverse_permutation(permutation)),)

    jvp = _apply_jvp("transpose")

    def batch(b: Any, xs: Any, dims: Sequence[Any], *, permutation: Ints) -> Any:
        order = (dims[0], *shift_axes(permutation, dims[0]))
        return b.transpose(xs[0], permutation=order), 0

    def emit(
        k: Any, index: Any, in_types: Any, out_type: Any, *, permutation: Ints
    ) -> Any:
        return k.read(0, tuple(index[i] for i in inverse_permutation(permutation)))


@op("reverse", kind=Kind.INDEXING, attrs=("dims",))
class Reverse:
    """The order of the elements along `dims` reversed.

    C1: `dims` are distinct dimensions of the operand.
    """

    def infer(x: TensorType, *, dims: Ints) -> TensorType:
        require_axes("reverse", "C1", dims, x.rank)
        return x

    def evaluate(x: np.ndarray, *, dims: Ints) -> np.ndarray:
        return np.flip(x, dims).copy(order="C")

    def vjp(b: Any, g: Any, y: Any, x: Any, *, dims: Ints) -> tuple[Any]:
        return (b.reverse(g, dims=dims),)

    jvp = _apply_jvp("reverse")

    def batch(b: Any, xs: Any, dims_: Sequence[Any], *, dims: Ints) -> Any:
        return b.reverse(xs[0], dims=shift_axes(dims, dims_[0])), dims_[0]

    def emit(k: Any, index: Any, in_types: Any, out_type: Any, *, dims: Ints) -> Any:
        extents = enumerate(zip(index, out_type.shape, strict=True))
        return k.read(
            0, tuple(i * -1 + (n - 1) if d in dims else i for d, (i, n) in extents)
        )


def _concat_extent(first: TensorType, types: Sequence[TensorType], dim: int) -> Any:
    total: Any = 0
    for other in types:
        rest = other.shape[:dim] + other.shape[dim + 1 :]
        if rest != first.shape[:dim] + first.shape[dim + 1 :]:
            what = f"shapes {first} and {other} differ beside dimension {dim}"
            fail("concatenate", "C3", what)
        total = total + other.shape[dim]
    return total


@op("concatenate", kind=Kind.INDEXING, attrs=("dimension",))
class Concatenate:
    """The operands one after the other along `dimension`.

    C1: there is at least one operand, and all have the same dtype and rank.
    C2: `dimension` is a dimension of the operands.
    C3: the other dimensions agree.
    """

    def infer(*xs: TensorType, dimension: int) -> TensorType:
        if not xs or any(x.dtype is not xs[0].dtype for x in xs):
            fail("concatenate", "C1", f"operand dtypes differ: {list(xs)}")
        if any(x.rank != xs[0].rank for x in xs):
            fail("concatenate", "C1", f"operand ranks differ: {list(xs)}")
        require_axes("concatenate", "C2", (dimension,), xs[0].rank)
        extent = _concat_extent(xs[0], xs, dimension)
        shape = list(xs[0].shape)
        shape[dimension] = extent
        return xs[0].with_shape(tuple(shape))

    def evaluate(*xs: np.ndarray, dimension: int) -> np.ndarray:
        return np.concatenate(xs, axis=dimension)

    def vjp(b: Any, g: Any, y: Any, *xs: Any, dimension: int) -> tuple[Any, ...]:
        shape, parts, begin = b.type_of(y).shape, [], 0
        for x in xs:
            end = begin + b.type_of(x).shape[dimension]
            start, limit = [0] * len(shape), list(shape)
            start[dimension], limit[dimension] = begin, end
            attrs = {"start": tuple(start), "limit": tuple(limit)}
            parts.append(b.slice(g, **attrs, strides=(1,) * len(shape)))
            begin = end
        return tuple(parts)

    def jvp(b: Any, ts: Any, y: Any, *xs: Any, dimension: int) -> Any:
        if all(g is None for g in ts):
            return None
        parts = [or_zeros(b, g, x) for g, x in zip(ts, xs, strict=True)]
        return b.concatenate(*parts, dimension=dimension)

    def batch(b: Any, xs: Any, dims: Sequence[Any], *, dimension: int) -> Any:
        aligned = align_batch(b, xs, dims)
        return b.concatenate(*aligned, dimension=dimension + 1), 0

    def emit(
        k: Any, index: Any, in_types: Any, out_type: Any, *, dimension: int
    ) -> Any:
        begins: list[Any] = [0]
        for x in in_types:
            begins.append(begins[-1] + x.shape[dimension])
        # an operand that is empty for certain is never read
        live = [i for i, x in enumerate(in_types) if x.shape[dimension] != 0]
        result = None
        for i in reversed(live or [0]):
            size = in_types[i].shape[dimension]
            inner = k.clamp_index(index[dimension] - begins[i], 0, size - 1)
            where = (*index[:dimension], inner, *index[dimension + 1 :])
            value = k.read(i, where)
            if result is not None:
                end = k.position(k.dim(begins[i + 1]))
                before = k.binary("lt", k.position(index[dimension]), end)
                value = k.where(before, value, result)
            result = value
        return result


@op("get_dimension_size", kind=Kind.LEAF, attrs=("dim",), differentiable=False)
class GetDimensionSize:
    """The size of one dimension of the operand, as i64.

    C1: `dim` is a dimension of the operand.
    """

    def infer(x: TensorType, *, dim: int) -> TensorType:
        require_axes("get_dimension_size", "C1", (dim,), x.rank)
        return TensorType(t.i64)

    def evaluate(x: np.ndarray, *, dim: int) -> np.ndarray:
        return np.asarray(x.shape[dim], np.int64)

    vjp = None
    jvp = None

    def batch(b: Any, xs: Any, dims: Sequence[Any], *, dim: int) -> Any:
        return b.get_dimension_size(xs[0], dim=dim + (dim >= dims[0])), None

    def emit(k: Any, index: Any, in_types: Any, out_type: Any, *, dim: int) -> Any:
        return k.position(k.dim(in_types[0].shape[dim]))
