"""Scores of classes (F-beta) and of regressions (R²)."""

from __future__ import annotations

from typing import Any

import jitflow as jf
from jitflow.errors import ArgumentError
from jitflow.keras import backend
from jitflow.keras.losses.classification import class_numbers
from jitflow.keras.losses.loss import divide_no_nan
from jitflow.keras.losses.shapes import matched, require_same_shape, to_tensor
from jitflow.keras.metrics.metric import Metric
from jitflow.keras.saving.registration import keras_export


@keras_export("keras.metrics.FBetaScore")
class FBetaScore(Metric):
    """Weighted harmonic mean of precision and recall, for one-hot targets.

    Args:
        average: None for a score per class, ``"micro"`` for one of all counts,
            ``"macro"`` for the mean of the classes, ``"weighted"`` for their mean
            weighted by how often they occur.
        beta: how many times recall weighs as much as precision.
        threshold: predictions above are positive; None takes the largest one.
        name: shown in logs.
        dtype: of the counts.

    Raises:
        ArgumentError: for values out of range.
    """

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(dtype, name)
        if average not in (None, "micro", "macro", "weighted"):
            raise ArgumentError(f"average: {average!r} is not micro, macro or weighted")
        if not beta > 0:
            raise ArgumentError(f"beta: must be positive, given {beta}")
        if threshold is not None and not 0 < threshold <= 1:
            raise ArgumentError(f"threshold: must be in (0, 1], given {threshold}")
        self.average = average
        self.beta = beta
        self.threshold = threshold
        self._built = False

    def _build(self, num_classes: Any) -> None:
        shape = () if self.average == "micro" else (int(num_classes),)
        self.true_positives = self.add_variable(shape, name="true_positives")
        self.false_positives = self.add_variable(shape, name="false_positives")
        self.false_negatives = self.add_variable(shape, name="false_negatives")
        self.intermediate_weights = self.add_variable(shape, name="weights")
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count the predictions of a batch: both of shape ``[samples, classes]``."""
        y_true, y_pred = to_tensor(y_true, self.dtype), to_tensor(y_pred, self.dtype)
        require_same_shape(self.name, y_true, y_pred)
        if not self._built:
            self._build(y_pred.shape[-1])
        chosen = jf.astype(self._positive(y_pred), self.dtype)
        axis = None if self.average == "micro" else 0
        weight: Any = 1.0
        if sample_weight is not None:
            weight = jf.expand_dims(to_tensor(sample_weight, self.dtype), axis=-1)

        def total(values: Any) -> Any:
            return jf.sum(values * weight, axis=axis)

        self.true_positives.assign_add(total(chosen * y_true))
        self.false_positives.assign_add(total(chosen * (1.0 - y_true)))
        self.false_negatives.assign_add(total((1.0 - chosen) * y_true))
        self.intermediate_weights.assign_add(total(y_true))

    def _positive(self, y_pred: Any) -> Any:
        if self.threshold is not None:
            return y_pred > self.threshold
        best = jf.argmax(y_pred, axis=-1, keepdims=True)
        return to_tensor(best, "int32") == class_numbers(y_pred, -1)

    def result(self) -> Any:
        """The score, of every class if there is no average."""
        right = self.true_positives.value
        precision = divide_no_nan(right, right + self.false_positives.value)
        recall = divide_no_nan(right, right + self.false_negatives.value)
        share = self.beta * self.beta
        mixed = share * precision + recall + backend.epsilon()
        score = (1.0 + share) * precision * recall / mixed
        if self.average == "weighted":
            weights = self.intermediate_weights.value
            return jf.sum(score * divide_no_nan(weights, jf.sum(weights)))
        return jf.mean(score) if self.average == "macro" else score

    def get_config(self) -> dict[str, Any]:
        """See `Metric.get_config`."""
        own = {
            "average": self.average,
            "beta": self.beta,
            "threshold": self.threshold,
        }
        return {**super().get_config(), **own}


@keras_export("keras.metrics.F1Score")
class F1Score(FBetaScore):
    """Harmonic mean of precision and recall; see `FBetaScore`."""

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self) -> dict[str, Any]:
        """See `Metric.get_config`."""
        config = super().get_config()
        del config["beta"]
        return config


@keras_export("keras.metrics.R2Score")
class R2Score(Metric):
    """Share of the variance of the targets that predictions explain.

    Args:
        class_aggregation: ``"uniform_average"`` of the outputs,
            ``"variance_weighted_average"``, or None for a score per output.
        num_regressors: number of inputs of the model, to correct for it; 0 does not.
        name: shown in logs.
        dtype: of the sums.

    Raises:
        ArgumentError: for values out of range.
    """

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str | None = "r2_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(dtype, name)
        known = (None, "uniform_average", "variance_weighted_average")
        if class_aggregation not in known:
            raise ArgumentError(f"class_aggregation: {class_aggregation!r} is unknown")
        if num_regressors < 0:
            raise ArgumentError(f"num_regressors: not negative, given {num_regressors}")
        self.class_aggregation = class_aggregation
        self.num_regressors = num_regressors
        self.num_samples = self.add_variable((), dtype="float32", name="num_samples")
        self._built = False

    def _build(self, shape: Any) -> None:
        self.squared_sum = self.add_variable(shape, name="squared_sum")
        self.sum = self.add_variable(shape, name="sum")
        self.total_mse = self.add_variable(shape, name="residual")
        self.count = self.add_variable(shape, name="count")
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take a batch of shape ``[samples, outputs]`` into account."""
        y_true, y_pred = matched(y_true, to_tensor(y_pred, self.dtype))
        if not self._built:
            self._build(tuple(y_true.shape[1:]))
        weight = jf.ones_like(y_true)
        if sample_weight is not None:
            given = to_tensor(sample_weight, self.dtype)
            missing = tuple(range(given.ndim, y_true.ndim))
            weight = weight * (
                jf.expand_dims(given, axis=missing) if missing else given
            )
        self.sum.assign_add(jf.sum(weight * y_true, axis=0))
        self.squared_sum.assign_add(jf.sum(weight * jf.square(y_true), axis=0))
        self.total_mse.assign_add(jf.sum(weight * jf.square(y_true - y_pred), axis=0))
        self.count.assign_add(jf.sum(weight, axis=0))
        self.num_samples.assign_add(jf.size_of(y_true))

    def result(self) -> Any:
        """The score, of every output if there is no aggregation."""
        count = self.count.value
        mean = divide_no_nan(self.sum.value, count)
        total = self.squared_sum.value - self.sum.value * mean
        score = 1.0 - divide_no_nan(self.total_mse.value, total)
        score = jf.where(total == 0, 0.0, score)
        if self.class_aggregation == "uniform_average":
            score = jf.mean(score)
        elif self.class_aggregation == "variance_weighted_average":
            score = divide_no_nan(jf.sum(score * total), jf.sum(total))
        if not self.num_regressors:
            return score
        samples = self.num_samples.value
        left = (1.0 - score) * (samples - 1.0)
        return 1.0 - divide_no_nan(left, samples - self.num_regressors - 1.0)

    def get_config(self) -> dict[str, Any]:
        """See `Metric.get_config`."""
        own = {
            "class_aggregation": self.class_aggregation,
            "num_regressors": self.num_regressors,
        }
        return {**super().get_config(), **own}
