"""`Slots`: the variables that an optimizer keeps, one set for each trained variable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

import jitflow as jf
from jitflow.dtypes import as_dtype
from jitflow.errors import ArgumentError
from jitflow.keras import backend
from jitflow.keras.backend.variable import Variable
from jitflow.tracing import init_scope


class Slots:
    """Variables of an optimizer, and where to find those of a trained variable.

    Args:
        name: first part of their paths.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._variables: list[Variable] = []
        self._index: dict[int, int] = {}
        self._slots: dict[tuple[int, str], Variable] = {}

    @property
    def variables(self) -> list[Variable]:
        """Everything the optimizer remembers: step, learning rate, slots."""
        return self._variables[:]

    def _state(self, value: Any, dtype: Any, name: str) -> Variable:
        variable = Variable(
            value, dtype=dtype, trainable=False, autocast=False, name=name
        )
        self._variables.append(variable)
        return variable

    def add_variable(
        self,
        shape: Sequence[int],
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str = "none",
        layout: Any = None,
        name: str | None = None,
    ) -> Variable:
        """A new variable of the optimizer.

        Args:
            shape: of the variable.
            initializer: a number that fills it, ``"zeros"``, ``"ones"``, or a callable
                ``(shape, dtype=...)``.
            dtype: the default float type if None.
            aggregation: kept on the variable for distribution strategies.
            layout: accepted for Keras' signature; there is one device.
            name: last part of its path.
        """
        with init_scope():
            value = _initial(initializer, tuple(shape), dtype or backend.floatx())
        with jf.name_scope(self.name):
            variable = self._state(value, dtype or backend.floatx(), name or "variable")
        variable.aggregation = aggregation
        return variable

    def add_variable_from_reference(
        self,
        reference_variable: Any,
        name: str | None = None,
        initializer: Any = "zeros",
    ) -> Variable:
        """A variable of the shape and dtype of another one; the same one next time."""
        key = (id(reference_variable), name or "optimizer_variable")
        if key not in self._slots:
            path = getattr(reference_variable, "path", reference_variable.name)
            self._slots[key] = self.add_variable(
                reference_variable.shape,
                initializer,
                reference_variable.dtype,
                name=f"{path.replace('/', '_')}_{key[1]}",
            )
        return self._slots[key]

    def add_optimizer_variables(
        self, trainable_variables: Iterable[Any], name: Any, initializer: Any = "zeros"
    ) -> Any:
        """A slot for every variable; a list of lists for several names."""
        if not isinstance(name, str):
            initial = _one_each(initializer, name)
            return [
                self.add_optimizer_variables(trainable_variables, n, i)
                for n, i in zip(name, initial, strict=True)
            ]
        return [
            self.add_variable_from_reference(v, name, initializer)
            for v in trainable_variables
        ]

    def _get_variable_index(self, variable: Any) -> int:
        return self._index[id(variable)]

    def slot(self, slots: Sequence[Any], variable: Any) -> Any:
        """The slot of `variable` in what `add_optimizer_variables` returned."""
        return slots[self._index[id(variable)]]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set all variables of the optimizer, in the order of `variables`.

        Raises:
            ArgumentError: if there are more or fewer of them.
        """
        if len(weights) != len(self._variables):
            raise ArgumentError(
                f"weights: {len(weights)} arrays for {len(self._variables)} variables",
                fix="build the optimizer on the model's variables first",
            )
        assign_all(self._variables, weights)

    def get_weights(self) -> list[Any]:
        """The values of all variables of the optimizer as NumPy arrays."""
        return [v.numpy() for v in self._variables]

    def save_own_variables(self, store: Any) -> None:
        """Put the values of all variables into a mapping, by position."""
        for i, variable in enumerate(self.variables):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Take the values of all variables from a mapping, by position."""
        self.set_weights([store[str(i)] for i in range(len(store))])


def _initial(initializer: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    if callable(initializer):
        return initializer(shape, dtype=backend.standardize_dtype(dtype))
    fill = {"zeros": 0.0, "ones": 1.0}.get(initializer, initializer)
    return np.full(shape, fill, as_dtype(dtype).np)


def _one_each(initializer: Any, names: Sequence[str]) -> Sequence[Any]:
    if isinstance(initializer, list | tuple):
        return initializer
    return [initializer] * len(names)


def assign_all(variables: Iterable[Any], values: Iterable[Any]) -> None:
    """Set variables, one by one."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
