"""What fusion needs to know about a node: member, view, free, or a step of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from compiler.ir.dims import Dim, Shape
from compiler.ir.index_map import Affine, flatten, unflatten_through
from compiler.ir.node import Node, Value
from compiler.ir.op import Kind

# Single-operand reads: never stored on their own account, always an index map of
# whoever reads them.
VIEWS = frozenset(["broadcast_in_dim", "reshape", "transpose", "slice", "reverse"])
# Index-dependent computations that a kernel can contain.
COMPUTED_INDEXING = frozenset(["pad", "concatenate", "rng_bits", "gather", "patches"])
REDUCTIONS = frozenset(
    f"reduce_{name}" for name in ("sum", "prod", "max", "min", "and", "or")
)

# Rough cost of one element, in additions; library functions dominate.
_COSTS = {"divide": 4, "sqrt": 4, "remainder": 8, "rng_bits": 120, "power": 60}
_CALLS = frozenset(
    (
        *("exponential", "exponential_minus_one", "log", "log_plus_one", "tanh"),
        *("logistic", "sine", "cosine", "tan", "asin", "acos", "atan", "sinh", "cosh"),
        *("asinh", "acosh", "atanh", "erf", "erf_inv", "lgamma", "digamma", "atan2"),
        "cbrt",
    )
)


def cost(node: Node) -> int:
    """Rough cost of one element of a node, in additions."""
    return 20 if node.op.name in _CALLS else _COSTS.get(node.op.name, 1)


def is_view(node: Node) -> bool:
    """True for a single-operand index map."""
    return node.op.name in VIEWS


def is_emittable(node: Node) -> bool:
    """True if every type of the node has a native scalar form (complex has none)."""
    types = [v.type for v in node.inputs] + list(node.types)
    return not any(t.dtype.is_complex for t in types)


def is_member(node: Node) -> bool:
    """True for nodes that fused kernels compute."""
    name = node.op.name
    supported = (
        (node.op.kind is Kind.ELEMENTWISE and node.op.emit is not None)
        or name in REDUCTIONS
        or name in COMPUTED_INDEXING
    )
    return supported and is_emittable(node)


class FreeValues:
    """Values that every reader computes for itself: literals, iotas, sizes.

    A value is free if it needs no memory and next to no arithmetic: rank-0 constants,
    iota, get_dimension_size, views of free values, rank-0 arithmetic on free values.
    """

    def __init__(self) -> None:
        self._known: dict[Node, bool] = {}

    def __call__(self, node: Node) -> bool:
        found = self._known.get(node)
        if found is None:
            found = self._known[node] = self._decide(node)
        return found

    def _decide(self, node: Node) -> bool:
        name = node.op.name
        if name == "constant":
            return node.output.type.rank == 0 and is_emittable(node)
        if name in ("iota", "get_dimension_size"):
            return True
        if is_view(node):
            return is_emittable(node) and self(node.inputs[0].node)
        if node.op.kind is Kind.ELEMENTWISE and node.output.type.rank == 0:
            return is_member(node) and all(self(v.node) for v in node.inputs)
        return False


class _ViewTracer:
    """The ``k`` handed to a view's `emit` to learn which element it reads."""

    def __init__(self, shape: Shape, operand: Shape, index: Any) -> None:
        self.shape, self.operand, self.index = shape, operand, index
        self.found: tuple[Affine, ...] | None = None

    def read(self, operand: int, index: Any) -> None:
        self.found = tuple(_affine(i) for i in index)

    def read_flat(self, operand: int, position: Affine) -> None:
        self.found = unflatten_through(self.index, self.shape, self.operand)

    def flatten(self, index: Any, shape: Shape) -> Affine:
        return flatten(index, shape)

    def dim(self, d: Dim) -> Affine:
        return Affine({}, d)


def _affine(i: Any) -> Affine:
    return i if isinstance(i, Affine) else Affine({}, i)


def emit_view(node: Node, k: Any, index: tuple[Any, ...]) -> Any:
    """Run a view's `emit` for the given output index."""
    emit: Callable[..., Any] = node.op.emit
    types = tuple(v.type for v in node.inputs)
    return emit(k, index, types, node.output.type, **node.attrs)


def view_index(node: Node, index: tuple[Affine, ...]) -> tuple[Affine, ...] | None:
    """Index of the operand element that a view reads; None where it is not affine."""
    tracer = _ViewTracer(node.output.shape, node.inputs[0].shape, index)
    emit_view(node, tracer, index)
    return tracer.found


def source(value: Value) -> Node:
    """The node behind any chain of views."""
    node = value.node
    while is_view(node):
        node = node.inputs[0].node
    return node


def member_inputs(node: Node, free: FreeValues) -> Iterator[Node]:
    """The nodes that a node really reads, behind views and without free values."""
    for value in node.inputs:
        found = source(value)
        if not free(found):
            yield found
