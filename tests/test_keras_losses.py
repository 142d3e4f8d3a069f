"""Losses against NumPy formulas, their reductions, names, and checks of targets."""

from __future__ import annotations

import numpy as np
import pytest

import jitflow as jf
from jitflow import keras
from jitflow.errors import ArgumentError, ArgumentTypeError, ShapeError
from jitflow.keras import losses
from jitflow.keras.backend.call_context import set_keras_mask

RNG = np.random.default_rng(3)
P = RNG.uniform(0.05, 0.95, (5, 4)).astype("f4")
PROBABILITIES = (P / P.sum(1, keepdims=True)).astype("f4")
LOGITS = (3 * RNG.normal(size=(5, 4))).astype("f4")
LABELS = np.array([0, 3, 1, 1, 2])
ONE_HOT = np.eye(4, dtype="f4")[LABELS]
BITS = (RNG.random((5, 4)) > 0.5).astype("f4")
REAL = RNG.normal(size=(5, 4)).astype("f4")
WEIGHTS = RNG.uniform(0.5, 2.0, 5).astype("f4")


def log_softmax(z):
    z = z.astype("f8")
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def cross_entropy(y, p):
    return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(-1)


def unit(v):
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


ERROR = (LOGITS - REAL).astype("f8")
SIGNS = 2 * BITS - 1
SAMPLES = {
    "mean_squared_error": (REAL, LOGITS, {}, (ERROR**2).mean(-1)),
    "mean_absolute_error": (REAL, LOGITS, {}, abs(ERROR).mean(-1)),
    "mean_absolute_percentage_error": (
        *(REAL, LOGITS, {}),
        100 * abs(ERROR / REAL).mean(-1),
    ),
    "mean_squared_logarithmic_error": (
        *(abs(REAL), P, {}),
        ((np.log1p(P) - np.log1p(abs(REAL))) ** 2).mean(-1),
    ),
    "log_cosh": (REAL, LOGITS, {}, np.log(np.cosh(ERROR)).mean(-1)),
    "huber": (
        *(REAL, LOGITS, {"delta": 0.7}),
        np.where(abs(ERROR) < 0.7, ERROR**2 / 2, 0.7 * abs(ERROR) - 0.7**2 / 2).mean(
            -1
        ),
    ),
    "cosine_similarity": (REAL, LOGITS, {}, -(unit(REAL) * unit(LOGITS)).sum(-1)),
    "kl_divergence": (
        *(PROBABILITIES, P, {}),
        (PROBABILITIES * np.log(PROBABILITIES / P)).sum(-1),
    ),
    "poisson": (abs(REAL), P, {}, (P - abs(REAL) * np.log(P)).mean(-1)),
    "hinge": (BITS, LOGITS, {}, np.maximum(1 - SIGNS * LOGITS, 0).mean(-1)),
    "squared_hinge": (
        *(SIGNS, LOGITS, {}),
        (np.maximum(1 - SIGNS * LOGITS, 0) ** 2).mean(-1),
    ),
    "categorical_hinge": (
        *(ONE_HOT, LOGITS, {}),
        np.maximum(
            ((1 - ONE_HOT) * LOGITS).max(-1) - (ONE_HOT * LOGITS).sum(-1) + 1, 0
        ),
    ),
    "binary_crossentropy": (BITS, P, {}, cross_entropy(BITS, P)),
    "categorical_crossentropy": (
        *(ONE_HOT, P, {}),
        -np.log(PROBABILITIES[range(5), LABELS]),
    ),
    "sparse_categorical_crossentropy": (
        *(LABELS, P, {}),
        -np.log(PROBABILITIES[range(5), LABELS]),
    ),
    "dice": (
        *(BITS, P, {"axis": (1,)}),
        1 - 2 * (BITS * P).sum(1) / (BITS.sum(1) + P.sum(1)),
    ),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_function_is_the_formula(name):
    y_true, y_pred, options, expected = SAMPLES[name]
    found = getattr(losses, name)(y_true, y_pred, **options)
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", SAMPLES)
def test_compiled_is_eager(name):
    y_true, y_pred, options, _ = SAMPLES[name]
    loss = losses.class_of(getattr(losses, name))(**options)
    eager = loss(y_true, y_pred, sample_weight=WEIGHTS)
    compiled = jf.function(lambda t, p, w: loss(t, p, w))(
        jf.asarray(y_true), jf.asarray(y_pred), jf.asarray(WEIGHTS)
    )
    np.testing.assert_allclose(compiled.numpy(), eager.numpy(), rtol=1e-5)


def test_logits_and_probabilities_agree():
    log_p = log_softmax(LOGITS)
    expected = -log_p[range(5), LABELS]
    for loss, y in (
        (losses.categorical_crossentropy, ONE_HOT),
        (losses.sparse_categorical_crossentropy, LABELS),
    ):
        found = loss(y, LOGITS, from_logits=True).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    sigmoid = 1 / (1 + np.exp(-LOGITS.astype("f8")))
    found = losses.binary_crossentropy(BITS, LOGITS, from_logits=True).numpy()
    np.testing.assert_allclose(found, cross_entropy(BITS, sigmoid), rtol=1e-5)


def test_huge_logits_stay_finite():
    z = np.array([[1e4, -1e4], [-1e4, 1e4]], "f4")
    for loss, y in (
        (losses.sparse_categorical_crossentropy, np.array([0, 0])),
        (losses.binary_crossentropy, np.array([[1, 0], [1, 0]], "f4")),
    ):
        values = loss(y, z, from_logits=True).numpy()
        np.testing.assert_allclose(values, [0, values[1]])
        assert np.isfinite(values).all() and values[1] >= 1e4


def test_masked_logits_do_not_poison_the_gradient():
    z = jf.asarray(np.array([[0.5, -np.inf, 1.0]], "f4"))
    with jf.GradientTape() as tape:
        tape.watch(z)
        loss = losses.SparseCategoricalCrossentropy(from_logits=True)([0], z)
    assert np.isfinite(tape.gradient(loss, z).numpy()[0, [0, 2]]).all()


def test_label_smoothing():
    smooth = ONE_HOT * 0.8 + 0.05
    found = losses.categorical_crossentropy(ONE_HOT, P, label_smoothing=0.2).numpy()
    np.testing.assert_allclose(
        found, -(smooth * np.log(PROBABILITIES)).sum(-1), rtol=1e-5
    )


def test_reductions():
    values = (ERROR**2).mean(-1)
    expected = {
        "sum_over_batch_size": (values * WEIGHTS).sum() / 5,
        "mean": (values * WEIGHTS).sum() / 5,
        "mean_with_sample_weight": (values * WEIGHTS).sum() / WEIGHTS.sum(),
        "sum": (values * WEIGHTS).sum(),
        "none": values * WEIGHTS,
        None: values * WEIGHTS,
    }
    for reduction, value in expected.items():
        loss = losses.MeanSquaredError(reduction=reduction)
        found = loss(REAL, LOGITS, sample_weight=WEIGHTS)
        np.testing.assert_allclose(found.numpy(), value, rtol=1e-5)


def test_a_column_of_targets_fits_a_vector_of_predictions():
    y = np.arange(3, dtype="f4")
    assert float(losses.MeanSquaredError()(y[:, None], y)) == 0
    assert float(losses.MeanSquaredError()(y, y[:, None])) == 0


def test_mask_leaves_out_values():
    y_pred = jf.asarray(LOGITS)
    mask = np.array([True, False, True, True, False])
    set_keras_mask(y_pred, jf.asarray(mask))
    found = float(losses.MeanSquaredError()(REAL, y_pred))
    np.testing.assert_allclose(found, (ERROR**2).mean(-1)[mask].mean(), rtol=1e-5)


def test_ignore_class_leaves_out_samples():
    labels = np.where(LABELS == 1, -1, LABELS)
    loss = losses.SparseCategoricalCrossentropy(ignore_class=-1)
    kept = labels != -1
    expected = -np.log(PROBABILITIES[kept, labels[kept]]).mean()
    np.testing.assert_allclose(float(loss(labels, P)), expected, rtol=1e-5)


def test_large_labels_keep_their_digits():
    # In float32 16_777_217 is 16_777_216.
    loss = losses.SparseCategoricalCrossentropy(ignore_class=16_777_216)
    values = loss.valid_values(loss.prepare_targets(np.array([16_777_217])), P[:1])
    assert values.numpy().tolist() == [True]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mse", losses.mean_squared_error),
        ("MAE", losses.mean_absolute_error),
        ("kld", losses.kl_divergence),
        ("sparse_categorical_crossentropy", losses.sparse_categorical_crossentropy),
    ],
)
def test_get_function_by_name(name, expected):
    assert losses.get(name) is expected


