"""`Sequential`: a model of layers one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jitflow.errors import ArgumentError, ArgumentTypeError, TracerError
from jitflow.keras.backend.call_context import outside_traces
from jitflow.keras.backend.keras_tensor import KerasTensor
from jitflow.keras.backend.tensors import shape_of
from jitflow.keras.layers.core.input_layer import InputLayer
from jitflow.keras.layers.layer import Layer
from jitflow.keras.models.model import Model
from jitflow.keras.saving.registration import keras_export
from jitflow.keras.saving.serialization import (
    deserialize_keras_object,
    serialize_keras_object,
)


@keras_export("keras.Sequential", "keras.models.Sequential")
class Sequential(Model):
    """Layers one after the other, each with one input and one output.

    It is built as soon as the shape of the input is known: from a `keras.Input` in
    front, or from the first data.

    Args:
        layers: the layers; a `keras.Input` may come first.
        trainable: whether the variables are trained.
        name: of the model.
    """

    def __init__(
        self,
        layers: Iterable[Any] | None = None,
        trainable: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(trainable=trainable, name=name)
        self._layers: list[Any] = []
        self._symbolic: tuple[KerasTensor, Any] | None = None
        for layer in layers or ():
            self.add(layer, rebuild=False)
        self._rebuild()

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Append a layer.

        Args:
            layer: a layer, or the symbolic tensor of `keras.Input`.
            rebuild: whether the model is built again at once.

        Raises:
            ArgumentTypeError: if it is not a layer.
            ArgumentError: if its name is taken, or it is a second input.
        """
        if isinstance(layer, KerasTensor) and layer._keras_history is not None:
            layer = layer._keras_history.operation
        if not isinstance(layer, Layer):
            raise ArgumentTypeError(
                "layer: a keras.layers.Layer is needed", operands={"layer": layer}
            )
        if any(layer.name == other.name for other in self._layers):
            raise ArgumentError(
                f"layer: the model has a layer {layer.name!r} already",
                fix="give it another name",
            )
        if isinstance(layer, InputLayer) and self._layers:
            raise ArgumentError("layer: an input can only be the first layer")
        shape = layer._input_shape_argument
        if not self._layers and shape is not None:
            self._layers.append(InputLayer(batch_shape=shape, dtype=layer.input_dtype))
        self._layers.append(layer)
        self.built = False
        self._symbolic = None
        if rebuild:
            self._rebuild()

    def pop(self, rebuild: bool = True) -> Any:
        """Remove the last layer and return it.

        Raises:
            ArgumentError: if there is none.
        """
        if not self.layers:
            raise ArgumentError("pop: the model has no layers")
        layer = self._layers.pop()
        self.built = False
        self._symbolic = None
        if rebuild:
            self._rebuild()
        return layer

    def _rebuild(self) -> None:
        if len(self._layers) > 1 and isinstance(self._layers[0], InputLayer):
            self.build(self._layers[0].batch_shape)

    @property  # type: ignore[misc]
    def layers(self) -> list[Any]:
        """The layers without the input."""
        skip = bool(self._layers) and isinstance(self._layers[0], InputLayer)
        return self._layers[int(skip) :]

    def build(self, input_shape: Any = None) -> None:
        """Build all layers for inputs of a shape (None where it is open).

        Raises:
            ArgumentError: if there are no layers, or no shape is known.
        """
        if not self.layers:
            raise ArgumentError(f"Sequential {self.name!r} has no layers to build")
        if input_shape is None and not isinstance(self._layers[0], InputLayer):
            raise ArgumentError(
                "input_shape: needed, as the model does not start with a keras.Input"
            )
        if not isinstance(self._layers[0], InputLayer):
            dtype = self._layers[0].input_dtype
            entry = InputLayer(batch_shape=input_shape, dtype=dtype)
            self._layers.insert(0, entry)
        tensor = first = self._layers[0].output
        try:
            for layer in self.layers:
                tensor = layer(tensor)
        except TracerError:
            # A layer needs values (it loops over data, say): it runs eagerly only.
            return
        self._symbolic = (first, tensor)

    def _build_for(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Build for the data of a first call, whatever its batch size is."""
        inputs = self._first(args, kwargs)
        shape = shape_of(inputs) or ()
        if not self._layers or not isinstance(self._layers[0], InputLayer):
            dtype = getattr(inputs, "dtype", None)
            entry = InputLayer(batch_shape=(None, *shape[1:]), dtype=dtype)
            self._layers.insert(0, entry)
        self.build(self._layers[0].batch_shape)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Run the layers one after the other."""
        x = inputs
        for layer in self.layers:
            x = layer(x)
        return x

    def _known(self) -> tuple[KerasTensor, Any]:
        if self._symbolic is None:
            raise ArgumentError(
                f"Sequential {self.name!r} has no inputs and outputs until built",
                fix="start with keras.Input(shape), or call the model on data",
            )
        return self._symbolic

    @property
    def inputs(self) -> list[KerasTensor]:
        """The symbolic input, in a list."""
        return [self._known()[0]]

    @property
    def outputs(self) -> list[Any]:
        """The symbolic output, in a list."""
        return [self._known()[1]]

    @property
    def input_shape(self) -> Any:
        """Shape of the input, None where open."""
        return self._known()[0].shape

    @property
    def output_shape(self) -> Any:
        """Shape of the output, None where open."""
        return shape_of(self._known()[1])

    @property
    def input_dtype(self) -> str:
        """Name of the dtype that inputs are cast to."""
        first = self._layers[0] if self._layers else None
        return super().input_dtype if first is None else first.input_dtype

    def get_config(self) -> dict[str, Any]:
        """The layers, and the shape they were built for."""
        config = Layer.get_config(self)
        config["layers"] = [serialize_keras_object(layer) for layer in self._layers]
        if self._symbolic is not None:
            config["build_input_shape"] = self._layers[0].batch_shape
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """A new model of that configuration."""
        model = cls(name=config.get("name"))
        for entry in config.get("layers", ()):
            layer = deserialize_keras_object(entry, custom_objects)
            model.add(layer, rebuild=False)
        shape = config.get("build_input_shape")
        with outside_traces():
            model._rebuild()
            if not model.built and shape is not None and model.layers:
                model.build(tuple(shape))
        if not config.get("trainable", True):
            model.trainable = False
        return model
