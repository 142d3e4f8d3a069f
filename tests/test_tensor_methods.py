"""Methods of tensors are the functions of the same name."""

from __future__ import annotations

import numpy as np
import pytest

import jitflow as jf

X = np.arange(-6, 6, dtype=np.float32).reshape(3, 4) * 0.7

SAME = [
    *[(name, {}) for name in ("sum", "prod", "mean", "var", "std", "max", "min")],
    *[
        (name, {"axis": 1})
        for name in ("sum", "mean", "argmax", "argmin", "all", "any")
    ],
    ("sum", {"axis": 0, "keepdims": True}),
    ("round", {}),
    ("flatten", {}),
    ("ravel", {}),
    ("transpose", {}),
    ("clip", {"min": -1.0, "max": 2.0}),
]


@pytest.mark.parametrize(("name", "options"), SAME)
@pytest.mark.parametrize("kind", ["eager", "variable", "compiled"])
def test_methods_agree_with_numpy(name, options, kind):
    want = getattr(X, name)(**options)
    if kind == "compiled":
        got = jf.function(lambda x: getattr(x, name)(**options))(jf.asarray(X))
    else:
        tensor = jf.Variable(X) if kind == "variable" else jf.asarray(X)
        got = getattr(tensor, name)(**options)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-5)


def test_shapes_as_numbers_or_tuples():
    x = jf.asarray(X)
    assert x.reshape(2, 6).shape == x.reshape((2, 6)).shape == (2, 6)
    assert x.reshape(-1).shape == (12,)
    assert x.transpose(1, 0).shape == x.transpose((1, 0)).shape == (4, 3)
    assert jf.ones((1, 3)).squeeze(0).shape == (3,)
    assert x.astype(jf.int32).dtype == jf.int32
    np.testing.assert_allclose(x.dot(x.T).numpy(), X @ X.T, rtol=1e-6)
