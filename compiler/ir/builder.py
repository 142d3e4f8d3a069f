"""Builders: what op rules and front ends use to apply ops.

`BuilderOps` is the interface that ``vjp``, ``jvp`` and ``batch`` rules receive as
``b``: every op of the table is a method (``b.add(x, y)``), beside a few composites that
rules share. `GraphBuilder` makes nodes; the front end has an adapter that runs eagerly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from compiler.errors import CompilerError, TypeInferenceError
from compiler.ir import op as op_table
from compiler.ir.dims import Shape
from compiler.ir.location import UNKNOWN, Location
from compiler.ir.node import Graph, Literal, Node, Value
from compiler.ir.op import Op
from compiler.ir.types import DType, TensorType


class BuilderOps:
    """Ops as methods over some kind of value; subclasses define `apply`.

    A value has ``dtype`` (a `DType`) and ``shape``, as told by `type_of`.
    """

    def apply(self, op: Op, inputs: tuple[Any, ...], attrs: Mapping[str, Any]) -> Any:
        """Apply a record; returns a value, or a tuple if it has several results."""
        raise NotImplementedError

    def type_of(self, x: Any) -> TensorType:
        """The type of a value."""
        raise NotImplementedError

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        record = op_table.get(name)

        def call(*inputs: Any, **attrs: Any) -> Any:
            return self.apply(record, inputs, attrs)

        return call

    def needs(self, operand: int) -> bool:
        """Whether a vjp rule has to compute the cotangent of this operand."""
        return True

    def constant(self, array: Any) -> Any:
        """A literal array."""
        return self.apply(op_table.get("constant"), (), {"value": Literal(array)})

    def scalar(self, value: Any, dtype: DType) -> Any:
        """A literal of rank 0."""
        return self.constant(np.asarray(value, dtype=dtype.np))

    def full(self, value: Any, type_: TensorType) -> Any:
        """A scalar literal broadcast to a type."""
        return self.broadcast(self.scalar(value, type_.dtype), type_.shape)

    def full_like(self, value: Any, x: Any) -> Any:
        """A scalar literal broadcast to the type of `x`."""
        return self.full(value, self.type_of(x))

    def zeros_like(self, x: Any) -> Any:
        """Zeros of the type of `x`."""
        return self.full_like(0, x)

    def ones_like(self, x: Any) -> Any:
        """Ones of the type of `x`."""
        return self.full_like(1, x)

    def broadcast(self, x: Any, shape: Shape) -> Any:
        """NumPy broadcasting of `x` to `shape`: align right, stretch size 1."""
        type_ = self.type_of(x)
        if type_.shape == tuple(shape):
            return x
        dims = tuple(range(len(shape) - type_.rank, len(shape)))
        return self.broadcast_in_dim(x, dims=dims, shape=tuple(shape))

    def cast(self, x: Any, dtype: DType) -> Any:
        """`convert` unless the dtype is already right."""
        return x if self.type_of(x).dtype is dtype else self.convert(x, dtype=dtype)

    def keep_dims(self, x: Any, axes: Iterable[int], like: Any) -> Any:
        """Broadcast a reduction over `axes` of `like` back to the shape of `like`."""
        shape = self.type_of(like).shape
        dropped = set(axes)
        dims = tuple(i for i in range(len(shape)) if i not in dropped)
        return self.broadcast_in_dim(x, dims=dims, shape=shape)

    def scale(self, x: Any, factor: float) -> Any:
        """``x * factor`` with a literal factor."""
        return self.multiply(x, self.full_like(factor, x))


def infer_types(
    op: Op, types: tuple[TensorType, ...], attrs: Mapping[str, Any]
) -> tuple[TensorType, ...]:
    """Result types of an op, always as a tuple; checks the attribute names too."""
    if set(attrs) != set(op.attrs):
        raise TypeInferenceError(
            f"{op.name} takes attributes {list(op.attrs)}, given {sorted(attrs)}"
        )
    try:
        result = op.infer(*types, **attrs)
    except TypeError as error:
        raise TypeInferenceError(f"{op.name}{list(types)}: {error}") from error
    return result if isinstance(result, tuple) else (result,)


class GraphBuilder(BuilderOps):
    """Builds a `Graph` node by node, inferring types as it goes."""

    def __init__(self, name: str = "main") -> None:
        self.name = name
        self.nodes: list[Node] = []
        self.params: list[Node] = []
        self.location: Callable[[], Location] = lambda: UNKNOWN
        self.scope: Callable[[], str] = lambda: ""

    def parameter(self, type_: TensorType, name: str = "") -> Value:
        """A new parameter; `name` defaults to ``p0``, ``p1``, ..."""
        name = name or f"p{len(self.params)}"
        attrs = {"name": name, "type": type_}
        node = Node(op_table.get("parameter"), (), attrs, (type_,), self.location())
        self.params.append(node)
        self.nodes.append(node)
        return node.output

    def apply(self, op: Op, inputs: tuple[Any, ...], attrs: Mapping[str, Any]) -> Any:
        """Append a node; see `BuilderOps.apply`."""
        loc = self.location()
        try:
            types = infer_types(op, tuple(v.type for v in inputs), attrs)
        except CompilerError as error:
            if loc is UNKNOWN or error.where:
                raise
            raise type(error)(error.message, where=str(loc), fix=error.fix) from None
        node = Node(op, inputs, attrs, types, loc, self.scope())
        self.nodes.append(node)
        return node.outputs[0] if len(node.outputs) == 1 else node.outputs

    def type_of(self, x: Value) -> TensorType:
        """The type of a graph value."""
        return x.type

    def build(
        self, outputs: Iterable[Value], aliases: Mapping[int, int] | None = None
    ) -> Graph:
        """The finished graph."""
        outputs = list(outputs)  # a generator may still add nodes
        body = [n for n in self.nodes if n.op.name != "parameter"]
        return Graph(self.name, self.params, [*self.params, *body], outputs, aliases)
