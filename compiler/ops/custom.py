"""A value whose derivative was written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from compiler.ir.node import Graph
from compiler.ir.op import Kind, op
from compiler.ir.transform import batched, inline, pullback
from compiler.ir.types import TensorType
from compiler.ops.common import batch_size, fail, with_batch_at
from compiler.ops.control import check_signature, derived, inexact, with_axis


@op("custom_derivative", kind=Kind.CONTROL, attrs=("num_inputs", "pull"))
class CustomDerivative:
    """The first operand, with the derivative by the next `num_inputs` given by `pull`.

    Operands: the value, the inputs it is a function of, and what `pull` needs besides.
    `pull` takes a cotangent of the value and the latter, and gives cotangents of the
    float and complex inputs; it is linear in the cotangent.

    C1: `pull` takes the value's type and those of the last operands.
    C2: `pull` gives values of the types of the float and complex inputs.
    """

    def infer(*xs: TensorType, num_inputs: int, pull: Graph) -> TensorType:
        value, inputs, kept = xs[0], xs[1 : 1 + num_inputs], xs[1 + num_inputs :]
        check_signature("custom_derivative", "C1", pull, (value, *kept))
        wanted = tuple(x for x in inputs if x.dtype.is_inexact)
        if pull.output_types != wanted:
            what = f"pull gives {pull.output_types}, the inputs are {wanted}"
            fail("custom_derivative", "C2", what)
        return value

    def evaluate(*xs: Any, num_inputs: int, pull: Graph) -> np.ndarray:
        return np.array(xs[0])

    def vjp(
        b: Any, g: Any, y: Any, *xs: Any, num_inputs: int, pull: Graph
    ) -> tuple[Any, ...]:
        found = inline(b, pull, [g, *xs[1 + num_inputs :]])
        result: list[Any] = [None] * len(xs)
        moving = inexact(b, xs[1 : 1 + num_inputs])
        for i, cotangent in zip(moving, found, strict=True):
            result[1 + i] = cotangent
        return tuple(result)

    def jvp(b: Any, ts: Any, y: Any, *xs: Any, num_inputs: int, pull: Graph) -> Any:
        moving = inexact(b, xs[1 : 1 + num_inputs])
        tangents = [ts[1 + i] for i in moving]
        if all(t is None for t in tangents):
            return None
        # Pulling back is linear in the cotangent; its transpose pushes forward.
        args = [b.zeros_like(y), *xs[1 + num_inputs :]]
        return pullback(b, pull, args, tangents)[0]

    def batch(b: Any, xs: Any, dims: Any, *, num_inputs: int, pull: Graph) -> Any:
        size = batch_size(b, xs, dims)
        axes = [0, *(None if d is None else 0 for d in dims[1:])]
        full = [
            x if axis is None else with_batch_at(b, x, d, 0, size)
            for x, d, axis in zip(xs, dims, axes, strict=True)
        ]
        moving = inexact(b, xs[1 : 1 + num_inputs])
        shared = [axes[1 + i] is None for i in moving]
        new = _batched_pull(pull, [0, *axes[1 + num_inputs :]], shared, size)
        return b.custom_derivative(*full, num_inputs=num_inputs, pull=new), 0

    emit = None


def _batched_pull(
    pull: Graph, axes: list[int | None], shared: list[bool], size: Any
) -> Graph:
    """Cotangents for a whole batch, summed for inputs that all elements share."""
    types = [
        type_ if axis is None else with_axis(type_, size)
        for type_, axis in zip(pull.input_types, axes, strict=True)
    ]
    b, params = derived(f"{pull.name}_batch", types)
    found, dims = batched(b, pull, params, axes)
    whole = [with_batch_at(b, g, d, 0, size) for g, d in zip(found, dims, strict=True)]
    return b.build(
        b.reduce_sum(g, axes=(0,)) if once else g
        for g, once in zip(whole, shared, strict=True)
    )
