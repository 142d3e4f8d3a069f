"""The thread pool and the step runner, judged by serial execution in Python."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_kernels import kernels, python_kernel

from compiler.errors import ExecutionError
from compiler.runtime.device import (
    CpuDevice,
    cpu_device,
    cpu_fingerprint,
)
from compiler.runtime.native_runner import MAX_CHUNKS, runner_ir
from compiler.runtime.steps import (
    Address,
    Arg,
    Call,
    Case,
    Copy,
    For,
    StepTable,
    While,
    WordRef,
    Words,
    chunks_for,
)
from compiler.runtime.threadpool import ThreadPool, argument_addresses, default_pool

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module", params=[1, 2, 4])
def pool(request: pytest.FixtureRequest) -> ThreadPool:
    return ThreadPool(request.param)


@pytest.fixture(scope="module")
def pool4() -> ThreadPool:
    return ThreadPool(4)


def i64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def advance(out: object, value: object, factor: int = 1) -> Call:
    """``out = out * factor + value`` for one i64."""
    return Call(kernels()["advance"], Words(out, value), Words(factor), name="advance")


# Chunks


def bounds(extent: int, chunks: int, align: int) -> list[int]:
    starts = [extent * c // chunks // align * align for c in range(chunks)]
    return [*starts, extent]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5000), st.integers(2, 40), st.integers(1, 64)),
        min_size=1,
        max_size=20,
    )
)
def test_chunks_cover_each_index_once(
    pool4: ThreadPool, shapes: list[tuple[int, int, int]]
) -> None:
    outs = [np.zeros(extent + 1, np.int64) for extent, _, _ in shapes]
    sizes = [np.full(chunks, -1, np.int64) for _, chunks, _ in shapes]
    mark = kernels()["mark"]
    steps = [
        Call(mark, Words(out, size), extent=extent, chunks=chunks, align=align)
        for out, size, (extent, chunks, align) in zip(outs, sizes, shapes, strict=True)
    ]
    pool4.run(StepTable(steps))
    for out, size, (extent, chunks, align) in zip(outs, sizes, shapes, strict=True):
        assert (out[:extent] == 1).all() and out[extent] == 0
        expected = np.diff(bounds(extent, chunks, align))
        # An empty chunk is not called, so it leaves its place untouched.
        assert size.tolist() == np.where(expected == 0, -1, expected).tolist()


@given(st.integers(0, 10**6), st.integers(1, 200), st.integers(1, 64))
def test_chunks_for_leaves_none_empty(extent: int, wanted: int, align: int) -> None:
    chunks = chunks_for(extent, wanted, align)
    assert 1 <= chunks <= wanted
    assert chunks == 1 or (np.diff(bounds(extent, chunks, align)) > 0).all()


def test_one_chunk_is_called_even_for_no_iterations(pool: ThreadPool) -> None:
    size = i64(-1)
    steps = [Call(kernels()["mark"], Words(i64(0), size), extent=0, chunks=1)]
    pool.run(StepTable(steps))
    assert size[0] == 0


def test_many_fork_joins(pool: ThreadPool) -> None:
    out, sizes = np.zeros(64, np.int64), np.zeros(8, np.int64)
    call = Call(kernels()["mark"], Words(out, sizes), extent=64, chunks=8)
    table = StepTable([call] * 100)
    for _ in range(100):
        pool.run(table)
    assert (out == 10_000).all()


def test_most_chunks_that_fit(pool4: ThreadPool) -> None:
    out, sizes = np.zeros(MAX_CHUNKS, np.int64), np.zeros(MAX_CHUNKS, np.int64)
    call = Call(
        kernels()["mark"], Words(out, sizes), extent=MAX_CHUNKS, chunks=MAX_CHUNKS
    )
    pool4.run(StepTable([call]))
    assert (out == 1).all() and (sizes == 1).all()


@pytest.mark.parametrize(
    "wrong", [{"chunks": MAX_CHUNKS + 1}, {"align": 0}, {"extent": -1}, {"chunks": -1}]
)
def test_impossible_call_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ExecutionError, match="step 'softmax'"):
        StepTable([Call(1, Words(), name="softmax", **wrong)])


# Arguments


def test_arguments_are_bound_at_every_run(pool: ThreadPool) -> None:
    # out[2] of the second argument: 16 bytes in.
    table = StepTable([advance(Arg(1, 16), Arg(0), 10)])
    assert table.num_args == 2
    for start in range(3):
        value, out = i64(start), i64(1, 2, 3, 4)
        pool.run(table, [value, out])
        assert out.tolist() == [1, 2, 30 + start, 4]


def test_both_fast_bindings(pool: ThreadPool) -> None:
    table = StepTable([advance(Arg(0), Arg(1))])
    out, value = i64(5), i64(7)
    addresses = argument_addresses([out, value])
    assert pool.bind(table)(addresses.ctypes.data) == 0
    assert out[0] == 12
    assert pool.bind_objects(table)((out, value)) == 0
    assert out[0] == 19


def test_binding_keeps_its_table_alive(pool: ThreadPool) -> None:
    out = i64(0)
    run = pool.bind(StepTable([advance(out, i64(3))]))
    for _ in range(50):
        np.ones(64, np.int64)
        run(0)
    assert out[0] == 150


def test_too_few_arguments(pool: ThreadPool) -> None:
    with pytest.raises(ExecutionError, match="take 2 arguments, 1 given"):
        pool.run(StepTable([advance(Arg(0), Arg(1))]), [i64(0)])


def test_words_can_be_patched(pool: ThreadPool) -> None:
    out, first, second = i64(0), i64(3), i64(4)
    bufs, factor = Words(out, first), Words(1)
    table = StepTable([Call(kernels()["advance"], bufs, factor)])
    pool.run(table)
    table.words[table.word_index(bufs, 1)] = second.ctypes.data
    table.words[table.word_index(factor)] = 100
    pool.run(table)
    assert out[0] == 304


def test_nested_lists_are_addresses(pool: ThreadPool) -> None:
    seen: list[int] = []

    def look(lo: int, hi: int, chunk: int, bufs: int, ints: int) -> None:
        inner = np.ctypeslib.as_array((ctypes_i64 * 2).from_address(ints))
        seen.extend((ctypes_i64 * 2).from_address(int(inner[0])))

    ctypes_i64 = np.ctypeslib.as_ctypes_type(np.int64)
    keep, address = python_kernel(look)
    pool.run(StepTable([Call(address, Words(), Words(Words(41, 42), 0))]))
    assert seen == [41, 42] and keep


# Control flow


def test_for_stores_its_index(pool: ThreadPool) -> None:
    index, out = i64(-1), i64(0)
    pool.run(StepTable([For(index, [advance(out, index, 10)], trip=5)]))
    assert out[0] == 1234


@pytest.mark.parametrize("trip", [-3, 0, 1, 4])
def test_for_reads_its_trip_count(pool: ThreadPool, trip: int) -> None:
    index, out, count = i64(0), i64(1), i64(trip)
    # The body changes the count: it was read at entry.
    body = [advance(out, i64(0), 2), advance(count, i64(1))]
    pool.run(StepTable([For(index, body, trip_at=count), advance(out, i64(0), 3)]))
    assert out[0] == 3 * 2 ** max(trip, 0)


def test_nested_loops_and_parallel_bodies(pool: ThreadPool) -> None:
    outer, inner = i64(0), i64(0)
    out, sizes, total = np.zeros(100, np.int64), np.zeros(4, np.int64), i64(0)
    work = Call(kernels()["mark"], Words(out, sizes), extent=100, chunks=4)
    loop = For(inner, [work, advance(total, inner)], trip=3)
    pool.run(StepTable([For(outer, [loop, advance(total, outer)], trip=5)]))
    assert (out == 15).all()
    assert total[0] == 5 * (0 + 1 + 2) + sum(range(5))


def while_below(limit: int, counter: np.ndarray, out: np.ndarray) -> While:
    flag = np.zeros(1, np.uint8)
    test = Call(kernels()["below"], Words(flag, counter), Words(limit))
    return While(flag, [test], [advance(out, counter, 2), advance(counter, i64(1))])


@pytest.mark.parametrize("limit", [0, 1, 7])
def test_while(pool: ThreadPool, limit: int) -> None:
    counter, out = i64(0), i64(0)
    pool.run(StepTable([while_below(limit, counter, out), advance(out, i64(1))]))
    expected = 0
    for i in range(limit):
        expected = 2 * expected + i
    assert (counter[0], out[0]) == (limit, expected + 1)


@pytest.mark.parametrize(
    ("which", "expected"), [(0, 1), (1, 20), (2, 3), (-1, 3), (9, 3)]
)
def test_case_clamps_to_the_last_branch(
    pool: ThreadPool, which: int, expected: int
) -> None:
    index, out = np.array([which], np.int32), i64(0)
    twice = [advance(out, i64(2)), advance(out, i64(0), 10)]
    branches = [[advance(out, i64(1))], twice, [advance(out, i64(3))]]
    pool.run(StepTable([Case(index, branches)]))
    assert out[0] == expected


def test_empty_branch_and_empty_bodies(pool: ThreadPool) -> None:
    index, out = np.array([0], np.int32), i64(0)
    steps = [Case(index, [[], [advance(out, i64(1))]]), For(i64(0), [], trip=3)]
    pool.run(StepTable([*steps, advance(out, i64(5))]))
    assert out[0] == 5
    pool.run(StepTable([]))


def test_case_needs_a_branch() -> None:
    with pytest.raises(ExecutionError, match="at least one branch"):
        StepTable([Case(0, [])])


def test_case_inside_while_inside_for(pool: ThreadPool) -> None:
    index, counter, out = i64(0), i64(0), i64(0)
    which = np.zeros(1, np.int32)
    branch = Case(which, [[advance(out, i64(1))], []])
    flag = np.zeros(1, np.uint8)
    test = Call(kernels()["below"], Words(flag, counter), Words(4))
    loop = While(flag, [test], [branch, advance(counter, i64(1))])
    body = [Copy(counter, i64(0), 8), loop]
    pool.run(StepTable([For(index, body, trip=3)]))
    assert out[0] == 12


def test_copy_may_overlap(pool: ThreadPool) -> None:
    data = np.arange(10, dtype=np.int64)
    pool.run(StepTable([Copy(Arg(0, 8), Arg(0), 72)]), [data])
    assert data.tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("reverse", [False, True])
def test_address_walks_over_slices(pool: ThreadPool, reverse: bool) -> None:
    source, index, out = i64(1, 2, 3, 4), i64(0), i64(0)
    bufs = Words(out, 0)
    base, stride = (Arg(0, 24), -8) if reverse else (Arg(0), 8)
    move = Address([(WordRef(bufs, 1), base, index, stride)])
    call = Call(kernels()["advance"], bufs, Words(10))
    pool.run(StepTable([For(index, [move, call], trip=4)]), [source])
    assert out[0] == (4321 if reverse else 1234)


def test_profile_times_outermost_steps(pool: ThreadPool) -> None:
    index, out = i64(0), i64(0)
    steps = [advance(out, i64(1)), For(index, [advance(out, index)], trip=4)]
    table = StepTable(steps)
    profile = pool.profile(table)
    assert [name for name, _ in profile] == ["advance", "for"]
    assert all(seconds > 0 for _, seconds in profile)
    assert out[0] == 7
    pool.run(table)
    assert out[0] == 14


# Threads


def run_all(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_several_python_threads_share_a_pool(pool4: ThreadPool) -> None:
    outs = [np.zeros(1000, np.int64) for _ in range(4)]

    def work(out: np.ndarray) -> None:
        sizes = np.zeros(4, np.int64)
        call = Call(kernels()["mark"], Words(out, sizes), extent=1000, chunks=4)
        table = StepTable([call] * 10)
        for _ in range(200):
            pool4.run(table)

    run_all([threading.Thread(target=work, args=(out,)) for out in outs])
    assert all((out == 2000).all() for out in outs)


def test_a_table_in_use_is_refused(pool: ThreadPool) -> None:
    refused: list[int] = []

    def again(*_: int) -> None:
        refused.append(pool.bind(table)(0))
        with pytest.raises(ExecutionError, match="another thread"):
            pool.run(table)

    keep, address = python_kernel(again)
    table = StepTable([Call(address, Words())])
    pool.run(table)
    assert refused == [1] and keep
    pool.run(table)
    assert refused == [1, 1]


def test_a_kernel_may_run_a_table(pool: ThreadPool) -> None:
    out, sizes = np.zeros(50, np.int64), np.zeros(4, np.int64)
    call = Call(kernels()["mark"], Words(out, sizes), extent=50, chunks=4)
    keep, address = python_kernel(lambda *_: pool.run(StepTable([call])))
    pool.run(StepTable([Call(address, Words(), extent=8, chunks=8), call]))
    assert (out == 9).all() and keep


def test_number_of_threads() -> None:
    pool = ThreadPool(3)
    table = StepTable([Call(kernels()["mark"], Words(Arg(0), Arg(1)), chunks=2)])
    call = [np.zeros(4, np.int64), np.zeros(4, np.int64)]
    assert (pool.num_threads, pool.workers_alive) == (3, 0)
    for count in (3, 1, 2, 4):
        pool.set_num_threads(count)
        pool.run(table, call)
        assert (pool.num_threads, pool.workers_alive) == (count, count - 1)
    pool.shutdown()
    assert pool.workers_alive == 0
    pool.run(table, call)
    assert call[0][0] == 5
    for count in (0, -1, 5000):
        with pytest.raises(ExecutionError, match=f"cannot use {count} threads"):
            pool.set_num_threads(count)


def test_without_threads_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    pool = ThreadPool(3)
    out = np.zeros(100, np.int64)
    bufs = Words(out, np.zeros(4, np.int64))
    pool.run(StepTable([Call(kernels()["mark"], bufs, extent=100, chunks=4)]))
    assert (out == 1).all() and pool.num_threads == 1


def test_a_dropped_pool_dismisses_its_workers() -> None:
    pool = ThreadPool(3)
    bufs = Words(i64(0, 0), i64(0, 0))
    pool.run(StepTable([Call(kernels()["mark"], bufs, extent=2, chunks=2)]))
    workers = list(pool._threads)
    assert len(workers) == 2 and all(worker.is_alive() for worker in workers)
    del pool
    assert not any(worker.is_alive() for worker in workers)


def test_idle_workers_sleep(pool4: ThreadPool) -> None:
    bufs = Words(np.zeros(64, np.int64), np.zeros(8, np.int64))
    pool4.run(StepTable([Call(kernels()["mark"], bufs, extent=64, chunks=8)]))
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.15


# Processes

PRELUDE = """
import os, sys
import numpy as np
from native_kernels import kernels
from compiler.runtime.steps import *
from compiler.runtime.threadpool import *
out, sizes = np.zeros(100, np.int64), np.zeros(8, np.int64)
table = StepTable(
    [Call(kernels()["mark"], Words(out, sizes), extent=100, chunks=8)] * 50)
