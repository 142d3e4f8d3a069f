"""``x[key]``: ints, slices, ``...``, ``None``, integer and bool tensors.

A key is normalised to one entry per dimension and lowered to slice, reverse, reshape
and gather, so that indexing has gradients and can be traced. Indices are checked when
the sizes are known, also while tracing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from compiler.ir.dims import SymDim
from jitflow.dtypes import bool_, int64
from jitflow.errors import IndexingError
from jitflow.ops.coerce import as_tensor, broadcast_shapes, is_tracing
from jitflow.ops.dispatch import builder as b
from jitflow.ops.dispatch import quiet
from jitflow.ops.elementwise import maximum
from jitflow.ops.manipulation import concat, moveaxis, reshape
from jitflow.ops.searching import from_front, gather_dims
from jitflow.tensor.tensor import Operators, Tensor, wrap


def getitem(x: Any, key: Any) -> Tensor:
    """``x[key]`` with NumPy's meaning.

    Raises:
        IndexingError: for an index that is out of bounds, one too many, or of a kind
            that cannot index.
    """
    x = as_tensor(x)
    if quiet() and _is_plain(key):
        return _eager(x, key)
    keys = expand_key(x, key if isinstance(key, tuple) else (key,))
    return _advanced(*_basic(x, keys))


def _is_plain(key: Any) -> bool:
    if isinstance(key, tuple):
        return all(_is_plain(k) for k in key)
    return key is None or key is Ellipsis or type(key) in (int, slice)


def _eager(x: Tensor, key: Any) -> Tensor:
    try:
        return wrap(x._data[key])
    except (IndexError, ValueError) as error:
        raise IndexingError(f"{error}", operands={"x": x, "index": repr(key)}) from None


def _entry(key: Any) -> Any:
    """One entry of a key in the form that the rest works with."""
    if key is None or key is Ellipsis or isinstance(key, slice | SymDim):
        return key
    if isinstance(key, bool | np.bool_):
        raise IndexingError("a Python bool is no index", fix="use None or a tensor")
    if isinstance(key, Operators | np.ndarray | list):
        tensor = as_tensor(key)
        if isinstance(key, list) and not key:
            tensor = b.cast(tensor, int64)
        if tensor.dtype is not bool_ and not tensor.dtype.is_integer:
            raise IndexingError(
                f"an index is an integer, a slice or a bool, given {tensor.dtype}"
            )
        return tensor
    if hasattr(key, "__index__"):
        return key.__index__()
    raise IndexingError(f"a {type(key).__name__} cannot index a tensor")


def _is_mask(key: Any) -> bool:
    return isinstance(key, Tensor) and key.dtype is bool_


def _dims_of(key: Any) -> int:
    """How many dimensions an entry indexes."""
    if key is None or key is Ellipsis:
        return 0
    return key.ndim if _is_mask(key) else 1


def expand_key(x: Tensor, keys: tuple[Any, ...]) -> list[Any]:
    """Entries with ``...`` spelled out and masks turned into integer tensors."""
    entries = [_entry(key) for key in keys]
    used = sum(map(_dims_of, entries))
    if used > x.ndim:
        raise IndexingError(f"{used} indices for rank {x.ndim}", operands={"x": x})
    dots = [i for i, k in enumerate(entries) if k is Ellipsis]
    if len(dots) > 1:
        raise IndexingError("an index can only have a single ellipsis")
    at = dots[0] if dots else len(entries)
    fill = [slice(None)] * (x.ndim - used)
    full: list[Any] = []
    axis = 0
    for key in entries[:at] + fill + entries[at + 1 :]:
        full.extend(_nonzero(x, key, axis) if _is_mask(key) else [key])
        axis += _dims_of(key)
    return full


def _nonzero(x: Tensor, mask: Tensor, axis: int) -> list[Tensor]:
    if mask.shape != x.shape[axis : axis + mask.ndim]:
        raise IndexingError(
            f"the mask does not fit the dimensions from axis {axis} on",
            operands={"x": x, "mask": mask},
        )
    if is_tracing():
        raise IndexingError(
            "a bool tensor selects a number of elements that is not known here",
            operands={"mask": mask},
            fix="use jf.where(mask, x, 0), or index outside the function",
        )
    return [wrap(i) for i in np.nonzero(mask.numpy())]


def _check_int(index: Any, size: Any, axis: int) -> Any:
    """An int or symbol counted from the front."""
    if isinstance(index, SymDim) or isinstance(size, SymDim):
        negative = isinstance(index, int) and index < 0
        return size + index if negative else index
    if not -size <= index < size:
        raise IndexingError(
            f"index {index} is out of bounds for axis {axis} of size {size}"
        )
    return index + size if index < 0 else index


def _bound(value: Any, size: Any, default: Any) -> Any:
    """A slice bound as a position in [0, size], for step > 0."""
    if value is None:
        return default
    if isinstance(value, Operators):
        value = value.__index__()
    if isinstance(value, SymDim):
        return value
    if isinstance(size, int):
        return max(min(value + size if value < 0 else value, size), 0)
    # Of an open size only bounds counted from an end are known to fit.
    return size + value if value < 0 else value


def _slice_spec(key: slice, size: Any) -> tuple[Any, Any, int, bool]:
    """``(start, limit, stride, reversed)`` with a positive stride."""
    step = 1 if key.step is None else int(key.step)
    if step == 0:
        raise IndexingError("a slice has no step 0")
    if step > 0:
        start, limit = _bound(key.start, size, 0), _bound(key.stop, size, size)
        if isinstance(start, int) and isinstance(limit, int):
            limit = max(start, limit)
        return start, limit, step, False
    if isinstance(size, SymDim):
        if key.start is not None or key.stop is not None or step != -1:
            raise IndexingError(f"only [::-1] can reverse a dimension of size {size}")
        return 0, size, 1, True
    picked = range(*key.indices(size))
    if not len(picked):
        return 0, 0, 1, False
    return picked[-1], picked[0] + 1, -step, True


def _basic(x: Tensor, keys: list[Any]) -> tuple[Tensor, list[Any]]:
    """Apply slices, ints and None; tensors stay, one entry per dimension of the result.

    Beside tensors an int counts as advanced for the order of dimensions, as in NumPy.
    """
    mixed = any(isinstance(k, Tensor) for k in keys)
    start, limit, strides, flips = [], [], [], []
    shape: list[Any] = []
    rest: list[Any] = []
    axis = 0
    for key in keys:
        if key is None:
            shape.append(1)
            rest.append(None)
            continue
        size = x.shape[axis]
        if isinstance(key, slice):
            low, high, stride, back = _slice_spec(key, size)
        elif isinstance(key, Tensor):
            low, high, stride, back = 0, size, 1, False
        else:
            low = _check_int(key, size, axis)
            high, stride, back = low + 1, 1, False
        start.append(low)
        limit.append(high)
        strides.append(stride)
        if back:
            flips.append(axis)
        dropped = not isinstance(key, slice | Tensor)
        if not dropped or mixed:
            shape.append(_extent(low, high, stride))
            rest.append(b.scalar(0, int64) if dropped else key)
        axis += 1
    x = _slice(x, tuple(start), tuple(limit), tuple(strides))
    x = b.reverse(x, dims=tuple(flips)) if flips else x
    x = x if x.shape == tuple(shape) else b.reshape(x, shape=tuple(shape))
    return x, [k if isinstance(k, Tensor) else None for k in rest]


def _extent(low: Any, high: Any, stride: int) -> Any:
    span = high - low
    return -(-span // stride) if isinstance(span, int) else span // stride


def _slice(x: Tensor, start: Any, limit: Any, strides: Any) -> Tensor:
    if limit == x.shape and not any(start) and all(s == 1 for s in strides):
        return x
    return b.slice(x, start=start, limit=limit, strides=strides)


def _advanced(x: Tensor, keys: list[Any]) -> Tensor:
    """Apply integer tensors: one gather over the merged dimensions that they index."""
    axes = [i for i, k in enumerate(keys) if k is not None]
    if not axes:
        return x
    indices = [from_front(keys[a], x.shape[a], f"axis {a}") for a in axes]
    if len(axes) == 1 and indices[0].ndim == 0:
        return _dynamic(x, axes[0], indices[0])
    shape = broadcast_shapes(*(i.shape for i in indices))
    columns = [reshape(b.broadcast(i, shape), (*shape, 1)) for i in indices]
    result = gather_dims(x, concat(columns, axis=-1), tuple(axes))
    # Neighbouring index tensors leave their dimensions where they were.
    if axes == list(range(axes[0], axes[-1] + 1)) and axes[0]:
        count = len(shape)
        spots = list(range(axes[0], axes[0] + count))
        result = moveaxis(result, list(range(count)), spots)
    return result


def _dynamic(x: Tensor, axis: int, index: Tensor) -> Tensor:
    """One position along `axis`, known only at run time."""
    zero = b.scalar(0, int64)
    starts = [maximum(index, 0) if a == axis else zero for a in range(x.ndim)]
    sizes = tuple(1 if a == axis else d for a, d in enumerate(x.shape))
    window = b.dynamic_slice(x, *starts, sizes=sizes)
    return b.reshape(window, shape=x.shape[:axis] + x.shape[axis + 1 :])
