"""One process of the comparison: one workload as one framework's user writes it.

::

    python -m perf.worker steady WORKLOAD VARIANT RESULTS.npz
    python -m perf.worker first WORKLOAD VARIANT RESULTS.npz

It speaks JSON, one line a message, on the standard output it was started with; what
frameworks print goes to standard error. Both modes save the results of the first calls
for comparison. ``first`` reports the seconds of the import, of building and of the
first call, and ends. ``steady`` reports ready and then answers ``time SECONDS`` with
the seconds per call of many samples, until its input ends.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any, TextIO

import numpy as np

from perf.frameworks import FRAMEWORKS
from perf.workload import Step, Workload, flatten
from perf.workloads import WORKLOADS

# A sample shorter than this is decided by the clock and the loop around it.
SAMPLE_SECONDS = 1e-3
# Calls before a round of samples: caches and branch predictors were someone else's.
WARM_FRACTION = 0.1


def main() -> None:
    """Run the worker on the command line's arguments."""
    parser = argparse.ArgumentParser(prog="python -m perf.worker")
    parser.add_argument("mode", choices=("steady", "first"))
    parser.add_argument("workload", choices=[w.name for w in WORKLOADS])
    parser.add_argument("variant")
    parser.add_argument("results")
    args = parser.parse_args()
    channel = _channel()
    workload = next(w for w in WORKLOADS if w.name == args.workload)
    run = Run(workload, args.variant, args.results)
    _send(channel, run.facts)
    if args.mode == "steady":
        _serve(run, channel)


def _channel() -> TextIO:
    """The standard output, kept for messages; prints go to standard error instead."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return channel


def _send(channel: TextIO, message: dict[str, Any]) -> None:
    channel.write(json.dumps(message) + "\n")
    channel.flush()


class Run:
    """A built and checked workload, ready to be timed."""

    def __init__(self, workload: Workload, label: str, results: str) -> None:
        variant = workload.variant(label)
        framework = FRAMEWORKS[variant.framework]
        self.workload = workload
        self.wait: Callable[[Any], Any] = framework.wait or (lambda results: results)
        inputs = workload.inputs()
        start = perf_counter()
        importlib.import_module(framework.modules[0])
        imported = perf_counter()
        self.step: Step = variant.build(inputs)
        built = perf_counter()
        outputs = [self.wait(self.step())]
        called = perf_counter()
        outputs += [self.step() for _ in range(workload.check_steps - 1)]
        arrays = [array for output in outputs for array in flatten(output)]
        np.savez(results, *arrays)
        self.facts = {
            "import": imported - start,
            "build": built - imported,
            "first": called - built,
        }

    def seconds(self, calls: int) -> float:
        """Seconds per call of one sample."""
        step, wait = self.step, self.wait
        if self.workload.each:
            start = perf_counter()
            for _ in range(calls):
                wait(step())
        else:
            start = perf_counter()
            for _ in range(calls):
                result = step()
            wait(result)
        return (perf_counter() - start) / calls

    def samples(self, seconds: float) -> list[float]:
        """Seconds per call of the samples that fit, after a warm-up; three at least."""
        once = min(self.seconds(1) for _ in range(3))
        calls = max(1, round(SAMPLE_SECONDS / once))
        _until(perf_counter() + WARM_FRACTION * seconds, lambda: self.seconds(calls))
        end = perf_counter() + seconds
        times = [self.seconds(calls) for _ in range(3)]
        return times + _until(end, lambda: self.seconds(calls))


def _until(end: float, measure: Callable[[], float]) -> list[float]:
    times = []
    while perf_counter() < end:
        times.append(measure())
    return times


def _serve(run: Run, channel: TextIO) -> None:
    gc.collect()
    gc.freeze()
    gc.disable()
    for line in sys.stdin:
        times = run.samples(float(line.removeprefix("time ")))
        gc.collect()
        _send(channel, {"times": times})


if __name__ == "__main__":
    main()
