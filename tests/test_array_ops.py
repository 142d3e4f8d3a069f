"""Array API functions against NumPy, nasty values, empty and size-1 shapes included."""

from __future__ import annotations

import math
import operator
import warnings

import numpy as np
import pytest

import jitflow as jf
from compiler.ir.dims import symbol
from compiler.ir.interpret import interpret
from compiler.ir.types import TensorType
from compiler.ir.verify import verify
from jitflow.dtypes import float32
from jitflow.errors import (
    ArgumentError,
    DTypeError,
    IndexingError,
    JitFlowError,
    ShapeError,
    TracerError,
)
from jitflow.tensor import TracedTensor
from jitflow.tracing import TraceContext

NASTY = np.array(
    [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.5, np.inf, -np.inf, np.nan, 1e-40, 1e30, -7e-3],
    np.float32,
)
SHAPES = [(), (1,), (0,), (3,), (2, 3), (2, 0, 3), (2, 1, 4), (2, 3, 4)]


def array(shape, dtype=np.float32, seed=0):
    values = np.random.default_rng(seed).normal(size=shape) * 3
    return np.asarray(values).astype(dtype)


def close(actual, expected, rtol=3e-6, dtype=None, atol=1e-6):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == (expected.dtype if dtype is None else dtype)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


def exact(actual, expected, dtype=None):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == (expected.dtype if dtype is None else dtype)
    np.testing.assert_array_equal(actual, expected)
    assert actual.shape == expected.shape


def quiet(function, *args, **kwargs):
    with np.errstate(all="ignore"):
        return function(*args, **kwargs)


# -------------------------------------------------------------------- elementwise

UNARY = [
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "ceil",
    "cos",
    "cosh",
    "exp",
    "expm1",
    "floor",
    "isfinite",
    "isinf",
    "isnan",
    "log",
    "log10",
    "log1p",
    "log2",
    "logical_not",
    "negative",
    "positive",
    "round",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "tan",
    "tanh",
    "trunc",
    "reciprocal",
    "cbrt",
]


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unary_functions_are_numpys(name, dtype):
    x = NASTY.astype(dtype)
    close(getattr(jf, name)(x), quiet(getattr(np, name), x))


@pytest.mark.parametrize("name", ["abs", "negative", "sign", "square", "floor"])
def test_unary_functions_of_integers_keep_the_dtype(name):
    x = np.array([-3, 0, 7], np.int16)
    exact(getattr(jf, name)(x), getattr(np, name)(x).astype(np.int16))


BINARY = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "floor_divide",
    "remainder",
    "maximum",
    "minimum",
    "atan2",
    "hypot",
    "logaddexp",
    "copysign",
    "pow",
    "equal",
    "not_equal",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
    "logical_and",
    "logical_or",
    "logical_xor",
]


@pytest.mark.parametrize("name", BINARY)
def test_binary_functions_are_numpys_on_nasty_values(name):
    x, y = (v.ravel() for v in np.meshgrid(NASTY, NASTY))
    close(getattr(jf, name)(x, y), quiet(getattr(np, name), x, y), rtol=1e-5)


@pytest.mark.parametrize("name", ["add", "less", "maximum", "where"])
@pytest.mark.parametrize("a", SHAPES)
@pytest.mark.parametrize("b", [(), (1,), (3, 1), (4,)])
def test_broadcasting_is_numpys(name, a, b):
    x, y = array(a), array(b, seed=1)
    args = (x > 0, x, y) if name == "where" else (x, y)
    try:
        expected = getattr(np, name)(*args)
    except ValueError:
        with pytest.raises(ShapeError, match=name):
            getattr(jf, name)(*args)
        return
    exact(getattr(jf, name)(*args), expected)


def test_complex_functions():
    z = np.array([1 + 2j, -3j, 0, 2.5], np.complex64)
    for name in ("real", "imag", "conj", "abs", "exp", "sqrt", "sign", "isfinite"):
        close(getattr(jf, name)(z), getattr(np, name)(z))
    close(jf.complex(z.real, z.imag), z)
    exact(jf.real(z.real), z.real)
    exact(jf.imag(z.real), np.zeros(4, np.float32))


