"""The training step of the classifier, written by hand in each framework."""

from __future__ import annotations

from typing import Any

from perf.workload import Inputs, Step, Variant, Workload
from perf.workloads import mlp
from perf.workloads.mlp import BETA_1, BETA_2, EPSILON, LAYERS, LEARNING_RATE


def _jitflow(inputs: Inputs) -> Step:
    import jitflow as jf

    values = [jf.Variable(p) for p in mlp.parameters(inputs)]
    first = [jf.Variable(jf.zeros_like(p)) for p in values]
    second = [jf.Variable(jf.zeros_like(p)) for p in values]
    count = jf.Variable(0.0, dtype="float32")
    x, y = jf.asarray(inputs["x"]), jf.asarray(inputs["y"])

    @jf.function
    def train_step(x: Any, y: Any) -> Any:
        with jf.GradientTape() as tape:
            h = x
            for i in range(LAYERS):
                h = h @ values[2 * i] + values[2 * i + 1]
                h = jf.nn.relu(h) if i < LAYERS - 1 else h
            classes = jf.nn.one_hot(y, h.shape[-1])
            loss = -jf.mean(jf.sum(jf.nn.log_softmax(h) * classes, axis=-1))
        gradients = tape.gradient(loss, values)
        count.assign_add(1.0)
        rate = LEARNING_RATE * jf.sqrt(1 - BETA_2**count) / (1 - BETA_1**count)
        for p, m, v, g in zip(values, first, second, gradients, strict=True):
            m.assign(BETA_1 * m + (1 - BETA_1) * g)
            v.assign(BETA_2 * v + (1 - BETA_2) * g * g)
            p.assign_sub(rate * m / (jf.sqrt(v) + EPSILON))
        return loss

    return lambda: train_step(x, y)


def _jax(inputs: Inputs) -> Step:
    import jax
    import jax.numpy as jnp

    def loss_of(values: Any, x: Any, y: Any) -> Any:
        h = x
        for i in range(LAYERS):
            h = h @ values[2 * i] + values[2 * i + 1]
            h = jax.nn.relu(h) if i < LAYERS - 1 else h
        chosen = jnp.take_along_axis(jax.nn.log_softmax(h), y[:, None], axis=1)
        return -jnp.mean(chosen)

    def update(p: Any, m: Any, v: Any, g: Any, rate: Any) -> Any:
        m = BETA_1 * m + (1 - BETA_1) * g
        v = BETA_2 * v + (1 - BETA_2) * g * g
        return p - rate * m / (jnp.sqrt(v) + EPSILON), m, v

    def train_step(state: Any, x: Any, y: Any) -> Any:
        count, values, first, second = state
        loss, gradients = jax.value_and_grad(loss_of)(values, x, y)
        count = count + 1
        rate = LEARNING_RATE * jnp.sqrt(1 - BETA_2**count) / (1 - BETA_1**count)
        new = [
            update(p, m, v, g, rate)
            for p, m, v, g in zip(values, first, second, gradients, strict=True)
        ]
        return loss, (count, *(list(part) for part in zip(*new, strict=True)))

    compiled = jax.jit(train_step, donate_argnums=0)
    values = [jnp.asarray(p) for p in mlp.parameters(inputs)]
    x, y = jnp.asarray(inputs["x"]), jnp.asarray(inputs["y"])
    zeros = [[jnp.zeros_like(p) for p in values] for _ in range(2)]
    state: Any = (jnp.zeros((), jnp.float32), values, *zeros)

    def step() -> Any:
        nonlocal state
        loss, state = compiled(state, x, y)
        return loss

    return step


def _torch_parts(inputs: Inputs) -> tuple[Any, Any, Any, Any]:
    import torch

    layers: list[Any] = []
    for i in range(LAYERS):
        linear = torch.nn.Linear(mlp.SIZES[i], mlp.SIZES[i + 1])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(inputs[f"w{i}"].T))
            linear.bias.copy_(torch.from_numpy(inputs[f"b{i}"]))
        layers += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    x = torch.from_numpy(inputs["x"])
    y = torch.from_numpy(inputs["y"]).long()
    return torch, model, x, y


def _torch(inputs: Inputs) -> Step:
    torch, model, x, y = _torch_parts(inputs)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE, eps=EPSILON)

    def step() -> Any:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _torch_compile(inputs: Inputs) -> Step:
    torch, model, x, y = _torch_parts(inputs)
    # A tensor as the learning rate: a float would compile anew for every value.
    rate = torch.tensor(LEARNING_RATE)
    optimizer = torch.optim.Adam(
        model.parameters(), rate, eps=EPSILON, capturable=False
    )

    def loss_of(x: Any, y: Any) -> Any:
        return torch.nn.functional.cross_entropy(model(x), y)

    compiled_loss = torch.compile(loss_of)
    compiled_update = torch.compile(optimizer.step)

    def step() -> Any:
        optimizer.zero_grad()
        loss = compiled_loss(x, y)
        loss.backward()
        compiled_update()
        return loss

    return step


def _tensorflow(inputs: Inputs, *, jit_compile: bool) -> Step:
    import tensorflow as tf

    values = [tf.Variable(p) for p in mlp.parameters(inputs)]
    first = [tf.Variable(tf.zeros_like(p)) for p in values]
    second = [tf.Variable(tf.zeros_like(p)) for p in values]
    count = tf.Variable(0.0)
    x, y = tf.constant(inputs["x"]), tf.constant(inputs["y"])

    @tf.function(jit_compile=jit_compile)
    def train_step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            h = x
            for i in range(LAYERS):
                h = h @ values[2 * i] + values[2 * i + 1]
                h = tf.nn.relu(h) if i < LAYERS - 1 else h
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, h)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, values)
        step = count.assign_add(1.0)
        rate = LEARNING_RATE * tf.sqrt(1 - BETA_2**step) / (1 - BETA_1**step)
        for p, m, v, g in zip(values, first, second, gradients, strict=True):
            m.assign(BETA_1 * m + (1 - BETA_1) * g)
            v.assign(BETA_2 * v + (1 - BETA_2) * g * g)
            p.assign_sub(rate * m / (tf.sqrt(v) + EPSILON))
        return loss

    return lambda: train_step(x, y)


MLP_STEP = Workload(
    name="mlp_step",
    title="MLP 784-512-512-10 step, batch 128, Adam, by hand",
    inputs=mlp.inputs,
    reference=mlp.losses,
    rtol=mlp.RTOL,
    check_steps=mlp.CHECK_STEPS,
    first_call=True,
    variants=(
        Variant("jitflow", "jitflow", _jitflow),
        Variant("jax", "jax", _jax),
        Variant("torch", "torch", _torch, compiles=False),
        Variant("torch.compile", "torch", _torch_compile),
        Variant(
            "tf.function", "tensorflow", lambda x: _tensorflow(x, jit_compile=False)
        ),
        Variant("tf XLA", "tensorflow", lambda x: _tensorflow(x, jit_compile=True)),
    ),
)
