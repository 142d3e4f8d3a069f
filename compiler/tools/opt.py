"""Apply passes to a graph file and print the result.

::

    python -m compiler.tools.opt loss.ir --passes fold_constants,eliminate_dead --diff
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence

from compiler.ir.printer import print_graph
from compiler.options import Options
from compiler.passes.pipeline import PIPELINE, run_pipeline
from compiler.tools import comma_list, guarded, read_graph


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status (1 after an error)."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.list_passes:
        print(_pass_table())
        return 0
    if args.file is None:
        parser.error("FILE is needed, or --list-passes")
    return guarded(lambda: _optimise(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m compiler.tools.opt")
    add = parser.add_argument
    add("file", nargs="?", metavar="FILE", help="graph text; - is standard input")
    add("--passes", type=comma_list, metavar="A,B", help="run only these passes")
    add("--skip", type=comma_list, default=(), metavar="A,B", help="leave these out")
    add("--stop-after", metavar="PASS", help="run no pass after this one")
    add("--relaxed", type=comma_list, default=(), metavar="R", help="relaxed rules")
    add("--list-passes", action="store_true", help="name the passes, and why they run")
    add("--canonical", action="store_true", help="print canonical text")
    add("--diff", action="store_true", help="print what changed")
    add("--report", action="store_true", help="print the time of every pass too")
    return parser


def _pass_table() -> str:
    width = max(len(name) for name, _, _ in PIPELINE)
    return "\n".join(f"{name:{width}}  {why}" for name, _, why in PIPELINE)


def _optimise(args: argparse.Namespace) -> int:
    graph = read_graph(args.file)
    options = Options(
        only=args.passes,
        skip=args.skip,
        stop_after=args.stop_after,
        relaxed=args.relaxed,
    )
    result = run_pipeline(graph, options)
    before = print_graph(graph, args.canonical)
    after = print_graph(result.graph, args.canonical)
    sys.stdout.write(_diff(before, after) if args.diff else after)
    if args.report:
        print(result.report, file=sys.stderr)
    return 0


def _diff(before: str, after: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        "before",
        "after",
        n=3,
    )
    return "".join(lines)


if __name__ == "__main__":
    sys.exit(main())
