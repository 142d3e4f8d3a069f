"""`Functional`: a model that is a graph of layers between inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jitflow as jf
from jitflow.dtypes import as_dtype
from jitflow.errors import ArgumentError
from jitflow.keras.backend.call_context import set_keras_mask
from jitflow.keras.backend.keras_tensor import KerasTensor
from jitflow.keras.backend.tensors import shape_of
from jitflow.keras.layers.core.input_layer import InputLayer
from jitflow.keras.layers.input_spec import InputSpec, check_inputs
from jitflow.keras.models import functional_config
from jitflow.keras.models.graph import Graph, node_of
from jitflow.keras.models.model import Model
from jitflow.keras.ops.operation import Node
from jitflow.keras.saving.registration import keras_export
from jitflow.tensor.tensor import TracedTensor
from jitflow.tracing.structure import flatten, map_structure, unflatten


@keras_export("keras.src.models.functional.Functional", "keras.models.Functional")
class Functional(Model):
    """A model of the layers between symbolic inputs and outputs.

    Args:
        inputs: a `keras.Input`, or a list or dict of them.
        outputs: what was computed from them, in any nesting.
        name: of the model.

    Raises:
        ArgumentError: if the outputs do not follow from the inputs.
    """

    def __init__(
        self, inputs: Any, outputs: Any, name: str | None = None, **kwargs: Any
    ) -> None:
        trainable = kwargs.pop("trainable", True)
        Model._start(self, name=name, **kwargs)
        self._input_leaves, self._input_structure = flatten(inputs)
        self._output_leaves, self._output_structure = flatten(outputs)
        for tensor in (*self._input_leaves, *self._output_leaves):
            node_of(tensor)
        self._graph = Graph(self._input_leaves, self._output_leaves)
        self._operations = [
            op for op in self._graph.operations if getattr(op, "_tracked_as", None)
        ]
        self._steps = self._prepare()
        self._set_input_spec()
        self.built = True
        if not trainable:
            self.trainable = False

    def _prepare(self) -> list[_Step]:
        """The calls to make, over numbered slots in place of symbolic tensors."""
        slots = {id(t): i for i, t in enumerate(self._input_leaves)}
        steps = []
        for node in self._graph.nodes:
            for tensor in node.outputs:
                slots.setdefault(id(tensor), len(slots))
            steps.append(_Step(node, slots))
        self._output_slots = [slots[id(t)] for t in self._output_leaves]
        self._slot_count = len(slots)
        # A list of one output counts as that output, as in Keras.
        kind = self._output_structure.kind
        self._single_output = len(self._output_slots) == 1 and kind in (
            None,
            list,
            tuple,
        )
        return steps

    def _set_input_spec(self) -> None:
        specs = [
            InputSpec(
                shape=(None, *t.shape[1:]) if t.shape else (),
                allow_last_axis_squeeze=True,
                name=node_of(t).operation.name,
                optional=getattr(node_of(t).operation, "optional", False),
            )
            for t in self._input_leaves
        ]
        self._input_names = [str(spec.name) for spec in specs]
        self._input_types = [as_dtype(t.dtype) for t in self._input_leaves]
        self._input_specs = specs

    # -------------------------------------------------------------------- description

    @property  # type: ignore[misc]
    def layers(self) -> list[Any]:
        """The layers, inputs first, by the longest way to an output."""
        return list(self._operations)

    @property
    def operations(self) -> list[Any]:
        """The layers and functions."""
        return list(self._graph.operations)

    @property
    def inputs(self) -> list[KerasTensor]:
        """The symbolic inputs, flat."""
        return list(self._input_leaves)

    @property
    def outputs(self) -> list[KerasTensor]:
        """The symbolic outputs, flat."""
        return list(self._output_leaves)

    @property
    def input(self) -> Any:
        """The symbolic input(s) as they were given."""
        return unflatten(self._input_structure, self._input_leaves)

    @property
    def output(self) -> Any:
        """The symbolic output(s) as they were given."""
        return unflatten(self._output_structure, self._output_leaves)

    @property
    def input_shape(self) -> Any:
        """The shape(s) of the input(s), None where open."""
        return map_structure(shape_of, self.input)

    @property
    def output_shape(self) -> Any:
        """The shape(s) of the output(s), None where open."""
        return map_structure(shape_of, self.output)

    @property
    def input_names(self) -> list[str]:
        """The names under which dicts give the data."""
        return list(self._input_names)

    @property
    def output_names(self) -> list[str]:
        """The names of the layers that make the outputs."""
        return [node_of(t).operation.name for t in self._output_leaves]

    # ------------------------------------------------------------------------ running

    def build(self, input_shape: Any) -> None:
        """A functional model is built from the start."""

    def get_build_config(self) -> dict[str, Any]:
        """There is no shape to build for."""
        return {"input_shape": None}

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Run the layers on tensors (in any structure that fits the inputs).

        Raises:
            ShapeError: if an input does not fit.
        """
        values: list[Any] = [None] * self._slot_count
        values[: len(self._input_leaves)] = self._standardize(inputs)
        if mask is not None:
            for x, m in zip(values, flatten(mask)[0], strict=False):
                set_keras_mask(x, m)
        for step in self._steps:
            step.run(values)
        results = [values[i] for i in self._output_slots]
        if self._single_output:
            return results[0]
        return unflatten(self._output_structure, results)

    def _standardize(self, inputs: Any) -> list[Any]:
        """The inputs flat, by name from a dict, of the right rank and type."""
        leaves = [inputs]
        if type(inputs) not in _LEAVES:
            leaves = self._by_name(inputs)
        if len(leaves) != len(self._input_leaves):
            raise ArgumentError(
                f"model {self.name!r} has {len(self._input_leaves)} inputs "
                f"({', '.join(self._input_names)}), {len(leaves)} were given",
                fix="pass a list in that order, or a dict by those names",
            )
        wanted = zip(leaves, self._input_specs, self._input_types, strict=True)
        return [self._fit(x, spec, dtype) for x, spec, dtype in wanted]

    def _by_name(self, inputs: Any) -> list[Any]:
        if not isinstance(inputs, Mapping):
            return flatten(inputs)[0]
        if self._input_structure.kind is dict:
            names = list(self._input_structure.meta)
        else:
            names = self._input_names
        optional = {s.name for s in self._input_specs if s.optional}
        missing = [n for n in names if n not in inputs and n not in optional]
        if missing:
            raise ArgumentError(
                f"model {self.name!r}: the inputs lack {missing[0]!r}",
                fix=f"pass a dict with the keys {names}",
            )
        return flatten([inputs.get(n) for n in names])[0]

    def _fit(self, x: Any, spec: InputSpec, dtype: Any) -> Any:
        if x is None and spec.optional:
            return None
        if not isinstance(x, jf.Tensor):
            x = jf.asarray(x)
        if not spec.accepts(x):
            x = self._adjust_rank(x, spec)
        return x if x.dtype is dtype else jf.astype(x, dtype)

    def _adjust_rank(self, x: Any, spec: InputSpec) -> Any:
        """Add or drop a last axis of size 1, as Keras does; else explain."""
        assert spec.shape is not None
        rank, wanted = len(x.shape), len(spec.shape)
        if rank == wanted + 1 and x.shape[-1] == 1:
            x = jf.squeeze(x, axis=-1)
        elif rank == wanted - 1 and spec.shape[-1] == 1:
            x = jf.expand_dims(x, axis=-1)
        check_inputs(spec, x, self)
        return x

    # ------------------------------------------------------------------ configuration

    def get_config(self) -> dict[str, Any]:
        """The layers and how they are connected.

        A subclass with its own constructor has the configuration of its arguments.
        """
        if type(self) is not Functional:
            config = Model.get_config(self)
            own = type(self).get_config is not Functional.get_config
            return config if own else config | self._remembered_arguments(config)
        for tensor in self._input_leaves:
            if not isinstance(node_of(tensor).operation, InputLayer):
                raise ArgumentError(
                    f"model {self.name!r} starts from an intermediate tensor, so it "
                    "has no configuration of its own"
                )
        return functional_config.config_of(self)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """A new model of that configuration."""
        if "input_layers" not in config:
            return Model.from_config.__func__(cls, config)  # type: ignore
        return functional_config.model_from(cls, config, custom_objects)


