"""Real Keras in a process of its own: what it computes for given configurations.

Run as a script it reads a JSON request from a file and writes arrays and text back; the
tests skip if Keras or JAX is not installed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

INSTALLED = all(importlib.util.find_spec(m) for m in ("keras", "jax"))


def ask(request: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Have Keras do each job of a request.

    Args:
        request: jobs with ``config`` (of a layer or model), ``inputs`` (arrays),
            ``weights`` (arrays) and ``training``.
        folder: for the files that are exchanged.

    Returns:
        For each job the keys ``config`` (what Keras writes), ``outputs`` (arrays) and
        ``weights`` (arrays after the call).
    """
    arrays: dict[str, np.ndarray] = {}
    for i, job in enumerate(request):
        for key in ("inputs", "weights"):
            for k, array in enumerate(job.get(key, ())):
                arrays[f"{i}.{key}.{k}"] = array
    plain = [
        {k: v for k, v in job.items() if k not in ("inputs", "weights")}
        for job in request
    ]
    (folder / "jobs.json").write_text(json.dumps(plain))
    np.savez(folder / "in.npz", **arrays)
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, __file__, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    configs = json.loads((folder / "configs.json").read_text())
    with np.load(folder / "out.npz") as found:
        return [
            {
                "config": config,
                "outputs": _numbered(found, f"{i}.outputs."),
                "weights": _numbered(found, f"{i}.weights."),
            }
            for i, config in enumerate(configs)
        ]


def _numbered(arrays: Any, prefix: str) -> list[np.ndarray]:
    names = [n for n in arrays.files if n.startswith(prefix)]
    return [arrays[n] for n in sorted(names, key=lambda n: int(n.split(".")[-1]))]


def _serve(folder: Path) -> None:
    """Do the jobs; runs in the other process, where Keras may be imported."""
    import keras
    import keras.tree

    jobs = json.loads((folder / "jobs.json").read_text())
    arrays = dict(np.load(folder / "in.npz"))
    out: dict[str, np.ndarray] = {}
    configs = []
    for i, job in enumerate(jobs):
        item = keras.saving.deserialize_keras_object(job["config"])
        configs.append(keras.saving.serialize_keras_object(item))
        inputs = _take(arrays, f"{i}.inputs.")
        if inputs:
            value = inputs if len(inputs) > 1 else inputs[0]
            item(value)
            item.set_weights(_take(arrays, f"{i}.weights."))
            result = item(value, training=job.get("training"))
            for k, y in enumerate(keras.tree.flatten(result)):
                out[f"{i}.outputs.{k}"] = np.asarray(keras.ops.cast(y, "float32"))
            for k, w in enumerate(item.get_weights()):
                out[f"{i}.weights.{k}"] = np.asarray(w)
    (folder / "configs.json").write_text(json.dumps(configs))
    np.savez(folder / "out.npz", **out)


def _take(arrays: dict[str, np.ndarray], prefix: str) -> list[np.ndarray]:
    count = sum(n.startswith(prefix) for n in arrays)
    return [arrays[f"{prefix}{k}"] for k in range(count)]


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
