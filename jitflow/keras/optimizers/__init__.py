"""Optimizers (`keras.optimizers`): classes, schedules, and `get` by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jitflow.keras.optimizers import schedules
from jitflow.keras.optimizers.adafactor import Adafactor
from jitflow.keras.optimizers.adam import Adam, Adamax, AdamW, Lamb, Nadam
from jitflow.keras.optimizers.adaptive import Adadelta, Adagrad, Lion, RMSprop
from jitflow.keras.optimizers.ftrl import Ftrl
from jitflow.keras.optimizers.loss_scale import LossScaleOptimizer
from jitflow.keras.optimizers.optimizer import Optimizer
from jitflow.keras.optimizers.sgd import SGD
from jitflow.keras.saving.registration import find_identifier
from jitflow.keras.saving.serialization import (
    deserialize_keras_object,
    resolve,
    serialize_keras_object,
)

_CLASSES = (
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    AdamW,
    Adamax,
    Ftrl,
    Lamb,
    Lion,
    LossScaleOptimizer,
    Nadam,
    RMSprop,
    SGD,
)
# Optimizers are found in any case: "adam", "Adam", "RMSprop", "rmsprop".
_TABLE = {
    name: cls for cls in _CLASSES for name in (cls.__name__, cls.__name__.lower())
}


def get(identifier: Any) -> Any:
    """The optimizer that a string, a configuration, a class or an object means.

    Raises:
        ArgumentError: for a name that is not an optimizer, with the nearest names.
    """
    return resolve(identifier, "optimizer", _find, Optimizer)


def _find(name: str) -> Any:
    lower = name.lower()
    return find_identifier("optimizer", lower if lower in _TABLE else name, _TABLE)


def serialize(optimizer: Optimizer) -> Any:
    """The configuration of an optimizer."""
    return serialize_keras_object(optimizer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The optimizer that a configuration describes."""
    return deserialize_keras_object(config, custom_objects, module_objects=_TABLE)


__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "LossScaleOptimizer",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]