def test_where_and_clip():
    x = NASTY
    exact(jf.where(x > 0, x, 0), np.where(x > 0, x, np.float32(0)))
    exact(jf.clip(x, -1, 2), np.clip(x, -1, 2))
    exact(jf.clip(x, min=0.5), np.clip(x, 0.5, None))
    exact(jf.clip(x, max=0), np.clip(x, None, 0))
    exact(jf.clip(np.arange(5), 1, 3), np.clip(np.arange(5), 1, 3))
    with pytest.raises(DTypeError, match="min is float32"):
        jf.clip(np.arange(5), 0.5)


def test_astype():
    x = np.array([1.9, -1.9, 300.0, np.nan, np.inf], np.float32)
    exact(jf.astype(x, "int32"), [1, -1, 300, 0, 2**31 - 1], np.int32)
    exact(jf.astype(x[:3], "bool"), [True] * 3)
    assert jf.astype(x, "bfloat16").dtype == "bfloat16"
    t = jf.asarray(x)
    assert jf.astype(t, "float32") is t


def test_kinds_are_checked():
    for call in (
        lambda: jf.bitwise_and(jf.ones(2), 1),
        lambda: jf.negative(jf.asarray([True])),
        lambda: jf.less(jf.asarray([1j]), 0),
        lambda: jf.floor(jf.asarray([1j])),
        lambda: jf.signbit(jf.asarray([1])),
    ):
        with pytest.raises(DTypeError):
            call()


# ----------------------------------------------------------------------- creation


def test_creation_functions():
    exact(jf.zeros((2, 3)), np.zeros((2, 3), np.float32))
    exact(jf.ones(3, dtype="int8"), np.ones(3, np.int8))
    exact(jf.full((2,), 7), np.full((2,), 7))
    exact(jf.full((2,), 7.5), np.full((2,), 7.5, np.float32))
    exact(jf.full((), True), np.full((), True))
    exact(jf.full((2, 2), jf.asarray([1, 2])), np.full((2, 2), [1, 2]))
    x = jf.ones((2,), dtype="float64")
    assert jf.zeros_like(x).dtype == jf.empty_like(x).dtype == "float64"
    assert jf.ones_like(x, dtype="int32").dtype == "int32"
    exact(jf.full_like(x, 3), np.full(2, 3.0))
    with pytest.raises(ArgumentError, match="not negative"):
        jf.zeros((2, -1))
    with pytest.raises(TypeError, match="a shape is ints"):
        jf.zeros((2, 1.5))


def test_asarray():
    assert jf.asarray([1.0, 2]).dtype == "float32"
    assert jf.asarray([1, 2]).dtype == "int64"
    assert jf.asarray([True]).dtype == "bool"
    assert jf.asarray([]).dtype == "float32"
    assert jf.asarray(1j).dtype == "complex64"
    assert jf.asarray([np.float64(1.0)]).dtype == "float64"
    assert jf.asarray(np.ones(2)).dtype == "float64"
    assert jf.asarray([1, 2], dtype="float16").dtype == "float16"
    assert jf.asarray(0.1, dtype="float64").item() == 0.1
    exact(jf.asarray([jf.ones(2), [2.0, 3.0]]), [[1, 1], [2, 3]], np.float32)
    exact(jf.asarray([jf.asarray(1), 2.5]), [1, 2.5], np.float32)
    shared = np.ones(2)
    assert np.shares_memory(jf.asarray(shared, copy=False).numpy(), shared)


@pytest.mark.parametrize(
    "args", [(5,), (2, 7), (7, 2), (7, 2, -2), (0, 1, 0.25), (1.5, 4), (0, -3)]
)
def test_arange(args):
    expected = np.arange(*args)
    dtype = np.int64 if expected.dtype == np.int64 else np.float32
    exact(jf.arange(*args), expected.astype(dtype))


