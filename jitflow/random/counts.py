"""Samples of discrete distributions.

Means below 10 are sampled by inversion: the probabilities of the first 64 numbers are
summed and compared with one uniform number (what is beyond has a probability below
1e-28). Larger ones by transformed rejection (Hörmann, 1993) with several proposals at
once, of which the first accepted one is taken. All is computed in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compiler.ir.types import TensorType
from jitflow.dtypes import as_dtype, float64, int64
from jitflow.errors import ArgumentError, DTypeError
from jitflow.ops import elementwise as e
from jitflow.ops.coerce import as_tensor, normalize_axis
from jitflow.ops.creation import arange, shape_of
from jitflow.ops.dispatch import builder as b
from jitflow.ops.manipulation import expand_dims, moveaxis, reshape
from jitflow.ops.reductions import sum as sum_
from jitflow.ops.searching import take, top_k
from jitflow.random.distributions import first_accepted, parameters
from jitflow.random.keys import split
from jitflow.random.sampling import (
    bernoulli,
    categorical,
    gumbel,
    permutation,
    randint,
    uniform,
)
from jitflow.tensor.tensor import Tensor

_PROPOSALS = 16
_TABLE = 64
_LARGE = 10.0


def _integer(name: str, dtype: Any) -> Any:
    target = as_dtype(dtype)
    if not (target.is_integer or target.is_float):
        raise DTypeError(f"{name}: dtype is a numeric type, given {target}")
    return target


def _inverted(key: Any, log_pmf: Callable[[Tensor], Tensor], shape: Any) -> Tensor:
    """The number of probability sums that lie below a uniform number."""
    numbers = b.cast(arange(_TABLE), float64)
    masses = e.exp(log_pmf(numbers))
    sums = b.cumulative_sum(masses, axis=len(shape), reverse=False)
    unit = expand_dims(uniform(key, shape, float64), -1)
    below = b.cast(e.less_equal(sums, unit), int64)
    return b.cast(e.minimum(sum_(below, axis=-1), _TABLE - 1), float64)


def _log(x: Tensor) -> Tensor:
    """Logarithm; of 0 a number so small that its exponential is 0, not -inf."""
    return e.log(e.maximum(x, 1e-300))


def _proposals(key: Any, shape: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Uniform numbers in (-1/2, 1/2), their distance to the ends, and in (0, 1]."""
    keys = split(key)
    full = (_PROPOSALS, *shape)
    u = e.subtract(uniform(keys[0], full, float64), 0.5)
    distance = e.maximum(e.subtract(0.5, e.abs(u)), 1e-300)
    return u, distance, e.subtract(1, uniform(keys[1], full, float64))


def _large_poisson(key: Any, rate: Tensor) -> Tensor:
    root = e.sqrt(rate)
    scale = e.add(e.multiply(root, 2.53), 0.931)
    a = e.add(e.multiply(scale, 0.02483), -0.059)
    inverse = e.add(e.divide(1.1328, e.subtract(scale, 3.4)), 1.1239)
    fast = e.subtract(0.9277, e.divide(3.6224, e.subtract(scale, 2)))
    u, far, v = _proposals(key, rate.shape)
    slope = e.add(e.divide(e.multiply(a, 2), far), scale)
    k = e.floor(e.add(e.multiply(slope, u), e.add(rate, 0.43)))
    quick = e.logical_and(e.greater_equal(far, 0.07), e.less_equal(v, fast))
    out = e.logical_and(e.less(far, 0.013), e.greater(v, far))
    out = e.logical_or(out, e.less(k, 0))
    safe = e.maximum(k, 0)
    weight = e.add(e.divide(a, e.square(far)), scale)
    left = e.log(e.divide(e.multiply(v, inverse), weight))
    right = e.subtract(e.multiply(safe, e.log(rate)), e.add(rate, e.lgamma(safe + 1)))
    slow = e.logical_and(e.logical_not(out), e.less_equal(left, right))
    return first_accepted(safe, e.logical_or(quick, slow))


