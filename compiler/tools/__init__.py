"""Command-line tools on graph text: `opt` applies passes, `run` executes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import compiler.ops  # noqa: F401  (the parser needs the op table)
from compiler.errors import CompilerError
from compiler.ir.node import Graph
from compiler.ir.parser import parse_graph


def read_graph(path: str) -> Graph:
    """The graph in a file; ``-`` is standard input.

    Raises:
        CompilerError: if the file cannot be read.
        ParseError: if it is no graph.
    """
    if path == "-":
        return parse_graph(sys.stdin.read(), "<stdin>")
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CompilerError(f"cannot read {path}: {error}") from None
    return parse_graph(text, path)


def guarded(tool: Callable[[], int]) -> int:
    """Exit status of `tool`; an error is one message and status 1."""
    try:
        return tool()
    except CompilerError as error:
        print(error, file=sys.stderr)
        return 1


def comma_list(text: str) -> tuple[str, ...]:
    """``"a,b"`` as ``("a", "b")``."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
