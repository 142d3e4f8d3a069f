"""Products by register tiles and sums divided over chunks, judged by NumPy in f64."""

from __future__ import annotations

import ctypes
import itertools
from functools import cache

import numpy as np
import pytest

from compiler.errors import ExecutionError
from compiler.ir.types import DType, bf16, f32, f64
from compiler.kernels import native
from compiler.runtime.device import cpu_device
from compiler.runtime.gemm import (
    COLUMNS,
    ROWS,
    SUM,
    Epilogue,
    Gemm,
    GemmPlan,
    gemm_steps,
    plan_gemm,
    takes_tiles,
)
from compiler.runtime.microgemm import (
    FEW_ROWS,
    PACK_STRIP,
    PANEL_DEPTH,
    has_micro,
    micro_address,
    micro_ir,
)
from compiler.runtime.steps import StepTable, Words
from compiler.runtime.threadpool import ThreadPool

TOLERANCE = {f32: 2e-6, f64: 1e-14}
DTYPES = pytest.mark.parametrize("dtype", [f32, f64], ids=str)
NO_TRANS, TRANS = 111, 112

pytestmark = pytest.mark.skipif(
    not has_micro(cpu_device()), reason="the tiles need AVX2 or AVX-512"
)


@cache
def routine(dtype: DType, vector_bytes: int | None = None) -> ctypes._FuncPointer:
    """The product as a Python function, for this CPU or for narrower vectors."""
    if vector_bytes is None:
        address = micro_address(dtype)
    else:
        made = native.compile_and_load(micro_ir(dtype, vector_bytes), ["micro_gemm"])
        address = made["micro_gemm"]
    real = ctypes.c_float if dtype is f32 else ctypes.c_double
    integer, pointer = ctypes.c_int, ctypes.c_void_p
    ends = (real, pointer, integer, pointer, integer, real, pointer, integer)
    return ctypes.CFUNCTYPE(None, *[integer] * 6, *ends)(address)


