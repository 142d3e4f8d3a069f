"""Executables: a schedule, its kernels, and a prebound step list for each set of sizes.

`Executable.run` takes arrays and returns arrays. Sizes of symbolic dimensions are read
from the arrays; for each combination the arena is laid out and the step table packed
once (`BoundProgram`), after which a call allocates results and runs the table.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from compiler.buffers.assign import Assignment, assign
from compiler.buffers.schedule import Item, Schedule, Storage
from compiler.errors import ExecutionError
from compiler.ir.dims import concrete
from compiler.ir.interpret import SymbolBinder
from compiler.ir.node import Graph, Value, bind_attrs
from compiler.ir.types import type_of_array
from compiler.passes.layout_dots import GemmShape, gemm_shape
from compiler.runtime.gemm import Gemm, gemm_call
from compiler.runtime.memory import default_buffer_pool
from compiler.runtime.steps import Arg, Call, Copy, Step, StepTable, Words, chunks_for
from compiler.runtime.threadpool import ThreadPool

# Additions per chunk below which splitting work costs more than it gains.
GRAIN = 1 << 15

Arrays = tuple[np.ndarray, ...]


class Kernels:
    """Addresses of the kernels of a schedule's items, by item position."""

    def __init__(self, addresses: Mapping[int, int]) -> None:
        self.addresses = dict(addresses)


