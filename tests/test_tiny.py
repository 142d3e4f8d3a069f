"""The whole path in a few seconds: a small network learns, compiled and eagerly."""

from __future__ import annotations

import numpy as np

import jitflow as jf


def data(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points of two rings and their labels."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, 256)
    label = rng.integers(0, 2, 256)
    radius = 0.5 + label + 0.1 * rng.normal(size=256)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    return points.astype(np.float32), label.astype(np.float32)


class Net:
    """Two dense layers with momentum SGD."""

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self.weights = [
            jf.Variable(rng.normal(size=shape).astype(np.float32) / shape[0] ** 0.5)
            for shape in ((2, 32), (1, 32), (32, 1), (1, 1))
        ]
        self.slots = [jf.Variable(np.zeros(w.shape, np.float32)) for w in self.weights]

    def logits(self, x):
        w1, b1, w2, b2 = self.weights
        return (jf.tanh(x @ w1 + b1) @ w2 + b2)[:, 0]

    def step(self, x, y, rate=0.3):
        with jf.GradientTape() as tape:
            z = self.logits(x)
            loss = jf.mean(jf.maximum(z, 0.0) - z * y + jf.log1p(jf.exp(-jf.abs(z))))
        gradients = tape.gradient(loss, self.weights)
        for w, slot, g in zip(self.weights, self.slots, gradients, strict=True):
            slot.assign(slot * 0.9 + g)
            w.assign_sub(slot * rate)
        return loss


def test_a_network_learns_compiled_as_eagerly() -> None:
    x, y = data()
    eager, compiled = Net(), Net()
    step = jf.function(compiled.step)
    tx, ty = jf.asarray(x), jf.asarray(y)
    losses = [float(step(tx, ty)) for _ in range(5)]
    np.testing.assert_allclose(
        losses, [float(eager.step(tx, ty)) for _ in range(5)], rtol=1e-4
    )
    for a, b in zip(compiled.weights, eager.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-3, atol=1e-5)
    for _ in range(100):
        last = float(step(tx, ty))
    assert last < 0.1 * losses[0]
    assert len(step.traces) == 1


def test_a_partial_batch_and_a_new_rate_cost_one_trace_each() -> None:
    x, y = data()
    net = Net()
    step = jf.function(net.step)
    for size in (64, 64, 32, 16, 7):
        step(x[:size], y[:size])
    for rate in (0.1, 0.05, 0.01):
        step(x[:64], y[:64], rate)
    assert len(step.traces) == 3
    predict = jf.function(net.logits)
    for size in (1, 5, 9):
        np.testing.assert_allclose(
            predict(x[:size]).numpy(), net.logits(x[:size]).numpy(), atol=1e-5
        )
