"""The reference interpreter: each op's NumPy `evaluate`, in order, no cleverness.

Every optimisation and every back end is judged by what this gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from compiler.errors import ExecutionError
from compiler.ir.dims import Dim, SymDim, concrete, substitute
from compiler.ir.node import Graph, Node, Value, bind_attrs
from compiler.ir.types import TensorType

Shapes = Sequence[tuple[int, ...]]


class SymbolBinder:
    """Finds the sizes of a graph's symbols from the shapes of its arguments.

    Everything that depends only on the graph is worked out once. A symbol is read from
    the first dimension that is linear in it alone (``B``, ``2*B+1``); all other
    dimensions are checked. The last answer is kept: a loop calls with the same shapes
    again and again, and then pays for one comparison.

    Raises:
        ExecutionError: if some symbol cannot be read from any dimension.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._types = graph.input_types
        self._sources = _sources(graph)
        self._last: tuple[tuple[tuple[int, ...], ...], dict[str, int]] | None = None

    def __call__(self, shapes: Shapes) -> dict[str, int]:
        """Sizes of the symbols by name; the caller must not change the dict.

        Raises:
            ExecutionError: naming the parameter whose shape does not fit.
        """
        shapes = tuple(shapes)
        last = self._last
        if last is not None and last[0] == shapes:
            return last[1]
        bindings = self._bind(shapes)
        self._last = (shapes, bindings)
        return bindings

    def _bind(self, shapes: Shapes) -> dict[str, int]:
        if len(shapes) != len(self._types):
            self._fail_count(len(shapes))
        bindings: dict[str, int] = {}
        for name, i, axis, factor, offset in self._sources:
            shape = shapes[i]
            if len(shape) != self._types[i].rank:
                self._fail(i, shape, {})
            value, rest = divmod(shape[axis] - offset, factor)
            if rest or value < 0:
                self._fail(i, shape, {})
            bindings[name] = value
        for i, shape in enumerate(shapes):
            if tuple(shape) != self._expected(i, bindings):
                self._fail(i, shape, bindings)
        return bindings

    def _expected(self, i: int, bindings: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(concrete(d, bindings) for d in self._types[i].shape)

    def _fail_count(self, given: int) -> NoReturn:
        names = ", ".join(_param_name(p) for p in self._graph.params)
        raise ExecutionError(
            f"{self._graph.name} takes {len(self._types)} arrays ({names}), "
            f"given {given}"
        )

    def _fail(
        self, i: int, shape: tuple[int, ...], bindings: Mapping[str, int]
    ) -> NoReturn:
        type_ = self._types[i]
        used = sorted(set(bindings) & {n for d in type_.shape for n in _symbols(d)})
        sizes = ", ".join(f"{n}={bindings[n]}" for n in used)
        raise ExecutionError(
            f"parameter {_param_name(self._graph.params[i])} of {self._graph.name} is "
            f"{type_}{f' with {sizes}' if sizes else ''}, given shape {tuple(shape)}"
        )


def _symbols(dim: Dim) -> Iterable[str]:
    return dim.symbols if isinstance(dim, SymDim) else ()


def _sources(graph: Graph) -> tuple[tuple[str, int, int, int, int], ...]:
    """``(symbol, parameter, axis, factor, offset)``: where each symbol is read."""
    found: dict[str, tuple[str, int, int, int, int]] = {}
    for i, type_ in enumerate(graph.input_types):
        for axis, dim in enumerate(type_.shape):
            linear = _linear(dim)
            if linear is not None and linear[0] not in found:
                found[linear[0]] = (linear[0], i, axis, *linear[1:])
    missing = [name for name in graph.symbols() if name not in found]
    if missing:
        raise ExecutionError(
            f"{graph.name}: the size of {', '.join(missing)} cannot be told from the "
            "shapes of the arguments",
            fix="give some parameter a dimension that is just the symbol",
        )
    return tuple(found.values())


def _linear(dim: Dim) -> tuple[str, int, int] | None:
    """``(symbol, factor, offset)`` of ``factor*symbol+offset``."""
    if not isinstance(dim, SymDim) or len(dim.symbols) != 1:
        return None
    terms = dict(dim.terms)
    (name,) = dim.symbols
    offset = terms.pop((), 0)
    if set(terms) != {(name,)}:
        return None
    return name, terms[(name,)], offset


def bind_symbols(graph: Graph, shapes: Shapes) -> dict[str, int]:
    """Sizes of the symbols of `graph` for arguments of these shapes.

    A caller that binds the same graph often keeps a `SymbolBinder`.

    Raises:
        ExecutionError: naming the parameter whose shape does not fit.
    """
    return SymbolBinder(graph)(shapes)


def interpret(graph: Graph, *arrays: Any) -> tuple[np.ndarray, ...]:
    """Run `graph` on NumPy arrays of the parameters' dtypes and shapes.

    Raises:
        ExecutionError: if an argument does not fit its parameter, or an op's
            `evaluate` gives something else than its `infer` says.
    """
    inputs = [np.asarray(a) for a in arrays]
    bindings = bind_symbols(graph, [a.shape for a in inputs])
    values: dict[Value, np.ndarray] = {}
    for param, array in zip(graph.params, inputs, strict=True):
        _check_dtype(graph, param, array)
        values[param.output] = array
    with np.errstate(all="ignore"):
        for node in graph.nodes[len(graph.params) :]:
            results = evaluate_node(node, [values[v] for v in node.inputs], bindings)
            values.update(zip(node.outputs, results, strict=True))
    return tuple(values[v] for v in graph.outputs)


def evaluate_node(
    node: Node, inputs: Sequence[np.ndarray], bindings: Mapping[str, int]
) -> tuple[np.ndarray, ...]:
    """The results of one node, checked against its types.

    Raises:
        ExecutionError: if `evaluate` gives another dtype or shape than `infer`.
    """
    results = node.op.evaluate(*inputs, **bound_attrs(node, bindings))
    results = results if isinstance(results, tuple) else (results,)
    if len(results) != len(node.outputs):
        _fail_result(node, f"{len(results)} results", f"{len(node.outputs)}")
    for value, array in zip(node.outputs, results, strict=True):
        _check_result(node, value.type, array, bindings)
    return results


def bound_attrs(node: Node, bindings: Mapping[str, int]) -> dict[str, Any]:
    """Attributes of a node with symbols replaced, in nested graphs too."""
    attrs = bind_attrs(node.attrs, bindings)
    return {key: _bind_graphs(value, bindings) for key, value in attrs.items()}


def _bind_graphs(value: Any, bindings: Mapping[str, int]) -> Any:
    if isinstance(value, tuple):
        return tuple(_bind_graphs(v, bindings) for v in value)
    return bind_graph(value, bindings) if isinstance(value, Graph) else value


def bind_graph(graph: Graph, bindings: Mapping[str, int]) -> Graph:
    """`graph` with symbols replaced by their sizes, in types and attributes.

    A graph inside a node means the symbols of the graph around it, also where its own
    parameters do not tell their sizes.
    """
    if not bindings:
        return graph
    new: dict[Value, Value] = {}
    nodes = []
    for node in graph.nodes:
        inputs = [new[v] for v in node.inputs]
        types = [_bind_type(t, bindings) for t in node.types]
        attrs = bound_attrs(node, bindings)
        bound = Node(node.op, inputs, attrs, types, node.loc, node.scope)
        nodes.append(bound)
        new.update(zip(node.outputs, bound.outputs, strict=True))
    params = nodes[: len(graph.params)]
    outputs = [new[v] for v in graph.outputs]
    return Graph(graph.name, params, nodes, outputs, graph.aliases)


def _bind_type(type_: TensorType, bindings: Mapping[str, int]) -> TensorType:
    return type_.with_shape(tuple(substitute(d, bindings) for d in type_.shape))


def _check_dtype(graph: Graph, param: Node, array: np.ndarray) -> None:
    expected = param.output.dtype
    if array.dtype != expected.np:
        raise ExecutionError(
            f"parameter {_param_name(param)} of {graph.name} is {param.output.type}, "
            f"given an array of {array.dtype}",
            fix=f"convert it to {expected.long}",
        )


def _check_result(
    node: Node, type_: TensorType, array: Any, bindings: Mapping[str, int]
) -> None:
    shape = tuple(concrete(d, bindings) for d in type_.shape)
    if not isinstance(array, np.ndarray):
        _fail_result(node, type(array).__name__, "an array")
    if array.dtype != type_.dtype.np or array.shape != shape:
        _fail_result(
            node,
            f"{array.dtype}{list(array.shape)}",
            f"{type_.dtype.long}{list(shape)}",
        )


def _fail_result(node: Node, given: str, expected: str) -> NoReturn:
    raise ExecutionError(
        f"evaluate of {node.op.name} gives {given}, its infer says {expected}",
        where=str(node.loc) if node.loc.line else "",
    )


def _param_name(param: Node) -> str:
    return "%" + str(param.attrs.get("name", "?"))
