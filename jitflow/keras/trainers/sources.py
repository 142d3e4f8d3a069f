"""Choosing the data adapter for what `fit`, `evaluate` and `predict` are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

import jitflow as jf
from jitflow.errors import ArgumentError
from jitflow.keras.trainers.data import ArraySource, DataSource, IterableSource
from jitflow.keras.trainers.py_dataset import PyDataset, PyDatasetSource


def make_source(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    batch_size: int | None = None,
    shuffle: bool | str = False,
    class_weight: Mapping[int, float] | None = None,
    reuse: bool = True,
) -> DataSource:
    """The source of batches for data in any form; see `Trainer.fit`.

    Raises:
        ArgumentError: if there are no data, or targets beside batches that have them.
    """
    if x is None:
        raise ArgumentError("x: there are no data")
    if isinstance(x, DataSource):
        return x
    if not is_batches(x):
        return ArraySource(
            x, y, sample_weight, batch_size, shuffle, class_weight, reuse
        )
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise ArgumentError(
                f"{name}: x gives batches, which contain {name} already",
                fix="yield (x, y) or (x, y, sample_weight) from x",
            )
    if isinstance(x, PyDataset):
        return PyDatasetSource(x, shuffle, class_weight)
    return IterableSource(x, class_weight)


def is_batches(x: Any) -> bool:
    """Whether `x` gives batches, and is not itself the samples."""
    samples = (np.ndarray, jf.Tensor, jf.Variable, list, tuple, dict)
    if isinstance(x, samples) or hasattr(x, "__array__"):
        return False
    return isinstance(x, PyDataset | Iterable)


def validation_source(
    validation_data: Any, batch_size: int | None
) -> DataSource | None:
    """The source of validation batches; None without validation.

    Raises:
        ArgumentError: for a tuple that is not ``(x, y)`` or ``(x, y, sample_weight)``.
    """
    if validation_data is None:
        return None
    if isinstance(validation_data, tuple | list):
        if len(validation_data) not in (2, 3):
            raise ArgumentError(
                f"validation_data: {len(validation_data)} parts, (x, y) or "
                "(x, y, sample_weight) is needed"
            )
        x, y, sample_weight = (*validation_data, None)[:3]
        return make_source(x, y, sample_weight, batch_size=batch_size)
    return make_source(validation_data, batch_size=batch_size)
