"""Linear algebra on stacks of matrices: cholesky, triangular_solve, lu, qr."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compiler.ir import types as t
from compiler.ir.op import Kind, op
from compiler.ir.types import TensorType
from compiler.ops import matrix_rules as m
from compiler.ops.common import align_batch, fail, sum_tangents


def require_matrices(
    name: str, x: TensorType, square: bool = False, label: str = "C1"
) -> None:
    """Check for f32, f64, c64 or c128 matrices."""
    if x.dtype not in (t.f32, t.f64, t.c64, t.c128):
        fail(name, label, f"takes f32, f64, c64 or c128, given {x}")
    if x.rank < 2 or (square and x.shape[-1] != x.shape[-2]):
        what = "square matrices" if square else "matrices"
        fail(name, label, f"takes {what}, given {x}")


def batch_of_stacks(name: str, results: int = 1) -> Callable[..., Any]:
    """The batch rule of an op on stacks of matrices: one more leading dimension."""

    def batch(b: Any, xs: Any, dims: Sequence[Any], **attrs: Any) -> Any:
        result = getattr(b, name)(*align_batch(b, xs, dims), **attrs)
        return result, (0 if results == 1 else (0,) * results)

    return batch


def over_matrices(
    function: Callable[[np.ndarray], Any], x: np.ndarray, failed: Callable[..., Any]
) -> Any:
    """A NumPy routine over a stack; matrices where it fails get the answer `failed`."""
    try:
        return function(x)
    except np.linalg.LinAlgError:
        if x.ndim == 2:
            return failed(x)
    parts = [over_matrices(function, one, failed) for one in x]
    if isinstance(parts[0], tuple):
        return tuple(np.stack(column) for column in zip(*parts, strict=True))
    return np.stack(parts)


def _nan_like(x: np.ndarray) -> np.ndarray:
    return np.full_like(x, np.nan)


# ------------------------------------------------------------------------ cholesky


def _lower_nan(x: np.ndarray) -> np.ndarray:
    return np.tril(_nan_like(x))


def _symmetric(x: np.ndarray) -> np.ndarray:
    return (x + np.conj(np.swapaxes(x, -1, -2))) / 2


@op("cholesky", kind=Kind.EXTERN)
class Cholesky:
    """Lower triangular ``L`` with ``L L^H = (x + x^H) / 2``; NaN in the lower triangle
    if that is not positive definite.

    C1: the operand is a stack of square matrices of f32, f64, c64 or c128.
    """

    def infer(x: TensorType) -> TensorType:
        require_matrices("cholesky", x, square=True)
        return x

    def evaluate(x: np.ndarray) -> np.ndarray:
        if x.size == 0:
            return x.copy()
        return over_matrices(np.linalg.cholesky, _symmetric(x), _lower_nan)

    @m.textbook
    def vjp(b: Any, g: Any, y: Any, x: Any) -> tuple[Any]:
        inner = m.halve_diagonal(b, m.matmul(b, m.adjoint(b, y), g))
        left = m.solve(b, y, inner, True, transpose="adjoint")
        both = m.solve(b, y, left, True, left=False)
        return (m.hermitian(b, both),)

    def jvp(b: Any, ts: Any, y: Any, x: Any) -> Any:
        if ts[0] is None:
            return None
        left = m.solve(b, y, m.hermitian(b, ts[0]), True)
        both = m.solve(b, y, left, True, left=False, transpose="adjoint")
        return m.matmul(b, y, m.halve_diagonal(b, both))

    batch = batch_of_stacks("cholesky")
    emit = None


# ---------------------------------------------------------------- triangular_solve

_TRANSPOSED = {"none": "transpose", "transpose": "none", "adjoint": "adjoint"}


def _apply_mode(a: np.ndarray, transpose: str) -> np.ndarray:
    if transpose == "none":
        return a
    turned = np.swapaxes(a, -1, -2)
    return np.conj(turned) if transpose == "adjoint" else turned


def _substitute(
    a: np.ndarray, x: np.ndarray, lower: bool, unit_diagonal: bool
) -> np.ndarray:
    """Solve ``a z = x`` row by row, for a whole stack at once."""
    n = a.shape[-1]
    z = x.copy()
    for i in range(n) if lower else range(n - 1, -1, -1):
        done = slice(0, i) if lower else slice(i + 1, n)
        row = np.matmul(a[..., i : i + 1, done], z[..., done, :])
        value = z[..., i : i + 1, :] - row
        if not unit_diagonal:
            value = value / a[..., i : i + 1, i : i + 1]
        z[..., i : i + 1, :] = value
    return z


def _system_gradient(b: Any, dx: Any, y: Any, attrs: dict[str, Any]) -> Any:
    """Cotangent of the matrix, from that of the right-hand side (textbook pairing)."""
    if attrs["left"]:
        full = b.negate(m.matmul(b, dx, m.adjoint(b, y)))
    else:
        full = b.negate(m.matmul(b, m.adjoint(b, y), dx))
    if attrs["transpose"] == "transpose":
        full = m.transpose(b, full)
    elif attrs["transpose"] == "adjoint":
        full = m.adjoint(b, full)
    return _triangle(b, full, attrs)


def _triangle(b: Any, x: Any, attrs: dict[str, Any]) -> Any:
    """The part of a matrix that the solve reads."""
    direction = "GT" if attrs["unit_diagonal"] else "GE"
    return m.keep(b, x, direction if attrs["lower"] else direction.replace("G", "L"))


@op(
    "triangular_solve",
    kind=Kind.EXTERN,
    attrs=("left", "lower", "transpose", "unit_diagonal"),
)
class TriangularSolve:
    """``z`` with ``op(a) z = x`` (`left`) or ``z op(a) = x``, where only the lower (or
    upper) triangle of `a` is read, with ones for its diagonal if `unit_diagonal`.
    `transpose` says what ``op`` is: "none", "transpose" or "adjoint".

    C1: `a` is a stack of square matrices of f32, f64, c64 or c128.
    C2: `x` has the dtype, the rank and the leading dimensions of `a`.
    C3: the dimension of `x` that is solved for has the size of `a`.
    C4: `transpose` is known.
    """

    def infer(
        a: TensorType,
        x: TensorType,
        *,
        left: bool,
        lower: bool,
        transpose: str,
        unit_diagonal: bool,
    ) -> TensorType:
        require_matrices("triangular_solve", a, square=True)
        if x.dtype is not a.dtype or x.rank != a.rank or x.shape[:-2] != a.shape[:-2]:
            fail("triangular_solve", "C2", f"matrix {a} and right-hand side {x}")
        if x.shape[-2 if left else -1] != a.shape[-1]:
            fail("triangular_solve", "C3", f"matrix {a} and right-hand side {x}")
        if transpose not in _TRANSPOSED:
            fail("triangular_solve", "C4", f"unknown transpose {transpose!r}")
        return x

    def evaluate(
        a: np.ndarray,
        x: np.ndarray,
        *,
        left: bool,
        lower: bool,
        transpose: str,
        unit_diagonal: bool,
    ) -> np.ndarray:
        a = _apply_mode(a, transpose)
        lower = lower == (transpose == "none")
        if left:
            return _substitute(a, x, lower, unit_diagonal)
        turned = np.swapaxes(a, -1, -2), np.swapaxes(x, -1, -2)
        z = _substitute(*turned, not lower, unit_diagonal)
        return np.ascontiguousarray(np.swapaxes(z, -1, -2))

    @m.textbook
    def vjp(b: Any, g: Any, y: Any, a: Any, x: Any, **attrs: Any) -> tuple[Any, Any]:
        dx = _solve_adjoint(b, a, g, attrs)
        return _system_gradient(b, dx, y, attrs), dx

    def jvp(b: Any, ts: Any, y: Any, a: Any, x: Any, **attrs: Any) -> Any:
        parts = [ts[1]]
        if ts[0] is not None:
            da = _triangle(b, ts[0], attrs)
            if attrs["transpose"] != "none":
                turn = m.adjoint if attrs["transpose"] == "adjoint" else m.transpose
                da = turn(b, da)
            product = m.matmul(b, da, y) if attrs["left"] else m.matmul(b, y, da)
            parts.append(b.negate(product))
        right = sum_tangents(b, parts)
        return None if right is None else b.triangular_solve(a, right, **attrs)

    batch = batch_of_stacks("triangular_solve")
    emit = None


def _solve_adjoint(b: Any, a: Any, g: Any, attrs: dict[str, Any]) -> Any:
    """Solve with the conjugate transpose of ``op(a)``."""
    if attrs["transpose"] == "none":
        return b.triangular_solve(a, g, **{**attrs, "transpose": "adjoint"})
    if attrs["transpose"] == "adjoint":
        return b.triangular_solve(a, g, **{**attrs, "transpose": "none"})
    plain = {**attrs, "transpose": "none"}
    return b.triangular_solve(m.conjugate(b, a), g, **plain)


# ------------------------------------------------------------------------------ lu


def _factor(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian elimination with row exchanges of one matrix."""
    lu, order = x.copy(), np.arange(x.shape[0])
    for k in range(min(x.shape)):
        pivot = k + int(np.argmax(np.abs(lu[k:, k])))
        if pivot != k:
            lu[[k, pivot]] = lu[[pivot, k]]
            order[[k, pivot]] = order[[pivot, k]]
        if lu[k, k] != 0:
            lu[k + 1 :, k] /= lu[k, k]
            lu[k + 1 :, k + 1 :] -= np.outer(lu[k + 1 :, k], lu[k, k + 1 :])
    return lu, order.astype(np.int32)


