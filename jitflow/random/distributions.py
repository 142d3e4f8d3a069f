"""Samples of further continuous distributions.

Most are transforms of uniform numbers. Gamma numbers, and what is made of them, come
from rejection: several proposals are drawn at once and the first accepted one is
taken, so that the shape of the computation does not depend on the numbers. The chance
that none is accepted is below 1e-15.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from compiler.ir.types import DType
from jitflow.errors import ArgumentError, ShapeError
from jitflow.ops import elementwise as e
from jitflow.ops.coerce import as_tensor, broadcast_shapes
from jitflow.ops.creation import shape_of
from jitflow.ops.data_types import finfo
from jitflow.ops.dispatch import builder as b
from jitflow.ops.linear_algebra import matmul
from jitflow.ops.manipulation import expand_dims, matrix_transpose, squeeze
from jitflow.ops.reductions import argmax
from jitflow.ops.reductions import max as max_
from jitflow.ops.reductions import sum as sum_
from jitflow.ops.searching import pick_along
from jitflow.random.keys import split
from jitflow.random.sampling import float_dtype, normal, uniform, wide_dtype
from jitflow.tensor.tensor import Tensor

# The worst acceptance rate of the proposals is 0.951.
_PROPOSALS = 12


def parameters(dtype: DType, shape: Any, *values: Any) -> tuple[Any, list[Tensor]]:
    """Shape of the sample, and the parameters at that shape in at least 32 bits.

    Raises:
        ShapeError: if a parameter does not broadcast to `shape`.
    """
    wide = wide_dtype(dtype)
    tensors = [e.cast_like(v, wide) for v in values]
    common = broadcast_shapes(*(t.shape for t in tensors))
    target = common if shape is None else shape_of(shape)
    if broadcast_shapes(common, target) != target:
        raise ShapeError(f"parameters of shape {common} do not broadcast to {target}")
    return target, [b.broadcast(t, target) for t in tensors]


def first_accepted(candidates: Tensor, accepted: Tensor) -> Tensor:
    """Along the first dimension the first candidate that is accepted."""
    index = argmax(accepted, axis=0, keepdims=True)
    return squeeze(pick_along(candidates, index, 0), 0)


def _positive(key: Any, shape: Any, dtype: DType) -> Tensor:
    """Uniform in (0, 1]: for logarithms."""
    return e.subtract(1, uniform(key, shape, dtype))


def _transformed(name: str, doc: str, transform: Callable[[Tensor], Tensor]) -> Any:
    """A distribution of location and scale, made from positive uniform numbers."""

    def sample(
        key: Any, shape: Any = None, dtype: Any = None, loc: Any = 0.0, scale: Any = 1.0
    ) -> Tensor:
        target = float_dtype(dtype, name)
        full, (center, width) = parameters(target, shape, loc, scale)
        unit = transform(_positive(key, full, center.dtype))
        return b.cast(e.add(e.multiply(unit, width), center), target)

    sample.__name__ = sample.__qualname__ = name
    note = "`shape` defaults to that of `loc` and `scale`, which broadcast to it."
    sample.__doc__ = f"{doc}\n\n{note}"
    return sample


def _laplace_quantile(u: Tensor) -> Tensor:
    away = e.log(e.multiply(e.minimum(u, e.subtract(1, u)), 2))
    tiny = math.log(finfo(u.dtype).smallest_normal)  # u = 1 would give -inf
    return e.where(e.less(u, 0.5), 1, -1) * e.maximum(away, tiny)


def _logistic_quantile(u: Tensor) -> Tensor:
    rest = e.maximum(e.subtract(1, u), finfo(u.dtype).smallest_normal)
    return e.subtract(e.log(u), e.log(rest))


exponential = _transformed(
    "exponential",
    "Exponential floats: `loc` plus `scale` times ``-log(u)``.",
    lambda u: e.negative(e.log(u)),
)
laplace = _transformed(
    "laplace", "Laplace (two-sided exponential) floats.", _laplace_quantile
)
logistic = _transformed("logistic", "Logistic floats.", _logistic_quantile)
cauchy = _transformed(
    "cauchy",
    "Cauchy (Lorentz) floats.",
    lambda u: e.tan(e.multiply(e.subtract(u, 0.5), math.pi)),
)
rayleigh = _transformed(
    "rayleigh",
    "Rayleigh floats: the length of a normal vector in the plane.",
    lambda u: e.sqrt(e.multiply(e.log(u), -2)),
)


def weibull(
    key: Any, concentration: Any, shape: Any = None, dtype: Any = None, scale: Any = 1.0
) -> Tensor:
    """Weibull floats: ``scale * (-log(u))**(1 / concentration)``."""
    target = float_dtype(dtype, "weibull")
    full, (c, width) = parameters(target, shape, concentration, scale)
    unit = e.negative(e.log(_positive(key, full, c.dtype)))
    return b.cast(e.multiply(e.pow(unit, e.divide(1, c)), width), target)


def pareto(key: Any, alpha: Any, shape: Any = None, dtype: Any = None) -> Tensor:
    """Pareto floats, at least 1: ``u**(-1 / alpha)``."""
    target = float_dtype(dtype, "pareto")
    full, (a,) = parameters(target, shape, alpha)
    logarithm = e.negative(e.log(_positive(key, full, a.dtype)))
    return b.cast(e.exp(e.divide(logarithm, a)), target)


def lognormal(
    key: Any, shape: Any = None, dtype: Any = None, mean: Any = 0.0, sigma: Any = 1.0
) -> Tensor:
    """Exponentials of normal floats."""
    target = float_dtype(dtype, "lognormal")
    full, (center, width) = parameters(target, shape, mean, sigma)
    draws = normal(key, full, center.dtype)
    return b.cast(e.exp(e.add(e.multiply(draws, width), center)), target)


# Marsaglia and Tsang, "A simple method for generating gamma variables", 2000.
def _log_gamma_draw(key: Any, a: Tensor) -> Tensor:
    """Logarithms of gamma numbers, which do not underflow for small `a`."""
    keys = split(key, 3)
    shape = (_PROPOSALS, *a.shape)
    small = e.less(a, 1)
    d = e.subtract(e.where(small, e.add(a, 1), a), 1 / 3)
    c = e.rsqrt(e.multiply(d, 9))
    z = normal(keys[0], shape, a.dtype)
    root = e.add(e.multiply(z, c), 1)
    valid = e.greater(root, 0)
    log_v = e.multiply(e.log(e.where(valid, root, 1)), 3)
    log_u = e.log(_positive(keys[1], shape, a.dtype))
    bound = e.add(e.subtract(1, e.exp(log_v)), log_v)
    bound = e.add(e.multiply(e.square(z), 0.5), e.multiply(d, bound))
    accepted = e.logical_and(valid, e.less(log_u, bound))
    draw = e.add(first_accepted(log_v, accepted), e.log(d))
    boost = e.divide(e.log(_positive(keys[2], a.shape, a.dtype)), a)
    return e.add(draw, e.where(small, boost, 0))


def gamma(
    key: Any, alpha: Any, shape: Any = None, dtype: Any = None, scale: Any = 1.0
) -> Tensor:
    """Gamma-distributed floats.

    Args:
        key: a key.
        alpha: the shape parameter, positive. The sample has no useful gradient by it.
        shape: of the result; that of `alpha` and `scale` when left out.
        dtype: a float type; the default one when left out.
        scale: the samples are multiplied by it.
    """
    target = float_dtype(dtype, "gamma")
    _, (a, width) = parameters(target, shape, alpha, scale)
    return b.cast(e.multiply(e.exp(_log_gamma_draw(key, a)), width), target)


def loggamma(key: Any, alpha: Any, shape: Any = None, dtype: Any = None) -> Tensor:
    """Logarithms of gamma-distributed floats, exact for small `alpha` too."""
    target = float_dtype(dtype, "loggamma")
    _, (a,) = parameters(target, shape, alpha)
    return b.cast(_log_gamma_draw(key, a), target)


def beta(
    key: Any, alpha: Any, beta: Any, shape: Any = None, dtype: Any = None
) -> Tensor:
    """Beta-distributed floats in [0, 1]; both parameters are positive."""
    target = float_dtype(dtype, "beta")
    _, (first, second) = parameters(target, shape, alpha, beta)
    keys = split(key)
    x, y = _log_gamma_draw(keys[0], first), _log_gamma_draw(keys[1], second)
    return b.cast(e.sigmoid(e.subtract(x, y)), target)


def dirichlet(key: Any, alpha: Any, shape: Any = None, dtype: Any = None) -> Tensor:
    """Probability vectors from a Dirichlet distribution.

    Args:
        key: a key.
        alpha: positive, ``[..., n]``.
        shape: of the batch; that of `alpha` without the last dimension when left out.
        dtype: a float type; the default one when left out.

    Raises:
        ShapeError: if `alpha` is a scalar.
    """
    target = float_dtype(dtype, "dirichlet")
    alpha = as_tensor(alpha, argument="alpha")
    if not alpha.ndim:
        raise ShapeError("dirichlet: alpha is a vector", operands={"alpha": alpha})
    full = None if shape is None else (*shape_of(shape), alpha.shape[-1])
    _, (a,) = parameters(target, full, alpha)
    draws = _log_gamma_draw(key, a)
    weights = e.exp(e.subtract(draws, max_(draws, axis=-1, keepdims=True)))
    total = sum_(weights, axis=-1, keepdims=True)
    return b.cast(e.divide(weights, total), target)


def chisquare(key: Any, df: Any, shape: Any = None, dtype: Any = None) -> Tensor:
    """Chi-square floats with `df` degrees of freedom."""
    return gamma(key, e.divide(as_tensor(df), 2), shape, dtype, scale=2.0)


def t(key: Any, df: Any, shape: Any = None, dtype: Any = None) -> Tensor:
    """Student's t floats with `df` degrees of freedom."""
    target = float_dtype(dtype, "t")
    full, (freedom,) = parameters(target, shape, df)
    keys = split(key)
    draws = normal(keys[0], full, freedom.dtype)
    half = e.divide(freedom, 2)
    spread = e.divide(e.exp(_log_gamma_draw(keys[1], half)), half)
    return b.cast(e.multiply(draws, e.rsqrt(spread)), target)


