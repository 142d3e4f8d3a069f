"""The whole line: graph → passes → fusion → kernels → buffers → runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from time import perf_counter

from compiler import ops
from compiler.buffers.schedule import schedule
from compiler.buffers.storage import Item, Schedule
from compiler.crash import reported
from compiler.dump import NullDumper, dumper_for
from compiler.errors import CompilerError
from compiler.fusion.fuse import fuse
from compiler.fusion.group import FusedGraph
from compiler.ir.node import Graph
from compiler.ir.printer import print_graph
from compiler.kernels.assemble import combine_program
from compiler.kernels.loop_program import LoopProgram
from compiler.kernels.targets import compile_programs
from compiler.options import Options
from compiler.passes.pipeline import run_pipeline
from compiler.passes.report import PipelineReport
from compiler.runtime.executable import Executable
from compiler.runtime.prepare import routines_for
from compiler.runtime.threadpool import ThreadPool, default_pool
from compiler.stages import Stages

__all__ = ["Compiled", "compile_graph", "lower_graph", "ops"]


@dataclass(frozen=True)
class Lowered:
    """A graph on its way: optimised, fused and scheduled, not yet machine code."""

    traced: Graph
    optimized: Graph
    fused: FusedGraph
    schedule: Schedule
    report: PipelineReport
    seconds: dict[str, float] = field(default_factory=dict)


class Compiled(Executable):
    """An executable that remembers how it was made; `text` shows every stage."""

    def __init__(
        self, lowered: Lowered, kernels: Mapping[Item, int], options: Options
    ) -> None:
        super().__init__(lowered.schedule, kernels, _pool(options.num_threads))
        self.lowered = lowered
        self.options = options
        self.stages = Stages(self, lowered)

    def text(self, stage: str) -> str:
        """The text of a stage; see `compiler.stages.STAGES`."""
        return self.stages.text(stage)

    @property
    def counts(self) -> dict[str, int]:
        """Nodes, kernels, products, host routines and copies of one run."""
        return self.stages.counts()


def lower_graph(
    graph: Graph, options: Options | None = None, dumper: NullDumper | None = None
) -> Lowered:
    """Everything up to machine code: optimise, fuse, lower to loop programs, schedule.

    Raises:
        CompilerError: if the graph is malformed or an option names nothing.
    """
    options = options or Options.from_env()
    dumper = dumper or dumper_for(options.dump_to, graph.name)
    dumper.dump("traced", lambda: print_graph(graph))
    clock = _Clock()
    result = run_pipeline(graph, options, dumper if dumper.enabled else None)
    clock("passes")
    fused = fuse(result.graph, options)
    clock("fusion")
    plan = schedule(fused, options)
    clock("lowering")
    return Lowered(graph, result.graph, fused, plan, result.report, clock.seconds)


def compile_graph(graph: Graph, options: Options | None = None) -> Compiled:
    """Compile a graph for this machine.

    The result is called with arrays, one per parameter. With ``options.dump_to`` every
    stage is written to a folder.

    Raises:
        CompilerError: see `lower_graph`.
        InternalError: if the compiler itself fails; it names a folder with the graph.
    """
    options = options or Options.from_env()
    if options.target != "cpu":
        raise CompilerError(
            f"graphs are compiled for the CPU; target is {options.target!r}",
            fix="use compiler.kernels.cuda_target for single kernels",
        )
    with reported(graph, options):
        return _compile(graph, options)


def _compile(graph: Graph, options: Options) -> Compiled:
    dumper = dumper_for(options.dump_to, graph.name)
    lowered = lower_graph(graph, options, dumper)
    clock = _Clock(lowered.seconds)
    programs = programs_of(lowered.schedule)
    with routines_for(lowered.schedule):
        addresses = compile_programs(list(programs.values()), options.emitter)
    kernels = dict(zip(programs, addresses, strict=True))
    compiled = Compiled(lowered, kernels, options)
    clock("kernels")
    if dumper.enabled:
        compiled.stages.dump(dumper)
    return compiled


@cache
def _pool(num_threads: int | None) -> ThreadPool:
    """The process's pool, or one with as many threads as the options ask for."""
    return default_pool() if num_threads is None else ThreadPool(num_threads)


def programs_of(plan: Schedule) -> dict[Item, LoopProgram]:
    """The loop program of every item that has one, those in loop bodies included."""
    found: dict[Item, LoopProgram] = {}
    for item in plan.walk():
        if item.partial is not None:
            partial = item.partial
            reducer = partial.value.node.op.emit
            identity = reducer.identity(partial.dtype)
            found[item] = combine_program(
                partial.combine, identity, partial.dtype, partial.value.dtype
            )
        elif item.kernel is not None:
            found[item] = item.kernel.program
    return found


class _Clock:
    """Seconds between calls, by name."""

    def __init__(self, seconds: dict[str, float] | None = None) -> None:
        self.seconds = {} if seconds is None else seconds
        self.last = perf_counter()

    def __call__(self, name: str) -> None:
        now = perf_counter()
        self.seconds[name] = now - self.last
        self.last = now
