"""scan: a loop with a known number of iterations over slices of its operands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compiler.ir.dims import Dim
from compiler.ir.interpret import interpret
from compiler.ir.node import Graph
from compiler.ir.op import Kind, op
from compiler.ir.transform import batched, pullback, pushforward
from compiler.ir.types import TensorType
from compiler.ops.common import batch_size, fail, or_zeros, with_batch_at
from compiler.ops.control import (
    as_tuple,
    check_carry,
    check_signature,
    derived,
    inexact,
    single,
    spread,
    with_axis,
)

Types = Sequence[TensorType]


@op(
    "scan",
    kind=Kind.CONTROL,
    attrs=("body", "length", "num_carry", "num_consts", "reverse"),
)
class Scan:
    """Apply `body` for each of `length` slices, carrying values along.

    Operands: `num_consts` invariants, `num_carry` initial carried values, and arrays
    whose leading dimension is `length`. The body takes ``(consts, carry, slices)`` and
    gives ``(carry, rows)``; the results are the last carry and the rows, stacked. With
    `reverse` the slices are taken, and the rows put, from the last to the first.

    C1: the body takes invariants, carry and slices. C2: every scanned operand has
    leading dimension `length`. C3: the body gives values of the carried types first.
    """

    def infer(  # type: ignore[misc]
        *xs: TensorType,
        body: Graph,
        length: Dim,
        num_carry: int,
        num_consts: int,
        reverse: bool,
    ) -> Any:
        head = num_consts + num_carry
        for x in xs[head:]:
            if x.rank == 0 or x.shape[0] != length:
                fail("scan", "C2", f"{x} has no leading dimension of {length}")
        slices = [x.with_shape(x.shape[1:]) for x in xs[head:]]
        check_signature("scan", "C1", body, [*xs[:head], *slices])
        given = body.output_types
        check_carry("scan", "C3", given[:num_carry], xs[num_consts:head])
        rows = tuple(with_axis(type_, length) for type_ in given[num_carry:])
        return (*given[:num_carry], *rows)

    def evaluate(  # type: ignore[misc]
        *xs: Any,
        body: Graph,
        length: int,
        num_carry: int,
        num_consts: int,
        reverse: bool,
    ) -> Any:
        head = num_consts + num_carry
        consts, carry, scanned = xs[:num_consts], xs[num_consts:head], xs[head:]
        types = body.output_types[num_carry:]
        stacked = [np.empty(_static(length, y), y.dtype.np) for y in types]
        for i in reversed(range(length)) if reverse else range(length):
            results = interpret(body, *consts, *carry, *(x[i] for x in scanned))
            carry = results[:num_carry]
            for rows, row in zip(stacked, results[num_carry:], strict=True):
                rows[i] = row
        return single([*(np.array(c) for c in carry), *stacked])

    def vjp(  # type: ignore[misc]
        b: Any,
        g: Any,
        y: Any,
        *xs: Any,
        body: Graph,
        length: Dim,
        num_carry: int,
        num_consts: int,
        reverse: bool,
    ) -> Any:
        plan = _Backward(b, xs, body, length, num_carry, num_consts, reverse)
        return plan.run(as_tuple(g), as_tuple(y))

    def jvp(  # type: ignore[misc]
        b: Any,
        ts: Any,
        y: Any,
        *xs: Any,
        body: Graph,
        length: Dim,
        num_carry: int,
        num_consts: int,
        reverse: bool,
    ) -> Any:
        head = num_consts + num_carry
        parts = (xs[:num_consts], xs[num_consts:head], xs[head:])
        tangents = _parted_tangents(b, xs, ts, num_consts, head)
        operands = [
            v for part, tan in zip(parts, tangents, strict=True) for v in (*part, *tan)
        ]
        counts = [(len(p), len(tan)) for p, tan in zip(parts, tangents, strict=True)]
        new = _jvp_body(body, counts, _moving(b, xs), num_carry)
        (c, dc), (k, dk), _ = counts
        results = b.scan(
            *operands,
            body=new,
            length=length,
            num_carry=k + dk,
            num_consts=c + dc,
            reverse=reverse,
        )
        results = as_tuple(results)
        rows = results[k + dk :]
        return spread(b, y, (*results[k : k + dk], *rows[len(as_tuple(y)) - k :]))

    def batch(  # type: ignore[misc]
        b: Any,
        xs: Any,
        dims: Any,
        *,
        body: Graph,
        length: Dim,
        num_carry: int,
        num_consts: int,
        reverse: bool,
    ) -> Any:
        size = batch_size(b, xs, dims)
        head = num_consts + num_carry
        operands: list[Any] = []
        axes: list[int | None] = []
        for i, (x, d) in enumerate(zip(xs, dims, strict=True)):
            carried = num_consts <= i < head
            if d is None and not carried:
                operands.append(x)
                axes.append(None)
            else:
                target = 1 if i >= head else 0
                operands.append(with_batch_at(b, x, d, target, size))
                axes.append(0)
        new = _batch_body(body, axes, size)
        results = as_tuple(
            b.scan(
                *operands,
                body=new,
                length=length,
                num_carry=num_carry,
                num_consts=num_consts,
                reverse=reverse,
            )
        )
        out = (0,) * num_carry + (1,) * (len(results) - num_carry)
        return single(results), single(out)

    emit = None


def _static(length: int, row: TensorType) -> tuple[Any, ...]:
    """Shape of stacked rows; symbols have been replaced by sizes."""
    return (length, *row.shape)


def _moving(b: Any, xs: Sequence[Any]) -> list[bool]:
    return [b.type_of(x).dtype.is_inexact for x in xs]


def _parted_tangents(
    b: Any, xs: Sequence[Any], ts: Sequence[Any], n: int, head: int
) -> tuple[list[Any], list[Any], list[Any]]:
    """Tangents of the inexact operands, zeros where there is none, in three parts."""
    found: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
    for i in inexact(b, xs):
        part = 0 if i < n else 1 if i < head else 2
        found[part].append(or_zeros(b, ts[i], xs[i]))
    return found


def _jvp_body(
    body: Graph, counts: list[tuple[int, int]], moving: list[bool], num_carry: int
) -> Graph:
    """The body over values and tangents, each part followed by its tangents."""
    types: list[TensorType] = []
    position = 0
    for count, _ in counts:
        own = list(body.input_types[position : position + count])
        flags = moving[position : position + count]
        types += own + [x for x, m in zip(own, flags, strict=True) if m]
        position += count
    b, params = derived(f"{body.name}_jvp", types)
    args: list[Any] = []
    tangents: list[Any] = []
    at = position = 0
    for count, extra in counts:
        given = iter(params[at + count : at + count + extra])
        flags = moving[position : position + count]
        args += params[at : at + count]
        tangents += [next(given) if m else None for m in flags]
        at += count + extra
        position += count
    ys, ts = pushforward(b, body, args, tangents)
    full = [
        or_zeros(b, tan, y) if y.dtype.is_inexact else None
        for y, tan in zip(ys, ts, strict=True)
    ]
    carry = [*ys[:num_carry], *(v for v in full[:num_carry] if v is not None)]
    rows = [*ys[num_carry:], *(v for v in full[num_carry:] if v is not None)]
    return b.build([*carry, *rows])


def _batch_body(body: Graph, axes: list[int | None], size: Dim) -> Graph:
    types = [
        type_ if d is None else with_axis(type_, size)
        for type_, d in zip(body.input_types, axes, strict=True)
    ]
    b, params = derived(f"{body.name}_batch", types)
    results, found = batched(b, body, params, axes)
    return b.build(
        with_batch_at(b, r, d, 0, size) for r, d in zip(results, found, strict=True)
    )


class _Backward:
    """Reverse mode: keep every carry on a forward run, then run the loop backwards."""

    def __init__(
        self,
        b: Any,
        xs: Sequence[Any],
        body: Graph,
        length: Dim,
        num_carry: int,
        num_consts: int,
        reverse: bool,
    ) -> None:
        self.b, self.body, self.length, self.reverse = b, body, length, reverse
        head = num_consts + num_carry
        self.consts, self.carry = xs[:num_consts], xs[num_consts:head]
        self.scanned = xs[head:]
        self.num_carry = num_carry
        types = body.input_types
        self.const_types, self.carry_types = types[:num_consts], types[num_consts:head]
        self.slice_types = types[head:]
        self.row_types = body.output_types[num_carry:]

    def run(self, g: tuple[Any, ...], y: tuple[Any, ...]) -> tuple[Any, ...]:
        b = self.b
        gs = [
            or_zeros(b, part, v) if b.type_of(v).dtype.is_inexact else None
            for part, v in zip(g, y, strict=True)
        ]
        d_carry = [v for v in gs[: self.num_carry] if v is not None]
        d_rows = [v for v in gs[self.num_carry :] if v is not None]
        kept = self._forward()
        d_consts = [
            b.full(0, type_) for type_ in self.const_types if type_.dtype.is_inexact
        ]
        results = as_tuple(
            b.scan(
                *self.consts,
                *d_consts,
                *d_carry,
                *kept,
                *self.scanned,
                *d_rows,
                body=self._backward_body(),
                length=self.length,
                num_carry=len(d_consts) + len(d_carry),
                num_consts=len(self.consts),
                reverse=not self.reverse,
            )
        )
        parts = iter(results)
        wanted = (*self.const_types, *self.carry_types, *self.slice_types)
        return tuple(next(parts) if x.dtype.is_inexact else None for x in wanted)

    def _forward(self) -> tuple[Any, ...]:
        """The carry at the start of every iteration, stacked."""
        types = [*self.const_types, *self.carry_types, *self.slice_types]
        b, params = derived(f"{self.body.name}_keep", types)
        n = len(self.const_types)
        before = params[n : n + self.num_carry]
        from_body = _run_body(b, self.body, params)[: self.num_carry]
        results = as_tuple(
            self.b.scan(
                *self.consts,
                *self.carry,
                *self.scanned,
                body=b.build([*from_body, *before]),
                length=self.length,
                num_carry=self.num_carry,
                num_consts=n,
                reverse=self.reverse,
            )
        )
        return results[self.num_carry :]

    def _backward_body(self) -> Graph:
        """``consts, (d_consts, d_carry), (carry, slices, d_rows)`` to cotangents."""
        inexact = [
            [x for x in types if x.dtype.is_inexact]
            for types in (self.const_types, self.carry_types, self.row_types)
        ]
        own = [
            self.const_types,
            inexact[0],
            inexact[1],
            self.carry_types,
            self.slice_types,
            inexact[2],
        ]
        b, params = derived(f"{self.body.name}_vjp", [x for p in own for x in p])
        consts, d_consts, d_carry, carry, slices, d_rows = _parts(params, own)
        cotangents = _with_gaps([*d_carry], self.carry_types)
        cotangents += _with_gaps([*d_rows], self.row_types)
        args = [*consts, *carry, *slices]
        found = pullback(b, self.body, args, cotangents)
        full = [
            or_zeros(b, part, x)
            for part, x in zip(found, args, strict=True)
            if x.dtype.is_inexact
        ]
        sums = [
            b.add(old, new)
            for old, new in zip(d_consts, full[: len(d_consts)], strict=True)
        ]
        return b.build([*sums, *full[len(d_consts) :]])


def _run_body(b: Any, body: Graph, args: Sequence[Any]) -> list[Any]:
    return pushforward(b, body, args, [None] * len(args))[0]


def _parts(values: Sequence[Any], like: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Cut `values` into runs as long as those of `like`."""
    rest = iter(values)
    return [[next(rest) for _ in part] for part in like]


def _with_gaps(values: list[Any], types: Types) -> list[Any]:
    """Values for the inexact types, None for the others."""
    rest = iter(values)
    return [next(rest) if x.dtype.is_inexact else None for x in types]
