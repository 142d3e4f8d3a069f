"""Loop programs: the imperative form of one kernel, independent of its target.

A program computes iterations ``[lo, hi)`` of its parallel loop. Extents and strides
are integer parameters, so a program (and its machine code) serves every shape. It is
data: printable, comparable by its canonical text, walked by every emitter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from compiler.errors import KernelError
from compiler.ir import types as t
from compiler.ir.types import DType
from compiler.kernels.expr import Expr, ScalarBuilder


@dataclass(frozen=True, slots=True)
class Buffer:
    """A memory parameter; `role` is ``in``, ``out``, ``partial`` or ``scratch``."""

    name: str
    dtype: DType
    role: str


@dataclass(frozen=True, slots=True)
class Let:
    """``name = value``: a scalar that later statements of the block may use."""

    name: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Store:
    """``buffer[index] = value``; the index is a linear position."""

    buffer: str
    index: Expr
    value: Expr


@dataclass(frozen=True, slots=True)
class Accumulator:
    """Declares a register that starts as `identity`."""

    name: str
    identity: Expr


@dataclass(frozen=True, slots=True)
class Accumulate:
    """``name = op(name, value)``; the order of a float sum is left open."""

    name: str
    op: str
    value: Expr


@dataclass(frozen=True, slots=True)
class For:
    """``for var in range(start, stop)``; `parallel` promises independent iterations.

    Independent means: no iteration reads memory that another one writes. Accumulators
    are the exception, and are reduced in any order.
    """

    var: str
    start: Expr
    stop: Expr
    body: tuple[Statement, ...]
    parallel: bool


Statement = Let | Store | Accumulator | Accumulate | For


@dataclass(frozen=True)
class LoopProgram:
    """One kernel.

    Attributes:
        name: for people; not part of the identity.
        buffers: memory parameters, in order.
        ints: names of the integer parameters, in order.
        body: statements; free variables are ``lo``, ``hi``, ``chunk`` and `ints`.
    """

    name: str
    buffers: tuple[Buffer, ...]
    ints: tuple[str, ...]
    body: tuple[Statement, ...]

    def text(self) -> str:
        """Readable and canonical text; equal text means equal machine code."""
        return print_program(self)

    def buffer(self, name: str) -> Buffer:
        """The buffer parameter called `name`."""
        return next(b for b in self.buffers if b.name == name)


def load(buffer: Buffer, index: Expr) -> Expr:
    """The expression ``buffer[index]``."""
    return Expr("load", (index,), buffer.dtype, buffer.name)


def values_of(statement: Statement) -> tuple[Expr, ...]:
    """The expressions that a statement evaluates (those of a loop body excluded)."""
    match statement:
        case Let(_, value) | Accumulate(_, _, value) | Accumulator(_, value):
            return (value,)
        case Store(_, index, value):
            return (index, value)
        case For(_, start, stop, _, _):
            return (start, stop)


def walk(body: Iterable[Statement]) -> Iterator[Statement]:
    """Every statement, loops before their bodies."""
    for statement in body:
        yield statement
        if isinstance(statement, For):
            yield from walk(statement.body)


def sub_expressions(roots: Iterable[Expr]) -> list[Expr]:
    """Every distinct expression below `roots`, operands first."""
    order: list[Expr] = []
    seen: set[int] = set()
    stack = [(root, False) for root in roots]
    while stack:
        expr, done = stack.pop()
        if done:
            order.append(expr)
        elif id(expr) not in seen:
            seen.add(id(expr))
            stack.append((expr, True))
            stack.extend((arg, False) for arg in reversed(expr.args))
    return order


# -- text -------------------------------------------------------------------------


def print_program(program: LoopProgram) -> str:
    """Canonical text of a program: parameters, then nested loops."""
    buffers = ", ".join(f"{b.role} {b.name}: {b.dtype}" for b in program.buffers)
    lines = [f"program({buffers}; {', '.join(program.ints)}) {{"]
    _Printer(lines).block(program.body, 1)
    return "\n".join([*lines, "}"])


class _Printer:
    """Names shared sub-expressions, inlines the others."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.names: dict[int, str] = {}
        self.count = 0

    def block(self, body: tuple[Statement, ...], depth: int) -> None:
        outer = dict(self.names)
        self._shared(body, depth)
        for statement in body:
            self._statement(statement, depth)
        self.names = outer

    def _shared(self, body: tuple[Statement, ...], depth: int) -> None:
        self.uses: dict[int, int] = {}
        for statement in body:
            roots = values_of(statement)
            for expr in [*roots, *(a for e in sub_expressions(roots) for a in e.args)]:
                self.uses[id(expr)] = self.uses.get(id(expr), 0) + 1

    def _statement(self, statement: Statement, depth: int) -> None:
        pad = "  " * depth
        match statement:
            case Let(name, value):
                self.lines.append(f"{pad}{name} = {self._expr(value, pad)}")
            case Store(buffer, index, value):
                where, what = self._expr(index, pad), self._expr(value, pad)
                self.lines.append(f"{pad}{buffer}[{where}] = {what}")
            case Accumulator(name, identity):
                start = self._expr(identity, pad)
                self.lines.append(f"{pad}accumulator {name} = {start}")
            case Accumulate(name, op, value):
                self.lines.append(
                    f"{pad}{name} = {op}({name}, {self._expr(value, pad)})"
                )
            case For(var, start, stop, body, parallel):
                kind = "parallel for" if parallel else "for"
                head = (
                    f"{kind} {var} in {self._expr(start, pad)}..{self._expr(stop, pad)}"
                )
                self.lines.append(f"{pad}{head} {{")
                uses = self.uses
                self.block(body, depth + 1)
                self.uses = uses
                self.lines.append(pad + "}")

    def _expr(self, root: Expr, pad: str) -> str:
        for expr in sub_expressions([root]):
            if id(expr) in self.names:
                continue
            text = _print_expr(expr, [self.names[id(a)] for a in expr.args])
            if (expr.args and self.uses.get(id(expr), 0) > 1) or len(text) > 72:
                name = f"t{self.count}"
                self.count += 1
                self.lines.append(f"{pad}{name} = {text}")
                text = name
            self.names[id(expr)] = text
        return self.names[id(root)]


