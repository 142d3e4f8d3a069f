"""`Variable`: a named place that holds a tensor and can be assigned."""

from __future__ import annotations

from typing import Any

import numpy as np

from compiler.ir.types import DType, dtype_of
from jitflow.dtypes import as_dtype
from jitflow.errors import VariableError
from jitflow.tensor.display import show_array
from jitflow.tensor.state import state
from jitflow.tensor.tensor import Operators, Tensor, wrap


class Variable(Operators):
    """A tensor that can be assigned; every op takes it like a tensor.

    Its buffer is private and dense. A compiled step may update the buffer in place, but
    only when nothing else refers to it: a tensor that was read before keeps its value.

    Args:
        initial_value: a tensor, an array, a (nested list of) numbers, or a callable
            that returns one.
        trainable: whether tapes watch the variable without being told.
        name: shown in messages and summaries.
        dtype: element type; that of `initial_value` when left out, where Python floats
            count as the default float type.

    Raises:
        VariableError: when a later assignment has another shape.
    """

    __slots__ = ("__weakref__", "_data", "name", "trainable")

    def __init__(
        self,
        initial_value: Any,
        trainable: bool = True,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        self.name = name or "variable"
        self.trainable = bool(trainable)
        trace = state.trace
        if trace is not None:
            trace.created_variable(self)
        value = initial_value() if callable(initial_value) else initial_value
        tensor = self._ops.as_tensor(value)
        if dtype is not None:
            tensor = self._ops.astype(tensor, as_dtype(dtype))
        # While tracing, the value is computed now: it is not part of the trace.
        data = tensor._data if trace is None else trace.concrete(tensor)
        self._data = private_buffer(data)

    @property
    def shape(self) -> tuple[Any, ...]:  # type: ignore[override]
        """Sizes of the dimensions."""
        return self._data.shape

    @property
    def dtype(self) -> DType:  # type: ignore[override]
        """Element type."""
        return dtype_of(self._data.dtype)

    @property
    def value(self) -> Tensor:
        """The current value; it does not follow later assignments."""
        trace = state.trace
        tensor = wrap(self._data) if trace is None else trace.read_variable(self)
        for tape in state.tapes:
            tape.read(self, tensor)
        return tensor

    def numpy(self) -> np.ndarray:
        """The current value as a NumPy array of its own.

        Raises:
            TracerError: while tracing.
        """
        if state.trace is not None:
            return self.value.numpy()
        return self._data.copy()

    def assign(self, value: Any) -> Variable:
        """Replace the value; returns the variable.

        Raises:
            VariableError: if the shape differs, or the dtype cannot be cast safely.
        """
        tensor = self._fitting(value)
        if state.trace is not None:
            state.trace.write_variable(self, tensor)
        else:
            self._data = private_buffer(tensor._data)
        return self

    def assign_add(self, delta: Any) -> Variable:
        """Add `delta` to the value; returns the variable."""
        return self.assign(self._ops.binary("add", self, self._converted(delta)))

    def assign_sub(self, delta: Any) -> Variable:
        """Subtract `delta` from the value; returns the variable."""
        return self.assign(self._ops.binary("subtract", self, self._converted(delta)))

    def _converted(self, value: Any) -> Tensor:
        tensor = self._ops.as_tensor(value, like=self.dtype)
        if tensor.dtype is self.dtype:
            return tensor
        self._check_kind(tensor)
        return self._ops.astype(tensor, self.dtype)

    def _fitting(self, value: Any) -> Tensor:
        tensor = self._converted(value)
        if tensor.shape != self.shape:
            raise VariableError(
                f"variable {self.name!r} has shape {self.shape}, "
                f"the value has shape {tensor.shape}",
                operands={self.name: self, "value": tensor},
                fix="assign a value of the variable's shape (jf.broadcast_to)",
            )
        return tensor

    def _check_kind(self, tensor: Tensor) -> None:
        order = "biufc"
        if order.index(tensor.dtype.kind) > order.index(self.dtype.kind):
            raise VariableError(
                f"variable {self.name!r} has dtype {self.dtype}; a {tensor.dtype} "
                "value would lose information",
                operands={self.name: self, "value": tensor},
                fix=f"assign jf.astype(value, '{self.dtype}')",
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return (Variable, (self._data, self.trainable, self.name))

    def __deepcopy__(self, memo: Any) -> Variable:
        return Variable(self._data, self.trainable, self.name)

    def __repr__(self) -> str:
        extra = f", name={self.name!r}" + ("" if self.trainable else ", frozen")
        return show_array("Variable", self._data, self.dtype, extra)


def private_buffer(data: np.ndarray) -> np.ndarray:
    """`data` as a dense, writable array that owns its memory.

    The array itself may still be held by a tensor: whoever updates it in place looks at
    its reference count first.
    """
    flags = data.flags
    if flags.owndata and flags.c_contiguous and flags.writeable:
        return data
    return np.array(data, order="C")
