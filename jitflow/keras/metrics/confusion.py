"""Counts of right and wrong yes-or-no predictions, and what is computed from them.

Counts are kept for every threshold at once, in vectors: a batch is compared with all
thresholds in one fused reduction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import jitflow as jf
from jitflow.errors import ArgumentError
from jitflow.keras import backend
from jitflow.keras.losses.classification import class_numbers
from jitflow.keras.losses.loss import divide_no_nan
from jitflow.keras.losses.shapes import matched, require_same_shape, to_tensor
from jitflow.keras.metrics.metric import Metric
from jitflow.keras.saving.registration import keras_export

_COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which predictions count: those of one class, or the `top_k` of each sample."""

    top_k: int | None = None
    class_id: int | None = None

    def apply(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """Targets and predictions; those outside the best `top_k` become -inf."""
        if self.top_k is not None:
            y_pred = jf.where(among_top_k(y_pred, self.top_k), y_pred, -jf.inf)
        if self.class_id is not None:
            y_true, y_pred = y_true[..., self.class_id], y_pred[..., self.class_id]
        return y_true, y_pred


def among_top_k(y_pred: Any, k: int) -> Any:
    """Whether a prediction is one of the `k` largest of its row; of equal ones, the
    first.
    """
    lower, higher = jf.expand_dims(y_pred, axis=-1), jf.expand_dims(y_pred, axis=-2)
    numbers = class_numbers(y_pred, -1)
    earlier = jf.expand_dims(numbers, axis=-2) < jf.expand_dims(numbers, axis=-1)
    ahead = (higher > lower) | ((higher == lower) & earlier)
    return jf.sum(jf.astype(ahead, "int32"), axis=-1) < k


class ConfusionMetric(Metric):
    """Base of metrics of counts at thresholds.

    Args:
        thresholds: predictions above one are positive.
        counts: names of the counts to keep.
        selection: which predictions count.
        name: shown in logs.
        dtype: of the counts.
        num_labels: keep counts for each label (the last axis), if given.
    """

    def __init__(
        self,
        thresholds: Sequence[float],
        counts: Sequence[str],
        selection: Selection,
        name: str | None,
        dtype: Any,
        num_labels: int | None = None,
    ) -> None:
        super().__init__(dtype, name)
        self._levels = np.asarray(thresholds, backend.floatx())
        self._selection = selection
        self._per_label = num_labels is not None
        shape = (len(self._levels), *(() if num_labels is None else (num_labels,)))
        for count in counts:
            setattr(self, count, self.add_variable(shape, name=count))
        self._counts = tuple(counts)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count the predictions of a batch; targets above 0 are positive."""
        y_true, y_pred = matched(y_true, y_pred)
        require_same_shape(self.name, y_true, y_pred)
        weight = _weights(sample_weight, y_pred, self.dtype)
        y_true, y_pred = self._selection.apply(y_true, y_pred)
        if weight is not None and self._selection.class_id is not None:
            weight = weight[..., self._selection.class_id]
        levels = jf.asarray(self._levels)
        positive = y_pred > jf.reshape(levels, (-1,) + (1,) * y_pred.ndim)
        target = y_true > 0
        chosen = {
            "true_positives": positive & target,
            "false_positives": positive & ~target,
            "true_negatives": ~positive & ~target,
            "false_negatives": ~positive & target,
        }
        for count in self._counts:
            getattr(self, count).assign_add(self._total(chosen[count], weight))

    def _total(self, chosen: Any, weight: Any) -> Any:
        values = jf.astype(chosen, self.dtype)
        values = values if weight is None else values * weight
        last = values.ndim - 1 if self._per_label else values.ndim
        return jf.sum(values, axis=tuple(range(1, last)))

    def count(self, name: str) -> Any:
        """The counts of one kind, as a vector over thresholds."""
        return getattr(self, name).value

    def squeezed(self, value: Any) -> Any:
        """A scalar if there is one threshold."""
        return value[0] if len(self._levels) == 1 else value


def _weights(sample_weight: Any, y_pred: Any, dtype: Any) -> Any:
    """Weights with the shape of the predictions."""
    if sample_weight is None:
        return None
    weight = to_tensor(sample_weight, dtype)
    missing = tuple(range(weight.ndim, y_pred.ndim))
    weight = jf.expand_dims(weight, axis=missing) if missing else weight
    return jf.broadcast_to(weight, y_pred.shape)


def _thresholds(thresholds: Any, default: float) -> list[float]:
    if thresholds is None:
        return [default]
    found = list(thresholds) if isinstance(thresholds, list | tuple) else [thresholds]
    wrong = [t for t in found if t is None or not 0 <= t <= 1]
    if wrong:
        raise ArgumentError(f"thresholds: must be in [0, 1], given {wrong[0]}")
    return found


class _Count(ConfusionMetric):
    """One of the four counts."""

    _count = ""

    def __init__(
        self, thresholds: Any = None, name: str | None = None, dtype: Any = None
    ) -> None:
        levels = _thresholds(thresholds, 0.5)
        super().__init__(levels, (self._count,), Selection(), name, dtype)
        self.thresholds = thresholds

    def result(self) -> Any:
        """The weighted count, for every threshold if there are several."""
        return self.squeezed(self.count(self._count))

    def get_config(self) -> dict[str, Any]:
        """See `Metric.get_config`."""
        return {**super().get_config(), "thresholds": self.thresholds}


@keras_export("keras.metrics.TruePositives")
class TruePositives(_Count):
    """Number of positives that were predicted as such."""

    _count = "true_positives"


@keras_export("keras.metrics.FalsePositives")
class FalsePositives(_Count):
    """Number of negatives that were predicted to be positive."""

    _count = "false_positives"


@keras_export("keras.metrics.TrueNegatives")
class TrueNegatives(_Count):
    """Number of negatives that were predicted as such."""

    _count = "true_negatives"


@keras_export("keras.metrics.FalseNegatives")
class FalseNegatives(_Count):
    """Number of positives that were predicted to be negative."""

    _count = "false_negatives"


class _Share(ConfusionMetric):
    """True positives as a share of them and another count."""

    _other = ""

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        levels = _thresholds(thresholds, 0.5 if top_k is None else -np.inf)
        counts = ("true_positives", self._other)
        super().__init__(levels, counts, Selection(top_k, class_id), name, dtype)
        self.thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id

    def result(self) -> Any:
        """The share, for every threshold if there are several."""
        right, other = self.count("true_positives"), self.count(self._other)
        return self.squeezed(divide_no_nan(right, right + other))

    def get_config(self) -> dict[str, Any]:
        """See `Metric.get_config`."""
        own = {
            "thresholds": self.thresholds,
            "top_k": self.top_k,
            "class_id": self.class_id,
        }
        return {**super().get_config(), **own}


@keras_export("keras.metrics.Precision")
class Precision(_Share):
    """Share of positive predictions that are right.

    Args:
        thresholds: predictions above are positive; 0.5 if None; several give several
            results.
        top_k: count only the best predictions of each sample, whatever their value.
        class_id: count only predictions of this class.
        name: shown in logs.
        dtype: of the counts.
    """

    _other = "false_positives"


@keras_export("keras.metrics.Recall")
class Recall(_Share):
    """Share of positives that were predicted as such; see `Precision`."""

    _other = "false_negatives"


@keras_export("keras.metrics.AUC")
class AUC(ConfusionMetric):
    """Area under the ROC or the precision-recall curve, from counts at thresholds.

    Args:
        num_thresholds: number of points of the curve, at least 2.
        curve: ``"ROC"`` or ``"PR"``.
        summation_method: ``"interpolation"``, ``"minoring"`` or ``"majoring"``.
        name: shown in logs.
        dtype: of the counts.
        thresholds: in place of evenly spaced ones.
        multi_label: the mean of the areas of all labels.
        num_labels: number of labels, needed with `multi_label`.
        label_weights: weights of the labels in that mean.
        from_logits: whether predictions are logits.

    Raises:
        ArgumentError: for unknown names, and `multi_label` without `num_labels`.
    """

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Sequence[float] | None = None,
        from_logits: bool = False,
    ) -> None:
        _check_choice("curve", curve.upper(), ("ROC", "PR"))
        methods = ("interpolation", "minoring", "majoring")
        _check_choice("summation_method", summation_method.lower(), methods)
        if multi_label and num_labels is None:
            raise ArgumentError("num_labels: needed with multi_label")
        levels = _curve_levels(num_thresholds, thresholds)
        labels = num_labels if multi_label else None
        super().__init__(levels, _COUNTS, Selection(), name, dtype, labels)
        self.num_thresholds = len(levels)
        self.curve = curve.upper()
        self.summation_method = summation_method.lower()
        self.thresholds = None if thresholds is None else list(thresholds)
        self.multi_label = multi_label
        self.num_labels = num_labels
        self.label_weights = label_weights
        self.from_logits = from_logits

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count the predictions of a batch."""
        if self.from_logits:
            y_pred = jf.nn.sigmoid(to_tensor(y_pred))
        super().update_state(y_true, y_pred, sample_weight)

    def result(self) -> Any:
        """The area, as a scalar."""
        tp, fp, tn, fn = (self.count(name) for name in _COUNTS)
        if self.curve == "PR" and self.summation_method == "interpolation":
            return self._mean(_interpolated_pr_area(tp, fp, fn))
        recall = divide_no_nan(tp, tp + fn)
        if self.curve == "ROC":
            x, y = divide_no_nan(fp, fp + tn), recall
        else:
            x, y = recall, divide_no_nan(tp, tp + fp)
        first, second = y[:-1], y[1:]
        heights = {
            "interpolation": (first + second) / 2.0,
            "minoring": jf.minimum(first, second),
            "majoring": jf.maximum(first, second),
        }
        steps = (x[:-1] - x[1:]) * heights[self.summation_method]
        return self._mean(jf.sum(steps, axis=0))

    def _mean(self, areas: Any) -> Any:
        if not self.multi_label:
            return areas
        if self.label_weights is None:
            return jf.mean(areas)
        weights = to_tensor(np.asarray(self.label_weights), areas.dtype)
        return divide_no_nan(jf.sum(areas * weights), jf.sum(weights))

    def get_config(self) -> dict[str, Any]:
        """See `Metric.get_config`."""
        own = {
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "thresholds": self.thresholds,
            "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": self.label_weights,
            "from_logits": self.from_logits,
        }
        return {**super().get_config(), **own}


def _check_choice(argument: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ArgumentError(f"{argument}: {value!r} is not one of {', '.join(choices)}")


def _curve_levels(count: int, thresholds: Sequence[float] | None) -> list[float]:
    """Thresholds with one below 0 and one above 1, so that the curve has both ends."""
    if thresholds is None:
        if count < 2:
            raise ArgumentError(f"num_thresholds: at least 2, given {count}")
        inner = [(i + 1) / (count - 1) for i in range(count - 2)]
    else:
        inner = sorted(_thresholds(list(thresholds), 0.5))
    epsilon = backend.epsilon()
    return [-epsilon, *inner, 1.0 + epsilon]


def _interpolated_pr_area(tp: Any, fp: Any, fn: Any) -> Any:
    """Area under the precision-recall curve, with counts linear between thresholds.

    Precision is then not linear (Davis and Goadrich, 2006); its integral has a log.
    """
    positives = tp + fp
    first, second = positives[:-1], positives[1:]
    gained = tp[:-1] - tp[1:]
    slope = divide_no_nan(gained, jf.maximum(first - second, 0.0))
    intercept = tp[1:] - slope * second
    both = (first > 0) & (second > 0)
    ratio = jf.where(both, first / jf.where(both, second, 1.0), 1.0)
    area = slope * (gained + intercept * jf.log(ratio))
    return jf.sum(divide_no_nan(area, tp[1:] + fn[1:]), axis=0)
