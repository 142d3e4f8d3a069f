"""Distributions: tests of fit, parameters at the edges, shapes, keys, traces."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import jitflow as jf
from jitflow import random
from jitflow.errors import ArgumentError, DTypeError, ShapeError

KEY = random.key(3)
N = 20_000
# With fixed keys the tests always give the same answer; a level of 1e-4 leaves room
# for a change of keys.
LEVEL = 1e-4

CONTINUOUS = {
    "exponential": (lambda: random.exponential(KEY, (N,)), stats.expon),
    "laplace": (lambda: random.laplace(KEY, (N,)), stats.laplace),
    "logistic": (lambda: random.logistic(KEY, (N,)), stats.logistic),
    "cauchy": (lambda: random.cauchy(KEY, (N,)), stats.cauchy),
    "rayleigh": (lambda: random.rayleigh(KEY, (N,)), stats.rayleigh),
    "shifted": (lambda: random.laplace(KEY, (N,), None, 3, 2), stats.laplace(3, 2)),
    "weibull": (lambda: random.weibull(KEY, 1.7, (N,)), stats.weibull_min(1.7)),
    "pareto": (lambda: random.pareto(KEY, 2.5, (N,)), stats.pareto(2.5)),
    "lognormal": (lambda: random.lognormal(KEY, (N,), sigma=0.5), stats.lognorm(0.5)),
    "gamma_small": (lambda: random.gamma(KEY, 0.1, (N,)), stats.gamma(0.1)),
    "gamma_one": (lambda: random.gamma(KEY, 1.0, (N,)), stats.gamma(1)),
    "gamma": (lambda: random.gamma(KEY, 3.3, (N,), scale=2), stats.gamma(3.3, 0, 2)),
    "gamma_large": (
        lambda: random.gamma(KEY, 500.0, (N,), "float64"),
        stats.gamma(500),
    ),
    "loggamma": (lambda: random.loggamma(KEY, 0.3, (N,)), stats.loggamma(0.3)),
    "beta": (lambda: random.beta(KEY, 0.4, 2.0, (N,)), stats.beta(0.4, 2)),
    "chisquare": (lambda: random.chisquare(KEY, 5, (N,)), stats.chi2(5)),
    "t": (lambda: random.t(KEY, 3.0, (N,)), stats.t(3)),
}
DISCRETE = {
    **{
        f"poisson_{rate}": (
            lambda rate=rate: random.poisson(KEY, rate, (N,)),
            stats.poisson(rate),
        )
        for rate in (0.3, 4.0, 9.99, 10.0, 35.0, 400.0)
    },
    **{
        f"binomial_{n}_{p}": (
            lambda n=n, p=p: random.binomial(KEY, n, p, (N,)),
            stats.binom(n, p),
        )
        for n, p in [(1, 0.5), (5, 0.3), (5, 0.9), (100, 0.05), (40, 0.25), (900, 0.8)]
    },
    "geometric": (lambda: random.geometric(KEY, 0.3, (N,)), stats.geom(0.3)),
    "choice": (lambda: random.choice(KEY, 7, (N,)), stats.randint(0, 7)),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_distributions(name):
    draw, law = CONTINUOUS[name]
    sample = np.asarray(draw()).astype(np.float64)
    assert np.isfinite(sample).all()
    assert stats.kstest(sample, law.cdf).pvalue > LEVEL


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_distributions(name):
    draw, law = DISCRETE[name]
    sample = np.asarray(draw())
    assert sample.dtype == np.int64
    low, high = int(law.ppf(1e-9)), int(law.ppf(1 - 1e-9)) + 1
    numbers = np.arange(low, high + 1)
    expected = law.pmf(numbers) * N
    observed = (sample[:, None] == numbers).sum(0)
    assert observed.sum() >= N - 1
    keep = expected > 5
    statistic = ((observed - expected)[keep] ** 2 / expected[keep]).sum()
    assert stats.chi2(max(keep.sum() - 1, 1)).sf(statistic) > LEVEL


def test_vectors():
    shares = np.asarray(random.dirichlet(KEY, np.array([1.0, 2, 3]), (N,)))
    np.testing.assert_allclose(shares.sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(shares.mean(0), [1 / 6, 1 / 3, 1 / 2], atol=0.01)
    cov = np.array([[2, 0.5], [0.5, 1]])
    for method in ("cholesky", "eigh"):
        draws = random.multivariate_normal(KEY, [1.0, 2.0], cov, (N,), method=method)
        np.testing.assert_allclose(np.asarray(draws).mean(0), [1, 2], atol=0.05)
        np.testing.assert_allclose(np.cov(np.asarray(draws).T), cov, atol=0.1)
    flat = random.multivariate_normal(
        KEY, [0.0, 0.0], np.ones((2, 2)), (9,), method="eigh"
    )
    np.testing.assert_allclose(flat[:, 0], flat[:, 1], atol=1e-5)
    counts = np.asarray(random.multinomial(KEY, 20, [0.2, 0.3, 0.5], (1000,)))
    assert (counts.sum(-1) == 20).all() and (counts >= 0).all()
    np.testing.assert_allclose(counts.mean(0), [4, 6, 10], atol=0.4)


def test_choice():
    order = random.choice(KEY, 9, (9,), replace=False)
    assert sorted(order.tolist()) == list(range(9))
    p = np.array([0.0, 0.5, 0.5, 0.0])
    assert set(random.choice(KEY, 4, (50,), p=p).tolist()) == {1, 2}
    pair = random.choice(KEY, 4, (2,), replace=False, p=p)
    assert sorted(pair.tolist()) == [1, 2]
    x = np.arange(12.0).reshape(3, 4)
    picked = random.choice(KEY, x, (2, 2), axis=1)
    assert picked.shape == (3, 2, 2)
    assert set(np.asarray(picked)[0].ravel()) <= set(x[0])


def test_parameters_at_the_edges():
    rates = np.array([0.0, -1.0, np.nan, 1e9])
    drawn = np.asarray(random.poisson(KEY, rates, dtype="float64"))
    assert drawn[0] == 0 and np.isnan(drawn[1:3]).all()
    assert abs(drawn[3] - 1e9) < 1e6
    n, p = np.array([0, 5, 5, 5]), np.array([0.5, 0, 1, 2.0])
    assert random.binomial(KEY, n, p).tolist() == [0, 0, 5, -1]
    tiny = np.asarray(random.beta(KEY, 1e-3, 1e-3, (100,)))
    assert ((tiny >= 0) & (tiny <= 1)).all()
    assert np.isfinite(np.asarray(random.loggamma(KEY, 1e-4, (100,)))).all()
    np.testing.assert_allclose(
        np.asarray(random.dirichlet(KEY, np.full(3, 1e-3))).sum(), 1
    )
    assert set(random.rademacher(KEY, (50,)).tolist()) == {-1, 1}


def test_shapes_and_dtypes():
    assert random.gamma(KEY, np.ones((3, 1)), scale=np.ones(4)).shape == (3, 4)
    assert random.exponential(KEY).shape == ()
    assert random.poisson(KEY, 3.0, (0, 2)).shape == (0, 2)
    assert random.dirichlet(KEY, np.ones((4, 3))).shape == (4, 3)
    assert random.multivariate_normal(KEY, np.zeros((4, 2)), np.eye(2)).shape == (4, 2)
    for dtype in ("float16", "bfloat16", "float64"):
        assert random.gamma(KEY, 2.0, (2,), dtype).dtype == dtype
        assert random.laplace(KEY, (2,), dtype).dtype == dtype
    assert random.poisson(KEY, 2.0, dtype="int32").dtype == "int32"


def test_compiled_and_batched_numbers_are_the_eager_ones():
    def f(key):
        keys = random.split(key, 4)
        return (
            random.gamma(keys[0], 2.0, (3,), "float64"),
            random.poisson(keys[1], 20.0, (3,)),
            random.binomial(keys[2], 50, 0.4, (3,)),
            random.choice(keys[3], 5, (3,), replace=False),
        )

    keys = random.split(KEY, 2)
    eager = [f(k) for k in keys]
    for results in (jf.function(f)(keys[0]), [y[0] for y in jf.vmap(f)(keys)]):
        for actual, expected in zip(results, eager[0], strict=True):
            np.testing.assert_allclose(
                np.asarray(actual), np.asarray(expected), rtol=1e-9
            )


def test_generators_have_all_of_them():
    first, second = random.Generator(1), random.Generator(1)
    for name in ("gamma", "poisson", "t", "rayleigh"):
        args = () if name == "rayleigh" else (3.0,)
        a, b = (getattr(g, name)(*args, shape=(4,)) for g in (first, second))
        assert a.tolist() == b.tolist()
    assert first.gamma(3.0, (4,)).tolist() != first.gamma(3.0, (4,)).tolist()


def test_gradients_by_location_and_scale():
    def f(scale):
        return jf.sum(random.laplace(KEY, (5,), "float64", 0.0, scale))

    total = float(f(jf.asarray(1.0, dtype="float64")))
    assert float(jf.grad(f)(jf.asarray(2.0, dtype="float64"))) == pytest.approx(total)


def test_bad_arguments_are_explained():
    for call, kind, words in [
        (lambda: random.choice(KEY, 3, (4,), replace=False), ArgumentError, "replace"),
        (lambda: random.gamma(KEY, np.ones(3), (2,)), ShapeError, "broadcast"),
        (lambda: random.dirichlet(KEY, 1.0), ShapeError, "vector"),
        (lambda: random.laplace(KEY, (), "int32"), DTypeError, "float"),
        (lambda: random.poisson(KEY, 1.0, dtype="bool"), DTypeError, "numeric"),
        (
            lambda: random.multivariate_normal(KEY, [0.0], np.eye(2)),
            ShapeError,
            "does not fit",
        ),
        (
            lambda: random.multivariate_normal(KEY, [0.0], np.eye(1), method="x"),
            ArgumentError,
            "method",
        ),
    ]:
        with pytest.raises(kind, match=words):
            call()
