"""Transforms that run a function on tensors that carry more than a value.

`BatchTrace` gives every op the batch rule of its record (vmap), `DualTrace` the tangent
rule (forward mode). While one is the active trace, ops on its tensors are done by the
rules, which apply further ops in the context around it: eager code, a trace, or another
transform. So they nest in every order, also with tapes: a tape that was opened inside
sees the ops inside, one that was opened outside sees what the rules apply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from compiler.errors import CompilerError
from compiler.ir.location import UNKNOWN, Location
from compiler.ir.op import Op
from compiler.ir.types import DType, TensorType
from compiler.ops.common import insert_axis, move_axis, with_batch_at
from jitflow.errors import TracerError, VariableError, source_excerpt, user_frame
from jitflow.gradient.staging import stage_rule
from jitflow.ops.dispatch import apply, builder
from jitflow.tensor.state import state
from jitflow.tensor.tensor import Tensor, TracedTensor, wrap
from jitflow.tensor.variable import Variable


class Rule(NamedTuple):
    """Derivatives of a Python function, in the form of an op record's.

    Both functions return one value per operand or result; None is zero.
    """

    name: str
    vjp: Callable[..., Any]
    jvp: Callable[..., Any]


def copy_of(tensor: Tensor) -> Tensor:
    """Another tensor object of the same value; tapes are not told."""
    if isinstance(tensor, TransformedTensor):
        return tensor.copy()
    if isinstance(tensor, TracedTensor):
        return TracedTensor(tensor._value, tensor._trace)
    return wrap(tensor._data)


def bind(
    rule: Rule, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """Copies of `outputs` whose derivatives by `inputs` are those of `rule`.

    The rule holds for the tapes and the transforms that are active. How the outputs
    were computed remains visible to them, for the derivatives of what a rule keeps.
    """
    made = tuple(copy_of(y) for y in outputs)
    trace = state.trace
    if isinstance(trace, Interpreter):
        made = trace.bind(rule, tuple(inputs), made)
    elif trace is not None:
        made = stage_rule(rule, inputs, made)
    for tape in state.tapes:
        tape.record(rule, inputs, made, {})
    return made


class TransformedTensor(Tensor):
    """A tensor of a `BatchTrace` or a `DualTrace`."""

    __slots__ = ("_inner", "_trace")

    def __init__(self, inner: Tensor, trace: Interpreter) -> None:
        self._inner = inner
        self._trace = trace

    @property
    def shape(self) -> tuple[Any, ...]:  # type: ignore[override]
        """Sizes of the dimensions, as the transformed function sees them."""
        return self._inner.shape

    @property
    def dtype(self) -> DType:  # type: ignore[override]
        """Element type."""
        return self._inner.dtype

    def copy(self) -> TransformedTensor:
        """Another object for the same tensor."""
        raise NotImplementedError

    def __reduce__(self) -> tuple[Any, ...]:
        raise self._refusal("pickling")

    def _refusal(self, use: str) -> TracerError:
        return TracerError(
            f"{use} needs the value of a tensor inside {self._trace.name}",
            operands={"x": self},
            fix="use it inside the function only, through jf operations, and return "
            "what is needed outside",
        )


class BatchTensor(TransformedTensor):
    """One element of a batch: all of them, with the axis that counts them."""

    __slots__ = ("_dim",)

    def __init__(self, inner: Tensor, dim: int, trace: Interpreter) -> None:
        super().__init__(inner, trace)
        self._dim = dim

    @property
    def shape(self) -> tuple[Any, ...]:  # type: ignore[override]
        """Sizes of the dimensions of one element of the batch."""
        full, dim = self._inner.shape, self._dim
        return full[:dim] + full[dim + 1 :]

    @property
    def _data(self) -> np.ndarray:  # type: ignore[override]
        raise self._refusal("an operation outside the traced ones")

    def numpy(self) -> np.ndarray:
        """Not possible: it stands for many values.

        Raises:
            TracerError: always.
        """
        raise self._refusal("numpy(), or a Python number or bool,")

    def copy(self) -> BatchTensor:
        """See `TransformedTensor.copy`."""
        return BatchTensor(self._inner, self._dim, self._trace)

    def __repr__(self) -> str:
        return f"<{self._trace.name} element {self.dtype}{list(self.shape)}>"


class DualTensor(TransformedTensor):
    """A value and its tangent."""

    __slots__ = ("_tangent",)

    def __init__(self, inner: Tensor, tangent: Tensor, trace: Interpreter) -> None:
        super().__init__(inner, trace)
        self._tangent = tangent

    @property
    def _data(self) -> np.ndarray:  # type: ignore[override]
        if self._trace.closed:
            raise self._refusal("a use outside of it")
        return self._inner._data

    def numpy(self) -> np.ndarray:
        """The value, without its tangent."""
        if self._trace.closed:
            raise self._refusal("a use outside of it")
        return self._inner.numpy()

    def copy(self) -> DualTensor:
        """See `TransformedTensor.copy`."""
        return DualTensor(self._inner, self._tangent, self._trace)

    def __repr__(self) -> str:
        return f"<{self._trace.name} value of {self._inner!r}>"


class Interpreter:
    """An active transform; implements what `jitflow.tensor.state.Trace` asks.

    Attributes:
        name: of the transform, for messages.
        parent: the trace or transform around it, or None.
        closed: True while its function does not run.
        on_frame: see `TraceContext`; transforms watch no frames themselves.
    """

    name = "a transform"
    # What a trace nested in this one asks of the outermost one.
    _may_create = False
    _on_attribute = None

    def __init__(self) -> None:
        self.parent: Any = None
        self.closed = True
        self._tapes: tuple[Any, ...] = ()

    @property
    def staging(self) -> bool:
        """True if tensors have no values that Python could look at."""
        return self.parent is not None and self.parent.staging

    @property
    def on_frame(self) -> Any:
        """The frame callback of the trace around."""
        return None if self.parent is None else self.parent.on_frame

    @property
    def decisions(self) -> dict[str, str]:
        """What became of branches and loops; see `TraceContext`."""
        return {} if self.parent is None else self.parent.decisions

    @property
    def print_token(self) -> Any:
        """The print token of the trace around; see `TraceContext`."""
        return None if self.parent is None else self.parent.print_token

    @property
    def checks(self) -> Any:
        """Assertions of the trace around; see `TraceContext`."""
        return None if self.parent is None else self.parent.checks

    def observe_attribute(self, owner: Any, name: str) -> None:
        """Tell the trace around that it depends on a Python attribute."""
        if self.parent is not None:
            self.parent.observe_attribute(owner, name)

    def convert(self, function: Any) -> Any:
        """A function of the user as the trace around would run it."""
        return function if self.parent is None else self.parent.convert(function)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Ops are done by the rules; tapes that are active now are outside."""
        before = self.parent, self._tapes, self.closed
        trace, tapes = state.trace, state.tapes
        self.parent, self._tapes, self.closed = trace, tapes, False
        state.trace, state.tapes = self, ()
        try:
            yield
        finally:
            self.parent, self._tapes, self.closed = before
            state.trace, state.tapes = trace, tapes

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Ops go to the context around the transform."""
        trace, tapes = state.trace, state.tapes
        state.trace, state.tapes = self.parent, self._tapes
        try:
            yield
        finally:
            state.trace, state.tapes = trace, tapes

    def owns(self, x: Any) -> bool:
        """Whether `x` is a tensor of this transform, and not of one around it."""
        return isinstance(x, TransformedTensor) and x._trace is self

    def inner(self, x: Any) -> Any:
        """The tensor of the context around that `x` stands for."""
        return x._inner if self.owns(x) else x

    def apply(
        self, op: Op, inputs: tuple[Tensor, ...], attrs: Mapping[str, Any]
    ) -> Any:
        """Apply an op by its rule, if an operand belongs to this transform."""
        if not any(self.owns(x) for x in inputs):
            with self.outside():
                return apply(op, inputs, attrs)
        _check(op, inputs, attrs)
        return self.transformed(op, inputs, attrs)

    def transformed(
        self, op: Op, inputs: tuple[Tensor, ...], attrs: Mapping[str, Any]
    ) -> Any:
        """Apply an op by the rule of the transform."""
        raise NotImplementedError

    def bind(
        self, rule: Rule, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """See `bind`: let a rule hold for this transform and what is around it."""
        raise NotImplementedError

    def lift(self, tensor: Tensor) -> Tensor:
        """Tensors from outside are used as they are."""
        return tensor

    def read_variable(self, variable: Variable) -> Tensor:
        """The value of a variable, as the context around reads it."""
        with self.outside():
            return variable.value

    def write_variable(self, variable: Variable, value: Tensor) -> None:
        """Assign a value that does not depend on what is transformed.

        Raises:
            VariableError: if it does.
        """
        if self.owns(value):
            raise VariableError(
                f"variable {variable.name!r} is assigned a value that differs within "
                f"{self.name}",
                fix="return the value from the function and assign it outside",
            )
        with self.outside():
            variable.assign(value)

    def created_variable(self, variable: Variable) -> None:
        """A variable is created: that is between it and the context around."""
        if self.parent is not None:
            self.parent.created_variable(variable)

    def concrete(self, tensor: Tensor) -> np.ndarray:
        """The value of a tensor that is not transformed."""
        return tensor._data if self.parent is None else self.parent.concrete(tensor)

    def location(self) -> Location:
        """The user's line that is running."""
        return UNKNOWN if self.parent is None else self.parent.location()


