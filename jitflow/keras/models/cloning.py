"""`clone_model`: the same architecture with new weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitflow.errors import ArgumentError
from jitflow.keras.models.functional import Functional
from jitflow.keras.models.sequential import Sequential
from jitflow.keras.saving.registration import keras_export
from jitflow.tracing.structure import unflatten


@keras_export("keras.models.clone_model")
def clone_model(model: Any, clone_function: Callable[[Any], Any] | None = None) -> Any:
    """A new model of the same architecture, with weights of its own.

    Args:
        model: a model.
        clone_function: makes the new layer of a layer, for sequential and functional
            models; ``layer.from_config(layer.get_config())`` when left out.

    Raises:
        ArgumentError: with a `clone_function` for a subclassed model.
    """
    if clone_function is None or not isinstance(model, Sequential | Functional):
        if clone_function is not None:
            raise ArgumentError("clone_function: the layers of this model are its own")
        return type(model).from_config(model.get_config())
    if isinstance(model, Sequential):
        first = model._layers[0]
        entry = [] if first is model.layers[0] else [_plain_clone(first)]
        layers = [clone_function(layer) for layer in model.layers]
        return Sequential([*entry, *layers], name=model.name)
    return _clone_functional(model, clone_function)


def _plain_clone(layer: Any) -> Any:
    return type(layer).from_config(layer.get_config())


def _clone_functional(model: Functional, clone_function: Callable[[Any], Any]) -> Any:
    """Run the graph on new inputs through new layers."""
    inputs = [_plain_clone(model.get_layer(n)).output for n in model.input_names]
    clones: dict[int, Any] = {}
    tensors = {id(old): new for old, new in zip(model.inputs, inputs, strict=True)}
    for node in model._graph.nodes:
        operation = node.operation
        if id(operation) not in clones:
            is_layer = getattr(operation, "_tracked_as", None) is not None
            make = clone_function if is_layer else _plain_clone
            clones[id(operation)] = make(operation)
        args, kwargs = node.fill_in(lambda t: tensors[id(t)])
        results = clones[id(operation)](*args, **kwargs)
        flat = [results] if len(node.outputs) == 1 else list(results)
        tensors.update({id(t): r for t, r in zip(node.outputs, flat, strict=True)})
    new = [tensors[id(t)] for t in model.outputs]
    return Functional(
        unflatten(model._input_structure, inputs),
        unflatten(model._output_structure, new),
        name=model.name,
    )
