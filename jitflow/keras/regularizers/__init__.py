"""Penalties on weights (`keras.regularizers`)."""

from __future__ import annotations

from typing import Any

from jitflow.keras.regularizers.regularizers import (
    L1,
    L1L2,
    L2,
    OrthogonalRegularizer,
    Regularizer,
)
from jitflow.keras.saving.registration import (
    find_identifier,
    identifier_table,
    keras_export,
)
from jitflow.keras.saving.serialization import (
    deserialize_keras_object,
    resolve,
    serialize_keras_object,
)

# Keras' second names.
l1 = L1
l2 = L2
l1_l2 = L1L2
orthogonal_regularizer = OrthogonalRegularizer

_TABLE = identifier_table(
    (L1, L2, L1L2, OrthogonalRegularizer), {"l1_l2": L1L2, "L1L2": L1L2}
)


@keras_export("keras.regularizers.serialize")
def serialize(regularizer: Any) -> Any:
    """The configuration of a regularizer."""
    return serialize_keras_object(regularizer)


@keras_export("keras.regularizers.deserialize")
def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The regularizer of a configuration."""
    return deserialize_keras_object(config, custom_objects, module_objects=_TABLE)


@keras_export("keras.regularizers.get")
def get(identifier: Any) -> Any:
    """The regularizer that a name, class, configuration or callable means; or None.

    Raises:
        ArgumentError: for an unknown name, with the nearest ones.
        ArgumentTypeError: for anything else.
    """
    return resolve(
        identifier,
        "regularizer",
        lambda name: find_identifier("regularizer", name, _TABLE),
        Regularizer,
    )


__all__ = [
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Regularizer",
    "deserialize",
    "get",
    "l1",
    "l1_l2",
    "l2",
    "orthogonal_regularizer",
    "serialize",
]
