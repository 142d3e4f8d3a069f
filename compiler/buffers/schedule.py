"""The schedule: work items in execution order, and the storages they read and write.

A *storage* is memory that one or several values share. Reshapes share the storage of
their operand; results of the graph, updated variables and literals live outside the
arena. Everything here is symbolic and computed once; sizes follow in `assign`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from compiler.fusion.classify import FreeValues, is_view
from compiler.fusion.group import FusedGraph, Group
from compiler.ir.dims import Dim
from compiler.ir.node import Graph, Node, Value
from compiler.kernels.lower import LoweredKernel, Partial, lower_group


@dataclass(eq=False)
class Storage:
    """Memory for a value.

    Attributes:
        name: for reports.
        nbytes: size; of one chunk if `chunks_of` is set.
        place: ``arena``, ``input``, ``output`` or ``constant``.
        position: number of the input or output.
        chunks_of: the item whose chunk count multiplies the size.
        array: the literal of a constant.
        birth, death: first and last item that touches it.
        follows: storage of an operand that it may take over at its birth.
    """

    name: str
    nbytes: Dim
    place: str = "arena"
    position: int = 0
    chunks_of: int | None = None
    array: np.ndarray | None = None
    birth: int = -1
    death: int = -1
    follows: list[Storage] = field(default_factory=list)


@dataclass(eq=False)
class Item:
    """One unit of work: a kernel, the combination of its partial sums, a product, a
    host routine or a copy.

    `bufs` are the storages bound to the parameters, in order.
    """

    kind: str
    name: str
    bufs: tuple[Storage, ...]
    reads: tuple[Storage, ...]
    writes: tuple[Storage, ...]
    kernel: LoweredKernel | None = None
    partial: Partial | None = None
    of: int = -1
    node: Node | None = None
    payload: Any = None


@dataclass(eq=False)
class Schedule:
    """Items in order, storages, and where the results of the graph are found."""

    graph: Graph
    items: list[Item]
    storages: list[Storage]
    storage_of: dict[Value, Storage]
    outputs: list[Storage]
    updates: dict[int, int]


def schedule(fused: FusedGraph) -> Schedule:
    """Lower the groups and lay out who reads and writes what, in order."""
    return _Scheduler(fused).run()


class _Scheduler:
    def __init__(self, fused: FusedGraph) -> None:
        self.fused = fused
        self.graph = fused.graph
        self.free = FreeValues()
        self.items: list[Item] = []
        self.storages: list[Storage] = []
        self.storage_of: dict[Value, Storage] = {}

    def run(self) -> Schedule:
        for i, param in enumerate(self.graph.params):
            value = param.output
            name = str(param.attrs.get("name", f"p{i}"))
            self._new(value, name, place="input", position=i)
        for group in self.fused.groups:
            self._group(group)
        outputs = self._place_outputs()
        self._lifetimes()
        updates = self._place_updates(outputs)
        self._lifetimes()
        return Schedule(
            self.graph, self.items, self.storages, self.storage_of, outputs, updates
        )

    # -- storages -----------------------------------------------------------------

    def _new(
        self, value: Value | None, name: str, nbytes: Dim = 0, **more: Any
    ) -> Storage:
        size = value.type.nbytes if value is not None else nbytes
        storage = Storage(name, size, **more)
        self.storages.append(storage)
        if value is not None:
            self.storage_of[value] = storage
        return storage

    def _find(self, value: Value) -> Storage:
        """The storage of a value; that of the operand for a reshape of memory."""
        while value not in self.storage_of:
            assert value.node.op.name == "reshape", value
            value = value.node.inputs[0]
        return self.storage_of[value]

    # -- items --------------------------------------------------------------------

    def _group(self, group: Group) -> None:
        if group.kind in ("loop", "copy"):
            self._kernel(group)
        elif group.kind == "constant":
            node = group.nodes[0]
            array = node.attrs["value"].array
            self._new(node.output, "literal", place="constant", array=array)
        else:
            self._library(group)

    def _kernel(self, group: Group) -> None:
        kernel = lower_group(group, self.free)
        at = len(self.items)
        bound: dict[str, Storage] = {}
        for buffer in kernel.program.buffers:
            if buffer.role == "in":
                bound[buffer.name] = self._find(kernel.values[buffer.name])
            elif buffer.role == "out":
                value = kernel.values[buffer.name]
                bound[buffer.name] = self._new(value, group.name)
        for partial in kernel.partials:
            size = partial.size * partial.dtype.itemsize
            bound[partial.buffer] = self._new(
                None, f"{group.name} partial sums", size, chunks_of=at
            )
        for scratch in kernel.scratch:
            size = scratch.size * scratch.dtype.itemsize
            bound[scratch.buffer] = self._new(
                None, f"{group.name} scratch", size, chunks_of=at
            )
        for operand, result in kernel.inplace:
            bound[result].follows.append(bound[operand])
        roles = {b.name: b.role for b in kernel.program.buffers}
        reads = tuple(s for n, s in bound.items() if roles[n] == "in")
        writes = tuple(s for n, s in bound.items() if roles[n] != "in")
        bufs = tuple(bound[b.name] for b in kernel.program.buffers)
        self.items.append(Item("kernel", group.name, bufs, reads, writes, kernel))
        for partial in kernel.partials:
            self._combine(at, partial, bound[partial.buffer], group)

    def _combine(
        self, at: int, partial: Partial, source: Storage, group: Group
    ) -> None:
        target = self._new(partial.value, f"{group.name} {partial.combine}")
        self.items.append(
            Item(
                "combine",
                f"combine_{partial.combine}",
                (source, target),
                (source,),
                (target,),
                self.items[at].kernel,
                partial,
                at,
            )
        )

    def _library(self, group: Group) -> None:
        node = group.nodes[0]
        reads = tuple(self._find(v) for v in node.inputs)
        writes = tuple(self._new(v, node.op.name) for v in node.outputs)
        bufs = (*reads, *writes)
        self.items.append(
            Item(group.kind, node.op.name, bufs, reads, writes, node=node)
        )

    # -- results ------------------------------------------------------------------

    def _place_outputs(self) -> list[Storage]:
        """Storages of the results: written directly if possible, else copied."""
        placed: list[Storage] = []
        for position, value in enumerate(self.graph.outputs):
            if position in self.graph.aliases:
                placed.append(self._find(value))
                continue
            storage = self._find(value)
            if storage.place == "arena":
                storage.place, storage.position = "output", position
            else:
                storage = self._copied(storage, position)
            placed.append(storage)
        return placed

    def _copied(self, source: Storage, position: int) -> Storage:
        target = self._new(None, f"copy of {source.name}", source.nbytes)
        target.place, target.position = "output", position
        self.items.append(Item("copy", "copy", (target, source), (source,), (target,)))
        return target

    def _place_updates(self, outputs: list[Storage]) -> dict[int, int]:
        """Write updated variables in place where nobody reads the old value later."""
        for position, source in self.graph.aliases.items():
            variable = self._find(self.graph.params[source].output)
            new = outputs[position]
            if new is variable:
                continue
            if self._can_replace(new, variable):
                new.place, new.position = "input", source
            else:
                self.items.append(
                    Item("copy", "update", (variable, new), (new,), (variable,))
                )
            outputs[position] = variable
        return dict(self.graph.aliases)

    def _can_replace(self, new: Storage, variable: Storage) -> bool:
        if new.place != "arena":
            return False
        if variable.death < new.birth:
            return True
        return variable.death == new.birth and variable in new.follows

    def _lifetimes(self) -> None:
        for storage in self.storages:
            storage.birth = storage.death = -1
        for position, item in enumerate(self.items):
            for storage in (*item.reads, *item.writes):
                if storage.birth < 0:
                    storage.birth = position
                storage.death = position


def is_memory_view(value: Value) -> bool:
    """True for a reshape, which shares the memory of its operand."""
    return is_view(value.node) and value.node.op.name == "reshape"