def multiply(
    dtype: DType,
    a: np.ndarray,
    b: np.ndarray,
    c: np.ndarray,
    beta: float,
    trans: tuple[bool, bool],
    vector_bytes: int | None = None,
) -> None:
    """``c = a @ b + beta * c`` for matrices with any leading dimension."""
    (m, n), k = c.shape, a.shape[0] if trans[0] else a.shape[1]
    flags = [TRANS if t else NO_TRANS for t in trans]
    leading = [x.strides[0] // x.itemsize for x in (a, b, c)]
    routine(dtype, vector_bytes)(
        *(101, *flags, m, n, k, 1.0, a.ctypes.data, leading[0]),
        *(b.ctypes.data, leading[1], beta, c.ctypes.data, leading[2]),
    )


def inside(matrix: np.ndarray, transposed: bool, pad: int) -> np.ndarray:
    """The matrix as it is stored: a part of a wider one that is NaN elsewhere."""
    stored = matrix.T if transposed else matrix
    around = np.full((stored.shape[0] + 1, stored.shape[1] + pad), np.nan, matrix.dtype)
    around[:-1, : stored.shape[1]] = stored
    return around[:-1, : stored.shape[1]]


def check(
    dtype: DType, got: np.ndarray, a: np.ndarray, b: np.ndarray, plus: float
) -> None:
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    # The error of a sum is measured by the sum of the magnitudes.
    bound = np.abs(wide_a) @ np.abs(wide_b) + abs(plus)
    error = np.abs(got - (wide_a @ wide_b + plus))
    assert (error <= TOLERANCE[dtype] * bound * a.shape[1] ** 0.5).all()


def one_product(
    dtype: DType,
    size: tuple[int, int, int],
    trans: tuple[bool, bool],
    beta: float,
    pad: int,
    vector_bytes: int | None = None,
) -> None:
    m, n, k = size
    rng = np.random.default_rng(m + 100 * n + 10_000 * k)
    a = rng.standard_normal((m, k)).astype(dtype.np)
    b = rng.standard_normal((k, n)).astype(dtype.np)
    around = np.full((m + 1, n + pad), np.nan, dtype.np)
    c = around[:m, :n]
    if beta:
        c[:] = 3
    multiply(
        *(dtype, inside(a, trans[0], pad), inside(b, trans[1], pad), c, beta, trans),
        vector_bytes,
    )
    check(dtype, c, a, b, 3 * beta)
    assert np.isnan(around[m:]).all() and np.isnan(around[:, n:]).all()


# Every number of rows of the last tile, and every width of the last panel.
ROW_COUNTS = (1, 2, 3, 5, 6, 7, 8, 9, 10, FEW_ROWS + 1)
COLUMN_COUNTS = (1, 2, 7, 15, 16, 17, 31, 33, 48, 49, 64, 65, 130)
DEPTHS = (1, 3, PACK_STRIP + 1, PANEL_DEPTH + 1)


@DTYPES
@pytest.mark.parametrize("trans", list(itertools.product([False, True], repeat=2)))
def test_every_edge(dtype: DType, trans: tuple[bool, bool]) -> None:
    for m, n, k in itertools.product(ROW_COUNTS, COLUMN_COUNTS, DEPTHS):
        one_product(dtype, (m, n, k), trans, beta=(m + n) % 2, pad=(m + k) % 3)


@DTYPES
def test_vectors_of_avx2(dtype: DType) -> None:
    for m, n, k in itertools.product((1, 5, 13), (1, 9, 24, 30), (1, 70)):
        one_product(dtype, (m, n, k), (False, True), 1.0, 1, vector_bytes=32)
        one_product(dtype, (m, n, k), (True, False), 0.0, 0, vector_bytes=32)


@DTYPES
def test_long_blocks_of_the_sum(dtype: DType) -> None:
    for k in (2 * PANEL_DEPTH, 2 * PANEL_DEPTH + 1, 5000):
        one_product(dtype, (7, 70, k), (True, False), 0.0, 1)
        one_product(dtype, (40, 9, k), (False, True), 1.0, 0)


@DTYPES
def test_nan_and_infinity_are_not_skipped(dtype: DType) -> None:
    a, b = np.zeros((9, 20), dtype.np), np.ones((20, 40), dtype.np)
    b[3, 5], b[4, 6], a[2, 7], a[8, 8] = np.nan, np.inf, np.inf, -0.0
    c = np.empty((9, 40), dtype.np)
    multiply(dtype, a, b, c, 0.0, (False, False))
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(c, a @ b)


@DTYPES
def test_denormals_survive(dtype: DType) -> None:
    tiny = np.finfo(dtype.np).smallest_subnormal
    a, b = np.full((8, 1), tiny, dtype.np), np.full((1, 16), 2, dtype.np)
    c = np.empty((8, 16), dtype.np)
    multiply(dtype, a, b, c, 0.0, (False, False))
    np.testing.assert_array_equal(c, np.full((8, 16), 2 * tiny))


def test_other_dtypes_are_refused() -> None:
    with pytest.raises(ExecutionError, match="bfloat16"):
        micro_address(bf16)


# -- steps --------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[1, 2, 3])
def pool(request: pytest.FixtureRequest) -> ThreadPool:
    return ThreadPool(request.param)


STEPS = (
    # m, n, k, trans_a, trans_b, batch
    (3000, 32, 27, False, False, 1),
    (9, 32, 5000, True, False, 1),
    (33, 17, 5001, False, True, 1),
    (1, 1, 70_000, False, False, 1),
    (64, 600, 70, False, False, 1),
    (260, 65, 80, True, True, 3),
    (0, 5, 70, False, False, 1),
    (5, 0, 70, False, False, 1),
    (5, 6, 0, True, True, 2),
    (1, 1, 1, False, False, 1),
)


@DTYPES
@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("case", STEPS, ids=str)
def test_steps(
    pool: ThreadPool,
    dtype: DType,
    accumulate: bool,
    case: tuple[int, int, int, bool, bool, int],
) -> None:
    m, n, k, trans_a, trans_b, batch = case
    rng = np.random.default_rng(m + n + k)
    a = rng.standard_normal((batch, m, k)).astype(dtype.np)
    b = rng.standard_normal((batch, k, n)).astype(dtype.np)
    c = np.full((batch, m, n), 2 if accumulate else np.nan, dtype.np)
    gemm = Gemm(dtype, m, n, k, trans_a, trans_b, batch, accumulate)
    stored = [
        np.ascontiguousarray(x.swapaxes(1, 2)) if t else x
        for x, t in ((a, trans_a), (b, trans_b))
    ]
    steps = gemm_steps(gemm, Words(*stored, c), pool.num_threads)
    table = StepTable(steps)
    pool.run(table)
    for i in range(batch):
        check(dtype, c[i], a[i], b[i], 2 * accumulate)
    if not accumulate:
        first = c.copy()
        pool.run(table)
        np.testing.assert_array_equal(c, first)


def test_a_long_sum_is_divided_and_keeps_nan() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((4000, 6)).astype(np.float32)
    b = rng.standard_normal((4000, 10)).astype(np.float32)
    a[3, 1], b[3999, 4] = np.nan, np.inf
    c = np.empty((6, 10), np.float32)
    steps = gemm_steps(Gemm(f32, 6, 10, 4000, trans_a=True), Words(a, b, c), 2)
    assert [step.chunks for step in steps] == [2, 1]
    ThreadPool(2).run(StepTable(steps))
    with np.errstate(invalid="ignore"):
        expected = a.T.astype(np.float64) @ b
    np.testing.assert_array_equal(np.isnan(c), np.isnan(expected))
    np.testing.assert_allclose(c, expected, rtol=1e-3, atol=1e-3)


# -- choices ------------------------------------------------------------------------


def test_what_divides_the_sum() -> None:
    assert plan_gemm(288, 64, 12544, 1, 2, sums=True) == GemmPlan(SUM, 12544, 2, 64)
    assert plan_gemm(288, 64, 12544, 1, 2).split == ROWS
    assert plan_gemm(288, 64, 12544, 1, 1, sums=True).chunks == 1
    assert plan_gemm(128, 512, 784, 1, 2, sums=True).split == COLUMNS
    epilogue = Epilogue(0, Words())
    one = gemm_steps(Gemm(f32, 8, 8, 9000), Words(0, 0, 0), 2, epilogue)
    part = gemm_steps(Gemm(f32, 8, 8, 9000, ldc=9), Words(0, 0, 0), 2)
    assert len(one) == len(part) == 1


def test_which_products_take_tiles() -> None:
    def takes(m: int, n: int, k: int, trans_b: bool = False) -> bool:
        gemm = Gemm(f32, m, n, k, trans_b=trans_b)
        return takes_tiles(gemm, plan_gemm(m, n, k, 1, 2, sums=True))

    assert takes(50176, 32, 9) and takes(9, 32, 50176) and takes(12544, 64, 288)
    assert not takes(32, 32, 32) and not takes(1 << 20, 1, 64)
    assert not takes(2048, 2048, 2048)
    assert takes(12544, 32, 288, trans_b=True)
    assert not takes(128, 2048, 512, trans_b=True)
