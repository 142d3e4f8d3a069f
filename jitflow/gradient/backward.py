"""The reverse sweep: cotangents from targets to sources, over recorded ops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from compiler.ir import op as op_table
from compiler.ir.op import Kind, Op
from jitflow.ops.dispatch import TensorBuilder, builder
from jitflow.ops.eager import EAGER
from jitflow.tensor.floating_errors import enter, leave
from jitflow.tensor.state import state
from jitflow.tensor.tensor import TracedTensor, wrap

_CONTROL = Kind.CONTROL


class Record(NamedTuple):
    """One op that was applied: the op record, its operands, results and attributes.

    ``op`` is anything with ``name`` and ``vjp(b, g, y, *inputs, **attrs)``.
    """

    op: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    attrs: Any


class _Selective(TensorBuilder):
    """Tells the rules which operands need a cotangent; without a mask, all do."""

    def __init__(self, mask: tuple[bool, ...]) -> None:
        self._mask = mask

    def needs(self, operand: int) -> bool:
        return not self._mask or self._mask[operand]


class _Immediate(_Selective):
    """For sweeps that nothing traces or records: ops go straight to NumPy."""

    def apply(self, op: Op, inputs: tuple[Any, ...], attrs: Mapping[str, Any]) -> Any:
        result = (EAGER.get(op) or op.evaluate)(*[x._data for x in inputs], **attrs)
        if type(result) is tuple:
            return tuple(wrap(r) for r in result)
        return wrap(result)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        record = op_table.get(name)
        run = EAGER.get(record) or record.evaluate

        def call(*inputs: Any, **attrs: Any) -> Any:
            result = run(*[x._data for x in inputs], **attrs)
            if type(result) is tuple:
                return tuple(wrap(r) for r in result)
            return wrap(result)

        setattr(self, name, call)
        return call


# Builders by (class, mask): they hold nothing but methods, found once.
_BUILDERS: dict[tuple[type[_Selective], tuple[bool, ...]], _Selective] = {}


def _builder(kind: type[_Selective], mask: tuple[bool, ...]) -> _Selective:
    found = _BUILDERS.get((kind, mask))
    if found is None:
        found = _BUILDERS[kind, mask] = kind(mask)
    return found


def pull_back(
    records: Sequence[Record],
    seeds: Sequence[tuple[Any, Any]],
    sources: Sequence[Any],
) -> list[Any]:
    """Cotangents of `sources` given those of targets: ``[(target, cotangent), ...]``.

    Only ops between a source and a target are visited. Tensors are told apart by
    identity; everything here keeps them alive meanwhile.

    Returns:
        A tensor or None for each source.
    """
    wanted = {id(s) for s in sources}
    path, reached = _downstream(records, wanted)
    if state.trace is not None or state.tapes:
        grads = _sweep(path, reached, wanted, seeds, _Selective, builder.add)
    else:
        token = enter()
        try:
            add = _builder(_Immediate, ()).add
            grads = _sweep(path, reached, wanted, seeds, _Immediate, add)
        finally:
            leave(token)
    return [grads.get(id(s)) for s in sources]


def _downstream(
    records: Sequence[Record], sources: set[int]
) -> tuple[list[Record], set[int]]:
    """The differentiable records that depend on the sources, and what they touch."""
    reached = set(sources)
    path = []
    for record in records:
        if reached.isdisjoint(map(id, record.inputs)) or record.op.vjp is None:
            continue
        for t in record.outputs:
            if t.dtype.is_inexact:
                reached.add(id(t))
        path.append(record)
    return path, reached


def _sweep(
    path: Sequence[Record],
    reached: set[int],
    wanted: set[int],
    seeds: Sequence[tuple[Any, Any]],
    kind: type[_Selective],
    add: Callable[[Any, Any], Any],
) -> dict[int, Any]:
    """Cotangents by identity, those of `wanted` at least."""
    grads: dict[int, Any] = {}
    for target, seed in seeds:
        before = grads.get(id(target))
        grads[id(target)] = seed if before is None else add(before, seed)
    tracing = state.trace is not None
    for record in reversed(path):
        op, inputs, outputs, attrs = record
        cotangent = _take(outputs, grads, wanted)
        if cotangent is None:
            continue
        mask = tuple([id(x) in reached for x in inputs])
        # Rules of control flow run those of other ops, which the mask does not fit.
        every = all(mask) or (type(op) is Op and op.kind is _CONTROL)
        b = _builder(kind, () if every else mask)
        y = outputs if len(outputs) > 1 else outputs[0]
        if tracing:
            with _as_made_by(outputs[0]):
                found = op.vjp(b, cotangent, y, *inputs, **attrs)
        else:
            found = op.vjp(b, cotangent, y, *inputs, **attrs)
        for x, g, needed in zip(inputs, found, mask, strict=True):
            if needed and g is not None:
                key = id(x)
                before = grads.get(key)
                grads[key] = g if before is None else add(before, g)
    return grads


def _take(outputs: tuple[Any, ...], grads: dict[int, Any], wanted: set[int]) -> Any:
    """The finished cotangents of an op's results; None if no target needs them."""
    if len(outputs) == 1:
        key = id(outputs[0])
        return grads.get(key) if key in wanted else grads.pop(key, None)
    found = []
    for t in outputs:
        key = id(t)
        found.append(grads.get(key) if key in wanted else grads.pop(key, None))
    if all(g is None for g in found):
        return None
    return tuple(
        builder.zeros_like(t) if g is None and t.dtype.is_inexact else g
        for g, t in zip(found, outputs, strict=True)
    )


@contextmanager
def _as_made_by(output: Any) -> Iterator[None]:
    """Backward ops of a trace carry the line and the scope of their forward op."""
    if not isinstance(output, TracedTensor):
        yield
        return
    node = output._value.node
    before = state.location, state.scopes
    state.location = node.loc if node.loc.line else before[0]
    state.scopes = tuple(node.scope.split("/")) if node.scope else ()
    try:
        yield
    finally:
        state.location, state.scopes = before