class _Step:
    """One call: an operation, and where its arguments and results are kept."""

    __slots__ = ("arguments", "fast", "node", "operation", "outputs")

    def __init__(self, node: Node, slots: dict[int, int]) -> None:
        self.node = node
        self.operation = node.operation
        self.outputs = [slots[id(t)] for t in node.outputs]
        one = len(node.args) == 1 and isinstance(node.args[0], KerasTensor)
        simple = one and not node.kwargs and len(self.outputs) == 1
        # Nearly every node takes one tensor and gives one.
        self.fast = slots[id(node.args[0])] if simple else None
        self.arguments = {id(t): slots[id(t)] for t in node.inputs}

    def run(self, values: list[Any]) -> None:
        """Make the call and keep its results."""
        if self.fast is not None:
            values[self.outputs[0]] = self.operation(values[self.fast])
            return
        arguments = self.arguments
        args, kwargs = self.node.fill_in(lambda t: values[arguments[id(t)]])
        results = flatten(self.operation(*args, **kwargs))[0]
        tensors = [r for r in results if isinstance(r, jf.Tensor)]
        for slot, value in zip(self.outputs, tensors, strict=True):
            values[slot] = value


_LEAVES = frozenset((jf.Tensor, TracedTensor))

Model._functional_class = Functional
