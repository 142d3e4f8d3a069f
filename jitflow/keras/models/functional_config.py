"""Functional models as configurations and back, in Keras' format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jitflow.errors import ArgumentError
from jitflow.keras.backend.keras_tensor import KerasTensor
from jitflow.keras.models.graph import Graph
from jitflow.keras.ops.operation import Node
from jitflow.keras.saving.registration import custom_object_scope
from jitflow.keras.saving.serialization import (
    deserialize_keras_object,
    serialize_keras_object,
)
from jitflow.tracing.structure import map_structure

_TENSOR = "__keras_tensor__"


def config_of(model: Any) -> dict[str, Any]:
    """The configuration of a functional model."""
    graph = model._graph
    layers = []
    for operation in graph.operations:
        entry = serialize_keras_object(operation)
        entry["name"] = operation.name
        nodes = (operation._inbound_nodes[i] for i in graph.kept[id(operation)])
        entry["inbound_nodes"] = [_node_config(graph, n) for n in nodes if n.inputs]
        layers.append(entry)
    return {
        "name": model.name,
        "trainable": model.trainable,
        "layers": layers,
        "input_layers": _places(graph, model.input),
        "output_layers": _places(graph, model.output),
    }


def _place(graph: Graph, tensor: KerasTensor) -> list[Any]:
    """``[operation name, node index, tensor index]`` within the model."""
    history = tensor._keras_history
    assert history is not None
    index = graph.index_in_model(history.operation, history.node_index)
    return [history.operation.name, index, history.tensor_index]


def _places(graph: Graph, tensors: Any) -> Any:
    return map_structure(lambda t: _place(graph, t), tensors)


def _node_config(graph: Graph, node: Node) -> dict[str, Any]:
    return {
        "args": [_write(graph, a) for a in node.args],
        "kwargs": {k: _write(graph, v) for k, v in node.kwargs.items()},
    }


def _write(graph: Graph, value: Any) -> Any:
    """An argument of a call, with its symbolic tensors as places."""
    if isinstance(value, KerasTensor):
        config = {
            "shape": value.shape,
            "dtype": value.dtype,
            "keras_history": _place(graph, value),
        }
        return {"class_name": _TENSOR, "config": config}
    if isinstance(value, list | tuple):
        return type(value)(_write(graph, v) for v in value)
    if isinstance(value, Mapping):
        return {k: _write(graph, v) for k, v in value.items()}
    return serialize_keras_object(value)


def model_from(cls: Any, config: Mapping[str, Any], custom_objects: Any) -> Any:
    """A new model of a configuration.

    Raises:
        ArgumentError: if a layer is called on a tensor that nothing makes.
    """
    with custom_object_scope(custom_objects or {}):
        operations = {
            entry["name"]: deserialize_keras_object(_without_nodes(entry))
            for entry in config["layers"]
        }
        _replay(config["layers"], operations)
        find = _Finder(operations)
        return cls(
            inputs=find.structure(config["input_layers"]),
            outputs=find.structure(config["output_layers"]),
            name=config.get("name"),
            trainable=config.get("trainable", True),
        )


def _without_nodes(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in entry.items() if k not in ("inbound_nodes", "name")}


def _replay(entries: Any, operations: Mapping[str, Any]) -> None:
    """Call the operations again, each call as soon as what it takes exists."""
    find = _Finder(operations)
    pending = [
        (operations[e["name"]], i, node)
        for e in entries
        for i, node in enumerate(e["inbound_nodes"])
    ]
    while pending:
        left = [call for call in pending if not _call(find, *call)]
        if len(left) == len(pending):
            name = left[0][0].name
            raise ArgumentError(f"config: the inputs of {name!r} are made by no layer")
        pending = left


def _call(find: _Finder, operation: Any, index: int, node: Mapping[str, Any]) -> bool:
    """Make a call if its arguments exist and it is the operation's next one."""
    places = list(_tensor_places([node["args"], node["kwargs"]]))
    ready = all(find.exists(p) for p in places)
    if not ready or len(operation._inbound_nodes) != index:
        return False
    operation(
        *(find.argument(a) for a in node["args"]),
        **{k: find.argument(v) for k, v in node["kwargs"].items()},
    )
    return True


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("class_name") == _TENSOR


def _tensor_places(value: Any) -> Any:
    if _is_tensor(value):
        yield value["config"]["keras_history"]
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensor_places(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensor_places(item)


class _Finder:
    """Finds symbolic tensors of operations by their places."""

    def __init__(self, operations: Mapping[str, Any]) -> None:
        self.operations = operations

    def exists(self, place: Any) -> bool:
        """Whether the call that makes the tensor has been made."""
        operation = self.operations.get(place[0])
        return operation is not None and len(operation._inbound_nodes) > place[1]

    def tensor(self, place: Any) -> KerasTensor:
        """The tensor at a place."""
        node = self.operations[place[0]]._inbound_nodes[place[1]]
        return node.outputs[place[2]]

    def argument(self, value: Any) -> Any:
        """An argument of a call, with places replaced by tensors."""
        if _is_tensor(value):
            return self.tensor(value["config"]["keras_history"])
        if isinstance(value, Mapping) and "class_name" not in value:
            return {k: self.argument(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self.argument(v) for v in value)
        return deserialize_keras_object(value)

    def structure(self, value: Any) -> Any:
        """A nest of places as a nest of tensors."""
        if isinstance(value, list | tuple) and value and isinstance(value[0], str):
            return self.tensor(value)
        if isinstance(value, Mapping):
            return {k: self.structure(v) for k, v in value.items()}
        return type(value)(self.structure(v) for v in value)