class BoundProgram:
    """A schedule laid out for concrete sizes; run by one thread at a time."""

    def __init__(
        self,
        schedule: Schedule,
        kernels: Kernels,
        bindings: Mapping[str, int],
        pool: ThreadPool,
    ) -> None:
        self.schedule = schedule
        self.kernels = kernels
        self.bindings = dict(bindings)
        self.lock = threading.Lock()
        self.num_inputs = len(schedule.graph.params)
        self.chunks = self._chunk_counts(pool.num_threads)
        self.direct = self._direct_partials()
        self.assignment: Assignment = assign(
            schedule, self.bindings, self.chunks, self.direct
        )
        self.arena = default_buffer_pool().empty(
            (max(self.assignment.arena_bytes, 1),), np.dtype(np.uint8)
        )
        self.base = self.arena.ctypes.data
        self.results = self._fresh_results()
        self.segments = self._segments(pool)

    # -- sizes --------------------------------------------------------------------

    def _chunk_counts(self, threads: int) -> dict[int, int]:
        """Chunks of every kernel item: enough work for each, one where it is small."""
        counts = {}
        for position, item in enumerate(self.schedule.items):
            if item.kind == "kernel":
                assert item.kernel is not None
                extent = concrete(item.kernel.extent, self.bindings)
                work = extent * concrete(item.kernel.work, self.bindings)
                wanted = min(threads, work // GRAIN)
                counts[position] = chunks_for(extent, wanted, item.kernel.align)
        return counts

    def _direct_partials(self) -> dict[Storage, Storage]:
        """Sums of a single chunk that need no combining: they are the result."""
        direct = {}
        for item in self.schedule.items:
            if item.kind == "combine" and self._is_direct(item):
                source, target = item.bufs
                direct[source] = target
        return direct

    def _is_direct(self, item: Item) -> bool:
        assert item.partial is not None
        same_dtype = item.partial.dtype is item.partial.value.dtype
        return self.chunks[item.of] == 1 and same_dtype

    def _fresh_results(self) -> list[tuple[tuple[int, ...], np.dtype]]:
        """Shape and dtype of the results that a call allocates, in order."""
        graph = self.schedule.graph
        self.fresh = [
            i for i in range(len(graph.outputs)) if i not in self.schedule.updates
        ]
        return [
            (
                tuple(concrete(d, self.bindings) for d in graph.outputs[i].shape),
                graph.outputs[i].dtype.np,
            )
            for i in self.fresh
        ]

    # -- steps --------------------------------------------------------------------

    def _word(self, storage: Storage) -> int | Arg | np.ndarray:
        storage = self.direct.get(storage, storage)
        if storage.place == "input":
            return Arg(storage.position)
        if storage.place == "output":
            return Arg(self.num_inputs + self.fresh.index(storage.position))
        if storage.place == "constant":
            assert storage.array is not None
            return storage.array
        return self.base + self.assignment.slots[storage].offset

    def _segments(self, pool: ThreadPool) -> list[Callable[[Arrays], Any]]:
        """Runs of native steps, and host routines between them."""
        segments: list[Callable[[Arrays], Any]] = []
        steps: list[Step] = []
        self.tables: list[StepTable] = []
        for position, item in enumerate(self.schedule.items):
            if item.kind == "host":
                self._close(steps, segments, pool)
                steps = []
                segments.append(_HostStep(self, item))
            else:
                steps.extend(self._steps(position, item, pool.num_threads))
        self._close(steps, segments, pool)
        return segments

    def _close(
        self,
        steps: list[Step],
        segments: list[Callable[[Arrays], Any]],
        pool: ThreadPool,
    ) -> None:
        if steps:
            table = StepTable(steps)
            self.tables.append(table)
            segments.append(pool.bind_objects(table))

    def _steps(self, position: int, item: Item, threads: int) -> list[Step]:
        if item.kind == "kernel":
            return [self._kernel_step(position, item)]
        if item.kind == "combine":
            return [] if self._is_direct(item) else [self._combine_step(position, item)]
        if item.kind == "copy":
            target, source = item.bufs
            nbytes = concrete(source.nbytes, self.bindings)
            return [Copy(self._word(target), self._word(source), nbytes)]
        return [self._dot_step(item, threads)]

    def _kernel_step(self, position: int, item: Item) -> Call:
        assert item.kernel is not None
        ints = [concrete(d, self.bindings) for d in item.kernel.ints]
        return Call(
            self.kernels.addresses[position],
            Words(*(self._word(s) for s in item.bufs)),
            Words(*ints),
            concrete(item.kernel.extent, self.bindings),
            self.chunks[position],
            item.kernel.align,
            item.name,
        )

    def _combine_step(self, position: int, item: Item) -> Call:
        assert item.partial is not None
        size = concrete(item.partial.size, self.bindings)
        bufs = Words(*(self._word(s) for s in item.bufs))
        ints = Words(size, self.chunks[item.of])
        return Call(self.kernels.addresses[position], bufs, ints, size, name=item.name)

    def _dot_step(self, item: Item, threads: int) -> Call:
        assert item.node is not None
        shape = gemm_shape(item.node)
        assert shape is not None
        bufs = Words(*(self._word(s) for s in item.bufs))
        gemm = self._gemm(shape, item)
        return gemm_call(gemm, bufs, threads)

    def _gemm(self, shape: GemmShape, item: Item) -> Gemm:
        assert item.node is not None
        sizes = (shape.m, shape.n, shape.k)
        m, n, k = (concrete(d, self.bindings) for d in sizes)
        return Gemm(
            item.node.output.dtype,
            m,
            n,
            k,
            shape.trans_a,
            shape.trans_b,
            batch=concrete(shape.batch, self.bindings),
        )

    # -- running ------------------------------------------------------------------

    def run(self, arrays: Arrays) -> list[np.ndarray]:
        """Results of one call; the caller holds `lock`."""
        empty = default_buffer_pool().empty
        fresh = [empty(shape, dtype) for shape, dtype in self.results]
        given = (*arrays, *fresh)
        for segment in self.segments:
            segment(given)
        updates = self.schedule.updates
        if not updates:
            return fresh
        results: list[np.ndarray] = []
        rest = iter(fresh)
        for i in range(len(self.schedule.graph.outputs)):
            source = updates.get(i)
            results.append(next(rest) if source is None else arrays[source])
        return results

    def view(self, storage: Storage, value: Value, given: Arrays) -> np.ndarray:
        """A storage as an array, while a call is running."""
        shape = tuple(concrete(d, self.bindings) for d in value.shape)
        word = self._word(storage)
        if isinstance(word, Arg):
            return given[word.index].reshape(shape)
        if isinstance(word, np.ndarray):
            return word.reshape(shape)
        offset = word - self.base
        size = concrete(value.type.nbytes, self.bindings)
        flat = self.arena[offset : offset + size]
        return flat.view(value.dtype.np).reshape(shape)


class _HostStep:
    """An op that has no kernel: its `evaluate`, reading and writing the same memory."""

    def __init__(self, bound: BoundProgram, item: Item) -> None:
        assert item.node is not None
        self.bound = bound
        self.node = item.node
        self.item = item
        self.attrs = bind_attrs(item.node.attrs, bound.bindings)

    def __call__(self, given: Arrays) -> None:
        node, view = self.node, self.bound.view
        reads = self.item.bufs[: len(node.inputs)]
        writes = self.item.bufs[len(node.inputs) :]
        operands = [view(s, v, given) for s, v in zip(reads, node.inputs, strict=True)]
        with np.errstate(all="ignore"):
            results = node.op.evaluate(*operands, **self.attrs)
        if not isinstance(results, tuple):
            results = (results,)
        for storage, value, result in zip(writes, node.outputs, results, strict=True):
            target = view(storage, value, given)
            np.copyto(target, result.reshape(target.shape), casting="no")


class Executable:
    """A compiled graph.

    Calling it checks the arguments; `run` does not. Results are new arrays, but for
    updated variables (``graph.aliases``), which are written into the argument, which
    must be writable, and returned as that same array.
    """

    def __init__(self, schedule: Schedule, kernels: Kernels, pool: ThreadPool) -> None:
        self.schedule = schedule
        self.graph: Graph = schedule.graph
        self.kernels = kernels
        self.pool = pool
        self._binder = SymbolBinder(self.graph)
        self._symbolic = bool(self.graph.symbols())
        self._bound: dict[Any, list[BoundProgram]] = {}
        self._making = threading.Lock()

    def __call__(self, arrays: Sequence[Any]) -> list[np.ndarray]:
        """Run with checked arguments.

        Raises:
            ExecutionError: if number, dtype or shape of the arrays do not fit.
        """
        checked = tuple(
            np.ascontiguousarray(a) if np.ndim(a) else np.asarray(a) for a in arrays
        )
        self._check(checked)
        return self.run(checked)

    def _check(self, arrays: Arrays) -> None:
        self._binder(tuple(a.shape for a in arrays))
        for param, array in zip(self.graph.params, arrays, strict=True):
            expected = param.output.type
            if type_of_array(array).dtype is not expected.dtype:
                raise ExecutionError(
                    f"parameter %{param.attrs['name']} of {self.graph.name} is {expected}, "
                    f"given {array.dtype}{list(array.shape)}",
                    fix=f"convert it to {expected.dtype.long}",
                )

    def run(self, arrays: Arrays) -> list[np.ndarray]:
        """Run with C-contiguous arrays of the right types; nothing is checked."""
        bound = self._acquire(arrays)
        try:
            return bound.run(arrays)
        finally:
            bound.lock.release()

    def _acquire(self, arrays: Arrays) -> BoundProgram:
        """A program for these sizes that no other thread is running; locked."""
        key: Any = None
        if self._symbolic:
            key = tuple(a.shape for a in arrays)
        for bound in self._bound.get(key, ()):
            if bound.lock.acquire(False):
                return bound
        return self._make(key, arrays)

    def _make(self, key: Any, arrays: Arrays) -> BoundProgram:
        bindings = self._binder(tuple(a.shape for a in arrays))
        bound = BoundProgram(self.schedule, self.kernels, bindings, self.pool)
        bound.lock.acquire()
        with self._making:
            self._bound[key] = [*self._bound.get(key, ()), bound]
        return bound

    def bind(self, bindings: Mapping[str, int]) -> BoundProgram:
        """The program for given sizes (for inspection)."""
        return BoundProgram(self.schedule, self.kernels, bindings, self.pool)

    def bound_programs(self) -> Sequence[BoundProgram]:
        """Programs made so far."""
        return [b for programs in self._bound.values() for b in programs]
