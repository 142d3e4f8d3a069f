"""The reverse sweep: cotangents from targets to sources, over recorded ops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from jitflow.ops.dispatch import builder
from jitflow.tensor.state import state
from jitflow.tensor.tensor import TracedTensor


class Record(NamedTuple):
    """One op that was applied: the op record, its operands, results and attributes.

    ``op`` is anything with ``name`` and ``vjp(b, g, y, *inputs, **attrs)``.
    """

    op: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    attrs: Any


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
    grads: dict[int, Any] = {}
    for target, seed in seeds:
        _accumulate(grads, target, seed)
    for record in reversed(path):
        cotangents = _take(record, grads, wanted)
        if cotangents is None:
            continue
        with _as_made_by(record.outputs[0]):
            for x, g in zip(record.inputs, _pull(record, cotangents), strict=True):
                if g is not None and id(x) in reached:
                    _accumulate(grads, x, g)
    return [grads.get(id(s)) for s in sources]


def _downstream(
    records: Sequence[Record], sources: set[int]
) -> tuple[list[Record], set[int]]:
    """The differentiable records that depend on the sources, and what they touch."""
    reached = set(sources)
    path = []
    for record in records:
        if record.op.vjp is None or reached.isdisjoint(map(id, record.inputs)):
            continue
        reached.update(id(t) for t in record.outputs if t.dtype.is_inexact)
        path.append(record)
    return path, reached


def _accumulate(grads: dict[int, Any], tensor: Any, gradient: Any) -> None:
    key = id(tensor)
    before = grads.get(key)
    grads[key] = gradient if before is None else builder.add(before, gradient)


def _take(record: Record, grads: dict[int, Any], wanted: set[int]) -> list[Any] | None:
    """The finished cotangents of an op's results; None if no target needs them."""
    found = [grads.get(id(t)) for t in record.outputs]
    for t in record.outputs:
        if id(t) not in wanted:
            grads.pop(id(t), None)
    return None if all(g is None for g in found) else found


def _pull(record: Record, cotangents: list[Any]) -> Sequence[Any]:
    outputs = record.outputs
    if len(outputs) == 1:
        g, y = cotangents[0], outputs[0]
        return record.op.vjp(builder, g, y, *record.inputs, **record.attrs)
    full = tuple(
        builder.zeros_like(t) if g is None and t.dtype.is_inexact else g
        for g, t in zip(cotangents, outputs, strict=True)
    )
    return record.op.vjp(builder, full, outputs, *record.inputs, **record.attrs)


@contextmanager
def _as_made_by(output: Any) -> Iterator[None]:
    """Backward ops of a trace carry the line and the scope of their forward op."""
    if state.trace is None or not isinstance(output, TracedTensor):
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
