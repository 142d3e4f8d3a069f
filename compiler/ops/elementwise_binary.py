"""Elementwise ops of two operands, one table entry each.

C1: the dtype of the operands is of a kind the op takes. C2: both operands have the same
type; nothing is broadcast or promoted. The result has that type (``compare``: bool).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from compiler.ir import types as t
from compiler.ir.op import Kind, Op, define, op
from compiler.ir.types import TensorType
from compiler.ops import integer_math
from compiler.ops.common import (
    as_array,
    batch_elementwise,
    emit_via_f32,
    fail,
    require_kind,
    require_same,
    sum_tangents,
    via_f32,
)

# linear(b, g, y, p, q): the partial derivative of y = f(p, q) applied to g, for one of
# the operands; it serves the vjp and the jvp.
Linear = Callable[[Any, Any, Any, Any, Any], Any]


def _check(name: str, kinds: str, p: TensorType, q: TensorType) -> None:
    require_kind(name, "C1", p, kinds)
    require_same(name, "C2", p, q)


def binary(
    name: str,
    doc: str,
    kinds: str,
    evaluate: Callable[..., Any],
    emit: Callable[..., Any],
    linear: tuple[Linear, Linear] | tuple[()] = (),
) -> Op:
    """Define one op; `linear` holds the partial derivatives, if it has any."""

    def infer(p: TensorType, q: TensorType) -> TensorType:
        _check(name, kinds, p, q)
        return p

    def vjp(b: Any, g: Any, y: Any, p: Any, q: Any) -> tuple[Any, ...]:
        first, second = linear
        return (
            first(b, g, y, p, q) if b.needs(0) else None,
            second(b, g, y, p, q) if b.needs(1) else None,
        )

    def jvp(b: Any, ts: Any, y: Any, p: Any, q: Any) -> Any:
        pairs = zip(linear, ts, strict=True)
        return sum_tangents(b, [f(b, g, y, p, q) for f, g in pairs if g is not None])

    return define(
        name,
        kind=Kind.ELEMENTWISE,
        doc=f"{doc}\n\nC1: the dtype is of kind {kinds}. C2: the operand types agree.",
        differentiable=bool(linear),
        infer=infer,
        evaluate=evaluate,
        vjp=vjp if linear else None,
        jvp=jvp if linear else None,
        batch=batch_elementwise(name),
        emit=emit,
    )


def primitive(name: str) -> Callable[..., Any]:
    """Emit a binary primitive of the expression language."""
    return lambda k, p, q: k.binary(name, p, q)


def by_kind(integer: Callable[..., Any], inexact: Callable[..., Any]) -> Any:
    """Evaluate integers one way and floats the other."""
    inexact = via_f32(inexact)

    def evaluate(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        return np.asarray((integer if p.dtype.kind in "iu" else inexact)(p, q))

    return evaluate


def _unsigned(x: np.ndarray) -> np.ndarray:
    return x.view(np.dtype(f"u{x.dtype.itemsize}"))


def _shift_right_logical(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return np.asarray(np.right_shift(_unsigned(p), _unsigned(q))).view(p.dtype)


def _shift_right_arithmetic(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    signed = np.dtype(f"i{p.dtype.itemsize}")
    return np.asarray(np.right_shift(p.view(signed), q.view(signed))).view(p.dtype)


def maximum(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The larger one; NaN wins, and -0 is below +0."""
    result = np.asarray(np.maximum(p, q))
    if p.dtype.kind == "f":  # -0 < +0: NumPy answers either
        zeros = result == 0
        if zeros.any():
            np.add(p, q, out=result, where=zeros & (p == q))
    return result


