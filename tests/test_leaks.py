"""Many models in one process: memory stays flat, and no thread stays behind."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import numpy as np

from jitflow import keras


def resident_bytes() -> int:
    """Resident memory of this process (Linux)."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4096


def train(seed: int) -> float:
    """Train a small model that nothing refers to afterwards; its width varies."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(40, 8)).astype(np.float32)
    y = rng.integers(0, 3, 40)
    model = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(16 + seed % 5, activation="relu"),
            keras.layers.Dense(3),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss)
    history = model.fit(x, y, batch_size=16, epochs=1, verbose=0)
    return float(history.history["loss"][-1])


def test_training_200_models_leaves_nothing_behind():
    for seed in range(30):
        assert np.isfinite(train(seed))
    gc.collect()
    threads, before = threading.active_count(), resident_bytes()
    for seed in range(30, 200):
        train(seed)
    gc.collect()
    grown = resident_bytes() - before
    assert threading.active_count() <= threads
    # Kept models, their traces included, take 0.4 MiB each: 67 MiB in all.
    assert grown < 25 << 20, f"{grown / 2**20:.0f} MiB more after 170 models"
