"""The state of a layer: variables, sublayers, losses and weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np

import jitflow as jf
from jitflow.errors import ArgumentError, ArgumentTypeError, ShapeError
from jitflow.keras.backend.call_context import calls
from jitflow.keras.layers import tracking
from jitflow.tensor.state import state
from jitflow.tensor.tensor import TracedTensor
from jitflow.tracing.structure import flatten


class LayerState:
    """What a layer owns, found through its attributes; a base of `Layer`."""

    name: str
    built: bool
    _trainable: bool
    _tracked: dict[str, Any]
    _own_variables: list[Any]
    _trainable_ids: set[int]
    _losses: list[Any]
    _building: bool
    _init_arguments: dict[str, Any] | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        # Here and not in __init__, so that attributes may be set before
        # super().__init__() is called.
        layer = object.__new__(cls)
        fields = layer.__dict__
        fields["_tracked"] = {}
        fields["_own_variables"] = []
        fields["_trainable_ids"] = set()
        fields["_trainable"] = True
        fields["_losses"] = []
        fields["_building"] = False
        fields["_init_arguments"] = None
        return layer

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if type(value) in tracking.PLAIN or name in _BOOKKEEPING:
            self._tracked.pop(name, None)
        elif tracking.is_trackable(value):
            self._tracked[name] = value
        else:
            self._tracked.pop(name, None)

    def __delattr__(self, name: str) -> None:
        removed = self._tracked.pop(name, None)
        self._own_variables[:] = [v for v in self._own_variables if v is not removed]
        object.__delattr__(self, name)

    # ------------------------------------------------------------- what belongs to it

    @property
    def _sublayers(self) -> list[Any]:
        """The layers directly inside, in the order of the attributes."""
        return tracking.of_kind(self._tracked.values(), "layer")

    def _flatten_layers(
        self, include_self: bool = True, recursive: bool = True
    ) -> Iterator[Any]:
        """The layers inside, each before what is inside it, without repetition."""
        seen: set[int] = set()
        stack = [self] if include_self else self._sublayers[::-1]
        while stack:
            layer = stack.pop()
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            yield layer
            if recursive or layer is self:
                stack.extend(layer._sublayers[::-1])

    def _own(self, variable: Any) -> None:
        """Make a variable one of the layer's."""
        if all(variable is not v for v in self._own_variables):
            self._own_variables.append(variable)
            self._trainable_ids |= {id(variable)} if variable.trainable else set()
            variable.trainable = variable.trainable and self._trainable

    def _direct_variables(self) -> list[Any]:
        """Its own variables: those that started out trainable first."""
        for value in list(tracking.walk(self._tracked.values())):
            if isinstance(value, jf.Variable):
                self._own(value)
        ids = self._trainable_ids
        return [
            *(v for v in self._own_variables if id(v) in ids),
            *(v for v in self._own_variables if id(v) not in ids),
        ]

    @property
    def weights(self) -> list[Any]:
        """Variables that a saved model keeps: its own, then those of its layers."""
        own = self._direct_variables()
        inside = (w for layer in self._sublayers for w in layer.weights)
        return tracking.unique((*own, *inside))

    @property
    def variables(self) -> list[Any]:
        """All variables, the states of random generators among them."""
        own = self._direct_variables()
        seeds = tracking.of_kind(self._tracked.values(), "seed_generator")
        inside = (v for layer in self._sublayers for v in layer.variables)
        return tracking.unique((*own, *(s.state for s in seeds), *inside))

    @property
    def trainable_weights(self) -> list[Any]:
        """Weights that are trained; empty if the layer is frozen."""
        return self._trained(self.weights)

    @property
    def non_trainable_weights(self) -> list[Any]:
        """Weights that are not trained."""
        return _without(self.weights, self._trained(self.weights))

    @property
    def trainable_variables(self) -> list[Any]:
        """Variables that are trained; empty if the layer is frozen."""
        return self._trained(self.variables)

    @property
    def non_trainable_variables(self) -> list[Any]:
        """Variables that are not trained."""
        return _without(self.variables, self._trained(self.variables))

    def _trained(self, variables: list[Any]) -> list[Any]:
        if state.trace is not None:
            self._observe_trainable(variables)
        if not self._trainable:
            return []
        return [v for v in variables if v.trainable]

    def _observe_trainable(self, variables: list[Any]) -> None:
        """Let a trace end when something is frozen or thawed later."""
        for layer in self._flatten_layers():
            state.trace.observe_attribute(layer, "_trainable")
        for variable in variables:
            state.trace.observe_attribute(variable, "trainable")

    @property
    def metrics(self) -> list[Any]:
        """The metrics of this layer and of those inside."""
        found = (
            metric
            for layer in self._flatten_layers()
            for metric in tracking.of_kind(layer._tracked.values(), "metric")
        )
        return tracking.unique(found)

    @property
    def metrics_variables(self) -> list[Any]:
        """The variables of the metrics."""
        return [v for metric in self.metrics for v in metric.variables]

    # ----------------------------------------------------------------------- trainable

    @property
    def trainable(self) -> bool:
        """Whether the variables are trained; setting it reaches all layers inside."""
        if state.trace is not None:
            state.trace.observe_attribute(self, "_trainable")
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for variable in self._direct_variables():
            if id(variable) in self._trainable_ids:
                variable.trainable = self._trainable
        for layer in self._sublayers:
            layer.trainable = value

    # -------------------------------------------------------------------------- losses

    def add_loss(self, loss: Any) -> None:
        """Add a penalty of this call to the loss of the model.

        Args:
            loss: a scalar tensor, or several.

        Raises:
            ArgumentTypeError: for anything that is not a number or tensor.
        """
        for value in flatten(loss)[0]:
            if isinstance(value, jf.Variable) or not isinstance(
                value, jf.Tensor | int | float
            ):
                raise ArgumentTypeError(
                    "loss: a scalar tensor is needed; a variable's penalty is its "
                    "regularizer",
                    operands={"loss": value},
                )
            self._losses.append(jf.asarray(value))
            calls.pending_losses = True

    def _clear_losses(self) -> None:
        for layer in self._flatten_layers():
            layer._losses.clear()

    @property
    def losses(self) -> list[Any]:
        """Penalties of the last call and of regularized weights, as scalars."""
        added = [
            loss
            for layer in self._flatten_layers()
            for loss in layer._losses
            if not _is_stale(loss)
        ]
        penalties = [
            w.regularizer(w)
            for w in self.trainable_weights
            if getattr(w, "regularizer", None) is not None
        ]
        return [*added, *penalties]

    # ------------------------------------------------------------------------- weights

    def get_weights(self) -> list[np.ndarray]:
        """The values of the weights, as arrays."""
        return [w.numpy() for w in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace the values of the weights.

        Args:
            weights: arrays in the order of `get_weights`.

        Raises:
            ArgumentError: if their number differs.
            ShapeError: if a shape differs.
        """
        own = self.weights
        if len(own) != len(weights):
            raise ArgumentError(
                f"{type(self).__name__} {self.name!r} has {len(own)} weights, "
                f"{len(weights)} were given",
                fix="build the layer first, and pass what get_weights() gives",
            )
        for variable, value in zip(own, weights, strict=True):
            if tuple(np.shape(value)) != variable.shape:
                path = getattr(variable, "path", variable.name)
                raise ShapeError(
                    f"weight {path!r} has shape {variable.shape}, the value has shape "
                    f"{np.shape(value)}"
                )
        for variable, value in zip(own, weights, strict=True):
            variable.assign(value)

    def count_params(self) -> int:
        """Number of elements of all weights.

        Raises:
            ArgumentError: if the weights do not exist yet.
        """
        if not self.built:
            raise ArgumentError(
                f"{type(self).__name__} {self.name!r} is not built, so it has no "
                "weights to count",
                fix="call it on data, or use build(input_shape)",
            )
        return sum(prod(w.shape) for w in self.weights)

    def save_own_variables(self, store: dict[str, Any]) -> None:
        """Put the layer's own variables into a dict of arrays."""
        for i, variable in enumerate(self._direct_variables()):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Take the layer's own variables from a dict of arrays.

        Raises:
            ArgumentError: if their number differs.
        """
        own = self._direct_variables()
        if len(store) != len(own):
            raise ArgumentError(
                f"{type(self).__name__} {self.name!r} has {len(own)} variables, "
                f"{len(store)} are stored",
                fix="build the model with the same layers as the saved one",
            )
        for i, variable in enumerate(own):
            variable.assign(store[str(i)])


# Attributes of the framework that hold symbolic tensors or plain values only.
_BOOKKEEPING = frozenset(
    (
        *(
            "_inbound_nodes",
            "_build_shapes",
            "_init_arguments",
            "_losses",
            "input_spec",
        ),
        *("_input_shape_argument", "_own_variables", "_tracked", "_trainable_ids"),
    )
)


def _without(values: list[Any], others: list[Any]) -> list[Any]:
    ids = {id(v) for v in others}
    return [v for v in values if id(v) not in ids]


def _is_stale(loss: Any) -> bool:
    """Whether a loss was left behind by a trace that has ended."""
    return isinstance(loss, TracedTensor) and loss._trace.closed
