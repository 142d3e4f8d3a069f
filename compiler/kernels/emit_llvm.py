"""LLVM IR text of a loop program: the back end with the shortest compile time.

Innermost loops of a program promise independent iterations, and say so to LLVM through
access groups, so results may share memory with operands and still vectorise. Sums are
marked ``reassoc`` and nothing else is relaxed.
"""

from __future__ import annotations

from compiler.ir.types import DType
from compiler.kernels.expr import Expr, ScalarBuilder
from compiler.kernels.llvm_literals import memory_type, register_type
from compiler.kernels.llvm_scalar import LlvmScalar, NameSupply, link_scalar_functions
from compiler.kernels.loop_program import (
    Accumulate,
    Accumulator,
    For,
    Let,
    LoopProgram,
    Statement,
    Store,
    values_of,
    walk,
)

SYMBOL = "kernel"

_REASSOCIATED = {"add": "fadd", "mul": "fmul"}


def emit_llvm(program: LoopProgram) -> str:
    """A module that defines ``kernel`` with the native signature."""
    return _Emitter(program).run()


class _Emitter:
    def __init__(self, program: LoopProgram) -> None:
        self.program = program
        self.entry: list[str] = []
        self.lines: list[str] = []
        self.fresh = NameSupply()
        self.scalar = LlvmScalar(self.lines, self.fresh, self._load)
        self.dtypes: dict[str, DType] = {b.name: b.dtype for b in program.buffers}
        self.registers: dict[str, tuple[str, DType]] = {}
        self.metadata: list[str] = []
        self.group: str | None = None
        self.labels = 0

    def run(self) -> str:
        self._parameters()
        self._block(self.program.body)
        body = "\n".join([*self.entry, *self.lines])
        text = (
            f"define void @{SYMBOL}(i64 %lo, i64 %hi, i64 %chunk, ptr %bufs, "
            f"ptr %ints) nounwind {{\nentry:\n{body}\n  ret void\n}}"
        )
        return link_scalar_functions(text) + "\n" + "\n".join(self.metadata) + "\n"

    # -- parameters ---------------------------------------------------------------

    def _parameters(self) -> None:
        for name in ("lo", "hi", "chunk"):
            self.scalar.env[name] = f"%{name}"
        for i, buffer in enumerate(self.program.buffers):
            self.entry.append(
                f"  %{buffer.name}.at = getelementptr ptr, ptr %bufs, i64 {i}"
            )
            self.entry.append(f"  %{buffer.name} = load ptr, ptr %{buffer.name}.at")
        for i, name in enumerate(self.program.ints):
            self.entry.append(f"  %{name}.at = getelementptr i64, ptr %ints, i64 {i}")
            self.entry.append(f"  %{name} = load i64, ptr %{name}.at")
            self.scalar.env[name] = f"%{name}"

    # -- memory -------------------------------------------------------------------

    def _address(self, buffer: str, index: Expr) -> tuple[str, str]:
        dtype = self.dtypes[buffer]
        where = self.scalar.value(index)
        ty = memory_type(dtype)
        pointer = self.scalar.emit(
            f"getelementptr inbounds {ty}, ptr %{buffer}, i64 {where}"
        )
        suffix = f", align {dtype.itemsize}"
        if self.group is not None:
            suffix += f", !llvm.access.group {self.group}"
        return pointer, suffix

    def _load(self, expr: Expr) -> str:
        pointer, suffix = self._address(expr.attr, expr.args[0])
        return self.scalar.load_element(self.dtypes[expr.attr], pointer, suffix)

    def _store(self, statement: Store) -> None:
        value = self.scalar.value(statement.value)
        pointer, suffix = self._address(statement.buffer, statement.index)
        dtype = self.dtypes[statement.buffer]
        self.scalar.store_element(dtype, value, pointer, suffix)

    # -- statements ---------------------------------------------------------------

    def _block(self, body: tuple[Statement, ...]) -> None:
        for statement in body:
            match statement:
                case Let(name, value):
                    self.scalar.env[name] = self.scalar.value(value)
                case Store():
                    self._store(statement)
                case Accumulator(name, identity):
                    self._declare(name, identity)
                case Accumulate():
                    self._accumulate(statement)
                case For():
                    self._for(statement)

    def _declare(self, name: str, identity: Expr) -> None:
        """An alloca, which LLVM promotes to a register."""
        slot = f"%{name}.slot"
        ty = register_type(identity.dtype)
        if name not in self.registers:
            self.entry.append(f"  {slot} = alloca {ty}")
        self.registers[name] = (slot, identity.dtype)
        value = self.scalar.value(identity)
        self.lines.append(f"  store {ty} {value}, ptr {slot}")

    def _accumulate(self, statement: Accumulate) -> None:
        slot, dtype = self.registers[statement.name]
        ty = register_type(dtype)
        value = self.scalar.value(statement.value)
        old = self.scalar.emit(f"load {ty}, ptr {slot}")
        op = _REASSOCIATED.get(statement.op)
        if op is not None and dtype.is_float:
            new = self.scalar.emit(f"{op} reassoc contract {ty} {old}, {value}")
        else:
            new = self._combine(statement.op, dtype, old, value)
        # Readable right away where no loop surrounds the sum within its block.
        self.scalar.env[statement.name] = new
        self.lines.append(f"  store {ty} {new}, ptr {slot}")

    def _combine(self, op: str, dtype: DType, old: str, value: str) -> str:
        k = ScalarBuilder()
        self.scalar.env["acc.old"], self.scalar.env["acc.new"] = old, value
        expr = k.binary(op, k.var("acc.old", dtype), k.var("acc.new", dtype))
        return self.scalar.value(expr)

    def _publish(self, body: tuple[Statement, ...]) -> None:
        """Make the registers that a loop changed readable as variables after it."""
        names = {s.name for s in walk(body) if isinstance(s, Accumulate)}
        for name in sorted(names & set(self.registers)):
            slot, dtype = self.registers[name]
            value = self.scalar.emit(f"load {register_type(dtype)}, ptr {slot}")
            self.scalar.env[name] = value

    # -- loops --------------------------------------------------------------------

    def _for(self, loop: For) -> None:
        start, stop = (self.scalar.value(e) for e in values_of(loop))
        n = self.labels
        self.labels += 1
        outer_group = self.group
        backedge = ""
        if loop.parallel:
            self.group = self._new_metadata("distinct !{}")
            backedge = f", !llvm.loop {self._loop_metadata(self.group)}"
        var = f"%{loop.var}.{n}"
        self.lines.extend(
            [
                f"  br label %pre{n}",
                f"pre{n}:",
                f"  br label %head{n}",
                f"head{n}:",
                f"  {var} = phi i64 [{start}, %pre{n}], [%next{n}, %latch{n}]",
                f"  %more{n} = icmp slt i64 {var}, {stop}",
                f"  br i1 %more{n}, label %body{n}, label %exit{n}",
                f"body{n}:",
            ]
        )
        saved = dict(self.scalar.env)
        self.scalar.env[loop.var] = var
        self.scalar.push_scope()
        self._block(loop.body)
        self.scalar.pop_scope()
        self.scalar.env = saved
        self.lines.extend(
            [
                f"  br label %latch{n}",
                f"latch{n}:",
                f"  %next{n} = add nuw nsw i64 {var}, 1",
                f"  br label %head{n}{backedge}",
                f"exit{n}:",
            ]
        )
        self.group = outer_group
        self._publish(loop.body)

    def _new_metadata(self, text: str) -> str:
        name = f"!{len(self.metadata)}"
        self.metadata.append(f"{name} = {text}")
        return name

    def _loop_metadata(self, group: str) -> str:
        accesses = self._new_metadata(f'!{{!"llvm.loop.parallel_accesses", {group}}}')
        own = f"!{len(self.metadata)}"
        return self._new_metadata(f"distinct !{{{own}, {accesses}}}")