def _check(op: Op, inputs: tuple[Tensor, ...], attrs: Mapping[str, Any]) -> None:
    """Operands must fit as the function sees them, without the batch axis."""
    try:
        op.infer(*(TensorType(x.dtype, x.shape) for x in inputs), **attrs)
    except CompilerError as error:
        where = error.where or source_excerpt(user_frame())
        raise type(error)(error.message, where=where, fix=error.fix) from None


def _parts(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


class BatchTrace(Interpreter):
    """Runs a function once for a whole batch.

    Args:
        size: of the batch.
    """

    name = "vmap"

    def __init__(self, size: Any) -> None:
        super().__init__()
        self.size = size

    @property
    def staging(self) -> bool:
        """A batched tensor has no single value."""
        return True

    def dim(self, x: Any) -> int | None:
        """The batch axis of the inner tensor of `x`; None if it is not batched."""
        return x._dim if self.owns(x) else None

    def tensor(self, inner: Any, dim: int | None) -> Any:
        """The tensor the function sees for one of the context around."""
        return inner if dim is None else BatchTensor(inner, dim, self)

    def transformed(
        self, op: Op, inputs: tuple[Tensor, ...], attrs: Mapping[str, Any]
    ) -> Any:
        """Apply an op by its batch rule."""
        if op.batch is None:
            raise CompilerError(
                f"{op.name} has no rule for vmap", where=source_excerpt(user_frame())
            )
        dims = tuple(self.dim(x) for x in inputs)
        with self.outside():
            full = tuple(self.inner(x) for x in inputs)
            result, axes = op.batch(builder, full, dims, **attrs)
        if not isinstance(result, tuple):
            return self.tensor(result, axes)
        each = axes if isinstance(axes, tuple) else (axes,) * len(result)
        return tuple(self.tensor(y, d) for y, d in zip(result, each, strict=True))

    def bind(
        self, rule: Rule, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """See `Interpreter.bind`: the rule of the batch does all elements at once."""

        def vjp(b: Any, g: Any, y: Any, *xs: Any) -> list[Any]:
            found = self._run(rule.vjp, b, g, outputs, inputs)
            pairs = zip(found, inputs, strict=True)
            return [self._cotangent(g, self.dim(x)) for g, x in pairs]

        def jvp(b: Any, ts: Any, y: Any, *xs: Any) -> Any:
            dims = [self.dim(x) for x in inputs]
            with self.inside():
                given = [
                    None if t is None else self.tensor(t, d)
                    for t, d in zip(ts, dims, strict=True)
                ]
                found = rule.jvp(b, tuple(given), outputs, *inputs)
            return tuple(None if t is None else self.whole(t) for t in found)

        with self.outside():
            whole = [self.whole(y) for y in outputs]
            lifted = Rule(rule.name, vjp, jvp)
            made = bind(lifted, [self.inner(x) for x in inputs], whole)
        return tuple(BatchTensor(y, 0, self) for y in made)

    def _run(self, vjp: Any, b: Any, g: Any, outputs: Any, inputs: Any) -> Any:
        with self.inside():
            parts = [None if p is None else self.tensor(p, 0) for p in _parts(g)]
            given = parts[0] if len(parts) == 1 else tuple(parts)
            return vjp(b, given, outputs, *inputs)

    def whole(self, x: Any) -> Any:
        """The tensor of the context around with the batch as its first axis."""
        return with_batch_at(builder, self.inner(x), self.dim(x), 0, self.size)

    def _cotangent(self, g: Any, dim: int | None) -> Any:
        """A cotangent of a full operand whose batch axis is `dim`."""
        if g is None:
            return None
        if dim is not None:
            return move_axis(builder, self.whole(g), 0, dim)
        return builder.reduce_sum(self.whole(g), axes=(0,))


class DualTrace(Interpreter):
    """Runs a function on values with tangents: forward-mode derivatives."""

    name = "jvp"

    def tensor(self, value: Any, tangent: Any) -> Any:
        """The tensor the function sees; a tangent of None is zero."""
        return value if tangent is None else DualTensor(value, tangent, self)

    def tangent(self, x: Any) -> Any:
        """The tangent of a tensor; None if it is zero."""
        return x._tangent if self.owns(x) else None

    def transformed(
        self, op: Op, inputs: tuple[Tensor, ...], attrs: Mapping[str, Any]
    ) -> Any:
        """Apply an op, and its tangent rule if it has one."""
        tangents = tuple(self.tangent(x) for x in inputs)
        values = tuple(self.inner(x) for x in inputs)
        with self.outside():
            y = apply(op, values, attrs)
            if op.jvp is None:
                return y
            t = op.jvp(builder, tangents, y, *values, **attrs)
        if t is None:
            return y
        if not isinstance(y, tuple):
            return self.tensor(y, t)
        return tuple(self.tensor(v, d) for v, d in zip(y, t, strict=True))

    def bind(
        self, rule: Rule, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """See `Interpreter.bind`: tangents by the rule, and the rule for outside."""

        def vjp(b: Any, g: Any, y: Any, *xs: Any) -> list[Any]:
            with self.inside():
                found = rule.vjp(b, g, outputs, *inputs)
            return [self.inner(x) for x in found]

        def jvp(b: Any, ts: Any, y: Any, *xs: Any) -> Any:
            with self.inside():
                found = rule.jvp(b, ts, outputs, *inputs)
            return tuple(self.inner(t) for t in found)

        tangents = tuple(self.tangent(x) for x in inputs)
        values = [self.inner(x) for x in inputs]
        with self.outside():
            lifted = Rule(rule.name, vjp, jvp)
            made = bind(lifted, values, [self.inner(y) for y in outputs])
            if all(t is None for t in tangents):
                return made
            pushed = jvp(builder, tangents, made, *values)
        return tuple(self.tensor(y, t) for y, t in zip(made, pushed, strict=True))


def batched_call(
    function: Callable[..., Sequence[Any]],
    args: Sequence[Any],
    dims: Sequence[int | None],
    size: Any,
) -> list[tuple[Any, int | None]]:
    """Run a function of flat arguments for a whole batch.

    Args:
        function: takes the tensors of one element, returns a flat sequence of tensors
            (and anything else, which is handed through).
        args: the tensors with their batch axes.
        dims: the batch axis of each argument, or None.
        size: of the batch.

    Returns:
        Each result with its batch axis; None where it does not depend on the batch.
    """
    trace = BatchTrace(size)
    given = [trace.tensor(x, d) for x, d in zip(args, dims, strict=True)]
    with trace.inside():
        results = function(*given)
    return [(trace.inner(y), trace.dim(y)) for y in results]


def stacked(result: tuple[Any, int | None], axis: int, size: Any) -> Any:
    """A result of `batched_call` with its batch axis at `axis`."""
    value, dim = result
    if dim is None:
        return insert_axis(builder, value, axis, size)
    return move_axis(builder, value, dim, axis)
