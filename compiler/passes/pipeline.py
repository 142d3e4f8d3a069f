"""The pipeline: which passes run, in which order, and why there.

Passes that stand in a group run round after round until none of them changes the graph.
After every pass that changed something the graph is verified (only nodes that are new),
timed, counted and, if wanted, written out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Protocol

from compiler.errors import PassError, VerifyError
from compiler.ir.node import Graph
from compiler.ir.printer import print_graph
from compiler.ir.verify import verify
from compiler.options import Options
from compiler.passes import (
    algebra_exact,
    algebra_relaxed,
    canonicalize,
    decompose,
    decompose_windows,
    eliminate_common,
    eliminate_dead,
    fold_constants,
    fold_transpose,
    inline_calls,
    layout_dots,
    simplify_bodies,
    sink_reshapes,
    split_reductions,
)
from compiler.passes.context import PassContext, PassFn
from compiler.passes.pattern import Rule
from compiler.passes.report import PipelineReport, PipelineResult

Entry = tuple[str, PassFn, str]

# fmt: off
SIMPLIFY: tuple[Entry, ...] = (
    ("canonicalize", canonicalize.canonicalize,
     "first: the others match canonical forms only"),
    ("fold_constants", fold_constants.fold_constants,
     "literals it makes are what algebra looks for"),
    ("algebra_exact", algebra_exact.algebra_exact,
     "before moves: fewer ops to move"),
    ("decompose", decompose.decompose,
     "after folding: exponents are literals by then"),
    ("algebra_relaxed", algebra_relaxed.algebra_relaxed,
     "after the exact rules, so that it gives up no bit that they could keep"),
    ("sink_reshapes", sink_reshapes.sink_reshapes,
     "elementwise chains meet in one shape, and moves meet and cancel"),
    ("fold_transpose", fold_transpose.fold_transpose,
     "after sinking: the transposes have reached the dots"),
    ("eliminate_common", eliminate_common.eliminate_common,
     "last of a round: equal things are equal only in canonical form"),
)
PIPELINE: tuple[Entry, ...] = (
    ("eliminate_dead", eliminate_dead.eliminate_dead,
     "traces and gradients leave dead nodes; no other pass should see them"),
    ("simplify_bodies", simplify_bodies.simplify_bodies,
     "loop bodies and branches by the same passes, before the graph around them"),
    ("inline_calls", inline_calls.inline_calls,
     "before everything that looks at neighbouring ops"),
    ("decompose_windows", decompose_windows.decompose_windows,
     "before simplification: what it makes simplifies and merges like the rest"),
    *SIMPLIFY,
    ("split_reductions", split_reductions.split_reductions,
     "after all moves of dimensions: kernels reduce one run of them"),
    ("layout_dots", layout_dots.layout_dots,
     "after fold_transpose: copies only where a matrix routine cannot read in place"),
    ("eliminate_common", eliminate_common.eliminate_common,
     "dots that read the same operand share its copy"),
)
# fmt: on

# Consecutive passes of PIPELINE that are repeated until nothing changes.
GROUPS: tuple[tuple[str, ...], ...] = (tuple(name for name, _, _ in SIMPLIFY),)
MAX_ROUNDS = 8


class PassDumper(Protocol):
    """Where the text of the graph goes after a pass."""

    def dump(self, stage: str, text: str) -> object:
        """Keep `text` under the name of a stage."""


def run_pipeline(
    graph: Graph, options: Options | None = None, dumper: PassDumper | None = None
) -> PipelineResult:
    """Optimise `graph`; its parameters, results and meaning stay.

    Raises:
        PassError: if `options` names an unknown pass or rule, if a pass makes an
            invalid graph, or if two passes undo each other.
    """
    run = _Run(options or Options(), dumper)
    return PipelineResult(run.pipeline(graph), run.report)


def list_rules() -> tuple[Rule, ...]:
    """Every rewrite rule; ``rule.error`` says how far it may move results."""
    return (
        *canonicalize.RULES,
        *fold_constants.RULES,
        *algebra_exact.RULES,
        *decompose.RULES,
        *decompose_windows.RULES,
        *algebra_relaxed.RULES,
        *sink_reshapes.RULES,
        *fold_transpose.RULES,
    )


class _Run:
    """One run of the pipeline."""

    def __init__(self, options: Options, dumper: PassDumper | None) -> None:
        _check_names(options)
        self.options = options
        self.dumper = dumper
        self.context = PassContext(options, simplify=self._body)
        self.report = PipelineReport(fired=self.context.fired)

    def pipeline(self, graph: Graph) -> Graph:
        if self.options.verify:
            self._verify(graph, "the input")
        for group in _selected(self.options):
            if len(group) == 1:
                graph = self._pass(graph, group[0])
            else:
                graph = self._fixed_point(graph, group)
        return graph

    def _body(self, graph: Graph) -> Graph:
        """Optimise a graph inside a node; it has verified and settled nodes too."""
        for group in _selected(self.options):
            graph = self._fixed_point(graph, group)
        return graph

    def _fixed_point(self, graph: Graph, group: Sequence[Entry]) -> Graph:
        done: dict[str, Graph] = {}  # the graph that a pass had nothing to do in
        active: list[str] = []
        for _ in range(MAX_ROUNDS):
            active = []
            for entry in group:
                if done.get(entry[0]) is graph:
                    continue
                new = self._pass(graph, entry)
                if new is graph:
                    done[entry[0]] = graph
                else:
                    active.append(entry[0])
                graph = new
            if not active or len(group) == 1:
                return graph
        raise PassError(
            f"passes {' and '.join(active[-2:])} still change graph {graph.name} after "
            f"{MAX_ROUNDS} rounds: they undo each other",
            fix=f"skip one of them (Options(skip=({active[-1]!r},)))",
        )

    def _pass(self, graph: Graph, entry: Entry) -> Graph:
        name, function, _ = entry
        start = perf_counter()
        new = function(graph, self.context)
        ms = (perf_counter() - start) * 1e3
        self.report.record(name).add(graph, new, ms)
        if new is graph:
            return graph
        if self.options.verify:
            self._verify(new, name)
        if self.dumper is not None:
            self.dumper.dump(f"passes/{name}", print_graph(new))
        return new

    def _verify(self, graph: Graph, name: str) -> None:
        start = perf_counter()
        try:
            verify(graph, self.context.verified)
        except VerifyError as error:
            raise PassError(
                f"after {name}: {error.message}", where=error.where
            ) from error
        self.report.verify_ms += (perf_counter() - start) * 1e3


def _selected(options: Options) -> Iterator[tuple[Entry, ...]]:
    """The passes to run, in groups; a pass that stands alone is a group of one."""
    pending: list[Entry] = []
    for entry in PIPELINE:
        name = entry[0]
        wanted = options.only is None or name in options.only
        if wanted and name not in options.skip:
            if pending and not _same_group(pending[-1][0], name):
                yield tuple(pending)
                pending = []
            pending.append(entry)
        if name == options.stop_after:
            break
    if pending:
        yield tuple(pending)


def _same_group(a: str, b: str) -> bool:
    return any(a in group and b in group for group in GROUPS)


def _check_names(options: Options) -> None:
    known = [name for name, _, _ in PIPELINE]
    stop = () if options.stop_after is None else (options.stop_after,)
    for name in (*(options.only or ()), *options.skip, *stop):
        if name not in known:
            raise PassError(f"unknown pass {name!r}", fix=f"one of {', '.join(known)}")
    relaxed = [rule.name for rule in algebra_relaxed.RULES]
    for name in options.relaxed:
        if name not in (*relaxed, "all"):
            raise PassError(
                f"unknown relaxed rule {name!r}",
                fix=f"one of all, {', '.join(relaxed)}",
            )
