"""Linear systems: solve, inverses, least squares, and what LU factors tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from jitflow.dtypes import int64
from jitflow.errors import ArgumentError, ShapeError
from jitflow.gradient import custom_jvp
from jitflow.linalg.matrices import (
    adjoint,
    identity_like,
    matrix_function,
    same_stack,
    triangular,
)
from jitflow.ops import elementwise as e
from jitflow.ops.coerce import as_tensor
from jitflow.ops.data_types import finfo
from jitflow.ops.dispatch import builder as b
from jitflow.ops.linear_algebra import diagonal, matmul
from jitflow.ops.manipulation import expand_dims, matrix_transpose, squeeze
from jitflow.ops.reductions import max as max_
from jitflow.ops.reductions import prod
from jitflow.ops.reductions import sum as sum_
from jitflow.tensor.tensor import Tensor


class SlogdetResult(NamedTuple):
    """What `slogdet` returns: ``det = sign * exp(logabsdet)``."""

    sign: Tensor
    logabsdet: Tensor


def _reordered(x: Tensor, order: Tensor) -> Tensor:
    """The rows of each matrix in the order that LU chose."""
    lead = x.ndim - 2
    vectors = b.reshape(order, shape=(*order.shape, 1))
    return b.gather(x, vectors, dims=(lead,), batch=lead, mode="clip")


def solve_square(a: Tensor, x: Tensor) -> Tensor:
    """``z`` with ``a @ z = x`` for stacks of matrices with equal leading dimensions."""
    factors, order = b.lu(a)
    z = triangular(factors, _reordered(x, order), lower=True, unit_diagonal=True)
    return triangular(factors, z, lower=False)


def _as_columns(name: str, a: Tensor, x: Tensor) -> tuple[Tensor, Tensor, bool]:
    """Matrix and right-hand side as equal stacks; whether that was one vector."""
    vector = x.ndim == 1
    x = expand_dims(x, -1) if vector else x
    if not x.ndim or x.shape[-2] != a.shape[-2]:
        raise ShapeError(
            f"{name}: the rows of the matrix and of the right-hand side differ",
            operands={"x1": a, "x2": x},
        )
    return (*same_stack(a, x), vector)


@matrix_function(2, square=True)
def solve(x1: Any, x2: Any, /) -> Tensor:
    """``z`` with ``x1 @ z = x2``; a singular matrix gives infinities and NaN.

    Args:
        x1: square matrices ``[..., M, M]``.
        x2: one vector ``[M]``, or matrices ``[..., M, K]``.

    Raises:
        ShapeError: if the sizes do not fit.
    """
    a, x, vector = _as_columns("solve", x1, x2)
    z = solve_square(a, x)
    return squeeze(z, -1) if vector else z


@matrix_function(2, square=True)
def solve_triangular(
    a: Any,
    b: Any,
    /,
    *,
    lower: bool = False,
    trans: str = "none",
    unit_diagonal: bool = False,
) -> Tensor:
    """``z`` with ``op(a) @ z = b``, of which only one triangle of `a` is read.

    Args:
        a: square matrices ``[..., M, M]``.
        b: one vector ``[M]``, or matrices ``[..., M, K]``.
        lower: read the lower triangle, not the upper one.
        trans: ``op``: ``"none"``, ``"transpose"`` or ``"adjoint"``.
        unit_diagonal: take the diagonal to be ones.

    Raises:
        ShapeError: if the sizes do not fit.
        ArgumentError: for an unknown `trans`.
    """
    if trans not in ("none", "transpose", "adjoint"):
        raise ArgumentError(f"solve_triangular: unknown trans {trans!r}")
    matrix, x, vector = _as_columns("solve_triangular", a, b)
    z = triangular(matrix, x, lower=lower, transpose=trans, unit_diagonal=unit_diagonal)
    return squeeze(z, -1) if vector else z


@matrix_function(2, square=True)
def cholesky_solve(factor: Any, x: Any, /, *, upper: bool = False) -> Tensor:
    """``z`` with ``a @ z = x``, given the Cholesky factor of ``a``.

    Raises:
        ShapeError: if the sizes do not fit.
    """
    factor, x, vector = _as_columns("cholesky_solve", factor, x)
    first, second = ("adjoint", "none") if upper else ("none", "adjoint")
    half = triangular(factor, x, lower=not upper, transpose=first)
    z = triangular(factor, half, lower=not upper, transpose=second)
    return squeeze(z, -1) if vector else z


@matrix_function(square=True)
def inv(x: Any, /) -> Tensor:
    """Inverses of square matrices; a singular one gives infinities and NaN."""
    return solve_square(x, identity_like(x))


def _svd_pinv(x: Tensor, rtol: Tensor) -> Tensor:
    u, s, vh = b.svd(x, full=False)
    limit = e.multiply(expand_dims(rtol, -1), max_(s, axis=-1, keepdims=True))
    keep = e.greater(s, limit)
    inverse = e.where(keep, e.divide(1, e.where(keep, s, 1)), 0)
    scaled = e.multiply(adjoint(vh), expand_dims(e.astype(inverse, x.dtype), -2))
    return matmul(scaled, adjoint(u))


def _pinv_tangent(p: Tensor, a: Tensor, da: Tensor) -> Tensor:
    """Golub and Pereyra, 1973; the rank is taken to be constant."""
    ph, dah = adjoint(p), adjoint(da)
    first = e.negative(matmul(p, matmul(da, p)))
    core = matmul(matmul(p, ph), dah)
    left = e.subtract(core, matmul(matmul(core, a), p))
    core = matmul(dah, matmul(ph, p))
    right = e.subtract(core, matmul(matmul(p, a), core))
    return e.add(first, e.add(left, right))


def _with_tangent(inner: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`_svd_pinv` with a derivative that does not go through the singular vectors,
    which need not be unique; `inner` is what that derivative is made of."""
    function = custom_jvp(_svd_pinv)

    @function.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (a, rtol), (da, _) = primals, tangents
        p = inner(a, rtol)
        return p, _pinv_tangent(p, a, da)

    return function


