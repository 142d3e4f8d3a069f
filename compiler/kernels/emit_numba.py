"""Python source of a loop program, for Numba and for people.

The module that `emit_source` writes defines ``kernel(lo, hi, chunk, <buffers>,
<ints>)`` over flat buffers. It runs as plain Python on one-dimensional NumPy arrays,
where a debugger can step through it, and `numba_target` compiles the same text for the
CPU. `emit_cuda` builds on the same `KernelWriter`.
"""

from __future__ import annotations

import keyword
import platform
import re
import textwrap
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import version
from typing import Any

from compiler.ir import types as t
from compiler.ir.types import DType
from compiler.kernels.expr import Expr, ScalarBuilder
from compiler.kernels.expr_walk import post_order
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
from compiler.kernels.python_prelude import NAMESPACE
from compiler.kernels.python_scalar import (
    PythonScalar,
    TemporaryNames,
    python_function_source,
    python_name,
)
from compiler.kernels.scalar_math import ScalarFunction, functions_used, lookup
from compiler.kernels.version import generator_version

SYMBOL = "kernel"

_INLINE = {"add": "+", "sub": "-", "mul": "*"}
_INLINE_LIMIT = 24  # operations of an index that still reads well on one line
_WIDTH = 88
_REASSOCIATED = frozenset({"add", "mul"})
_NARROW = (t.f16, t.bf16)
_TEMPORARY = re.compile(r"t\d+")
_WORD = re.compile(r"[A-Za-z_]\w*")


def reassoc_add(a: Any, b: Any) -> Any:
    """One step of a sum whose order is left open; in Python simply ``a + b``."""
    return a + b


def reassoc_mul(a: Any, b: Any) -> Any:
    """One step of a product whose order is left open; in Python ``a * b``."""
    return a * b


RUNTIME = {**NAMESPACE, "reassoc_add": reassoc_add, "reassoc_mul": reassoc_mul}
"""Names that generated source may use, scalar functions excepted."""


def helpers(names: str) -> tuple[Any, ...]:
    """The plain Python meaning of the names that generated source uses.

    `names` are separated by blanks; each is one of `RUNTIME` or a scalar function
    such as ``tanh_f32``.

    Raises:
        KernelError: if one is neither.
    """
    found = names.split()
    return tuple(RUNTIME[n] if n in RUNTIME else _scalar_function(n) for n in found)


@cache
def _scalar_function(name: str) -> Callable[..., Any]:
    """A scalar function as a Python function; cached, for kernels share few."""
    stem, _, dtype = name.rpartition("_")
    function = lookup(stem, t.dtype_of(dtype))
    namespace = dict(RUNTIME)
    for each in [*functions_used([function.body]), function]:
        source = python_function_source(each)
        exec(compile(source, f"<{python_name(each)}>", "exec"), namespace)
    found: Callable[..., Any] = namespace[name]
    return found


def emit_source(program: LoopProgram, comments: Iterable[str] = ()) -> str:
    """A complete Python module that defines ``kernel``.

    `comments`, such as the user's source lines, go to the head of the file together
    with the text of the program.
    """
    writer = KernelWriter(program)
    writer.block(program.body)
    body = "\n".join(writer.lines) or "    pass"
    formal = ", ".join(["lo", "hi", "chunk", *writer.parameters()])
    parts = [header(program, comments), import_block(body, program)]
    return "\n\n".join(p for p in parts if p) + f"\n\n\ndef kernel({formal}):\n{body}\n"


def cache_request(program: LoopProgram) -> dict[str, str]:
    """The kernel cache's key parts of a program compiled through Numba."""
    return {
        "program": program.text(),
        "target": "numba",
        "generator": generator_version(),
        "numba": version("numba"),
        "python": platform.python_version(),
    }


def load_python(source: str, filename: str = "<kernel>") -> Callable[..., None]:
    """The ``kernel`` of generated source as a plain Python function.

    Give `filename` the path of the written file to see its lines in a debugger.
    """
    namespace: dict[str, Any] = {}
    exec(compile(source, filename, "exec"), namespace)
    kernel: Callable[..., None] = namespace[SYMBOL]
    return kernel


