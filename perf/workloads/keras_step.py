"""The training step of the classifier through ``train_on_batch``, from NumPy arrays."""

from __future__ import annotations

from typing import Any

from perf.workload import Inputs, Step, Variant, Workload
from perf.workloads import mlp


def _step(keras: Any, inputs: Inputs) -> Step:
    hidden = [keras.layers.Dense(size, activation="relu") for size in mlp.SIZES[1:-1]]
    layers = [keras.Input((mlp.SIZES[0],)), *hidden, keras.layers.Dense(mlp.SIZES[-1])]
    model = keras.Sequential(layers)
    model.set_weights(mlp.parameters(inputs))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(mlp.LEARNING_RATE), loss)
    x, y = inputs["x"], inputs["y"]

    def step() -> Any:
        return model.train_on_batch(x, y)

    return step


def _jitflow(inputs: Inputs) -> Step:
    from jitflow import keras

    return _step(keras, inputs)


def _keras(inputs: Inputs) -> Step:
    import keras

    return _step(keras, inputs)


MLP_TRAIN_ON_BATCH = Workload(
    name="mlp_train_on_batch",
    title="MLP step through Keras train_on_batch",
    inputs=mlp.inputs,
    reference=mlp.losses,
    rtol=mlp.RTOL,
    check_steps=mlp.CHECK_STEPS,
    first_call=True,
    variants=(
        Variant("jitflow", "jitflow", _jitflow),
        Variant("keras-jax", "keras-jax", _keras),
        Variant("keras-tensorflow", "keras-tensorflow", _keras),
        Variant("keras-torch", "keras-torch", _keras, compiles=False),
    ),
)