# Exact for two derivatives; the third one goes through the decomposition.
_pinv = _with_tangent(_with_tangent(_svd_pinv))


def _tolerance(x: Tensor, rtol: Any) -> Tensor:
    if rtol is None:
        rtol = max(x.shape[-2:]) * finfo(x.dtype).eps
    real = e.real(x).dtype
    return b.broadcast(b.cast(as_tensor(rtol, like=real), real), x.shape[:-2])


@matrix_function()
def pinv(x: Any, /, *, rtol: Any = None) -> Tensor:
    """Moore-Penrose pseudo-inverses.

    Args:
        x: matrices ``[..., M, N]``.
        rtol: singular values up to `rtol` times the largest count as zero; one for
            all, or one per matrix. ``max(M, N) * eps`` when left out.
    """
    if 0 in x.shape:
        return e.conj(matrix_transpose(x))
    return _pinv(x, _tolerance(x, rtol))


@matrix_function()
def matrix_rank(x: Any, /, *, rtol: Any = None) -> Tensor:
    """Number (int64) of singular values above `rtol` times the largest one.

    `rtol` is one number for all matrices, or one for each; ``max(M, N) * eps`` when
    left out.
    """
    if 0 in x.shape[-2:]:
        return b.full(0, b.type_of(x).with_shape(x.shape[:-2]).with_dtype(int64))
    s = b.svd(x, full=False)[1]
    limit = e.multiply(_tolerance(x, rtol), max_(s, axis=-1))
    return sum_(e.greater(s, expand_dims(limit, -1)), axis=-1)


@matrix_function(2)
def lstsq(a: Any, b: Any, /, *, rtol: Any = None) -> Tensor:
    """The smallest ``z`` that minimises the norm of ``a @ z - b``.

    Args:
        a: matrices ``[..., M, N]``.
        b: one vector ``[M]``, or matrices ``[..., M, K]``.
        rtol: see `pinv`.

    Raises:
        ShapeError: if the sizes do not fit.
    """
    matrix, x, vector = _as_columns("lstsq", a, b)
    z = matmul(pinv(matrix, rtol=rtol), x)
    return squeeze(z, -1) if vector else z


def _parity(order: Tensor) -> Tensor:
    """1 or -1 (int64) for even and odd permutations: by the number of inversions."""
    later = e.greater(expand_dims(order, -1), expand_dims(order, -2))
    places = b.iota(type=b.type_of(later).with_dtype(int64), dim=later.ndim - 1)
    rows = b.iota(type=b.type_of(later).with_dtype(int64), dim=later.ndim - 2)
    count = sum_(e.logical_and(later, e.greater(places, rows)), axis=(-2, -1))
    return e.subtract(1, e.multiply(2, e.remainder(count, 2)))


def _small_det(x: Tensor) -> Tensor:
    """By expansion, up to 3x3: its gradient is right for singular matrices too."""
    n = x.shape[-1]
    if n == 1:
        return x[..., 0, 0]
    total: Any = None
    for j in range(n):
        rest = [k for k in range(n) if k != j]
        step = max(rest[-1] - rest[0], 1)
        minor = _small_det(x[..., 1:, rest[0] : rest[-1] + 1 : step])
        term = e.multiply(x[..., 0, j], minor)
        sign = e.subtract if j % 2 else e.add
        total = term if total is None else sign(total, term)
    return total


@matrix_function(square=True)
def det(x: Any, /) -> Tensor:
    """Determinants of square matrices; 1 for matrices without elements."""
    n = x.shape[-1]
    if isinstance(n, int) and 1 <= n <= 3:
        return _small_det(x)
    factors, order = b.lu(x)
    product = prod(diagonal(factors), axis=-1, dtype=x.dtype)
    return e.multiply(product, e.cast_like(_parity(order), x.dtype))


@matrix_function(square=True)
def slogdet(x: Any, /) -> SlogdetResult:
    """Sign and logarithm of the absolute value of determinants.

    A singular matrix gives sign 0 and logarithm -inf.
    """
    factors, order = b.lu(x)
    pivots = diagonal(factors)
    sign = prod(e.sign(pivots), axis=-1, dtype=x.dtype)
    sign = e.multiply(sign, e.cast_like(_parity(order), x.dtype))
    return SlogdetResult(sign, sum_(e.log(e.abs(pivots)), axis=-1))


@matrix_function(square=True)
def matrix_power(x: Any, n: int, /) -> Tensor:
    """Square matrices to an integer power, by repeated squaring; negative: of `inv`.

    Raises:
        ArgumentError: if `n` is not an int.
    """
    if not hasattr(n, "__index__"):
        raise ArgumentError(f"matrix_power: n is an int, given {n!r}")
    exponent = n.__index__()
    if exponent < 0:
        x, exponent = inv(x), -exponent
    result = None
    while exponent:
        if exponent & 1:
            result = x if result is None else matmul(result, x)
        exponent >>= 1
        x = matmul(x, x) if exponent else x
    return identity_like(x) if result is None else result
