"""Running sums, products and extrema along an axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compiler.errors import TypeInferenceError
from compiler.ir import op as op_table
from compiler.ir.op import Kind, Op, define
from compiler.ir.types import TensorType
from compiler.ops.common import is_half, require_axes, require_kind
from compiler.ops.reductions import Reducer, highest, lowest

Ints = tuple[int, ...]


def _evaluator(ufunc: np.ufunc) -> Callable[..., np.ndarray]:
    def evaluate(x: np.ndarray, *, axis: int, reverse: bool) -> np.ndarray:
        wide = np.dtype(np.float32) if is_half(x.dtype) else x.dtype
        source = x.astype(wide, copy=False)
        if reverse:
            source = np.flip(source, axis)
        result = ufunc.accumulate(source, axis=axis, dtype=wide)
        if reverse:
            result = np.flip(result, axis)
        return result.astype(x.dtype).copy(order="C")

    return evaluate


def _shift(b: Any, x: Any, axis: int, distance: int, filler: Any) -> Any:
    """`x` moved by `distance` along `axis` (down if negative), filled with `filler`."""
    rank = b.type_of(x).rank
    low, high = [0] * rank, [0] * rank
    low[axis], high[axis] = distance, -distance
    value = b.scalar(filler, b.type_of(x).dtype)
    attrs = {"low": tuple(low), "high": tuple(high)}
    return b.pad(x, value, **attrs, interior=(0,) * rank)


def _distances(b: Any, x: Any, axis: int, reverse: bool) -> list[int]:
    """Shifts of the scan network: 1, 2, 4, ... below the length of the axis."""
    length = b.type_of(x).shape[axis]
    if not isinstance(length, int):
        raise TypeInferenceError(
            f"the gradient of a running product or extremum needs a fixed length, "
            f"axis {axis} of {b.type_of(x)} is {length}",
            fix="give the dimension a fixed size in the TensorSpec",
        )
    steps = range(max(length - 1, 0).bit_length())
    return [-(1 << s) if reverse else 1 << s for s in steps]


class _Network:
    """A scan as log2(n) rounds of ``z = combine(z, shift(z))``.

    The rounds are products or extrema of pairs, whose derivatives are exact with zeros
    and ties; dividing the running product by the element is not.
    """

    def __init__(self, combine: str, reducer: Reducer) -> None:
        self.combine = combine
        self.reducer = reducer

    def levels(self, b: Any, x: Any, axis: int, reverse: bool) -> list[tuple]:
        filler = self.reducer.identity(b.type_of(x).dtype)
        rounds = []
        for distance in _distances(b, x, axis, reverse):
            other = _shift(b, x, axis, distance, filler)
            result = getattr(b, self.combine)(x, other)
            rounds.append((distance, x, other, result))
            x = result
        return rounds

    def vjp(
        self, b: Any, g: Any, y: Any, x: Any, *, axis: int, reverse: bool
    ) -> tuple[Any]:
        rule: Any = op_table.get(self.combine).vjp
        for distance, z, other, result in self.levels(b, x, axis, reverse)[::-1]:
            dz, dother = rule(b, g, result, z, other)
            g = b.add(dz, _shift(b, dother, axis, -distance, 0))
        return (g,)

    def jvp(self, b: Any, ts: Any, y: Any, x: Any, *, axis: int, reverse: bool) -> Any:
        tangent = ts[0]
        if tangent is None:
            return None
        rule: Any = op_table.get(self.combine).jvp
        for distance, z, other, result in self.levels(b, x, axis, reverse):
            moved = _shift(b, tangent, axis, distance, 0)
            tangent = rule(b, (tangent, moved), result, z, other)
        return tangent


def _sum_vjp(b: Any, g: Any, y: Any, x: Any, *, axis: int, reverse: bool) -> tuple[Any]:
    return (b.cumulative_sum(g, axis=axis, reverse=not reverse),)


def _sum_jvp(b: Any, ts: Any, y: Any, x: Any, **attrs: Any) -> Any:
    return None if ts[0] is None else b.cumulative_sum(ts[0], **attrs)


def cumulative(
    name: str,
    doc: str,
    kinds: str,
    ufunc: np.ufunc,
    vjp: Callable[..., Any],
    jvp: Callable[..., Any],
) -> Op:
    """Define one running reduction."""

    def infer(x: TensorType, *, axis: int, reverse: bool) -> TensorType:
        require_kind(name, "C1", x, kinds)
        require_axes(name, "C2", (axis,), x.rank)
        return x

    def batch(b: Any, xs: Any, dims: Sequence[Any], *, axis: int, reverse: bool) -> Any:
        moved = axis + (axis >= dims[0])
        return getattr(b, name)(xs[0], axis=moved, reverse=reverse), dims[0]

    return define(
        name,
        kind=Kind.EXTERN,
        doc=f"{doc} From the end if `reverse`. f16 and bf16 accumulate in f32.\n\n"
        f"C1: the dtype is of kind {kinds}. C2: `axis` is an axis of the operand.",
        attrs=("axis", "reverse"),
        infer=infer,
        evaluate=_evaluator(ufunc),
        vjp=vjp,
        jvp=jvp,
        batch=batch,
        emit=None,
    )


_PROD = _Network("multiply", Reducer(lambda dtype: 1, "mul"))
_MAX = _Network("maximum", Reducer(lowest, "maximum"))
_MIN = _Network("minimum", Reducer(highest, "minimum"))

cumulative("cumulative_sum", "Running sum.", "iufc", np.add, _sum_vjp, _sum_jvp)
cumulative(
    "cumulative_prod", "Running product.", "iufc", np.multiply, _PROD.vjp, _PROD.jvp
)
cumulative("cumulative_max", "Running maximum.", "iuf", np.maximum, _MAX.vjp, _MAX.jvp)
cumulative("cumulative_min", "Running minimum.", "iuf", np.minimum, _MIN.vjp, _MIN.jvp)