def test_arange_errors_and_dtypes():
    exact(jf.arange(3, dtype="float16"), np.arange(3, dtype=np.float16))
    with pytest.raises(ArgumentError, match="step"):
        jf.arange(0, 1, 0)


def test_linspace_eye_triangles_meshgrid():
    close(jf.linspace(-1, 2, 7), np.linspace(-1, 2, 7, dtype=np.float32))
    close(
        jf.linspace(0, 1, 4, endpoint=False),
        np.linspace(0, 1, 4, endpoint=False, dtype=np.float32),
    )
    close(
        jf.linspace(jf.asarray(1.0), jf.asarray(3.0), 5),
        np.linspace(1, 3, 5, dtype=np.float32),
    )
    assert jf.linspace(1, 2, 1).tolist() == [1.0]
    exact(jf.eye(3), np.eye(3, dtype=np.float32))
    exact(jf.eye(2, 4, k=1, dtype="int32"), np.eye(2, 4, k=1, dtype=np.int32))
    x = array((2, 3, 4))
    for k in (-1, 0, 2):
        exact(jf.tril(x, k=k), np.tril(x, k))
        exact(jf.triu(x, k=k), np.triu(x, k))
    a, b, c = np.arange(2), np.arange(3), np.arange(4)
    for indexing in ("xy", "ij"):
        expected = np.meshgrid(a, b, c, indexing=indexing)
        actual = jf.meshgrid(a, b, c, indexing=indexing)
        for p, q in zip(actual, expected, strict=True):
            exact(p, q)


# --------------------------------------------------------------------- reductions


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1)])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize(
    "name", ["sum", "prod", "mean", "var", "std", "max", "min", "any", "all"]
)
def test_reductions_are_numpys(name, shape, axis, keepdims):
    x = array(shape)
    try:
        if not shape and axis is not None:
            raise ValueError  # NumPy lets scalars have an axis; we do not
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy warns of the mean of nothing
            expected = getattr(np, name)(x, axis=axis, keepdims=keepdims)
    except (ValueError, IndexError):
        with pytest.raises(JitFlowError, match=name):
            getattr(jf, name)(x, axis=axis, keepdims=keepdims)
        return
    close(getattr(jf, name)(x, axis=axis, keepdims=keepdims), expected, rtol=1e-5)


def test_reductions_of_integers_and_bools():
    x = np.array([100, 100, 100], np.int8)
    exact(jf.sum(x), np.int64(300))
    exact(jf.sum(x.astype(np.uint8)), np.uint64(300))
    exact(jf.sum(x, dtype="int8"), np.int8(44))
    exact(jf.sum(x > 0), np.int64(3))
    exact(jf.max(x > 0), np.True_)
    exact(jf.count_nonzero(np.array([[0, 1], [2, 0]]), axis=0), np.array([1, 1]))
    assert jf.mean(x).dtype == "float32"


def test_extrema_propagate_nan_and_positions_are_first():
    x = np.array([[1, np.nan, 3], [3, 3, 1]], np.float32)
    exact(jf.max(x, axis=1), np.array([np.nan, 3], np.float32))
    exact(jf.argmax(x, axis=1), np.array([1, 0]))
    exact(jf.argmin(x[1], axis=0, keepdims=True), np.array([2]))
    exact(jf.argmax(x, keepdims=True), np.array([[1]]))
    with pytest.raises(ShapeError, match="empty"):
        jf.argmax(jf.zeros((0,)))


def test_variance_correction_and_accuracy():
    x = array((50,)) + np.float32(1e4)
    close(jf.var(x, correction=1), np.var(x, ddof=1), rtol=1e-4)
    z = np.array([1 + 1j, 2 - 1j], np.complex64)
    close(jf.var(z), np.var(z))


