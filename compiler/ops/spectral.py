"""Eigenvalues of Hermitian matrices and singular values."""

from __future__ import annotations

from typing import Any

import numpy as np

from compiler.ir.op import Kind, op
from compiler.ir.types import TensorType
from compiler.ops import matrix_rules as m
from compiler.ops.common import fail, real_dtype
from compiler.ops.linalg import batch_of_stacks, over_matrices, require_matrices


def _inverse_gaps(b: Any, values: Any, squared: bool) -> Any:
    """``F[i, j] = 1 / (v_j - v_i)`` (of squares, if asked), 0 where they are equal."""
    v = b.multiply(values, values) if squared else values
    size = b.type_of(v).shape[-1]
    gaps = b.subtract(m.columns(b, v, size), m.rows(b, v, size))
    zero, one = b.zeros_like(gaps), b.ones_like(gaps)
    equal = b.compare(gaps, zero, direction="EQ")
    return b.select(equal, zero, b.divide(one, b.select(equal, one, gaps)))


def _like(b: Any, real: Any, x: Any) -> Any:
    """A real array in the dtype of `x`."""
    return b.cast(real, b.type_of(x).dtype)


def _hadamard(b: Any, real: Any, x: Any) -> Any:
    return b.multiply(_like(b, real, x), x)


def _diagonal_matrix(b: Any, vector: Any, like: Any) -> Any:
    """A square matrix with `vector` on its diagonal, in the dtype of `like`."""
    size = b.type_of(vector).shape[-1]
    return m.keep(b, m.rows(b, _like(b, vector, like), size), "EQ")


def _symmetric(x: np.ndarray) -> np.ndarray:
    return (x + np.conj(np.swapaxes(x, -1, -2))) / 2


