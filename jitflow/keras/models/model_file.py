"""Whole models in a file: a zip of the configuration and the weights.

The members are ``metadata.json``, ``config.json`` (what `Model.to_json` gives) and
``model.weights.safetensors``. The state of the optimizer is not kept.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import jitflow as jf
from jitflow.errors import ArgumentError
from jitflow.keras.models import weights_file
from jitflow.keras.saving.registration import keras_export
from jitflow.keras.saving.serialization import (
    deserialize_keras_object,
    serialize_keras_object,
)

SUFFIX = ".keras"
_WEIGHTS = f"model.weights{weights_file.SUFFIX}"


def _checked_path(filepath: Any) -> Path:
    path = Path(filepath)
    if path.suffix != SUFFIX:
        raise ArgumentError(
            f"filepath: models are kept in {SUFFIX} files, given {str(path)!r}",
            fix=f"such as 'model{SUFFIX}'",
        )
    return path


@keras_export("keras.models.save_model")
def save_model(model: Any, filepath: Any, overwrite: bool = True) -> None:
    """Write architecture, weights and the arguments of `compile` to a file.

    Args:
        model: a built model.
        filepath: ends in ``.keras``; appears at once or not at all.
        overwrite: whether an existing file is replaced.

    Raises:
        ArgumentError: if the file exists and must not be replaced, or the model is not
            built.
        ArgumentTypeError: if a part of the model cannot be written down.
    """
    path = _checked_path(filepath)
    if path.exists() and not overwrite:
        raise ArgumentError(f"filepath: {str(path)!r} exists", fix="overwrite=True")
    members = {
        "metadata.json": json.dumps({"jitflow_version": jf.__version__}),
        "config.json": json.dumps(serialize_keras_object(model)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, so that the last step is a mere renaming.
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        weights_file.save_weights(model, Path(folder, _WEIGHTS))
        archive = Path(folder, path.name)
        with zipfile.ZipFile(archive, "w") as file:
            for name, text in members.items():
                file.writestr(name, text)
            file.write(Path(folder, _WEIGHTS), _WEIGHTS)
        os.replace(archive, path)


@keras_export("keras.models.load_model")
def load_model(
    filepath: Any,
    custom_objects: Any = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any:
    """The model of a file that `save_model` wrote.

    No code of the file is run, with or without `safe_mode`.

    Args:
        filepath: the file.
        custom_objects: the user's classes and functions by name.
        compile: whether the model is compiled as it was.
        safe_mode: accepted for Keras' signature.

    Raises:
        ArgumentError: if the file is not of this format, or names unknown classes.
    """
    path = _checked_path(filepath)
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as file:
                config = json.loads(file.read("config.json"))
                weights = Path(folder, _WEIGHTS)
                weights.write_bytes(file.read(_WEIGHTS))
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            raise ArgumentError(f"{path}: not a model file ({error})") from error
        if not compile:
            config.pop("compile_config", None)
        model = deserialize_keras_object(config, custom_objects)
        model.load_weights(weights)
    return model
