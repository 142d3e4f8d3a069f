"""Losses (`keras.losses`): functions, classes, and `get` by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jitflow.keras.backend.global_state import to_snake_case
from jitflow.keras.losses.classes import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    CategoricalHinge,
    CosineSimilarity,
    Dice,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    Tversky,
)
from jitflow.keras.losses.classification import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    sparse_categorical_crossentropy,
)
from jitflow.keras.losses.loss import Loss, LossFunctionWrapper
from jitflow.keras.losses.margins import (
    categorical_hinge,
    dice,
    hinge,
    squared_hinge,
    tversky,
)
from jitflow.keras.losses.regression import (
    cosine_similarity,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
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

_FUNCTIONS = (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    categorical_hinge,
    cosine_similarity,
    dice,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
    tversky,
)
_CLASSES = (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    CategoricalHinge,
    CosineSimilarity,
    Dice,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    Tversky,
)
_ALIASES = {
    "bce": binary_crossentropy,
    "kld": kl_divergence,
    "mae": mean_absolute_error,
    "mse": mean_squared_error,
    "mape": mean_absolute_percentage_error,
    "msle": mean_squared_logarithmic_error,
}
for _function in _FUNCTIONS:
    keras_export(f"keras.losses.{_function.__name__}")(_function)
# A name that is both a class's and a function's means the function, as in Keras.
_TABLE = {
    **identifier_table(_CLASSES),
    **identifier_table(_FUNCTIONS),
    **_ALIASES,
    **{name.upper(): function for name, function in _ALIASES.items()},
}
_CLASS_OF = {
    function: cls
    for function in _FUNCTIONS
    for cls in _CLASSES
    if to_snake_case(cls.__name__) == function.__name__
}


def get(identifier: Any) -> Any:
    """The loss that a string, a configuration, a class or a callable means.

    ``"mse"``, ``"mean_squared_error"`` and ``"MeanSquaredError"`` are names; the
    snake-case ones give functions of samples, the others `Loss` objects.

    Raises:
        ArgumentError: for a name that is not a loss, with the nearest names.
    """
    return resolve(identifier, "loss", _find, Loss)


def _find(name: str) -> Any:
    return find_identifier("loss", name, _TABLE)


def class_of(function: Any) -> type[Loss] | None:
    """The class of a loss function of this module; None for other functions."""
    return _CLASS_OF.get(function)


def serialize(loss: Any) -> Any:
    """The configuration of a loss object or function."""
    return serialize_keras_object(loss)


def deserialize(name: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The loss that a configuration or a name describes."""
    return deserialize_keras_object(name, custom_objects, module_objects=_TABLE)


__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Dice",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "LossFunctionWrapper",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Tversky",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "categorical_hinge",
    "class_of",
    "cosine_similarity",
    "deserialize",
    "dice",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "serialize",
    "sparse_categorical_crossentropy",
    "squared_hinge",
    "tversky",
]
