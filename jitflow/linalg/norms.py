"""Norms of vectors and matrices, condition numbers."""

from __future__ import annotations

import math
from typing import Any

from jitflow.config import settings
from jitflow.errors import ArgumentError
from jitflow.linalg.matrices import matrix_function
from jitflow.linalg.solvers import inv
from jitflow.ops import elementwise as e
from jitflow.ops.coerce import as_tensor, normalize_axes
from jitflow.ops.dispatch import builder as b
from jitflow.ops.manipulation import moveaxis, reshape
from jitflow.ops.reductions import max as max_
from jitflow.ops.reductions import min as min_
from jitflow.ops.reductions import sum as sum_
from jitflow.tensor.tensor import Tensor


def _floating(x: Any) -> Tensor:
    x = as_tensor(x)
    return x if x.dtype.is_inexact else b.cast(x, settings.float_dtype)


def _square_sum(x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    if x.dtype.is_complex:
        re, im = e.square(e.real(x)), e.square(e.imag(x))
        return sum_(e.add(re, im), axis=axes, keepdims=keepdims)
    return sum_(e.square(x), axis=axes, keepdims=keepdims)


def vector_norm(
    x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2
) -> Tensor:
    """The `ord`-norm of vectors: ``sum(abs(x)**ord)**(1/ord)``.

    Args:
        x: any tensor.
        axis: the axes that make up a vector; all when left out.
        keepdims: keep them with size 1.
        ord: a number; ``inf`` and ``-inf`` give the largest and smallest absolute
            value, 0 the number of elements that are not zero.
    """
    x = _floating(x)
    axes = normalize_axes(axis, x.ndim, "vector_norm")
    if ord == 2:
        return e.sqrt(_square_sum(x, axes, keepdims))
    size = e.abs(x)
    if ord == 0:
        return sum_(
            e.astype(e.not_equal(x, 0), size.dtype), axis=axes, keepdims=keepdims
        )
    if ord in (math.inf, -math.inf):
        if ord > 0 and 0 in x.shape:
            return sum_(size, axis=axes, keepdims=keepdims)
        return (max_ if ord > 0 else min_)(size, axis=axes, keepdims=keepdims)
    if ord == 1:
        return sum_(size, axis=axes, keepdims=keepdims)
    return e.pow(sum_(e.pow(size, ord), axis=axes, keepdims=keepdims), 1 / ord)


def _keep(result: Tensor, keepdims: bool) -> Tensor:
    return reshape(result, (*result.shape, 1, 1)) if keepdims else result


@matrix_function()
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    """Norms of matrices.

    Args:
        x: matrices ``[..., M, N]``.
        keepdims: keep the last two dimensions with size 1.
        ord: ``"fro"``; ``"nuc"``, the sum of the singular values; 2 and -2, the
            largest and smallest of them; 1 and -1, the largest and smallest sum of
            absolute values of a column; ``inf`` and ``-inf``, of a row.

    Raises:
        ArgumentError: for another `ord`.
    """
    if ord == "fro":
        return _keep(e.sqrt(_square_sum(x, (x.ndim - 2, x.ndim - 1), False)), keepdims)
    if ord in ("nuc", 2, -2):
        s = b.svd(x, full=False)[1]
        choose: Any = {"nuc": sum_, 2: _largest, -2: min_}[ord]
        return _keep(choose(s, axis=-1), keepdims)
    if ord not in (1, -1, math.inf, -math.inf):
        raise ArgumentError(f"matrix_norm: unknown ord {ord!r}")
    sums = sum_(e.abs(x), axis=-2 if abs(ord) == 1 else -1)
    return _keep((_largest if ord > 0 else min_)(sums, axis=-1), keepdims)


def _largest(x: Tensor, axis: int) -> Tensor:
    """The largest of values that are not negative; 0 of none."""
    return sum_(x, axis=axis) if x.shape[axis] == 0 else max_(x, axis=axis)


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    """NumPy's name for both: a vector norm, or over two axes a matrix norm.

    Args:
        x: any tensor.
        ord: see `vector_norm` and `matrix_norm`; None is the root of the sum of
            squares.
        axis: an int for vectors, two for matrices; left out, `x` is one of either
            (with `ord` None of any rank).
        keepdims: keep the axes with size 1.

    Raises:
        ArgumentError: if there are more than two axes.
    """
    x = as_tensor(x)
    if ord is None:
        return vector_norm(x, axis=axis, keepdims=keepdims)
    given = axis if axis is not None else tuple(range(x.ndim))
    axes = (given,) if hasattr(given, "__index__") else tuple(given)
    if len(axes) == 1:
        return vector_norm(x, axis=axes, keepdims=keepdims, ord=ord)
    if len(axes) != 2:
        raise ArgumentError(f"norm: axis has one or two dimensions, given {axis}")
    result = matrix_norm(moveaxis(x, axes, (-2, -1)), keepdims=keepdims, ord=ord)
    return moveaxis(result, (-2, -1), axes) if keepdims else result


@matrix_function()
def cond(x: Any, /, *, ord: Any = None) -> Tensor:
    """Condition numbers: ``norm(x) * norm(inv(x))``; with None or 2 by the SVD."""
    if ord in (None, 2, -2):
        s = b.svd(x, full=False)[1]
        first, last = s[..., 0], s[..., -1]
        return e.divide(last, first) if ord == -2 else e.divide(first, last)
    return e.multiply(matrix_norm(x, ord=ord), matrix_norm(inv(x), ord=ord))
