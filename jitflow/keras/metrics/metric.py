"""`Metric`: a value gathered over batches, in variables, and read when wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

import jitflow as jf
from jitflow.dtypes import as_dtype
from jitflow.errors import ArgumentError
from jitflow.keras import backend
from jitflow.keras.backend.global_state import auto_name
from jitflow.keras.backend.variable import Variable
from jitflow.keras.saving.registration import keras_export
from jitflow.tracing import init_scope


@keras_export("keras.Metric", "keras.metrics.Metric")
class Metric:
    """Base of all metrics; a subclass defines `update_state` and `result`.

    The state is in variables, so that updates are part of a compiled step.

    Args:
        dtype: of the state; the default float type if None.
        name: shown in logs.
    """

    _tracked_as = "metric"

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self.name = name or auto_name(type(self).__name__)
        self._dtype = backend.standardize_dtype(dtype or backend.floatx())
        self._variables: list[Variable] = []
        self._initial: list[np.ndarray] = []

    @property
    def dtype(self) -> str:
        """Name of the element type of the state."""
        return self._dtype

    @property
    def variables(self) -> list[Variable]:
        """The state, in the order of creation."""
        return [v for metric in self._parts() for v in metric._variables]

    def _parts(self) -> list[Metric]:
        """This metric and those in its attributes."""
        inner = [v for v in vars(self).values() if isinstance(v, Metric)]
        return [self, *(part for metric in inner for part in metric._parts())]

    def add_variable(
        self,
        shape: Sequence[int] = (),
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str = "sum",
        name: str | None = None,
    ) -> Variable:
        """A new variable of the state.

        Args:
            shape: of the variable.
            initializer: a number that fills it, ``"zeros"``, ``"ones"``, or a callable
                ``(shape, dtype=...)``. `reset_state` goes back to this value.
            dtype: that of the metric if None.
            aggregation: kept on the variable for distribution strategies.
            name: last part of its path.
        """
        dtype = dtype or self._dtype
        with init_scope():
            value = np.asarray(_initial(initializer, tuple(shape), dtype))
        with jf.name_scope(self.name):
            variable = Variable(
                value,
                dtype=dtype,
                trainable=False,
                autocast=False,
                aggregation=aggregation,
                name=name,
            )
        self._variables.append(variable)
        self._initial.append(value)
        return variable

    def add_weight(
        self,
        shape: Sequence[int] = (),
        initializer: Any = None,
        dtype: Any = None,
        name: str | None = None,
    ) -> Variable:
        """See `add_variable`."""
        return self.add_variable(shape, initializer or "zeros", dtype, name=name)

    def update_state(self, *args: Any, **kwargs: Any) -> Any:
        """Take a batch into account."""
        raise NotImplementedError(f"{type(self).__name__} does not define update_state")

    def result(self) -> Any:
        """The value of the metric now, as a tensor (or a dict of tensors)."""
        raise NotImplementedError(f"{type(self).__name__} does not define result")

    def reset_state(self) -> None:
        """Forget all batches."""
        for metric in self._parts():
            for variable, value in zip(metric._variables, metric._initial, strict=True):
                variable.assign(value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Take a batch into account and return the value."""
        self.update_state(*args, **kwargs)
        return self.result()

    # ---------------------------------------------------------------- stateless forms

    def stateless_update_state(
        self, metric_variables: Sequence[Any], *args: Any, **kwargs: Any
    ) -> list[Any]:
        """The state after a batch, from a given one; the metric stays as it is.

        Raises:
            ArgumentError: if the number of values is not that of `variables`.
        """
        return self._with(metric_variables, lambda: self.update_state(*args, **kwargs))[
            1
        ]

    def stateless_result(self, metric_variables: Sequence[Any]) -> Any:
        """The value for a given state.

        Raises:
            ArgumentError: if the number of values is not that of `variables`.
        """
        return self._with(metric_variables, self.result)[0]

    def stateless_reset_state(self) -> list[Any]:
        """The state before the first batch."""
        return [jf.asarray(v) for part in self._parts() for v in part._initial]

    def _with(self, values: Sequence[Any], action: Any) -> tuple[Any, list[Any]]:
        variables = self.variables
        if len(values) != len(variables):
            raise ArgumentError(
                f"metric_variables: {len(values)} values for {len(variables)} variables"
            )
        before = [v.value for v in variables]
        try:
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
            result = action()
            return result, [v.value for v in variables]
        finally:
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal metric."""
        return {"name": self.name, "dtype": self._dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """A metric from the result of `get_config`."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def _initial(initializer: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    if callable(initializer):
        return initializer(shape, dtype=backend.standardize_dtype(dtype))
    fill = {"zeros": 0, "ones": 1}.get(initializer, initializer)
    return np.full(shape, fill, as_dtype(dtype).np)
