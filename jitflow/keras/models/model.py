"""`Model`: a layer that can be trained, described, saved and made again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar

from jitflow.errors import ArgumentError
from jitflow.keras.backend.tensors import any_batch, shapes_of
from jitflow.keras.layers.layer import Layer
from jitflow.keras.models import model_file, weights_file
from jitflow.keras.models.summary import print_summary
from jitflow.keras.saving.registration import keras_export
from jitflow.keras.saving.serialization import (
    deserialize_keras_object,
    serialize_keras_object,
)
from jitflow.keras.trainers.trainer import Trainer


@keras_export("keras.Model", "keras.models.Model")
class Model(Trainer, Layer):
    """A layer with `compile`, `fit`, `evaluate` and `predict`.

    There are three ways to make one: ``Model(inputs, outputs)`` from symbolic tensors,
    a subclass with `call`, and `keras.Sequential`.

    Args:
        inputs: symbolic inputs, for the first way.
        outputs: symbolic outputs.
        name: made from the class name when left out.

    Attributes:
        stop_training: set by callbacks to end `fit`.
    """

    # Set by the module of Functional, which needs this class first.
    _functional_class: ClassVar[Any] = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is Model and is_functional_call(args, kwargs):
            return Layer.__new__(cls._functional_class)
        return Layer.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if is_functional_call(args, kwargs):
            _make_functional(type(self))
            self._functional_class.__init__(self, *args, **kwargs)
            return
        self._start(*args, **kwargs)

    def _start(self, *args: Any, **kwargs: Any) -> None:
        """Initialise the parts of every model."""
        self._call_shapes: Any = None
        Trainer.__init__(self)
        Layer.__init__(self, *args, **kwargs)

    def _build_for(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._call_shapes = shapes_of(self._first(args, kwargs))
        super()._build_for(args, kwargs)

    def _run_on_shapes(self, input_shape: Any) -> Any:
        self._call_shapes = input_shape
        return super()._run_on_shapes(input_shape)

    def get_build_config(self) -> dict[str, Any] | None:
        """The shapes the model was built for, or has been called with first."""
        if self._build_shapes is not None or self._call_shapes is None:
            return self._build_shapes
        return {"input_shape": any_batch(self._call_shapes)}

    @property
    def layers(self) -> list[Any]:
        """The layers directly inside."""
        return self._sublayers

    @layers.setter
    def layers(self, value: Any) -> None:
        raise AttributeError(
            "Model.layers is computed; keep layers in an attribute of another name"
        )

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """The layer of a name, or at a place.

        Raises:
            ArgumentError: if there is none, or if both or neither are given.
        """
        if (name is None) == (index is None):
            raise ArgumentError("get_layer: either name or index is needed")
        layers = self.layers
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ArgumentError(
                    f"index: {index}, but there are {len(layers)} layers"
                )
            return layers[index]
        found = next((layer for layer in layers if layer.name == name), None)
        if found is None:
            names = ", ".join(layer.name for layer in layers)
            raise ArgumentError(f"name: no layer {name!r}", fix=f"layers are: {names}")
        return found

    def summary(
        self,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Any = None,
    ) -> None:
        """Print a table of the layers.

        Args:
            line_length: width of the table in characters.
            positions: relative widths of the columns.
            print_fn: takes the text, in place of `print`.
            expand_nested: whether models inside are shown layer by layer.
            show_trainable: whether a column says what is trained.
            layer_range: names of the first and last layer to show.
        """
        print_summary(
            self,
            line_length=line_length,
            positions=positions,
            print_fn=print_fn,
            expand_nested=expand_nested,
            show_trainable=show_trainable,
            layer_range=layer_range,
        )

    def save(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the whole model to a ``.keras`` file; see `keras.models.save_model`."""
        model_file.save_model(self, filepath, overwrite)

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the weights to a ``.safetensors`` file; see `load_weights`.

        Raises:
            ArgumentError: if the model is not built, or the file must not be replaced.
        """
        weights_file.save_weights(self, filepath, overwrite)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False) -> None:
        """Read the weights from a ``.safetensors`` file, all or none of them.

        Args:
            filepath: the file.
            skip_mismatch: leave out weights that the file lacks or has otherwise.

        Raises:
            ArgumentError: if the file holds other weights than the model.
            ShapeError: if a shape differs.
        """
        weights_file.load_weights(self, filepath, skip_mismatch)

    def to_json(self, **kwargs: Any) -> str:
        """The configuration as JSON; `model_from_json` makes a new model of it.

        Args:
            kwargs: for `json.dumps`.
        """
        return json.dumps(serialize_keras_object(self), **kwargs)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """A new model of that configuration."""
        if "input_layers" in config and cls._functional_class is not None:
            return cls._functional_class.from_config(config, custom_objects)
        return super().from_config(config)


def is_functional_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether arguments are ``(inputs, outputs)``."""
    return (
        len(args) == 2
        or (len(args) == 1 and "outputs" in kwargs)
        or ("inputs" in kwargs and "outputs" in kwargs)
    )


def _make_functional(cls: Any) -> None:
    """Let a subclass that was given inputs and outputs derive from Functional."""
    functional = Model._functional_class
    if issubclass(cls, functional):
        return
    if Model in cls.__bases__:
        cls.__bases__ = tuple(functional if b is Model else b for b in cls.__bases__)
        return
    for base in cls.__bases__:
        if isinstance(base, type) and issubclass(base, Model):
            _make_functional(base)


@keras_export("keras.models.model_from_json")
def model_from_json(json_string: str, custom_objects: Any = None) -> Any:
    """A new model from what `Model.to_json` gave.

    Args:
        json_string: the text.
        custom_objects: the user's classes and functions by name.
    """
    return deserialize_keras_object(json.loads(json_string), custom_objects)
