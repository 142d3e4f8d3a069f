"""``x.at[key].set(values)``: tensors with some elements changed.

A key is applied to the tensor of all positions, so that it means the same as in
``x[key]``; the positions then direct one scatter over the flattened tensor. Of an
integer tensor in the key that is out of bounds, `mode` tells what to do:

- None: an error, as in ``x[key]``.
- ``"clip"``: the nearest element.
- ``"drop"`` or ``"fill"``: no update; ``get`` gives its `fill_value`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from compiler.ir.types import TensorType
from jitflow.dtypes import bool_, int64
from jitflow.errors import ArgumentError, DTypeError
from jitflow.ops import elementwise as e
from jitflow.ops.coerce import as_tensor, normalize_axis
from jitflow.ops.dispatch import builder as b
from jitflow.ops.indexing import expand_key, getitem
from jitflow.ops.manipulation import broadcast_arrays, broadcast_to, reshape, stack
from jitflow.ops.searching import from_front
from jitflow.tensor.tensor import Operators, Tensor

__all__ = ["Updater", "put_along_axis"]

_MODES = (None, "clip", "drop", "fill")


def _bounded(index: Tensor, size: Any, mode: str) -> Tensor:
    """Counted from the front; outside, the nearest end or `size` itself."""
    index = b.cast(index, int64)
    index = e.where(e.less(index, 0), e.add(index, size), index)
    if mode == "clip":
        return e.clip(index, 0, e.subtract(size, 1))
    outside = e.logical_or(e.less(index, 0), e.greater_equal(index, size))
    return e.where(outside, size, index)


def positions(x: Tensor, key: Any, mode: str | None) -> Tensor:
    """The row-major positions (int64) of ``x[key]``; -1 where there is no element."""
    if mode not in _MODES:
        raise ArgumentError(f"mode: one of {_MODES}, given {mode!r}")
    flat = b.iota(type=TensorType(int64, (x.size,)), dim=0)
    grid = reshape(flat, x.shape)
    if mode is None:
        return getitem(grid, key)
    keys = expand_key(x, key if isinstance(key, tuple) else (key,))
    dims = [k for k in keys if k is not None]
    high = tuple(int(isinstance(k, Tensor) and mode != "clip") for k in dims)
    none = (0,) * x.ndim
    # One more row behind each indexed dimension: what is outside points there.
    grid = b.pad(grid, b.scalar(-1, int64), low=none, high=high, interior=none)
    sizes = iter(x.shape)
    bounded = []
    for k in keys:
        size = None if k is None else next(sizes)
        bounded.append(_bounded(k, size, mode) if isinstance(k, Tensor) else k)
    return getitem(grid, tuple(bounded))


def row_vectors(x: Tensor, key: Any, mode: str | None) -> Tensor | None:
    """Index vectors of a key of integer tensors for the first dimensions, or None."""
    given = key if isinstance(key, tuple) else (key,)
    arrays = all(isinstance(k, Operators | np.ndarray | list) for k in given)
    keys = expand_key(x, given) if given and arrays and mode in _MODES else []
    indices = [k for k in keys if isinstance(k, Tensor)]
    if not indices:
        return None
    bounded = [
        from_front(k, size, f"axis {a}") if mode is None else _bounded(k, size, mode)
        for a, (k, size) in enumerate(zip(indices, x.shape, strict=False))
    ]
    return stack(broadcast_arrays(*bounded), axis=-1)


class Updater:
    """What ``x.at`` is: indexing it chooses the elements to update."""

    __slots__ = ("_x",)

    def __init__(self, x: Any) -> None:
        self._x = x

    def __getitem__(self, key: Any) -> UpdateAt:
        return UpdateAt(as_tensor(self._x), key)


class UpdateAt:
    """Updates of the elements ``x[key]``; each returns a new tensor.

    `values` broadcast to the shape of ``x[key]`` and are converted to the dtype of
    `x`. Of elements that are named more than once, `set` keeps the last value, the
    others combine all. All of them have gradients.
    """

    __slots__ = ("_key", "_x")

    def __init__(self, x: Tensor, key: Any) -> None:
        self._x = x
        self._key = key

    def _scatter(self, values: Any, combine: str, mode: str | None) -> Tensor:
        x = self._x
        if x.dtype is bool_ and combine != "set":
            raise DTypeError(
                f"at[...].{combine}: takes numeric tensors, given {x.dtype}"
            )
        vectors = row_vectors(x, self._key, mode)
        if vectors is not None:  # whole rows at once
            dims = tuple(range(vectors.shape[-1]))
            updates = self._fitting(values, vectors.shape[:-1] + x.shape[len(dims) :])
            how = {"dims": dims, "batch": 0, "mode": "fill", "combine": combine}
            return b.scatter(x, vectors, updates, **how)
        places = positions(x, self._key, mode)
        updates = reshape(self._fitting(values, places.shape), (places.size,))
        vectors = reshape(places, (places.size, 1))
        how = {"dims": (0,), "batch": 0, "mode": "fill", "combine": combine}
        flat = b.scatter(reshape(x, (x.size,)), vectors, updates, **how)
        return reshape(flat, x.shape)

    def _fitting(self, values: Any, shape: Any) -> Tensor:
        tensor = as_tensor(values, like=self._x.dtype, argument="values")
        order = "biufc"
        if order.index(tensor.dtype.kind) > order.index(self._x.dtype.kind):
            raise DTypeError(
                f"at: {tensor.dtype} values in a {self._x.dtype} tensor would lose "
                "information",
                fix="convert the values, or x, with jf.astype",
            )
        return broadcast_to(b.cast(tensor, self._x.dtype), shape)

    def set(self, values: Any, /, *, mode: str | None = None) -> Tensor:
        """``x[key] = values``."""
        return self._scatter(values, "set", mode)

    def add(self, values: Any, /, *, mode: str | None = None) -> Tensor:
        """``x[key] += values``."""
        return self._scatter(values, "add", mode)

    def subtract(self, values: Any, /, *, mode: str | None = None) -> Tensor:
        """``x[key] -= values``."""
        return self._scatter(e.negative(values), "add", mode)

    def multiply(self, values: Any, /, *, mode: str | None = None) -> Tensor:
        """``x[key] *= values``."""
        return self._scatter(values, "mul", mode)

    mul = multiply

    def divide(self, values: Any, /, *, mode: str | None = None) -> Tensor:
        """``x[key] /= values``, of floating-point tensors."""
        return self._scatter(e.divide(1, values), "mul", mode)

    def min(self, values: Any, /, *, mode: str | None = None) -> Tensor:
        """``x[key] = minimum(x[key], values)``."""
        return self._scatter(values, "min", mode)

    def max(self, values: Any, /, *, mode: str | None = None) -> Tensor:
        """``x[key] = maximum(x[key], values)``."""
        return self._scatter(values, "max", mode)

    def get(self, *, mode: str | None = None, fill_value: Any = None) -> Tensor:
        """``x[key]``; with mode ``"fill"``, `fill_value` (NaN or 0) where outside."""
        x = self._x
        if mode is None:
            return getitem(x, self._key)
        places = positions(x, self._key, mode)
        vectors = reshape(places, (*places.shape, 1))
        flat = reshape(x, (x.size,))
        picked = b.gather(flat, vectors, dims=(0,), batch=0, mode="fill")
        if fill_value is None:
            fill_value = float("nan") if x.dtype.is_inexact else 0
        filled = b.broadcast(e.cast_like(fill_value, x.dtype), picked.shape)
        return b.select(e.less(places, 0), filled, picked)


def put_along_axis(x: Any, indices: Any, values: Any, /, *, axis: int = -1) -> Tensor:
    """`x` with ``x[..., indices[..., i, ...], ...] = values[..., i, ...]`` on `axis`.

    The other dimensions of `indices` and `values` broadcast to those of `x`.
    """
    x, indices = as_tensor(x), as_tensor(indices)
    position = normalize_axis(axis, x.ndim, "put_along_axis")
    shape = [*x.shape]
    shape[position] = indices.shape[position]
    key: list[Any] = []
    for a in range(x.ndim):
        ramp = b.iota(type=TensorType(int64, tuple(shape)), dim=a)
        key.append(b.broadcast(indices, tuple(shape)) if a == position else ramp)
    return UpdateAt(x, tuple(key)).set(values)
