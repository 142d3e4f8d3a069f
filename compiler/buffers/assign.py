"""Offsets: place the storages of a schedule in one arena, for given sizes.

Best fit over a list of free gaps, in order of birth. A result may take over the memory
of an operand that dies in the same item, where the kernel allows it.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compiler.buffers.storage import Item, Schedule, Storage
from compiler.ir.dims import concrete

ALIGNMENT = 64


@dataclass(frozen=True)
class Slot:
    """Where a storage lives: `offset` and `nbytes` in the arena, and its lifetime."""

    storage: Storage
    offset: int
    nbytes: int
    birth: int
    death: int
    shared_with: Storage | None = None


@dataclass(frozen=True)
class Assignment:
    """Slots of the arena storages of a schedule, and the size of the arena.

    `bodies` are the assignments of loop bodies and branches, whose arenas are storages
    of this one.
    """

    slots: dict[Storage, Slot]
    arena_bytes: int
    bodies: dict[int, Assignment]

    def of(self, body: Schedule) -> Assignment:
        """The assignment of a body."""
        return self.bodies[id(body)]

    @property
    def sum_bytes(self) -> int:
        """What the storages would take without sharing memory."""
        return sum(slot.nbytes for slot in self.slots.values())


def assign(
    schedule: Schedule,
    bindings: Mapping[str, int],
    chunks: Mapping[Item, int],
    direct: Mapping[Storage, Storage],
) -> Assignment:
    """Place every arena storage.

    `chunks` gives the chunk count of items that have per-chunk storages; `direct` maps
    partial sums that are written straight into their result.
    """
    bodies = {
        id(body): assign(body, bindings, chunks, direct)
        for item in schedule.items
        for body in item.bodies
    }
    storages = [s for s in schedule.storages if _in_arena(s, direct)]
    births = _births(storages, direct)
    storages.sort(key=births.__getitem__)
    slots, top = _Assigner(bindings, chunks, bodies, births).run(storages)
    return Assignment(slots, top, bodies)


def _births(
    storages: Sequence[Storage], direct: Mapping[Storage, Storage]
) -> dict[Storage, int]:
    """First items; a sum that is written directly lives from its kernel on."""
    births = {s: s.birth for s in storages}
    for partial, target in direct.items():
        if target in births:
            births[target] = min(births[target], partial.birth)
    return births


def _in_arena(storage: Storage, direct: Mapping[Storage, Storage]) -> bool:
    return storage.place == "arena" and storage.birth >= 0 and storage not in direct


def aligned(nbytes: int) -> int:
    """`nbytes` rounded up to the alignment; at least one unit."""
    return max(-(-nbytes // ALIGNMENT), 1) * ALIGNMENT


class _Assigner:
    def __init__(
        self,
        bindings: Mapping[str, int],
        chunks: Mapping[Item, int],
        bodies: Mapping[int, Assignment],
        births: Mapping[Storage, int],
    ) -> None:
        self.bindings = bindings
        self.chunks = chunks
        self.bodies = bodies
        self.births = births
        self.gaps: list[tuple[int, int]] = []  # (offset, size), by offset
        self.top = 0
        self.slots: dict[Storage, Slot] = {}
        self.alive: list[tuple[int, int, Storage]] = []  # (death, serial, storage)
        self.taken: set[Storage] = set()

    def run(self, storages: Sequence[Storage]) -> tuple[dict[Storage, Slot], int]:
        for serial, storage in enumerate(storages):
            self._expire(self.births[storage])
            self.slots[storage] = self._place(storage)
            bisect.insort(self.alive, (storage.death, serial, storage))
        return self.slots, self.top

    def _size(self, storage: Storage) -> int:
        if storage.frame_of is not None:
            return aligned(self.bodies[id(storage.frame_of)].arena_bytes)
        nbytes = concrete(storage.nbytes, self.bindings)
        if storage.chunks_of is not None:
            nbytes *= self.chunks[storage.chunks_of]
        return aligned(nbytes)

    def _place(self, storage: Storage) -> Slot:
        nbytes = self._size(storage)
        birth = self.births[storage]
        for operand in storage.follows:
            slot = self.slots.get(operand)
            fits = slot is not None and slot.nbytes == nbytes
            if fits and operand.death == birth and operand not in self.taken:
                assert slot is not None
                self.taken.add(operand)
                return Slot(storage, slot.offset, nbytes, birth, storage.death, operand)
        offset = self._allocate(nbytes)
        return Slot(storage, offset, nbytes, birth, storage.death)

    def _expire(self, now: int) -> None:
        """Free the memory of storages that died before item `now`."""
        while self.alive and self.alive[0][0] < now:
            _, _, storage = self.alive.pop(0)
            if storage not in self.taken:
                slot = self.slots[storage]
                self._release(slot.offset, slot.nbytes)

    def _allocate(self, nbytes: int) -> int:
        fitting = [(size, i) for i, (_, size) in enumerate(self.gaps) if size >= nbytes]
        if not fitting:
            return self._extend(nbytes)
        _, i = min(fitting)
        offset, size = self.gaps.pop(i)
        if size > nbytes:
            self.gaps.insert(i, (offset + nbytes, size - nbytes))
        return offset

    def _extend(self, nbytes: int) -> int:
        """Grow the arena; a gap at its end is used as the beginning."""
        offset = self.top
        if self.gaps and sum(self.gaps[-1]) == self.top:
            offset = self.gaps.pop()[0]
        self.top = offset + nbytes
        return offset

    def _release(self, offset: int, nbytes: int) -> None:
        i = bisect.bisect(self.gaps, (offset, 0))
        if i < len(self.gaps) and offset + nbytes == self.gaps[i][0]:
            nbytes += self.gaps.pop(i)[1]
        if i and sum(self.gaps[i - 1]) == offset:
            i -= 1
            before = self.gaps.pop(i)
            offset, nbytes = before[0], nbytes + before[1]
        self.gaps.insert(i, (offset, nbytes))
