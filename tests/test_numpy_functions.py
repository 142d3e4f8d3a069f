"""NumPy's functions beyond the Array API: values, traces, gradients, updates."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy_cases import COMPILED, EAGER, HOLES, INTS, T, V, X, Y
from scipy import special

import jitflow as jf
from compiler.ir.interpret import interpret
from compiler.ir.types import TensorType
from compiler.ir.verify import verify
from jitflow.errors import (
    ArgumentError,
    ArgumentTypeError,
    DTypeError,
    IndexingError,
    ShapeError,
    TracerError,
)
from jitflow.ops.numerical import gradient
from jitflow.testing import check_gradients
from jitflow.tracing import TraceContext


def flat(result):
    parts = result if isinstance(result, tuple | list) else (result,)
    return [np.asarray(p) for p in parts]


def agree(actual, expected, rtol=1e-6, atol=1e-6):
    actual, expected = flat(actual), flat(expected)
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        assert a.shape == e.shape
        assert a.dtype.kind == e.dtype.kind
        np.testing.assert_allclose(a, e, rtol=rtol, atol=atol)


def numpy_of(name, args, options):
    with np.errstate(all="ignore"):
        return getattr(np, name)(*args, **options)


def label(case):
    name, args, options = case
    shapes = [str(getattr(a, "shape", a))[:20] for a in args]
    return f"{name}({','.join(shapes)},{options})"[:60]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("case", [*COMPILED, *EAGER], ids=label)
def test_functions_are_numpys(case):
    name, args, options = case
    all_nan = name in ("nanargmax", "nanargmin") and np.isnan(args[0]).all()
    assert not all_nan
    agree(getattr(jf, name)(*args, **options), numpy_of(name, args, options))


def traced(function, arrays):
    """Run a function of arrays as the interpreter runs its trace."""
    context = TraceContext("f")
    with context.active():
        params = [
            context.parameter(TensorType(jf.asarray(a).dtype, a.shape), f"x{i}")
            for i, a in enumerate(arrays)
        ]
        results = function(*params)
        results = results if isinstance(results, tuple | list) else [results]
        results = [jf.asarray(r) for r in results]
    graph = context.build(results)
    verify(graph)
    captured = [what.numpy() for what, _ in context.captures]
    return interpret(graph, *arrays, *captured)[: len(results)]


def split_arrays(args):
    """The float arrays among arguments, and a function that puts others there."""
    spots = [i for i, a in enumerate(args) if isinstance(a, np.ndarray)]

    def filled(values):
        full = list(args)
        for i, value in zip(spots, values, strict=True):
            full[i] = value
        return full

    return [args[i] for i in spots], filled


FIRST_OF_EACH = {}
for _case in COMPILED:
    FIRST_OF_EACH.setdefault((_case[0], tuple(sorted(_case[2]))), _case)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("case", FIRST_OF_EACH.values(), ids=label)
def test_traced_functions_are_the_eager_ones(case):
    name, args, options = case
    arrays, filled = split_arrays(args)
    function = getattr(jf, name)
    expected = function(*args, **options)
    agree(traced(lambda *v: function(*filled(v), **options), arrays), expected)


DIFFERENTIABLE = {
    "quantile": lambda x: jf.quantile(x, [0.2, 0.7], axis=1),
    "median": lambda x: jf.median(x, axis=0),
    "average": lambda x: jf.average(x, weights=x * x, axis=1),
    "cov": lambda x: jf.cov(x, x[::-1]),
    "corrcoef": lambda x: jf.corrcoef(x)[0],
    "interp": lambda x: jf.interp(x, [-5.0, 0.0, 5.0], x[0, :3]),
    "trapezoid": lambda x: jf.trapezoid(x, jf.cumsum(x * x, axis=1)),
    "gradient": lambda x: gradient(x, axis=1),
    "nanmean": lambda x: jf.nanmean(jf.where(x > 1, np.nan, x), axis=0),
    "nanstd": lambda x: jf.nanstd(x, axis=1),
    "nanquantile": lambda x: jf.nanquantile(x, 0.3, axis=1),
    "cumprod": lambda x: jf.cumprod(x, axis=1),
    "cummax": lambda x: jf.cummax(x, axis=1) * x,
    "pad": lambda x: jf.pad(x, 2, "reflect") * 2,
    "ramp": lambda x: jf.pad(x, 2, "linear_ramp") ** 2,
    "kron": lambda x: jf.kron(x, x),
    "cross": lambda x: jf.cross(x[:, :3], x[:, 1:4]),
    "convolve": lambda x: jf.convolve(x[0], x[1], "same"),
    "correlate": lambda x: jf.correlate(x[0], x[1], "full"),
    "sinc": lambda x: jf.sinc(x - x[0, 0]),
    "xlogy": lambda x: jf.xlogy(x - x[0, 0], jf.abs(x) + 1),
    "divide_no_nan": lambda x: jf.divide_no_nan(x, x - x[0, 0]),
    "gamma": lambda x: jf.gamma(jf.abs(x) + 1),
    "logit": lambda x: jf.logit(jf.sigmoid(x) * x[0, 0] ** 2 / 9),
    "einsum": lambda x: jf.einsum("ij,kj,kl->il", x, x, x),
    "diagonal": lambda x: jf.einsum("ii->i", x[:4, :4]),
    "segments": lambda x: jf.segment_max(x, [0, 1, 0, 2], 3) * 2,
    "segment_mean": lambda x: jf.segment_mean(x * x, [3, 1, 3, 2]),
    "at_set": lambda x: x.at[1, ::2].set(x[0, ::2] ** 2) * x,
    "at_add": lambda x: x.at[[0, 0, 2]].add(x[1:] ** 2) * x,
    "at_mul": lambda x: x.at[[0, 2], [1, 1]].mul(x[1, :2]),
    "at_max": lambda x: x.at[:, 1].max(x[:, 2]) * x,
    "at_get": lambda x: x.at[[0, 9]].get(mode="fill", fill_value=1.0) ** 2,
    "put_along": lambda x: jf.put_along_axis(x, INTS[:, :1] % 5, x[:, :1] ** 2, axis=1),
    "vander": lambda x: jf.vander(x[0]),
    "insert": lambda x: jf.insert(x, 1, x[:, 0] ** 2, axis=1),
    "fmax": lambda x: jf.fmax(x, np.nan) * jf.fmin(x, 0.3),
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients(name):
    check_gradients(DIFFERENTIABLE[name], [X + 0.01], rtol=1e-4, atol=1e-6)


def test_gradients_at_awkward_points():
    assert float(jf.grad(jf.sinc)(jf.asarray(0.0))) == 0.0
    assert float(jf.grad(jf.grad(jf.sinc))(0.0)) == pytest.approx(-(np.pi**2) / 3)
    assert float(jf.grad(lambda x: jf.divide_no_nan(x, x * 0))(2.0)) == 0.0
    assert float(jf.grad(lambda x: jf.xlogy(x * 0, x * 0))(2.0)) == 0.0
    assert float(jf.grad(lambda x: jf.nanmean(jf.stack([jf.nan, x])))(2.0)) == 1


@pytest.mark.parametrize("name", ["quantile", "nanstd", "pad", "at_add", "corrcoef"])
def test_compiled_functions_are_the_eager_ones(name):
    f = DIFFERENTIABLE[name]
    x = jf.asarray(X.astype(np.float32))
    agree(jf.function(f)(x), f(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["median", "interp", "segments", "at_set", "cumprod"])
def test_batched_functions_are_loops(name):
    f = DIFFERENTIABLE[name]
    xs = np.stack([X, Y, X * Y])
    agree(jf.vmap(f)(xs), np.stack([np.asarray(f(jf.asarray(x))) for x in xs]))


def test_functions_numpy_lacks():
    x = np.array([0.3, -1.5, 4.0, 0.0, -2.0, np.nan, np.inf])
    agree(jf.gamma(x), special.gamma(x))
    agree(jf.erfc(x), special.erfc(x))
    agree(jf.xlogy(x, np.abs(x)), special.xlogy(x, np.abs(x)))
    agree(jf.xlog1py(x, np.abs(x)), special.xlog1py(x, np.abs(x)))
    p = np.array([0.0, 0.2, 0.5, 1.0])
    agree(jf.logit(p), special.logit(p))
    agree(
        jf.divide_no_nan(x, [1, 0, 2, 0, 1, 0, 3]),
        np.array([0.3, 0, 2, 0, -2, 0, np.inf]),
    )
    agree(jf.cummax(X, axis=1), np.maximum.accumulate(X, 1))
    agree(jf.cummin(X), np.minimum.accumulate(X.ravel()))
    agree(jf.tri(3, 5, 1), np.tri(3, 5, 1))
    agree(jf.logspace(0, 2, 5), np.logspace(0, 2, 5), rtol=1e-5)
    agree(jf.geomspace(-1, -8, 4), np.geomspace(-1, -8, 4), rtol=1e-5)
    agree(jf.tril_indices(4, -1), np.tril_indices(4, -1))
    agree(jf.triu_indices(4, 1, 5), np.triu_indices(4, 1, 5))
    agree(gradient(X, 2.0), np.gradient(X, 2.0))
    places = np.array([0.0, 1.0, 3.0, 4.0])
    agree(gradient(X, places, axis=0), np.gradient(X, places, axis=0))
    agree(
        jf.choose([0, 1, 1, 0], [V[:4], V[3:]]), np.choose([0, 1, 1, 0], [V[:4], V[3:]])
    )
    agree(jf.partition(X, 2), np.sort(X))
    agree(np.asarray(jf.nanargmax(np.full(3, np.nan))), np.asarray(-1))
    assert np.isnan(float(jf.nanmax(np.full(3, np.nan))))


def test_einsum_forms():
    for text, xs in [
        ("ii", [X[:, :4]]),
        ("iij->j", [np.ones((3, 3, 2))]),
        ("ijj,jk->ik", [T[:, :, :3], X[:3]]),
        ("...ij->...ji", [T]),
        ("...a,...a", [T, T]),
        (",ij", [np.float64(2), X]),
        ("ij,jk,kl,lm->im", [X, Y.T, X, Y.T]),
        ("i,j,k->ijk", [V, V, V]),
    ]:
        agree(jf.einsum(text, *xs), np.einsum(text, *xs))
    agree(jf.einsum(X, [0, 1], Y, [2, 1], [0, 2]), X @ Y.T)
    agree(jf.einsum(T, [..., 0, 1]), T)


# ------------------------------------------------------------------------- updates

KEYS = [
    0,
    (1, 2),
    slice(1, 3),
    (slice(None), -1),
    np.array([0, 2, 2]),
    (np.array([0, 1]), np.array([3, 3])),
    (np.array([[0], [-1]]), [2, 0]),
    X > 0,
    (slice(None, None, -2), [1, 1]),
    (..., None, 0),
    np.array(3),
    np.zeros(0, np.int64),
]
UFUNCS = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}


@pytest.mark.parametrize("key", KEYS, ids=repr)
@pytest.mark.parametrize("how", ["set", *UFUNCS, "subtract", "divide"])
def test_updates_are_numpys(key, how):
    expected, value = X.copy(), 2.5
    if how == "set":
        expected[key] = value
    elif how in UFUNCS:
        UFUNCS[how].at(expected, key, value)
    else:
        getattr(np, how).at(expected, key, value)
    x = jf.asarray(X)
    agree(getattr(x.at[key], how)(value), expected, rtol=1e-12)
    agree(x, X, rtol=0, atol=0)
    agree(x.at[key].get(), X[key])


@given(st.lists(st.integers(-9, 9), max_size=6))
@settings(max_examples=30, deadline=None)
def test_modes_of_updates(index):
    """What is out of bounds is dropped, or moved to the end that is nearest."""
    x, n = jf.arange(5.0), 5
    places = [i + n if i < 0 else i for i in index]
    inside = [p for p in places if 0 <= p < n]
    dropped = np.bincount(inside, minlength=n)
    clipped = np.bincount([min(max(p, 0), n - 1) for p in places], minlength=n)
    key = np.array(index, np.int64)
    agree(x.at[key].add(1, mode="drop") - x, dropped.astype(np.float32))
    agree(x.at[key].add(1, mode="clip") - x, clipped.astype(np.float32))
    expected = [p if p in inside else -7.0 for p in places]
    found = x.at[key].get(mode="fill", fill_value=-7)
    agree(found, np.array(expected, np.float32))
    assert found.shape == key.shape


def test_update_values_broadcast_and_keep_the_dtype():
    x = jf.zeros((2, 3), dtype="int32")
    assert x.at[1].set([1, 2, 3]).tolist() == [[0, 0, 0], [1, 2, 3]]
    assert x.at[:, 0].add(jf.asarray(5)).dtype == "int32"
    assert x.at[[0, 0]].set([[1], [2]]).tolist() == [[2, 2, 2], [0, 0, 0]]
    b = jf.asarray([True, False])
    assert b.at[0].set(False).tolist() == [False, False]
    assert np.isnan(np.asarray(jf.ones(2).at[jf.asarray([4])].get(mode="fill"))).all()


def test_updates_with_traced_indices():
    @jf.function
    def f(x, i):
        return x.at[i].add(10), x.at[i, 1].set(0), x[i]

    x, i = jf.asarray(X), jf.asarray(2)
    agree(f(x, i), (x.at[2].add(10), x.at[2, 1].set(0), x[2]))


def test_bad_updates_are_explained():
    x = jf.zeros(3, dtype="int64")
    with pytest.raises(IndexingError, match="out of bounds"):
        x.at[jf.asarray([3])].set(1)
    with pytest.raises(DTypeError, match="lose information"):
        x.at[0].set(1.5)
    with pytest.raises(ArgumentError, match="mode"):
        x.at[0].set(1, mode="wild")
    with pytest.raises(ShapeError):
        x.at[:2].set([1, 2, 3])
    with pytest.raises(DTypeError, match="numeric"):
        jf.asarray([True]).at[0].add(True)
    with pytest.raises(ArgumentTypeError, match="at"):
        x[0] = 1


# ------------------------------------------------------------------------ segments


@pytest.mark.parametrize(
    "name, ufunc, empty",
    [
        ("segment_sum", np.add, 0.0),
        ("segment_prod", np.multiply, 1.0),
        ("segment_max", np.maximum, -np.inf),
        ("segment_min", np.minimum, np.inf),
    ],
)
@pytest.mark.parametrize("count", [None, 4, 7])
def test_segments(name, ufunc, empty, count):
    ids = np.array([4, 0, 4, -1])
    size = 5 if count is None else count
    expected = np.full((size, 5), empty)
    for row, i in zip(X, ids, strict=True):
        if 0 <= i < size:
            expected[i] = ufunc(expected[i], row)
    agree(getattr(jf, name)(X, ids, count), expected, rtol=1e-12)
    assert getattr(jf, name)(X[:0], ids[:0], 3).shape == (3, 5)


def test_segment_mean_and_errors():
    found = jf.segment_mean(jf.asarray([1, 3, 7]), [2, 2, 0], 4)
    agree(found, np.array([7, 0, 2, 0], np.float32))
    agree(jf.segment_sum(T, INTS[:2, :3], 6).shape, (6, 4))
    with pytest.raises(ShapeError, match="segment_ids"):
        jf.segment_sum(X, [0, 1])
    with pytest.raises(DTypeError, match="integers"):
        jf.segment_sum(X, [0.0] * 4)
    with pytest.raises(TracerError, match="num_segments"):
        jf.function(lambda x, i: jf.segment_sum(x, i))(X, INTS[:, 0])


def test_sized_unique_compiles():
    x = jf.asarray([3, 1, 3, 2, 1])
    f = jf.function(
        lambda x: (jf.unique(x, size=5), jf.unique(x, size=2, fill_value=9))
    )
    small, cut = f(x)
    assert small.tolist() == [1, 2, 3, 1, 1]
    assert cut.tolist() == [1, 2]
    assert jf.unique(x, size=4, fill_value=9).tolist() == [1, 2, 3, 9]
    assert jf.function(lambda x: jf.bincount(x, length=3))(x).tolist() == [0, 2, 1]


# -------------------------------------------------------------------------- errors

BAD = [
    (lambda: jf.quantile(X, 1.5), ArgumentError, r"q is in \[0, 1\]"),
    (lambda: jf.quantile(X, 0.5, method="odd"), ArgumentError, "method"),
    (lambda: jf.average(X, weights=V), ShapeError, "weights"),
    (lambda: jf.cov(T), ShapeError, "matrices"),
    (lambda: jf.histogram(X, bins=0), ArgumentError, "bins"),
    (lambda: jf.bincount([-1]), IndexingError, "negative"),
    (lambda: jf.interp(X, V, V[:2]), ShapeError, "vectors"),
    (lambda: jf.interp(X, V, V, period=0), ArgumentError, "period"),
    (lambda: gradient(X[:1], axis=0), ArgumentError, "points"),
    (lambda: jf.cross(X, X), ShapeError, "not 3"),
    (lambda: jf.convolve(X, V), ShapeError, "vectors"),
    (lambda: jf.convolve(V, V, "odd"), ArgumentError, "mode"),
    (lambda: jf.rot90(X, 1, (1, 1)), ArgumentError, "one axis"),
    (lambda: jf.array_split(V, 0), ArgumentError, "sections"),
    (lambda: jf.diag(T), ShapeError, "vector or a matrix"),
    (lambda: jf.where(X, 1), ArgumentError, "one tensor or three"),
    (lambda: jf.select([], []), ArgumentError, "conditions"),
    (lambda: jf.searchsorted(X, V), ArgumentError, "vector"),
    (lambda: jf.searchsorted(V, V, side="up"), ArgumentError, "side"),
    (lambda: jf.diff(V, n=-1), ArgumentError, "negative"),
    (lambda: jf.gcd(V, V), DTypeError, "integer"),
]


@pytest.mark.parametrize("call, kind, words", BAD)
def test_bad_arguments_are_explained(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


@pytest.mark.parametrize(
    "function",
    [
        jf.nonzero,
        jf.argwhere,
        jf.flatnonzero,
        jf.unique,
        jf.bincount,
        jf.where,
        jf.unique_all,
    ],
)
def test_value_dependent_shapes_are_refused_in_traces(function):
    with pytest.raises(TracerError, match="depends on values"):
        jf.function(lambda x: function(x))(INTS)


def test_empty_and_scalar_arguments():
    for name, axis in itertools.product(("nansum", "nanprod"), (None, 0)):
        agree(
            getattr(jf, name)(np.zeros((0, 3)), axis=axis),
            getattr(np, name)(np.zeros((0, 3)), axis=axis),
        )
    assert jf.median(np.float64(3.0)).item() == 3.0
    assert np.isnan(float(jf.median(np.zeros(0))))
    assert jf.cumsum(np.float64(2.0)).shape == (1,)
    assert jf.pad(np.zeros((0, 2)), 1).shape == (2, 4)
    assert jf.kron(np.float64(2), X).shape == X.shape
    assert jf.histogram(np.zeros(0))[0].tolist() == [0] * 10
    assert jf.interp(0.5, [0.0], [3.0]).item() == 3.0
    assert jf.nanmean(HOLES, axis=1).shape == (4,)
