"""Calls that `jf` and NumPy must answer alike: ``(function, arguments, options)``."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

Case = tuple[str, tuple[Any, ...], dict[str, Any]]

_RNG = np.random.default_rng(7)
X, Y = _RNG.normal(size=(2, 4, 5))
V = _RNG.normal(size=7)
T = _RNG.normal(size=(2, 3, 4))
WEIGHTS = np.abs(X) + 0.1
INTS = _RNG.integers(0, 6, (4, 5))
HOLES = X.copy()
HOLES[1, 2] = HOLES[3] = np.nan
NASTY = np.array([0.0, -0.0, 1, -1, 0.5, np.inf, -np.inf, np.nan, 1e-300, 1e300, -2.5])
PAIRS = tuple(v.ravel() for v in np.meshgrid(NASTY, NASTY))
AXES = (None, 0, -1, (0, 1))


def statistics() -> Iterator[Case]:
    """Averages, order statistics, covariances, histograms."""
    for axis, keepdims in itertools.product(AXES, (False, True)):
        how = {"axis": axis, "keepdims": keepdims}
        for name in ("median", "ptp", "average"):
            yield name, (X,), how
        for method in ("linear", "lower", "higher", "nearest", "midpoint"):
            yield "quantile", (X, [0.1, 0.5, 0.77]), {**how, "method": method}
        yield "percentile", (X, 30.0), how
    yield "quantile", (HOLES, 0.3), {"axis": 1}
    yield "quantile", (V, np.array([[0.0, 1.0], [0.5, 0.25]])), {}
    yield "median", (INTS,), {}
    yield "median", (np.array([np.inf, np.inf, 1.0]),), {}
    yield "average", (X,), {"weights": WEIGHTS, "axis": 1}
    yield "average", (X,), {"weights": WEIGHTS[:, 0], "axis": 0}
    for options in ({}, {"rowvar": False}, {"bias": True}, {"ddof": 2}):
        yield "cov", (X,), options
    yield "cov", (X,), {"aweights": WEIGHTS[0]}
    yield "cov", (X,), {"fweights": INTS[0] + 1, "aweights": WEIGHTS[0]}
    yield "cov", (X, Y), {}
    yield "cov", (X + 1j * Y,), {}
    yield "cov", (V,), {}
    for args in ((X,), (X, Y), (V,)):
        yield "corrcoef", args, {}
    for options in ({}, {"bins": 4}, {"bins": [-1, 0, 0.5, 2]}, {"range": (-1, 1)}):
        yield "histogram", (X,), options
    yield "histogram", (X,), {"weights": WEIGHTS, "density": True}
    yield "histogram", (np.ones(3),), {}
    for right, edges in itertools.product((False, True), ([-1, 0, 1], [1, 0, -1])):
        yield "digitize", (X, np.array(edges, float)), {"right": right}
    yield "digitize", (INTS, np.array([1, 3, 5])), {"right": True}


def without_nan() -> Iterator[Case]:
    """The functions that leave NaN out."""
    for axis, keepdims in itertools.product(AXES, (False, True)):
        how = {"axis": axis, "keepdims": keepdims}
        for name in ("max", "min", "sum", "prod", "mean", "std", "var", "median"):
            yield f"nan{name}", (HOLES,), how
        for method in ("linear", "nearest"):
            yield "nanquantile", (HOLES, [0.1, 0.6]), {**how, "method": method}
        yield "nanpercentile", (HOLES, 30.0), how
    for axis in (None, 0, 1):
        yield "nancumsum", (HOLES,), {"axis": axis}
        yield "nancumprod", (HOLES,), {"axis": axis}
    for name in ("nanargmax", "nanargmin"):
        yield name, (HOLES[:3],), {"axis": 1}
        yield name, (HOLES,), {}
        yield name, (np.array([np.nan, -np.inf, np.inf, np.nan]),), {}
    yield "nansum", (INTS,), {}
    yield "nanmax", (INTS,), {"axis": 0}


def numerical() -> Iterator[Case]:
    """Running sums, interpolation, integration, search."""
    for name, axis in itertools.product(("cumsum", "cumprod"), (None, 0, 1)):
        yield name, (X,), {"axis": axis}
    points = np.array([-1.0, 0.0, 2.0]), np.array([3.0, 1.0, 7.0])
    yield "interp", (X, *points), {}
    yield "interp", (X, *points), {"left": 0.0, "right": 9.0}
    yield "interp", (X, points[0][::-1].copy(), points[1]), {"period": 3.5}
    yield "interp", (NASTY, *points), {}
    yield "trapezoid", (X,), {"axis": 0, "dx": 0.5}
    yield "trapezoid", (X, np.sort(V[:5])), {}
    yield "trapezoid", (X, np.sort(Y, axis=1)), {}
    yield "ediff1d", (V,), {"to_begin": 3.0, "to_end": np.array([1.0, 2.0])}
    yield "unwrap", (X * 9,), {"axis": 0}
    yield "diff", (X,), {"n": 2, "prepend": 0.0}
    yield "diff", (X,), {"axis": 0, "append": Y}
    yield "diff", (INTS > 2,), {}
    yield "diff", (V,), {"n": 9}
    table = np.array([0.0, 1, 1, np.nan, np.nan])
    for side in ("left", "right"):
        yield "searchsorted", (table, NASTY), {"side": side}
        yield "searchsorted", (V, X), {"side": side, "sorter": np.argsort(V)}
        yield "searchsorted", (np.zeros(0), X), {"side": side}
        yield "searchsorted", (np.arange(9), INTS), {"side": side}


def padding() -> Iterator[Case]:
    """Every mode of pad, wider than the tensor too."""
    modes = (
        "constant edge reflect symmetric wrap linear_ramp maximum minimum mean median"
    )
    widths = (1, (2, 3), ((1, 0), (2, 4)), ((7, 9), (0, 11)))
    for mode, width in itertools.product(modes.split(), widths):
        yield "pad", (X, width), {"mode": mode}
    yield "pad", (INTS, 2), {"mode": "linear_ramp"}
    yield "pad", (INTS, 2), {"mode": "mean"}
    yield "pad", (X, ((1, 2), (3, 4))), {"constant_values": ((1, 2), (3, 4))}
    yield "pad", (X, 2), {"mode": "linear_ramp", "end_values": (1, 2)}
    yield "pad", (X, 2), {"mode": "mean", "stat_length": 2}


def assembling() -> Iterator[Case]:
    """Shapes, stacks, diagonals, grids."""
    for name in ("atleast_1d", "atleast_2d", "atleast_3d", "ravel"):
        for x in (np.float64(3.0), V, X, T):
            yield name, (x,), {}
    for name in ("vstack", "hstack", "dstack", "column_stack"):
        yield name, ([X, Y],), {}
        yield name, ([V, V],), {}
    yield "array_split", (V, 3), {}
    yield "array_split", (X, 3), {"axis": 1}
    yield "array_split", (V, [2, 5, 9]), {}
    yield "vsplit", (X, 2), {}
    yield "hsplit", (V, [3]), {}
    yield "dsplit", (T, 2), {}
    yield "append", (X, Y), {}
    yield "append", (X, Y), {"axis": 1}
    yield "delete", (X, [1, 2]), {"axis": 1}
    yield "delete", (V, slice(1, 4)), {}
    yield "insert", (V, 2, 9.0), {}
    yield "insert", (X, 1, V[:5]), {"axis": 0}
    yield "insert", (X, -1, 0.0), {"axis": 1}
    for k in (-2, 0, 1):
        yield "diag", (V,), {"k": k}
        yield "diag", (X,), {"k": k}
    yield "diagflat", (X,), {}
    yield "vander", (V,), {}
    yield "vander", (V, 3), {"increasing": True}
    for k in range(-1, 5):
        yield "rot90", (T, k), {}
        yield "rot90", (T, k, (2, 0)), {}
    yield "fliplr", (X,), {}
    yield "flipud", (X,), {}
    yield "transpose", (T,), {}
    yield "transpose", (T, (1, 0, 2)), {}
    for axis, start in itertools.product(range(3), range(-2, 4)):
        yield "rollaxis", (T, axis, start), {}


def products() -> Iterator[Case]:
    """Products of vectors and matrices, convolutions."""
    yield "dot", (X, Y.T), {}
    yield "dot", (T, _RNG.normal(size=(5, 4, 2))), {}
    yield "dot", (T, 2.0), {}
    yield "inner", (X, Y), {}
    yield "inner", (T, T), {}
    yield "vdot", (X, Y), {}
    yield "vdot", (X + 1j, Y), {}
    yield "kron", (X, Y), {}
    yield "kron", (V, X), {}
    yield "kron", (T, X), {}
    yield "cross", (X[:, :3], Y[:, :3]), {}
    for m, n in itertools.product((1, 3, 4, 7), (1, 2, 7)):
        a, b = V[:m], X.ravel()[:n]
        for mode in ("full", "same", "valid"):
            yield "convolve", (a, b, mode), {}
            yield "correlate", (a, b, mode), {}
    yield "correlate", (X[0] + 1j, Y[0] * 1j), {}


def elementwise() -> Iterator[Case]:
    """Mathematics on nasty values."""
    unary = (
        "exp2 deg2rad rad2deg sinc isposinf isneginf isreal iscomplex nan_to_num fabs "
        "angle modf"
    )
    for name in unary.split():
        yield name, (NASTY,), {}
    for name in ("fmax", "fmin", "fmod", "heaviside", "logaddexp2", "nextafter"):
        yield name, PAIRS, {}
    yield "isclose", PAIRS, {}
    yield "isclose", PAIRS, {"equal_nan": True, "rtol": 0.1}
    yield "nan_to_num", (NASTY,), {"nan": 1.0, "posinf": 2.0, "neginf": 3.0}
    yield "spacing", (X,), {}
    yield "ldexp", (X, INTS), {}
    yield "divmod", (X, Y), {}
    yield "gcd", (INTS - 3, INTS[::-1] * 6), {}
    yield "lcm", (INTS - 3, INTS[::-1] * 6), {}
    yield "polyval", (V, X), {}
    yield "select", ([X > 1, X > 0], [X, Y], 9.0), {}
    yield "allclose", (X, X), {}
    yield "array_equal", (X, Y), {}


def selection() -> Iterator[Case]:
    """Positions and orders."""
    yield "where", (X > 0, X, Y), {}
    yield "lexsort", ((INTS[0], INTS[1]),), {}
    yield "unravel_index", (np.array([3, 7, 11]), (3, 4)), {}
    yield "ravel_multi_index", ((np.array([0, 2]), np.array([3, 1])), (3, 4)), {}
    index = np.argsort(X, axis=1)[:, :2]
    yield "take_along_axis", (X, index), {"axis": 1}


def eager_only() -> Iterator[Case]:
    """Results whose shape depends on values."""
    yield "unique", (INTS,), {}
    all_results = {"return_index": True, "return_inverse": True, "return_counts": True}
    yield "unique", (INTS,), all_results
    yield "unique", (INTS,), {"axis": 0}
    for name in ("union1d", "intersect1d", "setdiff1d", "setxor1d"):
        yield name, (INTS[0], INTS[1]), {}
    yield "argwhere", (INTS,), {}
    yield "flatnonzero", (INTS,), {}
    yield "extract", (X > 0, X), {}
    yield "compress", ([1, 0, 1, 0], X), {"axis": 0}
    yield "where", (X > 0,), {}
    yield "bincount", (INTS.ravel(),), {}
    yield "bincount", (INTS.ravel(),), {"weights": WEIGHTS.ravel(), "minlength": 9}


COMPILED = [
    case
    for group in (
        statistics,
        without_nan,
        numerical,
        padding,
        assembling,
        products,
        elementwise,
        selection,
    )
    for case in group()
]
EAGER = list(eager_only())
