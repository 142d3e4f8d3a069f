"""`Session`: runs parts of a graph through the compiler, with values for its inputs."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from compiler.ir.dims import SymDim
from compiler.ir.types import TensorType
from jitflow.errors import ArgumentError, DTypeError, ShapeError
from jitflow.function.backend import check_emitter, make_executable
from jitflow.function.concrete import ConcreteFunction, OutputPlan
from jitflow.session.graph import Graph, GraphError, Updates
from jitflow.tensor import Tensor, TracedTensor, state
from jitflow.tracing.structure import Structure, flatten, map_structure


class _Program:
    """The compiled form of one set of fetches."""

    def __init__(
        self,
        graph: Graph,
        leaves: list[Any],
        structure: Structure,
        emitter: str | None,
    ) -> None:
        tensors = [x for x in leaves if not isinstance(x, Updates)]
        updated = len(tensors) < len(leaves)
        values = [graph.value_of(x) for x in tensors]
        ir, self.names, captures = graph.subgraph(values, updated)
        self.types = [p.output.type for p in ir.params[: len(self.names)]]
        # `OutputPlan` takes tensors for results and keeps everything else as it is.
        kinds = [
            None if isinstance(x, Updates) else TracedTensor(None, None) for x in leaves
        ]
        self.concrete = ConcreteFunction(
            ir,
            functools.partial(make_executable, ir, emitter),
            self.types,
            captures,
            OutputPlan(structure, kinds),
        )


class Session:
    """Runs a graph.

    Args:
        graph: what to run; inside ``with graph:`` it may be left out.
        emitter: ``"llvm"``, ``"numba"``, ``"interpreter"`` or None for the default.

    Raises:
        ArgumentError: if no graph is given and none records.
    """

    def __init__(self, graph: Graph | None = None, emitter: str | None = None) -> None:
        check_emitter(emitter)
        found = graph or getattr(state.trace, "graph", None)
        if not isinstance(found, Graph):
            raise ArgumentError(
                "Session: which graph?", fix="pass one: jf.Session(graph)"
            )
        self.graph = found
        self._emitter = emitter
        self._programs: dict[Any, tuple[_Program, list[Any]]] = {}

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc_info: Any) -> None:
        """Nothing to release: compiled programs go with the session."""

    def run(self, fetches: Any, feed_dict: Mapping[Any, Any] | None = None) -> Any:
        """Values of some tensors; only what they depend on is compiled and run.

        Args:
            fetches: tensors, variables, names of placeholders, ``graph.updates``, or a
                structure of these.
            feed_dict: values of the placeholders that are needed, by tensor or name.

        Returns:
            NumPy arrays in the structure of `fetches`.

        Raises:
            GraphError: for a foreign tensor, or a placeholder without a value.
            ShapeError: for a value of another shape.
            DTypeError: for a value that cannot be converted without loss of kind.
        """
        leaves, structure = flatten(fetches)
        program = self._program(leaves, structure)
        fed = self._fed(feed_dict or {})
        sizes: dict[str, int] = {}
        arrays = []
        for name, type_ in zip(program.names, program.types, strict=True):
            if name not in fed:
                raise GraphError(
                    f"the placeholder {name!r} needs a value",
                    operands={name: str(type_)},
                    fix=f"pass it: feed_dict={{{name!r}: ...}}",
                )
            arrays.append(_checked(name, fed[name], type_, sizes))
        before, state.trace = state.trace, None
        try:
            result = program.concrete.run(arrays)
        finally:
            state.trace = before
        return map_structure(_as_array, result)

    def _program(self, leaves: list[Any], structure: Structure) -> _Program:
        key = (structure, *(x if isinstance(x, str) else id(x) for x in leaves))
        found = self._programs.get(key)
        if found is None:
            # The leaves are kept, so that their ids stay their own.
            found = (_Program(self.graph, leaves, structure, self._emitter), leaves)
            self._programs[key] = found
        return found[0]

    def _fed(self, feed_dict: Mapping[Any, Any]) -> dict[str, Any]:
        by_id = {id(t): name for name, t in self.graph.placeholders.items()}
        fed = {}
        for key, value in feed_dict.items():
            name = key if isinstance(key, str) else by_id.get(id(key))
            if name is None or name not in self.graph.placeholders:
                known = ", ".join(self.graph.placeholders) or "none"
                raise GraphError(
                    f"feed_dict: {key!r} is not a placeholder of {self.graph.name}",
                    fix=f"its placeholders are: {known}",
                )
            fed[name] = value
        return fed

    def __repr__(self) -> str:
        return f"<jf.Session of {self.graph.name}: {len(self._programs)} programs>"


def _as_array(leaf: Any) -> Any:
    return leaf.numpy() if isinstance(leaf, Tensor) else leaf


def _checked(
    name: str, value: Any, type_: TensorType, sizes: dict[str, int]
) -> np.ndarray:
    """A fed value as an array of the placeholder's type; `sizes` binds open sizes."""
    array = np.asarray(getattr(value, "_data", value))
    if not np.can_cast(array.dtype, type_.dtype.np, "same_kind"):
        raise DTypeError(
            f"feed_dict: {name!r} is {type_.dtype}, the value is {array.dtype}",
            fix=f"convert it with numpy.astype({str(type_.dtype)!r})",
        )
    fits = array.ndim == type_.rank
    for want, have in zip(type_.shape, array.shape, strict=False):
        if isinstance(want, SymDim):
            want = sizes.setdefault(str(want), have)
        fits = fits and want == have
    if not fits:
        raise ShapeError(
            f"feed_dict: {name!r} has shape {tuple(map(str, type_.shape))}, the value "
            f"has shape {array.shape}",
            operands={name: str(type_)},
            fix="open sizes take any value, but one value per name in one run",
        )
    return np.array(array, type_.dtype.np, order="C", copy=None)
