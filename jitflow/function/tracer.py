"""Tracing a call: from a Python function and its arguments to a `ConcreteFunction`."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from compiler.ir.types import TensorType
from jitflow.control_flow.slots import strong
from jitflow.errors import TracerError
from jitflow.function.arguments import Call
from jitflow.function.backend import make_executable
from jitflow.function.concrete import ConcreteFunction, OutputPlan
from jitflow.function.guards import Guard
from jitflow.function.side_effects import report, split_sources
from jitflow.function.sources import Explorer
from jitflow.tensor import Tensor, state
from jitflow.tracing.context import TraceContext
from jitflow.tracing.scalar import TracedScalar
from jitflow.tracing.spec import TensorSpec
from jitflow.tracing.structure import flatten


@dataclass
class TraceJob:
    """What is traced, and how.

    Attributes:
        name: of the function.
        function: the Python function.
        root: the function whose source is scanned for captured names; it differs from
            `function` when that is a wrapper of ours.
        instance: the object that `root` is a method of; None for a function.
        purity: what to do about side effects: ``"warn"``, ``"error"`` or ``"off"``.
        emitter: see `make_executable`.
        convert: makes the control flow of functions that are called traceable.
    """

    name: str
    function: Callable[..., Any]
    root: Any
    instance: Any
    purity: str
    emitter: str | None
    convert: Callable[[Any], Any] | None = None

    def trace(self, call: Call, pattern: Sequence[TensorType]) -> Traced:
        """Run the function on traced arguments of the types in `pattern`.

        Raises:
            Exception: whatever the function raises.
        """
        start = time.perf_counter()
        context, explorer, result = self._run(call, pattern, may_create=True)
        if context.created:
            # The variables exist now: the trace that is kept only reads them.
            context.commit()
            context, explorer, result = self._run(call, pattern, may_create=False)
        leaves, structure = flatten(result)
        if any(isinstance(leaf, TracedScalar) for leaf in leaves):
            leaves = self._without_numbers(context, call, leaves)
        guards, effects = split_sources(explorer.sources)
        messages = report(effects, self.purity) if self.purity != "off" else []
        graph = context.build([leaf for leaf in leaves if isinstance(leaf, Tensor)])
        concrete = ConcreteFunction(
            graph,
            # Not a lambda: it would keep this job, and the instance, alive.
            functools.partial(make_executable, graph, self.emitter),
            pattern,
            [what for what, _ in context.captures],
            OutputPlan(structure, leaves),
        )
        concrete.checks, concrete.decisions = context.checks, context.decisions
        return Traced(concrete, guards, messages, time.perf_counter() - start)

    def _without_numbers(
        self, context: TraceContext, call: Call, leaves: Sequence[Any]
    ) -> list[Any]:
        """Python numbers that loops have counted, as tensors of default types.

        Raises:
            TracerError: if a number may be one that the function was given: it has to
                come back as one, so the caller traces it as static.
        """
        if any(call.is_lifted(i) for i in range(len(call.leaves))):
            raise TracerError(f"{self.name} returns a Python number that it was given")
        with context.active():
            return [
                strong(leaf.plain, leaf.weak_type)
                if isinstance(leaf, TracedScalar)
                else leaf
                for leaf in leaves
            ]

    def _run(
        self, call: Call, pattern: Sequence[TensorType], may_create: bool
    ) -> tuple[TraceContext, Explorer, Any]:
        explorer = Explorer()
        if self.instance is None:
            explorer.visit_function(self.root)
        else:
            explorer.visit_function(self.root, self.instance)
        context = TraceContext(
            self.name,
            on_frame=explorer.visit_frame,
            on_attribute=explorer.observe_attribute,
            may_create=may_create,
            convert=self.convert,
        )
        args, kwargs = call.rebuild(_traced_leaves(context, call, pattern))
        with context.active(), _clean_state():
            result = self.function(*args, **kwargs)
        return context, explorer, result


@dataclass
class Traced:
    """A new trace, with what was found on the way."""

    concrete: ConcreteFunction
    guards: list[Guard]
    side_effects: list[str]
    seconds: float


@contextmanager
def _clean_state() -> Iterator[None]:
    """Tapes and scopes of the caller have no part in the trace."""
    tapes, scopes = state.tapes, state.scopes
    state.tapes, state.scopes = (), ()
    try:
        yield
    finally:
        state.tapes, state.scopes = tapes, scopes


def _traced_leaves(
    context: TraceContext, call: Call, pattern: Sequence[TensorType]
) -> list[Any]:
    types = iter(pattern)
    leaves: list[Any] = []
    for i, leaf in enumerate(call.leaves):
        name = _identifier(call.plan.paths[i], i)
        if isinstance(leaf, Tensor | TensorSpec):
            spec_name = leaf.name if isinstance(leaf, TensorSpec) else None
            leaves.append(context.parameter(next(types), spec_name or name))
        elif call.is_lifted(i):
            traced = context.parameter(next(types), name)
            leaves.append(TracedScalar(traced._value, context, type(leaf)))
        else:
            leaves.append(leaf)
    return leaves


def _identifier(path: str, position: int) -> str:
    """A parameter name for an argument's path: ``batch['x']`` gives ``batch_x``."""
    text = "".join(c if c.isalnum() or c == "_" else " " for c in path)
    return "_".join(text.split()) or f"arg{position}"