def _print_expr(expr: Expr, args: list[str]) -> str:
    if expr.op == "const":
        return f"{_literal(expr)}:{expr.dtype}"
    if expr.op == "var":
        return str(expr.attr)
    if expr.op == "load":
        return f"{expr.attr}[{args[0]}]"
    if expr.op == "call":
        return f"{expr.attr}.{expr.dtype}({', '.join(args)})"
    if expr.op in ("convert", "bitcast"):
        return f"{expr.op}.{expr.dtype}({args[0]})"
    return f"{expr.op}({', '.join(args)})"


def _literal(expr: Expr) -> str:
    if expr.dtype.is_float:
        value = float(expr.attr)
        bits = expr.attr.tobytes().hex() if value != value else ""
        return f"nan<{bits}>" if bits else repr(value)
    return str(int(expr.attr))


# -- verification -------------------------------------------------------------------


def verify_program(program: LoopProgram) -> None:
    """Check scoping: every variable, buffer and accumulator is declared before use.

    Raises:
        KernelError: naming the program and the undeclared name.
    """
    declared = {"lo", "hi", "chunk", *program.ints}
    buffers = {b.name: b for b in program.buffers}
    _verify_block(program.body, declared, buffers, program.name)


def _verify_block(
    body: tuple[Statement, ...],
    declared: set[str],
    buffers: dict[str, Buffer],
    program: str,
) -> None:
    declared = set(declared)
    for statement in body:
        for expr in sub_expressions(values_of(statement)):
            _verify_expr(expr, declared, buffers, program)
        match statement:
            case Let(name, _) | Accumulator(name, _):
                declared.add(name)
            case Accumulate(name, _, _) if name not in declared:
                raise KernelError(f"{program}: accumulator {name} is not declared")
            case Store(buffer, _, value):
                if buffer not in buffers or buffers[buffer].dtype is not value.dtype:
                    raise KernelError(f"{program}: bad store of {value} to {buffer}")
            case For(var, _, _, inner, _):
                _verify_block(inner, declared | {var}, buffers, program)
            case _:
                pass


def _verify_expr(
    expr: Expr, declared: set[str], buffers: dict[str, Buffer], program: str
) -> None:
    if expr.op == "var" and expr.attr not in declared:
        raise KernelError(f"{program}: variable {expr.attr} is not declared")
    if expr.op == "load" and expr.attr not in buffers:
        raise KernelError(f"{program}: buffer {expr.attr} is not a parameter")
    if expr.op == "index":
        raise KernelError(f"{program}: an index was not resolved: {expr.attr}")


# -- hoisting ------------------------------------------------------------------------


def hoist_loads(program: LoopProgram) -> LoopProgram:
    """Move loads and float arithmetic out of loops they do not vary in.

    A back end can move arithmetic by itself, but not a load past a store that may
    alias; here it is known that buffers which are only read do not change.
    """
    written = {s.buffer for s in walk(program.body) if isinstance(s, Store)}
    hoister = _Hoister(written)
    body = hoister.block(program.body)
    return LoopProgram(program.name, program.buffers, program.ints, body)


