"""Lower a loop group to a `LoopProgram`.

For every row the inner part of the domain is walked in *stages*: stage 0 needs no row
reduction, stage ``t + 1`` needs one of stage ``t``. A stage is one loop nest that
reduces, accumulates over rows and stores all that is ready; what several stages need
and is expensive is kept in a scratch row. Sums over rows are kept per chunk, in
``partial`` buffers, and added up by a second small program (`combine_program`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from compiler.fusion.classify import FreeValues, cost, emit_view, is_view, source
from compiler.fusion.decision import KernelPlan, align_units
from compiler.fusion.group import Group
from compiler.ir.dims import Dim, size_of
from compiler.ir.index_map import Affine, flatten, identity, unflatten_through
from compiler.ir.node import Node, Value
from compiler.ir.op import Kind
from compiler.ir.types import DType
from compiler.kernels.assemble import Body, assemble, drop_unused, index_leaves
from compiler.kernels.expr import Expr
from compiler.kernels.loop_program import (
    Accumulate,
    Accumulator,
    Buffer,
    LoopProgram,
    Statement,
    Store,
    hoist_loads,
    load,
    verify_program,
)
from compiler.kernels.lower_index import (
    I64,
    IndexContext,
    K,
    Nest,
    acc_dtype,
    element_index,
    index_leaf,
    int_var,
    linear,
    position_of,
)

# A value that costs at least this much is kept, not computed again, between stages.
KEEP_COST = 10
VECTOR_ALIGN = 16


@dataclass(frozen=True)
class Partial:
    """A sum over rows: kept per chunk in `buffer`, combined into `value`."""

    buffer: str
    value: Value
    dtype: DType
    combine: str
    size: Dim


@dataclass(frozen=True)
class Scratch:
    """A row of memory per chunk."""

    buffer: str
    dtype: DType
    size: Dim


@dataclass(frozen=True)
class LoweredKernel:
    """A loop program and what one use of it binds to its parameters.

    Attributes:
        program: shape-generic; equal programs share machine code.
        values: buffer name to the value it holds (inputs and outputs).
        partials, scratch: the other buffers.
        ints: the integer parameters' values, in order.
        extent: iterations of the parallel loop; `align` its chunk alignment.
        work: rough number of additions of one iteration.
        inplace: (input, output) buffers that may share memory.
    """

    group: Group
    program: LoopProgram
    values: dict[str, Value]
    partials: tuple[Partial, ...]
    scratch: tuple[Scratch, ...]
    ints: tuple[Dim, ...]
    extent: Dim
    align: int
    work: Dim
    inplace: tuple[tuple[str, str], ...]


def lower_group(group: Group, free: FreeValues) -> LoweredKernel:
    """The kernel of a ``loop`` or ``copy`` group."""
    return _Lowering(group, free).run()


class _Lowering:
    def __init__(self, group: Group, free: FreeValues) -> None:
        assert group.plan is not None
        self.group = group
        self.plan: KernelPlan = group.plan
        self.free = free
        self.members = set(self.plan.nodes)
        self.buffers: dict[str, Buffer] = {}
        self.values: dict[str, Value] = {}
        self.input_names: dict[Value, str] = {}
        self.partials: list[Partial] = []
        self.scratch: list[Scratch] = []
        self.memo: dict[tuple[Value, Any], Expr] = {}
        self.kept: dict[Value, Expr] = {}
        self.results: dict[Node, Expr] = {}
        self.loads: list[tuple[str, int, Affine | None]] = []
        self.stores: list[tuple[str, int, Affine]] = []
        self.stage = 0

    def run(self) -> LoweredKernel:
        body = self._build()
        nest = Nest(self.plan.domain, self.plan.split, index_leaves(body))
        statements = assemble(body, nest, self._row_positions())
        program = LoopProgram(
            self.group.name,
            tuple(self.buffers.values()),
            tuple(nest.params),
            statements,
        )
        program = drop_unused(hoist_loads(program))
        verify_program(program)
        total = sum(cost(n) for n in self.plan.nodes) + 1
        return LoweredKernel(
            group=self.group,
            program=program,
            values=self.values,
            partials=tuple(self.partials),
            scratch=tuple(self.scratch),
            ints=tuple(nest.params[name] for name in program.ints),
            extent=nest.row_extent(),
            align=VECTOR_ALIGN if nest.is_flat else 1,
            work=(1 if nest.is_flat else nest.inner_extent()) * total,
            inplace=self._inplace(),
        )

    # -- buffers ------------------------------------------------------------------

    def _buffer(self, prefix: str, dtype: DType, role: str) -> Buffer:
        count = sum(b.role == role for b in self.buffers.values())
        buffer = Buffer(f"{prefix}{count}", dtype, role)
        self.buffers[buffer.name] = buffer
        return buffer

    def _input(self, value: Value) -> Buffer:
        name = self.input_names.get(value)
        if name is None:
            buffer = self._buffer("x", value.dtype, "in")
            self.input_names[value] = buffer.name
            self.values[buffer.name] = value
            return buffer
        return self.buffers[name]

    def _partial(self, node: Node, size: Dim) -> Buffer:
        dtype = acc_dtype(node.output.dtype)
        buffer = self._buffer("part", dtype, "partial")
        combine = node.op.emit.combine
        self.partials.append(Partial(buffer.name, node.output, dtype, combine, size))
        return buffer

    # -- stages -------------------------------------------------------------------

    def _build(self) -> Body:
        plan = self.plan
        self.need = self._needs()
        last = max(self.need.values(), default=0)
        body = Body()
        self.outputs = self._output_buffers()
        kept = self._choose_kept(last)
        self.keepers = kept
        for stage in range(last + 1):
            self.stage = stage
            self.memo = {}
            self._evaluate_in_order(stage)
            statements: list[Statement] = []
            registers: list[Statement] = []
            self._keep(stage, statements)
            for node in plan.nodes:
                if self.need[node] == stage:
                    self._reduce(node, body, registers, statements)
            for value in plan.outputs:
                if self._is_full(value) and self.need[value.node] == stage:
                    self._store_output(value, statements)
            body.stages.append(statements)
            body.registers.append(registers)
            self._finish_reductions(stage)
        self.stage = last + 1
        self.memo = {}
        self._row_level(body)
        return body

    def _needs(self) -> dict[Node, int]:
        """The stage in which each member can be computed."""
        need: dict[Node, int] = {}
        for node in self.plan.nodes:
            stages = [0]
            for value in node.inputs:
                made_by = source(value)
                if made_by in need:
                    is_row = self.plan.roles.get(made_by) == "row"
                    stages.append(need[made_by] + is_row)
            need[node] = max(stages)
        return need

    def _is_full(self, value: Value) -> bool:
        return value.node not in self.plan.roles and (
            value.shape == self.plan.domain or self.plan.split is None
        )

    def _roots(self, stage: int) -> list[Value]:
        """Values over the whole domain that a stage consumes."""
        roots = []
        for node, role in self.plan.roles.items():
            if role != "rows" and self.need[node] == stage:
                roots.append(node.inputs[0])
        for value in self.plan.outputs:
            if self._is_full(value) and self.need[value.node] == stage:
                roots.append(value)
        return roots

    def _members_of_stage(self, stage: int, kept: set[Value]) -> set[Node]:
        """Members that a stage computes, given the values kept by earlier ones."""
        found: set[Node] = set()
        stack = list(self._roots(stage))
        stack += [v for v in kept if self.need[v.node] == stage]
        while stack:
            value = stack.pop()
            node = source(value)
            if node not in self.members or node in found:
                continue
            if self.plan.roles.get(node) == "row":
                continue
            if node.output in kept and self.need[node] < stage:
                continue
            found.add(node)
            stack.extend(node.inputs)
        return found

    def _choose_kept(self, last: int) -> set[Value]:
        """Expensive values that several stages need, the latest ones first."""
        kept: set[Value] = set()
        if last == 0:
            return kept
        for node in reversed(self.plan.nodes):
            value = node.outputs[0]
            # A row is kept in domain order: a value read backwards, say, is not.
            own_order = self.plan.indices.get(value) == identity(value.type.rank)
            if cost(node) < KEEP_COST or not own_order:
                continue
            if value.shape != self.plan.domain:
                continue
            uses = sum(
                node in self._members_of_stage(stage, kept) for stage in range(last + 1)
            )
            if uses > 1:
                kept.add(value)
        return kept

    def _evaluate_in_order(self, stage: int) -> None:
        """Build members' expressions operands first, to keep recursion shallow."""
        wanted = self._members_of_stage(stage, self.keepers)
        for node in self.plan.nodes:
            index = self.plan.indices.get(node.outputs[0])
            if node in wanted and node not in self.plan.roles and index is not None:
                self._value(node.output, index)

    def _keep(self, stage: int, statements: list[Statement]) -> None:
        for value in [v for v in self.keepers if self.need[v.node] == stage]:
            index = identity(len(self.plan.domain))
            expr = self._value(value, index)
            if value in self.outputs:
                continue  # stored as a result anyway, and read back from there
            buffer = self._buffer("w", value.dtype, "scratch")
            where = self._inner_position()
            self.scratch.append(Scratch(buffer.name, value.dtype, self._inner_size()))
            statements.append(Store(buffer.name, where, expr))
            self.kept[value] = load(buffer, where)

    def _inner_dims(self) -> list[int]:
        start = self.plan.split or 0
        return list(range(start, len(self.plan.domain)))

    def _inner_size(self) -> Dim:
        return size_of(self.plan.domain[d] for d in self._inner_dims())

    def _inner_affine(self) -> Affine:
        dims = self._inner_dims()
        index = [Affine({d: 1}) for d in dims]
        return flatten(index, tuple(self.plan.domain[d] for d in dims))

    def _inner_position(self) -> Expr:
        """Position in a per-chunk row buffer."""
        size = Expr("inner_size", (), I64)
        start = K.mul(int_var("chunk"), size)
        return K.add(start, index_leaf(self._inner_affine()))

    # -- statements ---------------------------------------------------------------

    def _reduce(
        self,
        node: Node,
        body: Body,
        registers: list[Statement],
        statements: list[Statement],
    ) -> None:
        role = self.plan.roles.get(node)
        if role is None or role == "rows":
            return
        operand = node.inputs[0]
        value = self._value(operand, identity(operand.type.rank))
        dtype = acc_dtype(node.output.dtype)
        value = K.convert(value, dtype)
        reducer: Any = node.op.emit
        start = K.const(reducer.identity(dtype), dtype)
        if role == "row":
            name = f"r{len(self.results)}"
            registers.append(Accumulator(name, start))
            statements.append(Accumulate(name, reducer.combine, value))
            self.results[node] = K.var(name, dtype)
        elif role == "full":
            self._full(node, start, value, body, statements)
        else:
            self._memory_reduce(node, role, start, value, body, statements)

    def _full(
        self,
        node: Node,
        start: Expr,
        value: Expr,
        body: Body,
        statements: list[Statement],
    ) -> None:
        buffer = self._partial(node, 1)
        name = f"a{len(body.declare)}"
        body.declare.append(Accumulator(name, start))
        combine = node.op.emit.combine
        statements.append(Accumulate(name, combine, value))
        total = K.var(name, buffer.dtype)
        body.epilogue.append(Store(buffer.name, int_var("chunk"), total))

    def _memory_reduce(
        self,
        node: Node,
        role: str,
        start: Expr,
        value: Expr,
        body: Body,
        statements: list[Statement],
    ) -> None:
        """Accumulate into memory: per chunk over the rows, or per row in the result."""
        combine = node.op.emit.combine
        if role == "column":
            buffer = self._partial(node, self._inner_size())
            where = self._inner_position()
            body.prologue.append(Store(buffer.name, where, start))
        else:
            buffer = self.outputs[node.output]
            where = self._middle_position(node)
            body.row.insert(0, Store(buffer.name, where, start))
        total = K.binary(combine, load(buffer, where), value)
        statements.append(Store(buffer.name, where, total))

    def _middle_position(self, node: Node) -> Expr:
        kept = [d for d in range(len(self.plan.domain)) if d not in node.attrs["axes"]]
        index = [Affine({d: 1}) for d in kept]
        return index_leaf(flatten(index, node.output.shape))

    def _finish_reductions(self, stage: int) -> None:
        for node, role in self.plan.roles.items():
            if role == "row" and self.need[node] == stage:
                self.results[node] = K.convert(self.results[node], node.output.dtype)

    def _output_buffers(self) -> dict[Value, Buffer]:
        """A buffer for each result that is not combined from partial sums."""
        found = {}
        for value in self.plan.outputs:
            role = self.plan.roles.get(value.node)
            if role in (None, "row", "middle"):
                buffer = self._buffer("out", value.dtype, "out")
                self.values[buffer.name] = value
                found[value] = buffer
        return found

    def _store_output(self, value: Value, statements: list[Statement]) -> None:
        index = identity(value.type.rank)
        buffer = self.outputs[value]
        where = flatten(index, value.shape)
        expr = self._value(value, index)
        statements.append(Store(buffer.name, index_leaf(where), expr))
        self.stores.append((buffer.name, self.stage, where))
        if value in self.keepers:
            self.kept[value] = load(buffer, index_leaf(where))

    def _row_level(self, body: Body) -> None:
        """Results and sums that have one value a row."""
        for value in self.plan.outputs:
            role = self.plan.roles.get(value.node)
            if role == "row" or (role is None and not self._is_full(value)):
                self._store_row(value, body)
        for node, role in self.plan.roles.items():
            if role == "rows":
                operand = node.inputs[0]
                index = self._row_index(operand)
                dtype = acc_dtype(node.output.dtype)
                value_expr = K.convert(self._value(operand, index), dtype)
                reducer: Any = node.op.emit
                start = K.const(reducer.identity(dtype), dtype)
                self._full(node, start, value_expr, body, body.row)

    def _row_index(self, value: Value) -> tuple[Affine, ...]:
        assert self.plan.split is not None
        index = align_units(value.shape, self.plan.domain[: self.plan.split])
        assert index is not None
        return index

    def _store_row(self, value: Value, body: Body) -> None:
        index = self._row_index(value)
        where = flatten(index, value.shape)
        expr = self._value(value, index)
        body.row.append(Store(self.outputs[value].name, index_leaf(where), expr))
        self.stores.append((self.outputs[value].name, self.stage, where))

    def _row_positions(self) -> set[str]:
        """Buffers that the row part initialises with a loop (middle reductions)."""
        return {
            self.outputs[n.output].name
            for n, role in self.plan.roles.items()
            if role == "middle"
        }

    # -- values -------------------------------------------------------------------

    def _value(self, value: Value, index: tuple[Any, ...]) -> Expr:
        key = (value, index)
        found = self.memo.get(key)
        if found is None:
            found = self.memo[key] = self._make(value, index)
        return found

    def _make(self, value: Value, index: tuple[Any, ...]) -> Expr:
        node = value.node
        if value in self.kept:
            return self.kept[value]
        if node in self.results:
            return self.results[node]
        if node in self.members or self.free(node):
            if node.op.kind is Kind.ELEMENTWISE:
                args = [self._value(v, index) for v in node.inputs]
                emit: Any = node.op.emit
                return emit(K, *args, **node.attrs)
            return self._indexing(node, index)
        if is_view(node):
            return self._indexing(node, index)
        return self._load(value, linear(index, value.shape))

    def _indexing(self, node: Node, index: tuple[Any, ...]) -> Expr:
        if node.op.name == "constant":
            return K.const(node.attrs["value"].array[()], node.output.dtype)
        if node.op.name == "reshape":
            return self._reshape(node, index)
        k = IndexContext(node.inputs, self._value, self._read_flat)
        return emit_view(node, k, index)

    def _reshape(self, node: Node, index: tuple[Any, ...]) -> Expr:
        (operand,) = node.inputs
        if all(isinstance(i, Affine) for i in index):
            inner = unflatten_through(index, node.output.shape, operand.shape)
            if inner is not None:
                return self._value(operand, inner)
        position = linear(index, node.output.shape)
        return self._read_flat(operand, position)

    def _read_flat(self, value: Value, position: Any) -> Expr:
        """The element at a row-major position; reshapes of memory change nothing."""
        while value.node.op.name == "reshape" and not self.free(value.node):
            value = value.node.inputs[0]
        where = position if isinstance(position, Expr) else position_of(position)
        if value.node in self.members or is_view(value.node) or self.free(value.node):
            return self._value(value, element_index(value.type, where))
        return self._load(value, where)

    def _load(self, value: Value, where: Expr) -> Expr:
        while value.node.op.name == "reshape":
            value = value.node.inputs[0]  # the same memory, the same position
        buffer = self._input(value)
        affine = where.attr if where.op == "index" else None
        self.loads.append((buffer.name, self.stage, affine))
        return load(buffer, where)

    # -- memory sharing -----------------------------------------------------------

    def _inplace(self) -> tuple[tuple[str, str], ...]:
        """Input and output pairs that touch each element together and last."""
        pairs = []
        for out, stage, where in self.stores:
            value = self.values[out]
            for name, operand in self.values.items():
                if self.buffers[name].role != "in":
                    continue
                if operand.type.size != value.type.size:
                    continue
                if operand.dtype is not value.dtype:
                    continue
                reads = [r for r in self.loads if r[0] == name]
                if all(s <= stage and a == where for _, s, a in reads):
                    pairs.append((name, out))
        return tuple(pairs)
