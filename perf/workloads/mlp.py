"""The classifier of the training steps: 784-512-512-10, batch 128, Adam.

Inputs, initial weights and the expected losses, which NumPy computes in float64.
"""

from __future__ import annotations

import numpy as np

from perf.workload import Inputs

SIZES = (784, 512, 512, 10)
LAYERS = len(SIZES) - 1
BATCH = 128
LEARNING_RATE, BETA_1, BETA_2, EPSILON = 1e-3, 0.9, 0.999, 1e-7
CHECK_STEPS = 5
# The frameworks place Adam's epsilon differently; that moves the fifth loss by less.
RTOL = 1e-3


def inputs() -> Inputs:
    """Images ``x``, labels ``y``, and for layer i weights ``wi`` and biases ``bi``."""
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {
        "x": rng.random((BATCH, SIZES[0]), np.float32),
        "y": rng.integers(0, SIZES[-1], BATCH).astype(np.int32),
    }
    for i in range(LAYERS):
        fan_in, fan_out = SIZES[i : i + 2]
        limit = np.sqrt(6 / (fan_in + fan_out))
        weights = rng.uniform(-limit, limit, (fan_in, fan_out))
        arrays[f"w{i}"] = weights.astype(np.float32)
        arrays[f"b{i}"] = np.zeros(fan_out, np.float32)
    return arrays


def parameters(arrays: Inputs) -> list[np.ndarray]:
    """Weights and biases in turn, layer by layer."""
    return [arrays[f"{kind}{i}"] for i in range(LAYERS) for kind in "wb"]


def losses(arrays: Inputs) -> list[np.ndarray]:
    """The loss of each of the first `CHECK_STEPS` steps, before its update."""
    x, y = arrays["x"].astype(np.float64), arrays["y"]
    values = [p.astype(np.float64) for p in parameters(arrays)]
    first = [np.zeros_like(p) for p in values]
    second = [np.zeros_like(p) for p in values]
    found = []
    for step in range(1, CHECK_STEPS + 1):
        loss, gradients = _gradients(values, x, y)
        found.append(np.asarray(loss))
        rate = LEARNING_RATE * np.sqrt(1 - BETA_2**step) / (1 - BETA_1**step)
        for p, m, v, g in zip(values, first, second, gradients, strict=True):
            m += (1 - BETA_1) * (g - m)
            v += (1 - BETA_2) * (g * g - v)
            p -= rate * m / (np.sqrt(v) + EPSILON)
    return found


def _gradients(
    values: list[np.ndarray], x: np.ndarray, y: np.ndarray
) -> tuple[float, list[np.ndarray]]:
    activations = [x]
    for i in range(LAYERS):
        h = activations[-1] @ values[2 * i] + values[2 * i + 1]
        activations.append(np.maximum(h, 0) if i < LAYERS - 1 else h)
    powers = np.exp(activations[-1] - activations[-1].max(1, keepdims=True))
    chances = powers / powers.sum(1, keepdims=True)
    rows = np.arange(len(y))
    loss = -np.mean(np.log(chances[rows, y]))
    chances[rows, y] -= 1
    grad = chances / len(y)
    gradients: list[np.ndarray] = []
    for i in reversed(range(LAYERS)):
        gradients = [activations[i].T @ grad, grad.sum(0), *gradients]
        grad = (grad @ values[2 * i].T) * (activations[i] > 0)
    return float(loss), gradients
