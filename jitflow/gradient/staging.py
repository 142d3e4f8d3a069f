"""Derivatives written by hand, as ops of a graph.

A tape that records outside of a compiled function replays its graph; so does a loop
that is differentiated. The graph itself has to know the derivative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compiler.ir.types import TensorType
from jitflow.ops.dispatch import builder
from jitflow.tensor.state import state
from jitflow.tensor.tensor import Tensor
from jitflow.tensor.variable import Variable
from jitflow.tracing.context import TraceContext


def stage_rule(
    rule: Any, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """`outputs` through ops that carry the rule; the tapes of the trace are not told.

    The pull-back is traced to a graph, once for each output.
    """
    tapes, state.tapes = state.tapes, ()
    try:
        return tuple(_stage_one(rule, inputs, outputs, i) for i in range(len(outputs)))
    finally:
        state.tapes = tapes


def _stage_one(
    rule: Any, inputs: Sequence[Tensor], outputs: Sequence[Tensor], chosen: int
) -> Tensor:
    value = outputs[chosen]
    if not value.dtype.is_inexact:
        return value
    body = TraceContext(f"{rule.name}_vjp", parent=state.trace)
    with body.active():
        cotangent = body.parameter(TensorType(value.dtype, value.shape), "g")
        gs = [cotangent if i == chosen else _zeros(y) for i, y in enumerate(outputs)]
        single = len(outputs) == 1
        g, y = (gs[0], outputs[0]) if single else (tuple(gs), tuple(outputs))
        found = rule.vjp(builder, g, y, *inputs)
        results: list[Any] = [
            _zeros(x) if part is None else part
            for part, x in zip(found, inputs, strict=True)
            if x.dtype.is_inexact
        ]
        pull = body.build(results)
    captured = [what for what, _ in body.captures]
    kept = [c.value if isinstance(c, Variable) else c for c in captured]
    return builder.custom_derivative(
        value, *inputs, *kept, num_inputs=len(inputs), pull=pull
    )


def _zeros(x: Tensor) -> Tensor | None:
    """A zero cotangent; None if the type has none. Only the type of `x` is used."""
    if not x.dtype.is_inexact:
        return None
    return builder.full(0, TensorType(x.dtype, x.shape))