def _eigh_failed(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    bad = np.full_like(x, np.nan)
    return np.real(bad[..., 0]).copy(), bad


def _eigh(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not np.isfinite(x).all():
        raise np.linalg.LinAlgError
    w, v = np.linalg.eigh(x)
    return w, v


@op("eigh", kind=Kind.EXTERN)
class Eigh:
    """``(w, v)``: ascending real eigenvalues and orthonormal eigenvectors (columns) of
    ``(x + x^H) / 2``; NaN where it does not converge. The gradient through `v` takes
    the eigenvalues to be distinct, and treats a phase of complex `v` as fixed.

    C1: the operand is a stack of square matrices of f32, f64, c64 or c128.
    """

    def infer(x: TensorType) -> tuple[TensorType, TensorType]:
        require_matrices("eigh", x, square=True)
        return TensorType(real_dtype(x.dtype), x.shape[:-1]), x

    def evaluate(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if x.size == 0:
            return np.real(x[..., 0]).copy() if x.shape[-1] else _no_values(x), x.copy()
        w, v = over_matrices(_eigh, _symmetric(x), _eigh_failed)
        return np.ascontiguousarray(w), np.ascontiguousarray(v)

    @m.textbook
    def vjp(b: Any, g: Any, y: Any, x: Any) -> tuple[Any]:
        w, v = y
        inner = None
        if g[1] is not None:
            gaps = _inverse_gaps(b, w, squared=False)
            inner = _hadamard(b, gaps, m.matmul(b, m.adjoint(b, v), g[1]))
        if g[0] is not None:
            own = _diagonal_matrix(b, g[0], v)
            inner = own if inner is None else b.add(inner, own)
        if inner is None:
            return (None,)
        full = m.matmul(b, m.matmul(b, v, inner), m.adjoint(b, v))
        return (m.hermitian(b, full),)

    def jvp(b: Any, ts: Any, y: Any, x: Any) -> Any:
        if ts[0] is None:
            return None
        w, v = y
        change = m.hermitian(b, ts[0])
        inner = m.matmul(b, m.matmul(b, m.adjoint(b, v), change), v)
        turned = m.matmul(b, v, _hadamard(b, _inverse_gaps(b, w, squared=False), inner))
        return b.real(m.diagonal(b, inner)), turned

    batch = batch_of_stacks("eigh", results=2)
    emit = None


def _no_values(x: np.ndarray) -> np.ndarray:
    return np.zeros(x.shape[:-1], np.real(x).dtype)


def _svd_failed(x: np.ndarray, full: bool) -> tuple[np.ndarray, ...]:
    rows, columns = x.shape
    inner = min(rows, columns)
    sizes = (rows, columns) if full else (inner, inner)
    shapes = (rows, sizes[0]), (inner,), (sizes[1], columns)
    dtypes = x.dtype, np.real(x).dtype, x.dtype
    return tuple(np.full(s, np.nan, d) for s, d in zip(shapes, dtypes, strict=True))


def _svd(x: np.ndarray, full: bool) -> tuple[np.ndarray, ...]:
    if not np.isfinite(x).all():
        raise np.linalg.LinAlgError
    return tuple(np.linalg.svd(x, full_matrices=full))


def _svd_core(b: Any, y: Any) -> tuple[Any, Any, Any, Any]:
    """``u, s, v`` and the matrix ``1 / (s_j^2 - s_i^2)``."""
    u, s, vh = y
    return u, s, m.adjoint(b, vh), _inverse_gaps(b, s, squared=True)


def _off_space(b: Any, x: Any, basis: Any) -> Any:
    """The part of the columns of `x` orthogonal to the columns of `basis`."""
    return b.subtract(x, m.matmul(b, basis, m.matmul(b, m.adjoint(b, basis), x)))


def _divide_columns(b: Any, x: Any, s: Any) -> Any:
    return b.divide(x, _like(b, m.columns(b, s, b.type_of(x).shape[-2]), x))


def _scale_columns(b: Any, x: Any, s: Any) -> Any:
    return b.multiply(x, _like(b, m.columns(b, s, b.type_of(x).shape[-2]), x))


def _check_reduced(b: Any, x: Any, full: bool) -> None:
    if full and b.type_of(x).shape[-1] != b.type_of(x).shape[-2]:
        fail("svd", "C2", f"no gradient for {b.type_of(x)} with full=True")


@op("svd", kind=Kind.EXTERN, attrs=("full",))
class Svd:
    """``(u, s, vh)`` with ``x = u diag(s) vh``, `s` descending and real. With
    ``k = min(m, n)`` they are ``[m, k]``, ``[k]``, ``[k, n]``; if `full`, `u` is
    ``[m, m]`` and `vh` ``[n, n]``. NaN where it does not converge. The gradient through
    `u` and `vh` takes the singular values to be distinct and not 0.

    C1: the operand is a stack of matrices of f32, f64, c64 or c128, of fixed sizes.
    C2: the gradient is that of the reduced form (or of square matrices).
    """

    def infer(x: TensorType, *, full: bool) -> tuple[TensorType, ...]:
        require_matrices("svd", x)
        rows, columns = x.shape[-2:]
        if not (isinstance(rows, int) and isinstance(columns, int)):
            fail("svd", "C1", f"needs fixed matrix sizes, given {x}")
        inner = min(rows, columns)
        lead = x.shape[:-2]
        left, right = (rows, columns) if full else (inner, inner)
        return (
            x.with_shape((*lead, rows, left)),
            TensorType(real_dtype(x.dtype), (*lead, inner)),
            x.with_shape((*lead, right, columns)),
        )

    def evaluate(x: np.ndarray, *, full: bool) -> tuple[np.ndarray, ...]:
        parts = over_matrices(
            lambda a: _svd(a, full), x, lambda a: _svd_failed(a, full)
        )
        return tuple(np.ascontiguousarray(p) for p in parts)

    @m.textbook
    def vjp(b: Any, g: Any, y: Any, x: Any, *, full: bool) -> tuple[Any]:
        _check_reduced(b, x, full)
        u, s, v, gaps = _svd_core(b, y)
        vh = y[2]
        terms = []
        if g[1] is not None:
            terms.append(m.matmul(b, _scale_columns(b, u, g[1]), vh))
        if g[0] is not None:
            inner = _hadamard(b, gaps, m.matmul(b, m.adjoint(b, u), g[0]))
            inner = b.add(inner, m.adjoint(b, inner))
            terms.append(m.matmul(b, m.matmul(b, u, _scale_columns(b, inner, s)), vh))
            off = _divide_columns(b, _off_space(b, g[0], u), s)
            terms.append(m.matmul(b, off, vh))
        if g[2] is not None:
            gv = m.adjoint(b, g[2])
            inner = _hadamard(b, gaps, m.matmul(b, vh, gv))
            inner = b.add(inner, m.adjoint(b, inner))
            scaled = _scale_columns(b, u, s)
            terms.append(m.matmul(b, m.matmul(b, scaled, inner), vh))
            off = _divide_columns(b, _off_space(b, gv, v), s)
            terms.append(m.matmul(b, u, m.adjoint(b, off)))
        total = terms[0] if terms else None
        for term in terms[1:]:
            total = b.add(total, term)
        return (total,)

    def jvp(b: Any, ts: Any, y: Any, x: Any, *, full: bool) -> Any:
        if ts[0] is None:
            return None
        _check_reduced(b, x, full)
        u, s, v, gaps = _svd_core(b, y)
        inner = m.matmul(b, m.matmul(b, m.adjoint(b, u), ts[0]), v)
        ds = b.real(m.diagonal(b, inner))
        scaled = _scale_columns(b, inner, s)  # inner diag(s)
        left = _hadamard(b, gaps, b.add(scaled, m.adjoint(b, scaled)))
        lifted = m.adjoint(b, _scale_columns(b, m.adjoint(b, inner), s))
        right = _hadamard(b, gaps, b.add(lifted, m.adjoint(b, lifted)))
        along_u = _divide_columns(b, m.matmul(b, ts[0], v), s)
        along_v = _divide_columns(b, m.matmul(b, m.adjoint(b, ts[0]), u), s)
        du = b.add(m.matmul(b, u, left), _off_space(b, along_u, u))
        dv = b.add(m.matmul(b, v, right), _off_space(b, along_v, v))
        return du, ds, m.adjoint(b, dv)

    batch = batch_of_stacks("svd", results=3)
    emit = None
