"""Reused memory for arrays: 64-byte aligned blocks that outlive what lies in them.

Fresh memory is slow: the first touch of each page costs more than most kernels that
write it. A `BufferPool` keeps the blocks of its arrays and hands one out again when
nobody else refers to it any more. It needs no word from the user: every NumPy view,
memoryview, DLPack capsule or ``arr.ctypes`` pointer refers to the block, directly or
through other views, so a block whose only reference is the pool's own is free.

Blocks of 2 MiB and more come from ``mmap`` and ask for huge pages.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

ALIGNMENT = 64
TINY_BYTES = 4096
"""Smaller arrays are left to NumPy, which caches them well itself."""
HUGE_BYTES = 2 << 20
_PROBES = 8
_DEFAULT_CAPACITY = 8 << 30

_BYTE = np.dtype(np.uint8)


class _Block:
    """Memory of one array: ``raw`` owns it, data begin at `offset`."""

    __slots__ = ("offset", "raw")

    def __init__(self, size: int) -> None:
        self.raw = _map_huge(size) if size >= HUGE_BYTES else _allocate(size)
        align = HUGE_BYTES if size >= HUGE_BYTES else ALIGNMENT
        self.offset = -self.raw.ctypes.data % align


def _allocate(size: int) -> np.ndarray:
    return np.empty(size + ALIGNMENT, _BYTE)


def _map_huge(size: int) -> np.ndarray:
    if not hasattr(mmap, "MAP_PRIVATE"):
        return np.empty(size + HUGE_BYTES, _BYTE)
    # Private: a shared mapping would show a child's writes to its parent after a fork.
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    memory = mmap.mmap(-1, size + HUGE_BYTES, flags=flags)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        # A kernel without huge pages refuses: then ordinary ones do.
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, _BYTE)


class _SizeClass:
    """Blocks of one size; the front of the queue was handed out most recently."""

    __slots__ = ("blocks", "size", "tick")

    def __init__(self, size: int) -> None:
        self.size = size
        self.blocks: deque[_Block] = deque()
        self.tick = 0


def size_class(nbytes: int) -> int:
    """`nbytes` rounded up to one of sixteen sizes per power of two (≤ 12.5 % more)."""
    shift = max(nbytes.bit_length() - 4, 6)
    return ((nbytes - 1 >> shift) + 1) << shift


def _is_free(block: _Block) -> bool:
    return sys.getrefcount(block.raw) <= _FREE_COUNT


def _measure_free_count() -> int:
    """The reference count of a free block: it differs between Python versions."""
    block = _Block(ALIGNMENT)
    return sys.getrefcount(block.raw)


_FREE_COUNT = _measure_free_count()


@dataclass(frozen=True)
class PoolStats:
    """Counts of a `BufferPool`: arrays served from kept and from fresh memory, blocks
    and bytes known to it, and bytes of those that nobody uses now."""

    hits: int
    misses: int
    blocks: int
    bytes: int
    free_bytes: int


class BufferPool:
    """Makes arrays on reused, aligned memory. Thread-safe, and cheap: about 0.7 µs.

    At most `capacity` bytes are kept track of; over that the classes used least
    recently are forgotten first. A forgotten block that is in use lives on as an
    ordinary array's memory does.
    """

    def __init__(self, capacity: int = _DEFAULT_CAPACITY) -> None:
        self.capacity = capacity
        self._classes: dict[int, _SizeClass] = {}
        self._lock = threading.Lock()
        self._bytes = 0
        self._tick = 0
        self._misses = 0

    def empty(self, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        """An uninitialised C-contiguous array; `shape` is a tuple of ints.

        Aligned to 64 bytes, but for arrays under 4 KiB, which NumPy places.
        """
        nbytes = dtype.itemsize * math.prod(shape)
        if nbytes < TINY_BYTES:
            return np.empty(shape, dtype)
        shift = nbytes.bit_length() - 4
        size = ((nbytes - 1 >> shift) + 1) << shift
        self._tick += 1
        found = self._classes.get(size)
        if found is None:
            return self._fresh(shape, dtype, size)
        found.tick = self._tick
        block = self._take(found.blocks)
        if block is None:
            return self._fresh(shape, dtype, size)
        array = np.ndarray(shape, dtype, block.raw, block.offset)
        found.blocks.appendleft(block)
        return array

    def zeros(self, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        """As `empty`, filled with zeros."""
        array = self.empty(shape, dtype)
        array.fill(0)
        return array

    def empty_like(self, array: np.ndarray) -> np.ndarray:
        """As `empty`, with the shape and dtype of another array."""
        return self.empty(array.shape, array.dtype)

    @staticmethod
    def _take(blocks: deque[_Block]) -> _Block | None:
        """Take a free block out of `blocks`, looking at the first few only.

        Those in use go to the end, so that later calls look at others: with n blocks
        in use for long, about n/8 free ones are enough to find one at every call.
        """
        for _ in range(_PROBES):
            try:
                # Popping makes the block ours alone: no lock is needed to look at it.
                block = blocks.popleft()
            except IndexError:
                return None  # other threads hold all of them at this moment
            if sys.getrefcount(block.raw) <= _FREE_COUNT:
                return block
            blocks.append(block)
        return None

    def _fresh(self, shape: Sequence[int], dtype: np.dtype, size: int) -> np.ndarray:
        block = _Block(size)
        array = np.ndarray(shape, dtype, block.raw, block.offset)
        with self._lock:
            self._misses += 1
            if size > self.capacity:
                return array
            if self._bytes + size > self.capacity:
                # Make room for more than this one: trimming is not for every call.
                self._forget_down_to(min(self.capacity * 3 // 4, self.capacity - size))
            kept = self._classes.get(size)
            if kept is None:
                kept = self._classes[size] = _SizeClass(size)
            kept.tick = self._tick
            kept.blocks.appendleft(block)
            self._bytes += size
        return array

    def _forget_down_to(self, limit: int) -> None:
        for kept in sorted(self._classes.values(), key=lambda c: c.tick):
            while kept.blocks and self._bytes > limit:
                self._forget_last(kept)

    def _forget_last(self, kept: _SizeClass) -> None:
        try:
            kept.blocks.pop()
        except IndexError:
            return  # another thread looks at it just now
        self._bytes -= kept.size

    def trim(self, limit: int = 0) -> int:
        """Give unused blocks back until at most `limit` bytes are kept; bytes freed.

        Blocks in use stay, and are used again later.
        """
        with self._lock:
            before = self._bytes
            for kept in sorted(self._classes.values(), key=lambda c: c.tick):
                self._drop_free(kept, limit)
            return before - self._bytes

    def _drop_free(self, kept: _SizeClass, limit: int) -> None:
        for _ in range(len(kept.blocks)):
            if self._bytes <= limit:
                return
            try:
                block = kept.blocks.pop()
            except IndexError:
                return
            if _is_free(block):
                self._bytes -= kept.size
            else:
                kept.blocks.appendleft(block)

    def stats(self) -> PoolStats:
        """What the pool holds now."""
        with self._lock:
            blocks = [
                (c.size, b) for c in self._classes.values() for b in list(c.blocks)
            ]
            free = sum(size for size, block in blocks if _is_free(block))
            hits = self._tick - self._misses
            return PoolStats(hits, self._misses, len(blocks), self._bytes, free)


def _capacity() -> int:
    """A quarter of the machine's memory."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    except (AttributeError, OSError, ValueError):
        return _DEFAULT_CAPACITY


@cache
def default_buffer_pool() -> BufferPool:
    """The process's pool of array memory, made at the first call."""
    return BufferPool(_capacity())
