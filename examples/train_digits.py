"""Train a classifier of handwritten digits, then look inside the compiled step.

::

    python examples/train_digits.py
    python examples/train_digits.py --epochs 5 --batch-size 128 --dump-to dumps

The data are scikit-learn's 1,797 images of 8×8 pixels; a fifth is held out. After the
training the script prints the step's IR as traced and after fusion, one generated
kernel, the peak of the buffer plan, and what a step costs: eager, compiled the first
time, compiled from then on, and the first time in a second process, which finds the
kernels on disk.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from sklearn.datasets import load_digits

import jitflow as jf
from jitflow import keras
from jitflow.function import Function

TEST_SHARE = 0.2
GOAL = 0.97
# One name for every stage: what `ir` calls it, and the file of its dump.
DUMPS = {
    "traced": "traced.ir",
    "fused": "fused.txt",
    "kernels": "kernels.py",
    "buffers": "buffers.txt",
    "steps": "steps.txt",
}


def main() -> int:
    """Run the example; the exit status is 1 if the accuracy is below 97 %."""
    args = parse_arguments()
    if args.first_step:
        print(first_step_seconds(args.batch_size))
        return 0
    keras.utils.set_random_seed(args.seed)
    x_train, y_train, x_test, y_test = digits(args.seed)
    model = classifier()
    model.fit(x_train, y_train, batch_size=args.batch_size, epochs=args.epochs)
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(f"test split, {len(x_test)} images: loss {loss:.4f}, accuracy {accuracy:.2%}")
    show_step(model.train_function, args.dump_to)
    show_costs(x_train, y_train, args.batch_size)
    return 0 if accuracy >= GOAL else 1


def parse_arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--epochs", type=int, default=30, help="passes over the training images")
    add("--batch-size", type=int, default=32, help="images per step")
    add("--seed", type=int, default=0, help="of the split, the weights and dropout")
    add("--dump-to", type=Path, metavar="FOLDER", help="write every stage's text here")
    add("--first-step", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def digits(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training and test split: pixels in [0, 1], shape (images, 64), and classes."""
    data = load_digits()
    order = np.random.default_rng(seed).permutation(len(data.target))
    x = (data.data[order] / 16).astype(np.float32)
    y = data.target[order].astype(np.int32)
    held_out = round(TEST_SHARE * len(y))
    return x[held_out:], y[held_out:], x[:held_out], y[:held_out]


def classifier() -> keras.Sequential:
    """A multilayer perceptron with dropout, compiled for training."""
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(10),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def show_step(step: Function, folder: Path | None) -> None:
    """Print the stages of the compiled training step; write them to the folder."""
    title("the training step as traced")
    print(step.ir("traced"))
    title("after fusion")
    print(step.ir("fused"))
    kernels = re.split(r"\n+(?=# Kernel )", step.ir("kernels").strip())
    title(f"one of {len(kernels)} generated kernels")
    print(sorted(kernels, key=len)[len(kernels) // 2])
    title("the buffer plan")
    print(step.ir("buffers").splitlines()[-1])
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for stage, name in DUMPS.items():
            (folder / name).write_text(step.ir(stage) + "\n", encoding="utf-8")
        print(f"every stage is in {folder}")


def title(text: str) -> None:
    """Print a heading."""
    print(f"\n== {text} ==")


def show_costs(x: np.ndarray, y: np.ndarray, batch_size: int) -> None:
    """Print what a training step costs, eager and compiled."""
    x, y = x[:batch_size], y[:batch_size]
    jf.config.run_functions_eagerly(True)
    eager = step_seconds(classifier(), x, y)
    jf.config.run_functions_eagerly(False)
    steady = step_seconds(classifier(), x, y)
    with tempfile.TemporaryDirectory() as cache:
        cold, warm = (first_step_elsewhere(cache, batch_size) for _ in range(2))
    title(f"one training step, batch {batch_size}")
    rows = {
        "eager": eager,
        "compiled, first call": cold,
        "compiled, steady state": steady,
        "first call in a second process (disk cache)": warm,
    }
    for name, seconds in rows.items():
        print(f"{name:44} {seconds * 1e3:10.3f} ms")
    print(f"compiled is {eager / steady:.1f} times faster than eager")


def step_seconds(
    model: keras.Sequential, x: np.ndarray, y: np.ndarray, seconds: float = 0.5
) -> float:
    """Median seconds of a training step after the first ones."""
    for _ in range(5):
        model.train_on_batch(x, y)
    end, times = perf_counter() + seconds, []
    while perf_counter() < end:
        times.append(timed(lambda: model.train_on_batch(x, y)))
    return median(times)


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = perf_counter()
    call()
    return perf_counter() - start


def first_step_seconds(batch_size: int) -> float:
    """Seconds of the first training step of this process."""
    x, y, _, _ = digits(0)
    model = classifier()
    return timed(lambda: model.train_on_batch(x[:batch_size], y[:batch_size]))


def first_step_elsewhere(cache: str, batch_size: int) -> float:
    """Seconds of the first step of a new process that keeps its kernels in `cache`."""
    options = ["--first-step", "--batch-size", str(batch_size)]
    done = subprocess.run(
        [sys.executable, __file__, *options],
        env={**os.environ, "JITFLOW_CACHE_DIR": cache},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return float(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
