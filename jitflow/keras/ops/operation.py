"""Operations of a functional model, and the nodes that record their calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jitflow as jf
from jitflow.errors import ArgumentTypeError
from jitflow.keras.backend.call_context import (
    get_keras_mask,
    outside_traces,
    set_keras_mask,
)
from jitflow.keras.backend.global_state import auto_name
from jitflow.keras.backend.keras_tensor import (
    History,
    KerasTensor,
    any_symbolic_tensors,
)
from jitflow.tracing import TraceContext
from jitflow.tracing.structure import flatten, map_structure


class Node:
    """One call of an operation on symbolic tensors.

    Attributes:
        operation: what was called.
        args: positional arguments, with `KerasTensor`s inside.
        kwargs: keyword arguments.
        outputs: the symbolic results, flat.
    """

    def __init__(
        self, operation: Operation, args: Any, kwargs: Any, outputs: Any
    ) -> None:
        self.operation = operation
        self.args = tuple(args)
        self.kwargs = dict(kwargs)
        self.structure = outputs
        self.outputs = [t for t in flatten(outputs)[0] if isinstance(t, KerasTensor)]
        self.index = len(operation._inbound_nodes)
        operation._inbound_nodes.append(self)
        for position, tensor in enumerate(self.outputs):
            tensor._keras_history = History(operation, self.index, position)

    @property
    def inputs(self) -> list[KerasTensor]:
        """The symbolic tensors among the arguments, in order."""
        leaves = flatten([self.args, self.kwargs])[0]
        return [x for x in leaves if isinstance(x, KerasTensor)]

    @property
    def is_input(self) -> bool:
        """Whether this is an input of a model."""
        return not self.inputs

    def fill_in(self, value_of: Callable[[KerasTensor], Any]) -> tuple[Any, Any]:
        """The arguments with the symbolic tensors replaced."""

        def fill(x: Any) -> Any:
            return value_of(x) if isinstance(x, KerasTensor) else x

        return map_structure(fill, self.args), map_structure(fill, self.kwargs)


class Operation:
    """Something that maps tensors to tensors and can be part of a functional model.

    Args:
        name: made from the class name when left out.

    Raises:
        ArgumentTypeError: if the name is not a string.
    """

    def __init__(self, name: str | None = None) -> None:
        if name is not None and (not isinstance(name, str) or "/" in name):
            raise ArgumentTypeError(
                f"name: a string without '/' is needed, given {name!r}"
            )
        self.name = name or auto_name(type(self).__name__)
        self._inbound_nodes: list[Node] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run, or record a call if an argument is symbolic."""
        if any_symbolic_tensors(args, kwargs):
            return self.symbolic_call(*args, **kwargs)
        return self.call(*args, **kwargs)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The computation; subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} implements call()")

    def symbolic_call(self, *args: Any, **kwargs: Any) -> Any:
        """The symbolic results, with a node that remembers the call."""
        outputs = self.compute_output_spec(*args, **kwargs)
        Node(self, args, kwargs, outputs)
        return outputs

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Shapes and dtypes of the results, as `KerasTensor`s, by tracing `call`."""
        return infer_outputs(self.call, args, kwargs)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the operation."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A new operation of that configuration."""
        return cls(**config)

    def _tensors_of(self, side: str) -> Any:
        if len(self._inbound_nodes) != 1:
            raise AttributeError(
                f"{self.name!r} has been called {len(self._inbound_nodes)} times on "
                f"symbolic tensors, so it has no single {side}"
            )
        node = self._inbound_nodes[0]
        if side == "output":
            return node.structure
        return node.inputs[0] if len(node.inputs) == 1 else node.inputs

    @property
    def input(self) -> Any:
        """The symbolic input(s), if it was called once."""
        return self._tensors_of("input")

    @property
    def output(self) -> Any:
        """The symbolic output(s), if it was called once."""
        return self._tensors_of("output")


def infer_outputs(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """What `function` gives for symbolic tensors, found by tracing it.

    The function runs on tensors of a trace that is thrown away; what it returns comes
    back as `KerasTensor`s of the same structure. Variables that it creates stay, values
    that it assigns to variables do not.
    """
    with outside_traces():
        trace = TraceContext("model")
        traced: dict[int, Any] = {}

        def enter(x: Any) -> Any:
            if not isinstance(x, KerasTensor):
                return x
            if id(x) not in traced:
                traced[id(x)] = trace.parameter(x.type, x.name)
                mask = x._keras_mask
                set_keras_mask(traced[id(x)], mask and enter(mask))
            return traced[id(x)]

        with trace.active():
            outputs = function(
                *map_structure(enter, args), **map_structure(enter, kwargs)
            )
            return map_structure(_leave, outputs)


def _leave(x: Any) -> Any:
    """A traced result as a symbolic tensor; variables and arrays have types too."""
    if isinstance(x, jf.Variable):
        x = x.value
    if not isinstance(x, jf.Tensor):
        return x
    tensor = KerasTensor(x.shape, x.dtype)
    mask = get_keras_mask(x)
    tensor._keras_mask = None if mask is None else KerasTensor(mask.shape, "bool")
    return tensor
