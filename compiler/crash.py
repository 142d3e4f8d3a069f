"""Crash reports: what is written when the compiler itself fails.

A user's mistake raises a `CompilerError` that says what to do. Anything else is a
defect of the compiler: the graph, the options and the traceback go to a folder, and the
error names it together with the command that reproduces the failure.
"""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from compiler.errors import CompilerError, InternalError, KernelError, PassError
from compiler.ir.node import Graph
from compiler.ir.printer import print_graph
from compiler.options import Options

# Raised on purpose, but never because of something the user wrote.
_DEFECTS = (KernelError, PassError)


@contextmanager
def reported(graph: Graph, options: Options) -> Iterator[None]:
    """Turn a failure of the compiler inside the block into an `InternalError`."""
    try:
        yield
    except (KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, CompilerError) and not isinstance(error, _DEFECTS):
            raise
        if isinstance(error, PassError) and "unknown" in error.message:
            raise  # an option named a pass that does not exist
        raise _internal_error(graph, options, error) from error


def _internal_error(graph: Graph, options: Options, error: Exception) -> InternalError:
    summary = str(error).splitlines()[0] if str(error) else type(error).__name__
    message = f"compiling {graph.name} failed: {summary}"
    try:
        folder = _write_bundle(graph, options, error)
    except Exception as problem:
        return InternalError(f"{message} (and no report could be written: {problem})")
    return InternalError(
        f"{message}\n  report: {folder}",
        fix=f"python -m compiler.tools.run {folder / 'graph.ir'} reproduces it; "
        "please report it with that folder; run_functions_eagerly(True) avoids it",
    )


def _write_bundle(graph: Graph, options: Options, error: Exception) -> Path:
    parent = os.environ.get("JITFLOW_CRASH_DIR") or None
    folder = Path(tempfile.mkdtemp(prefix=f"jitflow-crash-{graph.name}-", dir=parent))
    (folder / "graph.ir").write_text(print_graph(graph), encoding="utf-8")
    lines = [f"{name} = {value!r}" for name, value in asdict(options).items()]
    (folder / "options.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = "".join(traceback.format_exception(error))
    (folder / "traceback.txt").write_text(text, encoding="utf-8")
    return folder