def test_cumulative_functions_and_diff():
    x = array((3, 4))
    for axis in (0, 1):
        close(jf.cumulative_sum(x, axis=axis), np.cumsum(x, axis))
        close(
            jf.cumulative_prod(x, axis=axis, include_initial=True),
            np.concatenate(
                [np.ones_like(x.take([0], axis)), np.cumprod(x, axis)], axis
            ),
        )
        close(jf.diff(x, axis=axis, n=2), np.diff(x, 2, axis))
    exact(jf.cumulative_sum(np.array([True, True])), np.array([1, 2]))
    with pytest.raises(ArgumentError, match="axis"):
        jf.cumulative_sum(x)


# ------------------------------------------------------------------- manipulation


def test_shape_functions():
    x = array((2, 3, 4))
    exact(jf.reshape(x, (4, -1)), x.reshape(4, -1))
    exact(jf.reshape(x, -1), x.ravel())
    exact(jf.squeeze(x[:, :1]), x[:, 0])
    exact(jf.squeeze(x[:1, :1], axis=1), x[:1, 0])
    exact(jf.expand_dims(x, (0, -1)), np.expand_dims(x, (0, -1)))
    exact(jf.permute_dims(x, (2, 0, 1)), x.transpose(2, 0, 1))
    exact(jf.moveaxis(x, (0, 1), (-1, 0)), np.moveaxis(x, (0, 1), (-1, 0)))
    exact(jf.swapaxes(x, 0, 2), x.swapaxes(0, 2))
    exact(jf.matrix_transpose(x), x.swapaxes(1, 2))
    exact(
        jf.broadcast_to(x[:, :1], (5, 2, 3, 4)), np.broadcast_to(x[:, :1], (5, 2, 3, 4))
    )
    for p, q in zip(
        jf.broadcast_arrays(x, x[0]), np.broadcast_arrays(x, x[0]), strict=True
    ):
        exact(p, q)
    for call in (
        lambda: jf.reshape(x, (5, -1)),
        lambda: jf.reshape(x, (5, 5)),
        lambda: jf.squeeze(x, axis=0),
        lambda: jf.permute_dims(x, (0, 0, 1)),
        lambda: jf.broadcast_to(x, (3, 4)),
        lambda: jf.expand_dims(x, 7),
    ):
        with pytest.raises(ShapeError):
            call()


def test_joining_and_splitting():
    x, y = array((2, 3)), array((2, 3), seed=1)
    exact(jf.concat([x, y], axis=1), np.concatenate([x, y], 1))
    exact(jf.concat([x, y], axis=None), np.concatenate([x, y], None))
    exact(
        jf.concat([x, np.ones((1, 3), np.int8)]),
        np.concatenate([x, np.ones((1, 3), np.float32)]),
    )
    exact(jf.stack([x, y], axis=-1), np.stack([x, y], -1))
    for p, q in zip(jf.unstack(x, axis=1), x.T, strict=True):
        exact(p, q)
    for parts in (3, [1], [1, 2], [-1], [5]):
        actual, expected = jf.split(x, parts, axis=1), np.split(x, parts, axis=1)
        for p, q in zip(actual, expected, strict=True):
            exact(p, q)
    with pytest.raises(ShapeError, match="differ"):
        jf.concat([x, array((3, 2))])
    with pytest.raises(ShapeError, match=r"\[1\]: float32\[3\]"):
        jf.stack([x[0, :2], x[0]])
    with pytest.raises(ShapeError, match="split"):
        jf.split(x, 2, axis=1)
    with pytest.raises(ArgumentError):
        jf.concat([])


def test_order_and_repetition():
    x = array((2, 3, 4))
    exact(jf.flip(x), np.flip(x))
    exact(jf.flip(x, axis=(0, -1)), np.flip(x, (0, -1)))
    for shift, axis in [(1, 0), (-5, 1), ((1, 2), (0, 2)), (7, None), (0, 1)]:
        exact(jf.roll(x, shift, axis=axis), np.roll(x, shift, axis))
    for times in (2, (2, 1), (1, 2, 3), (2, 1, 1, 1), (0,)):
        exact(jf.tile(x, times), np.tile(x, times))
    exact(jf.repeat(x, 3), np.repeat(x, 3))
    exact(jf.repeat(x, 2, axis=1), np.repeat(x, 2, 1))
    exact(jf.repeat(x, [1, 0, 2], axis=1), np.repeat(x, [1, 0, 2], 1))


