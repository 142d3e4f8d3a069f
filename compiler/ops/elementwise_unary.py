"""Elementwise ops of one operand, one table entry each.

All of them map ``f32[...] -> f32[...]`` and so on: C1 the operand's dtype is of a kind
the op takes; the result has the operand's type (``is_finite``: bool).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from compiler.ir import types as t
from compiler.ir.op import Kind, Op, define
from compiler.ir.types import TensorType
from compiler.ops import special
from compiler.ops.common import (
    batch_elementwise,
    emit_via_f32,
    require_kind,
    via_f32,
)

# linear(b, g, x, y): the derivative at x (where the value is y) applied to g. A
# pointwise map is its own transpose, so one formula is the vjp and the jvp.
Linear = Callable[[Any, Any, Any, Any], Any]


def call(name: str) -> Callable[..., Any]:
    """Emit a function of `scalar_math`."""
    return emit_via_f32(lambda k, x: k.call(name, x))


def primitive(name: str) -> Callable[..., Any]:
    """Emit a unary primitive of the expression language."""
    return lambda k, x: k.unary(name, x)


def unary(
    name: str,
    doc: str,
    kinds: str,
    evaluate: Callable[..., Any],
    linear: Linear | None,
    emit: Callable[..., Any] | None,
    result: t.DType | None = None,
) -> Op:
    """Define one op; `result` is the result dtype if it is not the operand's."""

    def infer(x: TensorType) -> TensorType:
        require_kind(name, "C1", x, kinds)
        return x if result is None else x.with_dtype(result)

    rule: Any = linear

    def vjp(b: Any, g: Any, y: Any, x: Any) -> tuple[Any]:
        return (rule(b, g, x, y),)

    def jvp(b: Any, ts: Any, y: Any, x: Any) -> Any:
        return None if ts[0] is None else rule(b, ts[0], x, y)

    return define(
        name,
        kind=Kind.ELEMENTWISE,
        doc=f"{doc}\n\nC1: the dtype of the operand is of kind {kinds}.",
        differentiable=linear is not None,
        infer=infer,
        evaluate=evaluate,
        vjp=vjp if linear else None,
        jvp=jvp if linear else None,
        batch=batch_elementwise(name),
        emit=emit,
    )


def _zero(b: Any, g: Any, x: Any, y: Any) -> Any:
    return b.zeros_like(x)


def _one_minus_square(b: Any, x: Any) -> Any:
    """``1 - x*x`` without the cancellation near 1."""
    one = b.ones_like(x)
    return b.multiply(b.subtract(one, x), b.add(one, x))


def _one_plus_square(b: Any, x: Any) -> Any:
    return b.add(b.multiply(x, x), b.ones_like(x))


def _log_derivative(b: Any, g: Any, x: Any, y: Any) -> Any:
    return b.divide(g, x)


def _acosh_derivative(b: Any, g: Any, x: Any, y: Any) -> Any:
    one = b.ones_like(x)  # two roots: one of the product has the wrong complex branch
    roots = b.multiply(b.rsqrt(b.subtract(x, one)), b.rsqrt(b.add(x, one)))
    return b.multiply(g, roots)


def _digamma_derivative(b: Any, g: Any, x: Any, y: Any) -> Any:
    return b.multiply(g, special.trigamma(b, x))


def _sign_emit(k: Any, x: Any) -> Any:
    zero, one = k.like(0, x), k.like(1, x)
    if x.dtype.is_float:
        keep = k.binary("or", k.isnan(x), k.binary("eq", x, zero))
        return k.select(keep, x, k.binary("copysign", one, x))
    positive = k.binary("gt", x, zero)
    if x.dtype.kind == "u":
        return k.select(positive, one, zero)
    negative = k.binary("lt", x, zero)
    return k.select(positive, one, k.select(negative, k.like(-1, x), zero))


def _sign(x: np.ndarray) -> np.ndarray:
    signs = np.sign(x)
    return np.where(x == 0, x, signs) if x.dtype.kind == "f" else signs


