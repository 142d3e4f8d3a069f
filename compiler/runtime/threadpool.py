"""The thread pool: native workers that run the chunks of kernels.

Workers are daemon threads of Python that enter a native loop and stay there, without
the interpreter lock, until the pool dismisses them; see `native_runner` for the
protocol. They start at the first step that has several chunks, in the parent as in a
forked child. A table that is run while another thread uses the pool, or from inside a
kernel, runs serially on its own thread: correct and free of deadlock.

Sleep and wake-up use Linux's futex. Elsewhere idle workers poll every 100 µs.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import numpy as np

from compiler.errors import ExecutionError
from compiler.kernels.cache import default_cache
from compiler.runtime import native_runner as layout
from compiler.runtime.device import default_threads
from compiler.runtime.steps import StepTable

SPIN_IDLE_US = 40
SPIN_ACTIVE_US = 400
"""How long a worker spins before it sleeps, while the pool is unused and in use.

Waking a sleeping worker costs 5 to 50 µs, so between the steps of one table it is
better to spin over a serial step of ordinary length.
"""

MAX_THREADS = 1024
_JOIN_SECONDS = 1.0


class _Native:
    """The compiled runner: its entries as ctypes functions. Loaded once per process."""

    def __init__(self) -> None:
        text = layout.runner_ir(sys.byteorder)
        address = default_cache().get_or_compile(
            {"program": text, "target": "runtime", "generator": layout.VERSION},
            lambda: text,
            layout.ENTRIES_SYMBOL,
        )
        entries = (ctypes.c_size_t * 5).from_address(address)
        run = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        two = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
        self.run_addresses = run(entries[0])
        self.run_objects = run(entries[1])
        self.worker = two(entries[2])
        self.spin = ctypes.CFUNCTYPE(None, ctypes.c_int64)(entries[3])
        self.dismiss = two(entries[4])
        self.pauses_per_us = self._calibrate()
        self.offsets = _object_offsets()

    def _calibrate(self) -> float:
        count = 500
        best = min(self._seconds(count) for _ in range(3))
        return count / max(best * 1e6, 0.1)

    def _seconds(self, count: int) -> float:
        start = time.perf_counter()
        self.spin(count)
        return time.perf_counter() - start


@cache
def _native() -> _Native:
    return _Native()


def _find_pointer(owner: object, pointer: int) -> int | None:
    """Byte offset at which the memory of `owner` holds `pointer`."""
    size = min(object.__sizeof__(owner), 128) // 8
    words = (ctypes.c_uint64 * size).from_address(id(owner))
    found = [8 * at for at, word in enumerate(words) if word == pointer]
    return found[0] if len(found) == 1 else None


def _object_offsets() -> tuple[int, int] | None:
    """Where a tuple keeps its items and an array its data pointer.

    Looked up in real objects, so that another layout of either is noticed instead of
    assumed; None if they cannot be read this way, then addresses are passed instead.
    """
    if sys.implementation.name != "cpython":
        return None
    array, other = np.zeros(3), np.zeros(3)
    items = _find_pointer((array, other), id(array))
    data = _find_pointer(array, array.ctypes.data)
    return None if items is None or data is None else (items, data)


def _address_of(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _system_calls() -> dict[int, int]:
    """Addresses of the calls to sleep and to give up the processor, by pool word."""
    if sys.platform == "win32":
        kernel = ctypes.WinDLL("kernel32")
        yields, sleeps = kernel.SwitchToThread, kernel.Sleep
        return {layout.YIELD: _address_of(yields), layout.USLEEP: _address_of(sleeps)}
    libc = ctypes.CDLL(None)
    calls = {layout.YIELD: libc.sched_yield, layout.USLEEP: libc.usleep}
    if sys.platform == "linux" and platform.machine() in layout.FUTEX_NUMBER:
        calls[layout.SYSCALL] = libc.syscall
    return {word: _address_of(call) for word, call in calls.items()}


class _Bound(partial):
    """A runner entry bound to a table, which lives as long as this."""

    table: StepTable

    def __new__(cls, run: Callable[[int, int], int], table: StepTable) -> _Bound:
        self = super().__new__(cls, run, table.record.ctypes.data)
        self.table = table
        return self


def argument_addresses(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The data addresses of arrays, as the int64 array that `ThreadPool.run` takes."""
    return np.array([a.ctypes.data for a in arrays], np.int64)