def poisson(key: Any, lam: Any, shape: Any = None, dtype: Any = int64) -> Tensor:
    """Poisson numbers.

    Args:
        key: a key.
        lam: the mean, not negative.
        shape: of the result; that of `lam` when left out.
        dtype: an integer or float type.
    """
    target = _integer("poisson", dtype)
    full, (rate,) = parameters(float64, shape, lam)
    keys = split(key)
    large = e.greater_equal(rate, _LARGE)
    few = expand_dims(e.where(large, 1, rate), -1)

    def log_pmf(k: Tensor) -> Tensor:
        size = e.subtract(e.multiply(k, _log(few)), few)
        return e.subtract(size, e.lgamma(e.add(k, 1)))

    small_draw = _inverted(keys[0], log_pmf, full)
    large_draw = _large_poisson(keys[1], e.where(large, rate, _LARGE))
    draws = e.where(large, large_draw, small_draw)
    return _numbers(e.where(e.greater_equal(rate, 0), draws, float("nan")), target)


def _numbers(draws: Tensor, target: Any) -> Tensor:
    """NaN, for parameters that make no sense, is -1 as an integer."""
    if target.is_integer:
        draws = e.where(e.isnan(draws), -1, draws)
    return b.cast(draws, target)


def _log_choose(n: Tensor, k: Tensor) -> Tensor:
    rest = e.lgamma(e.add(e.subtract(n, k), 1))
    return e.subtract(e.lgamma(e.add(n, 1)), e.add(e.lgamma(e.add(k, 1)), rest))


def _large_binomial(key: Any, n: Tensor, p: Tensor) -> Tensor:
    q = e.subtract(1, p)
    spread = e.sqrt(e.multiply(e.multiply(n, p), q))
    scale = e.add(e.multiply(spread, 2.53), 1.15)
    a = e.add(e.multiply(scale, 0.0248), e.subtract(e.multiply(p, 0.01), 0.0873))
    center = e.add(e.multiply(n, p), 0.5)
    fast = e.subtract(0.92, e.divide(4.2, scale))
    alpha = e.multiply(e.add(e.divide(5.1, scale), 2.83), spread)
    mode = e.floor(e.multiply(e.add(n, 1), p))
    u, far, v = _proposals(key, n.shape)
    slope = e.add(e.divide(e.multiply(a, 2), far), scale)
    k = e.floor(e.add(e.multiply(slope, u), center))
    inside = e.logical_and(e.greater_equal(k, 0), e.less_equal(k, n))
    quick = e.logical_and(e.greater_equal(far, 0.07), e.less_equal(v, fast))
    weight = e.add(e.divide(a, e.square(far)), scale)
    left = e.log(e.divide(e.multiply(v, alpha), weight))
    safe = e.clip(k, 0, None)
    safe = e.minimum(safe, n)
    odds = e.multiply(e.subtract(safe, mode), e.log(e.divide(p, q)))
    right = e.add(e.subtract(_log_choose(n, safe), _log_choose(n, mode)), odds)
    accepted = e.logical_or(quick, e.less_equal(left, right))
    return first_accepted(safe, e.logical_and(inside, accepted))


def binomial(key: Any, n: Any, p: Any, shape: Any = None, dtype: Any = int64) -> Tensor:
    """Numbers of successes in `n` trials of probability `p`.

    Args:
        key: a key.
        n: number of trials.
        p: probability of success.
        shape: of the result; that of `n` and `p` when left out.
        dtype: an integer or float type.
    """
    target = _integer("binomial", dtype)
    full, (trials, probability) = parameters(float64, shape, n, p)
    keys = split(key)
    rare = e.minimum(probability, e.subtract(1, probability))
    large = e.greater_equal(e.multiply(trials, rare), _LARGE)
    few, chance = (
        expand_dims(e.where(large, v, w), -1) for v, w in ((1, trials), (0.5, rare))
    )

    def log_pmf(k: Tensor) -> Tensor:
        safe = e.minimum(k, few)
        size = e.multiply(safe, _log(chance))
        rest = e.multiply(e.subtract(few, safe), e.log1p(e.negative(chance)))
        total = e.add(_log_choose(few, safe), e.add(size, rest))
        return e.where(e.greater(k, few), -float("inf"), total)

    small_draw = e.minimum(_inverted(keys[0], log_pmf, full), trials)
    big = e.where(large, trials, 40.0), e.where(large, rare, 0.5)
    draws = e.where(large, _large_binomial(keys[1], *big), small_draw)
    draws = e.where(e.greater(probability, 0.5), e.subtract(trials, draws), draws)
    valid = e.logical_and(e.greater_equal(rare, 0), e.greater_equal(trials, 0))
    return _numbers(e.where(valid, draws, float("nan")), target)


