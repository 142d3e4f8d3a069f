"""Matrix factors multiply back to the matrix; failures are NaN, not exceptions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import compiler.ops  # noqa: F401
from compiler.ir import op as op_table
from tests.numpy_builder import NumpyBuilder
from tests.op_samples import ALL, Sample

B = NumpyBuilder()


def factors(name: str, sample: Sample) -> Any:
    return B.apply(op_table.get(name), tuple(sample.inputs), sample.attrs)


def adjoint(x: np.ndarray) -> np.ndarray:
    return np.conj(np.swapaxes(x, -1, -2))


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    tolerance = 1e-4 if expected.dtype in (np.float32, np.complex64) else 1e-11
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def assert_orthonormal(q: np.ndarray) -> None:
    eye = np.broadcast_to(np.eye(q.shape[-1], dtype=q.dtype), (adjoint(q) @ q).shape)
    assert_close(adjoint(q) @ q, eye)


@pytest.mark.parametrize("sample", ALL["cholesky"])
def test_cholesky(sample: Sample) -> None:
    lower = factors("cholesky", sample)
    (x,) = sample.inputs
    assert_close(lower @ adjoint(lower), (x + adjoint(x)) / 2)
    np.testing.assert_array_equal(lower, np.tril(lower))


@pytest.mark.parametrize("sample", ALL["lu"])
def test_lu(sample: Sample) -> None:
    lu, order = factors("lu", sample)
    (x,) = sample.inputs
    rows, columns = x.shape[-2:]
    inner = min(rows, columns)
    lower = np.tril(lu, -1)[..., :inner] + np.eye(rows, inner, dtype=x.dtype)
    upper = np.triu(lu)[..., :inner, :]
    assert_close(lower @ upper, np.take_along_axis(x, order[..., None], -2))
    assert np.abs(lower).max(initial=0) <= 1 + 1e-6


@pytest.mark.parametrize("sample", ALL["qr"])
def test_qr(sample: Sample) -> None:
    q, r = factors("qr", sample)
    assert_close(q @ r, sample.inputs[0])
    assert_orthonormal(q)
    np.testing.assert_array_equal(r, np.triu(r))


@pytest.mark.parametrize("sample", ALL["eigh"])
def test_eigh(sample: Sample) -> None:
    w, v = factors("eigh", sample)
    (x,) = sample.inputs
    assert_close((v * w[..., None, :]) @ adjoint(v), (x + adjoint(x)) / 2)
    assert_orthonormal(v)
    assert np.all(np.diff(w) >= 0)


@pytest.mark.parametrize("sample", ALL["svd"])
def test_svd(sample: Sample) -> None:
    u, s, vh = factors("svd", sample)
    inner = s.shape[-1]
    product = (u[..., :inner] * s[..., None, :]) @ vh[..., :inner, :]
    assert_close(product, sample.inputs[0])
    assert_orthonormal(u)
    assert_orthonormal(adjoint(vh))
    assert np.all(np.diff(s) <= 0)


def test_failures_are_nan_for_their_matrix_only() -> None:
    bad, good = -np.eye(2), np.eye(2)
    lower = factors("cholesky", Sample([np.stack([bad, good])]))
    assert np.isnan(lower[0][np.tril_indices(2)]).all()
    np.testing.assert_array_equal(lower[1], good)
    stack = np.stack([np.full((2, 2), np.nan), good])
    w, v = factors("eigh", Sample([stack]))
    assert np.isnan(w[0]).all()
    assert np.isnan(v[0]).all()
    np.testing.assert_array_equal(w[1], [1, 1])
    _, s, _ = factors("svd", Sample([stack], {"full": False}))
    assert np.isnan(s[0]).all()
    np.testing.assert_array_equal(s[1], [1, 1])


def test_singular_systems_divide_by_zero() -> None:
    attrs = {"left": True, "lower": True, "transpose": "none", "unit_diagonal": False}
    sample = Sample([np.zeros((1, 1)), np.ones((1, 1))], attrs)
    np.testing.assert_array_equal(factors("triangular_solve", sample), [[np.inf]])


def test_spectral_norm_gradient_of_a_complex_matrix() -> None:
    """Singular values of a complex matrix do not depend on the phase of u and v."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 2)) + 1j * rng.normal(size=(3, 2))
    tangent = rng.normal(size=(3, 2)) + 1j * rng.normal(size=(3, 2))
    record = op_table.get("svd")
    y = B.apply(record, (x,), {"full": False})
    g = (None, np.array([1.0, 0.5]), None)
    (ct,) = record.vjp(B, g, y, x, full=False)
    step = 1e-6
    up = np.linalg.svd(x + step * tangent, compute_uv=False)
    down = np.linalg.svd(x - step * tangent, compute_uv=False)
    numeric = np.sum(g[1] * (up - down)) / (2 * step)
    np.testing.assert_allclose(np.real(np.sum(ct * tangent)), numeric, rtol=1e-7)