@pytest.mark.parametrize("mode", ["constant", "reflect", "symmetric", "edge"])
@pytest.mark.parametrize("width", [1, (2, 0), ((1, 2), (0, 1))])
def test_pad(mode, width):
    x = array((3, 4))
    exact(jf.pad(x, width, mode), np.pad(x, width, mode))


def test_pad_constant_and_errors():
    x = np.arange(3)
    exact(jf.pad(x, 2, constant_values=7), np.pad(x, 2, constant_values=7))
    exact(jf.pad(x, 5, "reflect"), np.pad(x, 5, "reflect"))
    with pytest.raises(ArgumentError, match="empty"):
        jf.pad(x[:0], 3, "reflect")
    with pytest.raises(ArgumentError, match="mode"):
        jf.pad(x, 1, "wrong")
    with pytest.raises(ArgumentError, match="pad_width"):
        jf.pad(x, ((1, 2), (3, 4)))


# ----------------------------------------------------------------- linear algebra

MATMUL = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((6, 1, 2, 3), (5, 3, 4)),
    ((3,), (5, 3, 4)),
    ((5, 2, 3), (3,)),
    ((2, 0), (0, 4)),
    ((0, 3), (3, 4)),
]


@pytest.mark.parametrize(("a", "b"), MATMUL)
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.complex64])
def test_matmul_is_numpys(a, b, dtype):
    x, y = array(a, dtype), array(b, dtype, 1)
    close(jf.matmul(x, y), np.matmul(x, y), rtol=1e-5)
    close(jf.asarray(x) @ y, x @ y, rtol=1e-5)


def test_large_matmul_with_transposed_operands():
    x, y = array((70, 300)), array((70, 200), seed=1)
    close(jf.asarray(x).T @ jf.asarray(y), x.T @ y, rtol=1e-4, atol=1e-3)
    close(jf.tensordot(x, y, axes=((0,), (0,))), x.T @ y, rtol=1e-4, atol=1e-3)


def test_matmul_errors():
    with pytest.raises(ShapeError, match="3 != 4"):
        jf.matmul(jf.ones((2, 3)), jf.ones((4, 5)))
    with pytest.raises(ShapeError, match="scalar"):
        jf.matmul(jf.ones((2, 3)), 2.0)
    with pytest.raises(DTypeError):
        jf.matmul(jf.asarray([[True]]), jf.asarray([[True]]))


def test_tensordot_vecdot_outer_trace():
    x, y = array((2, 3, 4)), array((4, 3, 5), seed=1)
    close(jf.tensordot(x, y, axes=1), np.tensordot(x, y, 1))
    close(jf.tensordot(x, y, axes=0), np.tensordot(x, y, 0))
    close(
        jf.tensordot(x, y, axes=((1, 2), (1, 0))),
        np.tensordot(x, y, ((1, 2), (1, 0))),
        rtol=1e-5,
    )
    close(jf.vecdot(x, x[0]), np.vecdot(x, x[0]), rtol=1e-5)
    z = np.array([1 + 2j, 3j], np.complex64)
    close(jf.vecdot(z, z), np.vecdot(z, z))
    close(jf.outer(x[0, 0], x[0, 1]), np.outer(x[0, 0], x[0, 1]))
    for offset in (-1, 0, 1, 5):
        expected = np.diagonal(x, offset, 1, 2)
        exact(jf.diagonal(x, offset=offset), expected)
        close(jf.trace(x, offset=offset), expected.sum(-1))
    with pytest.raises(ShapeError, match="tensordot"):
        jf.tensordot(x, y, axes=2)


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]),
        ("bij,bjk->bik", [(5, 2, 3), (5, 3, 4)]),
        ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]),
        ("...ij,...jk->...ik", [(5, 2, 3), (5, 3, 4)]),
        ("abc,cd,de->abe", [(2, 3, 4), (4, 5), (5, 6)]),
        ("ij->ji", [(2, 3)]),
        ("ij->", [(2, 3)]),
        ("ij->j", [(2, 3)]),
        ("ij,ij->ij", [(2, 3), (2, 3)]),
        ("i,j->ij", [(2,), (3,)]),
        ("ij,jk", [(2, 3), (3, 4)]),
        ("ijk,ilm->jm", [(2, 3, 4), (2, 5, 6)]),
    ],
)
def test_einsum_is_numpys(text, shapes):
    xs = [array(s, seed=i) for i, s in enumerate(shapes)]
    close(jf.einsum(text, *xs), np.einsum(text, *xs), rtol=1e-5)


