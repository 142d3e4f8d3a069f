"""Reductions over axes, which they drop: sums, products, extrema, logical and / or.

``emit`` is a `Reducer`: the identity and the expression op that combines two values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from compiler.ir import types as t
from compiler.ir.op import Kind, Op, define, op
from compiler.ir.types import DType, TensorType
from compiler.ops.common import (
    fail,
    is_half,
    require_axes,
    require_kind,
    shift_axes,
)

Ints = tuple[int, ...]


class Reducer(NamedTuple):
    """How a kernel reduces: start from ``identity(dtype)``, fold with `combine`."""

    identity: Callable[[DType], Any]
    combine: str


def lowest(dtype: DType) -> Any:
    """The identity of the maximum: -inf, the smallest integer, or False."""
    if dtype.is_float:
        return -math.inf
    return np.iinfo(dtype.np).min if dtype.is_integer else False


def highest(dtype: DType) -> Any:
    """The identity of the minimum: inf, the largest integer, or True."""
    if dtype.is_float:
        return math.inf
    return np.iinfo(dtype.np).max if dtype.is_integer else True


def _evaluator(ufunc: np.ufunc, identity: Callable[[DType], Any]) -> Callable[..., Any]:
    def evaluate(x: np.ndarray, *, axes: Ints) -> np.ndarray:
        wide = np.dtype(np.float32) if is_half(x.dtype) else x.dtype
        source = x if wide is x.dtype else x.astype(wide)
        extra: dict[str, Any] = {}
        if x.size == 0:  # the extrema of NumPy have no identity of their own
            extra["initial"] = wide.type(identity(t.dtype_of(x.dtype)))
        # dtype: NumPy would widen small integers
        result = np.asarray(ufunc.reduce(source, axis=axes, dtype=wide, **extra))
        return result.astype(x.dtype, copy=False)

    return evaluate


def reduction(
    name: str,
    doc: str,
    kinds: str,
    ufunc: np.ufunc,
    reducer: Reducer,
    vjp: Callable[..., Any] | None,
    jvp: Callable[..., Any] | None,
) -> Op:
    """Define one reduction."""

    def infer(x: TensorType, *, axes: Ints) -> TensorType:
        require_kind(name, "C1", x, kinds)
        require_axes(name, "C2", axes, x.rank)
        if tuple(axes) != tuple(sorted(axes)):
            fail(name, "C2", f"axes {axes} are not sorted")
        return x.with_shape(tuple(d for i, d in enumerate(x.shape) if i not in axes))

    def batch(b: Any, xs: Any, dims: Sequence[Any], *, axes: Ints) -> Any:
        dim = dims[0]
        result = getattr(b, name)(xs[0], axes=shift_axes(axes, dim))
        return result, dim - sum(a < dim for a in shift_axes(axes, dim))

    return define(
        name,
        kind=Kind.REDUCTION,
        doc=f"{doc} f16 and bf16 accumulate in f32.\n\n"
        f"C1: the dtype is of kind {kinds}. C2: axes are distinct, valid and sorted.",
        attrs=("axes",),
        differentiable=vjp is not None,
        infer=infer,
        evaluate=_evaluator(ufunc, reducer.identity),
        vjp=vjp,
        jvp=jvp,
        batch=batch,
        emit=reducer,
    )


def _sum_vjp(b: Any, g: Any, y: Any, x: Any, *, axes: Ints) -> tuple[Any]:
    return (b.keep_dims(g, axes, x),)


def _sum_jvp(b: Any, ts: Any, y: Any, x: Any, *, axes: Ints) -> Any:
    return None if ts[0] is None else b.reduce_sum(ts[0], axes=axes)


def _ties(b: Any, y: Any, x: Any, axes: Ints) -> tuple[Any, Any]:
    """Where `x` is the extremum, and how often per result."""
    mask = b.compare(x, b.keep_dims(y, axes, x), direction="EQ")
    count = b.reduce_sum(b.convert(mask, dtype=b.type_of(x).dtype), axes=axes)
    return mask, count


def _extremum_vjp(b: Any, g: Any, y: Any, x: Any, *, axes: Ints) -> tuple[Any]:
    mask, count = _ties(b, y, x, axes)
    share = b.keep_dims(b.divide(g, count), axes, x)
    return (b.select(mask, share, b.zeros_like(x)),)


def _extremum_jvp(b: Any, ts: Any, y: Any, x: Any, *, axes: Ints) -> Any:
    if ts[0] is None:
        return None
    mask, count = _ties(b, y, x, axes)
    chosen = b.select(mask, ts[0], b.zeros_like(x))
    return b.divide(b.reduce_sum(chosen, axes=axes), count)


def _shifted_product(b: Any, x: Any, axis: int, reverse: bool) -> Any:
    """Product of all elements before (after, if `reverse`) each along `axis`."""
    rank = b.type_of(x).rank
    running = b.cumulative_prod(x, axis=axis, reverse=reverse)
    one = b.scalar(1, b.type_of(x).dtype)
    before, after = [0] * rank, [0] * rank
    before[axis], after[axis] = (-1, 1) if reverse else (1, -1)
    attrs = {"low": tuple(before), "high": tuple(after)}
    return b.pad(running, one, **attrs, interior=(0,) * rank)


def _others(b: Any, x: Any, axes: Ints) -> Any:
    """For every element the product of the others over `axes`; exact with zeros."""
    type_ = b.type_of(x)
    kept = tuple(i for i in range(type_.rank) if i not in axes)
    order = (*kept, *axes)
    moved = b.transpose(x, permutation=order)
    shape = b.type_of(moved).shape
    merged = type_.with_shape(tuple(type_.shape[a] for a in axes)).size
    flat = b.reshape(moved, shape=(*shape[: len(kept)], merged))
    last = len(kept)
    product = b.multiply(
        _shifted_product(b, flat, last, False), _shifted_product(b, flat, last, True)
    )
    back = tuple(order.index(i) for i in range(type_.rank))
    return b.transpose(b.reshape(product, shape=shape), permutation=back)


def _prod_vjp(b: Any, g: Any, y: Any, x: Any, *, axes: Ints) -> tuple[Any]:
    if not axes:
        return (g,)
    return (b.multiply(b.keep_dims(g, axes, x), _others(b, x, axes)),)


def _prod_jvp(b: Any, ts: Any, y: Any, x: Any, *, axes: Ints) -> Any:
    if ts[0] is None or not axes:
        return ts[0]
    return b.reduce_sum(b.multiply(ts[0], _others(b, x, axes)), axes=axes)


reduction(
    "reduce_sum",
    "Sum over `axes`; integers wrap.",
    "iufc",
    np.add,
    Reducer(lambda dtype: 0, "add"),
    _sum_vjp,
    _sum_jvp,
)
reduction(
    "reduce_prod",
    "Product over `axes`; integers wrap.",
    "iufc",
    np.multiply,
    Reducer(lambda dtype: 1, "mul"),
    _prod_vjp,
    _prod_jvp,
)
reduction(
    "reduce_max",
    """Largest element over `axes`; NaN if there is one; -inf or the smallest integer of
    none. Ties share the gradient. The sign of a zero is not specified.""",
    "iuf",
    np.maximum,
    Reducer(lowest, "maximum"),
    _extremum_vjp,
    _extremum_jvp,
)
reduction(
    "reduce_min",
    """Smallest element over `axes`; NaN if there is one; inf or the largest integer of
    none. Ties share the gradient. The sign of a zero is not specified.""",
    "iuf",
    np.minimum,
    Reducer(highest, "minimum"),
    _extremum_vjp,
    _extremum_jvp,
)
reduction(
    "reduce_and",
    "Logical (integers: bitwise) and over `axes`.",
    "biu",
    np.bitwise_and,
    Reducer(lambda dtype: True if dtype is t.bool_ else _all_ones(dtype), "and"),
    None,
    None,
)
reduction(
    "reduce_or",
    "Logical (integers: bitwise) or over `axes`.",
    "biu",
    np.bitwise_or,
    Reducer(lambda dtype: False if dtype is t.bool_ else 0, "or"),
    None,
    None,
)


def _all_ones(dtype: DType) -> Any:
    return -1 if dtype.kind == "i" else np.iinfo(dtype.np).max


@op(
    "arg_reduce",
    kind=Kind.EXTERN,
    attrs=("axis", "dtype", "kind"),
    differentiable=False,
)
class ArgReduce:
    """Position of the first extremum along `axis`, which is dropped. `kind` is "max" or
    "min"; the first NaN wins.

    C1: the operand is not complex, `kind` is "max" or "min", `dtype` is an integer.
    C2: `axis` is an axis of the operand and not empty.
    """

    def infer(x: TensorType, *, axis: int, dtype: DType, kind: str) -> TensorType:
        require_kind("arg_reduce", "C1", x, "biuf")
        if kind not in ("max", "min") or not dtype.is_integer:
            fail("arg_reduce", "C1", f"kind {kind!r} with index dtype {dtype}")
        require_axes("arg_reduce", "C2", (axis,), x.rank)
        if x.shape[axis] == 0:
            fail("arg_reduce", "C2", f"axis {axis} of {x} is empty")
        shape = x.shape[:axis] + x.shape[axis + 1 :]
        return TensorType(dtype, shape)

    def evaluate(x: np.ndarray, *, axis: int, dtype: DType, kind: str) -> np.ndarray:
        wide = x.astype(np.float32) if is_half(x.dtype) else x
        find = np.argmax if kind == "max" else np.argmin
        return np.asarray(find(wide, axis=axis)).astype(dtype.np)

    vjp = None
    jvp = None

    def batch(
        b: Any, xs: Any, dims: Sequence[Any], *, axis: int, dtype: Any, kind: str
    ) -> Any:
        dim = dims[0]
        moved = axis + (axis >= dim)
        result = b.arg_reduce(xs[0], axis=moved, dtype=dtype, kind=kind)
        return result, dim - (moved < dim)

    emit = None
