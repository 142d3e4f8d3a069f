"""Matrix products: native gemm steps and eager `matmul`, judged by NumPy in float64."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_kernels import kernels

from compiler.errors import ExecutionError
from compiler.ir.types import DType, bf16, f32, f64
from compiler.runtime.blas import SMALL_PRODUCTS, matmul
from compiler.runtime.device import CpuDevice, cpu_device
from compiler.runtime.gemm import (
    BATCH,
    COLUMNS,
    ROWS,
    Epilogue,
    Gemm,
    GemmPlan,
    gemm_ints,
    gemm_step,
    gemm_steps,
    plan_gemm,
)
from compiler.runtime.openblas import blas, core_type
from compiler.runtime.steps import Call, Step, StepTable, Words
from compiler.runtime.threadpool import ThreadPool

ROOT = Path(__file__).resolve().parent.parent
TOLERANCE = {f32: 1e-5, f64: 1e-13}


@pytest.fixture(scope="module")
def pool() -> ThreadPool:
    return ThreadPool(2)


def operand(
    rng: np.random.Generator, dtype: DType, batch: int, rows: int, cols: int
) -> np.ndarray:
    return rng.standard_normal((batch, rows, cols)).astype(dtype.np)


def stored(matrix: np.ndarray, transposed: bool) -> np.ndarray:
    return np.ascontiguousarray(matrix.swapaxes(1, 2)) if transposed else matrix


def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a.astype(np.float64) @ b.astype(np.float64)


def check(dtype: DType, actual: np.ndarray, expected: np.ndarray, k: int) -> None:
    scale = TOLERANCE[dtype] * max(1.0, k) ** 0.5
    np.testing.assert_allclose(actual, expected, rtol=scale, atol=scale)


def step(gemm: Gemm, plan: GemmPlan, bufs: Words, epilogue: Epilogue | None) -> Step:
    ints = gemm_ints(gemm, plan, epilogue)
    return Call(gemm_step(gemm.dtype), bufs, ints, plan.extent, plan.chunks, plan.align)


def plans(m: int, n: int, batch: int) -> list[GemmPlan]:
    extents = {ROWS: m, COLUMNS: n, BATCH: batch}
    return [GemmPlan(s, e, c, 1) for s, e in extents.items() for c in (1, 3)]


SIZES = (0, 1, 2, 5, 17, 40)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([f32, f64]),
    *(st.sampled_from(SIZES) for _ in "mnk"),
    st.booleans(),
    st.booleans(),
    st.sampled_from([1, 2, 5]),
    st.booleans(),
    st.integers(0, 5),
)
def test_gemm_step(
    pool: ThreadPool,
    dtype: DType,
    m: int,
    n: int,
    k: int,
    trans_a: bool,
    trans_b: bool,
    batch: int,
    accumulate: bool,
    which: int,
) -> None:
    rng = np.random.default_rng(m + 100 * n + 10_000 * k)
    a, b = operand(rng, dtype, batch, m, k), operand(rng, dtype, batch, k, n)
    # NaN shows any element that is not written, or read when it must not be.
    c = np.full((batch, m, n), 1 if accumulate else np.nan, dtype.np)
    gemm = Gemm(dtype, m, n, k, trans_a, trans_b, batch, accumulate)
    bufs = Words(stored(a, trans_a), stored(b, trans_b), c)
    pool.run(StepTable([step(gemm, plans(m, n, batch)[which], bufs, None)]))
    check(dtype, c, reference(a, b) + accumulate, k)


@pytest.mark.parametrize("dtype", [f32, f64], ids=str)
def test_rows_and_columns_inside_larger_buffers(pool: ThreadPool, dtype: DType) -> None:
    rng = np.random.default_rng(1)
    a, b = operand(rng, dtype, 1, 20, 30)[0], operand(rng, dtype, 1, 30, 25)[0]
    c = np.full((20, 40), np.nan, dtype.np)
    for plan in plans(8, 9, 1):
        gemm = Gemm(dtype, 8, 9, 30, lda=30, ldb=25, ldc=40)
        pool.run(StepTable([step(gemm, plan, Words(a, b, c), None)]))
        check(dtype, c[:8, :9], reference(a[:8], b[:, :9]), 30)
    assert np.isnan(c[8:]).all() and np.isnan(c[:, 9:]).all()


def test_one_matrix_for_the_whole_batch(pool: ThreadPool) -> None:
    rng = np.random.default_rng(2)
    a, b = operand(rng, f32, 6, 10, 12), operand(rng, f32, 1, 12, 11)
    c = np.full((6, 10, 11), np.nan, np.float32)
    steps = gemm_steps(Gemm(f32, 10, 11, 12, batch=6, stride_b=0), Words(a, b, c), 2)
    pool.run(StepTable(steps))
    check(f32, c, reference(a, b), 12)


@pytest.mark.parametrize("split", [ROWS, BATCH])
@pytest.mark.parametrize(
    ("m", "n", "k"), [(3000, 100, 8), (30, 3000, 9), (7, 5, 0), (1, 1, 1)]
)
def test_epilogue_runs_once_over_each_row(
    pool: ThreadPool, split: int, m: int, n: int, k: int
) -> None:
    rng = np.random.default_rng(3)
    batch = 3
    a, b = operand(rng, f32, batch, m, k), operand(rng, f32, batch, k, n)
    c = np.full((batch, m, n), np.nan, np.float32)
    visits = np.zeros(batch * m, np.int64)
    epilogue = Epilogue(kernels()["bump_rows"], Words(c, visits), Words(n))
    extent = m if split == ROWS else batch
    plan = GemmPlan(split, extent, 2, 1)
    gemm = Gemm(f32, m, n, k, batch=batch)
    pool.run(StepTable([step(gemm, plan, Words(a, b, c), epilogue)]))
    assert (visits == 1).all()
    expected = reference(a, b)
    expected[..., 0] += 1
    check(f32, c, expected, k)


def test_non_finite_values(pool: ThreadPool) -> None:
    a = np.array([[np.inf, 1], [np.nan, 1], [0, -0.0], [3e38, 3e38]], np.float32)
    b = np.array([[1, 0], [1, 5]], np.float32)
    c = np.zeros((4, 2), np.float32)
    pool.run(StepTable(gemm_steps(Gemm(f32, 4, 2, 2), Words(a, b, c), 2)))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(c, a @ b)


def test_denormals_are_kept(pool: ThreadPool) -> None:
    a, b = np.full((1, 1), 1e-40, np.float32), np.full((1, 1), 0.5, np.float32)
    c = np.zeros((1, 1), np.float32)
    pool.run(StepTable(gemm_steps(Gemm(f32, 1, 1, 1), Words(a, b, c), 1)))
    assert c[0, 0] == np.float32(1e-40) * np.float32(0.5) != 0


# Plans

EXTENTS = st.integers(0, 3000)


@given(EXTENTS, EXTENTS, EXTENTS, st.integers(1, 64), st.integers(1, 64), st.booleans())
def test_plans_divide_what_they_say(
    m: int, n: int, k: int, batch: int, threads: int, epilogue: bool
) -> None:
    plan = plan_gemm(m, n, k, batch, threads, epilogue=epilogue)
    assert plan.extent == {ROWS: m, COLUMNS: n, BATCH: batch}[plan.split]
    assert 1 <= plan.chunks <= threads
    assert not (epilogue and plan.split == COLUMNS)
    assert plan.chunks == 1 or plan.extent >= plan.chunks * plan.align


def test_plans_of_common_products() -> None:
    assert plan_gemm(8, 8, 8, 1, 2).chunks == 1
    assert plan_gemm(512, 512, 512, 1, 1).chunks == 1
    assert plan_gemm(128, 512, 784, 1, 2) == GemmPlan(COLUMNS, 512, 2, 16)
    assert plan_gemm(128, 512, 784, 1, 2, epilogue=True) == GemmPlan(ROWS, 128, 2, 8)
    assert plan_gemm(784, 512, 128, 1, 2) == GemmPlan(ROWS, 784, 2, 8)
    assert plan_gemm(128, 128, 64, 64, 2) == GemmPlan(BATCH, 64, 2, 1)


def test_refusals() -> None:
    with pytest.raises(ExecutionError, match="no BLAS product of bf"):
        gemm_step(bf16)
    with pytest.raises(ExecutionError, match="32 bits"):
        gemm_steps(Gemm(f32, 1 << 31, 1, 1), Words(0, 0, 0), 1)
    with pytest.raises(ExecutionError, match="no product of bf"):
        blas().gemm_address(bf16)


# Eager


def layouts(array: np.ndarray) -> list[np.ndarray]:
    """The same matrix in different memory: as it is, transposed, sliced, odd."""
    wide = np.zeros((*array.shape[:-1], array.shape[-1] + 3), array.dtype)
    wide[..., : array.shape[-1]] = array
    spread = np.repeat(array, 2, axis=-1)
    return [
        array,
        np.ascontiguousarray(array.swapaxes(-1, -2)).swapaxes(-1, -2),
        wide[..., : array.shape[-1]],
        spread[..., ::2],
        np.ascontiguousarray(array[..., ::-1, :])[..., ::-1, :],
    ]


@pytest.mark.parametrize("dtype", [f32, f64], ids=str)
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((70, 64), (64, 66)),
        ((1, 600), (600, 500)),
        ((500, 600), (600, 1)),
        ((600, 1), (1, 500)),
        ((4, 40, 50), (4, 50, 60)),
        ((2, 3, 40, 50), (2, 3, 50, 60)),
        ((4, 40, 50), (50, 60)),
    ],
)
def test_matmul_in_every_layout(
    dtype: DType, left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(5)
    a = rng.standard_normal(left).astype(dtype.np)
    b = rng.standard_normal(right).astype(dtype.np)
    assert a.size * b.shape[-1] > SMALL_PRODUCTS
    expected = reference(a, b)
    for x, y in itertools.product(layouts(a), layouts(b)):
        result = matmul(x, y)
        assert result.dtype == dtype.np and result.shape == expected.shape
        check(dtype, result, expected, left[-1])


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.ones((100, 100), np.float32), np.ones((100, 100), np.float64)),
        (np.ones((100, 100), np.int32), np.ones((100, 100), np.int32)),
        (np.ones((100, 100), ">f4"), np.ones((100, 100), ">f4")),
        (np.ones(3000, np.float32), np.ones((3000, 200), np.float32)),
        (np.ones((3, 100, 100), np.float32), np.ones((1, 100, 100), np.float32)),
        (np.ones((100, 100), np.float32), np.ones((3, 100, 100), np.float32)),
        (np.ones((0, 100), np.float32), np.ones((100, 100), np.float32)),
        (np.ones((100, 0), np.float32), np.ones((0, 100), np.float32)),
        (
            np.broadcast_to(np.float32(2), (100, 100)),
            np.broadcast_to(np.arange(100, dtype=np.float32), (100, 100)),
        ),
    ],
)
def test_matmul_of_everything_else(a: np.ndarray, b: np.ndarray) -> None:
    result, expected = matmul(a, b), np.matmul(a, b)
    assert result.dtype == expected.dtype and result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_matmul_refuses_what_numpy_refuses() -> None:
    with pytest.raises(ValueError, match="mismatch"):
        matmul(np.ones((100, 99), np.float32), np.ones((100, 100), np.float32))


def test_matmul_results_do_not_share_memory() -> None:
    a = np.ones((128, 128), np.float32)
    results = [matmul(a * i, a) for i in range(5)]
    for i, result in enumerate(results):
        assert (result == 128 * i).all()


def test_matmul_from_several_threads() -> None:
    rng = np.random.default_rng(6)
    a = rng.standard_normal((150, 150)).astype(np.float32)
    expected = reference(a, a)
    failures: list[AssertionError] = []

    def work() -> None:
        try:
            for _ in range(50):
                check(f32, matmul(a, a), expected, 150)
        except AssertionError as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures


# The library


def test_core_type_needs_the_features() -> None:
    avx512 = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"})
    amd = replace(cpu_device(), vendor="AuthenticAMD", features=avx512)
    assert isinstance(amd, CpuDevice)
    assert core_type(amd) == "SkylakeX"
    assert core_type(replace(amd, features=avx512 - {"avx512dq"})) is None
    assert core_type(replace(amd, vendor="GenuineIntel")) is None


def loaded_core(**environment: str | None) -> tuple[str, str]:
    """The core in a new process, and its message on standard error."""
    code = (
        "import os; before = dict(os.environ); "
        "from compiler.runtime.openblas import blas; print(blas().core); "
        "assert before == dict(os.environ)"
    )
    settings = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={k: v for k, v in settings.items() if v is not None},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return result.stdout.strip(), result.stderr


@pytest.mark.skipif("avx2" not in cpu_device().features, reason="needs AVX2")
def test_the_user_chooses_the_core() -> None:
    unset: dict[str, str | None] = {"OPENBLAS_CORETYPE": None}
    own, _ = loaded_core(**unset, JITFLOW_BLAS_CORE=None)
    assert core_type(cpu_device()) in (None, own)
    core = {"OPENBLAS_CORETYPE": "Haswell"}
    assert loaded_core(**core, JITFLOW_BLAS_CORE=None) == ("Haswell", "")
    assert loaded_core(**core, JITFLOW_BLAS_CORE="auto") == (own, "")
    assert loaded_core(**unset, JITFLOW_BLAS_CORE="Haswell") == ("Haswell", "")
