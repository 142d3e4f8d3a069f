"""Linear algebra: values, gradients, singular and empty matrices."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

import jitflow as jf
from jitflow import linalg
from jitflow.errors import ArgumentError, ShapeError, TracerError
from jitflow.testing import check_gradients

SQUARE = [(1, 1), (2, 2), (3, 3), (5, 5), (2, 4, 4), (2, 3, 1, 1)]
SHAPES = [(4, 2), (2, 4), (3, 3), (2, 3, 2), (1, 5)]


def matrices(shape, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.normal(size=shape)
    if shape[-1] == shape[-2]:
        x = x + 2 * np.eye(shape[-1])
    return x.astype(dtype)


def close(actual, expected, rtol=1e-9, atol=1e-10):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


def t(x):
    return np.conj(np.swapaxes(np.asarray(x), -1, -2))


@pytest.mark.parametrize("shape", SQUARE)
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_square_matrices(shape, dtype):
    a, x = matrices(shape, dtype), matrices((*shape[:-1], 2), dtype, seed=1)
    close(linalg.det(a), np.linalg.det(a))
    close(linalg.inv(a), np.linalg.inv(a))
    close(linalg.solve(a, x), np.linalg.solve(a, x))
    close(
        linalg.solve(a, x[..., 0].reshape(-1)[: shape[-1]]),
        np.linalg.solve(a, x[..., 0].reshape(-1)[: shape[-1], None])[..., 0],
    )
    for ours, theirs in zip(linalg.slogdet(a), np.linalg.slogdet(a), strict=True):
        close(ours, theirs)
    for n in (-2, 0, 1, 5):
        close(linalg.matrix_power(a, n), np.linalg.matrix_power(a, n))
    close(linalg.expm(a), scipy.linalg.expm(a))
    close(linalg.trace(a), np.trace(a, axis1=-2, axis2=-1))
    w, v = linalg.eig(a)
    close(a @ np.asarray(v), np.asarray(v) * np.asarray(w)[..., None, :])
    close(linalg.eigvals(a), w)
    p, lower, upper = map(np.asarray, linalg.lu(a))
    close(p @ lower @ upper, a)


@pytest.mark.parametrize("shape", SQUARE)
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_hermitian_matrices(shape, dtype):
    a = matrices(shape, dtype)
    a = a @ t(a) + np.eye(shape[-1])
    close(linalg.cholesky(a), np.linalg.cholesky(a))
    close(linalg.cholesky(a, upper=True), t(np.linalg.cholesky(a)))
    w, v = linalg.eigh(a)
    close(w, np.linalg.eigvalsh(a))
    close(linalg.eigvalsh(a), w)
    close(np.asarray(v) * np.asarray(w)[..., None, :] @ t(v), a)
    x = matrices((*shape[:-1], 2), dtype, seed=1)
    for upper in (False, True):
        factor = linalg.cholesky(a, upper=upper)
        close(linalg.cholesky_solve(factor, x, upper=upper), np.linalg.solve(a, x))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_matrices(shape, dtype):
    a = matrices(shape, dtype)
    close(linalg.pinv(a), np.linalg.pinv(a))
    for full in (False, True):
        u, s, vh = map(np.asarray, linalg.svd(a, full_matrices=full))
        k = s.shape[-1]
        close((u[..., :k] * s[..., None, :]) @ vh[..., :k, :], a)
        assert u.shape[-1] == (a.shape[-2] if full else k)
    close(linalg.svdvals(a), np.linalg.svdvals(a))
    for mode in ("reduced", "complete"):
        q, r = map(np.asarray, linalg.qr(a, mode=mode))
        close(q @ r, a)
        close(
            t(q) @ q,
            np.broadcast_to(np.eye(q.shape[-1]), (t(q) @ q).shape)
            + 0 * q[0, 0].dtype.type(0),
        )
        close(np.tril(r, -1), np.zeros_like(r))
    close(linalg.matrix_rank(a), np.asarray(np.linalg.matrix_rank(a), np.int64))
    p, lower, upper = map(np.asarray, linalg.lu(a))
    close(p @ lower @ upper, a)


@pytest.mark.parametrize("ord", ["fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
@pytest.mark.parametrize("keepdims", [False, True])
def test_matrix_norms(ord, keepdims):
    for dtype in (np.float64, np.complex128):
        a = matrices((2, 3, 4), dtype)
        how = {"ord": ord, "keepdims": keepdims}
        close(linalg.matrix_norm(a, **how), np.linalg.matrix_norm(a, **how))
        how["axis"] = (2, 0)
        close(linalg.norm(a, **how), np.linalg.norm(a, **how))


@pytest.mark.parametrize("ord", [0, 1, 2, 3, 0.5, -1, np.inf, -np.inf])
def test_vector_norms(ord):
    for dtype in (np.float64, np.complex128):
        a = matrices((2, 3, 4), dtype)
        for axis in (None, 1, (0, 2)):
            for keepdims in (False, True):
                how = {"ord": ord, "axis": axis, "keepdims": keepdims}
                expected = np.linalg.vector_norm(a, **how)
                close(linalg.vector_norm(a, **how), expected)
    close(linalg.norm(a), np.linalg.norm(a))
    close(linalg.cond(a), np.linalg.cond(a))


def test_triangular_systems():
    a, x = matrices((2, 4, 4)), matrices((2, 4, 3), seed=1)
    modes = {"none": a, "transpose": np.swapaxes(a, -1, -2), "adjoint": t(a)}
    for lower in (False, True):
        part = np.tril if lower else np.triu
        for trans in modes:
            matrix = part(a)
            applied = matrix if trans == "none" else np.swapaxes(matrix, -1, -2)
            found = linalg.solve_triangular(a, x, lower=lower, trans=trans)
            close(applied @ np.asarray(found), x)
    unit = linalg.solve_triangular(a, x, lower=True, unit_diagonal=True)
    close((np.tril(a, -1) + np.eye(4)) @ np.asarray(unit), x)


def test_products_and_least_squares():
    a, b, c, v = (matrices(s) for s in [(3, 4), (4, 5), (5, 2), (2, 2)])
    close(linalg.multi_dot([a, b, c, v]), np.linalg.multi_dot([a, b, c, v]))
    close(linalg.multi_dot([a[0], b, c[:, 0]]), a[0] @ b @ c[:, 0])
    tall, x = matrices((6, 3)), matrices((6, 2), seed=1)
    close(linalg.lstsq(tall, x), np.linalg.lstsq(tall, x)[0])
    close(linalg.lstsq(tall.T, x[:3, 0]), np.linalg.lstsq(tall.T, x[:3, 0])[0])
    close(linalg.cross(a[:, :3], a[:, 1:4]), np.cross(a[:, :3], a[:, 1:4]))
    close(linalg.vecdot(a, a), np.vecdot(a, a))


def test_stacks_broadcast():
    a, x = matrices((2, 1, 3, 3)), matrices((4, 3, 2))
    close(linalg.solve(a, x), np.linalg.solve(a, x))
    close(linalg.solve(a, x[0, :, 0]), np.linalg.solve(a, x[0, :, :1])[..., 0])


def test_dtypes():
    a = matrices((3, 3))
    for dtype in ("float32", "float16", "bfloat16", "complex64"):
        x = jf.asarray(a, dtype=dtype)
        assert linalg.inv(x).dtype == dtype
        assert linalg.eigh(x)[1].dtype == dtype
    assert linalg.det([[1, 2], [3, 4]]).dtype == "float32"
    assert linalg.svdvals(a + 0j).dtype == "float64"
    assert linalg.eigvals(jf.asarray(a, dtype="float32")).dtype == "complex64"
    close(linalg.inv(jf.asarray(a, dtype="bfloat16")) @ a, np.eye(3), atol=0.1)


def test_singular_matrices():
    """No exception: the values say it, in eager and in compiled code."""
    zero = np.zeros((4, 4))
    assert linalg.det(zero).item() == 0
    assert [x.item() for x in linalg.slogdet(zero)] == [0, -np.inf]
    assert not np.isfinite(np.asarray(linalg.inv(zero))).any()
    assert np.isnan(np.asarray(linalg.cholesky(-np.eye(2)))[1, 1])
    assert linalg.matrix_rank(zero).item() == 0
    close(linalg.pinv(zero), zero)
    assert linalg.cond(np.diag([1.0, 0.0])).item() == np.inf
    assert np.isnan(np.asarray(linalg.svdvals(np.full((2, 2), np.nan)))).all()


@pytest.mark.parametrize("shape", [(0, 0), (2, 0, 0), (0, 3, 3)])
def test_empty_matrices(shape):
    a = np.zeros(shape)
    close(linalg.det(a), np.ones(shape[:-2]))
    assert linalg.inv(a).shape == linalg.cholesky(a).shape == shape
    assert linalg.expm(a).shape == shape
    assert linalg.matrix_rank(a).shape == shape[:-2]
    assert linalg.eigvalsh(a).shape == shape[:-1]
    close(linalg.matrix_norm(a), np.zeros(shape[:-2]))
    assert linalg.pinv(np.zeros((*shape[:-1], 5))).shape == (*shape[:-2], 5, shape[-1])


SPREAD = np.arange(16.0).reshape(4, 4) + 1
DIFFERENTIABLE = {
    "det": linalg.det,
    "inv": linalg.inv,
    "slogdet": lambda x: linalg.slogdet(x)[1],
    "solve": lambda x: linalg.solve(x, x @ x),
    "cholesky": lambda x: linalg.cholesky(x @ x.T),
    "cholesky_solve": lambda x: linalg.cholesky_solve(jf.tril(x), x),
    "qr": lambda x: linalg.qr(x)[0] * SPREAD + linalg.qr(x)[1],
    "qr_wide": lambda x: linalg.qr(x[:2])[0] @ SPREAD[:2] + linalg.qr(x[:2])[1],
    "svdvals": linalg.svdvals,
    "svd": lambda x: jf.abs(linalg.svd(x)[0]) * SPREAD,
    "eigvalsh": lambda x: linalg.eigvalsh(x),
    "eigvals": lambda x: jf.abs(linalg.eigvals(x)),
    "eig": lambda x: jf.abs(linalg.eig(x)[1]) * SPREAD,
    "pinv": linalg.pinv,
    "pinv_wide": lambda x: linalg.pinv(x[:2]),
    "lstsq": lambda x: linalg.lstsq(x[:, :2], x[:, 2]),
    "matrix_power": lambda x: linalg.matrix_power(x, -3),
    "expm": linalg.expm,
    "nuclear": lambda x: linalg.matrix_norm(x, ord="nuc"),
    "spectral": lambda x: linalg.matrix_norm(x, ord=2),
    "frobenius": linalg.norm,
    "norm": lambda x: linalg.vector_norm(x, ord=3, axis=0),
    "lu": lambda x: linalg.lu(x)[2],
    "solve_triangular": lambda x: linalg.solve_triangular(x, x.T, lower=True),
    "multi_dot": lambda x: linalg.multi_dot([x[0], x, x.T]),
    "cond": linalg.cond,
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients(name):
    x = matrices((4, 4), seed=3)
    check_gradients(DIFFERENTIABLE[name], [x], rtol=2e-4, atol=1e-5)


def test_gradients_where_formulas_would_divide_by_zero():
    """Equal singular values of `pinv`, a singular matrix of `det`."""
    check_gradients(linalg.pinv, [np.eye(3)], rtol=1e-5)
    check_gradients(linalg.det, [np.ones((3, 3))], rtol=1e-5)
    check_gradients(linalg.det, [np.zeros((2, 2))], rtol=1e-5)


@pytest.mark.parametrize(
    "name", [n for n in DIFFERENTIABLE if n not in ("eig", "eigvals")]
)
def test_compiled_is_eager(name):
    f = DIFFERENTIABLE[name]
    x = jf.asarray(matrices((4, 4), seed=3))
    close(jf.function(f)(x), f(x), rtol=1e-8, atol=1e-9)


def test_batched_is_a_loop():
    xs = matrices((3, 4, 4))
    for name in ("det", "inv", "pinv", "cholesky", "expm", "slogdet"):
        f = DIFFERENTIABLE[name]
        close(jf.vmap(f)(xs), np.stack([np.asarray(f(x)) for x in map(jf.asarray, xs)]))


def test_bad_arguments_are_explained():
    a = np.ones((2, 3))
    for call, kind, words in [
        (lambda: linalg.inv(a), ShapeError, "square"),
        (lambda: linalg.svd(a[0]), ShapeError, "matrices"),
        (lambda: linalg.solve(np.eye(2), np.ones(3)), ShapeError, "rows"),
        (lambda: linalg.qr(a, mode="wild"), ArgumentError, "mode"),
        (lambda: linalg.matrix_norm(a, ord=3), ArgumentError, "ord"),
        (lambda: linalg.norm(np.ones((2, 2, 2)), ord=2), ArgumentError, "axis"),
        (lambda: linalg.matrix_power(np.eye(2), 0.5), ArgumentError, "int"),
        (lambda: linalg.multi_dot([a]), ArgumentError, "two"),
        (lambda: jf.function(linalg.eig)(np.eye(2)), TracerError, "eigh"),
    ]:
        with pytest.raises(kind, match=words):
            call()
