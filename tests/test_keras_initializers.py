"""Initializers, regularizers, constraints, activations, policies: values and names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import jitflow as jf
from jitflow import keras
from jitflow.errors import ArgumentError, ArgumentTypeError
from jitflow.keras import activations, constraints, initializers, regularizers

SHAPE = (200, 300)


def drawn(name: str, shape: tuple[int, ...] = SHAPE, **arguments: Any) -> np.ndarray:
    config = {"class_name": name, "config": {"seed": 7, **arguments}}
    return initializers.get(config)(shape, dtype="float32").numpy()


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("GlorotUniform", 2 / 500),
        ("GlorotNormal", 2 / 500),
        ("HeNormal", 2 / 200),
        ("HeUniform", 2 / 200),
        ("LecunNormal", 1 / 200),
        ("LecunUniform", 1 / 200),
    ],
)
def test_scaled_initializers_have_the_variance(name: str, variance: float) -> None:
    values = drawn(name)
    assert values.dtype == np.float32
    assert abs(values.mean()) < 4 * math.sqrt(variance / values.size)
    assert values.var() == pytest.approx(variance, rel=0.03)
    limit = math.sqrt(3 * variance)
    cut = limit if name.endswith("Uniform") else 2 * math.sqrt(variance) / 0.8796
    assert np.abs(values).max() <= cut * (1 + 1e-6)


@pytest.mark.parametrize(
    ("arguments", "fan"),
    [
        ({"mode": "fan_in"}, 9 * 4),
        ({"mode": "fan_out"}, 9 * 50),
        ({"mode": "fan_avg"}, 9 * 27),
        ({"mode": "fan_in", "input_axes": [3], "output_axes": [0]}, 50),
    ],
)
def test_variance_scaling_of_a_convolution_kernel(arguments: Any, fan: float) -> None:
    for distribution in ("uniform", "untruncated_normal", "truncated_normal"):
        options = {"scale": 3.0, "distribution": distribution, **arguments}
        values = drawn("VarianceScaling", (3, 3, 4, 50), **options)
        assert values.var() == pytest.approx(3.0 / fan, rel=0.12)


def test_a_seed_fixes_the_numbers() -> None:
    one = initializers.GlorotUniform(seed=3)
    assert (one(SHAPE).numpy() == one(SHAPE).numpy()).all()
    assert (one(SHAPE).numpy() == initializers.GlorotUniform(3)(SHAPE).numpy()).all()
    assert (one(SHAPE).numpy() != initializers.GlorotUniform(4)(SHAPE).numpy()).any()
    generator = keras.random.SeedGenerator(3)
    moving = initializers.RandomNormal(seed=generator)
    assert (moving((9,)).numpy() != moving((9,)).numpy()).any()


def test_set_random_seed_repeats_everything() -> None:
    def sample() -> list[np.ndarray]:
        keras.utils.set_random_seed(11)
        layer = keras.layers.Dense(3)
        noise = keras.layers.Dropout(0.5)(np.ones((4, 8)), training=True)
        layer.build((None, 4))
        return [layer.kernel.numpy(), noise.numpy(), keras.random.normal((3,)).numpy()]

    for first, second in zip(sample(), sample(), strict=True):
        assert (first == second).all()


def test_orthogonal_and_identity() -> None:
    for shape in ((5, 5), (8, 3), (3, 8), (2, 4, 3)):
        q = drawn("Orthogonal", shape, gain=2.0).reshape(-1, shape[-1])
        small = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
        np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-5)
    identity = initializers.Identity(gain=3.0)((2, 3))
    assert (identity.numpy() == 3 * np.eye(2, 3)).all()
    with pytest.raises(ArgumentError, match="two dimensions"):
        initializers.Orthogonal()((4,))


def test_constants() -> None:
    assert (initializers.get("zeros")((2, 0)).numpy() == np.zeros((2, 0))).all()
    assert (initializers.get("one")((3,), "int32").numpy() == 1).all()
    table = np.arange(6.0).reshape(2, 3)
    given = initializers.get(table)((2, 3), dtype="float64").numpy()
    assert (given == table).all() and given.dtype == np.float64


@pytest.mark.parametrize("name", sorted(initializers._TABLE))
def test_every_name_round_trips(name: str) -> None:
    first = initializers.get(name)
    again = initializers.deserialize(initializers.serialize(first))
    assert type(again) is type(first)
    assert again.get_config() == first.get_config()
    assert first.clone().get_config() == first.get_config()


@pytest.mark.parametrize(
    ("module", "wrong", "near"),
    [
        (initializers, "glorot_unifrm", "glorot_uniform"),
        (activations, "rleu", "relu"),
        (regularizers, "l3", "l1"),
        (constraints, "maxnorm", "max_norm"),
    ],
)
def test_unknown_names_suggest_the_nearest(module: Any, wrong: str, near: str) -> None:
    with pytest.raises(ArgumentError, match=wrong) as caught:
        module.get(wrong)
    assert repr(near) in str(caught.value)
    with pytest.raises(ArgumentTypeError):
        module.get(3.5)


def test_seeds_and_arguments_are_checked() -> None:
    with pytest.raises(ArgumentTypeError, match="seed"):
        initializers.RandomNormal(seed="a")
    with pytest.raises(ArgumentError, match="mode"):
        initializers.VarianceScaling(mode="fan")
    with pytest.raises(ArgumentError, match="scale"):
        initializers.VarianceScaling(scale=0.0)


W = np.array([[3.0, -4.0], [0.0, 2.0], [-1.0, 0.5]], np.float32)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("l1", 0.01 * np.abs(W).sum()),
        ("l2", 0.01 * (W**2).sum()),
        (regularizers.L1L2(0.5, 0.25), 0.5 * np.abs(W).sum() + 0.25 * (W**2).sum()),
        ("l1_l2", 0.0),
    ],
)
def test_regularizers(name: Any, expected: float) -> None:
    regularizer = regularizers.get(name)
    assert float(regularizer(jf.asarray(W))) == pytest.approx(expected, rel=1e-6)
    again = regularizers.deserialize(regularizers.serialize(regularizer))
    assert again.get_config() == regularizer.get_config()


def test_orthogonal_regularizer() -> None:
    rows = W / np.linalg.norm(W, axis=1, keepdims=True)
    cosines = np.abs(rows @ rows.T) * (1 - np.eye(3))
    expected = 0.01 * 0.5 * cosines.sum() / 3
    value = regularizers.OrthogonalRegularizer()(jf.asarray(W))
    assert float(value) == pytest.approx(expected, rel=1e-5)
    columns = regularizers.OrthogonalRegularizer(0.01, "columns")
    assert float(columns(jf.asarray(np.eye(3, dtype="f4")))) == 0
    with pytest.raises(ArgumentError):
        columns(jf.zeros((2, 2, 2)))
    with pytest.raises(ArgumentError, match="l2"):
        regularizers.L2(-1.0)


def test_constraints() -> None:
    norms = np.linalg.norm(W, axis=0)
    cut = constraints.MaxNorm(2.0)(jf.asarray(W)).numpy()
    np.testing.assert_allclose(np.linalg.norm(cut, axis=0), [2, 2], rtol=1e-5)
    unit = constraints.get("unit_norm")(jf.asarray(W)).numpy()
    np.testing.assert_allclose(unit, W / norms, rtol=1e-5)
    assert constraints.NonNeg()(jf.asarray(W)).numpy().min() == 0
    half = constraints.MinMaxNorm(1.0, 2.0, rate=0.5)(jf.asarray(W)).numpy()
    expected = 0.5 * 2 + 0.5 * norms
    np.testing.assert_allclose(np.linalg.norm(half, axis=0), expected, rtol=1e-5)
    again = constraints.deserialize(constraints.serialize(constraints.MaxNorm(3, 1)))
    assert again.get_config() == {"max_value": 3, "axis": 1}


NASTY = np.array(
    [-np.inf, -1e30, -100, -3, -1, -0.5, -0.0, 0.0, 1e-40, 0.5, 1, 3, 100, np.inf],
    np.float32,
)


def expected_activations(x: np.ndarray) -> dict[str, np.ndarray]:
    """Formulas in float64."""
    x = x.astype(np.float64)
    sigmoid = np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))
    return {
        "relu": np.maximum(x, 0),
        "relu6": np.clip(x, 0, 6),
        "leaky_relu": np.where(x > 0, x, 0.2 * x),
        "elu": np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
        "softplus": np.logaddexp(x, 0),
        "sigmoid": sigmoid,
        "tanh": np.tanh(x),
        "hard_sigmoid": np.clip(x / 6 + 0.5, 0, 1),
        "hard_tanh": np.clip(x, -1, 1),
        "hard_shrink": np.where(np.abs(x) > 0.5, x, 0),
        "soft_shrink": np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
        "linear": x,
        "sparse_sigmoid": np.clip(0.5 * (x + 1), 0, 1),
        "exponential": np.exp(x),
        "log_sigmoid": -np.logaddexp(-x, 0),
    }


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", sorted(expected_activations(np.zeros(1))))
def test_activations_on_nasty_values(name: str) -> None:
    wanted = expected_activations(NASTY)[name].astype(np.float32)
    got = activations.get(name)(jf.asarray(NASTY)).numpy()
    assert got.dtype == np.float32

    np.testing.assert_allclose(got, wanted, rtol=2e-6, atol=1e-30)
    nan = activations.get(name)(jf.asarray(np.array([np.nan], np.float32))).numpy()
    assert np.isnan(nan).all() or name == "hard_shrink"


def test_relu_in_general() -> None:
    x = jf.asarray(np.array([-2.0, -0.5, 0.5, 1.0, 9.0], np.float32))
    got = activations.relu(x, negative_slope=0.1, max_value=4.0, threshold=0.5)
    np.testing.assert_allclose(got.numpy(), [-0.25, -0.1, 0.0, 1.0, 4.0], rtol=1e-6)


def test_sparsemax_is_the_projection() -> None:
    z = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32) * 2
    p = activations.sparsemax(jf.asarray(z)).numpy()
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-5)
    for row, point in zip(z, p, strict=True):
        # The projection: a common shift, cut off at 0.
        shift = (row - point)[point > 0]
        np.testing.assert_allclose(shift, shift[0], atol=1e-5)
        assert (row[point == 0] <= shift[0] + 1e-5).all()


def test_activation_names_round_trip() -> None:
    for name in activations._TABLE:
        function = activations.get(name)
        assert activations.get(activations.serialize(function)) is function
    assert activations.get(None) is activations.linear
    assert activations.serialize(activations.relu) == "relu"


def test_dtype_policies() -> None:
    mixed = keras.dtype_policies.get("mixed_bfloat16")
    assert (mixed.compute_dtype, mixed.variable_dtype) == ("bfloat16", "float32")
    again = keras.dtype_policies.deserialize(keras.dtype_policies.serialize(mixed))
    assert again == mixed and again != keras.DTypePolicy("bfloat16")
    try:
        keras.config.set_dtype_policy("mixed_float16")
        layer = keras.layers.Dense(2)
        assert (layer.compute_dtype, layer.variable_dtype) == ("float16", "float32")
    finally:
        keras.config.set_dtype_policy("float32")
    with pytest.raises(ArgumentError, match="mixed_float16"):
        keras.DTypePolicy("mixed")


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (("int32", "float32"), "float32"),
        (("int64", "float16"), "float16"),
        (("bfloat16", "float16"), "float32"),
        (("int32", "uint32"), "int64"),
        (("bool", int), "int32"),
        (("int8", float), "float32"),
        (("uint64", "int8"), "float32"),
        ((int, float), "float32"),
        (("float16", float), "float16"),
        (("float64", "float32"), "float64"),
        ((), "float32"),
    ],
)
def test_result_type(dtypes: tuple[Any, ...], expected: str) -> None:
    assert keras.backend.result_type(*dtypes) == expected


def test_backend_settings() -> None:
    backend = keras.backend
    assert (backend.floatx(), backend.epsilon()) == ("float32", 1e-7)
    assert backend.image_data_format() == "channels_last"
    assert backend.standardize_dtype(np.float16) == "float16"
    assert backend.standardize_dtype(int) == "int32"
    assert backend.standardize_dtype(jf.bfloat16) == "bfloat16"
    with pytest.raises(ArgumentError):
        backend.standardize_dtype("float31")
    with pytest.raises(ArgumentError):
        backend.set_floatx("int32")
    with pytest.raises(ArgumentError):
        backend.set_image_data_format("last")


def test_to_categorical() -> None:
    got = keras.utils.to_categorical([[0], [2]], 3)
    assert (got == np.eye(3)[[0, 2]]).all()
    assert keras.utils.to_categorical(np.array([1, 0])).shape == (2, 2)
    assert keras.utils.to_categorical([], 4).shape == (0, 4)
    with pytest.raises(ArgumentError, match="3 at place 1"):
        keras.utils.to_categorical([0, 3], 3)