def minimum(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The smaller one; NaN wins, and -0 is below +0."""
    result = np.asarray(np.minimum(p, q))
    if p.dtype.kind == "f":
        zeros = result == 0
        if zeros.any():
            np.negative(np.negative(p) - q, out=result, where=zeros & (p == q))
    return result


def _emit_extremum(name: str, logical: str) -> Callable[..., Any]:
    def emit(k: Any, p: Any, q: Any) -> Any:
        return k.binary(logical if p.dtype is t.bool_ else name, p, q)

    return emit


def _emit_power(k: Any, p: Any, q: Any) -> Any:
    if p.dtype.is_integer:
        return integer_math.emit_power(k, p, q)
    return emit_via_f32(lambda k, p, q: k.call("power", p, q))(k, p, q)


def _divide_by(b: Any, g: Any, y: Any, p: Any, q: Any) -> Any:
    return b.negate(b.divide(b.multiply(g, y), q))


def _remainder_by(b: Any, g: Any, y: Any, p: Any, q: Any) -> Any:
    ratio = b.divide(p, q)
    whole = b.multiply(b.sign(ratio), b.floor(b.abs(ratio)))
    return b.negate(b.multiply(g, whole))


def _power_base(b: Any, g: Any, y: Any, p: Any, q: Any) -> Any:
    one, zero = b.ones_like(q), b.zeros_like(q)
    constant = b.compare(q, zero, direction="EQ")  # x**0 does not depend on x
    lower = b.power(p, b.select(constant, one, b.subtract(q, one)))
    return b.multiply(g, b.select(constant, zero, b.multiply(q, lower)))


def _power_exponent(b: Any, g: Any, y: Any, p: Any, q: Any) -> Any:
    at_zero = b.compare(p, b.zeros_like(p), direction="EQ")
    log = b.log(b.select(at_zero, b.ones_like(p), p))  # 0**q is 0 around q > 0
    return b.multiply(g, b.multiply(log, y))


def _atan2_partial(b: Any, g: Any, other: Any, p: Any, q: Any) -> Any:
    norm = b.add(b.multiply(p, p), b.multiply(q, q))
    return b.multiply(g, b.divide(other, norm))


def _winner(b: Any, g: Any, y: Any, own: Any, other: Any) -> Any:
    """The gradient of an extremum: to the operand that is it, halved on a tie."""
    tie = b.compare(other, y, direction="EQ")
    share = b.select(tie, b.scale(g, 0.5), g)
    return b.select(b.compare(own, y, direction="EQ"), share, b.zeros_like(g))


_EXTREMUM: tuple[Linear, Linear] = (
    lambda b, g, y, p, q: _winner(b, g, y, p, q),
    lambda b, g, y, p, q: _winner(b, g, y, q, p),
)

binary(
    "add",
    "``p + q``; integers wrap.",
    "iufc",
    via_f32(np.add),
    primitive("add"),
    (lambda b, g, y, p, q: g, lambda b, g, y, p, q: g),
)
binary(
    "subtract",
    "``p - q``; integers wrap.",
    "iufc",
    via_f32(np.subtract),
    primitive("sub"),
    (lambda b, g, y, p, q: g, lambda b, g, y, p, q: b.negate(g)),
)
binary(
    "multiply",
    "``p * q``; integers wrap.",
    "iufc",
    via_f32(np.multiply),
    primitive("mul"),
    (lambda b, g, y, p, q: b.multiply(g, q), lambda b, g, y, p, q: b.multiply(g, p)),
)
binary(
    "divide",
    "``p / q``. Integer division truncates toward zero and by zero gives 0.",
    "iufc",
    by_kind(integer_math.divide, np.divide),
    primitive("div"),
    (lambda b, g, y, p, q: b.divide(g, q), _divide_by),
)
binary(
    "remainder",
    "``p - q * trunc(p / q)``, sign of `p`. An integer modulo zero gives 0.",
    "iuf",
    by_kind(integer_math.remainder, np.fmod),
    primitive("rem"),
    (lambda b, g, y, p, q: g, _remainder_by),
)
binary(
    "power",
    """``p ** q``. Integers wrap; a negative integer exponent gives ``1 / p**-q``
    truncated. The gradient in `q` is NaN for negative `p`, as the logarithm is.""",
    "iufc",
    by_kind(integer_math.power, np.power),
    _emit_power,
    (_power_base, _power_exponent),
)
binary(
    "atan2",
    "Angle of the point ``(q, p)``, in (-pi, pi].",
    "f",
    via_f32(np.arctan2),
    emit_via_f32(lambda k, p, q: k.call("atan2", p, q)),
    (
        lambda b, g, y, p, q: _atan2_partial(b, g, q, p, q),
        lambda b, g, y, p, q: b.negate(_atan2_partial(b, g, p, p, q)),
    ),
)
binary(
    "maximum",
    "The larger one; NaN if either is NaN; ``-0 < +0``. A tie halves the gradient.",
    "biuf",
    via_f32(maximum),
    _emit_extremum("maximum", "or"),
    _EXTREMUM,
)
binary(
    "minimum",
    "The smaller one; NaN if either is NaN; ``-0 < +0``. A tie halves the gradient.",
    "biuf",
    via_f32(minimum),
    _emit_extremum("minimum", "and"),
    _EXTREMUM,
)
binary(
    "and",
    "Logical on bool, bitwise on integers.",
    "biu",
    as_array(np.bitwise_and),
    primitive("and"),
)
binary(
    "or",
    "Logical on bool, bitwise on integers.",
    "biu",
    as_array(np.bitwise_or),
    primitive("or"),
)
binary(
    "xor",
    "Logical on bool, bitwise on integers.",
    "biu",
    as_array(np.bitwise_xor),
    primitive("xor"),
)
binary(
    "shift_left",
    "``p << q``; a count outside [0, bits) gives 0.",
    "iu",
    as_array(np.left_shift),
    primitive("shl"),
)
binary(
    "shift_right_logical",
    "Shift in zeros; a count outside [0, bits) gives 0.",
    "iu",
    _shift_right_logical,
    primitive("shr"),
)
binary(
    "shift_right_arithmetic",
    "Shift in copies of the top bit; a count outside [0, bits) gives all of them.",
    "iu",
    _shift_right_arithmetic,
    primitive("sar"),
)

_COMPARE = {
    "EQ": np.equal,
    "NE": np.not_equal,
    "LT": np.less,
    "LE": np.less_equal,
    "GT": np.greater,
    "GE": np.greater_equal,
}


@op("compare", kind=Kind.ELEMENTWISE, attrs=("direction",), differentiable=False)
class Compare:
    """``p direction q`` as bool. NaN is unordered: only NE holds.

    C1: complex operands are compared with EQ or NE only.
    C2: both operands have the same type.
    C3: `direction` is one of EQ, NE, LT, LE, GT, GE.
    """

    def infer(p: TensorType, q: TensorType, *, direction: str) -> TensorType:
        if direction not in _COMPARE:
            fail("compare", "C3", f"unknown direction {direction!r}")
        if p.dtype.is_complex and direction not in ("EQ", "NE"):
            fail("compare", "C1", f"complex operands have no order: {p} {direction}")
        require_same("compare", "C2", p, q)
        return p.with_dtype(t.bool_)

    def evaluate(p: np.ndarray, q: np.ndarray, *, direction: str) -> np.ndarray:
        return np.asarray(_COMPARE[direction](p, q))

    vjp = None
    jvp = None
    batch = batch_elementwise("compare")

    def emit(k: Any, p: Any, q: Any, *, direction: str) -> Any:
        return k.binary(direction.lower(), p, q)