def test_get_class_and_config():
    loss = losses.get("CategoricalCrossentropy")
    assert isinstance(loss, losses.CategoricalCrossentropy)
    again = losses.get({"class_name": "Huber", "config": {"delta": 0.5}})
    assert again.get_config()["delta"] == 0.5
    assert losses.get(None) is None


def test_unknown_name_says_what_is_near():
    with pytest.raises(ArgumentError, match="mean_squared_error"):
        losses.get("mean_square_error")


def test_config_round_trip():
    for function in SAMPLES:
        cls = losses.class_of(getattr(losses, function))
        loss = cls(name="n", reduction="sum")
        again = losses.deserialize(losses.serialize(loss))
        assert type(again) is cls and again.get_config() == loss.get_config()


def test_arguments_are_checked():
    with pytest.raises(ArgumentError, match="reduction"):
        losses.MeanSquaredError(reduction="average")
    with pytest.raises(ArgumentTypeError, match="axis"):
        losses.categorical_crossentropy(ONE_HOT, P, axis=True)
    with pytest.raises(ShapeError, match="sparse_categorical"):
        losses.categorical_crossentropy(LABELS, P)
    with pytest.raises(ShapeError, match="one-hot"):
        losses.sparse_categorical_crossentropy(ONE_HOT, P)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ([0, 1, 4, 2], "label 4 of sample 2.*at least 5 units"),
        ([1, 2, 3, 4], "label 4 of sample 3.*start at 0"),
        ([0, -1, 2, 3], "label -1 of sample 1.*ignore_class=-1"),
        ([[0], [9], [1], [2]], "label 9 of sample 1"),
        ([0.0, np.nan, 1.0, 2.0], "label nan of sample 1.*remove NaN"),
    ],
)
def test_labels_out_of_range_are_named(labels, text):
    loss = losses.SparseCategoricalCrossentropy()
    with pytest.raises(ArgumentError, match=f"(?s)y: {text}"):
        loss.check_targets(np.array(labels), (None, 4), "y")


def test_ignored_and_proper_labels_pass():
    loss = losses.SparseCategoricalCrossentropy(ignore_class=-1)
    loss.check_targets(np.array([-1, 0, 3]), (None, 4), "y")
    loss.check_targets(np.array([], "i8"), (None, 4), "y")


def test_a_subclass_needs_only_call():
    class Cubed(losses.Loss):
        def call(self, y_true, y_pred):
            return jf.mean(jf.abs(y_true - y_pred) ** 3, axis=-1)

    np.testing.assert_allclose(
        float(Cubed()(REAL, LOGITS)), (abs(ERROR) ** 3).mean(), rtol=1e-5
    )
    assert keras.Loss is losses.Loss