def header(program: LoopProgram, comments: Iterable[str]) -> str:
    """Comment lines: the kernel's name, the given comments, the program's text."""
    lines = [f"Kernel {program.name}.", *comments, "", *program.text().splitlines()]
    flat = [part for line in lines for part in line.splitlines() or [""]]
    return "\n".join(f"# {line}".rstrip() for line in flat)


def scalar_functions(program: LoopProgram) -> list[ScalarFunction]:
    """The scalar functions a program calls, callees before callers."""
    return functions_used(e for s in walk(program.body) for e in values_of(s))


def import_block(body: str, program: LoopProgram) -> str:
    """Statements that bind the helper names which `body` uses; empty if none."""
    known = {*RUNTIME, *map(python_name, scalar_functions(program))}
    names = sorted(known & set(_WORD.findall(body)))
    if not names:
        return ""
    left, right = ", ".join(names), " ".join(names)
    line = f"{left}{',' * (len(names) == 1)} = helpers({right!r})".replace("'", '"')
    if len(line) > _WIDTH:
        targets, strings = textwrap.wrap(left, 84), textwrap.wrap(right, 80)
        lines = [f"    {part}" for part in targets]
        quoted = [f'    "{part} "' for part in strings]
        line = "\n".join(["(", *lines, ") = helpers(", *quoted, ")"])
    return f"from compiler.kernels.emit_numba import helpers\n\n{line}"


def identifier(name: str) -> str:
    """`name` as a Python name that no helper, keyword or temporary has."""
    word = re.sub(r"\W", "_", name)
    taken = keyword.iskeyword(word) or word in RUNTIME or _TEMPORARY.fullmatch(word)
    return f"{word}_" if taken or word == SYMBOL else word


class _Scalar(PythonScalar):
    """Leaves the index of a load to the load, which spells it out in place."""

    def value(self, expr: Expr) -> str:
        for each in post_order([expr], self._is_ready):
            self._scopes[-1][each] = self._lower(each)
        return self._known(expr) or ""

    def _is_ready(self, expr: Expr) -> bool:
        if expr.op == "load" and self._known(expr) is None:
            self._scopes[-1][expr] = self._load(expr)
        return self._known(expr) is not None


