"""Settings, dtype rules and names (`keras.backend`)."""

from jitflow.keras.backend.config import (
    epsilon,
    floatx,
    image_data_format,
    set_epsilon,
    set_floatx,
    set_image_data_format,
    standardize_data_format,
)
from jitflow.keras.backend.dtypes import (
    is_float_dtype,
    is_int_dtype,
    result_type,
    standardize_dtype,
)
from jitflow.keras.backend.global_state import clear_session, get_uid
from jitflow.keras.backend.keras_tensor import KerasTensor, is_keras_tensor
from jitflow.keras.backend.variable import Variable


def backend() -> str:
    """The name of the framework behind: ``"jitflow"``."""
    return "jitflow"


__all__ = [
    "KerasTensor",
    "Variable",
    "backend",
    "clear_session",
    "epsilon",
    "floatx",
    "get_uid",
    "image_data_format",
    "is_float_dtype",
    "is_int_dtype",
    "is_keras_tensor",
    "result_type",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "standardize_data_format",
    "standardize_dtype",
]
