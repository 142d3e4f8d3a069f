"""Many models in one process: memory stays flat, and no thread stays behind."""

from __future__ import annotations

import gc
import subprocess
import sys
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


def measure() -> None:
    """Print threads before and after, and the growth in bytes, of 170 models."""
    for seed in range(30):
        assert np.isfinite(train(seed))
    gc.collect()
    threads, before = threading.active_count(), resident_bytes()
    for seed in range(30, 200):
        train(seed)
    gc.collect()
    print(threads, threading.active_count(), resident_bytes() - before)


def test_training_200_models_leaves_nothing_behind():
    # In a process of its own: what other tests left in the heap must not count.
    root = Path(__file__).parent.parent
    command = [sys.executable, "-c", "from tests import test_leaks as t; t.measure()"]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=True, timeout=300
    )
    before, after, grown = map(int, done.stdout.split())
    assert after <= before
    # Kept models, their traces included, take 0.4 MiB each: 67 MiB in all.
    assert grown < 10 << 20, f"{grown / 2**20:.0f} MiB more after 170 models"