pool = default_pool()
"""


def run_script(body: str, **environment: str) -> str:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    result = subprocess.run(
        [sys.executable, "-c", PRELUDE + body],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def test_the_process_ends_quietly() -> None:
    body = "[pool.run(table) for _ in range(20)]; print((out == 1000).all())"
    assert run_script(body, JITFLOW_NUM_THREADS="4") == "True\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_starts_workers_of_its_own() -> None:
    body = """
pool.run(table)
assert pool.workers_alive == 3
child = os.fork()
if child == 0:
    assert pool.workers_alive == 0
    for _ in range(100):
        pool.run(table)
    assert pool.workers_alive == 3 and (out == 5050).all()
    sys.exit(7)
pool.run(table)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), (out == 100).all())
"""
    assert run_script(body, JITFLOW_NUM_THREADS="4") == "7 True\n"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs affinity")
def test_four_threads_on_one_core() -> None:
    body = """
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
[pool.run(table) for _ in range(20)]
print(pool.num_threads, (out == 1000).all())
"""
    # Slower than one thread, but neither stuck nor wrong.
    assert run_script(body, JITFLOW_NUM_THREADS="4") == "4 True\n"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs affinity")
def test_threads_follow_the_affinity() -> None:
    body = """
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
print(ThreadPool().num_threads)
"""
    assert run_script(body, JITFLOW_NUM_THREADS="") == "1\n"


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
def test_wrong_thread_variable(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("JITFLOW_NUM_THREADS", value)
    with pytest.raises(ExecutionError, match="JITFLOW_NUM_THREADS is"):
        ThreadPool()


# The rest


def test_runner_text_for_other_machines() -> None:
    assert "llvm.aarch64.isb" in runner_ir("little", "aarch64")
    unknown = runner_ir("big", "s390x")
    assert "fence seq_cst" in unknown and "@PAUSE@" not in unknown


def test_device() -> None:
    device = cpu_device()
    assert isinstance(device, CpuDevice)
    assert 1 <= device.cores <= (os.cpu_count() or 1)
    assert 4096 <= device.l1 <= device.l2
    assert device.vector_bytes in (16, 32, 64)
    assert device.name in cpu_fingerprint()


def test_default_pool_is_one() -> None:
    assert default_pool() is default_pool()
