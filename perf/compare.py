"""Run the variants of a workload against each other: interleaved, checked first."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from perf.frameworks import FRAMEWORKS, Framework, environment
from perf.measure import Comparison
from perf.processes import Worker, WorkerError, load_average
from perf.workload import Variant, Workload

Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """How much to measure.

    Attributes:
        rounds: visits to every process.
        seconds: time of one visit.
        processes: how many processes a variant has, one after the other.
        first_rounds: processes of each kind of first call.
    """

    rounds: int = 5
    seconds: float = 0.3
    processes: int = 2
    first_rounds: int = 3


def variants_of(
    workload: Workload, frameworks: Iterable[Framework], say: Say
) -> list[Variant]:
    """The variants whose framework is wanted and installed; others are reported."""
    wanted = {framework.name for framework in frameworks}
    found = []
    for variant in workload.variants:
        if variant.framework not in wanted:
            continue
        missing = FRAMEWORKS[variant.framework].missing()
        if missing:
            fix = 'python -m pip install -e ".[perf]"'
            say(f"  {variant.label}: skipped, {missing[0]} is not installed ({fix})")
        else:
            found.append(variant)
    return found


def steady(
    workload: Workload,
    variants: list[Variant],
    plan: Plan,
    say: Say,
) -> Comparison:
    """Seconds per call after the first ones, in rounds that visit every variant.

    Every variant has one process, which lives through the rounds and is stopped while
    others run. The order turns by one from round to round. After the rounds all
    processes are started anew: where a process's memory happens to lie decides the
    speed of large results, for better or worse, until it ends.
    """
    result = Comparison(workload.name, workload.title, load=load_average())
    reference = workload.reference(workload.inputs())
    with tempfile.TemporaryDirectory(prefix="perf-") as cache:
        for _ in range(plan.processes):
            variants = _visit(
                workload, variants, plan, Path(cache), reference, result, say
            )
    return result


def _visit(
    workload: Workload,
    variants: list[Variant],
    plan: Plan,
    cache: Path,
    reference: list[np.ndarray],
    result: Comparison,
    say: Say,
) -> list[Variant]:
    """Start a process for every variant, do all rounds; returns those that started."""
    with ExitStack() as stack:
        workers = []
        for variant in variants:
            worker = _ready(workload, variant, cache, reference, say)
            if worker is not None:
                workers.append(stack.enter_context(worker))
        for turn in range(plan.rounds):
            for worker in rotated(workers, turn):
                times = worker.time(plan.seconds)
                result.add(worker.variant.label, float(np.median(times)))
        return [worker.variant for worker in workers]


def _ready(
    workload: Workload,
    variant: Variant,
    cache: Path,
    reference: list[np.ndarray],
    say: Say,
) -> Worker | None:
    env = environment(FRAMEWORKS[variant.framework], cache, cache_on=False)
    worker = Worker(workload, variant, "steady", env)
    try:
        worker.start(reference)
    except WorkerError as error:
        worker.close()
        say(f"  {variant.label}: left out, {error}")
        return None
    return worker


def rotated(items: list[T], turn: int) -> list[T]:
    """The items in order, beginning with another one each turn."""
    start = turn % len(items) if items else 0
    return items[start:] + items[:start]


def first_calls(
    workload: Workload, variants: list[Variant], rounds: int, say: Say
) -> list[Comparison]:
    """Seconds of the first call of a process: cold, and with a warm disk cache.

    Every sample is a fresh process. Cold: cache folders are empty, and a framework
    that has no disk cache unless told has none. Warm: the framework's disk cache is
    on, and an earlier process has filled it. Eager variants are left out. Imports are
    not part of the call; they are reported as a third comparison.
    """
    title = f"first call, {workload.title}"
    name = f"{workload.name}_first"
    load = load_average()
    variants = [variant for variant in variants if variant.compiles]
    cold = Comparison(f"{name}_cold", f"{title}, cold", load=load)
    warm = Comparison(f"{name}_warm", f"{title}, disk cache", load=load)
    imports = Comparison(
        f"{workload.name}_import", f"import, {workload.title}", load=load, work=False
    )
    reference = workload.reference(workload.inputs())
    with ExitStack() as stack:
        folders = _filled_caches(workload, variants, reference, stack, say)
        for turn in range(rounds):
            for variant in rotated(list(folders), turn):
                with tempfile.TemporaryDirectory(prefix="perf-") as empty:
                    facts = _first(workload, variant, Path(empty), reference, False)
                cold.add(variant.label, facts["first"])
                imports.add(variant.label, facts["import"])
                facts = _first(workload, variant, folders[variant], reference, True)
                warm.add(variant.label, facts["first"])
    return [cold, warm, imports]


def _filled_caches(
    workload: Workload,
    variants: list[Variant],
    reference: list[np.ndarray],
    stack: ExitStack,
    say: Say,
) -> dict[Variant, Path]:
    """A cache folder for every variant that works, filled by one process."""
    folders = {}
    for variant in variants:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="perf-"))
        try:
            _first(workload, variant, Path(folder), reference, True)
            folders[variant] = Path(folder)
        except WorkerError as error:
            say(f"  {variant.label}: left out, {error}")
    return folders


def _first(
    workload: Workload,
    variant: Variant,
    cache: Path,
    reference: list[np.ndarray],
    cache_on: bool,
) -> dict[str, float]:
    env = environment(FRAMEWORKS[variant.framework], cache, cache_on=cache_on)
    with Worker(workload, variant, "first", env) as worker:
        return worker.start(reference)
