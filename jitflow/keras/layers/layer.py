"""`Layer`: variables, sublayers and a computation, under one name.

`__call__` is the path that eager calls and traces take, so it does no more than it
must: cast the input, build once, find `training` and masks, run `call` in a name scope.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import jitflow as jf
from jitflow.errors import ArgumentError, ShapeError
from jitflow.keras import dtype_policies, initializers, regularizers
from jitflow.keras.backend.call_context import (
    calls,
    get_keras_mask,
    outside_traces,
    set_keras_mask,
)
from jitflow.keras.backend.dtypes import is_float_dtype, standardize_dtype
from jitflow.keras.backend.keras_tensor import KerasTensor, any_symbolic_tensors
from jitflow.keras.backend.tensors import (
    map_shapes,
    shape_of,
    shapes_of,
    symbolic_inputs,
)
from jitflow.keras.backend.variable import Variable
from jitflow.keras.layers.arguments import (
    input_shape_argument,
    is_plain,
    remembering_init,
    split_by_signature,
    unknown_keywords,
)
from jitflow.keras.layers.call_spec import CallSpec, call_spec_of
from jitflow.keras.layers.input_spec import check_inputs
from jitflow.keras.layers.state import LayerState
from jitflow.keras.ops.operation import Node, Operation, infer_outputs
from jitflow.keras.ops.symbolic import cast as symbolic_cast
from jitflow.keras.saving.registration import keras_export
from jitflow.keras.saving.serialization import serialize_keras_object
from jitflow.tensor.state import state, user_function
from jitflow.tensor.tensor import TracedTensor
from jitflow.tracing.structure import flatten, map_structure


@keras_export("keras.Layer", "keras.layers.Layer")
class Layer(LayerState, Operation):
    """Base of all layers and models.

    Subclasses define ``call(self, inputs, ...)``, usually ``build(self, input_shape)``,
    which makes the variables with `add_weight`, and ``get_config``.

    Args:
        activity_regularizer: penalty on the outputs.
        trainable: whether its variables are trained.
        dtype: dtype or policy; the global policy when left out.
        autocast: whether floating-point inputs are cast to the compute dtype.
        name: made from the class name when left out.

    Attributes:
        built: whether the variables exist.
        input_spec: what inputs must look like; an `InputSpec`, a nest of them, or None.
        supports_masking: whether a mask of the input is passed on.

    Raises:
        ArgumentError: for an unknown keyword.
    """

    _tracked_as: ClassVar[str] = "layer"
    # Attributes that are constructor arguments of the same name, for get_config.
    _arguments: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "build" in cls.__dict__:
            cls.build = _scoped_build(cls.__dict__["build"])  # type: ignore
        if "__init__" in cls.__dict__:
            cls.__init__ = remembering_init(cls.__dict__["__init__"])  # type: ignore

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        Operation.__init__(self, name)
        self._input_shape_argument = input_shape_argument(kwargs)
        if kwargs:
            raise unknown_keywords(type(self), kwargs)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.dtype_policy = dtype_policies.get(dtype)
        self.autocast = autocast
        self._trainable = bool(trainable)
        self.built = False
        self.input_spec: Any = None
        self.supports_masking = getattr(self, "supports_masking", False)
        self._path: str | None = None
        self._build_shapes: dict[str, Any] | None = None

    # ------------------------------------------------------------------------- dtypes

    @property
    def dtype_policy(self) -> dtype_policies.DTypePolicy:
        """The policy behind the dtypes."""
        return self._dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, value: Any) -> None:
        policy = dtype_policies.get(value)
        self._dtype_policy = policy
        self._compute_type = policy.compute_type
        # Variables are read in lower precision only where that makes a difference.
        mixed = policy.compute_dtype != policy.variable_dtype
        self._autocast_type = policy.compute_type if mixed else None

    @property
    def dtype(self) -> str:
        """Name of the dtype of the variables."""
        return self._dtype_policy.variable_dtype

    @property
    def variable_dtype(self) -> str:
        """Name of the dtype of the variables."""
        return self._dtype_policy.variable_dtype

    @property
    def compute_dtype(self) -> str:
        """Name of the dtype of the computation."""
        return self._dtype_policy.compute_dtype

    @property
    def input_dtype(self) -> str:
        """Name of the dtype that inputs are cast to."""
        return self._dtype_policy.compute_dtype

    @property
    def path(self) -> str:
        """Where the layer stands: ``model/dense_1``; its name before it is built."""
        return self._path or self.name

    # ----------------------------------------------------------------------- building

    def build(self, input_shape: Any) -> None:
        """Make the variables for inputs of a shape (None where it is open)."""
        if type(self).call is Layer.call or self.built:
            return
        # What a layer of layers contains is built when it is called.
        self._run_on_shapes(input_shape)

    def _run_on_shapes(self, input_shape: Any) -> Any:
        inputs = symbolic_inputs(input_shape, self.input_dtype)
        self.built = True
        with outside_traces():
            return infer_outputs(lambda x: self(x), (inputs,), {})

    def _build_for(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Build for the arguments of a call."""
        if type(self).build is Layer.build:
            # Variables may be made in __init__, sublayers build themselves.
            with outside_traces(self.name):
                self._path = "/".join(state.scopes)
            self.built = True
            return
        self.build(**self._shapes_for_build(args, kwargs))

    def _shapes_for_build(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        spec = self._spec
        if len(spec.build_names) <= 1:
            first = args[0] if args else next(iter(kwargs.values()), None)
            name = spec.build_names[0] if spec.build_names else "input_shape"
            return {name: shapes_of(first)}
        given = {**dict(zip(spec.names, args, strict=False)), **kwargs}
        shapes = {f"{k}_shape": shapes_of(v) for k, v in given.items()}
        return {k: v for k, v in shapes.items() if k in spec.build_names}

    def get_build_config(self) -> dict[str, Any] | None:
        """The shapes the layer was built for."""
        return self._build_shapes

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build for the shapes of `get_build_config`."""
        if config and not self.built:
            self.build(**{k: _as_shapes(v) for k, v in config.items()})

    def add_weight(
        self,
        shape: Any = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        aggregation: str = "none",
        overwrite_with_gradient: bool = False,
        name: str | None = None,
    ) -> Variable:
        """A new variable of the layer.

        Args:
            shape: sizes, all known; a scalar when left out.
            initializer: name, object, callable ``(shape, dtype)`` or array; uniform by
                Glorot for floats and zeros otherwise when left out.
            dtype: that of the policy when left out.
            trainable: whether gradients flow into it.
            autocast: whether it is read in the compute dtype.
            regularizer: penalty on it.
            constraint: projection after each update.
            aggregation: accepted for Keras' signature.
            overwrite_with_gradient: whether an optimizer stores the gradient itself.
            name: last part of its path.

        Raises:
            ShapeError: if a size is open.
        """
        dtype = standardize_dtype(dtype or self.variable_dtype)
        if initializer is None:
            initializer = "glorot_uniform" if is_float_dtype(dtype) else "zeros"
        scopes = () if self._building else (self.name,)
        with outside_traces(*scopes):
            variable = Variable(
                initializers.get(initializer),
                shape=self._weight_shape(shape, name),
                dtype=dtype,
                trainable=trainable,
                autocast=autocast,
                aggregation=aggregation,
                name=name,
            )
        variable.regularizer = regularizers.get(regularizer)
        variable.constraint = constraint
        variable.overwrite_with_gradient = overwrite_with_gradient
        self._own(variable)
        return variable

    add_variable = add_weight

    def _weight_shape(self, shape: Any, name: str | None) -> tuple[int, ...]:
        sizes = () if shape is None else tuple(shape)
        if any(not hasattr(d, "__index__") for d in sizes):
            raise ShapeError(
                f"{type(self).__name__} {self.name!r}: the size of {name or 'weight'} "
                f"{sizes} depends on an open dimension of the input",
                fix="give the input a known size there, as in keras.Input((28, 28, 1))",
            )
        return tuple(d.__index__() for d in sizes)

    # ------------------------------------------------------------------------- calling

    @property
    def _spec(self) -> CallSpec:
        cls: Any = type(self)
        return call_spec_of(cls, Layer)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the layer on tensors or arrays, or record a call on symbolic tensors.

        Besides the arguments of `call`, every layer takes ``training``.
        """
        if len(args) == 1 and not kwargs and type(args[0]) in _TENSORS:
            x = args[0]
            if x.dtype is not self._compute_type and x.dtype.is_float and self.autocast:
                args = (jf.astype(x, self._compute_type),)
        else:
            args, kwargs = self._take_in(args), self._take_in(kwargs)
            if any_symbolic_tensors(args, kwargs):
                return self.symbolic_call(*args, **kwargs)
        if not self.built:
            self._build_for(args, kwargs)
        if self.input_spec is not None:
            check_inputs(self.input_spec, self._first(args, kwargs), self)
        return self._run(args, kwargs)

    def _first(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The first argument, where masks and shapes are looked for."""
        if args:
            return args[0]
        names = self._spec.names
        return kwargs.get(names[0]) if names else None

    def _take_in(self, arguments: Any) -> Any:
        """Arrays as tensors, floating-point ones in the compute dtype."""
        if type(arguments) is tuple and len(arguments) == 1:
            return (map_structure(self._convert, arguments[0]),)
        return map_structure(self._convert, arguments)

    def _convert(self, x: Any) -> Any:
        if isinstance(x, KerasTensor):
            wrong = x.dtype != self.compute_dtype and is_float_dtype(x.dtype)
            return (
                symbolic_cast(x, self.compute_dtype) if wrong and self.autocast else x
            )
        if not hasattr(x, "__array__"):
            return x
        x = x if isinstance(x, jf.Tensor) else jf.asarray(x)
        if self.autocast and x.dtype.is_float and x.dtype is not self._compute_type:
            return jf.astype(x, self._compute_type)
        return x

    def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run `call` on converted arguments of a built layer."""
        spec = self._spec
        before = (calls.training, calls.autocast, state.scopes)
        training, kwargs = self._training(spec, args, kwargs)
        if calls.masks:
            kwargs = _with_masks(spec, args, kwargs)
        if calls.depth == 0 and calls.pending_losses:
            self._clear_losses()
        calls.training, calls.autocast = training, self._autocast_type
        state.scopes = (*before[2], self.name)
        calls.depth += 1
        try:
            outputs = user_function(self.call)(*args, **kwargs)
            if self.activity_regularizer is not None:
                self._penalise(outputs)
        finally:
            calls.depth -= 1
            calls.training, calls.autocast, state.scopes = before
        if calls.masks or spec.computes_mask:
            self._pass_mask_on(self._first(args, kwargs), outputs)
        if calls.shapes is not None:
            calls.shapes[id(self)] = shapes_of(outputs)
        return outputs

    def _training(
        self, spec: CallSpec, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[bool | None, dict[str, Any]]:
        """The mode of this call, and the arguments with it where `call` takes it."""
        if len(args) > spec.training_position:
            return args[spec.training_position], kwargs
        value = kwargs.get("training")
        if value is None:
            value = calls.training
            if value is None:
                value = spec.training_default
        if spec.takes_training:
            return value, kwargs if value is None else {**kwargs, "training": value}
        if "training" in kwargs and spec.keywords is not None:
            kwargs = {k: v for k, v in kwargs.items() if k != "training"}
        return value, kwargs

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The computation; subclasses define it."""
        raise NotImplementedError(
            f"{type(self).__name__} {self.name!r} has no call() method"
        )

    def _penalise(self, outputs: Any) -> None:
        for x in flatten(outputs)[0]:
            if isinstance(x, jf.Tensor):
                self.add_loss(self.activity_regularizer(x))

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """The mask of the outputs, given those of the inputs."""
        return previous_mask

    def _pass_mask_on(self, inputs: Any, outputs: Any) -> None:
        if not (self.supports_masking or self._spec.computes_mask):
            return
        previous = map_structure(get_keras_mask, inputs)
        masks = self.compute_mask(inputs, previous)
        if masks is None:
            return
        pairs = zip(flatten(outputs)[0], flatten(masks)[0], strict=False)
        for x, mask in pairs:
            if mask is not None and get_keras_mask(x) is None:
                set_keras_mask(x, mask)

    def as_compute(self, x: jf.Tensor) -> jf.Tensor:
        """`x` in the compute dtype if it is of integers; for use inside `call`."""
        return x if x.dtype.is_inexact else jf.astype(x, self._compute_type)

    # ------------------------------------------------------------------ symbolic calls

    def symbolic_call(self, *args: Any, **kwargs: Any) -> Any:
        """Record a call on symbolic tensors; see `Operation`."""
        if not self.built:
            self._build_for(args, kwargs)
        if self.input_spec is not None:
            check_inputs(self.input_spec, self._first(args, kwargs), self)
        outputs = self.compute_output_spec(*args, **kwargs)
        Node(self, args, kwargs, outputs)
        return outputs

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """The symbolic outputs: by `compute_output_shape` if defined, else traced."""
        if type(self).compute_output_shape is Layer.compute_output_shape:
            return infer_outputs(self.__call__, args, kwargs)
        names = inspect.signature(type(self).compute_output_shape).parameters
        if len(names) <= 2:
            shapes = self.compute_output_shape(shapes_of(self._first(args, kwargs)))
        else:
            given = {**dict(zip(self._spec.names, args, strict=False)), **kwargs}
            named = {f"{k}_shape": shapes_of(v) for k, v in given.items()}
            chosen = {k: v for k, v in named.items() if k in names}
            shapes = self.compute_output_shape(**chosen)
        return symbolic_inputs(shapes, self.compute_dtype)

    def compute_output_shape(self, *args: Any, **kwargs: Any) -> Any:
        """The shape(s) of the outputs for shape(s) of inputs (None where open)."""
        dtype = self.input_dtype
        inputs = [symbolic_inputs(shape, dtype) for shape in args]
        named = {
            k.removesuffix("_shape"): symbolic_inputs(shape, dtype)
            for k, shape in kwargs.items()
        }
        if list(named) == ["input"]:
            inputs, named = [*inputs, named["input"]], {}
        if not self.built:
            self._build_for(tuple(inputs), named)
        outputs = self.compute_output_spec(*inputs, **named)
        return map_structure(shape_of, outputs)

    # ------------------------------------------------------------------- configuration

    def get_config(self) -> dict[str, Any]:
        """The arguments; those of a subclass that has no `get_config` too.

        Raises:
            ArgumentError: if the class takes arguments that cannot be written down.
        """
        config: dict[str, Any] = {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": dtype_policies.serialize(self.dtype_policy),
        }
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = regularizers.serialize(
                self.activity_regularizer
            )
        for name in self._arguments:
            config[name] = serialize_keras_object(getattr(self, name))
        if type(self).get_config is Layer.get_config and not self._arguments:
            config.update(self._remembered_arguments(config))
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A new layer of that configuration.

        Name, trainable and dtype are also restored if the constructor does not take
        them.

        Raises:
            ArgumentError: if the constructor takes something else.
        """
        taken, rest = split_by_signature(cls, config)
        try:
            layer = cls(**taken)
        except TypeError as error:
            raise ArgumentError(
                f"{cls.__name__} cannot be made from its configuration: {error}",
                fix="define get_config() and from_config()",
            ) from error
        for name, value in rest.items():
            setattr(layer, "dtype_policy" if name == "dtype" else name, value)
        return layer

    def _remembered_arguments(self, known: dict[str, Any]) -> dict[str, Any]:
        """Arguments of `__init__` that `known` lacks."""
        given = self._init_arguments or {}
        arguments = {k: v for k, v in given.items() if k not in known}
        wrong = [k for k, v in arguments.items() if not is_plain(v)]
        if wrong:
            raise ArgumentError(
                f"{type(self).__name__} {self.name!r}: the argument {wrong[0]!r} of "
                "__init__ cannot be written down by itself",
                fix="define get_config(), and from_config() if needed",
            )
        return arguments

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


_TENSORS = frozenset((jf.Tensor, TracedTensor))


def _as_shapes(shapes: Any) -> Any:
    """Shapes read from JSON, where tuples have become lists."""
    return (
        map_shapes(tuple, shapes) if isinstance(shapes, list | tuple | dict) else shapes
    )


def _with_masks(
    spec: CallSpec, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The arguments with masks that travel with the tensors filled in."""
    given = {**dict(zip(spec.names, args, strict=False)), **kwargs}
    for mask_name, name in spec.masks:
        if given.get(mask_name) is not None or name not in given:
            continue
        masks = map_structure(get_keras_mask, given[name])
        if any(m is not None for m in flatten(masks)[0]):
            kwargs = {**kwargs, mask_name: masks}
    return kwargs


def _scoped_build(build: Callable[..., Any]) -> Callable[..., Any]:
    """`build` outside traces, in the layer's name scope, remembering the shapes."""
    signature = inspect.signature(build)

    @functools.wraps(build)
    def wrapped(self: Layer, *args: Any, **kwargs: Any) -> None:
        if self._building:  # a subclass calls the method of its base
            build(self, *args, **kwargs)
            return
        self._building = True
        try:
            with outside_traces(self.name):
                self._path = "/".join(state.scopes)
                build(self, *args, **kwargs)
        finally:
            self._building = False
        bound = signature.bind(self, *args, **kwargs).arguments
        self._build_shapes = _shapes_only(dict(list(bound.items())[1:]))
        self.built = True

    return wrapped


def _shapes_only(arguments: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in arguments.items() if v is None or not callable(v)}
