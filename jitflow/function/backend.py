"""From a traced graph to something that can be called with arrays.

The compiler's executables and `InterpreterExecutable` have one interface: ``run`` takes
the input arrays and returns the list of results; a result that replaces an
input is written into that input's buffer, and the same array comes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compiler import driver
from compiler.ir.interpret import interpret
from compiler.ir.node import Graph
from compiler.ir.printer import print_graph
from compiler.options import Options
from jitflow.errors import ArgumentError

INTERPRETER = "interpreter"
EMITTERS = ("llvm", "numba", INTERPRETER)


class InterpreterExecutable:
    """Runs a graph with the reference interpreter: slow, simple, the judge."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.counts: dict[str, int] = {"nodes": len(graph.nodes)}

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Results of one run; see the module for updated inputs."""
        # The interpreter may return its inputs, or views of them: results are copied
        # before any input is written.
        results = [np.array(r, order="C") for r in interpret(self.graph, *arrays)]
        for position, source in self.graph.aliases.items():
            arrays[source][...] = results[position]
            results[position] = arrays[source]
        return results

    def text(self, stage: str) -> str:
        """The graph; the interpreter has no other stage.

        Raises:
            ArgumentError: for a stage of the compiler.
        """
        if stage != "traced":
            raise ArgumentError(
                f"stage {stage!r}: the function runs in the interpreter",
                fix="use jit_compile=True to have it compiled",
            )
        return print_graph(self.graph)


def check_emitter(emitter: str | None) -> None:
    """Raise for an emitter that does not exist.

    Raises:
        ArgumentError: naming the choices.
    """
    if emitter is not None and emitter not in EMITTERS:
        raise ArgumentError(
            f"emitter: unknown emitter {emitter!r}", fix=f"one of {', '.join(EMITTERS)}"
        )


def options_for(emitter: str | None) -> Options:
    """The options of the environment, with the emitter that was asked for."""
    options = Options.from_env()
    if emitter is None or emitter == INTERPRETER:
        return options
    return options.with_(emitter=emitter)


def make_executable(graph: Graph, emitter: str | None) -> Any:
    """Compile a graph, or wrap it for the interpreter.

    Args:
        graph: what to run.
        emitter: ``"llvm"``, ``"numba"``, ``"interpreter"``, or None for the default.
    """
    if emitter == INTERPRETER:
        return InterpreterExecutable(graph)
    return driver.compile_graph(graph, options_for(emitter))