def _logistic(x: np.ndarray) -> np.ndarray:
    y = np.asarray(1 / (1 + np.exp(-x)))
    if x.dtype.kind == "f":  # where exp(-x) overflows, exp(x) is denormal, not 0
        np.exp(x, out=y, where=x < -80)
    return y


def _negate_emit(k: Any, x: Any) -> Any:
    return k.unary("neg", x) if x.dtype.kind != "u" else k.sub(k.like(0, x), x)


def _is_finite_emit(k: Any, x: Any) -> Any:
    return k.binary("lt", k.unary("abs", x), k.like(math.inf, x))


def _popcnt(x: np.ndarray) -> np.ndarray:
    bits = x.view(np.dtype(f"u{x.dtype.itemsize}"))
    return np.asarray(np.bitwise_count(bits)).astype(x.dtype)


def _identity_emit(k: Any, x: Any) -> Any:
    return x


unary(
    "negate",
    "``-x``; unsigned integers wrap.",
    "iufc",
    via_f32(np.negative),
    lambda b, g, x, y: b.negate(g),
    _negate_emit,
)
unary(
    "sign",
    "-1, 0 or 1; NaN and signed zeros are kept. The gradient is zero.",
    "iuf",
    via_f32(_sign),
    _zero,
    _sign_emit,
)
unary(
    "exponential",
    "``e**x``.",
    "fc",
    via_f32(np.exp),
    lambda b, g, x, y: b.multiply(g, y),
    call("exponential"),
)
unary(
    "exponential_minus_one",
    "``e**x - 1``, exact near 0.",
    "fc",
    via_f32(np.expm1),
    lambda b, g, x, y: b.multiply(g, b.add(y, b.ones_like(y))),
    call("exponential_minus_one"),
)
unary(
    "log",
    "Natural logarithm.",
    "fc",
    via_f32(np.log),
    _log_derivative,
    call("log"),
)
unary(
    "log_plus_one",
    "``log(1 + x)``, exact near 0.",
    "fc",
    via_f32(np.log1p),
    lambda b, g, x, y: b.divide(g, b.add(x, b.ones_like(x))),
    call("log_plus_one"),
)
unary(
    "sqrt",
    "Square root; its gradient at 0 is infinite.",
    "fc",
    via_f32(np.sqrt),
    lambda b, g, x, y: b.divide(b.scale(g, 0.5), y),
    primitive("sqrt"),
)
unary(
    "rsqrt",
    "``1 / sqrt(x)``.",
    "fc",
    via_f32(lambda x: 1 / np.sqrt(x)),
    lambda b, g, x, y: b.multiply(g, b.scale(b.divide(y, x), -0.5)),
    call("rsqrt"),
)
unary(
    "cbrt",
    "Real cube root.",
    "f",
    via_f32(np.cbrt),
    lambda b, g, x, y: b.divide(g, b.scale(b.multiply(y, y), 3.0)),
    call("cbrt"),
)
unary(
    "tanh",
    "Hyperbolic tangent.",
    "fc",
    via_f32(np.tanh),
    lambda b, g, x, y: b.multiply(g, _one_minus_square(b, y)),
    call("tanh"),
)
unary(
    "logistic",
    "``1 / (1 + e**-x)``.",
    "fc",
    via_f32(_logistic),
    lambda b, g, x, y: b.multiply(g, b.multiply(y, b.subtract(b.ones_like(y), y))),
    call("logistic"),
)
unary(
    "sine",
    "Sine of radians.",
    "fc",
    via_f32(np.sin),
    lambda b, g, x, y: b.multiply(g, b.cosine(x)),
    call("sine"),
)
unary(
    "cosine",
    "Cosine of radians.",
    "fc",
    via_f32(np.cos),
    lambda b, g, x, y: b.negate(b.multiply(g, b.sine(x))),
    call("cosine"),
)
unary(
    "tan",
    "Tangent of radians.",
    "fc",
    via_f32(np.tan),
    lambda b, g, x, y: b.multiply(g, _one_plus_square(b, y)),
    call("tan"),
)
unary(
    "asin",
    "Inverse sine; NaN outside [-1, 1].",
    "fc",
    via_f32(np.arcsin),
    lambda b, g, x, y: b.multiply(g, b.rsqrt(_one_minus_square(b, x))),
    call("asin"),
)
unary(
    "acos",
    "Inverse cosine; NaN outside [-1, 1].",
    "fc",
    via_f32(np.arccos),
    lambda b, g, x, y: b.negate(b.multiply(g, b.rsqrt(_one_minus_square(b, x)))),
    call("acos"),
)
unary(
    "atan",
    "Inverse tangent.",
    "fc",
    via_f32(np.arctan),
    lambda b, g, x, y: b.divide(g, _one_plus_square(b, x)),
    call("atan"),
)
unary(
    "sinh",
    "Hyperbolic sine.",
    "fc",
    via_f32(np.sinh),
    lambda b, g, x, y: b.multiply(g, b.cosh(x)),
    call("sinh"),
)
unary(
    "cosh",
    "Hyperbolic cosine.",
    "fc",
    via_f32(np.cosh),
    lambda b, g, x, y: b.multiply(g, b.sinh(x)),
    call("cosh"),
)
unary(
    "asinh",
    "Inverse hyperbolic sine.",
    "fc",
    via_f32(np.arcsinh),
    lambda b, g, x, y: b.multiply(g, b.rsqrt(_one_plus_square(b, x))),
    call("asinh"),
)
unary(
    "acosh",
    "Inverse hyperbolic cosine; NaN below 1.",
    "fc",
    via_f32(np.arccosh),
    _acosh_derivative,
    call("acosh"),
)
unary(
    "atanh",
    "Inverse hyperbolic tangent; NaN outside [-1, 1].",
    "fc",
    via_f32(np.arctanh),
    lambda b, g, x, y: b.divide(g, _one_minus_square(b, x)),
    call("atanh"),
)
unary(
    "erf",
    "Error function.",
    "f",
    via_f32(special.erf),
    lambda b, g, x, y: b.multiply(
        g, b.scale(b.exponential(b.negate(b.multiply(x, x))), 2 / math.sqrt(math.pi))
    ),
    call("erf"),
)
unary(
    "erf_inv",
    "Inverse error function: NaN outside [-1, 1], infinite at the ends.",
    "f",
    via_f32(special.erf_inv),
    lambda b, g, x, y: b.multiply(
        g, b.scale(b.exponential(b.multiply(y, y)), math.sqrt(math.pi) / 2)
    ),
    call("erf_inv"),
)
unary(
    "lgamma",
    "Logarithm of the absolute value of the gamma function.",
    "f",
    via_f32(special.lgamma),
    lambda b, g, x, y: b.multiply(g, b.digamma(x)),
    call("lgamma"),
)
unary(
    "digamma",
    "Logarithmic derivative of the gamma function.",
    "f",
    via_f32(special.digamma),
    _digamma_derivative,
    call("digamma"),
)
unary(
    "floor",
    "Largest integer not above x. The gradient is zero.",
    "f",
    via_f32(np.floor),
    _zero,
    primitive("floor"),
)
unary(
    "ceil",
    "Smallest integer not below x. The gradient is zero.",
    "f",
    via_f32(np.ceil),
    _zero,
    primitive("ceil"),
)
unary(
    "round_nearest_even",
    "Nearest integer, halves to even. The gradient is zero.",
    "f",
    via_f32(np.rint),
    _zero,
    primitive("rint"),
)
unary(
    "is_finite",
    "Neither infinite nor NaN.",
    "f",
    lambda x: np.asarray(np.isfinite(x)),
    None,
    _is_finite_emit,
    result=t.bool_,
)
unary(
    "not",
    "Logical on bool, bitwise on integers.",
    "biu",
    lambda x: np.asarray(np.invert(x)),
    None,
    primitive("not"),
)
unary(
    "popcnt",
    "Number of set bits, in the operand's dtype.",
    "iu",
    _popcnt,
    None,
    primitive("popcnt"),
)
