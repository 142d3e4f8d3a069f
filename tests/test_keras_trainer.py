"""`compile`, `fit`, `evaluate`, `predict`: numbers, traces, data, errors."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import jitflow as jf
from compiler.kernels.cache import count_compiles
from jitflow import keras
from jitflow.errors import ArgumentError, GradientError, GradientWarning, ShapeError
from jitflow.keras import layers, losses, metrics, optimizers
from jitflow.testing import assert_no_retrace

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 6)).astype("f4")
LABELS = (X @ RNG.normal(size=(6, 3))).argmax(1)
TARGETS = (X @ RNG.normal(size=(6, 2))).astype("f4")
QUIET = {"verbose": 0, "shuffle": False}


def classifier(**options):
    keras.utils.set_random_seed(7)
    model = keras.Sequential(
        [layers.Dense(8, activation="relu"), layers.Dense(3, activation="softmax")]
    )
    settings = {
        "optimizer": optimizers.Adam(0.01),
        "loss": "sparse_categorical_crossentropy",
        "metrics": ["accuracy"],
    }
    model.compile(**{**settings, **options})
    return model


def line(units=1, **options):
    """A model ``x @ w`` with ``w = 0``, whose numbers are easy to compute."""
    model = keras.Sequential(
        [layers.Dense(units, use_bias=False, kernel_initializer="zeros")]
    )
    model.compile(**{"optimizer": optimizers.SGD(0.1), "loss": "mse", **options})
    return model


# ------------------------------------------------------------------------------ fit


def test_steps_are_gradient_descent():
    model = line(units=2)
    model.fit(X, TARGETS, batch_size=20, epochs=2, **QUIET)
    w = np.zeros((6, 2))
    for _ in range(2):
        for rows in (slice(0, 20), slice(20, 40), slice(40, 50)):
            x, y = X[rows], TARGETS[rows]
            w -= 0.1 * 2 * x.T @ (x @ w - y) / y.size
    np.testing.assert_allclose(model.get_weights()[0], w, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_eager_is_compiled(optimizer):
    results = []
    for run_eagerly in (False, True):
        model = classifier(optimizer=optimizer, run_eagerly=run_eagerly)
        history = model.fit(
            X, LABELS, batch_size=16, epochs=3, validation_split=0.2, verbose=0
        )
        results.append((model.get_weights(), history.history))
    (weights, logs), (eager_weights, eager_logs) = results
    assert list(logs) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    for name, values in logs.items():
        np.testing.assert_allclose(values, eager_logs[name], rtol=1e-4, err_msg=name)
    for w, e in zip(weights, eager_weights, strict=True):
        np.testing.assert_allclose(w, e, rtol=1e-3, atol=1e-5)


def test_functions_run_eagerly_is_respected():
    model = classifier()
    jf.config.run_functions_eagerly(True)
    try:
        model.fit(X, LABELS, **QUIET)
    finally:
        jf.config.run_functions_eagerly(False)
    assert model.train_function is None


def test_interpreted_steps():
    expected, model = classifier(), classifier(jit_compile=False)
    for m in (expected, model):
        m.fit(X, LABELS, batch_size=25, **QUIET)
    for w, e in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(w, e, rtol=1e-4, atol=1e-6)


def test_the_last_batch_needs_no_trace_and_no_kernel():
    model = classifier()
    model.fit(X[:32], LABELS[:32], batch_size=16, **QUIET)
    with count_compiles() as count, assert_no_retrace():
        model.fit(X, LABELS, batch_size=16, **QUIET)  # 16, 16, 16, 2
        model.fit(X, LABELS, batch_size=7, **QUIET)
    assert count.compiled == 0
    assert len(model.train_function.traces) == 1


def test_learning_rate_needs_no_trace():
    model = line()
    model.fit(X, TARGETS[:, :1], **QUIET)
    model.optimizer.learning_rate = 0.0
    before = model.get_weights()[0]
    with assert_no_retrace():
        model.fit(X, TARGETS[:, :1], **QUIET)
    np.testing.assert_array_equal(model.get_weights()[0], before)


def test_freezing_a_layer_takes_effect_after_compile():
    model = classifier()
    model.fit(X, LABELS, **QUIET)
    first = model.layers[0]
    frozen = first.get_weights()[0]
    first.trainable = False
    last = model.layers[1].get_weights()[0]
    model.fit(X, LABELS, **QUIET)
    np.testing.assert_array_equal(first.get_weights()[0], frozen)
    assert abs(model.layers[1].get_weights()[0] - last).max() > 0
    first.trainable = True
    model.fit(X, LABELS, **QUIET)
    assert abs(first.get_weights()[0] - frozen).max() > 0


def test_shuffling_is_repeatable():
    def weights(seed):
        model = line()
        keras.utils.set_random_seed(seed)
        model.fit(X, TARGETS[:, :1], batch_size=8, verbose=0)
        return model.get_weights()[0]

    np.testing.assert_array_equal(weights(1), weights(1))
    assert abs(weights(1) - weights(2)).max() > 0


def test_shuffling_visits_every_sample_once():
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(batch)

    for shuffle in (True, "batch"):
        model = line(loss="mae", metrics=[metrics.Sum(name="total")])
        model.compile(optimizers.SGD(0.0), "mae", metrics=[_Total()])
        logs = model.fit(
            X, X[:, :1], batch_size=8, verbose=0, shuffle=shuffle, callbacks=[Watch()]
        ).history
        np.testing.assert_allclose(logs["total"][0], X[:, 0].sum(), rtol=1e-4)
    assert seen == [*range(7), *range(7)]


class _Total(keras.Metric):
    def __init__(self):
        super().__init__(name="total")
        self.total = self.add_variable(name="total")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign_add(jf.sum(y_true))

    def result(self):
        return self.total.value


def test_loss_is_the_mean_over_samples():
    model = line(optimizer=optimizers.SGD(0.0), metrics=["mae"])
    logs = model.fit(X, TARGETS[:, :1], batch_size=16, **QUIET).history
    np.testing.assert_allclose(logs["loss"], (TARGETS[:, 0] ** 2).mean(), rtol=1e-5)
    np.testing.assert_allclose(logs["mae"], abs(TARGETS[:, 0]).mean(), rtol=1e-5)


def test_sample_and_class_weights():
    weights = RNG.uniform(0, 2, 50).astype("f4")
    y = TARGETS[:, :1]
    model = line(optimizer=optimizers.SGD(0.0), weighted_metrics=["mae"])
    logs = model.fit(X, y, sample_weight=weights, batch_size=50, **QUIET).history
    np.testing.assert_allclose(
        logs["loss"][0], (weights * y[:, 0] ** 2).mean(), rtol=1e-5
    )
    np.testing.assert_allclose(
        logs["mae"][0], np.average(abs(y[:, 0]), weights=weights), rtol=1e-5
    )
    by_class, by_sample = classifier(), classifier()
    by_class.fit(X, LABELS, class_weight={0: 3.0, 2: 0.5}, **QUIET)
    each = np.array([3.0, 1.0, 0.5], "f4")[LABELS]
    by_sample.fit(X, LABELS, sample_weight=each, **QUIET)
    for a, b in zip(by_class.get_weights(), by_sample.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_regularizers_and_losses_of_layers_count():
    model = keras.Sequential(
        [layers.Dense(2, kernel_initializer="ones", kernel_regularizer="l2")]
    )
    model.compile("sgd", "mse")
    logs = model.evaluate(X, TARGETS, verbose=0, return_dict=True)
    error = ((X.sum(1, keepdims=True) - TARGETS) ** 2).mean()
    np.testing.assert_allclose(logs["loss"], error + 0.01 * 12, rtol=1e-4)


def test_validation_frequency_and_initial_epoch():
    model = line()
    history = model.fit(
        *(X, TARGETS[:, :1]),
        epochs=5,
        initial_epoch=1,
        validation_data=(X[:8], TARGETS[:8, :1]),
        validation_freq=2,
        **QUIET,
    )
    assert history.epoch == [1, 2, 3, 4]
    assert len(history.history["loss"]) == 4 and len(history.history["val_loss"]) == 2


# ---------------------------------------------------------------- evaluate, predict


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_evaluate_and_predict(run_eagerly):
    model = classifier(run_eagerly=run_eagerly)
    predicted = model.predict(X, batch_size=16, verbose=0)
    assert predicted.shape == (50, 3) and predicted.dtype == np.float32
    np.testing.assert_allclose(predicted, model(X).numpy(), rtol=1e-5, atol=1e-6)
    loss, accuracy = model.evaluate(X, LABELS, batch_size=16, verbose=0)
    expected = -np.log(predicted[range(50), LABELS]).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    np.testing.assert_allclose(accuracy, (predicted.argmax(1) == LABELS).mean())
    logs = model.evaluate(X, LABELS, verbose=0, return_dict=True)
    assert list(logs) == ["loss", "accuracy"] == model.metrics_names


def test_predict_without_compile():
    model = keras.Sequential([layers.Dense(2)])
    assert model.predict(X, verbose=0).shape == (50, 2)
    assert model.predict_on_batch(X[:3]).shape == (3, 2)


def test_one_batch_at_a_time():
    model, other = classifier(), classifier()
    loss, accuracy = model.train_on_batch(X[:20], LABELS[:20])
    logs = other.fit(X[:20], LABELS[:20], batch_size=20, **QUIET).history
    np.testing.assert_allclose([loss, accuracy], [v[0] for v in logs.values()])
    assert set(model.test_on_batch(X, LABELS, return_dict=True)) == set(logs)


def test_training_mode_reaches_layers():
    model = keras.Sequential([layers.Dropout(0.5, seed=1)])
    model.compile("sgd", "mse")
    ones = np.ones((8, 40), "f4")
    np.testing.assert_array_equal(model.predict(ones, verbose=0), ones)
    assert model.evaluate(ones, ones, verbose=0) == 0.0


# --------------------------------------------------------------------- several outputs


def two_heads(**options):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((6,))
    hidden = layers.Dense(5, activation="tanh")(inputs)
    a = layers.Dense(1, name="a")(hidden)
    b = layers.Dense(3, activation="softmax", name="b")(hidden)
    model = keras.Model(inputs, [a, b])
    settings = {
        "optimizer": "adam",
        "loss": ["mse", "sparse_categorical_crossentropy"],
        "metrics": [["mae"], ["accuracy"]],
    }
    model.compile(**{**settings, **options})
    return model


def test_several_outputs():
    model = two_heads(loss_weights=[2.0, 0.5])
    y = [TARGETS[:, :1], LABELS]
    logs = model.evaluate(X, y, verbose=0, return_dict=True)
    assert set(logs) == {"loss", "a_loss", "b_loss", "a_mae", "b_accuracy"}
    np.testing.assert_allclose(
        logs["loss"], 2 * logs["a_loss"] + logs["b_loss"] / 2, rtol=1e-5
    )
    a, b = model.predict(X, verbose=0)
    np.testing.assert_allclose(logs["a_loss"], ((a - y[0]) ** 2).mean(), rtol=1e-4)
    assert b.shape == (50, 3)
    before = logs["loss"]
    model.fit(X, y, epochs=3, verbose=0)
    assert model.evaluate(X, y, verbose=0)[0] < before


def test_several_outputs_by_name():
    by_name = two_heads(
        loss={"b": "sparse_categorical_crossentropy", "a": "mse"},
        metrics={"a": "mae"},
    )
    logs = by_name.evaluate(
        X, {"a": TARGETS[:, :1], "b": LABELS}, verbose=0, return_dict=True
    )
    assert set(logs) == {"loss", "a_loss", "b_loss", "a_mae"}
    with pytest.raises(ArgumentError, match="'c' is not an output"):
        two_heads(loss={"c": "mse"}).evaluate(X, [TARGETS[:, :1], LABELS], verbose=0)


# ------------------------------------------------------------------------------ data


def test_generators_go_on_between_epochs():
    def batches():
        for i in range(6):
            yield X[i : i + 4], TARGETS[i : i + 4, :1]

    model = line()
    history = model.fit(batches(), steps_per_epoch=2, epochs=3, verbose=0)
    assert len(history.epoch) == 3
    assert int(model.optimizer.iterations) == 6
    with pytest.raises(ArgumentError, match="no batches"):
        model.fit(iter([]), verbose=0)


@pytest.mark.parametrize("workers", [1, 3])
def test_py_dataset(workers):
    class Data(keras.utils.PyDataset):
        ends = 0

        def __len__(self):
            return 5

        def __getitem__(self, i):
            rows = slice(10 * i, 10 * i + 10)
            return X[rows], TARGETS[rows, :1]

        def on_epoch_end(self):
            self.ends += 1

    data = Data(workers=workers)
    model, other = line(), line()
    model.fit(data, epochs=2, **QUIET)
    other.fit(X, TARGETS[:, :1], batch_size=10, epochs=2, **QUIET)
    np.testing.assert_allclose(
        model.get_weights()[0], other.get_weights()[0], rtol=1e-6
    )
    assert data.ends == 2
    assert model.predict(data, verbose=0).shape == (50, 1)
    assert model.evaluate(data, verbose=0) == pytest.approx(
        other.evaluate(X, TARGETS[:, :1], batch_size=10, verbose=0), rel=1e-5
    )


def test_tensors_lists_and_doubles_are_data():
    expected = line()
    expected.fit(X, TARGETS[:, :1], **QUIET)
    for x in (jf.asarray(X), X.astype("f8"), np.asfortranarray(X)):
        model = line()
        model.fit(x, TARGETS[:, :1].tolist(), **QUIET)
        np.testing.assert_allclose(
            model.get_weights()[0], expected.get_weights()[0], rtol=1e-5
        )


def test_steps_per_epoch_over_arrays():
    model = line()
    model.fit(X, TARGETS[:, :1], batch_size=10, steps_per_epoch=2, epochs=4, **QUIET)
    assert int(model.optimizer.iterations) == 8


# ------------------------------------------------------------------- overridden steps


def test_overridden_train_step():
    class Custom(keras.Sequential):
        def train_step(self, data):
            x, y = data
            with jf.GradientTape() as tape:
                loss = jf.mean(jf.abs(self(x, training=True) - y))
            grads = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(
                zip(grads, self.trainable_variables, strict=True)
            )
            return {"distance": loss}

    model = Custom([layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(optimizers.SGD(0.1))
    logs = model.fit(X, TARGETS[:, :1], batch_size=50, **QUIET).history
    np.testing.assert_allclose(logs["distance"], abs(TARGETS[:, 0]).mean(), rtol=1e-5)
    expected = 0.1 * (X * np.sign(TARGETS[:, :1])).mean(0)
    np.testing.assert_allclose(model.get_weights()[0][:, 0], expected, rtol=1e-4)


def test_overridden_compute_loss():
    class Doubled(keras.Sequential):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **kw):
            return 2.0 * super().compute_loss(x, y, y_pred, sample_weight)

    model = Doubled([layers.Dense(1, kernel_initializer="zeros")])
    model.compile("sgd", "mse")
    found = model.evaluate(X, TARGETS[:, :1], verbose=0)
    np.testing.assert_allclose(found, 2 * (TARGETS[:, 0] ** 2).mean(), rtol=1e-5)


def test_steps_per_execution_runs_hooks_less_often():
    calls = []
    hook = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: calls.append(batch)
    )
    model, other = line(steps_per_execution=3), line()
    model.fit(X, TARGETS[:, :1], batch_size=10, callbacks=[hook], **QUIET)
    other.fit(X, TARGETS[:, :1], batch_size=10, **QUIET)
    assert calls == [2, 4]
    np.testing.assert_array_equal(model.get_weights()[0], other.get_weights()[0])


# ---------------------------------------------------------------------------- errors


def test_unequal_lengths_are_named():
    with pytest.raises(ArgumentError, match=r"(?s)x has 50, y has 49"):
        line().fit(X, TARGETS[:49, :1], verbose=0)


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_labels_out_of_range(run_eagerly):
    wrong = LABELS.copy()
    wrong[40] = 3
    model = classifier(run_eagerly=run_eagerly)
    with pytest.raises(ArgumentError, match="y: label 3 of sample"):
        model.fit(X, wrong, **QUIET)
    if not run_eagerly:
        assert int(model.optimizer.iterations) == 0
    with pytest.raises(ArgumentError, match="sample 40"):
        classifier().train_on_batch(X, wrong)
    batches = [(X[:10], LABELS[:10]), (X[35:45], wrong[35:45])]
    with pytest.raises(ArgumentError, match="sample 5"):
        classifier(run_eagerly=run_eagerly).fit(iter(batches), verbose=0)


def test_clear_errors():
    with pytest.raises(ArgumentError, match="compile"):
        keras.Sequential([layers.Dense(1)]).fit(X, TARGETS)
    with pytest.raises(ArgumentError, match="y: the model was compiled with a loss"):
        line().fit(X, verbose=0)
    with pytest.raises(ArgumentError, match="batch_size"):
        line().fit(X, TARGETS[:, :1], batch_size=0, verbose=0)
    with pytest.raises(ArgumentError, match="loss"):
        classifier(loss="crossentropie").fit(X, LABELS, verbose=0)
    with pytest.raises(ArgumentError, match="metric"):
        classifier(metrics=["acuracy"]).fit(X, LABELS, verbose=0)
    with pytest.raises(ArgumentError, match="optimizer"):
        classifier(optimizer="adamm")
    with pytest.raises(ArgumentError, match="steps_per_execution"):
        classifier(steps_per_execution=0)
    with pytest.raises(ShapeError, match="sparse_categorical"):
        classifier(loss="categorical_crossentropy").fit(X, LABELS, verbose=0)
    with pytest.raises(ArgumentError, match="validation_split"):
        line().fit(X, TARGETS[:, :1], validation_split=1.0, verbose=0)


def test_missing_gradients_are_explained():
    class Cut(layers.Layer):
        def call(self, x):
            return jf.stop_gradient(x)

    model = keras.Sequential([layers.Dense(1), Cut()])
    model.compile("sgd", "mse")
    with pytest.raises(GradientError, match=r"(?s)no variable has a gradient.*stop"):
        model.fit(X, TARGETS[:, :1], verbose=0)
    part = keras.Sequential([layers.Dense(1, name="lost"), Cut(), layers.Dense(1)])
    part.compile("sgd", "mse")
    with pytest.warns(GradientWarning, match="lost/kernel"):
        part.fit(X, TARGETS[:, :1], verbose=0)


# -------------------------------------------------------------------- configuration


def test_metrics_named_accuracy_follow_the_shapes():
    for units, y, kind in (
        (1, TARGETS[:, :1] > 0, metrics.BinaryAccuracy),
        (3, LABELS, metrics.SparseCategoricalAccuracy),
        (3, np.eye(3, dtype="f4")[LABELS], metrics.CategoricalAccuracy),
    ):
        model = line(units=units, loss="crossentropy", metrics=["acc"])
        model.fit(X, y, **QUIET)
        assert type(model.metrics[-1]) is kind and model.metrics[-1].name == "acc"


def test_compile_config_round_trip():
    model = line(loss=losses.Huber(0.5), metrics=["mae"])
    config = model.get_compile_config()
    other = keras.Sequential([layers.Dense(1)])
    other.compile_from_config(config)
    assert isinstance(other.optimizer, optimizers.SGD)
    assert other.loss.get_config()["delta"] == 0.5
    assert other.get_compile_config() == config


def test_mixed_precision_scales_the_loss():
    model = keras.Sequential([layers.Dense(1, dtype="mixed_float16")])
    model.compile(optimizers.SGD(0.01), "mse")
    before = model.evaluate(X, TARGETS[:, :1], verbose=0)
    model.fit(X, TARGETS[:, :1], epochs=5, verbose=0)
    assert model.evaluate(X, TARGETS[:, :1], verbose=0) < before


# ------------------------------------------------------------------- kinds of models


def test_named_inputs():
    a, b = keras.Input((6,), name="a"), keras.Input((2,), name="b")
    joined = layers.Concatenate()([a, b])
    model = keras.Model({"a": a, "b": b}, layers.Dense(1)(joined))
    model.compile("sgd", "mse")
    x = {"a": X, "b": TARGETS}
    history = model.fit(x, TARGETS[:, :1], epochs=3, batch_size=16, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert model.predict(x, verbose=0).shape == (50, 1)


def test_a_subclass_is_built_by_fit():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.norm = layers.BatchNormalization()
            self.drop = layers.Dropout(0.2, seed=3)
            self.out = layers.Dense(1)

        def call(self, x, training=False):
            return self.out(self.drop(self.norm(x, training=training)))

    results = []
    for run_eagerly in (False, True):
        keras.utils.set_random_seed(11)
        model = Net()
        model.compile(optimizers.Adam(0.05), "mse", run_eagerly=run_eagerly)
        model.fit(X, TARGETS[:, :1], epochs=2, batch_size=16, **QUIET)
        results.append(model.get_weights())
        assert abs(model.norm.moving_mean.numpy()).max() > 0
    for compiled, eager in zip(*results, strict=True):
        np.testing.assert_allclose(compiled, eager, rtol=1e-3, atol=1e-5)


def test_models_are_freed_after_fit():
    def trained():
        model = classifier()
        model.fit(X, LABELS, validation_split=0.2, verbose=0)
        model.predict(X, verbose=0)
        return weakref.ref(model)

    reference = trained()
    gc.collect()
    assert reference() is None
