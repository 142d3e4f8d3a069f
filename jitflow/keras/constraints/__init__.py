"""Projections of weights (`keras.constraints`)."""

from __future__ import annotations

from typing import Any

from jitflow.keras.constraints.constraints import (
    Constraint,
    MaxNorm,
    MinMaxNorm,
    NonNeg,
    UnitNorm,
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
max_norm = MaxNorm
min_max_norm = MinMaxNorm
non_neg = NonNeg
unit_norm = UnitNorm

_TABLE = identifier_table((MaxNorm, MinMaxNorm, NonNeg, UnitNorm), {})


@keras_export("keras.constraints.serialize")
def serialize(constraint: Any) -> Any:
    """The configuration of a constraint."""
    return serialize_keras_object(constraint)


@keras_export("keras.constraints.deserialize")
def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The constraint of a configuration."""
    return deserialize_keras_object(config, custom_objects, module_objects=_TABLE)


@keras_export("keras.constraints.get")
def get(identifier: Any) -> Any:
    """The constraint that a name, class, configuration or callable means; or None.

    Raises:
        ArgumentError: for an unknown name, with the nearest ones.
        ArgumentTypeError: for anything else.
    """
    return resolve(
        identifier,
        "constraint",
        lambda name: find_identifier("constraint", name, _TABLE),
        Constraint,
    )


__all__ = [
    "Constraint",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "UnitNorm",
    "deserialize",
    "get",
    "max_norm",
    "min_max_norm",
    "non_neg",
    "serialize",
    "unit_norm",
]
