"""The one door through which every op goes: staged while tracing, else run at once.

`apply` is the mechanism; `TensorBuilder` dresses it as the builder that the derivative
and batching rules of the op records expect, so one rule serves eager code, traces and
higher-order derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import compiler.ops  # noqa: F401 (fills the op table)
from compiler.errors import CompilerError
from compiler.ir import op as op_table
from compiler.ir.builder import BuilderOps
from compiler.ir.node import Literal
from compiler.ir.op import Op
from compiler.ir.types import DType, TensorType
from jitflow.errors import source_excerpt, user_frame
from jitflow.ops.eager import EAGER
from jitflow.tensor.floating_errors import enter, leave
from jitflow.tensor.state import activity, state
from jitflow.tensor.tensor import Tensor, wrap

_NO_ATTRS: dict[str, Any] = {}


def evaluate(op: Op, arrays: tuple[np.ndarray, ...], attrs: Mapping[str, Any]) -> Any:
    """Run an op's NumPy meaning, silent about overflow, division by zero and NaN."""
    token = enter()
    try:
        return (EAGER.get(op) or op.evaluate)(*arrays, **attrs)
    finally:
        leave(token)


def apply(
    op: Op, inputs: tuple[Tensor, ...], attrs: Mapping[str, Any] = _NO_ATTRS
) -> Any:
    """Apply an op record to tensors: stage or run it, then tell the active tapes.

    Returns:
        A tensor, or a tuple of tensors if the op has several results.
    """
    if not activity.threads:
        return _run(op, inputs, attrs)
    trace = state.trace
    if trace is not None:
        outputs = trace.apply(op, inputs, attrs)
    else:
        outputs = _run(op, inputs, attrs)
    for tape in state.tapes:
        tape.record(op, inputs, outputs, attrs)
    return outputs


def _run(op: Op, inputs: tuple[Tensor, ...], attrs: Mapping[str, Any]) -> Any:
    result = evaluate(op, tuple([t._data for t in inputs]), attrs)
    if type(result) is tuple:
        return tuple(wrap(r) for r in result)
    return wrap(result)


def apply_checked(
    op: Op, inputs: tuple[Tensor, ...], attrs: Mapping[str, Any] = _NO_ATTRS
) -> Any:
    """`apply` for ops whose operands may not fit: the op's own inference checks them.

    Raises:
        CompilerError: with the label of the broken constraint and the user's line.
    """
    if state.trace is None:
        try:
            op.infer(*(TensorType(t.dtype, t.shape) for t in inputs), **attrs)
        except CompilerError as error:
            where = error.where or source_excerpt(user_frame())
            raise type(error)(error.message, where=where, fix=error.fix) from None
    return apply(op, inputs, attrs)


def quiet() -> bool:
    """True when nothing traces or records in this thread: NumPy may be called."""
    return not activity.threads or (state.trace is None and not state.tapes)


class TensorBuilder(BuilderOps):
    """Ops as methods over tensors: what derivative rules receive as ``b``."""

    def apply(self, op: Op, inputs: tuple[Any, ...], attrs: Mapping[str, Any]) -> Any:
        """See `BuilderOps.apply`."""
        return apply(op, inputs, attrs)

    def type_of(self, x: Tensor) -> TensorType:
        """The type of a tensor."""
        return TensorType(x.dtype, x.shape)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = super().__getattr__(name)
        setattr(self, name, method)  # next time without a table look-up
        return method

    def constant(self, array: Any) -> Tensor:
        """A literal array: a node while tracing, else just the array."""
        if state.trace is None:
            return wrap(np.asarray(array))
        return apply(op_table.get("constant"), (), {"value": Literal(array)})

    def full(self, value: Any, type_: TensorType) -> Tensor:
        """A scalar broadcast to a type."""
        if state.trace is None:
            return wrap(np.full(type_.shape, value, dtype=type_.dtype.np))
        return super().full(value, type_)

    def scalar(self, value: Any, dtype: DType) -> Tensor:
        """A literal of rank 0."""
        return self.constant(np.asarray(value, dtype=dtype.np))


builder = TensorBuilder()
