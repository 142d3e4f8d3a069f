"""Configurations: how objects are written down and made again (`keras.saving`)."""

from jitflow.keras.saving.registration import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    keras_export,
    register_keras_serializable,
)
from jitflow.keras.saving.serialization import (
    deserialize_keras_object,
    serialize_keras_object,
)

__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "keras_export",
    "register_keras_serializable",
    "serialize_keras_object",
]
