"""Matrix decompositions: Cholesky, QR, LU, SVD, eigenvalues."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jitflow.errors import ArgumentError, TracerError
from jitflow.gradient import custom_gradient
from jitflow.linalg.matrices import adjoint, identity_like, matrix_function
from jitflow.linalg.solvers import solve_square
from jitflow.ops import elementwise as e
from jitflow.ops.coerce import is_tracing
from jitflow.ops.creation import arange, eye, tril, triu
from jitflow.ops.dispatch import builder as b
from jitflow.ops.linear_algebra import diagonal, matmul
from jitflow.ops.manipulation import concat, expand_dims
from jitflow.ops.promotion import weak_dtype
from jitflow.tensor.tensor import Tensor, wrap


class QRResult(NamedTuple):
    """What `qr` returns: ``x = Q @ R``."""

    Q: Tensor
    R: Tensor


class SVDResult(NamedTuple):
    """What `svd` returns: ``x = U @ diag(S) @ Vh``."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class EighResult(NamedTuple):
    """What `eigh` returns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class EigResult(NamedTuple):
    """What `eig` returns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class LUResult(NamedTuple):
    """What `lu` returns: ``x = P @ L @ U``."""

    P: Tensor
    L: Tensor
    U: Tensor


@matrix_function(square=True)
def cholesky(x: Any, /, *, upper: bool = False) -> Tensor:
    """``L`` with ``x = L @ L^H``, or ``U`` with ``x = U^H @ U`` if `upper`.

    NaN for a matrix that is not positive definite. The Hermitian part
    ``(x + x^H) / 2`` is what is decomposed.

    Raises:
        ShapeError: if `x` has no square matrices.
    """
    lower = b.cholesky(x)
    return adjoint(lower) if upper else lower


@matrix_function()
def qr(x: Any, /, *, mode: str = "reduced") -> QRResult:
    """``x = Q @ R`` with orthonormal columns of ``Q`` and upper triangular ``R``.

    Args:
        x: matrices ``[..., M, N]``.
        mode: ``"reduced"`` for ``Q[M, K]``, ``K = min(M, N)``, or ``"complete"``.

    Raises:
        ArgumentError: for another mode.
    """
    if mode not in ("reduced", "complete"):
        raise ArgumentError(f"qr: mode is 'reduced' or 'complete', given {mode!r}")
    if mode == "complete" or x.shape[-2] >= x.shape[-1]:
        return QRResult(*b.qr(x, full=mode == "complete"))
    # Of a wide matrix the first columns decide: this form has a gradient.
    rows = x.shape[-2]
    q, r = b.qr(x[..., :rows], full=False)
    return QRResult(q, concat([r, matmul(adjoint(q), x[..., rows:])], axis=-1))


@matrix_function()
def svd(x: Any, /, *, full_matrices: bool = True) -> SVDResult:
    """``x = U @ diag(S) @ Vh``, singular values descending.

    Gradients through ``U`` and ``Vh`` need distinct singular values, and
    ``full_matrices=False`` unless `x` is square.
    """
    return SVDResult(*b.svd(x, full=full_matrices))


@matrix_function()
def svdvals(x: Any, /) -> Tensor:
    """Singular values in descending order."""
    return b.svd(x, full=False)[1]


@matrix_function(square=True)
def eigh(x: Any, /) -> EighResult:
    """Ascending eigenvalues and orthonormal eigenvectors of Hermitian matrices.

    The Hermitian part ``(x + x^H) / 2`` is what is decomposed. Gradients through the
    vectors need distinct eigenvalues.
    """
    return EighResult(*b.eigh(x))


@matrix_function(square=True)
def eigvalsh(x: Any, /) -> Tensor:
    """Eigenvalues of Hermitian matrices in ascending order."""
    return b.eigh(x)[0]


# The norm 1 of the columns takes part in the derivative; their phases stay as they are.
def _eig_cotangent(w: Tensor, v: Tensor, gw: Any, gv: Any) -> Tensor:
    gw, gv = (e.conj(g) for g in (gw, gv))
    vh = adjoint(v)
    inner = matmul(vh, gv)
    real = e.astype(e.real(diagonal(inner)), w.dtype)
    inner = e.subtract(inner, e.multiply(matmul(vh, v), expand_dims(real, -2)))
    gaps = e.subtract(expand_dims(w, -2), expand_dims(w, -1))
    same = e.equal(gaps, 0)
    inner = e.divide(e.where(same, 0, inner), e.conj(e.where(same, 1, gaps)))
    inner = e.add(inner, e.multiply(identity_like(v), expand_dims(gw, -2)))
    return e.conj(solve_square(vh, matmul(inner, vh)))


@custom_gradient
def _eig(x: Tensor) -> Any:
    if is_tracing():
        raise TracerError(
            "eig: general eigenvalues have no compiled form",
            operands={"x": x},
            fix="call jf.linalg.eig outside the function; jf.linalg.eigh of a "
            "symmetric matrix compiles",
        )
    values, vectors = np.linalg.eig(x._data)
    dtype = weak_dtype(complex, x.dtype).np
    w, v = wrap(values.astype(dtype)), wrap(vectors.astype(dtype))

    def pull(gw: Tensor, gv: Tensor) -> tuple[Tensor]:
        found = _eig_cotangent(w, v, gw, gv)
        return (found if x.dtype.is_complex else e.real(found),)

    return (w, v), pull


@matrix_function(square=True)
def eig(x: Any, /) -> EigResult:
    """Eigenvalues and eigenvectors (columns) of general matrices, always complex.

    Runs eagerly only. Gradients need distinct eigenvalues, and through the vectors a
    result that does not depend on their phases.

    Raises:
        TracerError: while tracing.
    """
    return EigResult(*_eig(x))


@matrix_function(square=True)
def eigvals(x: Any, /) -> Tensor:
    """Eigenvalues of general matrices, always complex; see `eig`.

    Raises:
        TracerError: while tracing.
    """
    return _eig(x)[0]


@matrix_function()
def lu_factor(x: Any, /) -> tuple[Tensor, Tensor]:
    """``(LU, order)``: both factors in one matrix, and the order of the rows.

    ``x[order] = L @ U``, where the ones on the diagonal of ``L`` are not stored;
    `order` is int32.
    """
    return b.lu(x)


@matrix_function()
def lu(x: Any, /) -> LUResult:
    """``x = P @ L @ U``: a permutation, a unit lower and an upper triangular matrix."""
    packed, order = b.lu(x)
    rows, inner = x.shape[-2], min(x.shape[-2:])
    lower = tril(packed[..., :, :inner], k=-1)
    unit = e.add(lower, eye(rows, inner, dtype=x.dtype))
    places = e.equal(expand_dims(order, -2), expand_dims(arange(rows), -1))
    return LUResult(b.cast(places, x.dtype), unit, triu(packed[..., :inner, :]))
