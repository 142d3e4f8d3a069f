"""Elementwise ops of three operands, dtype conversions and complex parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from compiler.ir import types as t
from compiler.ir.op import Kind, op
from compiler.ir.types import DType, TensorType
from compiler.ops.common import (
    as_array,
    batch_elementwise,
    complex_dtype,
    fail,
    is_half,
    or_zeros,
    real_dtype,
    require_kind,
    require_same,
    sum_tangents,
    via_f32,
)
from compiler.ops.elementwise_binary import maximum, minimum


@op("select", kind=Kind.ELEMENTWISE)
class Select:
    """``on_true`` where ``pred`` holds, else ``on_false``.

    C1: `pred` is bool and has the shape of the other operands.
    C2: `on_true` and `on_false` have the same type.
    """

    def infer(pred: TensorType, p: TensorType, q: TensorType) -> TensorType:
        if pred.dtype is not t.bool_ or pred.shape != p.shape:
            fail("select", "C1", f"predicate is {pred}, operands are {p}")
        require_same("select", "C2", p, q)
        return p

    evaluate = as_array(np.where)

    def vjp(b: Any, g: Any, y: Any, pred: Any, p: Any, q: Any) -> tuple[Any, ...]:
        zero = b.zeros_like(g)
        return None, b.select(pred, g, zero), b.select(pred, zero, g)

    def jvp(b: Any, ts: Any, y: Any, pred: Any, p: Any, q: Any) -> Any:
        if ts[1] is None and ts[2] is None:
            return None
        return b.select(pred, or_zeros(b, ts[1], p), or_zeros(b, ts[2], q))

    batch = batch_elementwise("select")

    def emit(k: Any, pred: Any, p: Any, q: Any) -> Any:
        return k.select(pred, p, q)


def _clamp_parts(b: Any, g: Any, low: Any, x: Any, high: Any) -> tuple[Any, ...]:
    """The share of `g` that each operand of a clamp gets."""
    zero = b.zeros_like(g)
    below, above = (
        b.compare(x, e, direction=d) for e, d in ((low, "LT"), (high, "GT"))
    )
    ordered = b.compare(low, high, direction="LT")
    inside = getattr(b, "and")(
        b.compare(x, low, direction="GT"), b.compare(x, high, direction="LT")
    )
    to_low = getattr(b, "and")(below, ordered)
    return tuple(b.select(mask, g, zero) for mask in (to_low, inside, above))


@op("clamp", kind=Kind.ELEMENTWISE)
class Clamp:
    """``minimum(maximum(x, low), high)`` of operands ``(low, x, high)``.

    The gradient goes to the operand that is the result; at a bound `x` gets none.

    C1: the dtype is bool, integer or float.
    C2: the operands have the same type.
    """

    def infer(low: TensorType, x: TensorType, high: TensorType) -> TensorType:
        require_kind("clamp", "C1", x, "biuf")
        require_same("clamp", "C2", x, low, high)
        return x

    @via_f32
    def evaluate(low: np.ndarray, x: np.ndarray, high: np.ndarray) -> np.ndarray:
        return minimum(maximum(x, low), high)

    def vjp(b: Any, g: Any, y: Any, low: Any, x: Any, high: Any) -> tuple[Any, ...]:
        return _clamp_parts(b, g, low, x, high)

    def jvp(b: Any, ts: Any, y: Any, low: Any, x: Any, high: Any) -> Any:
        parts = [
            None if g is None else _clamp_parts(b, g, low, x, high)[i]
            for i, g in enumerate(ts)
        ]
        return sum_tangents(b, parts)

    batch = batch_elementwise("clamp")

    def emit(k: Any, low: Any, x: Any, high: Any) -> Any:
        if x.dtype is t.bool_:
            return k.binary("and", k.binary("or", x, low), high)
        return k.binary("minimum", k.binary("maximum", x, low), high)


def _saturate(x: np.ndarray, target: np.dtype) -> np.ndarray:
    """Float to integer as kernels do it: truncate, saturate, NaN to 0."""
    info = np.iinfo(target)
    wide = x.astype(np.float64)
    top = float(info.max) + (1 if info.bits < 64 else 0)  # exactly 2**k either way
    inside = (wide >= info.min) & (wide < top)
    if inside.all():
        return wide.astype(target)
    result = np.where(inside, wide, 0.0).astype(target)
    result = np.where(wide >= top, target.type(info.max), result)
    return np.where(wide < info.min, target.type(info.min), result)


def convert_array(x: np.ndarray, dtype: DType) -> np.ndarray:
    """`x` in another dtype, as ``convert`` means it."""
    if x.dtype.kind == "c" and not dtype.is_complex:
        x = x.real
    from_float = x.dtype.kind == "f" or is_half(x.dtype)
    if dtype is t.bool_:
        return np.asarray(x != 0)
    if from_float and dtype.is_integer:
        return _saturate(x, dtype.np)
    return np.asarray(x).astype(dtype.np)


@op("convert", kind=Kind.ELEMENTWISE, attrs=("dtype",))
class Convert:
    """The operand in another dtype.

    Float to integer truncates and saturates, NaN gives 0; anything to bool asks whether
    it differs from 0; complex to real drops the imaginary part; integers wrap.
    """

    def infer(x: TensorType, *, dtype: DType) -> TensorType:
        return x.with_dtype(dtype)

    def evaluate(x: np.ndarray, *, dtype: DType) -> np.ndarray:
        return convert_array(x, dtype)

    def vjp(b: Any, g: Any, y: Any, x: Any, *, dtype: DType) -> tuple[Any]:
        source = b.type_of(x).dtype
        if not (source.is_inexact and dtype.is_inexact):
            return (None,)
        return (b.cast(g, source),)

    def jvp(b: Any, ts: Any, y: Any, x: Any, *, dtype: DType) -> Any:
        source = b.type_of(x).dtype
        if ts[0] is None or not (source.is_inexact and dtype.is_inexact):
            return None
        return b.cast(ts[0], dtype)

    batch = batch_elementwise("convert")

    def emit(k: Any, x: Any, *, dtype: DType) -> Any:
        return k.convert(x, dtype)


@op(
    "bitcast_convert",
    kind=Kind.ELEMENTWISE,
    attrs=("dtype",),
    differentiable=False,
)
class BitcastConvert:
    """The bits of the operand as another dtype.

    C1: both dtypes have the same size and neither is bool.
    """

    def infer(x: TensorType, *, dtype: DType) -> TensorType:
        if x.dtype.bits != dtype.bits or "b" in (x.dtype.kind, dtype.kind):
            fail("bitcast_convert", "C1", f"cannot view {x} as {dtype}")
        return x.with_dtype(dtype)

    def evaluate(x: np.ndarray, *, dtype: DType) -> np.ndarray:
        return x.view(dtype.np)

    vjp = None
    jvp = None
    batch = batch_elementwise("bitcast_convert")

    def emit(k: Any, x: Any, *, dtype: DType) -> Any:
        return x if x.dtype is dtype else k.bitcast(x, dtype)


def _make_complex(b: Any, re: Any) -> Any:
    return b.complex(re, b.zeros_like(re))


@op("abs", kind=Kind.ELEMENTWISE)
class Abs:
    """Absolute value; of a complex number the magnitude, which is real.

    The gradient at 0 is 0. The smallest integer is its own absolute value.

    C1: the dtype is a number.
    """

    def infer(x: TensorType) -> TensorType:
        require_kind("abs", "C1", x, "iufc")
        return x.with_dtype(real_dtype(x.dtype))

    evaluate = via_f32(np.abs)

    def vjp(b: Any, g: Any, y: Any, x: Any) -> tuple[Any]:
        if not b.type_of(x).dtype.is_complex:
            return (b.multiply(g, b.sign(x)),)
        return (b.multiply(_make_complex(b, g), _conjugate_direction(b, y, x)),)

    def jvp(b: Any, ts: Any, y: Any, x: Any) -> Any:
        if ts[0] is None:
            return None
        if not b.type_of(x).dtype.is_complex:
            return b.multiply(ts[0], b.sign(x))
        return b.real(b.multiply(ts[0], _conjugate_direction(b, y, x)))

    batch = batch_elementwise("abs")

    def emit(k: Any, x: Any) -> Any:
        return x if x.dtype.kind == "u" else k.unary("abs", x)


def _conjugate_direction(b: Any, y: Any, x: Any) -> Any:
    """``conj(x) / |x|``, 0 at 0."""
    at_zero = b.compare(y, b.zeros_like(y), direction="EQ")
    norm = b.select(at_zero, b.ones_like(y), y)
    return b.complex(b.divide(b.real(x), norm), b.negate(b.divide(b.imag(x), norm)))


@op("real", kind=Kind.ELEMENTWISE)
class Real:
    """The real part; a real operand is its own.

    C1: the dtype is float or complex.
    """

    def infer(x: TensorType) -> TensorType:
        require_kind("real", "C1", x, "fc")
        return x.with_dtype(real_dtype(x.dtype))

    def evaluate(x: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(x.real).reshape(x.shape)

    def vjp(b: Any, g: Any, y: Any, x: Any) -> tuple[Any]:
        return (_make_complex(b, g) if b.type_of(x).dtype.is_complex else g,)

    def jvp(b: Any, ts: Any, y: Any, x: Any) -> Any:
        return None if ts[0] is None else b.real(ts[0])

    batch = batch_elementwise("real")

    def emit(k: Any, x: Any) -> Any:
        return x


@op("imag", kind=Kind.ELEMENTWISE)
class Imag:
    """The imaginary part; of a real operand 0.

    C1: the dtype is float or complex.
    """

    def infer(x: TensorType) -> TensorType:
        require_kind("imag", "C1", x, "fc")
        return x.with_dtype(real_dtype(x.dtype))

    def evaluate(x: np.ndarray) -> np.ndarray:
        if x.dtype.kind != "c":
            return np.zeros(x.shape, x.dtype)
        return np.ascontiguousarray(x.imag).reshape(x.shape)

    def vjp(b: Any, g: Any, y: Any, x: Any) -> tuple[Any]:
        if not b.type_of(x).dtype.is_complex:
            return (b.zeros_like(x),)
        return (b.complex(b.zeros_like(g), b.negate(g)),)

    def jvp(b: Any, ts: Any, y: Any, x: Any) -> Any:
        return None if ts[0] is None else b.imag(ts[0])

    batch = batch_elementwise("imag")

    def emit(k: Any, x: Any) -> Any:
        return k.like(0, x)


@op("complex", kind=Kind.ELEMENTWISE)
class Complex:
    """A complex number from its parts. Gradients follow the convention that a
    holomorphic function multiplies by its derivative, without conjugation.

    C1: the dtype is f32 or f64.
    C2: the operands have the same type.
    """

    def infer(re: TensorType, im: TensorType) -> TensorType:
        dtype = complex_dtype(re.dtype)
        if dtype is None:
            fail("complex", "C1", f"takes f32 or f64 operands, given {re}")
        require_same("complex", "C2", re, im)
        return re.with_dtype(dtype)

    def evaluate(re: np.ndarray, im: np.ndarray) -> np.ndarray:
        out = np.empty(re.shape, np.complex64 if re.itemsize == 4 else np.complex128)
        out.real, out.imag = re, im
        return out

    def vjp(b: Any, g: Any, y: Any, re: Any, im: Any) -> tuple[Any, Any]:
        return b.real(g), b.negate(b.imag(g))

    def jvp(b: Any, ts: Any, y: Any, re: Any, im: Any) -> Any:
        if ts[0] is None and ts[1] is None:
            return None
        return b.complex(or_zeros(b, ts[0], re), or_zeros(b, ts[1], im))

    batch = batch_elementwise("complex")
    emit = None
