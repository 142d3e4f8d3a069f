"""The nodes between the inputs and the outputs of a functional model, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitflow.errors import ArgumentError
from jitflow.keras.backend.keras_tensor import KerasTensor
from jitflow.keras.ops.operation import Node, Operation


class Graph:
    """Nodes in the order of execution, and operations in the order of a summary.

    Args:
        inputs: symbolic tensors that the caller provides.
        outputs: symbolic tensors that are computed.

    Attributes:
        nodes: calls to make, each after what it needs; without the inputs' own.
        operations: inputs first, then by the longest way to an output.
        kept: the nodes that belong to the graph, by operation identity.

    Raises:
        ArgumentError: if an output needs an input that is not among `inputs`, or two
            operations have one name.
    """

    def __init__(
        self, inputs: Sequence[KerasTensor], outputs: Sequence[KerasTensor]
    ) -> None:
        self._given = {id(t) for t in inputs}
        self._order: dict[int, int] = {}
        self.nodes = self._sorted_nodes(outputs)
        sources = [node_of(t) for t in inputs]
        self.operations = self._sorted_operations(sources, outputs)
        self.kept: dict[int, list[int]] = {}
        for node in sorted([*sources, *self.nodes], key=lambda n: n.index):
            indices = self.kept.setdefault(id(node.operation), [])
            if node.index not in indices:
                indices.append(node.index)
        self._check_names()

    def _sorted_nodes(self, outputs: Sequence[KerasTensor]) -> list[Node]:
        done: dict[int, Node] = {}
        stack = [(t, False) for t in reversed(outputs)]
        while stack:
            tensor, ready = stack.pop()
            if id(tensor) in self._given:
                continue
            node = node_of(tensor)
            if ready:
                done.setdefault(id(node), node)
            elif id(node) not in done:
                self._check_reachable(node, tensor)
                self._order.setdefault(id(node.operation), len(self._order))
                stack.append((tensor, True))
                stack.extend((t, False) for t in reversed(node.inputs))
        return list(done.values())

    def _check_reachable(self, node: Node, tensor: KerasTensor) -> None:
        if node.is_input:
            raise ArgumentError(
                f"the outputs depend on {tensor.name!r}, which is not among the inputs",
                operands={tensor.name: tensor},
                fix="add it to inputs=, or build the outputs from the inputs only",
            )

    def _sorted_operations(
        self, sources: list[Node], outputs: Sequence[KerasTensor]
    ) -> list[Operation]:
        """By depth, the distance to the outputs; ties in the order of discovery."""
        depths = {id(n): 0 for n in self.nodes}
        operation_depths: dict[int, int] = {}
        operations: dict[int, Operation] = {}
        for node in reversed(self.nodes):
            key = id(node.operation)
            depth = max(depths[id(node)], operation_depths.get(key, 0))
            operation_depths[key], operations[key] = depth, node.operation
            for tensor in node.inputs:
                source = id(node_of(tensor))
                if source in depths and id(tensor) not in self._given:
                    depths[source] = max(depths[source], depth + 1)
        found = sorted(
            operations.values(),
            key=lambda op: (-operation_depths[id(op)], self._order[id(op)]),
        )
        first = {id(n.operation): n.operation for n in sources}
        return [*first.values(), *(op for op in found if id(op) not in first)]

    def _check_names(self) -> None:
        seen: set[str] = set()
        for operation in self.operations:
            if operation.name in seen:
                raise ArgumentError(
                    f"two layers of the model are called {operation.name!r}",
                    fix="give them different names",
                )
            seen.add(operation.name)

    def index_in_model(self, operation: Operation, node_index: int) -> int:
        """The number of a node among those of its operation that belong here."""
        return self.kept[id(operation)].index(node_index)


def node_of(tensor: Any) -> Node:
    """The node that made a symbolic tensor.

    Raises:
        ArgumentError: if it is not a symbolic tensor of a model.
    """
    history = getattr(tensor, "_keras_history", None)
    if history is None:
        raise ArgumentError(
            "a functional model is made of symbolic tensors",
            operands={"tensor": tensor},
            fix="start from keras.Input and apply layers to it",
        )
    return history.operation._inbound_nodes[history.node_index]
