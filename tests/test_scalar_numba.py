"""Generated Python source compiled by Numba equals the same source in NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from compiler.ir import types as t
from compiler.ir.types import DType
from compiler.kernels.expr import COMPARE, Expr, ScalarBuilder
from compiler.kernels.numpy_scalar import evaluate
from compiler.kernels.python_prelude import NAMESPACE
from compiler.kernels.python_scalar import (
    PythonScalar,
    python_function_source,
    python_name,
)
from compiler.kernels.scalar_math import functions_used
from tests.scalar_jit import pairs, same_bits, samples

numba = pytest.importorskip("numba")
prelude = pytest.importorskip("compiler.kernels.numba_prelude")

K = ScalarBuilder()
HALVES = (t.f16, t.bf16)
REAL = [d for d in t.ALL_DTYPES if not d.is_complex]


def _stored(array: np.ndarray) -> np.ndarray:
    """Numba has no 16-bit floats on the CPU: their buffers are u16."""
    half = t.dtype_of(array.dtype) in HALVES
    return array.view(np.uint16) if half else array


def _jit(source: str, name: str, namespace: dict) -> None:
    exec(source, namespace)
    namespace[name] = numba.njit(error_model="numpy")(namespace[name])


def _loop(exprs: list[Expr], params: dict[str, DType]) -> Callable[..., None]:
    """One Numba function that fills an array for each expression."""
    namespace = dict(prelude.cpu_namespace())
    for function in functions_used(exprs):
        _jit(python_function_source(function), python_name(function), namespace)
    lines: list[str] = []
    scalar = PythonScalar(lines, indent="        ")
    for name, dtype in params.items():
        element = f"{name}[i]"
        half = f"{dtype.name}_from_bits({element})"
        scalar.env[name] = scalar.assign(half if dtype in HALVES else element)
    for n, expr in enumerate(exprs):
        value = scalar.value(expr)
        half = f"{expr.dtype.name}_bits({value})"
        lines.append(f"        o{n}[i] = {half if expr.dtype in HALVES else value}")
    formal = ", ".join([*params, *(f"o{n}" for n in range(len(exprs)))])
    head = f"def k({formal}):\n    for i in range(o0.size):\n"
    _jit(head + "\n".join(lines), "k", namespace)
    return namespace["k"]


def _check(exprs: list[Expr], params: dict[str, DType], arrays: list) -> None:
    outs = [np.zeros(arrays[0].size, e.dtype.np) for e in exprs]
    _loop(exprs, params)(*map(_stored, arrays), *map(_stored, outs))
    env = dict(zip(params, arrays, strict=True))
    for expr, out in zip(exprs, outs, strict=True):
        want = evaluate(expr, env)
        wrong = ~same_bits(out, want)
        shown = [a[wrong][:3] for a in arrays]
        assert not wrong.any(), (expr, shown, out[wrong][:3], want[wrong][:3])


def test_same_names_as_plain_python() -> None:
    assert set(prelude.cpu_namespace()) == set(NAMESPACE)


@pytest.mark.parametrize("dtype", [t.f32, t.f64, t.bf16, t.i32, t.u8, t.i64], ids=str)
def test_primitives(dtype: DType) -> None:
    x, y = K.var("x", dtype), K.var("y", dtype)
    unary = ["neg", "abs"]
    unary += ["sqrt", "floor", "rint", "trunc"] if dtype.is_float else ["not", "popcnt"]
    binary = ["add", "sub", "mul", "div", "rem", "minimum", "maximum"]
    binary += ["copysign"] if dtype.is_float else ["and", "xor", "shl", "shr", "sar"]
    exprs = [K.unary(op, x) for op in unary] + [K.isnan(x)]
    exprs += [K.binary(op, x, y) for op in (*binary, *sorted(COMPARE))]
    exprs += [K.fma(x, y, x), K.select(K.binary("lt", x, y), x, y)]
    _check(exprs, {"x": dtype, "y": dtype}, pairs(dtype))


@pytest.mark.parametrize("source", [t.bool_, t.f32, t.f64, t.i8, t.u64], ids=str)
def test_conversions(source: DType) -> None:
    x = K.var("x", source)
    exprs = [K.convert(x, d) for d in REAL if d is not source]
    same_size = [d for d in REAL if d.itemsize == source.itemsize and d is not t.bool_]
    if source is not t.bool_:
        exprs += [K.bitcast(x, d) for d in same_size if d is not source]
    _check(exprs, {"x": source}, [samples(source, 1)])


def test_scalar_functions() -> None:
    for dtype in (t.f32, t.f64):
        x = K.var("x", dtype)
        names = ["exponential", "log", "tanh", "erf", "sine"]
        _check([K.call(n, x) for n in names], {"x": dtype}, [samples(dtype, 2)])
