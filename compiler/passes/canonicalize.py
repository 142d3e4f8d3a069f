"""Canonical forms: one way to write each thing, so that other passes match one way.

- Literals are scalars that are broadcast, and stand on the right.
- ``broadcast_in_dim`` maps increasing dimensions and stretches none of size 1: its
  operand has no dimension of size 1, and if it only adds such it is a ``reshape``.
- Chains of reshapes, transposes, broadcasts and slices are one op; those that do
  nothing are gone; a transpose that only moves dimensions of size 1 is a reshape.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from compiler.ir.dims import Dim, SymDim
from compiler.ir.node import Graph, Node, Value
from compiler.passes.context import PassContext
from compiler.passes.kinds import ELEMENTWISE, REDUCTIONS
from compiler.passes.pattern import EXACT, Match, Rule, X, Y, apply_of
from compiler.passes.rewriter import apply_rules, rule_table
from compiler.passes.values import (
    drop_ones,
    is_identity,
    is_increasing,
    is_literal,
    is_uniform,
    splat,
)

COMMUTATIVE = ("add", "multiply", "maximum", "minimum", "and", "or", "xor")
MIRRORED = {"EQ": "EQ", "NE": "NE", "LT": "GT", "GT": "LT", "LE": "GE", "GE": "LE"}
ZERO_SUM = "the sign of a zero: a sum starts from +0.0 or from its first element"
BROADCAST = "broadcast_in_dim"
# Ops that only move elements of their first operand.
MOVES = (BROADCAST, "reshape", "transpose", "slice", "reverse")


def _same_type(node: Node) -> bool:
    return node.inputs[0].type == node.outputs[0].type


def _literal_left(node: Node) -> bool:
    left, right = node.inputs
    return is_literal(left) and not is_literal(right)


def _swap(m: Match) -> Value:
    left, right = m.operands
    return m.b.apply(m.node.op, (right, left), m.attrs)


def _mirror(m: Match) -> Value:
    left, right = m.operands
    return m.b.compare(right, left, direction=MIRRORED[m.attrs["direction"]])


def _uniform_literal(node: Node) -> bool:
    array = node.attrs["value"].array
    return array.ndim > 0 and is_uniform(array)


def _as_splat(m: Match) -> Value:
    array = m.attrs["value"].array
    scalar = m.b.constant(array.reshape(-1)[:1].reshape(()))
    return m.b.broadcast_in_dim(scalar, dims=(), shape=array.shape)


def _moved_splat(m: Match) -> Value | None:
    """Moving the elements of a repeated scalar is repeating it again."""
    scalar = splat(m.operands[0])
    if scalar is None:
        return None
    if m.out.shape and m.operands[0] is scalar and m.node.op.name == BROADCAST:
        return None
    return m.b.broadcast(scalar, m.out.shape)


# ------------------------------------------------------------------ broadcast, reshape


def _broadcast_is_reshape(m: Match) -> Value | None:
    x, out = m["x"], m.out
    if splat(x) is not None or not is_increasing(m.attrs["dims"]):
        return None
    if drop_ones(x.shape) != drop_ones(out.shape):
        return None
    return m.b.reshape(x, shape=out.shape)


def _squeeze_broadcast(m: Match) -> Value | None:
    x, dims = m["x"], m.attrs["dims"]
    if 1 not in x.shape:
        return None
    kept = tuple(d for d, size in zip(dims, x.shape, strict=True) if size != 1)
    small = m.b.reshape(x, shape=drop_ones(x.shape))
    return m.b.broadcast_in_dim(small, dims=kept, shape=m.out.shape)


def _sort_broadcast(m: Match) -> Value | None:
    """Broadcast in increasing order of dimensions, transposing the small operand."""
    dims = m.attrs["dims"]
    if is_increasing(dims):
        return None
    order = tuple(int(i) for i in np.argsort(dims))
    small = m.b.transpose(m["x"], permutation=order)
    return m.b.broadcast_in_dim(small, dims=tuple(sorted(dims)), shape=m.out.shape)


def _compose_broadcasts(m: Match) -> Value:
    inner, outer = m["inner"].attrs["dims"], m.attrs["dims"]
    dims = tuple(outer[d] for d in inner)
    return m.b.broadcast_in_dim(m["x"], dims=dims, shape=m.out.shape)


# ------------------------------------------------------------------ transpose, slice


def _compose_transposes(m: Match) -> Value:
    inner, outer = m["inner"].attrs["permutation"], m.attrs["permutation"]
    return m.b.transpose(m["x"], permutation=tuple(inner[p] for p in outer))


def _transpose_is_reshape(m: Match) -> Value | None:
    x, permutation = m["x"], m.attrs["permutation"]
    moved = [p for p in permutation if x.shape[p] != 1]
    if is_identity(permutation) or not is_increasing(moved):
        return None
    return m.b.reshape(x, shape=m.out.shape)


def _whole_slice(node: Node) -> bool:
    return _same_type(node) and all(s == 1 for s in node.attrs["strides"])


def _compose_slices(m: Match) -> Value | None:
    inner, outer = m["inner"].attrs, m.attrs
    scales = inner["strides"]
    start = tuple(
        s + e * scale
        for s, e, scale in zip(inner["start"], outer["start"], scales, strict=True)
    )
    strides = tuple(
        s * scale for s, scale in zip(outer["strides"], scales, strict=True)
    )
    spans = [_span(n, s) for n, s in zip(m.out.shape, strides, strict=True)]
    if any(span is None for span in spans):
        return None
    limit = tuple(s + span for s, span in zip(start, spans, strict=True))
    return m.b.slice(m["x"], start=start, limit=limit, strides=strides)


def _span(count: Dim, stride: int) -> Dim | None:
    """From the first element to behind the last; a multiple could pass the limit."""
    if stride == 1 or count == 0:
        return count
    return None if isinstance(count, SymDim) else (count - 1) * stride + 1


def _no_padding(node: Node) -> bool:
    edges = (*node.attrs["low"], *node.attrs["high"], *node.attrs["interior"])
    return not any(edges)


def _reversed_nothing(node: Node) -> bool:
    shape = node.inputs[0].shape
    return all(shape[d] == 1 for d in node.attrs["dims"])


# ------------------------------------------------------------------ concatenate


def _concatenate_flat(m: Match) -> Value | None:
    """Drop empty operands, and take in operands that are concatenations themselves."""
    axis = m.attrs["dimension"]
    parts: list[Value] = []
    for value in m.operands:
        node = value.node
        if node.op.name == "concatenate" and node.attrs["dimension"] == axis:
            parts.extend(node.inputs)
        elif value.shape[axis] != 0:
            parts.append(value)
    parts = parts or [m.operands[0]]
    if len(parts) == 1:
        return parts[0]
    if tuple(parts) == m.operands:
        return None
    return m.b.concatenate(*parts, dimension=axis)


def _slice_of_concatenate(m: Match) -> Value | None:
    """A slice that lies in one operand of a concatenation is a slice of it."""
    whole, axis = m["whole"], m["whole"].attrs["dimension"]
    begin, end = m.attrs["start"][axis], m.attrs["limit"][axis]
    offset = 0
    for part in whole.inputs:
        size = part.shape[axis]
        if not all(isinstance(n, int) for n in (size, begin, end)):
            return None
        if offset <= begin and end <= offset + size:
            return _slice_part(m, part, axis, offset)
        offset += size
    return None


def _slice_part(m: Match, part: Value, axis: int, offset: int) -> Value:
    def shift(ends: Sequence[int]) -> tuple[int, ...]:
        return tuple(e - offset if d == axis else e for d, e in enumerate(ends))

    start, limit = shift(m.attrs["start"]), shift(m.attrs["limit"])
    return m.b.slice(part, start=start, limit=limit, strides=m.attrs["strides"])


# ------------------------------------------------------------------ reductions


def _reduce_ones(m: Match) -> Value | None:
    """Reducing a dimension of size 1 is dropping it."""
    x, axes = m["x"], m.attrs["axes"]
    if not axes:
        return x
    ones = [a for a in axes if x.shape[a] == 1]
    if not ones:
        return None
    kept = [i for i in range(len(x.shape)) if i not in ones]
    small = m.b.reshape(x, shape=tuple(x.shape[i] for i in kept))
    left = tuple(kept.index(a) for a in axes if a not in ones)
    return m.b.apply(m.node.op, (small,), {"axes": left})


# ------------------------------------------------------------------ sizes


def _size_of_operand(m: Match) -> Value | None:
    """The size of a dimension, asked of the value it comes from.

    Dimensions are followed by what the op does, never by comparing sizes: two sizes
    that happen to be equal now need not be equal at the next call.
    """
    node = m.operands[0].node
    dim = _source_dim(node, m.attrs["dim"])
    if dim is None:
        return None
    return m.b.get_dimension_size(node.inputs[0], dim=dim)


def _source_dim(node: Node, dim: int) -> int | None:
    """Which dimension of a node's first operand is dimension `dim` of its result."""
    name, attrs = node.op.name, node.attrs
    if name in ELEMENTWISE:
        return dim
    if name == "transpose":
        return attrs["permutation"][dim]
    if name in REDUCTIONS:
        rank = node.inputs[0].type.rank
        return [d for d in range(rank) if d not in attrs["axes"]][dim]
    if name == BROADCAST and dim in attrs["dims"]:
        source = attrs["dims"].index(dim)
        return None if node.inputs[0].shape[source] == 1 else source
    return None


