"""Convolutions and windowed reductions in terms of ops that kernels and products run.

A convolution is a matrix product of the windows of its input (`patches`) with the
filter. Its filter gradient is the product of the same windows with the output's
gradient; its input gradient a product of windows of that gradient with the filter,
turned round. A windowed reduction of few elements is a chain of strided slices, which
fuses with its neighbours.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from math import prod
from typing import Any

from compiler.ir.builder import BuilderOps
from compiler.ir.node import Graph, Node, Value
from compiler.ops.reductions import highest, lowest
from compiler.passes.context import PassContext
from compiler.passes.pattern import Match, Rule, apply_of
from compiler.passes.rewriter import apply_rules, rule_table

Ints = tuple[int, ...]
# Windows of more elements are left to a routine that does not unroll them.
MAX_UNROLLED = 32

ORDER_OF_SUMS = "the order of a float sum changes"


def _is_real(node: Node) -> bool:
    return node.output.dtype.is_float and node.output.dtype.bits >= 32


# -- convolution ----------------------------------------------------------------------


def _windows(m: Match, x: Value, window: Ints) -> Value:
    """The windows of the input that a convolution multiplies with its filter."""
    a = m.attrs
    ones = (1,) * len(window)
    if prod(window) == 1 and a["strides"] == ones and not any((*a["low"], *a["high"])):
        shape = (*x.shape[:-1], *window, x.shape[-1])
        return m.b.reshape(x, shape=shape)
    return m.b.patches(
        x,
        window=window,
        strides=a["strides"],
        low=a["low"],
        high=a["high"],
        dilation=a["dilation"],
        spacing=ones,
    )


def _split(b: BuilderOps, x: Value, axis: int, groups: int) -> Value:
    """One axis as ``(groups, rest)``."""
    shape = x.shape
    rest = shape[axis] // groups
    return b.reshape(x, shape=(*shape[:axis], groups, rest, *shape[axis + 1 :]))


def _forward(m: Match) -> Value:
    b, (x, w), groups = m.b, m.operands, m.attrs["groups"]
    n = x.type.rank - 2
    columns = _windows(m, x, w.shape[:n])
    # columns[n, p, k, c] and w[k, c, o]
    k, places = tuple(range(1 + n, 1 + 2 * n)), 1 + n
    if groups == 1:
        contract = ((*k, 1 + 2 * n), tuple(range(n + 1)))
        return b.dot_general(columns, w, contract=contract, batch=((), ()))
    columns = _split(b, columns, 1 + 2 * n, groups)
    w = _split(b, w, 1 + n, groups)
    contract = ((*k, 2 + 2 * n), tuple(range(n + 1)))
    y = b.dot_general(columns, w, contract=contract, batch=((1 + 2 * n,), (1 + n,)))
    # y[groups, n, p, o] back to [n, p, groups * o]
    order = (*range(1, 1 + places), 0, 1 + places)
    return b.reshape(b.transpose(y, permutation=order), shape=m.out.shape)


def _filter_gradient(m: Match) -> Value:
    b, (x, g), groups = m.b, m.operands, m.attrs["groups"]
    n = x.type.rank - 2
    columns = _windows(m, x, m.attrs["shape"][:n])
    places = tuple(range(1 + n))
    if groups == 1:
        return b.dot_general(columns, g, contract=(places, places), batch=((), ()))
    columns = _split(b, columns, 1 + 2 * n, groups)
    g = _split(b, g, 1 + n, groups)
    batch = ((1 + 2 * n,), (1 + n,))
    w = b.dot_general(columns, g, contract=(places, places), batch=batch)
    # w[groups, k, c, o] to [k, c, groups, o]
    order = (*range(1, 2 + n), 0, 2 + n)
    return b.reshape(b.transpose(w, permutation=order), shape=m.out.shape)


def _input_gradient(m: Match) -> Value:
    b, (g, w), a = m.b, m.operands, m.attrs
    n, groups = g.type.rank - 2, a["groups"]
    window = w.shape[:n]
    reach = [(k - 1) * d for k, d in zip(window, a["dilation"], strict=True)]
    low = tuple(r - lo for r, lo in zip(reach, a["low"], strict=True))
    sizes = a["shape"][1:-1]
    spread = [
        (size - 1) * s + 1 for size, s in zip(g.shape[1:-1], a["strides"], strict=True)
    ]
    high = tuple(
        size - 1 + r + 1 - lo - have
        for size, r, lo, have in zip(sizes, reach, low, spread, strict=True)
    )
    columns = b.patches(
        g,
        window=window,
        strides=(1,) * n,
        low=low,
        high=high,
        dilation=a["dilation"],
        spacing=a["strides"],
    )
    turned = b.reverse(w, dims=tuple(range(n)))
    k = tuple(range(1 + n, 1 + 2 * n))
    if groups == 1:
        # columns[n, s, k, o] and turned[k, c, o]
        contract = ((*k, 1 + 2 * n), (*range(n), n + 1))
        return b.dot_general(columns, turned, contract=contract, batch=((), ()))
    columns = _split(b, columns, 1 + 2 * n, groups)
    turned = _split(b, turned, 1 + n, groups)
    # columns[n, s, k, groups, o] and turned[k, c, groups, o]
    contract = ((*k, 2 + 2 * n), (*range(n), n + 2))
    batch = ((1 + 2 * n,), (1 + n,))
    x = b.dot_general(columns, turned, contract=contract, batch=batch)
    order = (*range(1, 2 + n), 0, 2 + n)
    return b.reshape(b.transpose(x, permutation=order), shape=m.out.shape)


# -- windowed reductions --------------------------------------------------------------


def _is_small(node: Node) -> bool:
    return (
        prod(node.attrs["window"]) <= MAX_UNROLLED and not node.output.dtype.is_complex
    )


def _visits(
    b: BuilderOps, x: Value, filler: Any, out: tuple[Any, ...], a: dict[str, Any]
) -> Iterator[Value]:
    """For every element of the window, what it sees at each position."""
    if any((*a["low"], *a["high"])):
        none = (0,) * x.type.rank
        x = b.pad(
            x, b.scalar(filler, x.dtype), low=a["low"], high=a["high"], interior=none
        )
    for place in itertools.product(*map(range, a["window"])):
        start = tuple(k * d for k, d in zip(place, a["dilation"], strict=True))
        limit = tuple(
            lo + (n - 1) * s + 1
            for lo, n, s in zip(start, out, a["strides"], strict=True)
        )
        yield b.slice(x, start=start, limit=limit, strides=a["strides"])


_COMBINE: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "add": ("add", lambda dtype: 0),
    "max": ("maximum", lowest),
    "min": ("minimum", highest),
}


def _reduce_window(m: Match) -> Value | None:
    (x,), out = m.operands, m.out.shape
    if any(d == 0 for d in out):
        return None
    name, identity = _COMBINE[m.attrs["combine"]]
    parts = _visits(m.b, x, identity(x.dtype), out, m.attrs)
    total = next(parts)
    for part in parts:
        total = getattr(m.b, name)(total, part)
    return total


def _select_and_scatter(m: Match) -> Value | None:
    """Give each window's gradient to its first extremum, and add up what overlaps."""
    b, (x, g), a = m.b, m.operands, m.attrs
    out = g.shape
    if any(d == 0 for d in (*out, *x.shape)):
        return None
    name, identity = _COMBINE[a["select"]]
    seen = list(_visits(b, x, identity(x.dtype), out, a))
    extremum = seen[0]
    for part in seen[1:]:
        extremum = getattr(b, name)(extremum, part)
    total: Value | None = None
    taken: Value | None = None
    places = itertools.product(*map(range, a["window"]))
    for place, part in zip(places, seen, strict=True):
        hit = getattr(b, "or")(
            b.compare(part, extremum, direction="EQ"),
            b.compare(part, part, direction="NE"),
        )
        mine = (
            hit if taken is None else getattr(b, "and")(hit, getattr(b, "not")(taken))
        )
        taken = hit if taken is None else getattr(b, "or")(taken, hit)
        share = b.select(mine, g, b.zeros_like(g))
        spread = _spread(b, share, x, place, a)
        total = spread if total is None else b.add(total, spread)
    return total


