"""Indices out of bounds raise in eager and in compiled code; checks can be off."""

from __future__ import annotations

import numpy as np
import pytest

import jitflow as jf

X = jf.asarray(np.arange(10.0, dtype=np.float32))


def pick(x, i):
    return x[i] * 2.0


@pytest.mark.parametrize("run", [pick, jf.function(pick)])
@pytest.mark.parametrize("bad", [10, -11, [0, 3, 99]])
def test_out_of_bounds_raises(run, bad):
    good = jf.asarray(np.array([0, -1, 9]))
    np.testing.assert_array_equal(run(X, good).numpy(), [0.0, 18.0, 18.0])
    with pytest.raises(IndexError, match="out of bounds"):
        run(X, jf.asarray(np.array(bad)))
    np.testing.assert_array_equal(run(X, good).numpy(), [0.0, 18.0, 18.0])


@pytest.mark.parametrize(
    "function",
    [
        lambda x, i: jf.take(x, i),
        lambda x, i: jf.take_along_axis(x, i, axis=0),
        lambda x, i: jf.scan(lambda c, k: (c + x[k], None), jf.zeros(()), i)[0],
        lambda x, i: jf.cond(jf.sum(i) < 0, lambda: jf.sum(x), lambda: jf.sum(x[i])),
    ],
    ids=["take", "take_along_axis", "scan", "cond"],
)
def test_checks_reach_every_way_to_index(function):
    compiled = jf.function(function)
    compiled(X, jf.asarray(np.array([1, 2])))
    with pytest.raises(IndexError, match="out of bounds"):
        compiled(X, jf.asarray(np.array([1, 12])))
    compiled(X, jf.asarray(np.array([3, 4])))


def test_checks_can_be_switched_off():
    jf.config.check_indices(False)
    try:
        clipped = jf.function(pick)
        assert clipped(X, jf.asarray(np.array(50))).item() == 18.0
    finally:
        jf.config.check_indices(True)
