"""Reductions of the Array API: sums, products, extrema, statistics, logic."""

from __future__ import annotations

import builtins
from typing import Any

from compiler.ir.types import DType
from jitflow.config import settings
from jitflow.dtypes import as_dtype, bool_, int64, uint64
from jitflow.errors import ArgumentError, ShapeError
from jitflow.ops.coerce import as_tensor, normalize_axes, normalize_axis, require
from jitflow.ops.dispatch import builder as b
from jitflow.ops.elementwise import (
    as_bool,
    divide,
    multiply,
    not_equal,
    sqrt,
    subtract,
)
from jitflow.ops.manipulation import concat, slice_axis
from jitflow.tensor.tensor import Tensor


def size_of(x: Any, axis: Any = None, dtype: Any = int64) -> Tensor:
    """Number of elements of `x` along `axis` (all axes if None), as a scalar tensor.

    It is computed by ops, not written as a literal, so that a trace does not depend on
    the sizes it was made with.
    """
    x = as_tensor(x)
    axes = normalize_axes(axis, x.ndim, "size_of")
    if not axes:
        return b.scalar(1, as_dtype(dtype))
    total = b.get_dimension_size(x, dim=axes[0])
    for a in axes[1:]:
        total = b.multiply(total, b.get_dimension_size(x, dim=a))
    return b.cast(total, as_dtype(dtype))


def _restore(
    result: Tensor, x: Tensor, axes: tuple[int, ...], keepdims: bool
) -> Tensor:
    if not keepdims:
        return result
    shape = tuple(1 if i in axes else d for i, d in enumerate(x.shape))
    return b.reshape(result, shape=shape)


def _wide(dtype: DType) -> DType:
    """The dtype in which integers are summed: the default integer of their kind."""
    if dtype is bool_ or dtype.kind == "i":
        return int64
    return uint64 if dtype.kind == "u" else dtype


def _accumulate(
    name: str, record: str, x: Any, axis: Any, dtype: Any, keepdims: bool
) -> Tensor:
    x = as_tensor(x)
    axes = normalize_axes(axis, x.ndim, name)
    x = b.cast(x, _wide(x.dtype) if dtype is None else as_dtype(dtype))
    return _restore(getattr(b, record)(x, axes=axes), x, axes, keepdims)


def sum(
    x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False
) -> Tensor:
    """Sum over `axis` (all if None); integers and bools add up in 64 bits."""
    return _accumulate("sum", "reduce_sum", x, axis, dtype, keepdims)


def prod(
    x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False
) -> Tensor:
    """Product over `axis` (all if None); integers and bools multiply in 64 bits."""
    return _accumulate("prod", "reduce_prod", x, axis, dtype, keepdims)


def _extremum(
    name: str, record: str, on_bool: str, x: Any, axis: Any, keepdims: bool
) -> Tensor:
    x = as_tensor(x)
    require(name, x, "biuf", "real")
    axes = normalize_axes(axis, x.ndim, name)
    if builtins.any(x.shape[a] == 0 for a in axes):
        raise ShapeError(
            f"{name}: no element to choose from along axis {axis}", operands={"x": x}
        )
    op = on_bool if x.dtype is bool_ else record
    return _restore(getattr(b, op)(x, axes=axes), x, axes, keepdims)


