"""Creation functions of the Array API; the default dtype is that of `jf.config`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from compiler.ir.dims import SymDim
from compiler.ir.types import DType, TensorType
from jitflow.config import settings
from jitflow.dtypes import as_dtype, int64
from jitflow.errors import ArgumentError, ArgumentTypeError
from jitflow.ops.coerce import as_tensor, is_tracing
from jitflow.ops.dispatch import builder as b
from jitflow.ops.elementwise import add, astype, divide, multiply
from jitflow.ops.promotion import is_scalar, scalar_dtype
from jitflow.tensor.tensor import Operators, Tensor, wrap


def shape_of(shape: Any, argument: str = "shape") -> tuple[Any, ...]:
    """A shape argument (an int, a symbol, or a sequence of them) as a tuple.

    Raises:
        ArgumentTypeError: if it is none of these.
        ArgumentError: for a negative size.
    """
    if isinstance(shape, SymDim) or hasattr(shape, "__index__"):
        shape = (shape,)
    try:
        dims = tuple(d if isinstance(d, SymDim) else d.__index__() for d in shape)
    except (TypeError, AttributeError):
        raise ArgumentTypeError(
            f"{argument}: a shape is ints, given {shape!r}",
            fix="shapes are known while tracing; a traced tensor cannot be a size",
        ) from None
    if any(isinstance(d, int) and d < 0 for d in dims):
        raise ArgumentError(f"{argument}: sizes are not negative, given {dims}")
    return dims


def check_device(device: Any) -> None:
    """Check the ``device`` argument of a function.

    Raises:
        ArgumentError: if tensors cannot be there.
    """
    if device not in (None, "cpu"):
        raise ArgumentError(f"device: no such device {device!r}", fix="use 'cpu'")


def _dtype_or_default(dtype: Any) -> DType:
    return settings.float_dtype if dtype is None else as_dtype(dtype)


def asarray(
    obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None
) -> Tensor:
    """A tensor of `obj`: numbers, nested sequences, arrays, tensors, variables.

    Arrays keep their dtype (float64 stays float64); Python floats get the default float
    type, Python ints int64. With ``copy=False`` a NumPy array is wrapped, not copied,
    and must not be written to any more.

    Raises:
        ArgumentTypeError: if `obj` cannot be an array.
        ArgumentError: if ``copy=False`` and the data has to be copied.
    """
    check_device(device)
    if copy is False:
        return _uncopied(obj, dtype)
    if dtype is not None and not isinstance(obj, Tensor):
        tensor = as_tensor(obj, like=as_dtype(dtype), argument="obj")
    else:
        tensor = as_tensor(obj, argument="obj")
    return tensor if dtype is None else astype(tensor, dtype)


def _uncopied(obj: Any, dtype: Any) -> Tensor:
    held = isinstance(obj, Operators | np.ndarray)
    if not held or (dtype is not None and obj.dtype != as_dtype(dtype)):
        raise ArgumentError("asarray: the data has to be copied, and copy is False")
    return wrap(obj) if isinstance(obj, np.ndarray) else as_tensor(obj)


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor of any object with ``__dlpack__``.

    The data is copied, for the owner may write to it; with ``copy=False`` it is shared
    and must not be written to any more.

    Raises:
        ArgumentError: for a device that there is not.
    """
    check_device(device)
    array = np.from_dlpack(x)
    return wrap(array if copy is False else np.array(array, order="C"))


