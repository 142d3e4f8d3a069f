"""Storages and work items: what a schedule is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from compiler.ir.dims import Dim
from compiler.ir.node import Graph, Node, Value
from compiler.kernels.lower import LoweredKernel, Partial


@dataclass(eq=False)
class Storage:
    """Memory for one or several values.

    Attributes:
        name: for reports.
        nbytes: size; of one chunk if `chunks_of` is set.
        place: ``arena``; ``input`` or ``output`` of the graph; ``constant``; in the
            body of a loop also ``outer`` (a storage around the loop) or ``slice`` (a
            part of one, another one in each iteration).
        position: number of the input or output.
        outer: the storage that an ``outer`` or ``slice`` storage lies in.
        chunks_of: the item whose chunk count multiplies the size.
        frame_of: the body whose memory this is; its size is known when it is laid out.
        array: the literal of a constant.
        birth, death: first and last item that touches it.
        follows: storages of operands that it may take over at its birth.
    """

    name: str
    nbytes: Dim
    place: str = "arena"
    position: int = 0
    outer: Storage | None = None
    chunks_of: Item | None = None
    frame_of: Schedule | None = None
    array: np.ndarray | None = None
    birth: int = -1
    death: int = -1
    follows: list[Storage] = field(default_factory=list)

    def move_to(self, other: Storage) -> None:
        """Make this the same memory as `other`."""
        self.place, self.position, self.outer = other.place, other.position, other.outer


@dataclass(eq=False)
class Item:
    """One unit of work.

    Attributes:
        kind: ``kernel``, ``combine`` (of its sums), ``dot``, ``host``, ``copy``,
            ``scan``, ``while`` or ``case``.
        bufs: storages bound to the parameters, in order.
        reads, writes: all storages that are touched.
        kernel, partial, of: the kernel, or the kernel item whose sums are combined.
        node: the op of a library call or of control flow.
        windows: the `patches` op whose windows a product reads in place.
        bodies, frames: schedules inside control flow, and the memory of each.
        control: storage of the loop index, the condition or the branch number.
    """

    kind: str
    name: str
    bufs: tuple[Storage, ...]
    reads: tuple[Storage, ...]
    writes: tuple[Storage, ...]
    kernel: LoweredKernel | None = None
    partial: Partial | None = None
    of: Item | None = None
    node: Node | None = None
    windows: Node | None = None
    bodies: tuple[Schedule, ...] = ()
    frames: tuple[Storage, ...] = ()
    control: Storage | None = None


@dataclass(eq=False)
class Schedule:
    """Items in order, storages, and where the results of the graph are found."""

    graph: Graph
    items: list[Item]
    storages: list[Storage]
    storage_of: dict[Value, Storage]
    updates: dict[int, int]

    def walk(self) -> Iterator[Item]:
        """All items, those of loop bodies and branches after the loop."""
        for item in self.items:
            yield item
            for body in item.bodies:
                yield from body.walk()
