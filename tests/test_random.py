"""Random numbers: known bits, distributions, keys, generators."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import jitflow as jf
from jitflow.errors import ArgumentError, ArgumentTypeError, DTypeError

KEY = jf.random.key(42)
N = 20_000


def test_bits_are_threefrys():
    """Known answers of Threefry-2x32-20 (Random123's test vectors, first block)."""
    for key, block in [
        ((0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0x13198A2E, 0x03707344), None),
    ]:
        k = jf.asarray(np.array(key, np.uint32))
        word = int(jf.random.bits(k, (1,), "uint64")[0])
        if block is not None:
            assert word == (block[0] << 32) | block[1]
        pair = np.asarray(jf.random.split(k, 1))[0]
        assert (int(pair[0]) << 32) | int(pair[1]) == word
        half = int(jf.random.bits(k, (1,))[0])
        assert half == int(pair[0]) ^ int(pair[1])


def test_numbers_do_not_depend_on_the_shape():
    flat = np.asarray(jf.random.uniform(KEY, (12,)))
    np.testing.assert_array_equal(
        np.asarray(jf.random.uniform(KEY, (3, 4))).ravel(), flat
    )
    np.testing.assert_array_equal(np.asarray(jf.random.uniform(KEY, (5,))), flat[:5])
    assert jf.random.normal(KEY, (0, 3)).shape == (0, 3)
    assert jf.random.normal(KEY).shape == ()


def test_keys():
    assert np.asarray(jf.random.key(1 << 33 | 5)).tolist() == [2, 5]
    assert np.asarray(jf.random.key(-1)).tolist() == [2**32 - 1, 2**32 - 1]
    assert jf.random.key(jf.asarray(7)).tolist() == jf.random.key(7).tolist()
    keys = [tuple(k.tolist()) for k in jf.random.split(KEY, 100)]
    folded = [tuple(jf.random.fold_in(KEY, i).tolist()) for i in range(100)]
    assert len({*keys, *folded, tuple(KEY.tolist())}) == 201
    again = jf.random.fold_in(KEY, jf.asarray(3))
    assert tuple(again.tolist()) == folded[3]


def test_bits_of_every_width():
    for dtype in ("uint8", "uint16", "uint32", "uint64"):
        words = np.asarray(jf.random.bits(KEY, (N,), dtype))
        assert words.dtype == dtype
        width = words.itemsize * 8
        ones = np.mean([(words >> np.array(i, words.dtype)) & 1 for i in range(width)])
        assert abs(ones - 0.5) < 0.01


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_uniform(dtype):
    x = jf.random.uniform(KEY, (N,), dtype)
    assert x.dtype == dtype
    values = np.asarray(jf.astype(x, "float64"))
    assert values.min() >= 0
    assert values.max() < 1
    assert abs(values.mean() - 0.5) < 0.01
    bounded = np.asarray(jf.random.uniform(KEY, (N,), minval=-3, maxval=-1))
    assert bounded.min() >= -3
    assert bounded.max() <= -1


def test_uniform_and_normal_pass_kolmogorov_smirnov():
    uniform = np.asarray(jf.random.uniform(KEY, (N,)))
    normal = np.asarray(jf.random.normal(KEY, (N,)))
    assert stats.kstest(uniform, "uniform").pvalue > 1e-3
    assert stats.kstest(normal, "norm").pvalue > 1e-3
    wide = np.asarray(jf.random.normal(KEY, (N,), "float64", mean=3, stddev=0.5))
    assert wide.dtype == np.float64
    assert stats.kstest(wide, "norm", (3, 0.5)).pvalue > 1e-3
    assert jf.random.normal(KEY, (3,), "bfloat16").dtype == "bfloat16"


def test_normal_is_exact_in_the_tails():
    q = np.array([1e-12, 1e-5, 0.01, 0.3, 0.5, 0.9, 1 - 1e-9])
    actual = np.asarray(jf.erf_inv(2 * q - 1)) * np.sqrt(2)
    np.testing.assert_allclose(actual, stats.norm.ppf(q), rtol=1e-4, atol=1e-12)


def test_truncated_normal():
    x = np.asarray(jf.random.truncated_normal(KEY, (N,)))
    assert np.abs(x).max() <= 2
    assert stats.kstest(x, "truncnorm", (-2, 2)).pvalue > 1e-3
    scaled = np.asarray(jf.random.truncated_normal(KEY, (N,), mean=5.0, stddev=0.1))
    assert np.abs(scaled - 5).max() <= 0.2 + 1e-5
    with pytest.raises(ArgumentError, match="lower"):
        jf.random.truncated_normal(KEY, (3,), lower=1.0, upper=1.0)


def test_bernoulli_and_categorical():
    assert abs(np.asarray(jf.random.bernoulli(KEY, 0.3, (N,))).mean() - 0.3) < 0.01
    p = jf.asarray([0.0, 1.0])
    assert jf.random.bernoulli(KEY, p).tolist() == [False, True]
    probabilities = np.array([0.1, 0.6, 0.3])
    logits = jf.log(probabilities)
    draws = np.asarray(jf.random.categorical(KEY, logits, shape=(N,)))
    counts = np.bincount(draws, minlength=3)
    assert stats.chisquare(counts, probabilities * N).pvalue > 1e-3
    batch = jf.random.categorical(KEY, jf.zeros((4, 5)), axis=0)
    assert batch.shape == (5,)
    sure = jf.random.categorical(KEY, jf.asarray([-np.inf, 0.0, -np.inf]), shape=(9,))
    assert sure.tolist() == [1] * 9
    with pytest.raises(ArgumentError, match="categorical"):
        jf.random.categorical(KEY, jf.zeros((4, 5)), shape=(3,))


def test_randint():
    x = np.asarray(jf.random.randint(KEY, (N,), -3, 7))
    assert x.dtype == np.int64
    counts = np.bincount(x + 3, minlength=10)
    assert len(counts) == 10
    assert stats.chisquare(counts).pvalue > 1e-3
    assert jf.random.randint(KEY, (5,), 4, 5, "int8").tolist() == [4] * 5
    extreme = np.asarray(jf.random.randint(KEY, (N,), -(2**63), 2**63 - 1))
    assert (extreme < 0).mean() == pytest.approx(0.5, abs=0.02)
    with pytest.raises(ArgumentError, match="empty"):
        jf.random.randint(KEY, (), 3, 3)
    with pytest.raises(DTypeError):
        jf.random.randint(KEY, (), 0, 3, "float32")


def test_permutation_and_shuffle():
    order = np.asarray(jf.random.permutation(KEY, 100))
    assert sorted(order) == list(range(100))
    assert list(order) != list(range(100))
    x = np.arange(12).reshape(3, 4)
    shuffled = np.asarray(jf.random.shuffle(KEY, x, axis=1))
    assert sorted(map(tuple, shuffled.T)) == sorted(map(tuple, x.T))
    first = [int(jf.random.permutation(k, 3)[0]) for k in jf.random.split(KEY, 300)]
    assert stats.chisquare(np.bincount(first, minlength=3)).pvalue > 1e-3


def test_gumbel():
    x = np.asarray(jf.random.gumbel(KEY, (N,)))
    assert stats.kstest(x, "gumbel_r").pvalue > 1e-3


def test_generators():
    a, b = jf.random.Generator(7), jf.random.Generator(7)
    draws = [a.normal((3,)).tolist() for _ in range(3)]
    assert draws == [b.normal((3,)).tolist() for _ in range(3)]
    assert len({tuple(d) for d in draws}) == 3
    a.reset(7)
    assert a.normal((3,)).tolist() == draws[0]
    other = jf.random.Generator(8)
    assert other.normal((3,)).tolist() not in draws
    assert jf.random.Generator().key().tolist() != jf.random.Generator().key().tolist()
    saved = jf.asarray(a.state.numpy())
    ahead = a.uniform((2,)).tolist()
    a.state.assign(saved)
    assert a.uniform((2,)).tolist() == ahead
    for draw in (
        a.truncated_normal((2,)),
        a.bernoulli(0.5, (2,)),
        a.categorical(jf.zeros((2, 3))),
        a.randint((2,), 0, 9),
        a.permutation(2),
        a.shuffle(jf.ones((2,))),
        a.split(2)[0],
    ):
        assert draw.shape == (2,)


def test_default_generator_is_seeded_in_place():
    generator = jf.random.default_generator()
    jf.random.set_seed(3)
    first = generator.uniform((4,)).tolist()
    jf.random.set_seed(3)
    assert jf.random.default_generator() is generator
    assert generator.uniform((4,)).tolist() == first


def test_errors():
    for bad in (7, jf.ones(2), jf.asarray([1, 2])):
        with pytest.raises(ArgumentTypeError, match="key"):
            jf.random.uniform(bad, (2,))
    with pytest.raises(ArgumentTypeError, match="seed"):
        jf.random.key(1.5)
    with pytest.raises(DTypeError, match="normal"):
        jf.random.normal(KEY, (), "int32")
    with pytest.raises(ArgumentError, match="bits"):
        jf.random.bits(KEY, (), "int32")
