"""Numba CUDA source of a loop program: the same statements, spread over a grid.

A program takes one of three forms (`form_of`):

``threads``  every iteration of the outer loop stands alone: a grid-stride loop, one
             thread an iteration.
``rows``     iterations have inner loops: a block takes a row, its threads share the
             innermost loops, and sums meet in shared memory.
``chunks``   the program keeps something for each chunk (partial sums, scratch rows): a
             block takes a chunk, with the bounds that the CPU gives it.

In a block every thread runs the statements outside of the innermost loops; thread 0
alone stores there. The kernel's parameters are ``extent, chunks, <buffers>, <ints>``;
f16 and bf16 buffers are passed as their 16 bits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from compiler.ir import types as t
from compiler.ir.types import DType
from compiler.kernels.emit_numba import (
    RUNTIME,
    KernelWriter,
    header,
    identifier,
    scalar_functions,
)
from compiler.kernels.expr import Expr
from compiler.kernels.loop_program import (
    Accumulate,
    Accumulator,
    For,
    LoopProgram,
    Statement,
    Store,
    sub_expressions,
    values_of,
    walk,
)
from compiler.kernels.python_prelude import register_dtype
from compiler.kernels.python_scalar import python_function_source

THREADS = 256
"""Threads of a block; a power of two."""

_DEVICE = "@cuda.jit(device=True)\n"
_NARROW = (t.f16, t.bf16)
_OWN = ("extent", "chunks", "thread")

_REDUCE = '''@cuda.jit(device=True)
def block_{op}_{dtype}(value):
    """All threads of the block get the combined value; all of them must call."""
    shared = cuda.shared.array(THREADS, {numba_type})
    thread = cuda.threadIdx.x
    shared[thread] = value
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if thread < half:
            a = shared[thread]
            b = shared[thread + half]
            shared[thread] = {combined}
        cuda.syncthreads()
        half //= 2
    total = shared[0]
    cuda.syncthreads()
    return total
'''


def form_of(program: LoopProgram) -> str:
    """``threads``, ``rows`` or ``chunks``: how a program is spread over the grid."""
    names = {e.attr for e in _expressions(program.body) if e.op == "var"}
    loop = program.body[0] if len(program.body) == 1 else None
    if "chunk" in names or not isinstance(loop, For) or not _spans_chunk(loop):
        return "chunks"
    inner = [s for s in walk(loop.body) if isinstance(s, For) and s.parallel]
    return "rows" if inner else "threads"


def emit_cuda_source(
    program: LoopProgram, comments: Iterable[str] = (), threads: int = THREADS
) -> str:
    """A complete Python module that defines the CUDA kernel ``kernel``.

    `threads` is the size of a block, a power of two.
    """
    writer = _CudaWriter(program, form_of(program))
    writer.run()
    body = "\n".join(writer.lines) or "    pass"
    formal = ", ".join(["extent", "chunks", *writer.parameters()])
    kernel = f"@cuda.jit\ndef kernel({formal}):\n{body}\n"
    functions = [_DEVICE + python_function_source(f) for f in scalar_functions(program)]
    reductions = [writer.reduction(op, d) for op, d in sorted(writer.reduced, key=str)]
    code = "\n\n".join([*functions, *reductions, kernel])
    imports = ["import numba", "from numba import cuda"]
    names = sorted(set(RUNTIME) & set(re.findall(r"[A-Za-z_]\w*", code)))
    if names:
        imports += ["", "from compiler.kernels.cuda_target import device_names"]
    bound = [f'{name} = device_names()["{name}"]' for name in names]
    head = "\n".join([*imports, "", f"THREADS = {threads}", *bound])
    return f"{header(program, comments)}\n\n{head}\n\n\n{code}"


def _expressions(body: Iterable[Statement]) -> list[Expr]:
    return sub_expressions(e for s in walk(body) for e in values_of(s))


def _spans_chunk(loop: For) -> bool:
    return [(e.op, e.attr) for e in values_of(loop)] == [("var", "lo"), ("var", "hi")]


class _CudaWriter(KernelWriter):
    """Statements at block level, and below the innermost loops at thread level."""

    def __init__(self, program: LoopProgram, form: str) -> None:
        super().__init__(program)
        self.form = form
        self.at_block_level = form != "threads"
        self.declared: list[set[str]] = []
        self.reduced: set[tuple[str, DType]] = set()
        self.operators: dict[str, str] = {
            s.name: s.op for s in walk(program.body) if isinstance(s, Accumulate)
        }
        read = {e.attr for e in _expressions(program.body) if e.op == "load"}
        stored = {s.buffer for s in walk(program.body) if isinstance(s, Store)}
        self.shared = read & stored

    def run(self) -> None:
        """Write the kernel's body."""
        if self.form == "threads":
            return self._rows("cuda.grid(1), extent, cuda.gridsize(1)")
        self.line("thread = cuda.threadIdx.x")
        if self.form == "rows":
            return self._rows("cuda.blockIdx.x, extent, cuda.gridDim.x")
        self.line("for chunk in range(cuda.blockIdx.x, chunks, cuda.gridDim.x):")
        self.indent(1)
        self.line("lo = extent * chunk // chunks")
        self.line("hi = extent * (chunk + 1) // chunks")
        return self.block(self.program.body)

    def _rows(self, bounds: str) -> None:
        loop = self.program.body[0]
        assert isinstance(loop, For)
        self.loop_over(loop, f"range({bounds})")

    # -- memory -------------------------------------------------------------------

    def loaded(self, dtype: DType, place: str) -> str:
        return f"{dtype.name}_from_bits({place})" if dtype in _NARROW else place

    def stored(self, dtype: DType, value: str) -> str:
        return f"{dtype.name}_bits({value})" if dtype in _NARROW else value

    def store(self, statement: Store) -> None:
        if not self.at_block_level:
            return super().store(statement)
        value = self.scalar.value(statement.value)
        place = self.element(statement.buffer, statement.index)
        self._barrier({statement.buffer})
        self.line("if thread == 0:")
        dtype = self.dtypes[statement.buffer]
        self.line(f"    {place} = {self.stored(dtype, value)}")
        return self._barrier({statement.buffer})

    def _barrier(self, written: set[str]) -> None:
        """Wait where memory that this program reads and writes changes hands."""
        if written & self.shared:
            self.line("cuda.syncthreads()")

    # -- accumulators -------------------------------------------------------------

    def declare(self, name: str, identity: Expr) -> None:
        super().declare(name, identity)
        if self.at_block_level:
            # Unbound until `_publish`: until then each thread has only its share.
            del self.scalar.env[name]

    def accumulate(self, statement: Accumulate) -> None:
        if not self.at_block_level:
            return super().accumulate(statement)
        name, dtype = identifier(statement.name), self.registers[statement.name]
        value = self.scalar.value(statement.value)
        self.line("if thread == 0:")
        combined = self.combined(statement.op, dtype, name, value)
        return self.line(f"    {name} = {combined}")

    def reassociated(self, op: str, old: str, new: str) -> str:
        return f"{old} {'+' if op == 'add' else '*'} {new}"

    def reduction(self, op: str, dtype: DType) -> str:
        """Source of the function that combines a value over a block."""
        number = "boolean" if dtype is t.bool_ else register_dtype(dtype).long
        return _REDUCE.format(
            op=op,
            dtype=dtype.name,
            numba_type=f"numba.{number}",
            combined=self.combined(op, dtype, "a", "b"),
        )

    def _publish(self, loop: For) -> None:
        """Combine the shares of the threads in what the loop accumulated."""
        changed = {s.name for s in walk(loop.body) if isinstance(s, Accumulate)}
        for name in sorted(changed & self.declared[-1]):
            op, dtype = self.operators[name], self.registers[name]
            self.reduced.add((op, dtype))
            total = f"{identifier(name)}_all"
            self.line(f"{total} = block_{op}_{dtype.name}({identifier(name)})")
            self.scalar.env[name] = total

    # -- loops --------------------------------------------------------------------

    def block(self, body: Iterable[Statement]) -> None:
        statements = list(body)
        names = {s.name for s in statements if isinstance(s, Accumulator)}
        self.declared.append(names)
        super().block(statements)
        self.declared.pop()

    def loop(self, loop: For) -> None:
        if not self.at_block_level:
            return super().loop(loop)
        if loop.parallel:
            self._spread(loop)
        else:
            super().loop(loop)
        return self._publish(loop)

    def _spread(self, loop: For) -> None:
        start, stop = (self.inline(e) for e in values_of(loop))
        first = "thread" if start == "0" else f"{start} + thread"
        self.at_block_level = False
        self.loop_over(loop, f"range({first}, {stop}, THREADS)")
        self.at_block_level = True
        written = {s.buffer for s in walk(loop.body) if isinstance(s, Store)}
        read = {e.attr for e in _expressions(loop.body) if e.op == "load"}
        self._barrier(written | read)
