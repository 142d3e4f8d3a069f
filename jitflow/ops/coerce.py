"""Turning what users pass into tensors, and pairs of operands into equal types."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from compiler.ir.dims import SymDim
from compiler.ir.types import DType, TensorType, dtype_of
from jitflow.config import settings
from jitflow.dtypes import bool_, int64
from jitflow.errors import (
    ArgumentTypeError,
    DTypeError,
    ScalarRangeError,
    ShapeError,
)
from jitflow.ops.dispatch import builder
from jitflow.ops.promotion import is_scalar, result_dtype, scalar_dtype
from jitflow.tensor.state import state
from jitflow.tensor.tensor import Tensor, wrap
from jitflow.tensor.variable import Variable

Shape = tuple[Any, ...]


def is_tensor_like(x: Any) -> bool:
    """True for what operators accept beside a tensor without being asked to convert."""
    return (
        isinstance(x, Tensor | Variable | np.ndarray | np.generic | SymDim)
        or is_scalar(x)
        or isinstance(x, list | tuple)
        or hasattr(x, "__array__")
    )


def as_tensor(x: Any, like: DType | None = None, argument: str = "x") -> Tensor:
    """`x` as a tensor; arrays are copied, so that later writes do not show.

    Args:
        x: tensor, variable, array, Python number, (nested) sequence of these, or
            anything with ``__array__``.
        like: dtype that weak Python numbers take, as far as their kind allows.
        argument: name in the error.

    Raises:
        ArgumentTypeError: if `x` is none of these.
    """
    if isinstance(x, Tensor):
        return x
    if isinstance(x, Variable):
        return x.value
    if is_scalar(x):
        return scalar_tensor(x, result_dtype([like], [type(x)]) if like else None)
    if isinstance(x, np.ndarray | np.generic):
        return wrap(_checked(np.array(x, order="C"), argument))
    if isinstance(x, SymDim):
        return dim_tensor(x)
    if isinstance(x, list | tuple):
        return _from_sequence(x, like, argument)
    if hasattr(x, "__array__"):
        return wrap(_checked(np.array(x, order="C"), argument))
    raise ArgumentTypeError(
        f"{argument}: a {type(x).__name__} is not a tensor, an array or a number",
        operands={argument: x},
    )


def _checked(array: np.ndarray, argument: str) -> np.ndarray:
    """The array, in native byte order, if its dtype is one of ours."""
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    try:
        dtype_of(native.dtype)
    except TypeError:
        raise DTypeError(
            f"{argument}: arrays of dtype {array.dtype} cannot be tensors",
            fix="convert to a numeric dtype; ragged lists have to be padded",
        ) from None
    return native


def _leaves(x: Any) -> Iterator[Any]:
    if isinstance(x, list | tuple):
        for item in x:
            yield from _leaves(item)
    else:
        yield x


def _holds_tensors(x: Any) -> bool:
    return any(isinstance(leaf, Tensor | Variable | SymDim) for leaf in _leaves(x))


def _from_sequence(x: Sequence[Any], like: DType | None, argument: str) -> Tensor:
    if _holds_tensors(x):
        return _stack(x, _dtype_of_leaves(x), argument)
    try:
        array = np.array(x)
    except ValueError:
        raise ShapeError(
            f"{argument}: the nested sequence is ragged",
            fix="pad the rows to one length",
        ) from None
    _checked(array, argument)
    weak = _weak_dtype_of(x, array, like)
    return builder.constant(array if weak is None else array.astype(weak.np))


def _dtype_of_leaves(x: Any) -> DType:
    """The common dtype of the tensors inside, where Python numbers are weak."""
    leaves = list(_leaves(x))
    kinds = [weak_type(leaf) for leaf in leaves]
    pairs = list(zip(leaves, kinds, strict=True))
    strong = [as_tensor(leaf).dtype for leaf, kind in pairs if kind is None]
    return result_dtype(strong or [bool_], [kind for kind in kinds if kind])


def _weak_dtype_of(x: Any, array: np.ndarray, like: DType | None) -> DType | None:
    """The dtype for an array made of Python numbers only; None keeps NumPy's."""
    if not all(is_scalar(leaf) for leaf in _leaves(x)):
        return None
    kind = {"f": float, "c": complex, "i": int, "b": bool}.get(array.dtype.kind)
    if kind is None:
        return None
    if like is not None:
        return result_dtype([like], [kind])
    return settings.float_dtype if not array.size else scalar_dtype(kind())


def _stack(x: Any, dtype: DType, argument: str) -> Tensor:
    if not isinstance(x, list | tuple):
        return builder.cast(as_tensor(x, dtype, argument), dtype)
    items = [_stack(item, dtype, argument) for item in x]
    if any(item.shape != items[0].shape for item in items):
        raise ShapeError(
            f"{argument}: the tensors in a sequence differ in shape",
            operands={f"[{i}]": t for i, t in enumerate(items)},
        )
    rows = [builder.reshape(t, shape=(1, *t.shape)) for t in items]
    return builder.concatenate(*rows, dimension=0)


def scalar_tensor(value: Any, dtype: DType | None = None) -> Tensor:
    """A Python number as a tensor of rank 0.

    Raises:
        ScalarRangeError: if an integer does not fit the dtype.
    """
    dtype = dtype or scalar_dtype(value)
    try:
        array = np.asarray(value, dtype=dtype.np)
    except OverflowError:
        raise ScalarRangeError(
            f"the Python integer {value} does not fit {dtype}",
            fix="convert the tensor to a wider dtype with jf.astype",
        ) from None
    return builder.constant(array)