class ThreadPool:
    """Runs step tables on `num_threads` threads, the calling one included."""

    def __init__(self, num_threads: int | None = None) -> None:
        self._native = _native()
        # Workers refer to this array, so it outlives the last of them.
        raw = np.zeros(layout.POOL_WORDS + 16, np.int64)
        start = -raw.ctypes.data % 128 // 8
        self._words = raw[start : start + layout.POOL_WORDS]
        self.address = self._words.ctypes.data
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()
        self._start_callback = ctypes.CFUNCTYPE(None)(_weak_call(self._start))
        self._initialise()
        self.set_num_threads(default_threads() if num_threads is None else num_threads)
        _POOLS.add(self)
        # Also runs at exit: workers must be out of the generated code by then.
        weakref.finalize(self, _leave, self._native, self._words, self._threads, 0)

    def _initialise(self) -> None:
        words = self._words
        for word, address in _system_calls().items():
            words[word] = address
        words[layout.START] = _address_of(self._start_callback)
        words[layout.SPIN_IDLE] = SPIN_IDLE_US * self._native.pauses_per_us
        words[layout.SPIN_ACTIVE] = SPIN_ACTIVE_US * self._native.pauses_per_us

    # Threads

    @property
    def num_threads(self) -> int:
        """Threads that a parallel step may use, the calling one included."""
        return int(self._words[layout.WANTED]) + 1

    @property
    def workers_alive(self) -> int:
        """Worker threads that have been started and not dismissed."""
        return sum(thread.is_alive() for thread in self._threads)

    def set_num_threads(self, count: int) -> None:
        """Use `count` threads from now on; 1 makes everything serial.

        Raises `ExecutionError` unless 1 ≤ count ≤ 1024.
        """
        if not 1 <= count <= MAX_THREADS:
            raise ExecutionError(
                f"cannot use {count} threads", fix=f"1 to {MAX_THREADS} threads"
            )
        with self._starting:
            _leave(self._native, self._words, self._threads, count - 1)

    def _start(self) -> None:
        """Start the missing workers; called by the runner, on the publishing thread."""
        with self._starting:
            wanted = int(self._words[layout.WANTED])
            try:
                for index in range(len(self._threads), wanted):
                    self._threads.append(self._new_worker(index))
            except RuntimeError:
                # No thread to be had (limits, or the interpreter is ending): the
                # publisher works off the chunks by itself.
                self._words[layout.WANTED] = len(self._threads)
            self._words[layout.STARTED] = len(self._threads)

    def _new_worker(self, index: int) -> threading.Thread:
        thread = threading.Thread(
            target=_work,
            args=(self._native.worker, self._words, index),
            name=f"jitflow-worker-{index}",
            daemon=True,
        )
        thread.start()
        return thread

    def _after_fork(self) -> None:
        """In the child no worker exists, and nothing can be running."""
        self._threads.clear()
        self._starting = threading.Lock()
        for word in (layout.DONE, layout.SLEEPERS, layout.ACTIVE, layout.STARTED):
            self._words[word] = 0
        self._words[layout.TICKET] = 0

    def shutdown(self) -> None:
        """Dismiss the workers; the pool goes on serially."""
        self.set_num_threads(1)

    # Running

    def bind(self, table: StepTable) -> Callable[[int], int]:
        """The fastest way to run `table` again and again: a function of one address.

        It takes the address of an int64 array with the argument addresses (0 if the
        table takes none) and returns 0, or 1 if another thread is running this very
        table and nothing was done. Nothing is checked. About 0.3 µs of overhead.
        """
        self._prepare(table)
        return _Bound(self._native.run_addresses, table)

    def bind_objects(self, table: StepTable) -> Callable[[tuple[np.ndarray, ...]], int]:
        """As `bind`, for a tuple of arrays, whose addresses are then read natively."""
        self._prepare(table)
        if self._native.offsets is None:
            run = _Bound(self._native.run_addresses, table)
            return lambda arrays: run(argument_addresses(arrays).ctypes.data)
        run = _Bound(self._native.run_objects, table)
        return lambda arrays: run(id(arrays))

    def _prepare(self, table: StepTable) -> None:
        table.record[0] = self.address if table.has_parallel else 0
        table.record[6:8] = self._native.offsets or (0, 0)

    def run(self, table: StepTable, arguments: Sequence[np.ndarray | int] = ()) -> None:
        """Run `table` with arrays, or addresses, as arguments.

        Raises `ExecutionError` if their number is wrong, or if another thread is
        running this very table.
        """
        if len(arguments) < table.num_args:
            raise ExecutionError(
                f"the steps take {table.num_args} arguments, {len(arguments)} given"
            )
        values = [a if isinstance(a, int) else a.ctypes.data for a in arguments]
        addresses = np.array(values, np.int64)
        if self.bind(table)(addresses.ctypes.data):
            raise ExecutionError(
                "another thread is running this step table",
                fix="pack a table for each thread from the same steps",
            )

    def profile(
        self, table: StepTable, arguments: Sequence[np.ndarray | int] = ()
    ) -> list[tuple[str, float]]:
        """Run `table` one outermost step at a time: names and seconds."""
        times = []
        record = table.record
        begin, end = int(record[1]), int(record[2])
        try:
            for first, after, name in table.top_level():
                record[1:3] = begin + 64 * first, begin + 64 * after
                start = time.perf_counter()
                self.run(table, arguments)
                times.append((name, time.perf_counter() - start))
        finally:
            record[1:3] = begin, end
        return times


def _work(worker: Callable[[int, int], None], words: np.ndarray, index: int) -> None:
    # The array is a parameter so that the thread keeps the pool's memory alive.
    worker(words.ctypes.data, index)


def _leave(
    native: _Native, words: np.ndarray, threads: list[threading.Thread], wanted: int
) -> None:
    """Keep the first `wanted` workers; wait for the others to leave."""
    leaving = threads[wanted:]
    del threads[wanted:]
    words[layout.STARTED] = len(threads)
    native.dismiss(words.ctypes.data, wanted)
    for thread in leaving:
        thread.join(_JOIN_SECONDS)


def _weak_call(method: Callable[[], None]) -> Callable[[], None]:
    """`method` without a reference to its object, so that a pool can be collected."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        target = reference()
        if target is not None:
            target()

    return call


_POOLS: weakref.WeakSet[ThreadPool] = weakref.WeakSet()
"""Every pool of the process: they need care after a fork."""


def _after_fork() -> None:
    for pool in list(_POOLS):
        pool._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@cache
def default_pool() -> ThreadPool:
    """The process's pool, made at the first call."""
    return ThreadPool()


def set_num_threads(count: int) -> None:
    """Use `count` threads in the default pool; 1 makes everything serial."""
    default_pool().set_num_threads(count)


def get_num_threads() -> int:
    """Threads of the default pool, the calling one included."""
    return default_pool().num_threads


@contextmanager
def num_threads(count: int) -> Iterator[None]:
    """Use `count` threads in the default pool inside a ``with`` block."""
    before = get_num_threads()
    set_num_threads(count)
    try:
        yield
    finally:
        set_num_threads(before)
