"""`keras.Variable`: a `jf.Variable` with a path, an initializer and Keras' extras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jitflow as jf
from jitflow.dtypes import as_dtype
from jitflow.errors import ArgumentError
from jitflow.keras.backend.call_context import calls
from jitflow.keras.backend.dtypes import standardize_dtype
from jitflow.keras.backend.global_state import auto_name
from jitflow.tensor.state import state
from jitflow.tracing import init_scope

# The getter of the base class, for reading without a cast.
_read: Callable[[Any], jf.Tensor] = vars(jf.Variable)["value"].fget


class Variable(jf.Variable):
    """A weight, a counter or other state of a layer, an optimizer or a metric.

    Args:
        initializer: a callable ``(shape, dtype=...)``, or the initial value.
        shape: needed with a callable.
        dtype: name of the element type; the default float type when left out, or
            that of an initial value that has one.
        trainable: whether gradients flow into it.
        autocast: whether layers of lower precision read it in that precision.
        name: the last part of its path; has no slash.

    Raises:
        ArgumentError: for a callable without a shape, or a name with a slash.
    """

    __slots__ = (
        "aggregation",
        "autocast",
        "constraint",
        "overwrite_with_gradient",
        "path",
        "regularizer",
        "synchronization",
    )

    def __init__(
        self,
        initializer: Any,
        shape: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        aggregation: str = "none",
        synchronization: str = "auto",
        name: str | None = None,
    ) -> None:
        name = name or auto_name(type(self).__name__)
        if "/" in name:
            raise ArgumentError(f"name: a variable's name has no '/', given {name!r}")
        if callable(initializer) and shape is None:
            raise ArgumentError(
                "shape: needed when a variable's initializer is a callable",
                fix="pass shape=, or the initial value in place of the callable",
            )
        scopes = state.scopes
        with init_scope():
            super().__init__(_initial_value(initializer, shape, dtype), trainable, name)
        self.path = "/".join((*scopes, name))
        self.autocast = bool(autocast)
        self.aggregation = aggregation
        self.synchronization = synchronization
        self.overwrite_with_gradient = False
        self.regularizer: Any = None
        self.constraint: Any = None

    @property
    def value(self) -> jf.Tensor:
        """The current value, in the precision of the running layer."""
        tensor = _read(self)
        wanted = calls.autocast
        if (
            wanted is None
            or not self.autocast
            or tensor.dtype is wanted
            or not tensor.dtype.is_float
        ):
            return tensor
        return jf.astype(tensor, wanted)

    def assign(self, value: Any) -> Variable:
        """Replace the value; floats and integers are cast to the variable's type."""
        value = jf.asarray(value) if not isinstance(value, jf.Tensor) else value
        if value.dtype is not self.dtype:
            value = jf.astype(value, self.dtype)
        super().assign(value)
        return self

    def assign_add(self, value: Any) -> Variable:
        """Add `value`; returns the variable."""
        return self.assign(jf.add(_read(self), self._operand(value)))

    def assign_sub(self, value: Any) -> Variable:
        """Subtract `value`; returns the variable."""
        return self.assign(jf.subtract(_read(self), self._operand(value)))

    def _operand(self, value: Any) -> Any:
        if isinstance(value, int | float):
            return value
        return jf.astype(jf.asarray(value), self.dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (self._data, self.trainable, self.name, self.path))

    def __deepcopy__(self, memo: Any) -> Variable:
        return _rebuild(self._data, self.trainable, self.name, self.path)

    def __repr__(self) -> str:
        return (
            f"<Variable path={self.path}, shape={self.shape}, "
            f"dtype={self.dtype}, value={self._data}>"
        )


def _initial_value(initializer: Any, shape: Any, dtype: Any) -> Any:
    if callable(initializer):
        name = standardize_dtype(dtype)
        value = initializer(tuple(shape), dtype=name)
        return jf.astype(jf.asarray(value), as_dtype(name))
    given = getattr(initializer, "dtype", None) if dtype is None else dtype
    value = jf.asarray(initializer)
    value = jf.astype(value, as_dtype(standardize_dtype(given)))
    return value if shape is None else jf.reshape(value, tuple(shape))


def _rebuild(data: Any, trainable: bool, name: str, path: str) -> Variable:
    dtype = None if data.dtype.kind == "V" else data.dtype
    variable = Variable(data, dtype=dtype, trainable=trainable, name=name)
    variable.path = path
    return variable
