"""Dtype policies (`keras.dtype_policies`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jitflow.keras.backend.dtypes import standardize_dtype
from jitflow.keras.dtype_policies.dtype_policy import (
    DTypePolicy,
    FloatDTypePolicy,
    dtype_policy,
    set_dtype_policy,
)
from jitflow.keras.saving.registration import keras_export
from jitflow.keras.saving.serialization import (
    deserialize_keras_object,
    serialize_keras_object,
)


@keras_export("keras.dtype_policies.serialize")
def serialize(dtype_policy: DTypePolicy) -> Any:
    """The configuration of a policy."""
    return serialize_keras_object(dtype_policy)


@keras_export("keras.dtype_policies.deserialize")
def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The policy of a configuration."""
    return deserialize_keras_object(config, custom_objects)


@keras_export("keras.dtype_policies.get")
def get(identifier: Any) -> DTypePolicy:
    """The policy that a name, dtype, configuration or policy means; None: the global.

    Raises:
        ArgumentError: for an unknown name.
        ArgumentTypeError: for anything else.
    """
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    if isinstance(identifier, str):
        return DTypePolicy(identifier)
    return DTypePolicy(standardize_dtype(identifier))


__all__ = [
    "DTypePolicy",
    "FloatDTypePolicy",
    "deserialize",
    "dtype_policy",
    "get",
    "serialize",
    "set_dtype_policy",
]