def geometric(key: Any, p: Any, shape: Any = None, dtype: Any = int64) -> Tensor:
    """Number of trials of probability `p` up to the first success, at least 1."""
    target = _integer("geometric", dtype)
    full, (chance,) = parameters(float64, shape, p)
    unit = e.log(e.subtract(1, uniform(key, full, float64)))
    draws = e.add(e.floor(e.divide(unit, e.log1p(e.negative(chance)))), 1)
    return b.cast(e.maximum(draws, 1), target)


def rademacher(key: Any, shape: Any = (), dtype: Any = int64) -> Tensor:
    """-1 and 1 with equal probability."""
    return b.cast(e.where(bernoulli(key, 0.5, shape), 1, -1), as_dtype(dtype))


def choice(
    key: Any,
    a: Any,
    shape: Any = (),
    replace: bool = True,
    p: Any = None,
    axis: int = 0,
) -> Tensor:
    """Elements of `a` (of ``arange(a)`` for an int) drawn at random.

    Args:
        key: a key.
        a: a tensor, whose slices along `axis` are drawn, or an int.
        shape: of the draw.
        replace: whether one may be drawn more than once.
        p: probabilities; all alike when left out.
        axis: of `a`.

    Raises:
        ArgumentError: if more are drawn than there are, without replacement.
    """
    source = arange(a) if isinstance(a, int) else as_tensor(a, argument="a")
    position = normalize_axis(axis, source.ndim, "choice")
    size, wanted = source.shape[position], shape_of(shape)
    count = 1
    for n in wanted:
        count = count * n
    if not replace and count > size:
        raise ArgumentError(
            f"choice: {count} of {size} without replacement", fix="replace=True"
        )
    places = _places(key, size, count, replace, p)
    return take(source, reshape(places, wanted), axis=position)


def _places(key: Any, size: Any, count: Any, replace: bool, p: Any) -> Tensor:
    if p is None:
        if replace:
            return randint(key, (count,), 0, size)
        return permutation(key, b.iota(type=TensorType(int64, (size,)), dim=0))[:count]
    logits = e.log(as_tensor(p, argument="p"))
    if replace:
        return categorical(key, logits, shape=(count,))
    # The largest of Gumbel-perturbed logits are a draw without replacement.
    return top_k(e.add(gumbel(key, (size,), logits.dtype), logits), count)[1]


def multinomial(
    key: Any, n: int, p: Any, shape: Any = None, dtype: Any = int64
) -> Tensor:
    """How often each of several outcomes occurs in `n` trials.

    Args:
        key: a key.
        n: number of trials, a Python int.
        p: probabilities ``[..., k]``, which sum to 1.
        shape: of the batch; that of `p` without the last dimension when left out.
        dtype: an integer or float type.
    """
    target = _integer("multinomial", dtype)
    p = e.cast_like(p, float64)
    batch = p.shape[:-1] if shape is None else shape_of(shape)
    p = b.broadcast(p, (*batch, p.shape[-1]))
    # Outcome after outcome: binomial with what is left of trials and probability.
    keys = split(key, p.shape[-1])
    left: Any = b.full(float(n), TensorType(float64, batch))
    mass: Any = b.full(1.0, TensorType(float64, batch))
    found = []
    for i in range(p.shape[-1] - 1):
        share = e.clip(e.divide(p[..., i], e.maximum(mass, 1e-300)), 0.0, 1.0)
        draw = binomial(keys[i], left, share, dtype=float64)
        found.append(draw)
        left, mass = e.subtract(left, draw), e.subtract(mass, p[..., i])
    stacked = [expand_dims(f, 0) for f in [*found, left]]
    return b.cast(moveaxis(b.concatenate(*stacked, dimension=0), 0, -1), target)
