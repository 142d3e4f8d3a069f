"""Weights of a model in a file, named by their place in the model.

A place is made of class names and numbers within one parent
(``layers/dense_1/vars/kernel``), so that it is the same in the next process, whatever
automatic names the layers have there.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from jitflow.errors import ArgumentError, ShapeError
from jitflow.keras.backend.global_state import to_snake_case
from jitflow.keras.saving.safetensors import read_arrays, write_arrays

SUFFIX = ".safetensors"


def weight_places(layer: Any) -> dict[str, Any]:
    """All weights of a layer by place; a shared layer has its first place."""
    places: dict[str, Any] = {}
    _collect(layer, "", places, set())
    return places


def _collect(layer: Any, prefix: str, places: dict[str, Any], seen: set[int]) -> None:
    if id(layer) in seen:
        return
    seen.add(id(layer))
    names: Counter[str] = Counter()
    for variable in layer._direct_variables():
        places[f"{prefix}vars/{_numbered(variable.name, names)}"] = variable
    names = Counter()
    for inner in layer._sublayers:
        name = _numbered(to_snake_case(type(inner).__name__), names)
        _collect(inner, f"{prefix}layers/{name}/", places, seen)


def _numbered(name: str, names: Counter[str]) -> str:
    names[name] += 1
    return name if names[name] == 1 else f"{name}_{names[name] - 1}"


def _checked_path(filepath: Any) -> Path:
    path = Path(filepath)
    if not path.name.endswith(SUFFIX):
        raise ArgumentError(
            f"filepath: weights are kept in {SUFFIX} files, given {str(path)!r}",
            fix=f"such as 'model{SUFFIX}'",
        )
    return path


def save_weights(model: Any, filepath: Any, overwrite: bool = True) -> None:
    """Write the weights of a model to a ``.safetensors`` file.

    Raises:
        ArgumentError: if the model is not built, or the file exists and must not be
            overwritten.
    """
    path = _checked_path(filepath)
    if not model.built:
        raise ArgumentError(
            f"model {model.name!r} is not built, so it has no weights to save",
            fix="call it on data, or use build(input_shape)",
        )
    if path.exists() and not overwrite:
        raise ArgumentError(
            f"filepath: {str(path)!r} exists", fix="pass overwrite=True"
        )
    arrays = {place: v.numpy() for place, v in weight_places(model).items()}
    write_arrays(path, arrays, {"format": "jitflow", "model": type(model).__name__})


def load_weights(model: Any, filepath: Any, skip_mismatch: bool = False) -> None:
    """Read the weights of a model from a ``.safetensors`` file.

    Nothing is changed unless everything fits.

    Args:
        model: a built model of the same layers.
        filepath: the file.
        skip_mismatch: leave out weights that the file lacks or has in another shape.

    Raises:
        ArgumentError: if a weight is missing on either side.
        ShapeError: if a shape differs.
    """
    path = _checked_path(filepath)
    arrays = read_arrays(path)
    places = weight_places(model)
    if not skip_mismatch:
        _check(model, path, places, arrays)
    for place, variable in places.items():
        array = arrays.get(place)
        if array is not None and array.shape == variable.shape:
            variable.assign(array)


def _check(
    model: Any, path: Path, places: dict[str, Any], arrays: dict[str, Any]
) -> None:
    differing = sorted(places.keys() ^ arrays.keys())
    if differing:
        side = "model" if differing[0] in arrays else "file"
        raise ArgumentError(
            f"model {model.name!r} and {str(path)!r} hold different weights: "
            f"{differing[0]!r} is missing in the {side} ({len(differing)} differ)",
            fix="build the model as the saved one was, or pass skip_mismatch=True",
        )
    for place, variable in places.items():
        if arrays[place].shape != variable.shape:
            raise ShapeError(
                f"{variable.path!r} has shape {variable.shape}, the file "
                f"{arrays[place].shape} ({place})",
                fix="build the model for the saved shapes, or pass skip_mismatch=True",
            )
