"""Metrics (`keras.metrics`): classes, functions, and `get` by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jitflow.keras import losses as _losses
from jitflow.keras.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from jitflow.keras.metrics.confusion import (
    AUC,
    FalseNegatives,
    FalsePositives,
    Precision,
    Recall,
    TrueNegatives,
    TruePositives,
)
from jitflow.keras.metrics.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    RootMeanSquaredError,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)
from jitflow.keras.metrics.metric import Metric
from jitflow.keras.metrics.reduction import Mean, MeanMetricWrapper, Sum
from jitflow.keras.metrics.scores import F1Score, FBetaScore, R2Score
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

_CLASSES = (
    AUC,
    FalseNegatives,
    FalsePositives,
    Precision,
    Recall,
    TrueNegatives,
    TruePositives,
    F1Score,
    FBetaScore,
    R2Score,
    Accuracy,
    BinaryAccuracy,
    BinaryCrossentropy,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    Mean,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanMetricWrapper,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    RootMeanSquaredError,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    SquaredHinge,
    Sum,
    TopKCategoricalAccuracy,
)
_ALIASES = {
    "bce": BinaryCrossentropy,
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "msle": MeanSquaredLogarithmicError,
}
# Loss functions that are public as metrics too.
_FUNCTIONS = (
    binary_crossentropy := _losses.binary_crossentropy,
    binary_focal_crossentropy := _losses.binary_focal_crossentropy,
    categorical_crossentropy := _losses.categorical_crossentropy,
    categorical_focal_crossentropy := _losses.categorical_focal_crossentropy,
    categorical_hinge := _losses.categorical_hinge,
    hinge := _losses.hinge,
    huber := _losses.huber,
    kl_divergence := _losses.kl_divergence,
    log_cosh := _losses.log_cosh,
    mean_absolute_error := _losses.mean_absolute_error,
    mean_absolute_percentage_error := _losses.mean_absolute_percentage_error,
    mean_squared_error := _losses.mean_squared_error,
    mean_squared_logarithmic_error := _losses.mean_squared_logarithmic_error,
    poisson := _losses.poisson,
    sparse_categorical_crossentropy := _losses.sparse_categorical_crossentropy,
    squared_hinge := _losses.squared_hinge,
)
for _function in _FUNCTIONS:
    keras_export(f"keras.metrics.{_function.__name__}")(_function)
_TABLE = {
    **identifier_table(_CLASSES),
    **_ALIASES,
    **{name.upper(): cls for name, cls in _ALIASES.items()},
}


def get(identifier: Any) -> Any:
    """The metric that a string, a configuration, a class or a callable means.

    Raises:
        ArgumentError: for a name that is not a metric, with the nearest names.
    """
    return resolve(identifier, "metric", _find, Metric)


def _find(name: str) -> Any:
    return find_identifier("metric", name, _TABLE)


def serialize(metric: Metric) -> Any:
    """The configuration of a metric."""
    return serialize_keras_object(metric)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The metric that a configuration or a name describes."""
    return deserialize_keras_object(config, custom_objects, module_objects=_TABLE)


__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "Hinge",
    "KLDivergence",
    "LogCoshError",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "Poisson",
    "Precision",
    "R2Score",
    "Recall",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SquaredHinge",
    "Sum",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "binary_accuracy",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_accuracy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "deserialize",
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
    "sparse_categorical_accuracy",
    "sparse_categorical_crossentropy",
    "sparse_top_k_categorical_accuracy",
    "squared_hinge",
    "top_k_categorical_accuracy",
]