RULES: tuple[Rule, ...] = (
    Rule(
        "literal_right",
        apply_of(COMMUTATIVE, where=_literal_left),
        _swap,
        "c + x -> x + c; also * max min and or xor",
    ),
    Rule(
        "compare_literal_right",
        apply_of("compare", where=_literal_left),
        _mirror,
        "c < x -> x > c",
    ),
    Rule(
        "splat_literal",
        apply_of("constant", where=_uniform_literal),
        _as_splat,
        "a literal of equal elements -> a broadcast scalar",
    ),
    Rule(
        "move_splat",
        apply_of(MOVES),
        _moved_splat,
        "reshape, transpose, slice... of a broadcast scalar -> a broadcast scalar",
    ),
    Rule(
        "convert_same",
        apply_of("convert bitcast_convert", X, where=_same_type),
        lambda m: m["x"],
        "convert to the dtype it has -> x",
    ),
    Rule(
        "reshape_same",
        apply_of("reshape", X, where=_same_type),
        lambda m: m["x"],
        "reshape to the shape it has -> x",
    ),
    Rule(
        "compose_reshapes",
        apply_of("reshape", apply_of("reshape", X)),
        lambda m: m.b.reshape(m["x"], shape=m.out.shape),
        "reshape(reshape(x)) -> reshape(x)",
    ),
    Rule(
        "broadcast_is_reshape",
        apply_of(BROADCAST, X),
        _broadcast_is_reshape,
        "a broadcast that adds only dimensions of size 1 -> reshape",
    ),
    Rule(
        "compose_broadcasts",
        apply_of(BROADCAST, apply_of(BROADCAST, X, name="inner")),
        _compose_broadcasts,
        "broadcast(broadcast(x)) -> broadcast(x)",
    ),
    Rule(
        "squeeze_broadcast",
        apply_of(BROADCAST, X),
        _squeeze_broadcast,
        "a broadcast operand loses its dimensions of size 1",
    ),
    Rule(
        "sort_broadcast",
        apply_of(BROADCAST, X),
        _sort_broadcast,
        "broadcast to permuted dimensions -> broadcast of the transposed operand",
    ),
    Rule(
        "transpose_same",
        apply_of(
            "transpose", X, where=lambda node: is_identity(node.attrs["permutation"])
        ),
        lambda m: m["x"],
        "transpose by the identity -> x",
    ),
    Rule(
        "compose_transposes",
        apply_of("transpose", apply_of("transpose", X, name="inner")),
        _compose_transposes,
        "transpose(transpose(x)) -> transpose(x)",
    ),
    Rule(
        "transpose_is_reshape",
        apply_of("transpose", X),
        _transpose_is_reshape,
        "a transpose that moves only dimensions of size 1 -> reshape",
    ),
    Rule(
        "slice_whole",
        apply_of("slice", X, where=_whole_slice),
        lambda m: m["x"],
        "a slice of everything -> x",
    ),
    Rule(
        "compose_slices",
        apply_of("slice", apply_of("slice", X, name="inner")),
        _compose_slices,
        "slice(slice(x)) -> slice(x)",
    ),
    Rule(
        "slice_of_concatenate",
        apply_of("slice", apply_of("concatenate", name="whole")),
        _slice_of_concatenate,
        "a slice inside one operand of a concatenation -> a slice of that operand",
    ),
    Rule(
        "pad_nothing",
        apply_of("pad", X, Y, where=_no_padding),
        lambda m: m["x"],
        "padding by nothing -> x",
    ),
    Rule(
        "reverse_nothing",
        apply_of("reverse", X, where=_reversed_nothing),
        lambda m: m["x"],
        "reversing dimensions of size 1 -> x",
    ),
    Rule(
        "concatenate_flat",
        apply_of("concatenate"),
        _concatenate_flat,
        "nested, single and empty operands of a concatenation",
    ),
    Rule(
        "size_of_operand",
        apply_of("get_dimension_size"),
        _size_of_operand,
        "the size of a dimension of f(x) -> the size of that dimension of x",
    ),
    *(
        Rule(
            f"{name}_of_one",
            apply_of(name, X),
            _reduce_ones,
            f"{name} over no axes, or over a dimension of size 1 -> reshape",
            ZERO_SUM if name == "reduce_sum" else EXACT,
        )
        for name in REDUCTIONS
    ),
)
_TABLE = rule_table(RULES)


def canonicalize(graph: Graph, ctx: PassContext) -> Graph:
    """Rewrite to canonical forms; see the module."""
    return apply_rules(graph, "canonicalize", _TABLE, ctx)
