"""patches: the windows of an array side by side; convolutions are their products."""

from __future__ import annotations

from typing import Any

import numpy as np

from compiler.ir.op import Kind, op
from compiler.ir.types import TensorType
from compiler.ops.common import fail
from compiler.ops.windows import offsets, padded, window_shape

Ints = tuple[int, ...]
ATTRS = ("dilation", "high", "low", "spacing", "strides", "window")


def spread_size(size: Any, spacing: int) -> Any:
    """Size of a dimension with ``spacing - 1`` zeros between neighbours."""
    return (size - 1) * spacing + 1 if spacing != 1 else size


@op("patches", kind=Kind.INDEXING, attrs=ATTRS, differentiable=False)
class Patches:
    """``out[n, p, k, c] = x[n, (p * strides + k * dilation - low) / spacing, c]``, zero
    outside of the operand and between its elements (where the division leaves a rest).

    ``p`` and ``k`` stand for the spatial dimensions of positions and window. It is what
    a convolution reads; compiler passes make it, and gradients are taken before that.

    C1: the attributes have one entry per spatial dimension of ``x[n, s, c]``.
    C2: window, strides, dilation and spacing are positive.
    """

    def infer(
        x: TensorType,
        *,
        window: Ints,
        strides: Ints,
        low: Ints,
        high: Ints,
        dilation: Ints,
        spacing: Ints,
    ) -> TensorType:
        if any(s < 1 for s in spacing) or len(spacing) != x.rank - 2:
            fail("patches", "C2", f"spacing {spacing} of {x}")
        sizes = [spread_size(n, s) for n, s in zip(x.shape[1:-1], spacing, strict=True)]
        places = window_shape("patches", sizes, window, strides, low, high, dilation)
        return x.with_shape((x.shape[0], *places, *window, x.shape[-1]))

    def evaluate(
        x: np.ndarray,
        *,
        window: Ints,
        strides: Ints,
        low: Ints,
        high: Ints,
        dilation: Ints,
        spacing: Ints,
    ) -> np.ndarray:
        sizes = [spread_size(n, s) for n, s in zip(x.shape[1:-1], spacing, strict=True)]
        spread: Any = np.zeros((x.shape[0], *sizes, x.shape[-1]), x.dtype)
        spread[(slice(None), *(slice(None, None, s) for s in spacing))] = x
        frame = padded(spread, 0, (0, *low, 0), (0, *high, 0))
        places = window_shape("patches", sizes, window, strides, low, high, dilation)
        out = np.zeros((x.shape[0], *places, *window, x.shape[-1]), x.dtype)
        every = (slice(None),) * (1 + len(window))
        fixed: Any = places
        visits = offsets(fixed, window, strides, dilation)
        for k, place in zip(np.ndindex(*window), visits, strict=True):
            out[(*every, *k)] = frame[(slice(None), *place)]
        return out

    vjp = None
    jvp = None
    batch = None

    def emit(
        k: Any,
        index: Any,
        in_types: Any,
        out_type: Any,
        *,
        window: Ints,
        strides: Ints,
        low: Ints,
        high: Ints,
        dilation: Ints,
        spacing: Ints,
    ) -> Any:
        (x,) = in_types
        n = len(window)
        positions, offsets_ = index[1 : 1 + n], index[1 + n : 1 + 2 * n]
        where, inside = [], []
        for d in range(n):
            place = positions[d] * strides[d] + offsets_[d] * dilation[d] - low[d]
            size = x.shape[1 + d]
            if spacing[d] != 1:
                # Shifted so that the quotient is not negative.
                place = place + low[d] * spacing[d]
                rest = k.position(k.mod(place, spacing[d]))
                inside.append(k.binary("eq", rest, k.position(0)))
                place = k.floordiv(place, spacing[d]) - low[d]
            inside.append(k.within(place, size))
            where.append(k.clamp_index(place, 0, size - 1))
        value = k.read(0, (index[0], *where, index[-1]))
        if not inside:
            return value
        condition = inside[0]
        for part in inside[1:]:
            condition = k.binary("and", condition, part)
        return k.where(condition, value, k.const(0, x.dtype))
