"""Executables: a schedule, its kernels, and a prebound step list for each set of sizes.

`Executable.run` takes arrays and returns arrays. Sizes of symbolic dimensions are read
from the arrays; for each combination the arena is laid out and the step table packed
once (`BoundProgram`), after which a call allocates results and runs the table.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from compiler.buffers.assign import Assignment
from compiler.buffers.storage import Item, Schedule, Storage
from compiler.errors import ExecutionError
from compiler.ir.dims import concrete
from compiler.ir.interpret import SymbolBinder, bound_attrs
from compiler.ir.node import Graph, Value
from compiler.ir.types import type_of_array
from compiler.runtime.layout import Layout
from compiler.runtime.memory import TINY_BYTES, default_buffer_pool
from compiler.runtime.steps import Arg, StepTable
from compiler.runtime.threadpool import ThreadPool

Arrays = tuple[np.ndarray, ...]


class BoundProgram:
    """A schedule laid out for concrete sizes; run by one thread at a time."""

    def __init__(
        self,
        schedule: Schedule,
        kernels: Mapping[Item, int],
        bindings: Mapping[str, int],
        pool: ThreadPool,
    ) -> None:
        self.schedule = schedule
        self.bindings = dict(bindings)
        self.lock = threading.Lock()
        self.layout = Layout(schedule, kernels, bindings, pool.num_threads)
        self.results = self._fresh_results()
        self.segments = self._segments(pool)
        self._allocate = [_allocator(shape, dtype) for shape, dtype in self.results]
        self._only = self.segments[0] if len(self.segments) == 1 else self._run_all

    @property
    def assignment(self) -> Assignment:
        """Where every storage lies in the arena."""
        return self.layout.assignment

    def _fresh_results(self) -> list[tuple[tuple[int, ...], np.dtype]]:
        """Shape and dtype of the results that a call allocates, in order."""
        outputs = self.schedule.graph.outputs
        return [
            (tuple(concrete(d, self.bindings) for d in v.shape), v.dtype.np)
            for v in (outputs[i] for i in self.layout.fresh)
        ]

    def _segments(self, pool: ThreadPool) -> list[Callable[[Arrays], Any]]:
        """Runs of native steps, and host routines between them."""
        segments: list[Callable[[Arrays], Any]] = []
        self.tables: list[StepTable] = []
        run: list[Item] = []
        for item in (*self.schedule.items, None):
            if item is not None and item.kind != "host":
                run.append(item)
                continue
            steps = self.layout.steps(run)
            run = []
            if steps:
                self.tables.append(StepTable(steps))
                segments.append(pool.bind_objects(self.tables[-1]))
            if item is not None:
                segments.append(_HostStep(self, item))
        return segments

    def run(self, arrays: Arrays) -> list[np.ndarray]:
        """Results of one call; the caller holds `lock`."""
        fresh = [allocate() for allocate in self._allocate]
        self._only((*arrays, *fresh))
        if not self.schedule.updates:
            return fresh
        return self._merged(arrays, fresh)

    def _run_all(self, given: Arrays) -> None:
        for segment in self.segments:
            segment(given)

    def _merged(self, arrays: Arrays, fresh: list[np.ndarray]) -> list[np.ndarray]:
        """All results in order: new arrays, and the arguments that were updated."""
        updates = self.schedule.updates
        results: list[np.ndarray] = []
        rest = iter(fresh)
        for i in range(len(self.schedule.graph.outputs)):
            source = updates.get(i)
            results.append(next(rest) if source is None else arrays[source])
        return results

    def view(self, storage: Storage, value: Value, given: Arrays) -> np.ndarray:
        """A storage as an array, while a call is running."""
        layout = self.layout
        shape = tuple(concrete(d, self.bindings) for d in value.shape)
        word = layout.word(storage)
        if isinstance(word, Arg):
            return given[word.index].reshape(shape)
        if isinstance(word, np.ndarray):
            return word.reshape(shape)
        offset = word - layout.base
        size = concrete(value.type.nbytes, self.bindings)
        flat = layout.arena[offset : offset + size]
        return flat.view(value.dtype.np).reshape(shape)


def _allocator(shape: tuple[int, ...], dtype: np.dtype) -> Callable[[], np.ndarray]:
    """What makes a result: NumPy itself for small ones, which it caches well."""
    small = math.prod(shape) * dtype.itemsize < TINY_BYTES
    return partial(np.empty if small else default_buffer_pool().empty, shape, dtype)


class _HostStep:
    """An op that has no kernel: its `evaluate`, reading and writing the same memory."""

    def __init__(self, bound: BoundProgram, item: Item) -> None:
        assert item.node is not None
        self.bound = bound
        self.node = item.node
        self.item = item
        self.attrs = bound_attrs(item.node, bound.bindings)

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

    def __init__(
        self, schedule: Schedule, kernels: Mapping[Item, int], pool: ThreadPool
    ) -> None:
        self.schedule = schedule
        self.graph: Graph = schedule.graph
        self.kernels = kernels
        self.pool = pool
        self._binder = SymbolBinder(self.graph)
        self._symbolic = bool(self.graph.symbols())
        self._bound: dict[Any, list[BoundProgram]] = {}
        self._making = threading.Lock()
        self._latest: BoundProgram | None = None

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
                    f"parameter %{param.attrs['name']} of {self.graph.name} is "
                    f"{expected}, given {array.dtype}{list(array.shape)}",
                    fix=f"convert it to {expected.dtype.long}",
                )

    def run(self, arrays: Arrays) -> list[np.ndarray]:
        """Run with C-contiguous arrays of the right types; nothing is checked."""
        bound = self._latest
        # The sizes of a graph without symbols never differ.
        if bound is None or self._symbolic or not bound.lock.acquire(False):
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
            self._latest = bound
        return bound

    def bind(self, bindings: Mapping[str, int]) -> BoundProgram:
        """The program for given sizes (for inspection)."""
        return BoundProgram(self.schedule, self.kernels, bindings, self.pool)

    def bound_programs(self) -> Sequence[BoundProgram]:
        """Programs made so far."""
        return [b for programs in self._bound.values() for b in programs]
