"""Matrix products of NumPy arrays, through our BLAS on our thread pool.

`matmul` is what eager code uses. Its overhead is some microseconds over NumPy's, so
small products, other dtypes and odd layouts go to `numpy.matmul`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise

import numpy as np

from compiler.ir.types import DType, f32, f64
from compiler.runtime.gemm import Gemm, gemm_ints, gemm_step, plan_gemm
from compiler.runtime.memory import default_buffer_pool
from compiler.runtime.openblas import blas
from compiler.runtime.steps import Arg, Call, StepTable, Words
from compiler.runtime.threadpool import default_pool

__all__ = ["blas", "matmul"]

SMALL_PRODUCTS = 1 << 18
"""Multiplications up to which NumPy is used: its BLAS stays on one thread there."""

Ints = tuple[int, ...]

_DTYPES = {np.dtype(np.float32): f32, np.dtype(np.float64): f64}


class _Product:
    """A step table for one product, refilled for every call: 1 µs instead of 60."""

    def __init__(self, dtype: DType) -> None:
        ints = gemm_ints(Gemm(dtype, 1, 1, 1), plan_gemm(1, 1, 1, 1, 1))
        fn = gemm_step(dtype)
        # Two chunks make the table a parallel one.
        call = Call(fn, Words(Arg(0), Arg(1), Arg(2)), ints, chunks=2, name="matmul")
        self.table = StepTable([call])
        first = self.table.word_index(ints)
        self.ints = self.table.words[first : first + len(ints.values)]
        self.division = self.table.rows[0, 4:7]
        self.run = default_pool().bind_objects(self.table)


_PRODUCTS: Mapping[DType, deque[_Product]] = {f32: deque(), f64: deque()}
"""Tables that no thread uses at the moment, a documented cache."""


def _take(dtype: DType) -> _Product:
    try:
        return _PRODUCTS[dtype].pop()
    except IndexError:
        return _Product(dtype)


def _layout(shape: Ints, strides: Ints, itemsize: int) -> tuple[bool, int] | None:
    """``(transposed, leading dimension)`` of the last two axes, None if neither fits.

    The stride of an axis of length 1 means nothing and fits everything.
    """
    rows, cols = shape[-2:]
    by_row, by_col = strides[-2:]
    if (by_col == itemsize or cols == 1) and (by_row >= cols * itemsize or rows == 1):
        step = cols if rows == 1 else by_row // itemsize
        return None if rows > 1 and by_row % itemsize else (False, step)
    if (by_row == itemsize or rows == 1) and (by_col >= rows * itemsize or cols == 1):
        step = rows if cols == 1 else by_col // itemsize
        return None if cols > 1 and by_col % itemsize else (True, step)
    return None


def _batch_stride(shape: Ints, strides: Ints, itemsize: int) -> int | None:
    """Elements from one matrix to the next, None if that is not one number."""
    outer = zip(shape[:-2], strides[:-2], strict=True)
    axes = [(size, stride) for size, stride in outer if size != 1]
    if not axes:
        return 0
    if any(up != size * stride for (_, up), (size, stride) in pairwise(axes)):
        return None
    return None if axes[-1][1] % itemsize else axes[-1][1] // itemsize


def _describe(
    dtype: DType, a_shape: Ints, a_strides: Ints, b_shape: Ints, b_strides: Ints
) -> Gemm | None:
    """The product as BLAS sees it, None where an operand must be copied."""
    layout_a = _layout(a_shape, a_strides, dtype.itemsize)
    layout_b = _layout(b_shape, b_strides, dtype.itemsize)
    stride_a = _batch_stride(a_shape, a_strides, dtype.itemsize)
    stride_b = _batch_stride(b_shape, b_strides, dtype.itemsize)
    if layout_a is None or layout_b is None or stride_a is None or stride_b is None:
        return None
    return Gemm(
        dtype,
        m=a_shape[-2],
        n=b_shape[-1],
        k=a_shape[-1],
        trans_a=layout_a[0],
        trans_b=layout_b[0],
        batch=math.prod(a_shape[:-2]),
        lda=layout_a[1],
        ldb=layout_b[1],
        stride_a=stride_a,
        stride_b=stride_b,
    )


@lru_cache(1024)
def _prepare(
    dtype: DType,
    threads: int,
    a_shape: Ints,
    a_strides: Ints,
    b_shape: Ints,
    b_strides: Ints,
) -> tuple[np.ndarray, np.ndarray] | None:
    """The words of the step for these operands, None where one must be copied."""
    gemm = _describe(dtype, a_shape, a_strides, b_shape, b_strides)
    if gemm is None:
        return None
    plan = plan_gemm(gemm.m, gemm.n, gemm.k, gemm.batch, threads)
    words = np.array(gemm_ints(gemm, plan).values, np.int64)
    return words, np.array([plan.extent, plan.chunks, plan.align], np.int64)


def _fits(a: np.ndarray, b: np.ndarray) -> bool:
    """True for operands whose product is worth a call of ours."""
    shape_a, shape_b = a.shape, b.shape
    return (
        a.ndim >= 2
        and b.ndim >= 2
        and a.size * shape_b[-1] > SMALL_PRODUCTS
        and a.dtype in _DTYPES
        and a.dtype == b.dtype
        and shape_a[-1] == shape_b[-2]
        and (b.ndim == 2 or shape_a[:-2] == shape_b[:-2])
        and max(a.size, b.size) < 1 << 31
    )


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    dtype = _DTYPES[a.dtype]
    threads = default_pool().num_threads
    ready = _prepare(dtype, threads, a.shape, a.strides, b.shape, b.strides)
    if ready is None:
        return _product(np.array(a, order="C"), np.array(b, order="C"))
    out = default_buffer_pool().empty((*a.shape[:-1], b.shape[-1]), a.dtype)
    product = _take(dtype)
    product.ints[:], product.division[:] = ready
    product.run((a, b, out))
    _PRODUCTS[dtype].append(product)
    return out


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``numpy.matmul(a, b)``, on our pool for large products of f32 or f64.

    Rows, columns or matrices of the batch are divided over the threads; transposed
    and sliced operands are read in place. Raises what `numpy.matmul` raises.
    """
    if not _fits(a, b):
        return np.matmul(a, b)
    if b.ndim == 2 and a.ndim > 2 and a.flags.c_contiguous:
        # One tall product: b is packed once instead of once per matrix.
        flat = _product(a.reshape(-1, a.shape[-1]), b)
        return flat.reshape(*a.shape[:-1], b.shape[-1])
    if b.ndim != a.ndim:
        return np.matmul(a, b)
    return _product(a, b)
