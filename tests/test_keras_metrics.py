"""Metrics against NumPy over several batches, and their state."""

from __future__ import annotations

import numpy as np
import pytest

import jitflow as jf
from jitflow import keras
from jitflow.errors import ArgumentError
from jitflow.keras import metrics

RNG = np.random.default_rng(5)
P = RNG.uniform(0.05, 0.95, (12, 4)).astype("f4")
LABELS = RNG.integers(0, 4, 12)
ONE_HOT = np.eye(4, dtype="f4")[LABELS]
BITS = (RNG.random((12, 4)) > 0.4).astype("f4")
WEIGHTS = RNG.uniform(0.5, 2.0, 12).astype("f4")
BEST = P.argmax(-1)


def feed(metric, y_true, y_pred, weights=None):
    for rows in (slice(0, 5), slice(5, 12)):
        weight = None if weights is None else weights[rows]
        metric.update_state(y_true[rows], y_pred[rows], sample_weight=weight)
    return metric.result().numpy()


def rank_of_label():
    return (P[range(12), LABELS][:, None] < P).sum(-1)


PER_SAMPLE = {
    "mse": (BITS, ((BITS - P) ** 2).mean(-1)),
    "mae": (BITS, abs(BITS - P).mean(-1)),
    "categorical_accuracy": (ONE_HOT, BEST == LABELS),
    "sparse_categorical_accuracy": (LABELS, BEST == LABELS),
    "binary_accuracy": (BITS, ((P > 0.5) == BITS).mean(-1)),
    "SparseTopKCategoricalAccuracy": (LABELS, np.ones(12)),
}