def full(
    shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """A tensor filled with one value, whose kind decides the default dtype."""
    check_device(device)
    if dtype is None and is_scalar(fill_value):
        dtype = scalar_dtype(fill_value)
    dims = shape_of(shape)
    if is_scalar(fill_value):
        return b.full(fill_value, TensorType(as_dtype(dtype), dims))
    value = as_tensor(fill_value, argument="fill_value")
    if dtype is not None:
        value = b.cast(value, as_dtype(dtype))
    return b.broadcast(value, dims)


def zeros(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Zeros of the default float type, or of `dtype`."""
    check_device(device)
    return b.full(0, TensorType(_dtype_or_default(dtype), shape_of(shape)))


def ones(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Ones of the default float type, or of `dtype`."""
    check_device(device)
    return b.full(1, TensorType(_dtype_or_default(dtype), shape_of(shape)))


def empty(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor whose values do not matter; they are zeros."""
    check_device(device)
    return zeros(shape, dtype=dtype)


def full_like(
    x: Any, /, fill_value: Any, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """A tensor like `x`, filled with one value."""
    check_device(device)
    x = as_tensor(x)
    return full(x.shape, fill_value, dtype=x.dtype if dtype is None else dtype)


def zeros_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Zeros like `x`."""
    check_device(device)
    return full_like(x, 0, dtype=dtype)


def ones_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Ones like `x`."""
    check_device(device)
    return full_like(x, 1, dtype=dtype)


def empty_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor like `x` whose values do not matter; they are zeros."""
    check_device(device)
    return zeros_like(x, dtype=dtype)


def _iota(size: Any, dtype: DType) -> Tensor:
    return b.iota(type=TensorType(dtype, (size,)), dim=0)


def arange(
    start: Any,
    /,
    stop: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """``start, start + step, ...`` up to but not including `stop`.

    Ints give int64, a float among the arguments the default float type. `stop` may be a
    symbolic dimension.

    Raises:
        ArgumentError: if `step` is zero.
    """
    check_device(device)
    if stop is None:
        start, stop = 0, start
    if isinstance(stop, SymDim):
        return _symbolic_arange(start, stop, step, dtype)
    start, stop, step = (_number(v) for v in (start, stop, step))
    if step == 0:
        raise ArgumentError("arange: step must not be zero")
    if dtype is None:
        floats = any(isinstance(v, float) for v in (start, stop, step))
        dtype = settings.float_dtype if floats else int64
    return _ramp(start, step, max(math.ceil((stop - start) / step), 0), as_dtype(dtype))


def _number(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _ramp(start: Any, step: Any, count: int, dtype: DType) -> Tensor:
    if not is_tracing():
        return wrap((start + step * np.arange(count)).astype(dtype.np))
    if (start, step) == (0, 1):
        return _iota(count, dtype)
    values = start + step * np.arange(count)
    return b.constant(values.astype(dtype.np))


def _symbolic_arange(start: Any, stop: Any, step: Any, dtype: Any) -> Tensor:
    if step != 1:
        raise ArgumentError("arange: a symbolic stop takes step 1 only")
    ramp = _iota(stop - start, int64 if dtype is None else as_dtype(dtype))
    return ramp if isinstance(start, int) and start == 0 else add(ramp, start)


def linspace(
    start: Any,
    stop: Any,
    /,
    num: int,
    *,
    dtype: Any = None,
    device: Any = None,
    endpoint: bool = True,
) -> Tensor:
    """`num` evenly spaced values from `start` to `stop`.

    Raises:
        ArgumentError: if `num` is negative.
    """
    check_device(device)
    if num < 0:
        raise ArgumentError(f"linspace: num is not negative, given {num}")
    target = _dtype_or_default(dtype)
    if is_scalar(start) and is_scalar(stop):
        values = np.linspace(start, stop, num, endpoint=endpoint)
        return b.constant(values.astype(target.np))
    ramp = divide(_iota(num, target), max(num - 1 if endpoint else num, 1))
    return add(start, multiply(ramp, as_tensor(stop) - start))


def eye(
    n_rows: Any,
    n_cols: Any = None,
    /,
    *,
    k: int = 0,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """Ones on diagonal `k` of a matrix of zeros."""
    check_device(device)
    shape = (n_rows, n_rows if n_cols is None else n_cols)
    rows = b.iota(type=TensorType(int64, shape), dim=0)
    cols = b.iota(type=TensorType(int64, shape), dim=1)
    ones_there = b.compare(add(rows, k), cols, direction="EQ")
    return b.cast(ones_there, _dtype_or_default(dtype))


def _triangle(x: Any, k: int, direction: str, name: str) -> Tensor:
    x = as_tensor(x)
    if x.ndim < 2:
        raise ArgumentError(f"{name}: x has rank {x.ndim}, at least 2 is needed")
    shape = x.shape[-2:]
    rows = b.iota(type=TensorType(int64, shape), dim=0)
    cols = b.iota(type=TensorType(int64, shape), dim=1)
    keep = b.compare(cols, add(rows, k), direction=direction)
    return b.select(b.broadcast(keep, x.shape), x, b.zeros_like(x))


def tril(x: Any, /, *, k: int = 0) -> Tensor:
    """The lower triangle of matrices: zeros above diagonal `k`."""
    return _triangle(x, k, "LE", "tril")


def triu(x: Any, /, *, k: int = 0) -> Tensor:
    """The upper triangle of matrices: zeros below diagonal `k`."""
    return _triangle(x, k, "GE", "triu")


def meshgrid(*arrays: Any, indexing: str = "xy") -> list[Tensor]:
    """Coordinate tensors of a grid from coordinate vectors.

    Raises:
        ArgumentError: if `indexing` is not ``"xy"`` or ``"ij"``.
    """
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"meshgrid: indexing is 'xy' or 'ij', given {indexing!r}")
    xs = [as_tensor(a) for a in arrays]
    order = list(range(len(xs)))
    if indexing == "xy" and len(xs) > 1:
        order[:2] = [1, 0]
    position = {source: axis for axis, source in enumerate(order)}
    shape = tuple(xs[i].shape[0] for i in order)
    return [
        b.broadcast_in_dim(x, dims=(position[i],), shape=shape)
        for i, x in enumerate(xs)
    ]
