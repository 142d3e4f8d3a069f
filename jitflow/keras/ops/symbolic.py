"""Functions that also take symbolic tensors: `symbolic` makes one of any function."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any, TypeVar

from jitflow.errors import ArgumentError
from jitflow.keras.backend import tensors
from jitflow.keras.backend.global_state import auto_name
from jitflow.keras.backend.keras_tensor import (
    BINARY_OPERATORS,
    OTHER_OPERATORS,
    KerasTensor,
    any_symbolic_tensors,
)
from jitflow.keras.ops.operation import Operation
from jitflow.keras.saving.registration import keras_export

F = TypeVar("F", bound=Callable[..., Any])

# Functions by the name that a saved model has for them; filled at import.
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    name.rstrip("_"): getattr(operator, name)
    for name in (*BINARY_OPERATORS, *OTHER_OPERATORS)
}


def _getitem(x: Any, key: Any) -> Any:
    """Indexing; JSON turns the tuple of several keys into a list."""
    several = isinstance(key, list) and not all(isinstance(k, int) for k in key)
    return x[tuple(key) if several else key]


_FUNCTIONS["getitem"] = _getitem


@keras_export("keras.ops.FunctionOperation")
class FunctionOperation(Operation):
    """A function of `keras.ops` or an operator as a node of a model.

    Args:
        function: name of the function.
        name: of the operation.

    Raises:
        ArgumentError: if there is no such function.
    """

    def __init__(self, function: str, name: str | None = None) -> None:
        if function not in _FUNCTIONS:
            raise ArgumentError(f"function: {function!r} is not a function of models")
        super().__init__(name)
        self.function = function

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function."""
        return _FUNCTIONS[self.function](*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """See `Operation`."""
        return {"name": self.name, "function": self.function}


def symbolic(function: F) -> F:
    """Let a function of tensors take symbolic tensors, and be part of a model."""
    name = function.__name__
    _FUNCTIONS[name] = function

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if any_symbolic_tensors(args, kwargs):
            return _named(name).symbolic_call(*args, **kwargs)
        return function(*args, **kwargs)

    return wrapped  # type: ignore[return-value]


def _named(function: str) -> FunctionOperation:
    return FunctionOperation(function, auto_name(function))


def _apply_operator(function: Callable[..., Any], *args: Any) -> Any:
    return _named(function.__name__.rstrip("_")).symbolic_call(*args)


KerasTensor._apply = staticmethod(_apply_operator)


@symbolic
def cast(x: Any, dtype: Any) -> Any:
    """`x` converted to `dtype`."""
    return tensors.cast(x, dtype)
