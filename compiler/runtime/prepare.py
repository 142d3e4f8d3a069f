"""Compile the runtime's own routines beside a graph's kernels, on the first call.

The thread pool's runner and the product steps are machine code of this process too. A
first call would otherwise wait for them one after the other, once the kernels are done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

from compiler.buffers.storage import Item, Schedule
from compiler.ir.types import DType
from compiler.passes.layout_dots import gemm_shape
from compiler.runtime.device import cpu_device
from compiler.runtime.gemm import gemm_step
from compiler.runtime.microgemm import has_micro, micro_address
from compiler.runtime.threadpool import default_pool

# A product with a side up to this long may be done by register tiles.
THIN = 64


@contextmanager
def routines_for(schedule: Schedule) -> Iterator[None]:
    """Compile what a schedule needs of the runtime while the block is running."""
    jobs = list(dict.fromkeys(_jobs(schedule)))
    with ThreadPoolExecutor(2, "jitflow-prepare") as threads:
        waiting: list[Future[object]] = [threads.submit(job) for job in jobs]
        yield
    for done in waiting:
        done.result()


class _Job(partial):
    """A call that equals another of the same function and arguments."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Job) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash(self._parts())

    def _parts(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.func, self.args


def _jobs(schedule: Schedule) -> Iterator[_Job]:
    yield _Job(default_pool)
    for item in schedule.walk():
        if item.kind == "dot" and item.node is not None:
            dtype = item.node.output.dtype
            yield _Job(gemm_step, dtype)
            if _may_be_tiled(item, dtype):
                yield _Job(micro_address, dtype)


def _may_be_tiled(item: Item, dtype: DType) -> bool:
    assert item.node is not None
    shape = gemm_shape(item.node)
    if shape is None or not has_micro(cpu_device()):
        return False
    sides = (shape.m, shape.n, shape.k)
    return any(isinstance(side, int) and side <= THIN for side in sides)
