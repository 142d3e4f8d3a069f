"""The metrics of a compiled model: lists of them for each output."""

from __future__ import annotations

from typing import Any

from jitflow.keras import metrics as metrics_module
from jitflow.keras.metrics.metric import Metric
from jitflow.keras.metrics.reduction import MeanMetricWrapper
from jitflow.keras.trainers.compiled_loss import output_kind
from jitflow.keras.trainers.outputs import Outputs

# Names whose metric depends on the shapes of targets and predictions.
_BY_SHAPE: dict[str, dict[str, Any]] = {
    "accuracy": {
        "binary": metrics_module.BinaryAccuracy,
        "sparse_categorical": metrics_module.SparseCategoricalAccuracy,
        "categorical": metrics_module.CategoricalAccuracy,
    },
    "crossentropy": {
        "binary": metrics_module.BinaryCrossentropy,
        "sparse_categorical": metrics_module.SparseCategoricalCrossentropy,
        "categorical": metrics_module.CategoricalCrossentropy,
    },
}
_BY_SHAPE["acc"] = _BY_SHAPE["accuracy"]
_BY_SHAPE["ce"] = _BY_SHAPE["crossentropy"]


def make_metric(identifier: Any, y_true: Any, y_pred: Any) -> Metric:
    """The `Metric` that an entry of ``compile(metrics=...)`` means.

    A name given as a string is the name in logs.

    Raises:
        ArgumentError: for an unknown name.
    """
    if isinstance(identifier, str) and identifier in _BY_SHAPE:
        return _BY_SHAPE[identifier][output_kind(y_true, y_pred)](name=identifier)
    metric = metrics_module.get(identifier)
    if not isinstance(metric, Metric):
        name = getattr(metric, "__name__", type(metric).__name__)
        return MeanMetricWrapper(metric, name=name)
    if isinstance(identifier, str):
        metric.name = identifier
    return metric


class CompiledMetrics:
    """What ``compile(metrics=..., weighted_metrics=...)`` asks for.

    Metrics are made when the first predictions are seen. With several outputs their
    names in logs start with that of the output.
    """

    def __init__(self, metrics: Any, weighted_metrics: Any = None) -> None:
        self.given = metrics
        self.given_weighted = weighted_metrics
        self.built = False
        self._entries: list[tuple[int, bool, Metric]] = []
        self.names: list[str] = []

    @property
    def metrics(self) -> list[Metric]:
        """All metrics that have been made."""
        return [metric for _, _, metric in self._entries]

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None, names: Any = None
    ) -> None:
        """Take a batch into account.

        Raises:
            ArgumentError: if targets, weights and outputs do not match.
        """
        if self.given is None and self.given_weighted is None:
            return
        outputs = Outputs(y_pred, names)
        targets = outputs.values("y", y_true)
        predictions = outputs.values("y_pred", y_pred)
        if not self.built:
            self._build(outputs, targets, predictions)
        weights = outputs.spread("sample_weight", sample_weight, _never, repeat=True)
        for i, weighted, metric in self._entries:
            weight = weights[i] if weighted else None
            metric.update_state(targets[i], predictions[i], sample_weight=weight)

    def _build(self, outputs: Outputs, targets: Any, predictions: Any) -> None:
        for given, weighted in ((self.given, False), (self.given_weighted, True)):
            for i, entry in enumerate(_spread(outputs, given)):
                for identifier in _as_list(entry):
                    metric = make_metric(identifier, targets[i], predictions[i])
                    self._entries.append((i, weighted, metric))
                    self._name(outputs, i, metric)
        self.built = True

    def _name(self, outputs: Outputs, i: int, metric: Metric) -> None:
        single = outputs.count == 1
        name = metric.name if single else f"{outputs.names[i]}_{metric.name}"
        base, number = name, 1
        while name in self.names:
            name, number = f"{base}_{number}", number + 1
        self.names.append(name)

    def results(self) -> dict[str, Any]:
        """Values of all metrics by name in logs; those that are dicts, merged."""
        found: dict[str, Any] = {}
        for name, (_, _, metric) in zip(self.names, self._entries, strict=True):
            value = metric.result()
            found.update(value if isinstance(value, dict) else {name: value})
        return found


def _spread(outputs: Outputs, given: Any) -> list[Any]:
    """Entries for each output: one list stands for a single output or for all."""
    if outputs.is_single and not isinstance(given, dict):
        return [given]
    if isinstance(given, list | tuple) and len(given) != outputs.count:
        given = [given] * outputs.count
    return outputs.spread("metrics", given, _never, repeat=True)


def _as_list(entry: Any) -> list[Any]:
    if entry is None:
        return []
    return list(entry) if isinstance(entry, list | tuple) else [entry]


def _never(value: Any) -> bool:
    return False
