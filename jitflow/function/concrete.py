"""`ConcreteFunction`: one trace, its executable, and what it takes from outside."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compiler.ir.dims import SymDim
from compiler.ir.node import Graph
from compiler.ir.types import TensorType
from jitflow.function.guards import GuardSet
from jitflow.tensor import Tensor, Variable, wrap
from jitflow.tracing.structure import LEAF, Structure, unflatten

# Functions that update variables run one at a time: an update reads and writes a buffer
# that other functions may share.
_UPDATES = threading.RLock()


class _Pinned:
    """Holds the dense array of a captured tensor; looks like a variable to `run`."""

    __slots__ = ("_data",)

    def __init__(self, data: np.ndarray) -> None:
        self._data = np.asarray(data, order="C")


def _sole_count() -> int:
    """What `getrefcount` gives in a list of buffers that only their owners hold."""
    owner = _Pinned(np.zeros(1))
    buffers = [o._data for o in (owner,)]
    return next(map(sys.getrefcount, buffers))


_SOLE = _sole_count()


class OutputPlan:
    """How to build what the Python function returned from the executable's results.

    ``positions`` gives, for each leaf, the result to take, or -1 for a Python value
    that is returned as it was (kept in ``constants``).
    """

    __slots__ = ("constants", "count", "kind", "positions", "structure")

    def __init__(self, structure: Structure, leaves: Sequence[Any]) -> None:
        self.structure = structure
        self.positions: list[int] = []
        self.constants: list[Any] = []
        count = 0
        for leaf in leaves:
            traced = isinstance(leaf, Tensor)
            self.positions.append(count if traced else -1)
            self.constants.append(None if traced else leaf)
            count += traced
        self.count = count
        self.kind = self._shortcut(count)

    def _shortcut(self, count: int) -> str:
        if count != len(self.positions):
            return "general"
        if self.structure is LEAF:
            return "one"
        flat = all(child is LEAF for child in self.structure.children)
        return "tuple" if self.structure.kind is tuple and flat else "general"

    def build(self, results: Sequence[np.ndarray]) -> Any:
        """The return value for the results of one run."""
        if self.kind == "one":
            return wrap(results[0])
        if self.kind == "tuple":
            return tuple([wrap(results[i]) for i in self.positions])
        return self.assemble([wrap(r) for r in results[: self.count]])

    def assemble(self, tensors: Sequence[Tensor]) -> Any:
        """The return value with these tensors in it."""
        leaves = [
            tensors[i] if i >= 0 else constant
            for i, constant in zip(self.positions, self.constants, strict=True)
        ]
        return unflatten(self.structure, leaves)


class ConcreteFunction:
    """One trace of a function.

    Attributes:
        graph: inputs are the tensor arguments, then what was captured, in order.
        executable: run with the arrays of the inputs, which are C-contiguous.
        pattern: types of the tensor arguments; sizes may be symbols.
        captures: the captured tensors and variables.
        guards: what else the trace relies on.
        hits: calls that used this trace without tracing.
        alive: False once something that it relies on by identity has died.
        verified: whether its results have been compared with the interpreter's.
        rule: the op that tapes record for a call; None until one does.
        checks: assertions to look at after a run, or None.
        decisions: what became of each branch and loop of the source.
    """

    def __init__(
        self,
        graph: Graph,
        make: Callable[[], Any],
        pattern: Sequence[TensorType],
        captures: Sequence[Tensor | Variable],
        outputs: OutputPlan,
    ) -> None:
        self.graph = graph
        self.pattern = tuple(pattern)
        self.captures = tuple(captures)
        self.outputs = outputs
        self.guards = GuardSet((), lambda: None)
        self.hits = 0
        self.alive = True
        self.verified = False
        self.rule: Any = None
        self.checks: Any = None
        self.decisions: dict[str, str] = {}
        self.is_symbolic = any(not t.is_static for t in self.pattern)
        self._make = make
        self._executable: Any = None
        self._lock = threading.Lock()
        self._sources = [
            c if isinstance(c, Variable) else _Pinned(c._data) for c in self.captures
        ]
        first = len(self.pattern)
        self._updated = [
            (output, self._sources[place - first])
            for output, place in graph.aliases.items()
        ]
        self._all_sole = [_SOLE] * len(self._updated)

    @property
    def executable(self) -> Any:
        """The compiled trace; compiled when it is first needed."""
        if self._executable is None:
            with self._lock:
                if self._executable is None:
                    self._executable = self._make()
        return self._executable

    @property
    def is_compiled(self) -> bool:
        """Whether the executable exists already."""
        return self._executable is not None

    def run(self, arrays: list[np.ndarray]) -> Any:
        """Run on the arrays of the tensor arguments; returns the Python result."""
        return self.outputs.build(self.results(arrays))

    def results(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """Run; returns the arrays of the graph's outputs. `arrays` is used up."""
        executable = self._executable or self.executable
        if self._updated:
            with _UPDATES:
                self._make_private()
                arrays.extend([s._data for s in self._sources])
                results = executable.run(tuple(arrays))
                for output, variable in self._updated:
                    variable._data = results[output]
                if self.checks is not None:
                    self.checks.verify()
            return results
        if self._sources:
            arrays.extend([s._data for s in self._sources])
        return executable.run(tuple(arrays))

    def captured_arrays(self) -> list[np.ndarray]:
        """The arrays of what was captured, as they are now."""
        return [s._data for s in self._sources]

    def updated_variables(self) -> list[Variable]:
        """The variables that a run assigns."""
        return [v for _, v in self._updated if isinstance(v, Variable)]

    def _make_private(self) -> None:
        """Give variables whose buffer somebody else holds a buffer of their own."""
        buffers = [variable._data for _, variable in self._updated]
        counts = [*map(sys.getrefcount, buffers)]
        if counts == self._all_sole:
            return
        for count, (_, variable) in zip(counts, self._updated, strict=True):
            if count > _SOLE:
                variable._data = np.array(variable._data, order="C")

    def matches(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        """Whether arguments of these shapes fit the pattern."""
        sizes: dict[str, int] = {}
        for type_, shape in zip(self.pattern, shapes, strict=True):
            for want, have in zip(type_.shape, shape, strict=True):
                if isinstance(want, SymDim):
                    want = sizes.setdefault(str(want), have)
                if want != have:
                    return False
        return True

    def __call__(self, *args: Any) -> Any:
        """Run on tensors or arrays for the tensor arguments, in graph order."""
        arrays = [np.asarray(getattr(a, "_data", a), order="C") for a in args]
        return self.run(arrays)

    def __repr__(self) -> str:
        types = ", ".join(map(str, self.pattern))
        return f"<concrete function {self.graph.name}({types})>"