@pytest.mark.parametrize("name", PER_SAMPLE)
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_mean_over_batches(name, weights):
    y_true, values = PER_SAMPLE[name]
    expected = np.average(values, weights=weights)
    found = feed(metrics.get(name), y_true, P, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_root_mean_squared_error():
    found = feed(metrics.RootMeanSquaredError(), BITS, P)
    np.testing.assert_allclose(found, np.sqrt(((BITS - P) ** 2).mean()), rtol=1e-5)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_top_k(k):
    expected = (rank_of_label() < k).mean()
    sparse = feed(metrics.SparseTopKCategoricalAccuracy(k), LABELS, P)
    dense = feed(metrics.TopKCategoricalAccuracy(k), ONE_HOT, P)
    np.testing.assert_allclose([sparse, dense], expected, rtol=1e-6)


def test_top_k_of_nan_is_wrong():
    scores = np.array([[np.nan, 0.1, 0.9]], "f4")
    found = metrics.sparse_top_k_categorical_accuracy([0], scores, k=2)
    assert found.numpy().tolist() == [0.0]


def counts(y_true, y_pred, threshold, weights):
    w = np.ones_like(y_pred) * (1.0 if weights is None else weights[:, None])
    positive, target = y_pred > threshold, y_true > 0
    return [
        (w * chosen).sum()
        for chosen in (
            positive & target,
            positive & ~target,
            ~positive & ~target,
            ~positive & target,
        )
    ]


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_counts_precision_recall(weights):
    tp, fp, tn, fn = counts(BITS, P, 0.5, weights)
    expected = {
        "TruePositives": tp,
        "FalsePositives": fp,
        "TrueNegatives": tn,
        "FalseNegatives": fn,
        "Precision": tp / (tp + fp),
        "Recall": tp / (tp + fn),
    }
    for name, value in expected.items():
        found = feed(metrics.get(name), BITS, P, weights)
        np.testing.assert_allclose(found, value, rtol=1e-5, err_msg=name)


def test_several_thresholds():
    found = feed(metrics.Precision(thresholds=[0.2, 0.6]), BITS, P)
    expected = []
    for threshold in (0.2, 0.6):
        tp, fp, _, _ = counts(BITS, P, threshold, None)
        expected.append(tp / (tp + fp))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_precision_of_a_class_and_of_the_best():
    of_class = feed(metrics.Precision(class_id=2), BITS, P)
    tp, fp, _, _ = counts(BITS[:, 2:3], P[:, 2:3], 0.5, None)
    np.testing.assert_allclose(of_class, tp / (tp + fp), rtol=1e-5)
    best = feed(metrics.Precision(top_k=1), BITS, P)
    np.testing.assert_allclose(best, BITS[range(12), BEST].mean(), rtol=1e-5)


def test_auc_is_the_share_of_ordered_pairs():
    y, p = BITS.ravel(), P.ravel()
    exact = (p[y == 1][:, None] > p[y == 0][None, :]).mean()
    found = feed(metrics.AUC(num_thresholds=2000), BITS, P)
    np.testing.assert_allclose(found, exact, atol=2e-3)


def test_f1_of_classes():
    tp = np.array([((c == BEST) & (c == LABELS)).sum() for c in range(4)])
    total = [(c == BEST).sum() + (c == LABELS).sum() for c in range(4)]
    expected = 2 * tp / np.maximum(total, 1)
    np.testing.assert_allclose(feed(metrics.F1Score(), ONE_HOT, P), expected, rtol=1e-4)
    macro = feed(metrics.F1Score(average="macro"), ONE_HOT, P)
    np.testing.assert_allclose(macro, expected.mean(), rtol=1e-4)


def test_r2():
    residual = ((BITS - P) ** 2).sum(0)
    total = ((BITS - BITS.mean(0)) ** 2).sum(0)
    found = feed(metrics.R2Score(), BITS, P)
    np.testing.assert_allclose(found, (1 - residual / total).mean(), rtol=1e-4)


def test_state_resets_and_starts_at_zero():
    metric = metrics.Mean()
    assert float(metric.result()) == 0.0
    metric.update_state([1.0, 3.0])
    assert float(metric.result()) == 2.0
    metric.reset_state()
    assert [v.numpy().item() for v in metric.variables] == [0.0, 0.0]
    assert float(metrics.Sum()([1.0, 2.0], sample_weight=[1.0, 0.5])) == 2.0


def test_stateless_forms_leave_the_metric_alone():
    metric = metrics.Mean()
    metric.update_state([5.0])
    state = metric.stateless_update_state(metric.stateless_reset_state(), [1.0, 2.0])
    assert float(metric.stateless_result(state)) == 1.5
    assert float(metric.result()) == 5.0
    with pytest.raises(ArgumentError, match="metric_variables"):
        metric.stateless_result(state[:1])


def test_updates_inside_a_compiled_function():
    metric, other = metrics.Recall(), metrics.Recall()

    @jf.function
    def update(y_true, y_pred):
        metric.update_state(y_true, y_pred)
        return metric.result()

    for rows in (slice(0, 5), slice(5, 12)):
        value = update(jf.asarray(BITS[rows]), jf.asarray(P[rows]))
        other.update_state(BITS[rows], P[rows])
    np.testing.assert_allclose(value.numpy(), other.result().numpy(), rtol=1e-6)


def test_names_and_configurations():
    assert isinstance(metrics.get("AUC"), metrics.AUC)
    assert metrics.get("MAE").name == "mean_absolute_error"
    with pytest.raises(ArgumentError, match="metric"):
        metrics.get("acuracy_of_things")
    for metric in (
        metrics.TopKCategoricalAccuracy(k=3),
        metrics.Precision(thresholds=0.3, name="p"),
        metrics.AUC(curve="PR"),
        metrics.F1Score(average="micro"),
        metrics.BinaryCrossentropy(from_logits=True),
    ):
        again = metrics.deserialize(metrics.serialize(metric))
        assert type(again) is type(metric)
        assert again.get_config() == metric.get_config()


def test_arguments_are_checked():
    with pytest.raises(ArgumentError, match="thresholds"):
        metrics.Precision(thresholds=[1.5])
    with pytest.raises(ArgumentError, match="curve"):
        metrics.AUC(curve="ROCK")
    with pytest.raises(ArgumentError, match="average"):
        metrics.F1Score(average="mean")


def test_a_user_metric():
    class Largest(keras.Metric):
        def __init__(self):
            super().__init__(name="largest")
            self.value = self.add_variable((), -np.inf, name="value")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.value.assign(jf.maximum(self.value, jf.max(jf.asarray(y_pred))))

        def result(self):
            return self.value.value

    metric = Largest()
    assert feed(metric, BITS, P) == P.max()
    metric.reset_state()
    assert float(metric.result()) == -np.inf