def test_einsum_errors():
    x = jf.ones((2, 3))
    for text, xs in [("ij,jk->ik", [x]), ("i->i", [x]), ("ij->k", [x])]:
        with pytest.raises(ArgumentError, match="einsum"):
            jf.einsum(text, *xs)
    for text, xs in [("ij,jk->ik", [x, x]), ("jj->j", [x])]:
        with pytest.raises(ShapeError, match="label 'j'"):
            jf.einsum(text, *xs)


# -------------------------------------------------------- searching, sorting, sets


def test_take():
    x = array((3, 4, 5))
    for axis in (0, 1, -1):
        exact(jf.take(x, np.array([2, 0]), axis=axis), x.take([2, 0], axis))
        exact(jf.take(x, np.array([[1], [-1]]), axis=axis), x.take([[1], [-1]], axis))
    exact(jf.take(x[0, 0], 3), x[0, 0].take(3))
    index = np.argsort(x, axis=1)
    exact(jf.take_along_axis(x, index, axis=1), np.take_along_axis(x, index, 1))
    exact(
        jf.take_along_axis(x, index[:1, :2], axis=1),
        np.take_along_axis(x, np.broadcast_to(index[:1, :2], (3, 2, 5)), 1),
    )
    with pytest.raises(IndexError, match="out of bounds"):
        jf.take(x, 9, axis=0)
    with pytest.raises(DTypeError, match="integers"):
        jf.take(x, 1.0, axis=0)


def test_sorting():
    x = np.array([[3, np.nan, 1, 1], [-np.inf, 2, 0, np.inf]], np.float32)
    for axis in (0, 1):
        exact(jf.sort(x, axis=axis), np.sort(x, axis))
        exact(jf.argsort(x, axis=axis), np.argsort(x, axis, kind="stable"))
    ties = np.array([1, 0, 1, 0])
    exact(jf.argsort(ties, descending=True), np.array([0, 2, 1, 3]))
    exact(jf.sort(ties, descending=True), np.array([1, 1, 0, 0]))
    values, places = jf.top_k(np.array([[1.0, 3.0, 2.0]]), 2)
    exact(values, np.array([[3.0, 2.0]]))
    exact(places, np.array([[1, 2]]))
    with pytest.raises(ArgumentError, match="top_k"):
        jf.top_k(ties, 9)


def test_searching_and_sets():
    x = np.array([1.0, 2.0, 2.0, 5.0])
    for side in ("left", "right"):
        queries = np.array([[0.0, 2.0], [3.0, 9.0]])
        exact(jf.searchsorted(x, queries, side=side), np.searchsorted(x, queries, side))
    y = np.array([[0, 3], [3, 0]])
    for p, q in zip(jf.nonzero(y), np.nonzero(y), strict=True):
        exact(p, q)
    exact(jf.unique_values(y), np.array([0, 3]))
    assert jf.unique_counts(y).counts.tolist() == [2, 2]
    everything = jf.unique_all(y)
    exact(jf.take(everything.values, everything.inverse_indices), y)
    exact(jf.unique_inverse(y).inverse_indices, np.unique_inverse(y).inverse_indices)
    exact(jf.isin(y, [3, 7]), np.isin(y, [3, 7]))
    exact(jf.isin(y, [3, 7], invert=True), np.isin(y, [3, 7], invert=True))


