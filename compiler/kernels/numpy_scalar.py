"""Evaluates scalar expressions on whole NumPy arrays, without compiling anything.

Runs the Python source of the expression (`python_scalar`) on arrays. Tests compare
compiled kernels with it, and measure the functions of `scalar_math` over dense grids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from compiler.ir import types as t
from compiler.kernels.expr import Expr
from compiler.kernels.python_prelude import NAMESPACE, register_dtype
from compiler.kernels.python_scalar import (
    PythonScalar,
    python_function_source,
    python_name,
)
from compiler.kernels.scalar_math import ScalarFunction, functions_used


@cache
def python_function(function: ScalarFunction) -> Callable[..., Any]:
    """A scalar function as plain Python on NumPy scalars or arrays; cached."""
    source = python_function_source(function)
    namespace = _namespace([function.body])
    exec(compile(source, f"<{python_name(function)}>", "exec"), namespace)
    return namespace[python_name(function)]


def _namespace(roots: list[Expr]) -> dict[str, Any]:
    called = {python_name(f): python_function(f) for f in functions_used(roots)}
    return {**NAMESPACE, **called}


def evaluate(expr: Expr, env: Mapping[str, np.ndarray]) -> np.ndarray:
    """The value of `expr` for every element of the arrays of its variables.

    Args:
        expr: an expression without loads.
        env: arrays (of shapes that broadcast) by ``var`` name, of the var's dtype.

    Returns:
        an array of the dtype of `expr`.
    """
    lines: list[str] = []
    scalar = PythonScalar(lines)
    scalar.env = {name: name for name in env}
    result = scalar.value(expr)
    source = "\n".join([f"def run({', '.join(env)}):", *lines, f"    return {result}"])
    namespace = _namespace([expr])
    exec(compile(source, "<scalar expression>", "exec"), namespace)
    with np.errstate(all="ignore"):
        value = namespace["run"](*map(_in_register, env.values()))
        return np.asarray(value).astype(expr.dtype.np)


def _in_register(array: np.ndarray) -> np.ndarray:
    return np.asarray(array).astype(register_dtype(t.dtype_of(array.dtype)).np)
