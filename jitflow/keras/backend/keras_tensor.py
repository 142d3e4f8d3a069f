"""`KerasTensor`: a tensor of a model that is being put together, without values."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

from compiler.ir.dims import SymDim, symbol
from compiler.ir.types import TensorType
from jitflow.dtypes import as_dtype
from jitflow.errors import ArgumentError, TracerError
from jitflow.keras.backend.dtypes import standardize_dtype
from jitflow.keras.backend.global_state import auto_name
from jitflow.tracing.structure import flatten


class History(NamedTuple):
    """Which output of which call of which operation a tensor is."""

    operation: Any
    node_index: int
    tensor_index: int


class KerasTensor:
    """Shape, dtype and name of a value that a model will compute.

    Args:
        shape: sizes; None where they are open, the batch size among them.
        dtype: name of the element type.
        name: made up when left out.
        record_history: accepted for Keras' signature.

    Attributes:
        shape: sizes with None where they are open.
        dims: the same with symbols in place of None, which stand for the same size
            wherever they occur in a model.
    """

    # What a function or operator of a KerasTensor does: set by jitflow.keras.ops.
    _apply: ClassVar[Callable[..., Any]]
    __array_priority__ = 1001

    def __init__(
        self,
        shape: Any,
        dtype: Any = "float32",
        sparse: bool = False,
        ragged: bool = False,
        record_history: bool = True,
        name: str | None = None,
    ) -> None:
        if sparse or ragged:
            raise ArgumentError("sparse, ragged: only dense tensors are supported")
        self.dims = symbolic_shape(shape)
        self.shape = open_shape(self.dims)
        self.dtype = standardize_dtype(dtype)
        self.sparse = self.ragged = False
        self.name = name or auto_name(type(self).__name__)
        self.record_history = record_history
        self._keras_history: History | None = None
        self._keras_mask: KerasTensor | None = None

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def type(self) -> TensorType:
        """The compiler's type, with symbols where sizes are open."""
        return TensorType(as_dtype(self.dtype), self.dims)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise _no_value(self, "np.asarray()")

    def __bool__(self) -> bool:
        raise _no_value(self, "bool()")

    def __int__(self) -> int:
        raise _no_value(self, "int()")

    def __float__(self) -> float:
        raise _no_value(self, "float()")

    def __iter__(self) -> Iterator[Any]:
        raise _no_value(self, "iteration")

    def __len__(self) -> int:
        if not self.shape or self.shape[0] is None:
            raise _no_value(self, "len()")
        return self.shape[0]

    def __getitem__(self, key: Any) -> KerasTensor:
        return self._apply(operator.getitem, self, key)

    def __repr__(self) -> str:
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"


def _operator(function: Callable[..., Any], reflected: bool) -> Callable[..., Any]:
    def method(self: KerasTensor, *other: Any) -> Any:
        operands = (*other, self) if reflected else (self, *other)
        return self._apply(function, *operands)

    return method


BINARY_OPERATORS = (
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"),
    *("and_", "or_", "xor"),
)
for _name in BINARY_OPERATORS:
    _function = getattr(operator, _name)
    _plain = _name.rstrip("_")
    setattr(KerasTensor, f"__{_plain}__", _operator(_function, reflected=False))
    setattr(KerasTensor, f"__r{_plain}__", _operator(_function, reflected=True))
OTHER_OPERATORS = ("lt", "le", "gt", "ge", "ne", "neg", "abs", "invert")
for _name in OTHER_OPERATORS:
    setattr(
        KerasTensor,
        f"__{_name}__",
        _operator(getattr(operator, _name), reflected=False),
    )
# Keras compares symbolic tensors by identity in its tables, so == stays that.
KerasTensor.__hash__ = object.__hash__  # type: ignore[method-assign]
KerasTensor.__ne__ = object.__ne__  # type: ignore[method-assign]


def symbolic_shape(shape: Any) -> tuple[Any, ...]:
    """Sizes with a symbol for every None: ``B`` for the batch, ``d1`` for axis 1, …

    Open sizes of one axis share a symbol, so that two inputs of unknown length can be
    added; a real difference is an error when the model is called.
    """
    return tuple(_dim(i, d) for i, d in enumerate(shape))


def _dim(axis: int, size: Any) -> Any:
    if size is None:
        return symbol("B" if axis == 0 else f"d{axis}")
    if isinstance(size, SymDim):
        return size
    if isinstance(size, bool) or not hasattr(size, "__index__") or size < 0:
        raise ArgumentError(f"shape: a size is an int or None, given {size!r}")
    return size.__index__()


def open_shape(shape: Any) -> tuple[int | None, ...]:
    """Sizes with None in place of symbols."""
    return tuple(None if isinstance(d, SymDim) else d for d in shape)


def is_keras_tensor(x: Any) -> bool:
    """Whether `x` is a `KerasTensor`."""
    return isinstance(x, KerasTensor)


def any_symbolic_tensors(args: Any = (), kwargs: Any = None) -> bool:
    """Whether a `KerasTensor` is among (nested) arguments."""
    for x in args:
        # Most arguments are tensors and numbers; only containers are looked through.
        if isinstance(x, KerasTensor) or (isinstance(x, _CONTAINERS) and _holds(x)):
            return True
    return bool(kwargs) and _holds(kwargs)


_CONTAINERS = (list, tuple, dict)


def _holds(container: Any) -> bool:
    return any(isinstance(x, KerasTensor) for x in flatten(container)[0])


def _no_value(tensor: KerasTensor, use: str) -> TracerError:
    return TracerError(
        f"{use} needs the value of a symbolic tensor of a model",
        operands={"x": tensor},
        cause="a KerasTensor has values only when the model is called with data",
        fix="compute with keras.ops or layers, and call the model",
    )
