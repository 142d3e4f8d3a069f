"""Sequential, functional and subclassed models: results, structure, summary, JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitflow as jf
from jitflow import keras
from jitflow.errors import ArgumentError, ArgumentTypeError, ShapeError
from jitflow.keras import layers as L
from jitflow.keras.backend.call_context import calls
from jitflow.tensor.state import state
from tests import keras_reference


@pytest.fixture(autouse=True)
def fresh_names() -> None:
    keras.backend.clear_session()


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def sequential() -> Any:
    return keras.Sequential(
        [
            keras.Input((4,)),
            L.Dense(3, "tanh"),
            L.Dropout(0.5),
            keras.Sequential([L.Dense(2), L.BatchNormalization()], name="inner"),
        ]
    )


def two_inputs() -> Any:
    """Shared layer, two inputs, two outputs."""
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    shared = L.Dense(3, name="shared")
    total = L.Add()([shared(a), shared(b)])
    joined = L.Concatenate()([total, a])
    return keras.Model([a, b], [joined, total], name="pair")


def residual() -> Any:
    """Operators and functions between layers."""
    x = inputs = keras.Input((6,), name="x")
    y = L.Dense(6, name="one")(x)
    y = keras.activations.relu(y) * 2.0 + x
    return keras.Model(inputs, L.LayerNormalization(name="norm")(y[:, 1:]))


class Subclassed(keras.Model):
    """A model with a list of layers."""

    def __init__(self, units: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first = L.Dense(units)
        self.rest = [L.Dense(2), L.BatchNormalization()]

    def call(self, x: Any, training: bool | None = None) -> Any:
        x = self.first(x)
        for layer in self.rest:
            x = layer(x)
        return x


def apply_dense(layer: Any, x: np.ndarray) -> np.ndarray:
    return x @ layer.kernel.numpy() + layer.bias.numpy()


# ------------------------------------------------------------------------- sequential


def test_sequential_is_built_from_its_input() -> None:
    model = sequential()
    assert model.built and model.output_shape == (None, 2)
    assert [w.path for w in model.weights][:4] == [
        *("sequential/dense/kernel", "sequential/dense/bias"),
        *("sequential/inner/dense_1/kernel", "sequential/inner/dense_1/bias"),
    ]
    x = normal(5, 4)
    hidden = np.tanh(apply_dense(model.layers[0], x))
    inner = model.get_layer("inner")
    want = apply_dense(inner.layers[0], hidden) / np.sqrt(1 + 1e-3)
    np.testing.assert_allclose(model(x).numpy(), want, rtol=1e-4, atol=1e-6)
    assert [layer.name for layer in model.layers] == ["dense", "dropout", "inner"]


def test_sequential_is_built_from_data() -> None:
    model = keras.Sequential([L.Dense(3), L.Dense(2)])
    assert model.weights == [] and not model.built
    with pytest.raises(ArgumentError, match=r"keras\.Input"):
        _ = model.output_shape
    assert model(normal(5, 4)).shape == (5, 2)
    assert model.input_shape == (None, 4)
    assert model(normal(7, 4)).shape == (7, 2)
    with pytest.raises(ShapeError, match="4 features"):
        model(normal(5, 3))


def test_sequential_add_and_pop() -> None:
    model = keras.Sequential()
    model.add(keras.Input((4,)))
    model.add(L.Dense(3))
    model.add(L.Dense(2, name="last"))
    assert model.output_shape == (None, 2)
    kept = model.layers[0].kernel
    assert model.pop().name == "last"
    assert model.output_shape == (None, 3)
    assert model.layers[0].kernel is kept
    with pytest.raises(ArgumentError, match="'dense'"):
        model.add(L.Dense(1, name="dense"))
    with pytest.raises(ArgumentTypeError, match="layer"):
        model.add(3)
    with pytest.raises(ArgumentError, match="first"):
        model.add(keras.Input((3,)))
    with pytest.raises(ArgumentError, match="no layers"):
        keras.Sequential().build((None, 3))


def test_sequential_with_old_style_input_shape() -> None:
    model = keras.Sequential([L.Dense(3, input_shape=(4,))])
    assert model.built and model.input_shape == (None, 4)


# ------------------------------------------------------------------------- functional


def test_functional_with_shared_layer() -> None:
    model = two_inputs()
    a, b = normal(5, 4), normal(5, 4, seed=1)
    shared = model.get_layer("shared")
    total = apply_dense(shared, a) + apply_dense(shared, b)
    joined, second = model([a, b])
    np.testing.assert_allclose(second.numpy(), total, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(joined.numpy(), np.hstack([total, a]), rtol=1e-5)
    by_name = model({"b": b, "a": a})
    assert (by_name[0].numpy() == joined.numpy()).all()
    assert [x.name for x in model.layers] == ["a", "b", "shared", "add", "concatenate"]
    assert (model.input_names, model.output_names) == (
        ["a", "b"],
        ["concatenate", "add"],
    )
    assert model.output_shape == [(None, 7), (None, 3)]
    assert len(model.weights) == 2


def test_functional_with_dicts() -> None:
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    model = keras.Model({"p": a, "q": b}, {"sum": L.Add()([a, b]), "same": a})
    x, y = normal(3, 2), normal(3, 2, seed=1)
    result = model({"q": y, "p": x, "unused": y})
    np.testing.assert_allclose(result["sum"].numpy(), x + y)
    assert (result["same"].numpy() == x).all()
    with pytest.raises(ArgumentError, match="'q'"):
        model({"p": x})


def test_functional_operators() -> None:
    model = residual()
    x = normal(5, 6)
    y = np.maximum(apply_dense(model.get_layer("one"), x), 0) * 2 + x
    y = y[:, 1:]
    want = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(model(x).numpy(), want, rtol=1e-4, atol=1e-5)


def test_functional_with_open_lengths() -> None:
    x, y = keras.Input((None, 3)), keras.Input((None, 3))
    model = keras.Model([x, y], L.Dense(2)(L.Concatenate(axis=1)([x, L.Add()([x, y])])))
    assert model.output_shape == (None, None, 2)
    for length in (1, 4):
        assert model([normal(2, length, 3)] * 2).shape == (2, 2 * length, 2)


def test_nested_models_and_feature_extraction() -> None:
    inner = two_inputs()
    x = keras.Input((4,), name="x")
    joined, _ = inner([x, x])
    outer = keras.Model(x, L.Dense(1)(joined))
    assert outer(normal(3, 4)).shape == (3, 1)
    assert inner.get_layer("shared").kernel in outer.trainable_variables
    base = sequential()
    features = keras.Model(base.inputs, base.layers[0].output)
    data = normal(3, 4)
    want = np.tanh(apply_dense(base.layers[0], data))
    np.testing.assert_allclose(features(data).numpy(), want, rtol=1e-5, atol=1e-6)


def test_functional_casts_and_adjusts_rank() -> None:
    x = keras.Input((1,))
    model = keras.Model(x, L.Dense(2)(x))
    assert model(np.arange(3)).shape == (3, 2)
    assert model(np.arange(3.0)[:, None]).dtype == "float32"
    with pytest.raises(ShapeError, match="functional"):
        model(normal(3, 2))


def test_functional_errors() -> None:
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    total = L.Add()([a, b])
    with pytest.raises(ArgumentError, match=r"'b'.*not among the inputs"):
        keras.Model(a, total)
    with pytest.raises(ArgumentError, match="symbolic"):
        keras.Model(a, normal(2, 2))
    model = keras.Model([a, b], total)
    with pytest.raises(ArgumentError, match="2 inputs"):
        model(normal(3, 2))
    x = L.Dense(2, name="twin")(a)
    with pytest.raises(ArgumentError, match="'twin'"):
        keras.Model(a, L.Dense(2, name="twin")(x))
    with pytest.raises(ArgumentError, match="'shard'"):
        two_inputs().get_layer("shard")


def test_a_subclass_may_be_given_inputs_and_outputs() -> None:
    class Named(keras.Model):
        def __init__(self, width: int) -> None:
            x = keras.Input((4,))
            super().__init__(inputs=x, outputs=L.Dense(width)(x), name="named")

        def extra(self) -> int:
            return len(self.layers)

    model = Named(3)
    assert model(normal(2, 4)).shape == (2, 3)
    assert model.extra() == 2 and model.output_shape == (None, 3)
    assert model.get_config()["width"] == 3


# ------------------------------------------------------------------------- subclassed


def test_subclassed_model() -> None:
    model = Subclassed(5)
    assert model.weights == []
    x = normal(3, 4)
    y = model(x)
    want = apply_dense(model.rest[0], apply_dense(model.first, x)) / np.sqrt(1.001)
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-4, atol=1e-5)
    paths = [w.path for w in model.weights]
    assert paths[0] == "subclassed/dense/kernel"
    assert paths[-1] == "subclassed/batch_normalization/moving_variance"
    assert len(model.layers) == 3
    again = Subclassed.from_config(model.get_config())
    assert again.first.units == 5


def test_subclassed_model_is_built_from_a_shape_or_in_a_trace() -> None:
    by_shape, by_trace = Subclassed(), Subclassed()
    by_shape.build((None, 4))
    function = jf.function(lambda x: by_trace(x, training=True))
    function(normal(3, 4))
    shapes = [w.shape for w in by_shape.weights]
    assert shapes == [w.shape for w in by_trace.weights]
    before = by_trace.get_weights()[-1]
    function(normal(3, 4))
    assert (by_trace.get_weights()[-1] != before).any()
    assert len(function.traces) == 1


@pytest.mark.parametrize("make", [sequential, two_inputs, residual, Subclassed])
def test_compiled_is_eager(make: Any) -> None:
    model = make()
    inputs = [normal(5, 4), normal(5, 4, seed=1)]
    data: Any = inputs if make is two_inputs else inputs[0]
    data = normal(5, 6) if make is residual else data
    eager = model(data)
    result = jf.function(lambda x: model(x))(data)
    pairs = zip(
        *(y if isinstance(y, list) else [y] for y in (eager, result)), strict=True
    )
    for a, b in pairs:
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)


def test_freezing_ends_a_trace() -> None:
    model = sequential()
    x = normal(5, 4)

    @jf.function
    def gradients(x: Any) -> Any:
        with jf.GradientTape() as tape:
            loss = jf.mean(jf.square(model(x)))
        return tape.gradient(loss, model.trainable_variables)

    assert len(gradients(x)) == 6
    model.get_layer("inner").trainable = False
    assert len(gradients(x)) == 2
    model.trainable = False
    model.trainable = True
    assert len(gradients(x)) == 6


# -------------------------------------------------------------- configuration, summary


@pytest.mark.parametrize("make", [sequential, two_inputs, residual])
def test_json_round_trip(make: Any) -> None:
    model = make()
    text = model.to_json()
    keras.backend.clear_session()
    again = keras.models.model_from_json(text)
    assert again.to_json() == text
    again.set_weights(model.get_weights())
    data: Any = normal(5, 6 if make is residual else 4)
    data = [data, data] if make is two_inputs else data
    first, second = model(data), again(data)
    first = first[0] if isinstance(first, list) else first
    second = second[0] if isinstance(second, list) else second
    assert (first.numpy() == second.numpy()).all()
    clone = keras.models.clone_model(model)
    assert [w.shape for w in clone.weights] == [w.shape for w in model.weights]
    assert clone.weights[0] is not model.weights[0]


@pytest.mark.skipif(not keras_reference.INSTALLED, reason="needs Keras and JAX")
def test_keras_reads_our_models(tmp_path: Path) -> None:
    jobs, mine = [], []
    for make in (sequential, two_inputs):
        model = make()
        inputs = [normal(5, 4), normal(5, 4, seed=1)][: len(model.inputs)]
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
        jobs.append(
            {"config": config, "inputs": inputs, "weights": model.get_weights()}
        )
        result = model(inputs if len(inputs) > 1 else inputs[0])
        mine.append(result if isinstance(result, list) else [result])
    for job, ours, theirs in zip(
        jobs, mine, keras_reference.ask(jobs, tmp_path), strict=True
    ):
        assert theirs["config"]["config"]["name"] == job["config"]["config"]["name"]
        assert _layers(theirs["config"]) == _layers(job["config"])
        for a, b in zip(ours, theirs["outputs"], strict=True):
            np.testing.assert_allclose(a.numpy(), b, rtol=1e-5, atol=1e-6)


def _layers(config: Any) -> Any:
    """The layers of a configuration, without what only says "not compiled"."""
    if isinstance(config, dict):
        return {k: _layers(v) for k, v in config.items() if k != "compile_config"}
    return [_layers(v) for v in config] if isinstance(config, list) else config


def test_custom_classes_need_a_name_that_is_known() -> None:
    class Twice(L.Layer):
        def call(self, x: Any) -> Any:
            return x * 2

    model = keras.Sequential([keras.Input((2,)), Twice()])
    text = model.to_json()
    with pytest.raises(ArgumentError, match="register_keras_serializable"):
        keras.models.model_from_json(text)
    again = keras.models.model_from_json(text, custom_objects={"Twice": Twice})
    assert again(np.ones((1, 2))).numpy().tolist() == [[2, 2]]
    registered = keras.saving.register_keras_serializable("tests")(Twice)
    assert keras.saving.get_registered_name(registered) == "tests>Twice"
    text = keras.Sequential([keras.Input((2,)), Twice()]).to_json()
    assert keras.models.model_from_json(text)(np.ones((1, 2))).shape == (1, 2)


def test_a_lambda_is_neither_written_nor_run() -> None:
    layer = L.Activation(lambda x: x)
    with pytest.raises(ArgumentTypeError, match="lambda"):
        layer.get_config()
    with pytest.raises(ArgumentError, match="never run"):
        keras.saving.deserialize_keras_object(
            {"class_name": "__lambda__", "config": {"value": "AAAA"}}
        )


@pytest.mark.parametrize("make", [sequential, two_inputs, Subclassed])
def test_weights_go_to_a_file_and_back(make: Any, tmp_path: Path) -> None:
    first, second = make(), make()
    path = tmp_path / "inside" / "model.safetensors"
    data: Any = normal(5, 4)
    data = [data, data] if make is two_inputs else data
    first(data), second(data)
    first.set_weights([normal(*w.shape, seed=i) for i, w in enumerate(first.weights)])
    first.save_weights(path)
    second.load_weights(path)
    for a, b in zip(first.weights, second.weights, strict=True):
        assert a is not b and (a.numpy() == b.numpy()).all()
    with pytest.raises(ArgumentError, match="exists"):
        first.save_weights(path, overwrite=False)
    assert [p.name for p in path.parent.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("make", [sequential, residual, Subclassed])
def test_a_model_goes_to_a_file_and_back(make: Any, tmp_path: Path) -> None:
    model = make()
    data = normal(5, 6 if make is residual else 4)
    model(data)
    model.compile(optimizer="adam", loss="mse")
    model.save(tmp_path / "m.keras")
    keras.backend.clear_session()
    custom = {"Subclassed": Subclassed}
    again = keras.models.load_model(tmp_path / "m.keras", custom_objects=custom)
    assert (again(data).numpy() == model(data).numpy()).all()
    assert type(again.optimizer) is type(model.optimizer)
    plain = keras.models.load_model(tmp_path / "m.keras", custom, compile=False)
    assert getattr(plain, "optimizer", None) is None
    with pytest.raises(ArgumentError, match="exists"):
        model.save(tmp_path / "m.keras", overwrite=False)
    with pytest.raises(ArgumentError, match=r"\.keras"):
        model.save(tmp_path / "m.h5")
    (tmp_path / "m.keras").write_bytes(b"PK nonsense")
    with pytest.raises(ArgumentError, match="not a model file"):
        keras.models.load_model(tmp_path / "m.keras")


def test_weights_files_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    with pytest.raises(ArgumentError, match="not built"):
        Subclassed().save_weights(path)
    small, wide, other = (
        keras.Sequential([keras.Input((4,)), *layers])
        for layers in ([L.Dense(2)], [L.Dense(3)], [L.Dense(2), L.PReLU()])
    )
    small.save_weights(path)
    before = wide.get_weights()
    with pytest.raises(ShapeError, match=r"\(4, 3\).*\(4, 2\)"):
        wide.load_weights(path)
    wide.load_weights(path, skip_mismatch=True)
    assert all((a == b).all() for a, b in zip(before, wide.get_weights(), strict=True))
    with pytest.raises(ArgumentError, match=r"alpha.*missing in the file"):
        other.load_weights(path)
    with pytest.raises(ArgumentError, match="safetensors"):
        small.save_weights(tmp_path / "w.h5")
    whole = path.read_bytes()
    for damaged in (b"", b"x" * 20, whole[:-1], whole[:8] + b"{" + whole[9:]):
        path.write_bytes(damaged)
        if damaged != whole:
            with pytest.raises(ArgumentError, match="safetensors"):
                small.load_weights(path)


def test_low_precision_weights_keep_their_bits(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    model = keras.Sequential([keras.Input((4,)), L.Dense(3, dtype="bfloat16")])
    model.save_weights(path)
    before = model.get_weights()[0]
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    model.load_weights(path)
    assert (model.get_weights()[0] == before).all()
    assert model.weights[0].dtype == "bfloat16"


def summary_of(model: Any, **options: Any) -> str:
    lines: list[str] = []
    model.summary(print_fn=lines.append, **options)
    return "\n".join(lines)


def test_summary_of_a_sequential_model() -> None:
    text = summary_of(sequential(), expand_nested=True, show_trainable=True)
    for part in (
        *('Model: "sequential"', "dense (Dense)", "(None, 3)", "inner (Sequential)"),
        *("└ dense_1 (Dense)", "Total params: 31 (124.00 B)", "Trainable params: 27"),
        *("Non-trainable params: 4", "Output Shape", "Param #", "│ Y"),
    ):
        assert part in text, part
    widths = {len(line) for line in text.splitlines() if line[:1] in "┏┡│├└"}
    assert len(widths) == 1


def test_summary_of_other_models() -> None:
    text = summary_of(two_inputs(), line_length=130)
    assert "a[0][0], b[0][0]" in text and "shared[0][0], shared[1][0]" in text
    model = Subclassed(name="sub")
    assert "0 (unbuilt)" in summary_of(model) and "?" in summary_of(model)
    model(normal(7, 4))
    text = summary_of(model)
    assert "(None, 3)" in text and "Total params: 31" in text
    assert "(7," not in text
    keras.backend.clear_session()
    text = summary_of(sequential(), layer_range=["dense", "dropout"])
    assert "inner" not in text
    with pytest.raises(ArgumentError, match="layer_range"):
        summary_of(sequential(), layer_range=["dense"])


def test_a_layer_that_needs_values_runs_eagerly() -> None:
    class Counting(L.Layer):
        def call(self, x: Any) -> Any:
            return x * float(jf.sum(x))

    model = keras.Sequential([keras.Input((2,)), Counting()])
    assert model(np.ones((1, 2))).numpy().tolist() == [[2, 2]]


def test_nothing_is_kept_alive_by_calls() -> None:
    model = sequential()
    model(normal(2, 4))
    kept = calls
    assert (kept.depth, kept.training, kept.autocast) == (0, None, None)
    with pytest.raises(ShapeError):
        model(normal(2, 5))
    assert (kept.depth, kept.training, kept.autocast) == (0, None, None)
    assert state.scopes == ()