def multivariate_normal(
    key: Any,
    mean: Any,
    cov: Any,
    shape: Any = None,
    dtype: Any = None,
    method: str = "cholesky",
) -> Tensor:
    """Normal vectors with a covariance matrix.

    Args:
        key: a key.
        mean: ``[..., n]``.
        cov: ``[..., n, n]``, positive definite; semi-definite for method ``"eigh"``.
        shape: of the batch; that of `mean` and `cov` when left out.
        dtype: a float type; the default one when left out.
        method: how the root of `cov` is found: ``"cholesky"`` or ``"eigh"``.

    Raises:
        ArgumentError: for another method.
        ShapeError: if the shapes do not fit.
    """
    target = float_dtype(dtype, "multivariate_normal")
    if method not in ("cholesky", "eigh"):
        raise ArgumentError(f"multivariate_normal: unknown method {method!r}")
    wide = wide_dtype(target)
    mean, cov = e.cast_like(mean, wide), e.cast_like(cov, wide)
    n = mean.shape[-1] if mean.ndim else None
    if cov.ndim < 2 or cov.shape[-2:] != (n, n):
        raise ShapeError(
            "multivariate_normal: cov does not fit mean",
            operands={"mean": mean, "cov": cov},
        )
    lead = broadcast_shapes(mean.shape[:-1], cov.shape[:-2])
    lead = lead if shape is None else broadcast_shapes(lead, shape_of(shape))
    if method == "cholesky":
        root = b.cholesky(cov)
    else:
        values, vectors = b.eigh(cov)
        size = e.sqrt(e.maximum(values, 0))
        root = e.multiply(vectors, expand_dims(size, -2))
    draws = expand_dims(normal(key, (*lead, n), wide), -2)
    moved = squeeze(matmul(draws, matrix_transpose(root)), -2)
    return b.cast(e.add(moved, mean), target)