def _spread(
    b: BuilderOps, share: Value, x: Value, place: Ints, a: dict[str, Any]
) -> Value:
    """Values of window positions put where one window element sits in the operand."""
    low = tuple(
        k * d - lo for k, d, lo in zip(place, a["dilation"], a["low"], strict=True)
    )
    high = tuple(
        size - lo - (n - 1) * s - 1
        for size, lo, n, s in zip(x.shape, low, share.shape, a["strides"], strict=True)
    )
    interior = tuple(s - 1 for s in a["strides"])
    zero = b.scalar(0, share.dtype)
    return b.pad(share, zero, low=low, high=high, interior=interior)


RULES: tuple[Rule, ...] = (
    Rule(
        "convolution",
        apply_of("convolution", where=_is_real),
        _forward,
        "convolution(x, w) -> dot_general(patches(x), w)",
        ORDER_OF_SUMS,
    ),
    Rule(
        "convolution_filter_gradient",
        apply_of("convolution_filter_gradient", where=_is_real),
        _filter_gradient,
        "the filter's gradient -> dot_general(patches(x), g)",
        ORDER_OF_SUMS,
    ),
    Rule(
        "convolution_input_gradient",
        apply_of("convolution_input_gradient", where=_is_real),
        _input_gradient,
        "the input's gradient -> dot_general(patches(g), reverse(w))",
        ORDER_OF_SUMS,
    ),
    Rule(
        "reduce_window",
        apply_of("reduce_window", where=_is_small),
        _reduce_window,
        "reduce_window(x) -> slices of x, combined one after the other",
        ORDER_OF_SUMS,
    ),
    Rule(
        "select_and_scatter",
        apply_of("select_and_scatter", where=_is_small),
        _select_and_scatter,
        "select_and_scatter(x, g) -> sum over window elements of g where it is first",
        ORDER_OF_SUMS,
    ),
)
_TABLE = rule_table(RULES)


def decompose_windows(graph: Graph, ctx: PassContext) -> Graph:
    """Apply the rules; see the module."""
    return apply_rules(graph, "decompose_windows", _TABLE, ctx)
