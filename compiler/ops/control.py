"""Control flow: call, case, while and scan. Their bodies are graphs in attributes.

Bodies see nothing but their parameters. Loop invariants are operands of their own
(`num_consts`), so that they are neither copied per iteration nor carried.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compiler.errors import TypeInferenceError
from compiler.ir import types as t
from compiler.ir.builder import BuilderOps, GraphBuilder
from compiler.ir.dims import Dim
from compiler.ir.interpret import interpret
from compiler.ir.node import Graph
from compiler.ir.op import Kind, op
from compiler.ir.transform import batched, inline, pullback, pushforward
from compiler.ir.types import TensorType
from compiler.ops.common import batch_size, fail, or_zeros, with_batch_at

Types = Sequence[TensorType]


def check_signature(name: str, label: str, graph: Graph, given: Types) -> None:
    """The parameters of a body are exactly the operands."""
    wanted = graph.input_types
    if tuple(wanted) != tuple(given):
        fail(
            name,
            label,
            f"body {graph.name} takes ({_list(wanted)}), given ({_list(given)})",
        )


def _list(types: Types) -> str:
    return ", ".join(map(str, types))


def derived(name: str, types: Types) -> tuple[GraphBuilder, list[Any]]:
    """A builder with a parameter for each type."""
    b = GraphBuilder(name)
    return b, [b.parameter(type_) for type_ in types]


# -- call ---------------------------------------------------------------------------


def inexact(b: BuilderOps, xs: Sequence[Any]) -> list[int]:
    return [i for i, x in enumerate(xs) if b.type_of(x).dtype.is_inexact]


def as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def single(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else tuple(values)


@op("call", kind=Kind.CONTROL, attrs=("body",))
class Call:
    """The results of a graph.

    C1: the operands have the types of the body's parameters.
    """

    def infer(*xs: TensorType, body: Graph) -> tuple[TensorType, ...]:  # type: ignore[misc]
        check_signature("call", "C1", body, xs)
        return body.output_types

    def evaluate(*xs: Any, body: Graph) -> Any:  # type: ignore[misc]
        return single(interpret(body, *xs))

    def vjp(b: Any, g: Any, y: Any, *xs: Any, body: Graph) -> Any:  # type: ignore[misc]
        return tuple(pullback(b, body, xs, as_tuple(g)))

    def jvp(b: Any, ts: Any, y: Any, *xs: Any, body: Graph) -> Any:  # type: ignore[misc]
        return single(pushforward(b, body, xs, ts)[1])

    def batch(b: Any, xs: Any, dims: Any, *, body: Graph) -> Any:  # type: ignore[misc]
        results, axes = batched(b, body, xs, dims)
        return single(results), single(axes)

    emit = None


# -- case ---------------------------------------------------------------------------


def vjp_branch(graph: Graph, wrt: Sequence[int]) -> Graph:
    """``(operands, cotangents) -> cotangents of operands wrt``, zeros where unused."""
    b, params = derived(f"{graph.name}_vjp", [*graph.input_types, *graph.output_types])
    n = len(graph.params)
    found = pullback(b, graph, params[:n], params[n:])
    return b.build([or_zeros(b, found[i], params[i]) for i in wrt])


def jvp_branch(graph: Graph, moving: Sequence[int]) -> Graph:
    """``(operands, tangents of those that move) -> tangents of the results``."""
    types = graph.input_types
    b, params = derived(f"{graph.name}_jvp", [*types, *(types[i] for i in moving)])
    n = len(types)
    tangents: list[Any] = [None] * n
    for i, tangent in zip(moving, params[n:], strict=True):
        tangents[i] = tangent
    ys, ts = pushforward(b, graph, params[:n], tangents)
    kept = [(y, tan) for y, tan in zip(ys, ts, strict=True)]
    return b.build([or_zeros(b, tan, y) for y, tan in kept if y.dtype.is_inexact])


def batch_branch(graph: Graph, dims: Sequence[int | None], size: Dim) -> Graph:
    """The body over a batch: every result has the batch axis first."""
    types = [
        type_ if d is None else with_axis(type_, size)
        for type_, d in zip(graph.input_types, dims, strict=True)
    ]
    b, params = derived(f"{graph.name}_batch", types)
    inner = [None if d is None else 0 for d in dims]
    results, axes = batched(b, graph, params, inner)
    return b.build(
        with_batch_at(b, r, d, 0, size) for r, d in zip(results, axes, strict=True)
    )


def with_axis(type_: TensorType, size: Dim) -> TensorType:
    return type_.with_shape((size, *type_.shape))


@op("case", kind=Kind.CONTROL, attrs=("branches",))
class Case:
    """The results of the branch chosen by an index; outside the range, of the last.

    C1: the index is i32 of rank 0. C2: every branch takes the other operands.
    C3: all branches have results of equal types.
    """

    def infer(index: TensorType, *xs: TensorType, branches: Any) -> Any:  # type: ignore[misc]
        if index != TensorType(t.i32):
            fail("case", "C1", f"the index is i32[], given {index}")
        for branch in branches:
            check_signature("case", "C2", branch, xs)
            if branch.output_types != branches[0].output_types:
                fail(
                    "case",
                    "C3",
                    f"branches give ({_list(branches[0].output_types)}) and "
                    f"({_list(branch.output_types)})",
                )
        return branches[0].output_types

    def evaluate(index: Any, *xs: Any, branches: Any) -> Any:  # type: ignore[misc]
        chosen = int(index)
        if not 0 <= chosen < len(branches):
            chosen = len(branches) - 1
        return single(interpret(branches[chosen], *xs))

    def vjp(b: Any, g: Any, y: Any, index: Any, *xs: Any, branches: Any) -> Any:  # type: ignore[misc]
        ys = as_tuple(y)
        gs = [or_zeros(b, part, v) for part, v in zip(as_tuple(g), ys, strict=True)]
        wrt = inexact(b, xs)
        if not wrt:
            return (None,) * (len(xs) + 1)
        new = tuple(vjp_branch(branch, wrt) for branch in branches)
        found = as_tuple(b.case(index, *xs, *gs, branches=new))
        result: list[Any] = [None] * (len(xs) + 1)
        for i, part in zip(wrt, found, strict=True):
            result[i + 1] = part
        return tuple(result)

    def jvp(b: Any, ts: Any, y: Any, index: Any, *xs: Any, branches: Any) -> Any:  # type: ignore[misc]
        moving = [i for i, part in enumerate(ts[1:]) if part is not None]
        if not moving:
            return None
        new = tuple(jvp_branch(branch, moving) for branch in branches)
        tangents = [ts[i + 1] for i in moving]
        return spread(b, y, b.case(index, *xs, *tangents, branches=new))

    def batch(b: Any, xs: Any, dims: Any, *, branches: Any) -> Any:  # type: ignore[misc]
        size = batch_size(b, xs, dims)
        index, operands = xs[0], list(xs[1:])
        moved = [
            x if d is None else with_batch_at(b, x, d, 0, size)
            for x, d in zip(operands, dims[1:], strict=True)
        ]
        new = tuple(batch_branch(branch, dims[1:], size) for branch in branches)
        if dims[0] is None:
            results = as_tuple(b.case(index, *moved, branches=new))
        else:
            results = tuple(_select_branches(b, index, moved, new))
        return single(results), single((0,) * len(results))

    emit = None


def spread(b: Any, y: Any, tangents: Any) -> Any:
    """Tangents of the inexact results, None for the others."""
    parts = iter(as_tuple(tangents))
    return single(
        [next(parts) if b.type_of(v).dtype.is_inexact else None for v in as_tuple(y)]
    )


def _select_branches(b: Any, index: Any, xs: list[Any], branches: Any) -> list[Any]:
    """Every branch is computed; each row takes the one its index chooses."""
    found = inline(b, branches[-1], xs)
    for number, branch in reversed(list(enumerate(branches[:-1]))):
        chosen = b.compare(index, b.full_like(number, index), direction="EQ")
        for i, result in enumerate(inline(b, branch, xs)):
            shape = b.type_of(result).shape
            mask = b.broadcast_in_dim(chosen, dims=(0,), shape=shape)
            found[i] = b.select(mask, result, found[i])
    return found


# -- while --------------------------------------------------------------------------


@op("while", kind=Kind.CONTROL, attrs=("cond", "body", "num_consts"))
class While:
    """Apply `body` to the carried values while `cond` holds.

    The first `num_consts` operands are invariants, given to `cond` and `body` alike;
    the others are carried.

    C1: `cond` and `body` take all operands. C2: `cond` gives bool of rank 0.
    C3: `body` gives values of the carried types.
    """

    def infer(*xs: TensorType, cond: Graph, body: Graph, num_consts: int) -> Any:  # type: ignore[misc]
        check_signature("while", "C1", cond, xs)
        check_signature("while", "C1", body, xs)
        if cond.output_types != (TensorType(t.bool_),):
            fail("while", "C2", f"the condition gives {_list(cond.output_types)}")
        return check_carry("while", "C3", body.output_types, xs[num_consts:])

    def evaluate(*xs: Any, cond: Graph, body: Graph, num_consts: int) -> Any:  # type: ignore[misc]
        consts, carry = xs[:num_consts], xs[num_consts:]
        while bool(interpret(cond, *consts, *carry)[0]):
            carry = interpret(body, *consts, *carry)
        return single([np.asarray(c) for c in carry])

    def vjp(
        b: Any, g: Any, y: Any, *xs: Any, cond: Graph, body: Graph, num_consts: int
    ) -> Any:  # type: ignore[misc]
        raise TypeInferenceError(
            "a while loop without a known number of iterations has no reverse-mode "
            "gradient: its intermediate values are not kept",
            fix="use fori_loop with a fixed number of iterations, scan, or "
            "forward mode (jvp, jacfwd)",
        )

    def jvp(
        b: Any, ts: Any, y: Any, *xs: Any, cond: Graph, body: Graph, num_consts: int
    ) -> Any:  # type: ignore[misc]
        n = num_consts
        moving = inexact(b, xs)
        tangents = [or_zeros(b, ts[i], xs[i]) for i in moving]
        consts = [tan for i, tan in zip(moving, tangents, strict=True) if i < n]
        carried = [tan for i, tan in zip(moving, tangents, strict=True) if i >= n]
        operands = [*xs[:n], *consts, *xs[n:], *carried]
        new_cond = _widened(cond, b, operands, n, len(consts), None)
        new_body = _widened(body, b, operands, n, len(consts), moving)
        attrs = {"cond": new_cond, "body": new_body, "num_consts": n + len(consts)}
        results = as_tuple(getattr(b, "while")(*operands, **attrs))
        return spread(b, y, results[len(xs) - n :])

    def batch(
        b: Any, xs: Any, dims: Any, *, cond: Graph, body: Graph, num_consts: int
    ) -> Any:  # type: ignore[misc]
        size = batch_size(b, xs, dims)
        n = num_consts
        operands = [
            x if d is None and i < n else with_batch_at(b, x, d, 0, size)
            for i, (x, d) in enumerate(zip(xs, dims, strict=True))
        ]
        axes = [None if d is None and i < n else 0 for i, d in enumerate(dims)]
        each = batch_branch(cond, axes, size)
        new_cond = _any_of(each)
        new_body = _masked(batch_branch(body, axes, size), each, n)
        attrs = {"cond": new_cond, "body": new_body, "num_consts": n}
        results = as_tuple(getattr(b, "while")(*operands, **attrs))
        return single(results), single((0,) * len(results))

    emit = None


def check_carry(name: str, label: str, given: Types, carry: Types) -> Any:
    if tuple(given) != tuple(carry):
        fail(
            name,
            label,
            f"the loop carries ({_list(carry)}), its body gives ({_list(given)})",
        )
    return tuple(carry)


def _widened(
    graph: Graph,
    outer: Any,
    operands: Sequence[Any],
    n: int,
    extra: int,
    moving: list[int] | None,
) -> Graph:
    """A loop graph that takes tangents too, and gives them if `moving` is set."""
    b, params = derived(f"{graph.name}_jvp", [outer.type_of(x) for x in operands])
    count = len(graph.params)
    args = [*params[:n], *params[n + extra : extra + count]]
    if moving is None:
        return b.build(inline(b, graph, args))
    given = [*params[n : n + extra], *params[extra + count :]]
    tangents: list[Any] = [None] * count
    for i, tangent in zip(moving, given, strict=True):
        tangents[i] = tangent
    ys, ts = pushforward(b, graph, args, tangents)
    kept = [(y, tan) for y, tan in zip(ys, ts, strict=True) if y.dtype.is_inexact]
    return b.build([*ys, *(or_zeros(b, tan, y) for y, tan in kept)])


def _any_of(each: Graph) -> Graph:
    """True while some row goes on."""
    b, params = derived(f"{each.name}_any", each.input_types)
    (flags,) = inline(b, each, params)
    return b.build([b.reduce_or(flags, axes=(0,))])


def _masked(body: Graph, each: Graph, n: int) -> Graph:
    """The batched body; rows that are finished keep their values."""
    b, params = derived(f"{body.name}_masked", body.input_types)
    (flags,) = inline(b, each, params)
    results = []
    for old, new in zip(params[n:], inline(b, body, params), strict=True):
        mask = b.broadcast_in_dim(flags, dims=(0,), shape=old.shape)
        results.append(b.select(mask, new, old))
    return b.build(results)
