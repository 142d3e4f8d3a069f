"""Symbolic dimensions and tensor types."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.errors import TypeInferenceError
from compiler.ir import types as t
from compiler.ir.dims import (
    Dim,
    concrete,
    exact_div,
    parse_dim,
    size_of,
    substitute,
    symbol,
    symbols_of,
)
from compiler.ir.types import TensorType, dtype_of, parse_type, type_of_array

A, B = symbol("A"), symbol("B")

dims = st.recursive(
    st.one_of(st.integers(-9, 9), st.sampled_from([A, B, symbol("n_1")])),
    lambda inner: st.tuples(st.sampled_from("+-*"), inner, inner).map(
        lambda e: OPERATORS[e[0]](e[1], e[2])
    ),
    max_leaves=6,
)
OPERATORS: dict[str, Callable[[Dim, Dim], Dim]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
}
VALUES = {"A": 3, "B": 5, "n_1": 7}


@given(dims, dims, st.sampled_from("+-*"))
def test_arithmetic_agrees_with_integers(a: Dim, b: Dim, op: str) -> None:
    combine = OPERATORS[op]
    expected = combine(concrete(a, VALUES), concrete(b, VALUES))
    assert concrete(combine(a, b), VALUES) == expected


@given(dims, dims)
def test_equal_polynomials_are_equal(a: Dim, b: Dim) -> None:
    square = (a + b) * (a + b)
    expanded = a * a + 2 * a * b + b * b
    assert square == expanded
    assert hash(square) == hash(expanded)
    assert a - a == 0


@given(dims)
def test_dim_text_round_trip(dim: Dim) -> None:
    back = parse_dim(str(dim))
    assert back == dim
    assert type(back) is type(dim)


@given(dims, dims)
def test_exact_division_undoes_multiplication(a: Dim, b: Dim) -> None:
    quotient = exact_div(a * b, b)
    if quotient is not None:
        assert quotient * b == a * b


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (6 * B, 2, 3 * B),
        (6 * B + 3, 2, None),
        (A * B, B, A),
        (A + B, A + B, 1),
        (A * B, A + B, None),
        (B, 0, None),
        (7, 2, None),
        (0, 3, 0),
        (4 * A * B, 2 * A, 2 * B),
        (4, B, None),
    ],
)
def test_exact_div(a: Dim, b: Dim, expected: Dim | None) -> None:
    assert exact_div(a, b) == expected


def test_inexact_floordiv_is_an_error() -> None:
    assert 4 * B // 2 == 2 * B
    with pytest.raises(TypeInferenceError, match=r"B\+1 is not known to be divisible"):
        (B + 1) // 2


@pytest.mark.parametrize(
    "text", ["", "+", "B+", "2B", "B**2", "B/2", "-", "1.5", "B C", "(B)", "B[", "%"]
)
def test_not_a_dimension(text: str) -> None:
    with pytest.raises(ValueError, match="not a dimension"):
        parse_dim(text)


def test_dim_text_order() -> None:
    assert str(1 + B + 2 * A * B - 3 * A) == "2*A*B-3*A+B+1"
    assert parse_dim(" 2 * B + 1 ") == 2 * B + 1


def test_substitution() -> None:
    assert substitute(2 * B + A, {"B": A}) == 3 * A
    assert substitute(B, {"B": 4}) == 4
    assert substitute(5, {"B": 4}) == 5
    assert size_of((B, 3, B)) == 3 * B * B
    assert size_of(()) == 1
    assert symbols_of((A * B, 3)) == {"A", "B"}
    with pytest.raises(TypeInferenceError, match=r"needs a value for \['B'\]"):
        concrete(A * B, {"A": 1})


@pytest.mark.parametrize("dtype", t.ALL_DTYPES, ids=repr)
def test_dtype_lookup(dtype: t.DType) -> None:
    for name in (dtype.name, dtype.long, dtype.np, dtype.np.type, dtype):
        assert dtype_of(name) is dtype
    assert pickle.loads(pickle.dumps(dtype)) is dtype
    assert type_of_array(np.zeros((2, 0), dtype.np)) == TensorType(dtype, (2, 0))
    assert dtype.itemsize == np.zeros((), dtype.np).nbytes


def test_dtype_classes() -> None:
    names = {d.name for d in t.ALL_DTYPES}
    floats = {d.name for d in t.ALL_DTYPES if d.is_float}
    integers = {d.name for d in t.ALL_DTYPES if d.is_integer}
    complexes = {d.name for d in t.ALL_DTYPES if d.is_complex}
    assert floats == {"f16", "bf16", "f32", "f64"}
    assert integers == {"i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"}
    assert complexes == {"c64", "c128"}
    assert names == floats | integers | complexes | {"bool"}
    assert dtype_of(ml_dtypes.bfloat16) is t.bf16
    assert dtype_of(float) is t.f64


@pytest.mark.parametrize("value", ["float31", object(), None.__class__, np.str_])
def test_unknown_dtype(value: object) -> None:
    with pytest.raises(TypeError, match="unknown dtype"):
        dtype_of(value)


TYPES = [
    (TensorType(t.f32), "f32[]"),
    (TensorType(t.bool_, (0,)), "bool[0]"),
    (TensorType(t.bf16, (B, 784)), "bf16[B,784]"),
    (TensorType(t.c64, (2 * B - 1, A * B)), "c64[2*B-1,A*B]"),
]


@pytest.mark.parametrize(("type_", "text"), TYPES)
def test_type_text(type_: TensorType, text: str) -> None:
    assert str(type_) == text
    assert parse_type(text) == type_
    assert parse_type(f"  {text.replace(',', ' , ')} ") == type_
    assert hash(parse_type(text)) == hash(type_)


@pytest.mark.parametrize("text", ["f32", "f32[", "f33[2]", "[2]", "f32[2]]", "f32[-]"])
def test_not_a_type(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        parse_type(text)


def test_type_properties() -> None:
    type_ = TensorType(t.f64, (B, 3))
    assert (type_.rank, type_.size, type_.nbytes) == (2, 3 * B, 24 * B)
    assert not type_.is_static
    assert type_.with_shape((2,)).is_static
    assert type_.with_dtype(t.i8) == TensorType(t.i8, (B, 3))
    assert type_ != TensorType(t.f32, (B, 3))
    assert type_ != "f64[B,3]"
