"""Data adapters: from what `fit` is given to batches of NumPy arrays.

A batch is a flat list of arrays; `DataSource.structure` puts it together as
``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import jitflow as jf
from jitflow.errors import ArgumentError, ArgumentTypeError
from jitflow.keras import backend
from jitflow.tracing.structure import Structure, flatten, unflatten


@dataclass(slots=True)
class Batch:
    """Arrays of one step, their structure, and the number of samples."""

    arrays: list[np.ndarray]
    structure: Structure

    def data(self) -> Any:
        """``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)`` of arrays."""
        return unflatten(self.structure, self.arrays)


class DataSource:
    """Where the batches of an epoch come from.

    Attributes:
        num_batches: of an epoch; None if it is not known before its end.
        num_samples: of an epoch; None if it is not known.
    """

    num_batches: int | None = None
    num_samples: int | None = None

    def epoch(self) -> Iterator[Batch]:
        """The batches of one epoch."""
        raise NotImplementedError

    def all_targets(self) -> Any:
        """`y` of all batches, where it is at hand; else None."""
        return None

    def on_epoch_end(self) -> None:
        """Called after each epoch."""


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """`data` of a step as ``(x, y, sample_weight)``; None for what is missing.

    Raises:
        ArgumentError: for a tuple of more than three parts.
    """
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if len(data) > 3:
        raise ArgumentError(
            f"data: a tuple of {len(data)} parts; a batch is x, (x, y) or "
            "(x, y, sample_weight)"
        )
    x, y, sample_weight = (*data, None, None, None)[:3]
    return x, y, sample_weight


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """The parts of a batch as one value, without those that are None."""
    if y is None:
        return (x,) if isinstance(x, tuple | list) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def packed(x: Any, y: Any, sample_weight: Any) -> tuple[Any, ...]:
    """A tuple of the parts up to the last one that is not None."""
    if sample_weight is not None:
        return (x, y, sample_weight)
    return (x,) if y is None else (x, y)


def as_array(value: Any, argument: str = "x") -> np.ndarray:
    """A leaf of the user's data as an array; floats in the default float type.

    Raises:
        ArgumentTypeError: for what is not numbers.
    """
    if isinstance(value, jf.Tensor | jf.Variable):
        array = value.numpy()
    else:
        array = np.asarray(value)
    if array.dtype.kind not in "biufcV":
        raise ArgumentTypeError(
            f"{argument}: values of type {array.dtype} are not numbers",
            fix="encode them as numbers, or pass arrays of equal lengths",
        )
    if array.dtype.kind == "f" and array.dtype.name != backend.floatx():
        array = array.astype(backend.floatx())
    return array


def as_arrays(structure: Any, argument: str) -> Any:
    """The leaves of a structure as arrays; a list of numbers is one leaf."""
    if structure is None:
        return None
    leaves, form = flatten(structure)
    if leaves and all(isinstance(v, bool | int | float | np.number) for v in leaves):
        return as_array(structure, argument)
    return unflatten(form, [as_array(v, argument) for v in leaves])


def _check_lengths(parts: Mapping[str, Any]) -> int:
    """The number of samples that all arrays have.

    Raises:
        ArgumentError: naming the arguments and their lengths if they differ.
    """
    lengths: dict[str, int] = {}
    for name, part in parts.items():
        leaves = flatten(part)[0]
        for i, leaf in enumerate(leaves):
            label = name if len(leaves) == 1 else f"{name}[{i}]"
            if leaf is not None:
                if not leaf.ndim:
                    raise ArgumentError(f"{label}: an array of rank 0 has no samples")
                lengths[label] = len(leaf)
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        raise ArgumentError(
            f"{' and '.join(lengths)}: different numbers of samples: {shown}",
            fix="every sample of x needs one target (and one weight)",
        )
    if not lengths:
        raise ArgumentError("x: there are no arrays in it")
    return next(iter(lengths.values()))


class ArraySource(DataSource):
    """Arrays in memory, cut into batches.

    Without shuffling batches are views. With it, samples are gathered into buffers that
    are used again for the next batch, unless `reuse` is false.

    Args:
        x: an array or a structure of arrays.
        y: the same, or None.
        sample_weight: the same, or None.
        batch_size: 32 if None.
        shuffle: True for a new order of samples each epoch, ``"batch"`` for a new order
            of batches.
        class_weight: weights by label, multiplied into the sample weights.
        reuse: whether the arrays of a batch may be overwritten by the next one.

    Raises:
        ArgumentError: if the lengths differ or `batch_size` is not positive.
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        batch_size: int | None = None,
        shuffle: bool | str = False,
        class_weight: Mapping[int, float] | None = None,
        reuse: bool = True,
    ) -> None:
        x = as_arrays(x, "x")
        y = as_arrays(y, "y")
        sample_weight = as_arrays(sample_weight, "sample_weight")
        parts = {"x": x, "y": y, "sample_weight": sample_weight}
        self.num_samples: int = _check_lengths(
            {name: part for name, part in parts.items() if part is not None}
        )
        sample_weight = with_class_weight(y, sample_weight, class_weight)
        self.batch_size = _batch_size(batch_size)
        self.num_batches: int = -(-self.num_samples // self.batch_size)
        self.shuffle = shuffle
        self.reuse = reuse
        self._targets = y
        arrays, self.structure = flatten(packed(x, y, sample_weight))
        self.arrays = [np.ascontiguousarray(a) for a in arrays]
        self._buffers: list[np.ndarray] | None = None

    def all_targets(self) -> Any:
        """`y` as given, as arrays."""
        return self._targets

    def epoch(self) -> Iterator[Batch]:
        """The batches of one epoch, in a new order if asked for."""
        size = self.batch_size
        starts = list(range(0, self.num_samples, size))
        if self.shuffle == "batch":
            starts = [starts[i] for i in np.random.permutation(len(starts))]
        elif self.shuffle:
            yield from self._shuffled()
            return
        for start in starts:
            cut = slice(start, start + size)
            yield Batch([a[cut] for a in self.arrays], self.structure)

    def _shuffled(self) -> Iterator[Batch]:
        order = np.random.permutation(self.num_samples)
        for start in range(0, self.num_samples, self.batch_size):
            rows = order[start : start + self.batch_size]
            yield Batch(self._gather(rows), self.structure)

    def _gather(self, rows: np.ndarray) -> list[np.ndarray]:
        if not self.reuse:
            return [a[rows] for a in self.arrays]
        if self._buffers is None:
            size = min(self.batch_size, self.num_samples)
            self._buffers = [
                np.empty((size, *a.shape[1:]), a.dtype) for a in self.arrays
            ]
        gathered = []
        for array, buffer in zip(self.arrays, self._buffers, strict=True):
            out = buffer[: len(rows)]
            # Rows are in range; "clip" only spares NumPy a second buffer.
            array.take(rows, 0, out, "clip")
            gathered.append(out)
        return gathered


class IterableSource(DataSource):
    """Batches from an iterable (a generator, a data set object) of any length.

    Args:
        batches: gives ``x``, ``(x, y)`` or ``(x, y, sample_weight)``. An iterator goes
            on in the next epoch where it stopped in the last one.
        class_weight: see `ArraySource`.
    """

    def __init__(
        self,
        batches: Iterable[Any],
        class_weight: Mapping[int, float] | None = None,
    ) -> None:
        self.batches = batches
        self.class_weight = class_weight
        self.num_batches = _length(batches)

    def epoch(self) -> Iterator[Batch]:
        """The batches up to the end of the iterable."""
        for data in self.batches:
            yield make_batch(data, self.class_weight)

    def on_epoch_end(self) -> None:
        """Tell a data set object that the epoch is over."""
        hook = getattr(self.batches, "on_epoch_end", None)
        if hook is not None:
            hook()


def make_batch(data: Any, class_weight: Mapping[int, float] | None = None) -> Batch:
    """A batch from the user's ``x``, ``(x, y)`` or ``(x, y, sample_weight)``.

    Raises:
        ArgumentError: if the lengths differ.
    """
    if not isinstance(data, tuple):
        data = (data,)
    x, y, sample_weight = unpack_x_y_sample_weight(data)
    x, y = as_arrays(x, "x"), as_arrays(y, "y")
    sample_weight = as_arrays(sample_weight, "sample_weight")
    parts = {"x": x, "y": y, "sample_weight": sample_weight}
    _check_lengths({name: part for name, part in parts.items() if part is not None})
    sample_weight = with_class_weight(y, sample_weight, class_weight)
    arrays, structure = flatten(packed(x, y, sample_weight))
    return Batch([np.ascontiguousarray(a) for a in arrays], structure)


def with_class_weight(
    y: Any, sample_weight: Any, class_weight: Mapping[int, float] | None
) -> Any:
    """Sample weights times the weights of the samples' classes; 1 for other classes.

    Raises:
        ArgumentError: if there are no labels, or several outputs.
    """
    if class_weight is None:
        return sample_weight
    if not isinstance(y, np.ndarray):
        raise ArgumentError("class_weight: only for models with one output and labels")
    one_hot = y.ndim > 1 and y.shape[-1] > 1
    labels = (y.argmax(axis=-1) if one_hot else np.round(y)).astype(np.int64)
    labels = labels.reshape(len(y), -1)[:, 0] if labels.ndim == 2 else labels
    weight = np.ones(labels.shape, backend.floatx())
    for label, value in class_weight.items():
        weight[labels == label] = value
    return weight if sample_weight is None else sample_weight * weight


def _batch_size(batch_size: int | None) -> int:
    if batch_size is None:
        return 32
    if isinstance(batch_size, bool) or not hasattr(batch_size, "__index__"):
        raise ArgumentTypeError(f"batch_size: an int, given {batch_size!r}")
    if batch_size < 1:
        raise ArgumentError(f"batch_size: must be positive, given {batch_size}")
    return int(batch_size)


def _length(batches: Any) -> int | None:
    length: Callable[[], int] | None = getattr(batches, "__len__", None)
    try:
        return None if length is None else length()
    except TypeError:
        return None


def train_validation_split(
    arrays: tuple[Any, Any, Any], validation_split: float
) -> tuple[tuple[Any, Any, Any], tuple[Any, Any, Any]]:
    """``(x, y, sample_weight)`` cut in two: the last share of samples validates.

    Raises:
        ArgumentError: if the share is not in (0, 1) or leaves one side empty.
    """
    if not 0 < validation_split < 1:
        raise ArgumentError(
            f"validation_split: must be in [0, 1), given {validation_split}"
        )
    names = ("x", "y", "sample_weight")
    parts = [as_arrays(a, n) for a, n in zip(arrays, names, strict=True)]
    given = {n: p for n, p in zip(names, parts, strict=True) if p is not None}
    count = _check_lengths(given)
    border = int(np.floor(count * (1.0 - validation_split)))
    if border in (0, count):
        raise ArgumentError(
            f"validation_split: {validation_split} of {count} samples leaves no "
            f"samples to {'train' if border == 0 else 'validate'} on"
        )
    return _cut(parts, slice(None, border)), _cut(parts, slice(border, None))


def _cut(parts: list[Any], rows: slice) -> tuple[Any, Any, Any]:
    cut = []
    for part in parts:
        leaves, form = flatten(part)
        cut.append(unflatten(form, [None if v is None else v[rows] for v in leaves]))
    x, y, sample_weight = cut
    return x, y, sample_weight
