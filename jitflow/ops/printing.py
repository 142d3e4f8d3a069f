"""`print` for tensors; in compiled code it happens at run time, in order."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from jitflow.ops.dispatch import builder
from jitflow.tensor import Tensor, Variable, state
from jitflow.tensor.tensor import Operators, TracedTensor
from jitflow.tracing.context import TraceContext, init_scope


class PrintToken:
    """Orders what one trace prints: a hidden variable that every print advances."""

    def __init__(self) -> None:
        with init_scope():
            zero = np.zeros((), np.int32)
            self.variable = Variable(zero, trainable=False, name="print_token")

    def print(self, values: list[Tensor], template: str) -> None:
        """Stage one call of ``print``."""
        token = self.variable.value
        self.variable.assign(builder.print(token, *values, template=template))


def _token(trace: TraceContext) -> PrintToken:
    """The token of the outermost trace; made at its first print."""
    if trace.print_token is None:
        made = PrintToken()
        outer: TraceContext | None = trace
        while outer is not None:
            outer.print_token = made
            outer = outer.parent
    return trace.print_token


def print(*values: Any, sep: str = " ", end: str = "\n", **options: Any) -> None:
    """Python's ``print``; of a traced tensor it prints the value, at run time.

    Prints of one compiled function appear in the order in which they are written, in
    each iteration of a loop and only in the branch that is taken. A value that is no
    tensor is formatted while tracing. ``file`` and ``flush`` are for eager code.
    """
    trace = state.trace
    traced = any(isinstance(v, TracedTensor | Variable) for v in values)
    if not isinstance(trace, TraceContext) or not traced:
        builtins.print(*values, sep=sep, end=end, **options)
        return
    tensors: list[Tensor] = []
    pieces: list[str] = []
    for value in values:
        if isinstance(value, Operators):
            tensors.append(value)  # type: ignore[arg-type]
            pieces.append("{}")
        else:
            pieces.append(str(value).replace("{}", "{ }"))
    _token(trace).print(tensors, sep.join(pieces) + end)