def max(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Largest element over `axis`; NaN if there is one.

    Raises:
        ShapeError: if there is no element.
    """
    return _extremum("max", "reduce_max", "reduce_or", x, axis, keepdims)


def min(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Smallest element over `axis`; NaN if there is one.

    Raises:
        ShapeError: if there is no element.
    """
    return _extremum("min", "reduce_min", "reduce_and", x, axis, keepdims)


def any(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Whether an element over `axis` is true."""
    x = as_bool(x)
    axes = normalize_axes(axis, x.ndim, "any")
    return _restore(b.reduce_or(x, axes=axes), x, axes, keepdims)


def all(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Whether every element over `axis` is true."""
    x = as_bool(x)
    axes = normalize_axes(axis, x.ndim, "all")
    return _restore(b.reduce_and(x, axes=axes), x, axes, keepdims)


def _inexact(x: Any) -> Tensor:
    x = as_tensor(x)
    return x if x.dtype.is_inexact else b.cast(x, settings.float_dtype)


def mean(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Arithmetic mean over `axis`; NaN of nothing; integers give the default float."""
    x = _inexact(x)
    axes = normalize_axes(axis, x.ndim, "mean")
    total = b.reduce_sum(x, axes=axes)
    return _restore(divide(total, size_of(x, axes, x.dtype)), x, axes, keepdims)


def var(
    x: Any,
    /,
    *,
    axis: Any = None,
    correction: float = 0.0,
    keepdims: bool = False,
) -> Tensor:
    """Variance over `axis`, divided by ``N - correction``.

    Computed from the deviations from the mean, in two passes, which loses no digits.
    """
    x = _inexact(x)
    axes = normalize_axes(axis, x.ndim, "var")
    deviation = subtract(x, mean(x, axis=axes, keepdims=True))
    if x.dtype.is_complex:
        size = b.abs(deviation)
        squares = multiply(size, size)
    else:
        squares = multiply(deviation, deviation)
    count = size_of(x, axes, squares.dtype)
    count = subtract(count, correction) if correction else count
    result = divide(b.reduce_sum(squares, axes=axes), count)
    return _restore(result, x, axes, keepdims)


def std(
    x: Any,
    /,
    *,
    axis: Any = None,
    correction: float = 0.0,
    keepdims: bool = False,
) -> Tensor:
    """Standard deviation over `axis`: the root of `var`."""
    x = _inexact(x)
    axes = normalize_axes(axis, x.ndim, "std")
    return sqrt(var(x, axis=axes, correction=correction, keepdims=keepdims))


def _arg(kind: str, x: Any, axis: int | None, keepdims: bool) -> Tensor:
    name = f"arg{kind}"
    x = as_tensor(x)
    require(name, x, "biuf", "real")
    rank = x.ndim
    source = b.reshape(x, shape=(x.size,)) if axis is None else x
    position = normalize_axis(0 if axis is None else axis, source.ndim, name)
    if source.shape[position] == 0:
        raise ShapeError(f"{name}: axis {axis} is empty", operands={"x": x})
    result = b.arg_reduce(source, axis=position, dtype=int64, kind=kind)
    axes = tuple(range(rank)) if axis is None else (position,)
    return _restore(result, x, axes, keepdims)


def argmax(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Position (int64) of the first largest element; the first NaN wins.

    Raises:
        ShapeError: if there is no element.
    """
    return _arg("max", x, axis, keepdims)


def argmin(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Position (int64) of the first smallest element; the first NaN wins.

    Raises:
        ShapeError: if there is no element.
    """
    return _arg("min", x, axis, keepdims)


def count_nonzero(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Number of elements that are not zero, as int64."""
    return sum(as_bool(x), axis=axis, keepdims=keepdims)


def _cumulative(
    name: str, record: str, x: Any, axis: int | None, dtype: Any, initial: bool
) -> Tensor:
    x = as_tensor(x)
    if axis is None and x.ndim != 1:
        raise ArgumentError(f"{name}: axis is needed for a tensor of rank {x.ndim}")
    position = normalize_axis(0 if axis is None else axis, x.ndim, name)
    x = b.cast(x, _wide(x.dtype) if dtype is None else as_dtype(dtype))
    result = getattr(b, record)(x, axis=position, reverse=False)
    if not initial:
        return result
    low = tuple(int(i == position) for i in range(x.ndim))
    none = (0,) * x.ndim
    start = b.scalar(0 if record == "cumulative_sum" else 1, x.dtype)
    return b.pad(result, start, low=low, high=none, interior=none)


def cumulative_sum(
    x: Any,
    /,
    *,
    axis: int | None = None,
    dtype: Any = None,
    include_initial: bool = False,
) -> Tensor:
    """Running sum along `axis`, with a leading 0 if `include_initial`."""
    return _cumulative(
        "cumulative_sum", "cumulative_sum", x, axis, dtype, include_initial
    )


def cumulative_prod(
    x: Any,
    /,
    *,
    axis: int | None = None,
    dtype: Any = None,
    include_initial: bool = False,
) -> Tensor:
    """Running product along `axis`, with a leading 1 if `include_initial`."""
    return _cumulative(
        "cumulative_prod", "cumulative_prod", x, axis, dtype, include_initial
    )


def diff(
    x: Any,
    /,
    *,
    axis: int = -1,
    n: int = 1,
    prepend: Any = None,
    append: Any = None,
) -> Tensor:
    """Differences of neighbours along `axis`, taken `n` times; of bools: whether they
    differ.

    Args:
        x: at least one dimension.
        axis: where.
        n: how often.
        prepend: what stands before `x` along `axis` before differences are taken: a
            tensor of its shape elsewhere, or a scalar.
        append: what stands behind it.

    Raises:
        ArgumentError: if `n` is negative.
    """
    if n < 0:
        raise ArgumentError(f"diff: n is not negative, given {n}")
    x = as_tensor(x)
    position = normalize_axis(axis, x.ndim, "diff")
    if n == 0:
        return x
    parts = [_edge(x, prepend, position), x, _edge(x, append, position)]
    x = concat([p for p in parts if p is not None], axis=position)
    subtraction = not_equal if x.dtype is bool_ else subtract
    for _ in range(n):
        size = x.shape[position]
        if isinstance(size, int) and size == 0:
            return x
        upper = slice_axis(x, position, 1, size)
        x = subtraction(upper, slice_axis(x, position, 0, size - 1))
    return x


def _edge(x: Tensor, value: Any, axis: int) -> Tensor | None:
    if value is None:
        return None
    value = as_tensor(value, like=x.dtype)
    if value.ndim:
        return value
    return b.broadcast(value, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))


def _flat_or(x: Any, axis: int | None) -> tuple[Tensor, int]:
    x = as_tensor(x)
    return (b.reshape(x, shape=(x.size,)), 0) if axis is None else (x, axis)


def cumsum(x: Any, /, *, axis: int | None = None, dtype: Any = None) -> Tensor:
    """NumPy's running sum: of all elements in a row when `axis` is left out."""
    x, axis = _flat_or(x, axis)
    return cumulative_sum(x, axis=axis, dtype=dtype)


def cumprod(x: Any, /, *, axis: int | None = None, dtype: Any = None) -> Tensor:
    """NumPy's running product: of all elements in a row when `axis` is left out."""
    x, axis = _flat_or(x, axis)
    return cumulative_prod(x, axis=axis, dtype=dtype)


def _running(name: str, record: str, x: Any, axis: int | None) -> Tensor:
    x, axis = _flat_or(x, axis)
    require(name, x, "iuf", "real")
    position = normalize_axis(axis, x.ndim, name)
    return getattr(b, record)(x, axis=position, reverse=False)


def cummax(x: Any, /, *, axis: int | None = None) -> Tensor:
    """Running maximum along `axis`; of all elements in a row when it is left out."""
    return _running("cummax", "cumulative_max", x, axis)


def cummin(x: Any, /, *, axis: int | None = None) -> Tensor:
    """Running minimum along `axis`; of all elements in a row when it is left out."""
    return _running("cummin", "cumulative_min", x, axis)
