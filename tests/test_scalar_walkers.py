"""LLVM, plain Python and NumPy agree, bit for bit, on every primitive and dtype."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

import numpy as np
import pytest

from compiler.errors import KernelError
from compiler.ir import types as t
from compiler.ir.types import DType
from compiler.kernels import python_prelude
from compiler.kernels.expr import COMPARE, Expr, ScalarBuilder
from compiler.kernels.llvm_literals import float_literal
from compiler.kernels.llvm_scalar import (
    LlvmScalar,
    define_function,
    intrinsic_declarations,
    link_scalar_functions,
)
from compiler.kernels.native import optimise_and_emit
from compiler.kernels.numpy_scalar import evaluate, python_function
from compiler.kernels.python_scalar import PythonScalar, python_function_source
from compiler.kernels.scalar_math import functions_used, lookup
from tests.scalar_jit import NASTY, compiled, loop_ir, pairs, same_bits, samples

K = ScalarBuilder()
REAL = [d for d in t.ALL_DTYPES if not d.is_complex]
FLOATS = [d for d in REAL if d.is_float]
INTEGERS = [d for d in REAL if d.is_integer]
NUMBERS = FLOATS + INTEGERS


def check(expr: Expr, params: dict[str, DType], arrays: list[np.ndarray]) -> None:
    """LLVM equals NumPy on arrays, and plain Python on single scalars."""
    native = compiled(expr, params)(*arrays)
    env = dict(zip(params, arrays, strict=True))
    vector = evaluate(expr, env)
    wrong = ~same_bits(native, vector)
    shown = [a[wrong][:4] for a in arrays]
    assert not wrong.any(), (expr, shown, native[wrong][:4], vector[wrong][:4])
    for i in range(0, native.size, max(native.size // 12, 1)):
        one = evaluate(expr, {n: a[i] for n, a in env.items()})
        assert same_bits(native[i : i + 1], one.reshape(1)).all(), (expr, i)


def _unary_cases() -> list[tuple[str, DType]]:
    floats = ["neg", "abs", "sqrt", "floor", "ceil", "rint", "trunc", "isnan"]
    cases = [(op, d) for op in floats for d in FLOATS]
    cases += [(op, d) for op in ("neg", "abs", "not", "popcnt") for d in INTEGERS]
    return [*cases, ("not", t.bool_)]


@pytest.mark.parametrize(("op", "dtype"), _unary_cases(), ids=str)
def test_unary(op: str, dtype: DType) -> None:
    x = K.var("x", dtype)
    expr = K.isnan(x) if op == "isnan" else K.unary(op, x)
    check(expr, {"x": dtype}, [samples(dtype, 0)])


def _binary_cases() -> list[tuple[str, DType]]:
    common = ["add", "sub", "mul", "div", "rem", "minimum", "maximum"]
    cases = [(op, d) for op in (*common, *sorted(COMPARE)) for d in NUMBERS]
    cases += [("copysign", d) for d in FLOATS]
    bits = ["and", "or", "xor"]
    cases += [(op, d) for op in (*bits, "shl", "shr", "sar") for d in INTEGERS]
    logical = (*bits, "add", "mul", "minimum", "maximum", *sorted(COMPARE))
    return cases + [(op, t.bool_) for op in logical]


@pytest.mark.parametrize(("op", "dtype"), _binary_cases(), ids=str)
def test_binary(op: str, dtype: DType) -> None:
    expr = K.binary(op, K.var("x", dtype), K.var("y", dtype))
    arrays = pairs(dtype)
    if op in ("shl", "shr", "sar"):
        arrays[1] = np.where(np.arange(arrays[1].size) % 2, arrays[1], arrays[1] % 70)
        arrays[1] = arrays[1].astype(dtype.np)
    check(expr, {"x": dtype, "y": dtype}, arrays)


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
def test_fma_rounds_once(dtype: DType) -> None:
    x, y, z = (K.var(n, dtype) for n in "xyz")
    arrays = [*pairs(dtype), samples(dtype, 5)]
    n = min(map(len, arrays))
    arrays = [a[:n] for a in arrays]
    if dtype.is_float:  # cancelling sums show the second rounding
        with np.errstate(all="ignore"):
            close = -(arrays[0] * arrays[1])
        arrays[2] = np.where(np.arange(n) % 2, arrays[2], close).astype(dtype.np)
    check(K.fma(x, y, z), dict.fromkeys("xyz", dtype), arrays)


def test_prelude_fma_is_exact() -> None:
    rng = np.random.default_rng(3)
    for np_dtype in (np.float32, np.float64):
        a, b = rng.normal(size=(2, 300)).astype(np_dtype)
        c = -(a * b) * rng.choice([1, 1 + 2**-20, 0.3], 300).astype(np_dtype)
        for row in zip(a, b, c, python_prelude.fma(a, b, c), strict=True):
            x, y, z, got = (Fraction(float(v)) for v in row)
            here = float(got)
            error = abs(x * y + z - got)
            spacing = Fraction(float(np.spacing(np_dtype(abs(here)))))
            assert error * 2 <= spacing


@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_select(dtype: DType) -> None:
    c = K.var("c", t.bool_)
    expr = K.select(c, K.var("x", dtype), K.var("y", dtype))
    x, y = pairs(dtype)
    condition = np.arange(len(x)) % 3 == 0
    check(expr, {"c": t.bool_, "x": dtype, "y": dtype}, [condition, x, y])


@pytest.mark.parametrize("target", REAL, ids=str)
@pytest.mark.parametrize("source", REAL, ids=str)
def test_convert(source: DType, target: DType) -> None:
    x = samples(source, 4)
    expr = K.convert(K.var("x", source), target)
    check(expr, {"x": source}, [x])
    ints = target.is_integer and source.is_float
    if not ints:  # NumPy leaves float to int out of range undefined
        with np.errstate(all="ignore"):
            want = x.astype(target.np)
        wrong = ~same_bits(evaluate(expr, {"x": x}), want)
        assert not wrong.any(), (x[wrong][:4], want[wrong][:4])


def test_float_to_int_saturates() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 127.9, 128.0, -128.9, -0.9])
    to_i8 = compiled(K.convert(K.var("x", t.f64), t.i8), {"x": t.f64})(x)
    assert to_i8.tolist() == [0, 127, -128, 127, -128, 127, 127, -128, 0]
    to_u64 = compiled(K.convert(K.var("x", t.f64), t.u64), {"x": t.f64})(x)
    largest = 2**64 - 1
    assert to_u64.tolist() == [0, largest, 0, largest, 0, 127, 128, 0, 0]


def _bitcasts() -> list[tuple[DType, DType]]:
    return [(a, b) for a in REAL for b in REAL if a.itemsize == b.itemsize]


@pytest.mark.parametrize(("source", "target"), _bitcasts(), ids=str)
def test_bitcast(source: DType, target: DType) -> None:
    x = samples(source, 6)
    if t.bool_ in (source, target):
        x = (np.arange(40) % 2).astype(source.np)
    elif source.is_float:  # a signalling NaN may be made quiet on the way
        x = x[~np.isnan(x.astype(np.float64))]
    elif target.is_float:
        x = x[~np.isnan(x.view(target.np).astype(np.float64))]
    expr = K.bitcast(K.var("x", source), target)
    check(expr, {"x": source}, [x])
    assert same_bits(evaluate(expr, {"x": x}), x.view(target.np)).all()


@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_literals(dtype: DType) -> None:
    values = samples(dtype, 7)[:60]
    zero = K.const(0, dtype)
    for v in values:
        expr = K.select(K.var("c", t.bool_), K.const(v, dtype), zero)
        got = evaluate(expr, {"c": np.array([True])})
        assert same_bits(got, np.array([v], dtype.np)).all()
    some = values[:12]
    chain = zero
    for i, v in enumerate(some):
        here = K.binary("eq", K.var("i", t.i64), K.const(i, t.i64))
        chain = K.select(here, K.const(v, dtype), chain)
    native = compiled(chain, {"i": t.i64})(np.arange(len(some)))
    assert same_bits(native, some).all()


def test_float_literal_is_exact() -> None:
    for v in [*NASTY, 0.1, float(np.float32(0.1)), 2.2250738585072014e-308]:
        bits = int(float_literal(v), 16)
        back = struct.unpack("<d", struct.pack("<Q", bits))[0]
        assert back == v or math.isnan(v)
        assert math.copysign(1, back) == math.copysign(1, v)


def test_shared_expression_is_lowered_once_for_each_scope() -> None:
    x = K.var("x", t.f32)
    square = K.mul(x, x)
    for walker in (LlvmScalar([]), PythonScalar([])):
        walker.env["x"] = "x"
        walker.push_scope()
        inner = walker.value(K.add(square, square))
        assert walker.value(square) != inner
        assert len(walker.lines) == 2
        walker.pop_scope()
        walker.value(square)
        assert len(walker.lines) == 3


def test_long_chains_do_not_recurse() -> None:
    expr = K.var("x", t.f64)
    for _ in range(5000):
        expr = K.add(expr, K.const(1.0, t.f64))
    assert evaluate(expr, {"x": np.zeros(2)}).tolist() == [5000.0, 5000.0]
    walker = LlvmScalar([])
    walker.env["x"] = "%x"
    walker.value(expr)
    assert len(walker.lines) == 5000


def test_unbound_names_and_unknown_functions_are_named() -> None:
    for walker in (LlvmScalar([]), PythonScalar([])):
        walker.env["a"] = "a"
        with pytest.raises(KernelError, match="'b' is not bound; bound: a"):
            walker.value(K.var("b", t.f32))
        with pytest.raises(KernelError, match="tanh"):
            walker.value(K.call("tanhh", K.var("a", t.f32)))
    with pytest.raises(KernelError, match="complex64"):
        LlvmScalar([]).value(K.unary("neg", K.const(0, t.c64)))


def test_contract_only_in_kernel_bodies() -> None:
    x = K.var("x", t.f32)
    text = loop_ir(K.add(K.mul(x, x), K.call("tanh", x)), {"x": t.f32})
    assert "fadd contract float" in text
    for flag in ("nnan", "ninf", "nsz", "arcp", "afn", "reassoc", "fast"):
        assert f" {flag} " not in text
    body = define_function(lookup("tanh", t.f32))
    assert "contract" not in body
    assert "alwaysinline" in body


def test_link_adds_only_what_is_called_once() -> None:
    x = K.var("x", t.f32)
    both = K.add(K.call("tanh", x), K.binary("rem", x, K.call("erf", x)))
    text = loop_ir(both, {"x": t.f32})
    for name in ("jf_tanh_f32", "jf_erf_f32", "jf_rem_f32"):
        assert text.count(f"define internal float @{name}(") == 1
    assert "jf_log_f32" not in text
    assert link_scalar_functions(text).count("define ") == text.count("define ")
    assert intrinsic_declarations(text) == ""
    names = [f.name for f in functions_used([both])]
    assert sorted(names) == ["erf", "tanh"]
    assert optimise_and_emit(text)


def test_python_source_is_readable_and_keeps_f32() -> None:
    source = python_function_source(lookup("tanh", t.f32))
    assert source.startswith("def tanh_f32(x):\n")
    result = python_function(lookup("tanh", t.f32))(np.float32(0.5))
    assert isinstance(result, np.float32)
    lines: list[str] = []
    walker = PythonScalar(lines)
    walker.env["x"] = "x"
    x = K.var("x", t.f32)
    walker.value(K.add(K.mul(x, x), K.const(0.5, t.f32)))
    assert lines == ["    t1 = x * x", "    t2 = t1 + f32(0.5)"]
