"""Callbacks: order of hooks, stopping, rates, files, and the lines of progress."""

from __future__ import annotations

import io

import numpy as np
import pytest

from jitflow import keras
from jitflow.errors import ArgumentError
from jitflow.keras import callbacks, layers, optimizers
from jitflow.keras.callbacks.progress import format_seconds

X = np.random.default_rng(0).normal(size=(20, 4)).astype("f4")
Y = (X @ np.array([[1.0], [-2.0], [0.5], [0.0]])).astype("f4")


def model(rate=0.1, **options):
    made = keras.Sequential([layers.Dense(1, kernel_initializer="zeros")])
    made.compile(**{"optimizer": optimizers.SGD(rate), "loss": "mse", **options})
    return made


def fit(made, *given, **options):
    settings = {"batch_size": 10, "verbose": 0, "shuffle": False}
    return made.fit(X, Y, callbacks=list(given), **{**settings, **options})


class Feed(callbacks.Callback):
    """Puts values of its own into the logs."""

    def __init__(self, name, values):
        super().__init__()
        self.name = name
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs[self.name] = self.values[epoch]


class Record(callbacks.Callback):
    """Notes every hook."""

    def __init__(self):
        super().__init__()
        self.calls = []


def _hook(name):
    def hook(self, *args, **kwargs):
        self.calls.append(name if len(args) < 2 else (name, args[0]))

    return hook


for _name in dir(callbacks.Callback):
    if _name.startswith("on_") and _name not in ("on_batch_begin", "on_batch_end"):
        setattr(Record, _name, _hook(_name))


def test_order_of_hooks():
    record = Record()
    fit(model(), record, validation_data=(X[:10], Y[:10]), epochs=1)
    assert record.calls == [
        "on_train_begin",
        ("on_epoch_begin", 0),
        ("on_train_batch_begin", 0),
        ("on_train_batch_end", 0),
        ("on_train_batch_begin", 1),
        ("on_train_batch_end", 1),
        "on_test_begin",
        ("on_test_batch_begin", 0),
        ("on_test_batch_end", 0),
        "on_test_end",
        ("on_epoch_end", 0),
        "on_train_end",
    ]


def test_hooks_of_evaluate_and_predict():
    record, made = Record(), model()
    made.evaluate(X, Y, verbose=0, callbacks=[record])
    made.predict(X, verbose=0, callbacks=[record])
    assert record.calls == [
        "on_test_begin",
        ("on_test_batch_begin", 0),
        ("on_test_batch_end", 0),
        "on_test_end",
        "on_predict_begin",
        ("on_predict_batch_begin", 0),
        ("on_predict_batch_end", 0),
        "on_predict_end",
    ]


def test_logs_of_batches_are_numbers_so_far():
    seen = []
    hook = callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(logs["loss"])
    )
    history = fit(model(rate=0.0), hook)
    squares = (Y**2)[:, 0]
    np.testing.assert_allclose(seen, [squares[:10].mean(), squares.mean()], rtol=1e-5)
    assert all(type(v) is float for v in seen)
    assert history.history["loss"] == [seen[-1]]


def test_hooks_named_batch_are_those_of_training():
    seen = []

    class Old(callbacks.Callback):
        def on_batch_end(self, batch, logs=None):
            seen.append(batch)

    fit(model(), Old())
    assert seen == [0, 1]


@pytest.mark.parametrize(
    ("values", "patience", "epochs"),
    [([3, 2, 1, 2, 3, 4], 2, 5), ([1, 2, 3], 0, 2), ([3, 2, 1], 1, 3)],
)
def test_early_stopping(values, patience, epochs):
    stop = callbacks.EarlyStopping(monitor="m", patience=patience, mode="min")
    history = fit(model(), Feed("m", values), stop, epochs=len(values))
    assert len(history.epoch) == epochs
    assert stop.best == min(values[:epochs])


def test_early_stopping_restores_the_best_weights():
    made, kept = model(), []
    keep = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: kept.append(made.get_weights())
    )
    feed = Feed("m", [0.1, 0.9, 0.3, 0.2])
    stop = callbacks.EarlyStopping(
        "m", patience=2, mode="max", restore_best_weights=True
    )
    fit(made, feed, keep, stop, epochs=4)
    assert (stop.best_epoch, stop.stopped_epoch) == (1, 3)
    for now, best in zip(made.get_weights(), kept[1], strict=True):
        np.testing.assert_array_equal(now, best)


def test_mode_follows_the_name():
    for name, best in (("val_accuracy", -np.inf), ("loss", np.inf), ("auc", -np.inf)):
        assert callbacks.EarlyStopping(name).best == best
    with pytest.raises(ArgumentError, match="mode"):
        callbacks.EarlyStopping(mode="up")


def test_a_missing_metric_warns_once():
    stop = callbacks.EarlyStopping("val_loss")
    with pytest.warns(UserWarning, match="val_loss.*not among the logs: loss") as found:
        fit(model(), stop, epochs=3)
    assert len(found) == 1


