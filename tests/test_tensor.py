"""Tensors and variables: operators, promotion, indexing, conversions, errors."""

from __future__ import annotations

import copy
import operator
import pickle
import sys
import threading
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jitflow as jf
from compiler.ir.types import ALL_DTYPES
from jitflow.errors import (
    ArgumentTypeError,
    DTypeError,
    IndexingError,
    JitFlowError,
    ScalarRangeError,
    ShapeError,
    VariableError,
)
from jitflow.tensor import floating_errors

NASTY = np.array(
    [0.0, -0.0, 1.0, -1.5, np.inf, -np.inf, np.nan, 1e-45, 3e38, 0.1], np.float32
)
ALL = [d.long for d in ALL_DTYPES if d.long != "bfloat16"]


def same(actual, expected) -> None:
    """Equal in dtype, shape and bits; NaN equals NaN, -0 does not equal 0."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    np.testing.assert_array_equal(actual, expected)
    if actual.dtype.kind == "f":
        known = ~np.isnan(expected)
        np.testing.assert_array_equal(
            np.signbit(actual)[known], np.signbit(expected)[known]
        )


# ---------------------------------------------------------------------- operators


ARITHMETIC = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
]
COMPARISONS = [
    operator.eq,
    operator.ne,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
]


@pytest.mark.parametrize("op", ARITHMETIC + COMPARISONS)
def test_operators_on_nasty_values_are_numpys(op):
    x, y = np.meshgrid(NASTY, NASTY)
    with np.errstate(all="ignore"):
        expected = op(x, y)
    actual = np.asarray(op(jf.asarray(x), jf.asarray(y)))
    if op is operator.floordiv:  # NumPy: inf // 2 is NaN, as Python's; signs of NaN
        np.testing.assert_array_equal(actual, expected)
    else:
        same(actual, expected)


@pytest.mark.parametrize("op", ARITHMETIC + COMPARISONS)
def test_operators_on_integers_are_numpys(op):
    x, y = np.meshgrid(np.arange(-4, 5), np.arange(-4, 5))
    with np.errstate(all="ignore"):
        expected = op(x, y)
    if op is operator.truediv:
        expected = expected.astype(np.float32)
    same(op(jf.asarray(x), jf.asarray(y)), expected)


@pytest.mark.parametrize("op", ARITHMETIC + COMPARISONS)
@pytest.mark.parametrize("scalar", [2, -3, 0.5, -2.0])
def test_python_scalars_are_weak_on_both_sides(op, scalar):
    x = np.array([1.5, -2.0, 3.0], np.float32)
    t = jf.asarray(x)
    same(op(t, scalar), op(x, np.float32(scalar)))
    same(op(scalar, t), op(np.float32(scalar), x))


@pytest.mark.parametrize(
    ("dtype", "scalar", "expected"),
    [
        ("bool", True, "bool"),
        ("bool", 1, "int64"),
        ("bool", 1.0, "float32"),
        ("int8", 1, "int8"),
        ("int8", True, "int8"),
        ("int8", 1.0, "float32"),
        ("uint64", 1, "uint64"),
        ("int64", 1.0, "float32"),
        ("int64", 1j, "complex64"),
        ("float16", 1.0, "float16"),
        ("bfloat16", 1.0, "bfloat16"),
        ("bfloat16", 1, "bfloat16"),
        ("float32", 1.0, "float32"),
        ("float32", 1, "float32"),
        ("float32", 1j, "complex64"),
        ("float64", 1.0, "float64"),
        ("float64", 1j, "complex128"),
        ("complex64", 1.0, "complex64"),
    ],
)
def test_weak_scalar_promotion(dtype, scalar, expected):
    x = jf.zeros((2,), dtype=dtype)
    for result in (x + scalar, scalar + x, x * scalar, jf.where(x, x, scalar)):
        assert result.dtype == expected


@pytest.mark.parametrize("a", ALL)
@pytest.mark.parametrize("b", ALL)
def test_tensors_promote_as_in_numpy(a, b):
    expected = np.promote_types(a, b)
    assert (jf.ones((1,), dtype=a) * jf.ones((1,), dtype=b)).dtype == expected
    assert jf.result_type(a, b) == expected


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ("bool", "bfloat16"),
        ("int8", "bfloat16"),
        ("float16", "float32"),
        ("int32", "float64"),
        ("float32", "float32"),
        ("complex64", "complex64"),
    ],
)
def test_bfloat16_promotes(other, expected):
    x = jf.ones((2,), dtype="bfloat16") + jf.ones((2,), dtype=other)
    assert x.dtype == expected


def test_numpy_scalars_are_strong():
    x = jf.ones((2,))
    assert (x * np.float64(2)).dtype == "float64"
    assert (np.float64(2) * x).dtype == "float64"
    assert (x * np.float32(2)).dtype == "float32"
    assert isinstance(np.ones(2) + x, jf.Tensor)


def test_division_and_mathematics_of_integers_give_the_default_float():
    x = jf.asarray([1, 2, 4])
    for result in (x / x, x / 2, jf.sqrt(x), jf.mean(x), jf.exp(jf.asarray(True))):
        assert result.dtype == "float32"
    same(x / 8, np.array([0.125, 0.25, 0.5], np.float32))


def test_bools_add_and_multiply_logically():
    x, y = np.array([True, True, False]), np.array([True, False, False])
    same(jf.asarray(x) + jf.asarray(y), x | y)
    same(jf.add(x, y), x | y)
    same(jf.asarray(x) * jf.asarray(y), x & y)
    with pytest.raises(DTypeError, match="subtract"):
        jf.asarray(x) - jf.asarray(y)


def test_bitwise_operators():
    x, y = np.array([12, -7, 0]), np.array([10, 3, 5])
    t, u = jf.asarray(x), jf.asarray(y)
    for op in (operator.and_, operator.or_, operator.xor, operator.lshift):
        same(op(t, u), op(x, y))
        same(op(3, u), op(3, y))
    same(t >> 1, x >> 1)
    same(1 << u, 1 << y)
    same(~t, ~x)
    same(jf.asarray(x.astype(np.uint8)) >> 1, x.astype(np.uint8) >> 1)


def test_unary_operators_and_powers():
    x = np.array([1.5, -2.0, 0.0], np.float32)
    t = jf.asarray(x)
    same(-t, -x)
    same(+t, x)
    same(abs(t), abs(x))
    same(t**2, x**2)
    same(t**0, x**0)
    same(2**t, np.float32(2) ** x)
    same(jf.asarray([2, 3]) ** 3, np.array([8, 27]))
    with pytest.raises(JitFlowError, match="negative power"):
        jf.asarray([2, 3]) ** -1


def test_operators_with_foreign_types_are_not_implemented():
    with pytest.raises(TypeError, match="unsupported operand"):
        jf.ones(2) + "a"
    assert (jf.ones(2) == "a") is False
    assert (jf.ones(2) != "a") is True


def test_reflected_operators_of_other_classes_are_used():
    class Other:
        def __radd__(self, x):
            return "mine"

    assert jf.ones(2) + Other() == "mine"


def test_out_of_range_python_integers_are_refused():
    x = jf.ones((2,), dtype="int8")
    with pytest.raises(ScalarRangeError, match="300 does not fit int8"):
        x + 300
    with pytest.raises(OverflowError):
        jf.asarray(300, dtype="uint8")


def test_fast_path_costs_no_correctness_when_warnings_are_errors():
    x = jf.asarray(np.array([3e38, 0.0], np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(np.asarray(x + x), [np.inf, 0])
        np.testing.assert_array_equal(np.asarray(x / 0.0), [np.inf, np.nan])
        np.testing.assert_array_equal(np.asarray(jf.log(x))[1], -np.inf)
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(np.asarray(x + x), [np.inf, 0])
        np.testing.assert_array_equal(np.asarray(jf.log(x))[1], -np.inf)


def test_users_keep_their_numpy_warnings():
    settings_before = np.geterr()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        jf.log(jf.zeros(2))
        jf.zeros(2) / 0
        jf.ones(2) * 3e38 * 3e38
        jf.mean(jf.zeros((0,)))
    assert caught == []
    assert np.geterr() == settings_before
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        np.log(np.zeros(2))


def test_both_ways_of_being_silent_are_silent_and_undone():
    errstate = floating_errors._enter_errstate, floating_errors._leave_errstate
    for enter, leave in (errstate, (floating_errors.enter, floating_errors.leave)):
        before = np.geterr()
        token = enter()
        assert set(np.geterr().values()) == {"ignore"}
        leave(token)
        assert np.geterr() == before


# ----------------------------------------------------------------------- indexing

BASIC = [
    0,
    -1,
    (1, 2),
    (slice(1, 3), slice(None, None, 2)),
    (slice(None, None, -1),),
    (slice(3, 0, -2), -1),
    (Ellipsis, 0),
    (0, Ellipsis, slice(1, 2)),
    (None, slice(None), None, 1),
    (),
    Ellipsis,
    (slice(2, 1),),
    (slice(-100, 100),),
    (slice(None), slice(None), slice(-2, None)),
]


@pytest.mark.parametrize("key", BASIC)
def test_basic_indexing_is_numpys_eagerly_and_on_a_tape(key):
    x = np.arange(60, dtype=np.float32).reshape(4, 3, 5)
    t = jf.asarray(x)
    same(t[key], x[key])
    with jf.GradientTape() as tape:
        tape.watch(t)
        y = t[key]
    same(y, x[key])
    expected = np.zeros_like(x)
    expected[key] = 1
    same(tape.gradient(y, t), expected)


def _slices():
    bounds = st.none() | st.integers(-7, 7)
    step = st.none() | st.integers(-3, 3).filter(bool)
    return st.builds(slice, bounds, bounds, step)


@settings(max_examples=60, deadline=None)
@given(st.tuples(_slices(), st.integers(-3, 2) | _slices() | st.none(), _slices()))
def test_any_slices_on_a_tape(key):
    x = np.arange(4 * 3 * 5 * 2).reshape(4, 3, 5, 2).astype(np.float32)
    t = jf.asarray(x)
    with jf.GradientTape() as tape:
        tape.watch(t)
        y = t[key]
    same(y, x[key])


ADVANCED = [
    [0, 2, 2],
    (np.array([[0, 1], [3, -1]]),),
    (slice(None), [2, 0]),
    ([0, 1], [2, 0]),
    ([0, 1], slice(None), [2, 0]),
    (slice(None), [0, 1], [2, 0]),
    (0, [1, 2]),
    (slice(1, 3), 0, [4, 0, 1]),
    (None, [1], slice(None, None, -1)),
    (np.array([[1], [2]]), np.array([0, 2])),
    [],
]


@pytest.mark.parametrize("key", ADVANCED, ids=str)
def test_integer_tensors_index_like_numpy(key):
    x = np.arange(60, dtype=np.float32).reshape(4, 3, 5)
    same(jf.asarray(x)[key], x[np.array([], int) if key == [] else key])


def test_bool_tensors_index_eagerly():
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    mask = x % 3 == 0
    same(jf.asarray(x)[jf.asarray(mask)], x[mask])
    same(jf.asarray(x)[mask[:, 0]], x[mask[:, 0]])
    same(jf.asarray(x)[:, mask[0]], x[:, mask[0]])
    with pytest.raises(IndexingError, match="mask"):
        jf.asarray(x)[jf.asarray([True, False])]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (4, "out of bounds"),
        (-5, "out of bounds"),
        ((0, 0, 0), "indices"),
        ([0, 9], "out of bounds"),
        (1.5, "float"),
        (True, "bool"),
        ((Ellipsis, Ellipsis), "single ellipsis"),
        (slice(None, None, 0), "step"),
        (np.array([0.5]), "float64"),
    ],
    ids=str,
)
def test_bad_indices_are_explained(key, words):
    x = jf.ones((4, 3))
    with pytest.raises(IndexError, match=words):
        x[key]
    with jf.GradientTape() as tape:
        tape.watch(x)
        with pytest.raises(IndexError, match=words):
            x[key]


# -------------------------------------------------------------------- conversions


def test_attributes():
    x = jf.ones((2, 3))
    assert (x.shape, x.ndim, x.size, len(x), x.device) == ((2, 3), 2, 6, 2, "cpu")
    assert x.T.shape == (3, 2)
    assert jf.ones((4, 2, 3)).mT.shape == (4, 3, 2)
    with pytest.raises(ShapeError, match="rank 3"):
        jf.ones((4, 2, 3)).T  # noqa: B018
    assert x.to_device("cpu") is x
    assert x.__array_namespace__() is jf
    with pytest.raises(JitFlowError):
        x.__array_namespace__(api_version="1999.01")


def test_scalar_conversions():
    assert int(jf.asarray(3)) == 3
    assert float(jf.asarray(2.5)) == 2.5
    assert complex(jf.asarray(1j)) == 1j
    assert bool(jf.asarray(True)) is True
    assert [10, 20][jf.asarray(1)] == 20
    assert jf.asarray([[7.0]]).item() == 7.0
    assert f"{jf.asarray(1.25):.1f}" == "1.2"
    assert jf.asarray([[1, 2]]).tolist() == [[1, 2]]
    with pytest.raises(ValueError, match="ambiguous"):
        bool(jf.ones(2))
    with pytest.raises(TypeError):
        len(jf.asarray(1.0))


def test_iteration_and_membership():
    rows = list(jf.asarray([[1, 2], [3, 4]]))
    assert [r.tolist() for r in rows] == [[1, 2], [3, 4]]
    a, b = jf.asarray([5.0, 6.0])
    assert (float(a), float(b)) == (5.0, 6.0)
    assert 5.0 in jf.asarray([5.0, 6.0])
    with pytest.raises(JitFlowError, match="rank 0"):
        iter(jf.asarray(1.0))


def test_numpy_views_are_read_only_and_arrays_are_copied_in():
    source = np.arange(3.0)
    x = jf.asarray(source)
    source[0] = 99
    assert x.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="read-only"):
        x.numpy()[0] = 1
    assert x.dtype == "float64"
    assert np.asarray(x, dtype=np.float32).dtype == np.float32
    assert np.sin(x).dtype == np.float64


def test_dlpack_goes_both_ways():
    x = jf.asarray(np.arange(6.0).reshape(2, 3))
    same(np.from_dlpack(x), np.arange(6.0).reshape(2, 3))
    back = jf.from_dlpack(np.arange(4))
    assert isinstance(back, jf.Tensor)
    assert back.tolist() == [0, 1, 2, 3]
    assert x.__dlpack_device__() == (1, 0)


def test_pickle_and_copy():
    x = jf.asarray([1.0, 2.0])
    assert pickle.loads(pickle.dumps(x)).tolist() == [1, 2]
    assert copy.deepcopy(x) is x
    v = jf.Variable([1.0, 2.0], name="w", trainable=False)
    twin = copy.deepcopy(v)
    v.assign([5.0, 6.0])
    assert twin.numpy().tolist() == [1, 2]
    assert (twin.name, twin.trainable) == ("w", False)


def test_repr_shows_values_dtype_and_shape():
    assert repr(jf.asarray([1.0, 2.0])) == (
        "Tensor([1., 2.], shape=(2,), dtype=float32)"
    )
    text = repr(jf.Variable(3, name="step", trainable=False))
    assert text == "Variable(3, shape=(), dtype=int64, name='step', frozen)"


def test_dtypes_compare_and_convert():
    assert jf.float32 == "float32" == jf.ones(1).dtype
    assert jf.float32 == np.float32
    assert jf.float32 == np.dtype("f4")
    assert jf.float32 != jf.float64
    assert jf.float32 != None  # noqa: E711
    assert jf.bool == "bool"
    assert str(jf.bfloat16) == "bfloat16"
    assert np.zeros(2, jf.int8).dtype == np.int8
    assert hash(jf.float32) == hash(jf.ones(1).dtype)
    assert jf.zeros(2, dtype=int).dtype == "int64"
    assert jf.zeros(2, dtype=np.float16).dtype == "float16"
    with pytest.raises(DTypeError, match="unknown dtype"):
        jf.zeros(2, dtype="float12")


def test_default_dtype_setting():
    try:
        jf.set_default_dtype("float64")
        assert jf.ones(2).dtype == jf.asarray(1.5).dtype == "float64"
        assert (jf.asarray([1, 2]) / 2).dtype == "float64"
        assert (jf.ones(2, dtype="float32") * 1.5).dtype == "float32"
    finally:
        jf.set_default_dtype("float32")
    with pytest.raises(DTypeError):
        jf.set_default_dtype("int32")


# ---------------------------------------------------------------------- variables


def test_variables_work_in_every_op():
    v = jf.Variable([1.0, 2.0])
    same(v + v, np.array([2, 4], np.float32))
    same(2 * v, np.array([2, 4], np.float32))
    same(jf.exp(v), np.exp(np.array([1, 2], np.float32)))
    same(v[1], np.float32(2))
    assert (v.shape, v.dtype, len(v)) == ((2,), "float32", 2)
    assert float(jf.sum(v)) == 3.0


def test_assignments():
    v = jf.Variable(np.zeros((2, 2), np.float32))
    before = v.value
    assert v.assign(jf.ones((2, 2))) is v
    v.assign_add(1.0)
    v.assign_sub([[1.0, 0.0], [0.0, 0.5]])
    same(v.value, np.array([[1, 2], [2, 1.5]], np.float32))
    same(before, np.zeros((2, 2), np.float32))


def test_bad_assignments_are_explained():
    v = jf.Variable([1.0, 2.0], name="w")
    with pytest.raises(VariableError, match=r"'w' has shape \(2,\).*\(3,\)"):
        v.assign([1.0, 2.0, 3.0])
    with pytest.raises(VariableError, match="lose information"):
        jf.Variable(1).assign(1.5)
    v.assign(np.array([1, 2]))  # integers fit
    assert v.dtype == "float32"


def test_variable_buffers_are_private():
    source = np.ones(3, np.float32)
    t = jf.asarray(source)
    v = jf.Variable(t)
    view = jf.Variable(jf.asarray(np.ones((4, 4)))[1:3, ::2])
    for variable in (v, view):
        assert variable._data.flags.c_contiguous
        assert variable._data.flags.writeable
        assert variable._data.flags.owndata
    counts = [sys.getrefcount(view._data)]
    held = view.value
    counts.append(sys.getrefcount(view._data))
    del held
    counts.append(sys.getrefcount(view._data))
    assert counts == [counts[0], counts[0] + 1, counts[0]]
    v.numpy()[0] = 5  # a copy
    assert v.numpy()[0] == 1


def test_variable_initial_values():
    assert jf.Variable(lambda: jf.ones((2,))).shape == (2,)
    assert jf.Variable(1.5).dtype == "float32"
    assert jf.Variable(1, dtype="float16").dtype == "float16"
    assert jf.Variable(np.float64(1)).dtype == "float64"


# ------------------------------------------------------------------------- errors


def test_errors_show_code_line_caret_operands_and_fix():
    a, b = jf.ones((3, 4)), jf.ones((5, 6))
    with pytest.raises(ShapeError) as caught:
        jf.matmul(a, b)
    text = str(caught.value)
    assert text.startswith("JF203 ShapeError: matmul needs equal inner dimensions: 4")
    assert "test_tensor.py:" in text
    lines = text.splitlines()
    source = next(i for i, line in enumerate(lines) if "jf.matmul(a, b)" in line)
    start = lines[source].index("jf.matmul(a, b)")
    assert lines[source + 1] == " " * start + "^" * len("jf.matmul(a, b)")
    assert "x1: float32[3,4]   x2: float32[5,6]" in text
    assert "fix:" in text


def test_errors_are_also_builtin_exceptions():
    with pytest.raises(ValueError, match="do not broadcast"):
        jf.ones(2) + jf.ones(3)
    with pytest.raises(TypeError):
        jf.asarray(object())
    with pytest.raises(ArgumentTypeError, match="x2"):
        jf.add(jf.ones(2), object())
    with pytest.raises(ShapeError, match="ragged"):
        jf.asarray([[1.0], [1.0, 2.0]])
    with pytest.raises(DTypeError, match="<U1 cannot be tensors"):
        jf.asarray(np.array(["a"]))


def test_threads_do_not_share_tapes():
    results = {}

    def work(scale):
        v = jf.Variable(2.0)
        with jf.GradientTape() as tape:
            y = v * v * scale
        results[scale] = float(tape.gradient(y, v))

    threads = [threading.Thread(target=work, args=(s,)) for s in (1.0, 2.0, 3.0)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == {1.0: 4.0, 2.0: 8.0, 3.0: 12.0}


def test_arrays_in_foreign_byte_order_are_converted():
    x = jf.asarray(np.array([1.0, 2.0], ">f4"))
    same(x + x, np.array([2, 4], np.float32))