def _permute_rows(b: Any, x: Any, order: Any) -> Any:
    """Rows of each matrix in the order given by ``order[..., m]``."""
    lead = b.type_of(x).rank - 2
    vectors = b.reshape(order, shape=(*b.type_of(order).shape, 1))
    return b.gather(x, vectors, dims=(lead,), batch=lead, mode="clip")


def _unpermute_rows(b: Any, x: Any, order: Any) -> Any:
    lead = b.type_of(x).rank - 2
    vectors = b.reshape(order, shape=(*b.type_of(order).shape, 1))
    attrs = {"dims": (lead,), "batch": lead, "mode": "clip"}
    return b.scatter(b.zeros_like(x), vectors, x, combine="set", **attrs)


def _square_only(b: Any, x: Any) -> None:
    type_ = b.type_of(x)
    if type_.shape[-1] != type_.shape[-2]:
        fail("lu", "C2", f"the gradient takes square matrices, given {type_}")


@op("lu", kind=Kind.EXTERN)
class Lu:
    """``(lu, order)``: the factors of ``x[order] = L U`` in one matrix (the ones on the
    diagonal of ``L`` are not stored), and the row order as i32.

    C1: the operand is a stack of matrices of f32, f64, c64 or c128.
    C2: the gradient is that of square matrices.
    """

    def infer(x: TensorType) -> tuple[TensorType, TensorType]:
        require_matrices("lu", x)
        return x, TensorType(t.i32, x.shape[:-1])

    def evaluate(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        flat = x.reshape(-1, *x.shape[-2:]) if x.size else x[:0]
        factors, orders = np.empty_like(x), np.zeros(x.shape[:-1], np.int32)
        orders[...] = np.arange(x.shape[-2])
        for i in range(len(flat) if x.size else 0):
            place = np.unravel_index(i, x.shape[:-2])
            factors[place], orders[place] = _factor(flat[i])
        return factors, orders

    @m.textbook
    def vjp(b: Any, g: Any, y: Any, x: Any) -> tuple[Any]:
        _square_only(b, x)
        lu = y[0]
        lower = m.matmul(b, m.adjoint(b, _unit_lower(b, lu)), m.keep(b, g[0], "GT"))
        upper = m.matmul(b, m.keep(b, g[0], "LE"), m.adjoint(b, m.keep(b, lu, "LE")))
        inner = b.add(m.keep(b, lower, "GT"), m.keep(b, upper, "LE"))
        unit = {"unit_diagonal": True, "transpose": "adjoint"}
        left = m.solve(b, lu, inner, True, **unit)
        both = m.solve(b, lu, left, False, left=False, transpose="adjoint")
        return (_unpermute_rows(b, both, y[1]),)

    def jvp(b: Any, ts: Any, y: Any, x: Any) -> Any:
        if ts[0] is None:
            return None
        _square_only(b, x)
        lu = y[0]
        left = m.solve(b, lu, _permute_rows(b, ts[0], y[1]), True, unit_diagonal=True)
        inner = m.solve(b, lu, left, False, left=False)
        lower = m.matmul(b, _unit_lower(b, lu), m.keep(b, inner, "GT"))
        upper = m.matmul(b, m.keep(b, inner, "LE"), m.keep(b, lu, "LE"))
        return b.add(lower, upper), None

    batch = batch_of_stacks("lu", results=2)
    emit = None


def _unit_lower(b: Any, lu: Any) -> Any:
    return b.add(m.keep(b, lu, "GT"), m.identity_like(b, lu))


# ------------------------------------------------------------------------------ qr


@op("qr", kind=Kind.EXTERN, attrs=("full",))
class Qr:
    """``x = q r`` with orthonormal columns of `q` and upper triangular `r`. With
    ``k = min(m, n)`` they are ``[m, k]`` and ``[k, n]``; if `full`, ``[m, m]`` and
    ``[m, n]``.

    C1: the operand is a stack of matrices of f32, f64, c64 or c128.
    C2: the gradient is that of ``m >= n`` without `full`.
    """

    def infer(x: TensorType, *, full: bool) -> tuple[TensorType, TensorType]:
        require_matrices("qr", x)
        rows, columns = x.shape[-2:]
        inner = rows
        if not full:
            if not (isinstance(rows, int) and isinstance(columns, int)):
                fail("qr", "C1", f"needs fixed matrix sizes, given {x}")
            inner = min(rows, columns)
        lead = x.shape[:-2]
        return x.with_shape((*lead, rows, inner)), x.with_shape((*lead, inner, columns))

    def evaluate(x: np.ndarray, *, full: bool) -> tuple[np.ndarray, np.ndarray]:
        q, r = np.linalg.qr(x, mode="complete" if full else "reduced")
        return np.ascontiguousarray(q), np.ascontiguousarray(r)

    @m.textbook
    def vjp(b: Any, g: Any, y: Any, x: Any, *, full: bool) -> tuple[Any]:
        _check_tall(b, x, full)
        q, r = y
        dq, dr = (
            b.zeros_like(v) if p is None else p for p, v in zip(g, y, strict=True)
        )
        inner = b.subtract(
            m.matmul(b, r, m.adjoint(b, dr)), m.matmul(b, m.adjoint(b, dq), q)
        )
        # copyltu: the lower triangle mirrored to the upper
        strict = m.keep(b, inner, "GT")
        diagonal = m.keep(b, m.hermitian(b, inner), "EQ")
        mirrored = b.add(diagonal, b.add(strict, m.adjoint(b, strict)))
        total = b.add(dq, m.matmul(b, q, mirrored))
        return (m.solve(b, r, total, False, left=False, transpose="adjoint"),)

    def jvp(b: Any, ts: Any, y: Any, x: Any, *, full: bool) -> Any:
        if ts[0] is None:
            return None
        _check_tall(b, x, full)
        q, r = y
        scaled = m.solve(b, r, ts[0], False, left=False)
        inner = m.matmul(b, m.adjoint(b, q), scaled)
        strict = m.keep(b, inner, "GT")
        skew = b.subtract(strict, m.adjoint(b, strict))
        # the diagonal of r stays real: its imaginary part turns the columns of q
        real = m.keep(b, m.hermitian(b, inner), "EQ")
        skew = b.add(skew, b.subtract(m.keep(b, inner, "EQ"), real))
        upper = b.subtract(inner, skew)
        along = b.subtract(scaled, m.matmul(b, q, inner))
        return b.add(along, m.matmul(b, q, skew)), m.matmul(b, upper, r)

    batch = batch_of_stacks("qr", results=2)
    emit = None


def _check_tall(b: Any, x: Any, full: bool) -> None:
    rows, columns = b.type_of(x).shape[-2:]
    if full or rows < columns:
        fail("qr", "C2", f"no gradient for {b.type_of(x)} with full={full}")
