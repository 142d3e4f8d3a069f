"""Assemble the loops of a kernel around its statements.

A `Body` holds the statements of a kernel by place: before the rows, in each stage of a
row, at the end of a row, after the rows. `assemble` resolves their indices and puts
the loops of a `Nest` around them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from compiler.errors import KernelError
from compiler.ir.index_map import Affine
from compiler.ir.types import DType
from compiler.kernels.expr import Expr
from compiler.kernels.loop_program import (
    Accumulate,
    Accumulator,
    Buffer,
    For,
    Let,
    LoopProgram,
    Statement,
    Store,
    load,
    sub_expressions,
    values_of,
)
from compiler.kernels.lower_index import I64, K, Nest, Resolver, int_var


@dataclass
class Body:
    """The program before indices are resolved."""

    declare: list[Statement] = field(default_factory=list)
    prologue: list[Statement] = field(default_factory=list)
    stages: list[list[Statement]] = field(default_factory=list)
    registers: list[list[Statement]] = field(default_factory=list)
    row: list[Statement] = field(default_factory=list)
    epilogue: list[Statement] = field(default_factory=list)


def _all_statements(body: Body) -> list[Statement]:
    flat = [*body.declare, *body.prologue, *body.row, *body.epilogue]
    for stage in (*body.stages, *body.registers):
        flat.extend(stage)
    return flat


def index_leaves(body: Body) -> list[Affine]:
    roots = [e for s in _all_statements(body) for e in values_of(s)]
    return list(
        dict.fromkeys(e.attr for e in sub_expressions(roots) if e.op == "index")
    )


def assemble(
    body: Body, nest: Nest, row_initialised: set[str]
) -> tuple[Statement, ...]:
    """The statements of a program: the body's, resolved, inside the loops of a nest.

    `row_initialised` names the buffers that each row fills before it accumulates.
    """
    fix = Resolver(nest)
    inner_loops = range(nest.rows, len(nest.groups))
    result: list[Statement] = [_resolved(s, fix) for s in body.declare]
    if body.prologue:
        init = [_resolved(s, fix) for s in body.prologue]
        result.extend(_loops(inner_loops, init, nest))
    row: list[Statement] = []
    starts = [
        s for s in body.row if isinstance(s, Store) and s.buffer in row_initialised
    ]
    if starts:
        used = _loops_of(starts, nest)
        row.extend(_loops(used, [_resolved(s, fix) for s in starts], nest))
    for registers, stage in zip(body.registers, body.stages, strict=True):
        row.extend(_resolved(s, fix) for s in registers)
        if not stage:
            continue
        stage_body = _values_first([_resolved(s, fix) for s in stage])
        if nest.is_flat:
            row.extend(stage_body)
        else:
            row.extend(_loops(inner_loops, stage_body, nest))
    late = [s for s in body.row if s not in starts]
    row.extend(_values_first([_resolved(s, fix) for s in late]))
    result.append(_row_loop(row, nest))
    result.extend(_resolved(s, fix) for s in body.epilogue)
    return tuple(result)


def _loops_of(statements: Sequence[Statement], nest: Nest) -> list[int]:
    """The inner loops that an initialisation really walks."""
    roots = [e for s in statements for e in values_of(s)]
    dims = {d for e in sub_expressions(roots) if e.op == "index" for d in e.attr.terms}
    inner = range(nest.rows, len(nest.groups))
    return [i for i in inner if dims & set(nest.groups[i])]


def _row_loop(row: list[Statement], nest: Nest) -> For:
    """The parallel loop: over the flat domain, or over rows with their indices."""
    if nest.is_flat:
        var = "i0" if nest.groups else "r"
        return For(var, int_var("lo"), int_var("hi"), tuple(row), parallel=True)
    if nest.rows == 1:
        return For("i0", int_var("lo"), int_var("hi"), tuple(row), parallel=False)
    lets: list[Statement] = []
    rest = int_var("r")
    for i in reversed(range(nest.rows)):
        n = int_var(f"n{i}")
        if i == 0:
            lets.append(Let("i0", rest))
            break
        lets.append(Let(f"i{i}", K.binary("rem", rest, n)))
        rest = K.div(rest, n)
    return For("r", int_var("lo"), int_var("hi"), (*lets, *row), parallel=False)


def _loops(loops: Any, body: list[Statement], nest: Nest) -> list[Statement]:
    """`body` inside the given loops, the innermost one marked parallel."""
    block = body
    for position, i in enumerate(reversed(list(loops))):
        start, stop = K.const(0, I64), int_var(f"n{i}")
        block = [For(f"i{i}", start, stop, tuple(block), parallel=position == 0)]
    return block


def _values_first(statements: list[Statement]) -> list[Statement]:
    """Evaluate everything before the first store: results may overwrite operands."""
    if sum(isinstance(s, Store) for s in statements) < 2:
        return statements
    lets: list[Statement] = []
    rest: list[Statement] = []
    for i, statement in enumerate(statements):
        if isinstance(statement, Store):
            value = statement.value
            lets.append(Let(f"v{i}", value))
            new = K.var(f"v{i}", value.dtype)
            rest.append(Store(statement.buffer, statement.index, new))
        else:
            lets.append(statement)
    return [*lets, *rest]


def _resolved(statement: Statement, fix: Resolver) -> Statement:
    match statement:
        case Let(name, value):
            return Let(name, fix(value))
        case Store(buffer, index, value):
            return Store(buffer, fix(index), fix(value))
        case Accumulator(name, start):
            return Accumulator(name, fix(start))
        case Accumulate(name, op, value):
            return Accumulate(name, op, fix(value))
    raise KernelError(f"unexpected statement {statement}")


def drop_unused(program: LoopProgram) -> LoopProgram:
    """Keep only the integer parameters that the body reads."""
    used: set[str] = set()
    stack = list(program.body)
    roots: list[Expr] = []
    while stack:
        statement = stack.pop()
        roots.extend(values_of(statement))
        if isinstance(statement, For):
            stack.extend(statement.body)
    for expr in sub_expressions(roots):
        if expr.op == "var":
            used.add(expr.attr)
    ints = tuple(name for name in program.ints if name in used)
    return LoopProgram(program.name, program.buffers, ints, program.body)


def combine_program(
    combine: str, identity: Any, dtype: DType, out: DType
) -> LoopProgram:
    """``out[j] = combine over c of part[c * n0 + j]`` for ``j`` in ``[lo, hi)``.

    Integer parameters: ``n0`` elements a chunk, ``n1`` chunks.
    """
    part, result = Buffer("part0", dtype, "in"), Buffer("out0", out, "out")
    j, c, n0 = int_var("i0"), int_var("i1"), int_var("n0")
    item = load(part, K.add(K.mul(c, n0), j))
    zero = K.const(0, I64)
    chunks = For(
        "i1", zero, int_var("n1"), (Accumulate("r0", combine, item),), parallel=False
    )
    body: tuple[Statement, ...] = (
        Accumulator("r0", K.const(identity, dtype)),
        chunks,
        Store("out0", j, K.convert(K.var("r0", dtype), out)),
    )
    loop = For("i0", int_var("lo"), int_var("hi"), body, parallel=True)
    return LoopProgram(f"combine_{combine}", (part, result), ("n0", "n1"), (loop,))
