"""Small array helpers: class vectors and norms."""

from __future__ import annotations

from typing import Any

import numpy as np

import jitflow as jf
from jitflow.errors import ArgumentError


def to_categorical(x: Any, num_classes: int | None = None) -> Any:
    """Class numbers as one-hot vectors.

    Args:
        x: integers; a last axis of size 1 is dropped.
        num_classes: length of the vectors; the largest number + 1 when left out.

    Returns:
        Floats of shape ``(*x.shape, num_classes)``: a tensor for a tensor, else an
        array (float64, as in Keras).

    Raises:
        ArgumentError: for a number that is not a class.
    """
    if isinstance(x, jf.Tensor) and num_classes is not None:
        return jf.nn.one_hot(x, num_classes)
    array = np.array(x, dtype="int64")
    shape = array.shape[:-1] if array.ndim > 1 and array.shape[-1] == 1 else array.shape
    flat = array.reshape(-1)
    classes = num_classes or (int(flat.max()) + 1 if flat.size else 0)
    wrong = np.flatnonzero((flat < 0) | (flat >= classes))
    if wrong.size:
        raise ArgumentError(
            f"x: {flat[wrong[0]]} at place {wrong[0]} is not a class from 0 to "
            f"{classes - 1}"
        )
    result = np.zeros((flat.size, classes))
    result[np.arange(flat.size), flat] = 1
    return result.reshape((*shape, classes))


def normalize(x: Any, axis: int = -1, order: int = 2) -> np.ndarray:
    """An array divided by its norms along `axis`; norms of 0 count as 1."""
    array = np.asarray(x)
    norms = np.linalg.norm(array, order, axis, keepdims=True)
    return array / np.where(norms == 0, 1, norms)
