"""Utilities (`keras.utils`)."""

from jitflow.keras.backend.dtypes import standardize_dtype
from jitflow.keras.backend.global_state import clear_session
from jitflow.keras.backend.keras_tensor import is_keras_tensor
from jitflow.keras.saving import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)
from jitflow.keras.trainers.data import (
    pack_x_y_sample_weight,
    unpack_x_y_sample_weight,
)
from jitflow.keras.trainers.py_dataset import PyDataset
from jitflow.keras.utils.numerical import normalize, to_categorical
from jitflow.keras.utils.random_seed import set_random_seed

__all__ = [
    "CustomObjectScope",
    "PyDataset",
    "clear_session",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "is_keras_tensor",
    "normalize",
    "pack_x_y_sample_weight",
    "register_keras_serializable",
    "serialize_keras_object",
    "set_random_seed",
    "standardize_dtype",
    "to_categorical",
    "unpack_x_y_sample_weight",
]
