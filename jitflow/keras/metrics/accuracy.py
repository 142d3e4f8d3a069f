"""Accuracies: how often predictions are right."""

from __future__ import annotations

from typing import Any

import jitflow as jf
from jitflow.keras import backend
from jitflow.keras.losses.classification import class_numbers
from jitflow.keras.losses.shapes import matched, same_rank, to_tensor
from jitflow.keras.metrics.reduction import MeanMetricWrapper
from jitflow.keras.saving.registration import keras_export


def _as_float(matches: Any) -> Any:
    return jf.astype(matches, backend.floatx())


@keras_export("keras.metrics.accuracy")
def accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where a prediction equals its target, else 0."""
    y_true, y_pred = matched(y_true, y_pred)
    return _as_float(y_true == y_pred)


@keras_export("keras.metrics.binary_accuracy")
def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """1 where a prediction is on the side of `threshold` that its target says."""
    y_true, y_pred = same_rank(to_tensor(y_true), to_tensor(y_pred))
    return _as_float(y_true == jf.astype(y_pred > threshold, y_true.dtype))


@keras_export("keras.metrics.categorical_accuracy")
def categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where the largest prediction is at the largest (one-hot) target."""
    y_true, y_pred = to_tensor(y_true), to_tensor(y_pred)
    return _as_float(jf.argmax(y_true, axis=-1) == jf.argmax(y_pred, axis=-1))


@keras_export("keras.metrics.sparse_categorical_accuracy")
def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where the largest prediction is at the target label."""
    y_true, y_pred = to_tensor(y_true), to_tensor(y_pred)
    if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
        y_true = jf.squeeze(y_true, axis=-1)
    matches = _as_float(to_tensor(y_true, "int64") == jf.argmax(y_pred, axis=-1))
    if matches.ndim > 1 and matches.shape[-1] == 1:
        return jf.squeeze(matches, axis=-1)
    return matches


def _in_top_k(labels: Any, y_pred: Any, k: int) -> Any:
    """Whether fewer than `k` predictions are larger than that of the label.

    A tie with the k-th one counts as in; a label of NaN or infinite score does not.
    """
    chosen = jf.expand_dims(labels, axis=-1) == class_numbers(y_pred, -1)
    score = jf.sum(jf.where(chosen, y_pred, 0.0), axis=-1)
    larger = jf.astype(y_pred > jf.expand_dims(score, axis=-1), "int32")
    rank = jf.sum(larger, axis=-1)
    known = jf.any(chosen, axis=-1) & jf.isfinite(score)
    return _as_float((rank < k) & known)


@keras_export("keras.metrics.top_k_categorical_accuracy")
def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Any:
    """1 where the (one-hot) target is among the `k` largest predictions."""
    labels = jf.argmax(to_tensor(y_true), axis=-1)
    return _in_top_k(to_tensor(labels, "int32"), to_tensor(y_pred), k)


@keras_export("keras.metrics.sparse_top_k_categorical_accuracy")
def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> Any:
    """1 where the target label is among the `k` largest predictions.

    With `from_sorted_ids`, `y_pred` holds labels, the best one first.
    """
    y_true, y_pred = to_tensor(y_true), to_tensor(y_pred)
    if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
        y_true = jf.squeeze(y_true, axis=-1)
    if from_sorted_ids:
        best = y_pred[..., :k]
        labels = jf.expand_dims(to_tensor(y_true, y_pred.dtype), axis=-1)
        return _as_float(jf.any(labels == best, axis=-1))
    return _in_top_k(to_tensor(y_true, "int32"), y_pred, k)


@keras_export("keras.metrics.Accuracy")
class Accuracy(MeanMetricWrapper):
    """Share of predictions that equal their target; see `accuracy`."""

    def __init__(self, name: str | None = "accuracy", dtype: Any = None) -> None:
        super().__init__(accuracy, name, dtype)


@keras_export("keras.metrics.BinaryAccuracy")
class BinaryAccuracy(MeanMetricWrapper):
    """Share of right yes-or-no predictions; see `binary_accuracy`."""

    def __init__(
        self,
        name: str | None = "binary_accuracy",
        dtype: Any = None,
        threshold: float = 0.5,
    ) -> None:
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)
        self.threshold = threshold


@keras_export("keras.metrics.CategoricalAccuracy")
class CategoricalAccuracy(MeanMetricWrapper):
    """Share of right classes, with one-hot targets; see `categorical_accuracy`."""

    def __init__(
        self, name: str | None = "categorical_accuracy", dtype: Any = None
    ) -> None:
        super().__init__(categorical_accuracy, name, dtype)


@keras_export("keras.metrics.SparseCategoricalAccuracy")
class SparseCategoricalAccuracy(MeanMetricWrapper):
    """Share of right classes, with labels; see `sparse_categorical_accuracy`."""

    def __init__(
        self, name: str | None = "sparse_categorical_accuracy", dtype: Any = None
    ) -> None:
        super().__init__(sparse_categorical_accuracy, name, dtype)


@keras_export("keras.metrics.TopKCategoricalAccuracy")
class TopKCategoricalAccuracy(MeanMetricWrapper):
    """Share of targets among the `k` best; see `top_k_categorical_accuracy`."""

    def __init__(
        self,
        k: int = 5,
        name: str | None = "top_k_categorical_accuracy",
        dtype: Any = None,
    ) -> None:
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)
        self.k = k


@keras_export("keras.metrics.SparseTopKCategoricalAccuracy")
class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """Share of labels among the `k` best; see `sparse_top_k_categorical_accuracy`."""

    def __init__(
        self,
        k: int = 5,
        name: str | None = "sparse_top_k_categorical_accuracy",
        dtype: Any = None,
        from_sorted_ids: bool = False,
    ) -> None:
        options = {"k": k, "from_sorted_ids": from_sorted_ids}
        super().__init__(sparse_top_k_categorical_accuracy, name, dtype, **options)
        self.k = k
        self.from_sorted_ids = from_sorted_ids
