"""Layers (`keras.layers`)."""

from __future__ import annotations

from typing import Any

from jitflow.keras.layers.activations.activations import (
    ELU,
    Activation,
    Identity,
    LeakyReLU,
    PReLU,
    ReLU,
    Softmax,
)
from jitflow.keras.layers.core.dense import Dense
from jitflow.keras.layers.core.embedding import Embedding
from jitflow.keras.layers.core.input_layer import Input, InputLayer
from jitflow.keras.layers.core.masking import Masking
from jitflow.keras.layers.input_spec import InputSpec
from jitflow.keras.layers.layer import Layer
from jitflow.keras.layers.merging.dot import Dot, dot
from jitflow.keras.layers.merging.merging import (
    Add,
    Average,
    Concatenate,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    concatenate,
    maximum,
    minimum,
    multiply,
    subtract,
)
from jitflow.keras.layers.normalization.batch_normalization import BatchNormalization
from jitflow.keras.layers.normalization.layer_normalization import (
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
)
from jitflow.keras.layers.preprocessing.rescaling import Rescaling
from jitflow.keras.layers.regularization.activity_regularization import (
    ActivityRegularization,
)
from jitflow.keras.layers.regularization.noise import (
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from jitflow.keras.layers.reshaping.shapes import (
    Flatten,
    Permute,
    RepeatVector,
    Reshape,
)
from jitflow.keras.saving.registration import keras_export
from jitflow.keras.saving.serialization import (
    deserialize_keras_object,
    serialize_keras_object,
)


@keras_export("keras.layers.serialize")
def serialize(layer: Any) -> Any:
    """The configuration of a layer."""
    return serialize_keras_object(layer)


@keras_export("keras.layers.deserialize")
def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The layer of a configuration."""
    return deserialize_keras_object(config, custom_objects)


__all__ = [
    "ELU",
    "Activation",
    "ActivityRegularization",
    "Add",
    "AlphaDropout",
    "Average",
    "BatchNormalization",
    "Concatenate",
    "Dense",
    "Dot",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GroupNormalization",
    "Identity",
    "Input",
    "InputLayer",
    "InputSpec",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Masking",
    "Maximum",
    "Minimum",
    "Multiply",
    "PReLU",
    "Permute",
    "RMSNormalization",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "Subtract",
    "UnitNormalization",
    "add",
    "average",
    "concatenate",
    "deserialize",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "serialize",
    "subtract",
]
