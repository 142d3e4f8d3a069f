"""Matching targets, weights, losses and metrics to the outputs of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitflow.errors import ArgumentError
from jitflow.tracing.structure import LEAF, flatten


class Outputs:
    """The outputs of a model by position and name.

    Args:
        y_pred: a tensor, or a (nested) structure of them.
        names: of the outputs, where the model has some.
    """

    def __init__(self, y_pred: Any, names: Sequence[str] | None = None) -> None:
        leaves, structure = flatten(y_pred)
        self.is_single = structure is LEAF
        self.is_mapping = isinstance(y_pred, dict)
        self.count = len(leaves)
        if self.is_mapping and structure.size == len(y_pred):
            self.names = [str(key) for key in y_pred]
        elif names is not None and len(names) == len(leaves):
            self.names = [str(name) for name in names]
        else:
            self.names = [f"output_{i + 1}" for i in range(len(leaves))]

    def spread(
        self, argument: str, given: Any, is_value: Any, repeat: bool
    ) -> list[Any]:
        """What `given` says for each output, None where it says nothing.

        Args:
            argument: name for messages.
            given: one value, a list by position, a dict by name, or None.
            is_value: tells a value from a list or dict of values.
            repeat: whether one value stands for all outputs.

        Raises:
            ArgumentError: for wrong lengths and unknown names.
        """
        if given is None:
            return [None] * self.count
        if isinstance(given, dict):
            return self._by_name(argument, given)
        if isinstance(given, list | tuple) and not is_value(given):
            if self.is_single and len(given) != 1:
                raise self._wrong_length(argument, given)
            return self._by_position(argument, list(given))
        if self.count > 1 and not repeat:
            raise self._wrong_length(argument, [given])
        return [given] * self.count

    def _by_name(self, argument: str, given: dict[str, Any]) -> list[Any]:
        unknown = [key for key in given if key not in self.names]
        if unknown:
            raise ArgumentError(
                f"{argument}: {unknown[0]!r} is not an output of the model",
                fix=f"outputs are: {', '.join(self.names)}",
            )
        return [given.get(name) for name in self.names]

    def _by_position(self, argument: str, given: list[Any]) -> list[Any]:
        if len(given) != self.count:
            raise self._wrong_length(argument, given)
        return given

    def _wrong_length(self, argument: str, given: Sequence[Any]) -> ArgumentError:
        return ArgumentError(
            f"{argument}: {len(given)} given, the model has {self.count} outputs",
            fix=f"give one for each of: {', '.join(self.names)}",
        )

    def values(self, argument: str, structure: Any) -> list[Any]:
        """Tensors for the outputs, from one tensor, a list, a dict, or None.

        Raises:
            ArgumentError: if their number is not that of the outputs.
        """
        if isinstance(structure, dict) and not self.is_single:
            return self._by_name(argument, structure)
        leaves, _ = flatten(structure)
        if len(leaves) != self.count:
            raise self._wrong_length(argument, leaves)
        return leaves
