"""Compare JitFlow with JAX, PyTorch, TensorFlow and Keras, side by side in one run.

::

    python perf/run.py
    python perf/run.py --only mlp_step softmax --frameworks jax torch --rounds 9
    python perf/run.py --json figures.json --markdown figures.md

Results are compared with NumPy's before anything is timed. Every variant of a workload
has its own process; rounds go from one to the next, and a process that is not being
timed is stopped. Peers come with ``pip install -e ".[perf]"``; those that are not
installed are skipped with a message. Only ratios from one run say anything.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a script: make `perf` importable
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from perf import compare, report
from perf.compare import Plan
from perf.frameworks import Framework, select
from perf.measure import Comparison, geometric_mean
from perf.processes import load_average
from perf.workload import Workload
from perf.workloads import WORKLOADS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison; returns the exit status: 1 if one of ours failed."""
    args = _parse(arguments)
    if args.list:
        print("\n".join(f"{w.name:20} {w.title}" for w in WORKLOADS))
        return 0
    frameworks = select(args.frameworks)
    head = report.header(frameworks)
    print("\n".join(head), flush=True)
    load = load_average()
    if load > report.QUIET_LOAD:
        print(f"The machine is not quiet: load average {load:.2f}.", flush=True)
    found: list[Comparison] = []
    for workload in args.only:
        found += _compare(workload, frameworks, args)
    mean = geometric_mean(found)
    if mean is not None:
        print(f"\ngeometric mean of the ratios: {mean:.2f}×")
    _write(args.markdown, report.markdown(found, head))
    _write(args.json, json.dumps(report.as_json(found, head), indent=1) + "\n")
    return 0 if all(c.ours() is not None for c in found) else 1


def _compare(
    workload: Workload, frameworks: list[Framework], args: argparse.Namespace
) -> list[Comparison]:
    def say(text: str) -> None:
        print(text, flush=True)

    say("")
    plan = Plan(args.rounds, args.seconds, args.processes, args.first_rounds)
    variants = compare.variants_of(workload, frameworks, say)
    found = []
    if workload.steady:
        found.append(compare.steady(workload, variants, plan, say))
        say(report.table(found[-1]))
    if workload.first_call:
        first = compare.first_calls(workload, variants, args.first_rounds, say)
        for comparison in first:
            say(report.table(comparison))
        found += first
    return found


def _write(path: Path | None, text: str) -> None:
    if path is not None:
        path.write_text(text, encoding="utf-8")
        print(f"written: {path}")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="perf/run.py", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--only", nargs="+", metavar="NAME", default=[], help="workloads to run")
    add("--frameworks", nargs="+", metavar="NAME", default=[], help="peers to compare")
    add("--rounds", type=int, default=Plan.rounds, help="visits to every process")
    add("--seconds", type=float, default=Plan.seconds, help="time of one visit")
    add("--processes", type=int, default=Plan.processes, help="for each variant")
    add("--first-rounds", type=int, default=Plan.first_rounds, help="first calls")
    add("--json", type=Path, metavar="FILE", help="write every figure")
    add("--markdown", type=Path, metavar="FILE", help="write the table")
    add("--list", action="store_true", help="list the workloads and end")
    args = parser.parse_args(arguments)
    by_name = {workload.name: workload for workload in WORKLOADS}
    unknown = sorted(set(args.only) - set(by_name))
    if unknown:
        parser.error(f"unknown workload {unknown}; one of {list(by_name)}")
    args.only = [by_name[name] for name in args.only] or list(WORKLOADS)
    if min(args.rounds, args.processes, args.first_rounds) < 1:
        parser.error("--rounds, --processes and --first-rounds must be positive")
    try:
        select(args.frameworks)
    except ValueError as error:
        parser.error(str(error))
    return args


if __name__ == "__main__":
    sys.exit(main())