class _Hoister:
    def __init__(self, written: set[str]) -> None:
        self.written = written
        self.free_vars: dict[int, frozenset[str]] = {}
        self.loads: dict[int, bool] = {}
        self.alive: list[Expr] = []  # keeps ids valid while they are keys
        self.count = 0

    def block(self, body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        result: list[Statement] = []
        for statement in body:
            if not isinstance(statement, For):
                result.append(statement)
                continue
            inner = self.block(statement.body)
            lets, inner = self._extract(statement.var, inner)
            result.extend(lets)
            result.append(
                For(
                    statement.var,
                    statement.start,
                    statement.stop,
                    inner,
                    statement.parallel,
                )
            )
        return tuple(result)

    def _extract(
        self, var: str, body: tuple[Statement, ...]
    ) -> tuple[list[Let], tuple[Statement, ...]]:
        variant = {var} | {
            s.name for s in walk(body) if isinstance(s, Let | Accumulator)
        }
        variant |= {s.var for s in walk(body) if isinstance(s, For)}
        variant |= {s.name for s in walk(body) if isinstance(s, Accumulate)}
        lets: list[Let] = []
        replaced: dict[int, Expr] = {}
        new = tuple(self._rewrite(s, variant, lets, replaced) for s in body)
        return lets, new

    def _rewrite(
        self,
        statement: Statement,
        variant: set[str],
        lets: list[Let],
        replaced: dict[int, Expr],
    ) -> Statement:
        def fix(expr: Expr) -> Expr:
            return self._replace(expr, variant, lets, replaced)

        match statement:
            case Let(name, value):
                if self._invariant(value, variant) and self._is_worth_it(value):
                    # An inner hoist left it here; it can move further out.
                    new = fix(value)
                    return Let(name, new)
                return Let(name, fix(value))
            case Store(buffer, index, value):
                return Store(buffer, fix(index), fix(value))
            case Accumulator(name, identity):
                return Accumulator(name, fix(identity))
            case Accumulate(name, op, value):
                return Accumulate(name, op, fix(value))
            case For(var, start, stop, body, parallel):
                inner = tuple(self._rewrite(s, variant, lets, replaced) for s in body)
                return For(var, fix(start), fix(stop), inner, parallel)

    def _replace(
        self,
        root: Expr,
        variant: set[str],
        lets: list[Let],
        replaced: dict[int, Expr],
    ) -> Expr:
        stack = [(root, False)]
        while stack:
            expr, done = stack.pop()
            if id(expr) in replaced:
                continue
            if done:
                args = tuple(replaced[id(a)] for a in expr.args)
                same = all(a is b for a, b in zip(args, expr.args, strict=True))
                new = expr if same else Expr(expr.op, args, expr.dtype, expr.attr)
                self.alive += [expr, new]
                replaced[id(expr)] = new
            elif self._invariant(expr, variant) and self._is_worth_it(expr):
                name = f"h{self.count}"
                self.count += 1
                lets.append(Let(name, expr))
                self.alive.append(expr)
                replaced[id(expr)] = ScalarBuilder().var(name, expr.dtype)
            else:
                stack.append((expr, True))
                stack.extend((a, False) for a in expr.args)
        return replaced[id(root)]

    def _invariant(self, expr: Expr, variant: set[str]) -> bool:
        return not (self._vars(expr) & variant)

    def _vars(self, root: Expr) -> frozenset[str]:
        found = self.free_vars.get(id(root))
        if found is not None:
            return found
        for expr in sub_expressions([root]):
            if id(expr) in self.free_vars:
                continue
            names: frozenset[str] = frozenset()
            for arg in expr.args:
                names |= self.free_vars[id(arg)]
            if expr.op == "var":
                names |= {expr.attr}
            if expr.op == "load" and expr.attr in self.written:
                names |= {"<memory>"}
            self.alive.append(expr)
            self.free_vars[id(expr)] = names
            self.loads[id(expr)] = expr.op == "load" or any(
                self.loads[id(a)] for a in expr.args
            )
        return self.free_vars[id(root)]

    def _is_worth_it(self, expr: Expr) -> bool:
        """True for what is worth a name: it loads, or computes in floating point."""
        names = self._vars(expr)
        computes = bool(expr.args) and expr.dtype.is_float
        return (self.loads[id(expr)] or computes) and "<memory>" not in names


INDEX = t.i64