class KernelWriter:
    """Writes statements of a program as Python, one value a line, to `lines`."""

    def __init__(self, program: LoopProgram) -> None:
        self.program = program
        self.lines: list[str] = []
        self.scalar = _Scalar(self.lines, TemporaryNames(), self._load)
        self.dtypes: dict[str, DType] = {b.name: b.dtype for b in program.buffers}
        self.registers: dict[str, DType] = {}
        self._loads = 0
        for name in ("lo", "hi", "chunk", *program.ints):
            self.scalar.env[name] = identifier(name)

    def parameters(self) -> list[str]:
        """Python names of the buffers and integers, in order."""
        names = [b.name for b in self.program.buffers]
        return [identifier(n) for n in (*names, *self.program.ints)]

    def line(self, text: str) -> None:
        """Append a line at the current indentation."""
        self.lines.append(f"{self.scalar.indent}{text}")

    def indent(self, levels: int) -> None:
        """Move the indentation by a number of levels."""
        width = len(self.scalar.indent) + 4 * levels
        self.scalar.indent = " " * width

    # -- memory -------------------------------------------------------------------

    def element(self, buffer: str, index: Expr) -> str:
        """``buffer[index]``, with the index spelled out in place."""
        return f"{identifier(buffer)}[{self.inline(index)}]"

    def loaded(self, dtype: DType, place: str) -> str:
        """Source that reads an element into register form."""
        return f"f32({place})" if dtype in _NARROW else place

    def stored(self, dtype: DType, value: str) -> str:
        """Source of the stored form of a register value."""
        return value

    def _load(self, expr: Expr) -> str:
        place = self.element(expr.attr, expr.args[0])
        self._loads += 1
        name = f"{identifier(expr.attr)}_{self._loads}"
        self.line(f"{name} = {self.loaded(expr.dtype, place)}")
        return name

    def inline(self, expr: Expr) -> str:
        """An index as one readable expression where it is only sums and products."""
        if _inline_size(expr) > _INLINE_LIMIT:
            return self.scalar.value(expr)
        return self._inline(expr, 0)

    def _inline(self, expr: Expr, binding: int) -> str:
        if expr.op == "const":
            return str(int(expr.attr))
        if expr.op not in _INLINE or expr.dtype is not t.i64:
            return self.scalar.value(expr)
        strength = 2 if expr.op == "mul" else 1
        left = self._inline(expr.args[0], strength)
        right = self._inline(expr.args[1], strength + 1)
        text = f"{left} {_INLINE[expr.op]} {right}"
        return f"({text})" if strength < binding else text

    # -- statements ---------------------------------------------------------------

    def block(self, body: Iterable[Statement]) -> None:
        """Write statements one after the other."""
        for statement in body:
            self.statement(statement)

    def statement(self, statement: Statement) -> None:
        """Write one statement."""
        match statement:
            case Let(name, value):
                self.let(name, value)
            case Store():
                self.store(statement)
            case Accumulator(name, identity):
                self.declare(name, identity)
            case Accumulate():
                self.accumulate(statement)
            case For():
                self.loop(statement)

    def let(self, name: str, value: Expr) -> None:
        """Bind a name; an accumulator is copied, for it changes later."""
        source = self.scalar.value(value)
        if value.op == "var" and value.attr in self.registers:
            self.line(f"{identifier(name)} = {source}")
            source = identifier(name)
        self.scalar.env[name] = source

    def store(self, statement: Store) -> None:
        """Write an element."""
        value = self.scalar.value(statement.value)
        place = self.element(statement.buffer, statement.index)
        self.line(f"{place} = {self.stored(self.dtypes[statement.buffer], value)}")

    def declare(self, name: str, identity: Expr) -> None:
        """Start an accumulator."""
        self.registers[name] = identity.dtype
        self.scalar.env[name] = identifier(name)
        self.line(f"{identifier(name)} = {self.scalar.value(identity)}")

    def accumulate(self, statement: Accumulate) -> None:
        """Combine a value into an accumulator."""
        name, dtype = identifier(statement.name), self.registers[statement.name]
        value = self.scalar.value(statement.value)
        self.line(f"{name} = {self.combined(statement.op, dtype, name, value)}")

    def combined(self, op: str, dtype: DType, old: str, new: str) -> str:
        """Source of ``op(old, new)``; a float sum or product may be reordered."""
        if op in _REASSOCIATED and dtype.is_float:
            text = self.reassociated(op, old, new)
            return f"round_{dtype.name}({text})" if dtype in _NARROW else text
        k, lines = ScalarBuilder(), list[str]()
        scalar = PythonScalar(lines, indent="")
        scalar.env = {"old": old, "new": new}
        scalar.value(k.binary(op, k.var("old", dtype), k.var("new", dtype)))
        return lines[-1].partition(" = ")[2]

    def reassociated(self, op: str, old: str, new: str) -> str:
        """Source of a float sum or product whose order is left open."""
        return f"reassoc_{op}({old}, {new})"

    def loop(self, loop: For) -> None:
        """Write a loop."""
        start, stop = (self.inline(e) for e in values_of(loop))
        bounds = stop if start == "0" else f"{start}, {stop}"
        self.loop_over(loop, f"range({bounds})")

    def loop_over(self, loop: For, values: str) -> None:
        """Write ``for var in values`` with the loop's body, in a scope of its own."""
        saved = dict(self.scalar.env)
        var = self.scalar.env[loop.var] = identifier(loop.var)
        self.line(f"for {var} in {values}:")
        self.indent(1)
        self.scalar.push_scope()
        self.block(loop.body)
        if not loop.body:
            self.line("pass")
        self.scalar.pop_scope()
        self.indent(-1)
        self.scalar.env = saved


def _inline_size(expr: Expr) -> int:
    """Number of operators `_inline` would print, counted up to the limit."""
    count, stack = 0, [expr]
    while stack and count <= _INLINE_LIMIT:
        each = stack.pop()
        if each.op in _INLINE and each.dtype is t.i64:
            count += 1
            stack.extend(each.args)
    return count
