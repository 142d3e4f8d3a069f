"""Every stage of a compilation as text: what ``f.ir(stage)`` and the dumps show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from compiler.buffers.report import buffer_report
from compiler.buffers.storage import Item, Schedule
from compiler.dump import NullDumper
from compiler.errors import CompilerError
from compiler.fusion.group import FusedGraph, Group
from compiler.ir.node import Graph
from compiler.ir.printer import print_graph
from compiler.kernels import native
from compiler.kernels.emit_llvm import emit_llvm
from compiler.kernels.emit_numba import emit_source
from compiler.kernels.loop_program import LoopProgram
from compiler.runtime.executable import BoundProgram, Executable

STAGES: dict[str, str] = {
    "traced": "the graph as it was traced",
    "optimized": "the graph after the passes",
    "fused": "groups of nodes, one kernel or library call each, and refusals",
    "loops": "loop programs of the kernels",
    "kernels": "readable Numba source of the kernels",
    "llvm": "LLVM IR of the kernels, as generated",
    "asm": "machine code of the kernels",
    "buffers": "where every value lives in memory",
    "steps": "what a call executes, in order",
    "passes": "what the passes did",
}

# Sizes that symbolic dimensions get when a plan is shown before any call.
EXAMPLE_SIZE = 32


class _Lowered(Protocol):
    @property
    def traced(self) -> Graph: ...
    @property
    def optimized(self) -> Graph: ...
    @property
    def fused(self) -> FusedGraph: ...
    @property
    def schedule(self) -> Schedule: ...
    @property
    def report(self) -> object: ...


class Stages:
    """Texts of one compilation."""

    def __init__(self, executable: Executable, lowered: _Lowered) -> None:
        self.executable = executable
        self.lowered = lowered

    def text(self, stage: str) -> str:
        """The text of one of `STAGES`.

        Raises:
            CompilerError: for an unknown stage; it lists the known ones.
        """
        if stage not in STAGES:
            raise CompilerError(
                f"unknown stage {stage!r}", fix=f"one of {', '.join(STAGES)}"
            )
        makers: dict[str, Callable[[], str]] = {
            "traced": lambda: print_graph(self.lowered.traced),
            "optimized": lambda: print_graph(self.lowered.optimized),
            "fused": lambda: fused_text(self.lowered.fused),
            "loops": lambda: self._each(lambda p: f"# {p.name}\n{p.text()}"),
            "kernels": lambda: self._each(emit_source),
            "llvm": lambda: self._each(emit_llvm),
            "asm": lambda: self._each(lambda p: native.assembly_of(emit_llvm(p))),
            "buffers": self._buffers,
            "steps": self._steps,
            "passes": lambda: str(self.lowered.report),
        }
        return makers[stage]()

    def dump(self, dumper: NullDumper) -> None:
        """Write every stage that the passes have not written already."""
        for stage in (
            "optimized",
            "fused",
            "loops",
            "kernels",
            "llvm",
            "buffers",
            "steps",
            "passes",
        ):
            ext = {"kernels": ".py", "llvm": ".ll", "optimized": ".ir"}.get(
                stage, ".txt"
            )
            dumper.dump(stage, partial(self.text, stage), ext)

    def counts(self) -> dict[str, int]:
        """How many items of each kind one run executes, and of graph nodes."""
        kinds = Counter(item.kind for item in self.lowered.schedule.walk())
        return {
            "nodes": len(self.lowered.optimized.nodes),
            "kernels": kinds["kernel"],
            "combines": kinds["combine"],
            "dots": kinds["dot"],
            "host": kinds["host"],
            "copies": kinds["copy"],
        }

    def programs(self) -> list[LoopProgram]:
        """The distinct loop programs, in order of first use."""
        found: dict[str, LoopProgram] = {}
        for item in self.lowered.schedule.walk():
            if item.kind == "kernel" and item.kernel is not None:
                found.setdefault(item.kernel.program.text(), item.kernel.program)
        return list(found.values())

    def _each(self, emit: Callable[[LoopProgram], str]) -> str:
        return "\n\n".join(emit(p) for p in self.programs())

    def _bound(self) -> BoundProgram:
        """The program of the last sizes that were used, or of example sizes."""
        made = self.executable.bound_programs()
        if made:
            return made[-1]
        symbols = self.executable.graph.symbols()
        return self.executable.bind(dict.fromkeys(symbols, EXAMPLE_SIZE))

    def _buffers(self) -> str:
        bound = self._bound()
        return buffer_report(self.lowered.schedule, bound.assignment)

    def _steps(self) -> str:
        chunks = self._bound().layout.chunks
        lines: list[str] = []
        _step_lines(self.lowered.schedule, chunks, "", lines)
        return "\n".join(lines)


def _step_lines(
    schedule: Schedule, chunks: Mapping[Item, int], pad: str, lines: list[str]
) -> None:
    """One line for each item, those of loop bodies indented."""
    for position, item in enumerate(schedule.items):
        reads = ", ".join(s.name for s in item.reads)
        writes = ", ".join(s.name for s in item.writes)
        count = chunks.get(item, 1)
        split = f" x{count}" if count > 1 else ""
        head = f"{pad}{position:>4} {item.kind}{split} {item.name}"
        lines.append(f"{head}: {reads} -> {writes}")
        for body in item.bodies:
            lines.append(f"{pad}       {body.graph.name}:")
            _step_lines(body, chunks, pad + "      ", lines)


def fused_text(fused: FusedGraph) -> str:
    """Groups in execution order with their ops, then the refusals."""
    lines = [f"graph {fused.graph.name}: {len(fused.groups)} groups"]
    for number, group in enumerate(fused.groups):
        lines.append(_group_head(number, group))
        lines.extend(f"    {_node_line(node)}" for node in group.nodes)
    if fused.refusals:
        lines.append("not fused:")
        lines.extend(f"  {reason}" for reason in fused.refusals)
    return "\n".join(lines)


def _group_head(number: int, group: Group) -> str:
    ins = ", ".join(str(v.type) for v in group.inputs)
    outs = ", ".join(str(v.type) for v in group.outputs)
    return f"  {number}: {group.kind} {group.name} ({ins}) -> ({outs})"


def _node_line(node: Any) -> str:
    place = f"  # {node.loc}" if node.loc.line else ""
    scope = f" {node.scope}" if node.scope else ""
    return f"{node.op.name} {node.outputs[0].type}{place}{scope}"
