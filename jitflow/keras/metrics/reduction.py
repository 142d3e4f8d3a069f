"""Sums and means over batches: `Sum`, `Mean`, and means of functions of samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jitflow as jf
from jitflow.keras.backend.call_context import get_keras_mask
from jitflow.keras.losses.loss import both_weights, divide_no_nan
from jitflow.keras.losses.shapes import same_rank, to_tensor
from jitflow.keras.metrics.metric import Metric
from jitflow.keras.saving.registration import keras_export
from jitflow.keras.saving.serialization import (
    deserialize_keras_object,
    serialize_keras_object,
)


def per_sample(
    values: Any, sample_weight: Any, reduce: Callable[..., Any], dtype: Any
) -> tuple[Any, Any]:
    """Weighted values reduced to one per sample, and the weights (None without)."""
    weight = both_weights(sample_weight, get_keras_mask(values), dtype)
    values = to_tensor(values, dtype)
    if weight is not None:
        values, weight = same_rank(values, weight)
        if values.ndim > weight.ndim:
            values = reduce(values, axis=tuple(range(weight.ndim, values.ndim)))
        weight = jf.broadcast_to(weight, values.shape)
        values = values * weight
        if weight.ndim > 1:
            weight = reduce(weight, axis=tuple(range(1, weight.ndim)))
    if values.ndim > 1:
        values = reduce(values, axis=tuple(range(1, values.ndim)))
    return values, weight


@keras_export("keras.metrics.Sum")
class Sum(Metric):
    """Weighted sum of all values."""

    def __init__(self, name: str | None = "sum", dtype: Any = None) -> None:
        super().__init__(dtype, name)
        self.total = self.add_variable(name="total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Add the values of a batch."""
        values, _ = per_sample(values, sample_weight, jf.sum, self.dtype)
        self.total.assign_add(jf.sum(values))

    def result(self) -> Any:
        """The sum, as a scalar."""
        return self.total.value


@keras_export("keras.metrics.Mean")
class Mean(Metric):
    """Weighted mean of the values of all samples; 0 before the first."""

    def __init__(self, name: str | None = "mean", dtype: Any = None) -> None:
        super().__init__(dtype, name)
        self.total = self.add_variable(name="total")
        self.count = self.add_variable(name="count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Add the values of a batch; axes after the first are averaged."""
        values, weight = per_sample(values, sample_weight, jf.mean, self.dtype)
        self.total.assign_add(jf.sum(values))
        if weight is not None:
            self.count.assign_add(jf.sum(weight))
        elif values.ndim:
            self.count.assign_add(jf.size_of(values, dtype=self.dtype))
        else:
            self.count.assign_add(1)

    def result(self) -> Any:
        """The mean, as a scalar."""
        return divide_no_nan(self.total.value, self.count.value)


@keras_export("keras.metrics.MeanMetricWrapper")
class MeanMetricWrapper(Mean):
    """Mean of a function ``fn(y_true, y_pred, **kwargs)`` of every sample."""

    def __init__(
        self,
        fn: Callable[..., Any],
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, dtype)
        self._fn = fn
        self._fn_kwargs = kwargs

    def update_state(  # type: ignore[override]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Take the targets and predictions of a batch into account."""
        mask = get_keras_mask(y_pred)
        values = self._fn(y_true, y_pred, **self._fn_kwargs)
        weight = both_weights(sample_weight, mask, self.dtype)
        super().update_state(values, sample_weight=weight)

    def get_config(self) -> dict[str, Any]:
        """See `Metric.get_config`."""
        config = {**super().get_config(), **self._fn_kwargs}
        if type(self) is MeanMetricWrapper:
            config["fn"] = serialize_keras_object(self._fn)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """See `Metric.from_config`."""
        if "fn" in config:
            config = deserialize_keras_object(config)
        return cls(**config)