def test_reduce_on_plateau():
    reduce = callbacks.ReduceLROnPlateau("m", factor=0.5, patience=1, min_lr=0.03)
    made = model(rate=0.1)
    history = fit(made, Feed("m", [1, 1, 1, 1, 0.5]), reduce, epochs=5)
    rates = history.history["learning_rate"]
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.05, 0.03, 0.03], rtol=1e-5)


def test_learning_rate_scheduler():
    made = model(rate=1.0)
    schedule = callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.1)
    history = fit(made, schedule, epochs=2)
    rates = history.history["learning_rate"]
    np.testing.assert_allclose(rates, [0.1, 0.01], rtol=1e-5)
    assert len(made.train_function.traces) == 1


def test_terminate_on_nan(capsys):
    made = model(rate=1e30)
    history = fit(made, callbacks.TerminateOnNaN(), epochs=20)
    assert len(history.epoch) < 20
    assert "training stops" in capsys.readouterr().out


def test_stop_training_ends_the_epoch_too():
    made, steps = model(), []

    def stop(batch, logs):
        steps.append(batch)
        made.stop_training = True

    fit(made, callbacks.LambdaCallback(on_train_batch_end=stop), epochs=3)
    assert steps == [0]


def test_csv_logger(tmp_path):
    path = tmp_path / "log.csv"
    fit(model(), callbacks.CSVLogger(path), epochs=2)
    fit(model(), callbacks.CSVLogger(path, append=True), epochs=1)
    rows = path.read_text().splitlines()
    assert rows[0] == "epoch,loss"
    assert [row.split(",")[0] for row in rows[1:]] == ["0", "1", "0"]


def test_model_checkpoint(tmp_path):
    class Saving:
        stop_training = False

        def __init__(self):
            self.saved = []

        def save_weights(self, path, overwrite):
            self.saved.append(path)

    saving = Saving()
    pattern = str(tmp_path / "w-{epoch:02d}-{m:.1f}.weights.h5")
    check = callbacks.ModelCheckpoint(
        pattern, "m", save_best_only=True, save_weights_only=True
    )
    check.set_model(saving)
    for epoch, value in enumerate([3.0, 4.0, 2.0]):
        check.on_epoch_begin(epoch)
        check.on_epoch_end(epoch, {"m": value})
    names = [path.rsplit("/", 1)[-1] for path in saving.saved]
    assert names == ["w-01-3.0.weights.h5", "w-03-2.0.weights.h5"]


def test_lambda_callback_knows_all_hooks():
    seen = []
    hook = callbacks.LambdaCallback(on_test_end=lambda logs: seen.append(logs))
    model().evaluate(X, Y, verbose=0, callbacks=[hook])
    assert len(seen) == 1
    with pytest.raises(ArgumentError, match="on_day_end"):
        callbacks.LambdaCallback(on_day_end=print)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_without_a_terminal():
    stream = io.StringIO()
    bar = callbacks.ProgbarLogger(stream)
    fit(model(metrics=["mae"]), bar, epochs=2, verbose=1, validation_split=0.5)
    lines = stream.getvalue().splitlines()
    assert "\r" not in stream.getvalue() and "\x1b" not in stream.getvalue()
    epochs = [line for line in lines if line.startswith("Epoch")]
    assert len(epochs) == 2
    assert epochs[1].startswith("Epoch 2/2  1/1  ") and "/step  loss " in epochs[1]
    assert "val_mae" in epochs[1]
    assert sum(line.startswith("train_step: compiled, trace 1") for line in lines) == 1
    assert lines[-1].startswith("time: data ")


def test_a_terminal_gets_one_line_that_changes(monkeypatch):
    monkeypatch.setattr("jitflow.keras.callbacks.progress._REDRAW_SECONDS", 0.0)
    for no_color in ("", "1"):
        monkeypatch.setenv("NO_COLOR", no_color)
        stream = Terminal()
        fit(model(), callbacks.ProgbarLogger(stream), verbose=1)
        text = stream.getvalue()
        assert "\rEpoch 1/1  1/2" in text.replace("\x1b[2m", "")
        assert ("\x1b" in text) == (not no_color)


def test_verbose_two_and_zero(capsys):
    fit(model(), epochs=3, verbose=2)
    assert capsys.readouterr().out.count("Epoch") == 3
    made = model()
    fit(made)
    made.evaluate(X, Y, verbose=0)
    made.predict(X, verbose=0)
    assert capsys.readouterr().out == ""
    with pytest.raises(ArgumentError, match="verbose"):
        fit(model(), verbose=3)


def test_durations_are_readable():
    assert [format_seconds(s) for s in (2.0, 1.234e-3, 5e-6, 3e-9)] == [
        *("2 s", "1.23 ms", "5 us"),
        "3 ns",
    ]
