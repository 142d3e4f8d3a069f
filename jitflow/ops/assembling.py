"""NumPy's ways to build tensors from others: diagonals, blocks, insertions, grids."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from compiler.ir.types import TensorType
from jitflow.config import settings
from jitflow.dtypes import as_dtype, int64
from jitflow.errors import ArgumentError, ShapeError
from jitflow.ops import elementwise as e
from jitflow.ops.coerce import as_tensor, normalize_axis, promote_all
from jitflow.ops.creation import eye, linspace, zeros_like
from jitflow.ops.dispatch import builder as b
from jitflow.ops.linear_algebra import diagonal
from jitflow.ops.manipulation import (
    concat,
    expand_dims,
    flip,
    permute_dims,
    reshape,
    slice_axis,
    stack,
    swapaxes,
)
from jitflow.ops.searching import take
from jitflow.tensor.tensor import Tensor

__all__ = [
    "append",
    "array_split",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "column_stack",
    "delete",
    "diag",
    "diagflat",
    "dsplit",
    "dstack",
    "flatten",
    "fliplr",
    "flipud",
    "geomspace",
    "hsplit",
    "hstack",
    "identity",
    "insert",
    "logspace",
    "ravel",
    "rollaxis",
    "rot90",
    "transpose",
    "tri",
    "tril_indices",
    "triu_indices",
    "vander",
    "vsplit",
    "vstack",
]


def ravel(x: Any, /) -> Tensor:
    """All elements in row-major order as a vector."""
    return reshape(x, (-1,)) if as_tensor(x).size != 0 else reshape(x, (0,))


flatten = ravel


def transpose(x: Any, /, axes: Sequence[int] | None = None) -> Tensor:
    """Dimensions in the order of `axes`; reversed when left out."""
    x = as_tensor(x)
    return permute_dims(x, range(x.ndim)[::-1] if axes is None else axes)


def rollaxis(x: Any, axis: int, start: int = 0, /) -> Tensor:
    """Dimension `axis` moved in front of the dimension `start`."""
    x = as_tensor(x)
    origin = normalize_axis(axis, x.ndim, "rollaxis")
    target = start + x.ndim if start < 0 else start
    order = [a for a in range(x.ndim) if a != origin]
    order.insert(target - (origin < target), origin)
    return permute_dims(x, order)


def rot90(x: Any, /, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Tensor:
    """`x` turned `k` times by 90 degrees, from the first of `axes` to the second.

    Raises:
        ArgumentError: if there are not two different axes.
    """
    x = as_tensor(x)
    i, j = (normalize_axis(a, x.ndim, "rot90") for a in axes)
    if i == j:
        raise ArgumentError(f"rot90: axes {axes} are one axis")
    turns = k % 4
    if turns == 2:
        return flip(x, axis=(i, j))
    if turns == 1:
        return swapaxes(flip(x, axis=j), i, j)
    return flip(swapaxes(x, i, j), axis=j) if turns else x


def fliplr(x: Any, /) -> Tensor:
    """The second dimension reversed."""
    return flip(x, axis=1)


def flipud(x: Any, /) -> Tensor:
    """The first dimension reversed."""
    return flip(x, axis=0)


# ----------------------------------------------------------------- ranks and stacks


def _each(xs: tuple[Any, ...], raised: Any) -> Any:
    results = [raised(as_tensor(x)) for x in xs]
    return results[0] if len(results) == 1 else results


def atleast_1d(*xs: Any) -> Any:
    """Scalars as vectors; one tensor, or a list for several arguments."""
    return _each(xs, lambda x: x if x.ndim else reshape(x, (1,)))


def _to_2d(x: Tensor) -> Tensor:
    return x if x.ndim >= 2 else reshape(x, (1, *(x.shape or (1,))))


def atleast_2d(*xs: Any) -> Any:
    """Vectors as matrices of one row; one tensor, or a list for several arguments."""
    return _each(xs, _to_2d)


def _to_3d(x: Tensor) -> Tensor:
    if x.ndim >= 3:
        return x
    return reshape(x, (*x.shape, 1) if x.ndim == 2 else (1, *(x.shape or (1,)), 1))


def atleast_3d(*xs: Any) -> Any:
    """At least three dimensions, as in NumPy; one tensor, or a list for several."""
    return _each(xs, _to_3d)


def _parts(arrays: Any, raised: Any) -> list[Tensor]:
    return [raised(as_tensor(x)) for x in arrays]


def vstack(arrays: Sequence[Any], /) -> Tensor:
    """The tensors below each other; vectors are rows."""
    return concat(_parts(arrays, _to_2d), axis=0)


def hstack(arrays: Sequence[Any], /) -> Tensor:
    """The tensors beside each other: along the second dimension, or of vectors the
    first."""
    parts = _parts(arrays, atleast_1d)
    return concat(parts, axis=0 if parts and parts[0].ndim == 1 else 1)


def dstack(arrays: Sequence[Any], /) -> Tensor:
    """The tensors behind each other, along the third dimension."""
    return concat(_parts(arrays, _to_3d), axis=2)


def column_stack(arrays: Sequence[Any], /) -> Tensor:
    """Vectors as the columns of a matrix; matrices beside each other."""
    parts = _parts(arrays, lambda x: x if x.ndim >= 2 else reshape(x, (-1, 1)))
    return concat(parts, axis=1)


def array_split(x: Any, /, indices_or_sections: Any, *, axis: int = 0) -> list[Tensor]:
    """`split` into sections whose sizes may differ by one, the larger ones first.

    Raises:
        ArgumentError: if the number of sections is not positive.
    """
    x = as_tensor(x)
    position = normalize_axis(axis, x.ndim, "array_split")
    size = x.shape[position]
    if hasattr(indices_or_sections, "__index__"):
        sections = int(indices_or_sections)
        if sections < 1:
            raise ArgumentError(f"array_split: {sections} sections")
        whole, more = size // sections, size % sections
        cuts = [i * whole + min(i, more) for i in range(1, sections)]
    else:
        cuts = [range(size)[:c].stop for c in indices_or_sections]
    pairs = zip([0, *cuts], [*cuts, size], strict=True)
    return [slice_axis(x, position, low, max(low, high)) for low, high in pairs]


def vsplit(x: Any, indices_or_sections: Any, /) -> list[Tensor]:
    """`array_split` along the first dimension."""
    return array_split(x, indices_or_sections, axis=0)


def hsplit(x: Any, indices_or_sections: Any, /) -> list[Tensor]:
    """`array_split` along the second dimension, or of a vector the first."""
    x = as_tensor(x)
    return array_split(x, indices_or_sections, axis=1 if x.ndim > 1 else 0)


def dsplit(x: Any, indices_or_sections: Any, /) -> list[Tensor]:
    """`array_split` along the third dimension."""
    return array_split(x, indices_or_sections, axis=2)


def append(x: Any, values: Any, /, *, axis: int | None = None) -> Tensor:
    """`values` behind `x` along `axis`; both flattened when it is left out."""
    return concat([x, values], axis=axis)


def _kept(size: int, obj: Any) -> np.ndarray:
    keep = np.ones(size, bool)
    keep[obj if isinstance(obj, slice) else np.asarray(obj)] = False
    return np.flatnonzero(keep)


def delete(x: Any, obj: Any, /, *, axis: int | None = None) -> Tensor:
    """`x` without the positions `obj` (ints or a slice, not traced) along `axis`."""
    x = ravel(x) if axis is None else as_tensor(x)
    position = normalize_axis(axis or 0, x.ndim, "delete")
    return take(x, _kept(x.shape[position], obj), axis=position)


def insert(x: Any, index: int, values: Any, /, *, axis: int | None = None) -> Tensor:
    """`values` put before position `index` along `axis` (flattened when left out).

    `values` broadcasts to one slice of `x`, or has its rank and any size along `axis`.
    """
    x = ravel(x) if axis is None else as_tensor(x)
    position = normalize_axis(axis or 0, x.ndim, "insert")
    size = x.shape[position]
    at = index + size if index < 0 else index
    values = b.cast(as_tensor(values, like=x.dtype), x.dtype)
    if values.ndim < x.ndim:
        slice_shape = (*x.shape[:position], *x.shape[position + 1 :])
        values = expand_dims(b.broadcast(values, slice_shape), position)
    parts = slice_axis(x, position, 0, at), values, slice_axis(x, position, at, size)
    return concat(parts, axis=position)


# -------------------------------------------------------------- diagonals and grids


def identity(n: int, /, *, dtype: Any = None) -> Tensor:
    """The identity matrix of size `n`."""
    return eye(n, dtype=dtype)


def diag(x: Any, /, *, k: int = 0) -> Tensor:
    """Diagonal `k` of a matrix, or the matrix with a vector on diagonal `k`.

    Raises:
        ShapeError: for another rank.
    """
    x = as_tensor(x)
    if x.ndim == 2:
        return diagonal(x, offset=k)
    if x.ndim != 1:
        raise ShapeError("diag: takes a vector or a matrix", operands={"x": x})
    size = x.shape[0] + max(k, -k)
    low, high = max(k, 0), max(-k, 0)
    zero = b.scalar(0, x.dtype)
    wide = b.pad(x, zero, low=(low,), high=(high,), interior=(0,))
    square = b.broadcast_in_dim(wide, dims=(1,), shape=(size, size))
    return e.where(eye(size, k=k, dtype="bool"), square, zeros_like(square))


def diagflat(x: Any, /, *, k: int = 0) -> Tensor:
    """The matrix with all elements of `x` on diagonal `k`."""
    return diag(ravel(x), k=k)


def tri(n: int, m: int | None = None, /, k: int = 0, *, dtype: Any = None) -> Tensor:
    """Ones on and below diagonal `k` of an `n` by `m` matrix of zeros."""
    shape = TensorType(int64, (n, n if m is None else m))
    below = e.less_equal(b.iota(type=shape, dim=1), e.add(b.iota(type=shape, dim=0), k))
    return b.cast(below, settings.float_dtype if dtype is None else as_dtype(dtype))


def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Tensor, Tensor]:
    """Rows and columns (int64) of the lower triangle of an `n` by `m` matrix."""
    rows, columns = np.tril_indices(n, k, m)
    return b.constant(rows), b.constant(columns)


def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Tensor, Tensor]:
    """Rows and columns (int64) of the upper triangle of an `n` by `m` matrix."""
    rows, columns = np.triu_indices(n, k, m)
    return b.constant(rows), b.constant(columns)


def vander(x: Any, n: int | None = None, /, *, increasing: bool = False) -> Tensor:
    """Powers of the vector `x` as columns, the highest first unless `increasing`."""
    x = as_tensor(x)
    count = x.shape[0] if n is None else n
    powers: list[Tensor] = []
    for _ in range(count):
        powers.append(e.multiply(powers[-1], x) if powers else e.pow(x, 0))
    if not powers:
        return zeros_like(reshape(x, (-1, 1)))[:, :0]
    return stack(powers if increasing else powers[::-1], axis=1)


def logspace(
    start: Any,
    stop: Any,
    /,
    num: int = 50,
    *,
    base: float = 10.0,
    endpoint: bool = True,
    dtype: Any = None,
) -> Tensor:
    """`num` powers of `base` whose exponents are `linspace(start, stop)`."""
    exponents = linspace(start, stop, num, endpoint=endpoint, dtype="float64")
    powers = e.exp(e.multiply(exponents, math.log(base)))
    return b.cast(powers, settings.float_dtype if dtype is None else as_dtype(dtype))


def geomspace(
    start: Any, stop: Any, /, num: int = 50, *, endpoint: bool = True, dtype: Any = None
) -> Tensor:
    """`num` numbers from `start` to `stop` with equal quotients, of one sign."""
    first, last = promote_all("geomspace", start, stop, inexact=True)
    ratio = e.log(e.divide(last, first))
    share = linspace(0, 1, num, endpoint=endpoint, dtype="float64")
    result = e.multiply(first, e.exp(e.multiply(share, ratio)))
    return b.cast(result, settings.float_dtype if dtype is None else as_dtype(dtype))