# --------------------------------------------------------------------- data types


def test_data_type_functions():
    assert jf.finfo("float32").eps == float(np.finfo(np.float32).eps)
    assert jf.finfo(jf.bfloat16).bits == 16
    assert jf.finfo(jf.complex64).dtype == "float32"
    assert jf.iinfo("int8").max == 127
    assert jf.isdtype("int8", "integral")
    assert jf.isdtype(jf.float32, ("bool", "real floating"))
    assert not jf.isdtype(jf.float32, jf.float64)
    assert jf.can_cast("int8", "int16")
    assert not jf.can_cast("float64", "float32")
    assert jf.result_type(jf.ones(2), 1.0) == "float32"
    assert jf.result_type("int32", 1.0) == "float32"
    assert jf.result_type("int32", "float32") == "float64"
    for call in (lambda: jf.finfo("int8"), lambda: jf.iinfo("float32")):
        with pytest.raises(DTypeError):
            call()


def test_namespace_is_complete():
    """Every name in __all__ exists, and the constants are right."""
    assert all(hasattr(jf, name) for name in jf.__all__)
    assert (jf.pi, jf.e, jf.inf) == (math.pi, math.e, math.inf)
    assert math.isnan(jf.nan)
    assert jf.newaxis is None


def test_symbolic_dimensions_in_shape_arithmetic():
    """Shape helpers accept symbols, where nothing needs the number."""
    batch = symbol("B")
    assert jf.ops.coerce.broadcast_shapes((batch, 3), (1, 3), ()) == (batch, 3)
    with pytest.raises(ShapeError, match="B != 3"):
        jf.ops.coerce.broadcast_shapes((batch,), (3,))


# ------------------------------------------------------------------------ tracing

TRACED = {
    "arithmetic": lambda x: (x + 1) * 2 / x - 3 // (x + 9) + x % 0.7 + x**2,
    "comparison": lambda x: jf.where((x > 0) & (x != 1), x, 0),
    "mathematics": lambda x: jf.exp(x) + jf.log1p(jf.abs(x)) + jf.sign(x) + jf.log2(x),
    "rounding": lambda x: jf.floor(x) + jf.ceil(x) + jf.round(x) + jf.trunc(x),
    "signs": lambda x: jf.copysign(x, -x) + jf.astype(jf.signbit(x), "float32"),
    "clip": lambda x: jf.clip(x, -1, 1) + jf.hypot(x, 2.0) + jf.logaddexp(x, 0.0),
    "mean": lambda x: jf.mean(x, axis=0) + jf.var(x, correction=1) + jf.std(x),
    "sums": lambda x: jf.sum(x) + jf.prod(x, axis=1, keepdims=True) + jf.max(x),
    "integers": lambda x: jf.sum(jf.astype(x, "int32")) // 3 + jf.argmax(x, axis=1),
    "any": lambda x: jf.any(x > 2, axis=1) | jf.all(x < 2, axis=1),
    "cumulative": lambda x: jf.cumulative_sum(x, axis=1, include_initial=True),
    "reshape": lambda x: jf.reshape(x, (-1, 2)) + jf.expand_dims(jf.ones(2), 0),
    "transpose": lambda x: jf.matrix_transpose(x) @ x + x.T @ x,
    "joining": lambda x: jf.concat([x, jf.flip(x), 2 * x], axis=1),
    "stack": lambda x: jf.stack([x, x * x], axis=1),
    "slices": lambda x: x[:, 1:3] + x[:, ::-2] + x[:, -1:] + x[:, None, 0],
    "rows": lambda x: x[1:] - x[:-1],
    "last_row": lambda x: x[-1] * x[0],
    "padding": lambda x: jf.pad(x, ((1, 0), (0, 2))) + 1,
    "gather": lambda x: x[:, [3, 0, 0]] + jf.take(x, [1, 2, -1], axis=1),
    "along": lambda x: jf.take_along_axis(x, jf.argsort(x, axis=1), axis=1),
    "sorting": lambda x: jf.sort(x, axis=1, descending=True),
    "top": lambda x: jf.top_k(x, 2)[0],
    "tile": lambda x: jf.tile(x, (1, 2)) + jf.repeat(x, 2, axis=1),
    "roll": lambda x: jf.roll(x, 1, axis=1),
    "triangle": lambda x: jf.tril(x.T @ x) + jf.eye(4),
    "einsum": lambda x: jf.einsum("bi,bj->ij", x, x) + jf.outer(x[0], x[1]),
    "creation": lambda x: jf.zeros_like(x) + jf.arange(4) + jf.linspace(0, 1, 4),
    "size": lambda x: x / jf.ops.size_of(x, 0, "float32") + x * x.shape[0],
    "constants": lambda x: x * jf.asarray([1.0, 2.0, 3.0, 4.0]) + np.float32(3),
    "split": lambda x: jf.split(x, 2, axis=1)[1] + jf.unstack(x, axis=1)[0][:, None],
    "one_hot": lambda x: jf.nn.one_hot(jf.argmax(x, axis=1), 4),
    "softmax": lambda x: jf.nn.softmax(x) + jf.nn.log_softmax(x, axis=0),
    "gelu": lambda x: jf.nn.gelu(x) + jf.nn.gelu(x, approximate=True),
    "random": lambda x: x + jf.random.normal(jf.random.key(1), x.shape),
    "isin": lambda x: jf.isin(jf.astype(x, "int32"), [0, 1]),
    "gradient": jf.grad(lambda x: jf.sum(jf.nn.softmax(x[:, 1:]) * jf.mean(x**3))),
    "jvp": lambda x: jf.jvp(lambda t: jf.tanh(t) * t[:, :1], (x,), (x,))[1],
}


