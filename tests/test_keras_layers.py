"""Layers against Keras, against formulas, compiled against eager, and their errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitflow as jf
from jitflow import keras
from jitflow.errors import ArgumentError, ShapeError
from jitflow.keras import layers as L
from tests import keras_reference

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def integers(high: int, *shape: int, dtype: str = "int32") -> np.ndarray:
    return RNG.integers(0, high, shape).astype(dtype)


ACTIVATIONS = (
    *("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "softplus", "softsign"),
    *("silu", "gelu", "tanh", "sigmoid", "hard_sigmoid", "hard_silu", "hard_tanh"),
    *("hard_shrink", "soft_shrink", "tanh_shrink", "linear", "mish", "log_softmax"),
    *("log_sigmoid", "softmax", "sparse_plus", "sparse_sigmoid", "squareplus", "glu"),
)
RENORM = {"renorm": True, "renorm_clipping": {"rmax": 1.5, "rmin": 0.5, "dmax": 0.3}}

# Layer, inputs, training: every layer with arguments that matter.
CASES: list[tuple[Any, list[np.ndarray], bool | None]] = [
    (L.Dense(3, "gelu"), [normal(5, 4)], None),
    (L.Dense(3, use_bias=False), [normal(5, 2, 4)], None),
    (L.Dense(3), [integers(5, 5, 4)], None),
    (L.Dense(3, kernel_regularizer="l2", kernel_constraint="max_norm"), [normal(5, 4)]),
    *((L.Activation(name), [normal(5, 6) * 3]) for name in ACTIVATIONS),
    (L.ReLU(2.0, 0.1, 0.5), [normal(5, 4) * 3]),
    (L.LeakyReLU(0.2), [normal(5, 4)]),
    (L.ELU(0.7), [normal(5, 4)]),
    (L.PReLU(shared_axes=[1]), [normal(5, 4, 3)]),
    (L.Softmax(axis=[1, 2]), [normal(5, 4, 3)]),
    (L.BatchNormalization(), [normal(6, 4)], True),
    (L.BatchNormalization(), [normal(6, 4)], False),
    (L.BatchNormalization(axis=1), [normal(6, 4, 3)], True),
    (L.BatchNormalization(center=False, scale=False), [normal(6, 4)], True),
    (L.BatchNormalization(**RENORM), [normal(6, 4) * 2 + 1], True),
    (L.LayerNormalization(), [normal(6, 4)]),
    (L.LayerNormalization(axis=[1, 2]), [normal(6, 4, 3)]),
    (L.LayerNormalization(center=False), [normal(6, 4)]),
    (L.RMSNormalization(), [normal(6, 4)]),
    (L.UnitNormalization(), [normal(6, 4)]),
    (L.GroupNormalization(groups=2), [normal(6, 5, 4)]),
    (L.GroupNormalization(groups=-1, axis=1), [normal(6, 5, 4)]),
    (L.Flatten(), [normal(2, 3, 4)]),
    (L.Flatten(data_format="channels_first"), [normal(2, 3, 4, 5)]),
    (L.Flatten(), [normal(4)]),
    (L.Reshape((2, -1)), [normal(5, 6)]),
    (L.Permute((2, 1)), [normal(5, 2, 3)]),
    (L.RepeatVector(3), [normal(5, 2)]),
    (L.Rescaling(1 / 255.0, -1.0), [integers(255, 3, 4, dtype="uint8")]),
    (L.Rescaling([1.0, 2.0], [0.0, 1.0]), [normal(3, 2)]),
    *(
        (layer(), [normal(5, 4), normal(5, 4)])
        for layer in (L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum)
    ),
    (L.Add(), [normal(5, 4), normal(5, 3, 4)]),
    (L.Concatenate(), [normal(5, 4), normal(5, 2)]),
    (L.Concatenate(axis=1), [normal(5, 4, 2), normal(5, 3, 2)]),
    (L.Dot(1), [normal(5, 4), normal(5, 4)]),
    (L.Dot((1, 2)), [normal(5, 4), normal(5, 3, 4)]),
    (L.Dot((2, 1), normalize=True), [normal(5, 2, 4), normal(5, 4, 3)]),
    (L.Dot((1, 1)), [normal(5, 4, 2, 3), normal(5, 4, 6)]),
    (L.Embedding(7, 3), [integers(7, 5, 2)]),
    (L.Masking(), [normal(2, 3, 4)]),
    (L.Identity(), [normal(2, 3)]),
    (L.Dropout(0.5, noise_shape=(None, 1)), [normal(2, 3)]),
    (L.GaussianNoise(0.5, seed=3), [normal(2, 3)]),
    (L.GaussianDropout(0.5), [normal(2, 3)]),
    (L.AlphaDropout(0.5), [normal(2, 3)]),
    (L.SpatialDropout1D(0.5), [normal(2, 3, 4)]),
    (L.SpatialDropout2D(0.5), [normal(2, 3, 4, 5)]),
    (L.ActivityRegularization(0.1, 0.2), [normal(2, 3)]),
    *(
        (layer, [normal(6, 4)], True)
        for policy in ("mixed_float16", "mixed_bfloat16")
        for layer in (
            L.Dense(3, "relu", dtype=policy),
            L.BatchNormalization(dtype=policy),
            L.LayerNormalization(dtype=policy),
            L.RMSNormalization(dtype=policy),
            L.UnitNormalization(dtype=policy),
            L.Softmax(dtype=policy),
            L.PReLU(dtype=policy),
            L.Rescaling(2.0, 1.0, dtype=policy),
        )
    ),
]
CASES = [(*case, None)[:3] for case in CASES]


def labels() -> list[str]:
    return [f"{type(c[0]).__name__}-{i}" for i, c in enumerate(CASES)]


def feed(inputs: list[np.ndarray]) -> Any:
    return inputs if len(inputs) > 1 else inputs[0]


def run(index: int) -> dict[str, Any]:
    """A case with positive weights: what goes in, and what came out here."""
    layer, inputs, training = CASES[index]
    layer(feed(inputs))
    seeded = np.random.default_rng(index)
    weights = [
        (seeded.normal(size=w.shape) ** 2 + 0.1).astype(w.dtype)
        for w in layer.get_weights()
    ]
    layer.set_weights(weights)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    output = layer(feed(inputs), training=training)
    return {
        "job": {
            "config": config,
            "inputs": inputs,
            "weights": weights,
            "training": training,
        },
        "output": output,
        "after": layer.get_weights(),
    }


@pytest.fixture(scope="module")
def results() -> list[dict[str, Any]]:
    return [run(i) for i in range(len(CASES))]


@pytest.fixture(scope="module")
def expected(
    results: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    if not keras_reference.INSTALLED:
        pytest.skip("Keras and JAX are not installed")
    folder: Path = tmp_path_factory.mktemp("keras")
    return keras_reference.ask([r["job"] for r in results], folder)


@pytest.mark.parametrize("index", range(len(CASES)), ids=labels())
def test_layer_against_keras(index: int, results: Any, expected: Any) -> None:
    mine, theirs = results[index], expected[index]
    assert theirs["config"] == mine["job"]["config"]
    low = mine["output"].dtype.itemsize == 2
    tolerance = {"rtol": 2e-2, "atol": 2e-2} if low else {"rtol": 1e-5, "atol": 2e-6}
    got = mine["output"].numpy().astype(np.float32)
    np.testing.assert_allclose(got, theirs["outputs"][0], **tolerance)
    for a, b in zip(mine["after"], theirs["weights"], strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


@pytest.mark.parametrize("index", range(len(CASES)), ids=labels())
def test_config_round_trip(index: int, results: Any) -> None:
    job = results[index]["job"]
    again = keras.saving.deserialize_keras_object(job["config"])
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(again)))
    assert config == job["config"]
    assert [w.shape for w in again.weights] == [
        w.shape for w in CASES[index][0].weights
    ]


@pytest.mark.parametrize("index", range(len(CASES)), ids=labels())
def test_symbolic_shape_is_that_of_data(index: int, results: Any) -> None:
    layer, inputs, _ = CASES[index]
    symbols = [keras.Input(x.shape[1:], dtype=str(x.dtype)) for x in inputs]
    output = layer(feed(symbols))
    real = results[index]["output"]
    assert output.shape == (None, *real.shape[1:])
    assert output.dtype == str(real.dtype)
    if layer.input_dtype == "float32":
        shapes = [(None, *x.shape[1:]) for x in inputs]
        assert layer.compute_output_shape(feed(shapes)) == output.shape


def compiled(layer: Any, **options: Any) -> Any:
    return jf.function(lambda *xs: layer(feed(list(xs)), **options))


# A trace of each kind of layer; the others are the same ops.
TRACED = [i for i, c in enumerate(CASES) if not isinstance(c[0], L.Activation)][:40:2]


@pytest.mark.parametrize("index", TRACED, ids=[labels()[i] for i in TRACED])
def test_compiled_is_eager(index: int, results: Any) -> None:
    layer, inputs, training = CASES[index]
    job = results[index]["job"]
    layer.set_weights(job["weights"])
    got = compiled(layer, training=training)(*inputs)
    want = results[index]["output"].numpy()
    np.testing.assert_allclose(got.numpy(), want, rtol=2e-5, atol=2e-6)
    for a, b in zip(layer.get_weights(), results[index]["after"], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: L.Dropout(0.3, seed=5),
        lambda: L.Dropout(0.3, noise_shape=(None, 1), seed=5),
        lambda: L.GaussianNoise(0.5, seed=5),
        lambda: L.GaussianDropout(0.3, seed=5),
        lambda: L.AlphaDropout(0.3, seed=5),
    ],
)
def test_noise_is_the_same_compiled_and_differs_by_call(make: Any) -> None:
    x = np.ones((40, 50), np.float32)
    eager, other = make(), make()
    function = compiled(other, training=True)
    first = [eager(x, training=True).numpy() for _ in range(3)]
    second = [function(x).numpy() for _ in range(3)]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert (first[0] != first[1]).any()
    assert len(function.traces) == 1
    assert eager.variables[0].numpy().tolist() == [5, 3]
    assert eager.weights == []


def test_dropout_keeps_the_mean() -> None:
    x = np.ones((200, 300), np.float32)
    y = L.Dropout(0.25, seed=1)(x, training=True).numpy()
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.75)}
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.01)
    spatial = L.SpatialDropout1D(0.5, seed=1)(np.ones((9, 5, 7)), training=True)
    assert (spatial.numpy().std(axis=1) == 0).all()
    assert (L.Dropout(1.0)(x, training=True).numpy() == 0).all()
    with pytest.raises(ArgumentError, match="rate"):
        L.Dropout(1.5)


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    x = np.random.default_rng(1).normal(size=(300, 300)).astype(np.float32)
    y = L.AlphaDropout(0.2, seed=2)(x, training=True).numpy()
    assert y.mean() == pytest.approx(0, abs=0.02)
    assert y.std() == pytest.approx(1, abs=0.02)


def test_batch_normalization_follows_and_freezes() -> None:
    layer = L.BatchNormalization(momentum=0.9)
    x = normal(8, 3) * 2 + 5
    layer(x, training=True)
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.1 * x.mean(0), rtol=1e-5)
    variance = 0.9 + 0.1 * x.var(0)
    np.testing.assert_allclose(layer.moving_variance.numpy(), variance, rtol=1e-5)
    layer.trainable = False
    before = layer.get_weights()
    frozen, inference = layer(x, training=True), layer(x, training=False)
    assert (frozen.numpy() == inference.numpy()).all()
    assert all((a == b).all() for a, b in zip(before, layer.get_weights(), strict=True))
    assert layer.trainable_weights == []
    layer.trainable = True
    assert [w.name for w in layer.trainable_weights] == ["gamma", "beta"]


def test_batch_normalization_with_a_mask() -> None:
    x, mask = normal(4, 5, 3), np.zeros((4, 5), bool)
    mask[:, :2] = True
    layer = L.BatchNormalization(momentum=0.0, epsilon=1e-12)
    y = layer(x, training=True, mask=mask).numpy()
    used = x[mask]
    np.testing.assert_allclose(layer.moving_mean.numpy(), used.mean(0), atol=1e-5)
    np.testing.assert_allclose(y[mask].std(0), 1, rtol=1e-3)


def test_the_batch_size_may_change_inside_a_trace() -> None:
    layer = L.BatchNormalization()
    layer.build((None, 4))
    spec = jf.TensorSpec([None, 4], "float32")
    function = jf.function(lambda x: layer(x, training=True), input_signature=[spec])
    for size in (8, 3, 1):
        x = normal(size, 4)
        got = function(x).numpy()
        want = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    assert len(function.traces) == 1


@pytest.mark.parametrize("make", [L.Dense, lambda n: L.Dense(n, dtype="mixed_float16")])
def test_gradients_reach_the_weights(make: Any) -> None:
    layer = keras.Sequential([make(3), L.LayerNormalization(), L.PReLU()])
    x = normal(5, 4)
    layer(x)
    with jf.GradientTape() as tape:
        loss = jf.mean(jf.square(jf.astype(layer(x), "float32")))
    gradients = tape.gradient(loss, layer.trainable_variables)
    for g, v in zip(gradients, layer.trainable_variables, strict=True):
        assert g.shape == v.shape and g.dtype == v.dtype == "float32"
        assert np.isfinite(g.numpy()).all()


def test_masks_travel() -> None:
    tokens = np.array([[1, 2, 0], [3, 0, 0]])
    seen: list[Any] = []

    class Probe(L.Layer):
        def call(self, inputs: Any, mask: Any = None) -> Any:
            seen.append(mask)
            return inputs

    x = L.Embedding(5, 4, mask_zero=True)(tokens)
    x = L.Dense(2)(x)
    Probe()(L.Add()([x, x]))
    assert (seen[-1].numpy() == (tokens != 0)).all()
    Probe()(L.Masking()(np.array([[[0.0, 0.0], [1.0, 0.0]]])))
    assert seen[-1].numpy().tolist() == [[False, True]]
    Probe()(x + 1)
    assert seen[-1] is None


def test_softmax_with_a_mask() -> None:
    x, mask = normal(3, 4), np.array([1, 1, 0, 0], bool)
    y = L.Softmax()(x, mask=mask).numpy()
    np.testing.assert_allclose(y.sum(-1), 1, rtol=1e-6)
    assert (y[:, 2:] == 0).all()
    nothing = L.Softmax()(x, mask=np.zeros(4, bool)).numpy()
    assert (nothing == 0).all()


def test_lora_changes_the_kernel_only_through_thin_matrices() -> None:
    layer = L.Dense(3, lora_rank=2)
    x = normal(5, 4)
    before = layer(x).numpy()
    assert [w.name for w in layer.trainable_weights] == [
        *("bias", "lora_kernel_a", "lora_kernel_b"),
    ]
    layer.lora_kernel_b.assign(np.ones((2, 3)))
    delta = x @ layer.lora_kernel_a.numpy() @ np.ones((2, 3))
    np.testing.assert_allclose(layer(x).numpy() - before, delta, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------- the base class


class Scale(L.Layer):
    """A custom layer without get_config."""

    def __init__(self, factor: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="w")

    def call(self, x: Any) -> Any:
        return x * self.w * self.factor


def test_custom_layer() -> None:
    layer = Scale(3.0, name="triple")
    y = layer(np.array([[1.0, 2.0]]))
    assert y.numpy().tolist() == [[3.0, 6.0]]
    assert y.dtype == "float32"
    assert layer.w.path == "triple/w"
    config = layer.get_config()
    assert config["factor"] == 3.0 and config["name"] == "triple"
    again = Scale.from_config(config)
    assert again.factor == 3.0 and not again.built
    assert layer.get_build_config() == {"input_shape": (1, 2)}


def test_names_count_up_and_start_again() -> None:
    keras.backend.clear_session()
    assert [L.Dense(1).name for _ in range(3)] == ["dense", "dense_1", "dense_2"]
    assert L.LayerNormalization().name == "layer_normalization"
    keras.backend.clear_session()
    assert L.Dense(1).name == "dense"


def test_layers_are_found_in_attributes_lists_and_dicts() -> None:
    class Block(L.Layer):
        def __init__(self) -> None:
            super().__init__(name="block")
            self.before = L.Dense(2)
            self.many = [L.Dense(3)]
            self.named = {"a": {"b": L.Dense(4)}}
            self.own = keras.Variable([1.0, 2.0], name="own")
            self.plain = jf.Variable(3.0, trainable=False)

        def call(self, x: Any) -> Any:
            for layer in (self.before, *self.many, self.named["a"]["b"]):
                x = layer(x)
            return x

    block = Block()
    block.many.append(L.Dense(5))
    block(normal(2, 3))
    assert [w.shape for w in block.weights][:2] == [(2,), ()]
    assert len(block.weights) == 10
    assert block.before.kernel.path == f"block/{block.before.name}/kernel"
    assert block.count_params() == sum(w.size for w in block.weights)
    assert block.own in block.trainable_variables
    block.trainable = False
    assert not block.before.trainable and block.trainable_variables == []
    assert len(block.non_trainable_variables) == 10
    block.trainable = True
    assert len(block.trainable_variables) == 9
    del block.before
    assert len(block.weights) == 8


def test_frozen_before_build() -> None:
    layer = L.Dense(2, trainable=False)
    layer(normal(3, 4))
    assert layer.trainable_weights == [] and len(layer.non_trainable_weights) == 2
    assert not layer.kernel.trainable
    layer.trainable = True
    assert layer.kernel.trainable


def test_losses_belong_to_the_last_call() -> None:
    layer = keras.Sequential([L.Dense(3, kernel_regularizer="l2"), L.ELU()])
    layer.add(L.ActivityRegularization(l1=0.5))
    x = normal(4, 2)
    for _ in range(2):
        y = layer(x)
        activity, weight = layer.losses
        assert float(activity) == pytest.approx(0.5 * np.abs(y.numpy()).sum(), rel=1e-5)
        kernel = layer.layers[0].kernel.numpy()
        assert float(weight) == pytest.approx(0.01 * (kernel**2).sum(), rel=1e-5)
    jf.function(lambda x: layer(x))(x)
    assert len(layer.losses) == 1  # what a finished trace left behind is dropped


def test_training_reaches_inner_layers() -> None:
    class Wrapper(L.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner = L.Dropout(0.5, seed=1)

        def call(self, x: Any) -> Any:
            return self.inner(x)

    x = np.ones((50, 50), np.float32)
    wrapper = Wrapper()
    assert (wrapper(x, training=True).numpy() == 0).any()
    assert (wrapper(x).numpy() == 1).all()
    assert (wrapper(x, training=False).numpy() == 1).all()


def test_weights_are_exchanged_with_checks() -> None:
    layer = L.Dense(2)
    with pytest.raises(ArgumentError, match="not built"):
        layer.count_params()
    layer.build((None, 3))
    layer.set_weights([np.full((3, 2), 2.0), np.ones(2)])
    assert layer.get_weights()[0].tolist() == [[2, 2]] * 3
    with pytest.raises(ArgumentError, match="2 weights, 1"):
        layer.set_weights([np.ones((3, 2))])
    with pytest.raises(ShapeError, match=r"dense.*kernel.*3, 2"):
        layer.set_weights([np.ones((2, 3)), np.ones(2)])
    store: dict[str, Any] = {}
    layer.save_own_variables(store)
    other = L.Dense(2)
    other.build((None, 3))
    other.load_own_variables(store)
    assert (other.kernel.numpy() == 2).all()


def test_variables() -> None:
    made = keras.Variable(keras.initializers.Ones(), shape=(2,), name="v")
    assert (made.path, made.shape, made.dtype) == ("v", (2,), "float32")
    made.assign_add(np.array([1, 2]))
    assert made.numpy().tolist() == [2, 3]
    made.assign(np.array([1.5, 2.5], np.float64))
    assert made.dtype == "float32"
    assert keras.Variable(3, dtype="int32").dtype == "int32"
    with keras.name_scope("outer"):
        assert keras.Variable(0.0, name="x").path == "outer/x"
    with pytest.raises(ArgumentError, match="shape"):
        keras.Variable(keras.initializers.Ones())
    with pytest.raises(ArgumentError, match="/"):
        keras.Variable(0.0, name="a/b")


@pytest.mark.parametrize(
    ("action", "texts"),
    [
        (
            lambda: built_dense()(normal(2, 5)),
            ["Dense 'narrow'", "4 features", "given 5", "fix:"],
        ),
        (lambda: built_dense()(normal(4)), ["rank 2 or more", "batch axis"]),
        (lambda: L.Dense(0), ["units"]),
        (lambda: L.Dense(2, bais=1), ["bais"]),
        (lambda: L.Dense(2, use_bais=True), ["did you mean 'use_bias'"]),
        (lambda: L.Dense(2)(keras.Input((None,))), ["open dimension", "keras.Input"]),
        (lambda: L.Add()(normal(2, 3)), ["list of inputs", "[a, b]"]),
        (lambda: L.Add()([normal(2, 3), normal(3, 3)]), ["different sizes"]),
        (lambda: L.Concatenate()([normal(2, 3), normal(3, 3)]), ["axis -1"]),
        (lambda: L.Subtract()([normal(2, 3)]), ["2 inputs"]),
        (lambda: L.Dot(0), ["batch axis"]),
        (lambda: L.Dot(1)([normal(2, 3), normal(2, 4)]), ["different sizes"]),
        (lambda: L.Permute((1, 3)), ["permutation"]),
        (lambda: L.Reshape((4,))(normal(2, 3)), ["3 elements", "4"]),
        (lambda: L.BatchNormalization(axis=3)(normal(2, 3)), ["out of bounds"]),
        (lambda: L.GroupNormalization(3)(normal(2, 4)), ["3 groups"]),
        (lambda: L.RepeatVector(2)(normal(2, 3, 4)), ["rank 2", "Flatten"]),
        (lambda: L.Embedding(0, 2), ["input_dim"]),
        (lambda: L.Dense(2, name="a/b"), ["name"]),
        (lambda: keras.Input(), ["shape"]),
        (lambda: keras.Input(5), ["tuple"]),
        (lambda: bool(keras.Input((5,))), ["KerasTensor", "bool()"]),
    ],
)
def test_errors_name_the_layer_and_the_fix(action: Any, texts: list[str]) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        action()
    for text in texts:
        assert text in str(caught.value)


def built_dense() -> Any:
    layer = L.Dense(2, name="narrow")
    layer.build((None, 4))
    return layer


def test_empty_and_single() -> None:
    layer = L.Dense(3)
    assert layer(np.zeros((0, 4), np.float32)).shape == (0, 3)
    assert layer(np.zeros((1, 4), np.float32)).shape == (1, 3)
    nan = layer(np.full((1, 4), np.nan, np.float32)).numpy()
    assert np.isnan(nan).all()
    assert L.LayerNormalization()(np.zeros((2, 1), np.float32)).numpy().tolist() == [
        [0],
        [0],
    ]
