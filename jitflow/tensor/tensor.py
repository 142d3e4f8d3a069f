"""`Tensor`: an immutable array with operators.

Operators have two ways through. The fast one is a NumPy ufunc on two eager tensors
while nothing in the process traces or records. Everything else goes through
`jitflow.ops`, whose functions reach this class as ``_ops`` once it is imported.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from compiler.ir.types import ALL_DTYPES, DType, dtype_of
from jitflow.errors import ArgumentTypeError, TracerError
from jitflow.tensor.display import show_array
from jitflow.tensor.floating_errors import enter, leave
from jitflow.tensor.methods import Methods
from jitflow.tensor.state import activity, state

# A fast path that fails in one of these ways is repeated on the slow path, which gives
# either the right result or the right message.
FAST_PATH_FAILURES = (ValueError, TypeError, OverflowError)
_new = object.__new__
_ndarray = np.ndarray
_DTYPES = {dtype.np: dtype for dtype in ALL_DTYPES}


class Operators(Methods):
    """Everything that tensors and variables share: operators and conversions."""

    __slots__ = ()
    # The functions behind the operators: the module jitflow.ops.operators.
    _ops: ClassVar[Any] = None
    # Makes the operators of NumPy arrays hand over to the reflected ones here.
    __array_priority__ = 1000
    __hash__ = object.__hash__

    # The Python type that a traced number stands for: it is weak like a Python scalar.
    weak_type: Any = None
    shape: tuple[Any, ...]
    dtype: DType

    if TYPE_CHECKING:
        # Made by the loops at the end of this module.
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...

    def numpy(self) -> np.ndarray:
        """The value as a NumPy array."""
        raise NotImplementedError

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> Any:
        """Number of elements."""
        return prod(self.shape, start=1)

    @property
    def device(self) -> str:
        """Where the data is."""
        return "cpu"

    @property
    def T(self) -> Tensor:
        """The transpose of a matrix."""
        return self._ops.transpose_2d(self)

    @property
    def mT(self) -> Tensor:
        """The transpose of the last two dimensions."""
        return self._ops.matrix_transpose(self)

    def to_device(self, device: str, /, *, stream: Any = None) -> Tensor:
        """The same tensor; the only eager device is ``"cpu"``."""
        if device != "cpu" or stream is not None:
            raise ArgumentTypeError(f"device: no such device {device!r}", fix="'cpu'")
        return self._ops.as_tensor(self)

    def item(self) -> Any:
        """The value of a tensor of one element as a Python scalar."""
        return self.numpy().item()

    def tolist(self) -> Any:
        """The values as nested Python lists."""
        return self.numpy().tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return self._ops.array_namespace(api_version)

    def __dlpack__(self, **options: Any) -> Any:
        return self.numpy().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)  # kDLCPU

    def __bool__(self) -> bool:
        return bool(self.numpy())

    def __int__(self) -> int:
        return int(self.numpy())

    def __float__(self) -> float:
        return float(self.numpy())

    def __complex__(self) -> complex:
        return complex(self.numpy())

    def __index__(self) -> int:
        return operator.index(self.numpy())

    def __len__(self) -> int:
        if not self.shape:
            raise ArgumentTypeError("len() of a tensor of rank 0")
        return operator.index(self.shape[0])

    def __iter__(self) -> Iterator[Tensor]:
        return self._ops.iterate(self)

    def __contains__(self, value: Any) -> bool:
        return bool(self._ops.any(self == value))

    def __getitem__(self, key: Any) -> Tensor:
        return self._ops.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise ArgumentTypeError(
            "tensors never change", fix="use x = x.at[index].set(value)"
        )

    @property
    def at(self) -> Any:
        """``x.at[key].set(values)`` and siblings: copies with elements changed."""
        return self._ops.Updater(self)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and not self.shape else str(self)

    def __floordiv__(self, other: Any) -> Tensor:
        return self._ops.binary("floor_divide", self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return self._ops.binary("floor_divide", other, self)

    def __mod__(self, other: Any) -> Tensor:
        return self._ops.binary("remainder", self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return self._ops.binary("remainder", other, self)

    def __pow__(self, other: Any) -> Tensor:
        return self._ops.binary("pow", self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return self._ops.binary("pow", other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return self._ops.binary("matmul", self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return self._ops.binary("matmul", other, self)

    def __and__(self, other: Any) -> Tensor:
        return self._ops.binary("bitwise_and", self, other)

    def __rand__(self, other: Any) -> Tensor:
        return self._ops.binary("bitwise_and", other, self)

    def __or__(self, other: Any) -> Tensor:
        return self._ops.binary("bitwise_or", self, other)

    def __ror__(self, other: Any) -> Tensor:
        return self._ops.binary("bitwise_or", other, self)

    def __xor__(self, other: Any) -> Tensor:
        return self._ops.binary("bitwise_xor", self, other)

    def __rxor__(self, other: Any) -> Tensor:
        return self._ops.binary("bitwise_xor", other, self)

    def __lshift__(self, other: Any) -> Tensor:
        return self._ops.binary("bitwise_left_shift", self, other)

    def __rlshift__(self, other: Any) -> Tensor:
        return self._ops.binary("bitwise_left_shift", other, self)

    def __rshift__(self, other: Any) -> Tensor:
        return self._ops.binary("bitwise_right_shift", self, other)

    def __rrshift__(self, other: Any) -> Tensor:
        return self._ops.binary("bitwise_right_shift", other, self)

    def __neg__(self) -> Tensor:
        return self._ops.negative(self)

    def __pos__(self) -> Tensor:
        return self._ops.positive(self)

    def __abs__(self) -> Tensor:
        return self._ops.abs(self)

    def __invert__(self) -> Tensor:
        return self._ops.bitwise_invert(self)


def _fast(name: str, ufunc: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """The operator `name` for ``self <op> other``, with the fast path."""

    def method(self: Any, other: Any) -> Any:
        kind = type(other)
        if type(self) is Tensor and not activity.threads:
            x = self._data
            token = enter()
            try:
                if kind is Tensor:
                    return wrap(ufunc(x, other._data))
                # Python scalars are weak in NumPy too, for these pairs of kinds.
                if (kind is float and x.dtype.kind == "f") or (
                    kind is int and x.dtype.kind in "fiu"
                ):
                    return wrap(ufunc(x, other))
            except FAST_PATH_FAILURES:
                pass
            finally:
                leave(token)
        return self._ops.binary(name, self, other)

    return method


def _fast_reflected(name: str, ufunc: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """The operator `name` for ``other <op> self``."""

    def method(self: Any, other: Any) -> Any:
        kind = type(other)
        if type(self) is Tensor and not activity.threads:
            x = self._data
            token = enter()
            try:
                if (kind is float and x.dtype.kind == "f") or (
                    kind is int and x.dtype.kind in "fiu"
                ):
                    return wrap(ufunc(other, x))
            except FAST_PATH_FAILURES:
                pass
            finally:
                leave(token)
        return self._ops.binary(name, other, self)

    return method


def _float_divide(x: Any, y: Any) -> Any:
    """True division, if an operand is inexact; integers are left to the slow path."""
    kind_x = x.dtype.kind if type(x) is _ndarray else "i"
    kind_y = y.dtype.kind if type(y) is _ndarray else "i"
    if kind_x in "biu" and kind_y in "biu":
        raise TypeError
    return np.true_divide(x, y)


_FAST_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": _float_divide,
}
_NAMES = {"sub": "subtract", "mul": "multiply", "truediv": "divide"}
_FAST_COMPARISONS = {
    "eq": ("equal", np.equal),
    "ne": ("not_equal", np.not_equal),
    "lt": ("less", np.less),
    "le": ("less_equal", np.less_equal),
    "gt": ("greater", np.greater),
    "ge": ("greater_equal", np.greater_equal),
}
for _name, _ufunc in _FAST_ARITHMETIC.items():
    _long = _NAMES.get(_name, _name)
    setattr(Operators, f"__{_name}__", _fast(_long, _ufunc))
    setattr(Operators, f"__r{_name}__", _fast_reflected(_long, _ufunc))
for _name, (_long, _ufunc) in _FAST_COMPARISONS.items():
    setattr(Operators, f"__{_name}__", _fast(_long, _ufunc))


class Tensor(Operators):
    """An n-dimensional array of one element type that never changes.

    Make one with `jf.asarray` or the other creation functions.
    """

    __slots__ = ("__weakref__", "_data")
    _data: np.ndarray

    def __init__(self, data: Any) -> None:
        self._data = np.array(data, order="C")
        dtype_of(self._data.dtype)

    @property
    def shape(self) -> tuple[Any, ...]:  # type: ignore[override]
        """Sizes of the dimensions."""
        return self._data.shape

    @property
    def dtype(self) -> DType:  # type: ignore[override]
        """Element type."""
        return _DTYPES[self._data.dtype]

    def numpy(self) -> np.ndarray:
        """The values as a read-only NumPy view."""
        for tape in state.tapes:
            tape.escaped(self, "numpy()")
        view = self._data.view()
        view.flags.writeable = False
        return view

    def __reduce__(self) -> tuple[Any, ...]:
        return (Tensor, (self._data,))

    def __copy__(self) -> Tensor:
        return self

    def __deepcopy__(self, memo: Any) -> Tensor:
        return self

    def __repr__(self) -> str:
        return show_array("Tensor", self._data, self.dtype)


def wrap(data: Any) -> Tensor:
    """A tensor over an array that nobody will write to; NumPy scalars become rank 0."""
    tensor = _new(Tensor)
    tensor._data = data if type(data) is _ndarray else np.asarray(data)
    return tensor


class TracedTensor(Tensor):
    """A tensor of a trace: it has a type and a place in the graph, and no value.

    Attributes:
        _value: the graph value.
        _trace: the trace that made it.
    """

    __slots__ = ("_trace", "_value")

    def __init__(self, value: Any, trace: Any) -> None:
        self._value = value
        self._trace = trace

    @property
    def shape(self) -> tuple[Any, ...]:  # type: ignore[override]
        """Sizes of the dimensions: ints, or symbols where the size is open."""
        return self._value.type.shape

    @property
    def dtype(self) -> DType:  # type: ignore[override]
        """Element type."""
        return self._value.type.dtype

    @property
    def _data(self) -> np.ndarray:  # type: ignore[override]
        raise _no_value(self, "used outside its trace", "return it from the function")

    def numpy(self) -> np.ndarray:
        """Not possible while tracing.

        Raises:
            TracerError: always.
        """
        fix = "call numpy() on the result outside the function"
        raise _no_value(self, "numpy()", fix)

    def item(self) -> Any:
        """Not possible while tracing; see `numpy`."""
        raise _no_value(self, "item()", "use the tensor itself")

    def __bool__(self) -> bool:
        fix = "use jf.where(c, a, b) or jf.cond(c, true_fn, false_fn)"
        raise _no_value(self, "bool()", fix)

    def __int__(self) -> int:
        raise _no_value(self, "int()", "use jf.astype(x, 'int64')")

    def __float__(self) -> float:
        raise _no_value(self, "float()", "use jf.astype(x, 'float32')")

    def __complex__(self) -> complex:
        raise _no_value(self, "complex()", "use jf.astype(x, 'complex64')")

    def __index__(self) -> int:
        fix = "index with the tensor itself (jf.take), or pass a Python int"
        raise _no_value(self, "use as a Python index", fix)

    def __len__(self) -> int:
        size = self.shape[0] if self.shape else 0
        if not isinstance(size, int):
            raise _no_value(self, "len()", "use jf.ops.size_of(x, (0,))")
        return super().__len__()

    def __reduce__(self) -> tuple[Any, ...]:
        raise _no_value(self, "pickling", "pickle the result outside the function")

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __repr__(self) -> str:
        shape = ",".join(map(str, self.shape))
        return f"<traced {self.dtype}[{shape}] by {made_by(self)}>"


def made_by(tensor: Any) -> str:
    """The op and the line that made a traced tensor: ``add at train.py:12``."""
    node = tensor._value.node
    name = node.attrs.get("name") or node.op.name
    return f"{name} at {node.loc}" if node.loc.line else str(name)


def _no_value(tensor: TracedTensor, use: str, fix: str) -> TracerError:
    return TracerError(
        f"{use} needs the value of a tensor that is being traced",
        operands={"x": tensor},
        cause=f"x is made by {made_by(tensor)} and has a value only when the "
        "compiled function runs",
        fix=fix,
    )