def trace_and_run(f, x, type_):
    context = TraceContext("f")
    with context.active():
        result = f(context.parameter(type_, "x"))
    graph = context.build([result])
    verify(graph)
    captured = [what.numpy() for what, _ in context.captures]
    # Behind the result come the variables that were written, such as index checks.
    return interpret(graph, x, *captured)[0]


@pytest.mark.parametrize("name", TRACED)
@pytest.mark.parametrize("rows", [4, symbol("B")], ids=str)
def test_traced_functions_are_the_eager_ones(name, rows):
    """With a symbolic dimension too: nothing may need the number of rows."""
    f = TRACED[name]
    x = array((4, 4))
    expected = np.asarray(f(jf.asarray(x)))
    actual = trace_and_run(f, x, TensorType(float32, (rows, 4)))
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_nothing_is_computed_while_tracing():
    """Everything is staged, also what does not depend on an argument."""
    context = TraceContext("f")
    with context.active():
        x = jf.ones((2, 3)) * 2 + jf.arange(3)
    assert isinstance(x, TracedTensor)
    names = [n.op.name for n in context.build([x]).nodes]
    assert "iota" in names
    assert "multiply" in names


def test_values_of_traced_tensors_are_refused():
    context = TraceContext("f")
    with context.active():
        x = jf.ones((2, 3)) * 2
        for use in (bool, int, float, complex, operator.index, np.asarray):
            with pytest.raises(TypeError, match="JF210"):
                use(x)
        with pytest.raises(TracerError, match="made by multiply"):
            x.numpy()
        with pytest.raises(TracerError, match=r"jf\.cond"):
            bool(x)
        with pytest.raises(TracerError, match="nonzero"):
            jf.nonzero(x)
        with pytest.raises(IndexingError, match="mask"):
            x[x > 1]
        assert [row.shape for row in x] == [(3,), (3,)]
        assert "traced float32[2,3]" in repr(x)
    with pytest.raises(TracerError, match="outside its trace"):
        x + 1
