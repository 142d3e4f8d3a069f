"""A schedule laid out for concrete sizes: addresses, chunk counts, and native steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from compiler.buffers.assign import Assignment, assign
from compiler.buffers.storage import Item, Schedule, Storage
from compiler.buffers.windows import is_gradient
from compiler.ir.dims import Dim, concrete
from compiler.ir.node import Node
from compiler.passes.layout_dots import gemm_shape
from compiler.runtime.gemm import Gemm, gemm_steps
from compiler.runtime.memory import default_buffer_pool
from compiler.runtime.steps import (
    Address,
    Arg,
    Call,
    Case,
    Copy,
    For,
    Step,
    While,
    Word,
    WordRef,
    Words,
    chunks_for,
)
from compiler.runtime.window_products import (
    Windows,
    window_gradient_steps,
    window_offsets,
    window_product_steps,
)

# Additions per chunk below which splitting work costs more than it gains.
GRAIN = 1 << 15

Place = int | Arg | np.ndarray
Record = tuple[WordRef, Word, Word, int]


class Layout:
    """Addresses and steps of a schedule for given sizes.

    Attributes:
        assignment: where every storage lies in the arena.
        chunks: chunk count of every kernel item.
        fresh: positions of the results that a call allocates; they are arguments
            behind the inputs.
    """

    def __init__(
        self,
        schedule: Schedule,
        kernels: Mapping[Item, int],
        bindings: Mapping[str, int],
        threads: int,
    ) -> None:
        self.schedule = schedule
        self.kernels = kernels
        self.bindings = dict(bindings)
        self.threads = threads
        self.num_inputs = len(schedule.graph.params)
        outputs = range(len(schedule.graph.outputs))
        self.fresh = [i for i in outputs if i not in schedule.updates]
        self.chunks = self._chunk_counts()
        self.direct = self._direct_partials()
        self.assignment = assign(schedule, self.bindings, self.chunks, self.direct)
        self.arena = default_buffer_pool().empty(
            (max(self.assignment.arena_bytes, 1),), np.dtype(np.uint8)
        )
        self.base = self.arena.ctypes.data
        self.addresses: dict[Storage, int] = {}
        self._lay_out(schedule, self.assignment, self.base)
        # Buffer words that change in each iteration, by the slice they hold.
        self._slices: dict[Storage, list[WordRef]] = {}

    # -- sizes --------------------------------------------------------------------

    def size(self, dim: Dim) -> int:
        """A dimension as a number."""
        return concrete(dim, self.bindings)

    def _chunk_counts(self) -> dict[Item, int]:
        """Chunks of every kernel: enough work for each, one where it is small."""
        counts = {}
        for item in self.schedule.walk():
            if item.kind == "kernel":
                assert item.kernel is not None
                extent = self.size(item.kernel.extent)
                wanted = min(
                    self.threads, extent * self.size(item.kernel.work) // GRAIN
                )
                counts[item] = chunks_for(extent, wanted, item.kernel.align)
        return counts

    def _direct_partials(self) -> dict[Storage, Storage]:
        """Sums of a single chunk that need no combining: they are the result."""
        return {
            item.bufs[0]: item.bufs[1]
            for item in self.schedule.walk()
            if item.kind == "combine" and self._is_direct(item)
        }

    def _is_direct(self, item: Item) -> bool:
        assert item.partial is not None
        assert item.of is not None
        same_dtype = item.partial.dtype is item.partial.value.dtype
        # The kernel may still read what an updated input or a loop's carry holds.
        fresh = item.bufs[1].place in ("arena", "output")
        return self.chunks[item.of] == 1 and same_dtype and fresh

    def _lay_out(self, schedule: Schedule, found: Assignment, base: int) -> None:
        for storage, slot in found.slots.items():
            self.addresses[storage] = base + slot.offset
            if storage.frame_of is not None:
                body = storage.frame_of
                self._lay_out(body, found.of(body), base + slot.offset)

    # -- addresses ----------------------------------------------------------------

    def resolve(self, storage: Storage) -> Storage:
        """The storage that holds the memory: through direct sums and loop bodies."""
        storage = self.direct.get(storage, storage)
        while storage.place == "outer":
            assert storage.outer is not None
            storage = self.direct.get(storage.outer, storage.outer)
        return storage

    def word(self, storage: Storage) -> Place:
        """The address of a storage that has one for the whole call."""
        storage = self.resolve(storage)
        if storage.place == "input":
            return Arg(storage.position)
        if storage.place == "output":
            return Arg(self.num_inputs + self.fresh.index(storage.position))
        if storage.place == "constant":
            assert storage.array is not None
            return storage.array
        return self.addresses[storage]

    def _words(self, storages: Sequence[Storage]) -> Words:
        """A list of addresses; slices are noted, to be filled in every iteration."""
        found = [self.resolve(s) for s in storages]
        values = [0 if s.place == "slice" else self.word(s) for s in found]
        words = Words(*values)
        self._note_slices(words, found)
        return words

    def _note_slices(self, words: Words, found: Sequence[Storage]) -> None:
        for position, storage in enumerate(found):
            if storage.place == "slice":
                refs = self._slices.setdefault(storage, [])
                refs.append(WordRef(words, position))

    # -- steps --------------------------------------------------------------------

    def steps(self, items: Sequence[Item]) -> list[Step]:
        """Native steps of items, in order."""
        return [step for item in items for step in self._steps(item)]

    def _steps(self, item: Item) -> Sequence[Step]:
        if item.kind == "kernel":
            return [self._kernel(item)]
        if item.kind == "combine":
            return [] if self._is_direct(item) else [self._combine(item)]
        if item.kind == "copy":
            return self._copy(item)
        if item.kind == "dot":
            return self._dot(item)
        return [
            {"scan": self._scan, "while": self._while, "case": self._case}[item.kind](
                item
            )
        ]

    def _kernel(self, item: Item) -> Call:
        assert item.kernel is not None
        ints = [self.size(d) for d in item.kernel.ints]
        return Call(
            self.kernels[item],
            self._words(item.bufs),
            Words(*ints),
            self.size(item.kernel.extent),
            self.chunks[item],
            item.kernel.align,
            item.name,
        )

    def _combine(self, item: Item) -> Call:
        assert item.partial is not None
        assert item.of is not None
        size = self.size(item.partial.size)
        ints = Words(size, self.chunks[item.of])
        bufs = self._words(item.bufs)
        return Call(self.kernels[item], bufs, ints, size, name=item.name)

    def _copy(self, item: Item) -> list[Step]:
        found = [self.resolve(s) for s in item.bufs]
        target, source = found
        if target is source:
            return []
        values = [0 if s.place == "slice" else self.word(s) for s in found]
        if isinstance(values[0], int) and values[0] and values[0] == values[1]:
            return []  # the target took over the memory of the source
        step = Copy(values[0], values[1], self.size(item.bufs[1].nbytes))
        self._note_slices(step.bufs, found)
        return [step]

    def _dot(self, item: Item) -> list[Call]:
        assert item.node is not None
        shape = gemm_shape(item.node)
        assert shape is not None
        if item.windows is not None:
            return self._window_product(item, item.windows, self.size(shape.n))
        m, n, k = (self.size(d) for d in (shape.m, shape.n, shape.k))
        batch = self.size(shape.batch)
        dtype = item.node.output.dtype
        gemm = Gemm(dtype, m, n, k, shape.trans_a, shape.trans_b, batch=batch)
        return gemm_steps(gemm, self._words(item.bufs), self.threads)

    def _window_product(self, item: Item, patches: Node, columns: int) -> list[Call]:
        assert item.node is not None
        (x,), attrs = patches.inputs, patches.attrs
        images, *sizes, depth = (self.size(d) for d in x.shape)
        window = attrs["window"]
        out = [self.size(d) for d in patches.output.shape[1 : 1 + len(window)]]
        offsets = window_offsets(
            *(sizes, out, window, attrs["strides"], attrs["low"], attrs["dilation"]),
            *(attrs["spacing"], depth),
        )
        windows = Windows(images, prod(sizes) * depth, depth, offsets)
        gradient = is_gradient(item.node)
        make = window_gradient_steps if gradient else window_product_steps
        dtype, bufs = item.node.output.dtype, self._words(item.bufs)
        return make(dtype, windows, columns, bufs, self.threads, "convolution")

    def _scan(self, item: Item) -> For:
        assert item.node is not None
        assert item.control is not None
        (body,) = item.bodies
        trip = self.size(item.node.attrs["length"])
        inner = self.steps(body.items)
        index = self.word(item.control)
        records = self._records(body, index, trip, item.node.attrs["reverse"])
        first: list[Step] = [Address(records)] if records else []
        return For(index, [*first, *inner], trip=trip)

    def _records(
        self, body: Schedule, index: Word, trip: int, reverse: bool
    ) -> list[Record]:
        """Which words hold which slice: base address, index and stride."""
        own = {id(s) for s in body.storages}
        records: list[Record] = []
        for storage in [s for s in self._slices if id(s) in own]:
            assert storage.outer is not None
            stride = self.size(storage.nbytes)
            base = self.word(storage.outer)
            if reverse:
                base, stride = _shifted(base, (trip - 1) * stride), -stride
            for ref in self._slices.pop(storage):
                records.append((ref, base, index, stride))
        return records

    def _while(self, item: Item) -> While:
        assert item.control is not None
        test, body = (self.steps(b.items) for b in item.bodies)
        return While(self.word(item.control), test, body)

    def _case(self, item: Item) -> Case:
        assert item.control is not None
        branches = [self.steps(b.items) for b in item.bodies]
        return Case(self.word(item.control), branches)


def _shifted(base: Place, nbytes: int) -> Place:
    if isinstance(base, Arg):
        return Arg(base.index, base.offset + nbytes)
    if isinstance(base, np.ndarray):
        return base.ctypes.data + nbytes
    return base + nbytes