def dim_tensor(dim: Any) -> Tensor:
    """A dimension as an int64 tensor of rank 0, also if it is symbolic."""
    if isinstance(dim, int):
        return builder.scalar(dim, int64)
    # No tensor of the graph need have this size, so one is made; only its size is read.
    ramp = builder.iota(type=TensorType(int64, (dim,)), dim=0)
    return builder.get_dimension_size(ramp, dim=0)


# --------------------------------------------------------------------- broadcasting


@functools.lru_cache(maxsize=4096)
def broadcast_shapes(*shapes: Shape) -> Shape:
    """The common shape of broadcasting; symbolic dimensions must be the same symbol.

    Raises:
        ShapeError: if there is none.
    """
    rank = max((len(s) for s in shapes), default=0)
    padded = [(1,) * (rank - len(s)) + tuple(s) for s in shapes]
    return tuple(_common_dim(dims, shapes) for dims in zip(*padded, strict=True))


def _common_dim(dims: Sequence[Any], shapes: Sequence[Shape]) -> Any:
    result: Any = 1
    for dim in dims:
        if dim == 1 or dim == result:
            continue
        if result != 1:
            raise _broadcast_error(shapes, result, dim)
        result = dim
    return result


def _broadcast_error(shapes: Sequence[Shape], a: Any, b: Any) -> ShapeError:
    listed = " and ".join(str(tuple(s)) for s in shapes)
    symbolic = isinstance(a, SymDim) or isinstance(b, SymDim)
    fix = "align the shapes with jf.reshape or jf.expand_dims"
    if symbolic:
        fix = "give the dimension a fixed size, or the same TensorSpec name"
    return ShapeError(f"shapes {listed} do not broadcast: {a} != {b}", fix=fix)


def broadcast_pair(x: Tensor, y: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Both operands at their common shape."""
    if x.shape == y.shape:
        return x, y
    try:
        shape = broadcast_shapes(x.shape, y.shape)
    except ShapeError as error:
        raise ShapeError(
            f"{name}: {error.message}", fix=error.fix, operands={"x1": x, "x2": y}
        ) from None
    return builder.broadcast(x, shape), builder.broadcast(y, shape)


# ------------------------------------------------------------------------ promotion


def promote_all(name: str, *xs: Any, inexact: bool = False) -> tuple[Tensor, ...]:
    """Operands as tensors of one dtype; Python scalars are weak.

    Args:
        name: of the function, for errors.
        xs: what the user passed.
        inexact: integers become the default float type.
    """
    if _agree(xs) and (not inexact or xs[0].dtype.is_inexact):
        return xs
    tensors = [
        x if is_scalar(x) else as_tensor(x, argument=f"{name}: x{i + 1}")
        for i, x in enumerate(xs)
    ]
    weak = [weak_type(x) for x in xs]
    strong = [x.dtype for x, kind in zip(tensors, weak, strict=True) if kind is None]
    dtype = _common_dtype(name, strong, [kind for kind in weak if kind is not None])
    if inexact and not dtype.is_inexact:
        dtype = settings.float_dtype
    return tuple(
        scalar_tensor(x, dtype) if is_scalar(x) else builder.cast(x, dtype)
        for x in tensors
    )


def _agree(xs: tuple[Any, ...]) -> bool:
    """True for tensors that are of one dtype already: the common case, made cheap."""
    first = xs[0]
    if not isinstance(first, Tensor):
        return False
    dtype = first.dtype
    return all(
        isinstance(x, Tensor) and x.weak_type is None and x.dtype is dtype for x in xs
    )


def weak_type(x: Any) -> type | None:
    """The Python type that a number, a size or a traced number has; None: strong."""
    if isinstance(x, SymDim):
        return int  # a size is a number, whether it is known or not
    return type(x) if is_scalar(x) else getattr(x, "weak_type", None)


def _common_dtype(name: str, dtypes: list[DType], scalars: list[type]) -> DType:
    try:
        if dtypes:
            return result_dtype(dtypes, scalars)
        return result_dtype([bool_], scalars)
    except DTypeError as error:
        raise DTypeError(f"{name}: {error.message}", fix="jf.astype one") from None


def require(name: str, x: Any, kinds: str, what: str) -> None:
    """Check the kind of a tensor's dtype.

    Raises:
        DTypeError: naming the function and the dtype.
    """
    if x.dtype.kind not in kinds:
        raise DTypeError(f"{name}: takes {what} tensors, given {x.dtype}[...]")


def normalize_axis(axis: int, rank: int, name: str) -> int:
    """`axis` counted from 0.

    Raises:
        ShapeError: if it is out of range.
    """
    if isinstance(axis, bool) or not hasattr(axis, "__index__"):
        raise ArgumentTypeError(f"{name}: axis must be an int, given {axis!r}")
    position = axis.__index__()
    if not -rank <= position < rank:
        raise ShapeError(f"{name}: axis {axis} is out of range for rank {rank}")
    return position % rank


def normalize_axes(axis: Any, rank: int, name: str) -> tuple[int, ...]:
    """An axis, a sequence of axes or None (all) as sorted axes counted from 0.

    Raises:
        ShapeError: if one is out of range or given twice.
    """
    if axis is None:
        return tuple(range(rank))
    given = axis if isinstance(axis, tuple | list) else (axis,)
    axes = sorted(normalize_axis(a, rank, name) for a in given)
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{name}: axis {axis} names one axis twice")
    return tuple(axes)


def is_tracing() -> bool:
    """True while tensors of this thread have no values that Python could look at."""
    trace = state.trace
    return trace is not None and trace.staging
