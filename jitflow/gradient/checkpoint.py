"""`checkpoint`: keep the inputs of a function instead of its intermediate values."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compiler.ir import op as op_table
from compiler.ir.node import Graph
from compiler.ir.types import TensorType
from jitflow.dtypes import int32
from jitflow.ops.coerce import as_tensor
from jitflow.ops.dispatch import apply, builder
from jitflow.tensor.state import state, user_function
from jitflow.tensor.tensor import Operators, Tensor
from jitflow.tensor.variable import Variable
from jitflow.tracing.context import TraceContext
from jitflow.tracing.structure import Structure, flatten, unflatten

_CASE = op_table.get("case")


def checkpoint(fun: Callable[..., Any]) -> Callable[..., Any]:
    """A function that computes what `fun` does and needs less memory to differentiate.

    Nothing computed inside is kept for the backward pass, which runs the function again
    from its inputs. The call is one op, whose body is traced: Python sees no values in
    it. It works eagerly and while tracing, and may be nested.

    Args:
        fun: takes and returns structures of tensors; other arguments are constants. It
            may read variables and close over tensors.
    """

    @functools.wraps(fun)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = flatten((args, kwargs))
        body = _Body(fun, leaves, structure)
        # A choice among one: its body is compiled on its own, and so is the body of its
        # derivative, so that nothing computed in one is kept for the other.
        operands = (builder.scalar(0, int32), *body.operands())
        found = apply(_CASE, operands, {"branches": (body.graph,)})
        return body.results(found if isinstance(found, tuple) else (found,))

    return wrapped


def _is_tensor(x: Any) -> bool:
    return isinstance(x, Operators | np.ndarray)


class _Body:
    """The trace of one call: a graph of its tensors and of what it closes over."""

    def __init__(
        self, fun: Callable[..., Any], leaves: Sequence[Any], structure: Structure
    ) -> None:
        self._tensors = [as_tensor(x) for x in leaves if _is_tensor(x)]
        name = getattr(fun, "__name__", "checkpoint")
        self._trace = TraceContext(name, parent=state.trace)
        params = iter(self._parameters())
        given = [next(params) if _is_tensor(x) else x for x in leaves]
        tapes, state.tapes = state.tapes, ()
        try:
            with self._trace.active():
                args, kwargs = unflatten(structure, given)
                results, self._structure = flatten(user_function(fun)(*args, **kwargs))
                outputs = [as_tensor(y) for y in results]
        finally:
            state.tapes = tapes
        self._count = len(outputs)
        built = self._trace.build(outputs)
        # The body has no variables of its own to update: they are results.
        self.graph = Graph(built.name, built.params, built.nodes, built.outputs)

    def _parameters(self) -> list[Tensor]:
        return [
            self._trace.parameter(TensorType(x.dtype, x.shape), f"x{i}")
            for i, x in enumerate(self._tensors)
        ]

    def operands(self) -> list[Tensor]:
        """What the body's parameters stand for; reading a variable tells the tapes."""
        captured = [what for what, _ in self._trace.captures]
        values = [c.value if isinstance(c, Variable) else c for c in captured]
        return [*self._tensors, *values]

    def results(self, found: Sequence[Tensor]) -> Any:
        """The results as the function nested them, after carrying out assignments."""
        written = [variable for variable, _ in self._trace.written]
        for variable, value in zip(written, found[self._count :], strict=True):
            variable.assign(value)
        return unflatten(self._structure, list(found[: self._count]))
