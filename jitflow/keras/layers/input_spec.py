"""`InputSpec`: what a layer expects of its inputs, and the check with its messages."""

from __future__ import annotations

from typing import Any

from jitflow.errors import ShapeError
from jitflow.keras.backend.keras_tensor import open_shape
from jitflow.tracing.structure import flatten


class InputSpec:
    """Rank, shape and dtype that an input must have; None leaves a property open.

    Args:
        dtype: name of the element type.
        shape: sizes with None where they are open; implies `ndim`.
        ndim: exact rank.
        max_ndim: largest rank.
        min_ndim: smallest rank.
        axes: sizes of single axes, ``{-1: 784}``.
        allow_last_axis_squeeze: whether a last axis of size 1 may be missing or extra.
        name: of the input, where a layer takes a dict.
        optional: whether None may be passed.
    """

    __slots__ = (
        *("allow_last_axis_squeeze", "axes", "dtype", "max_ndim", "min_ndim"),
        *("name", "ndim", "optional", "shape"),
    )

    def __init__(
        self,
        dtype: str | None = None,
        shape: Any = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: dict[int, int | None] | None = None,
        allow_last_axis_squeeze: bool = False,
        name: str | None = None,
        optional: bool = False,
    ) -> None:
        self.dtype = dtype
        self.shape = None if shape is None else tuple(shape)
        self.ndim = ndim if self.shape is None else len(self.shape)
        self.max_ndim = max_ndim
        self.min_ndim = min_ndim
        self.axes = {int(k): v for k, v in (axes or {}).items()}
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        self.name = name
        self.optional = optional

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> InputSpec:
        """A spec of that configuration."""
        return cls(**config)

    def __repr__(self) -> str:
        parts = {k: v for k, v in self.get_config().items() if v or v == 0}
        return f"InputSpec({', '.join(f'{k}={v!r}' for k, v in parts.items())})"

    def accepts(self, x: Any) -> bool:
        """Whether a tensor fits; the quick check."""
        shape = x.shape
        rank = len(shape)
        if (
            (self.ndim is not None and rank != self.ndim)
            or (self.min_ndim is not None and rank < self.min_ndim)
            or (self.max_ndim is not None and rank > self.max_ndim)
            or (self.dtype is not None and x.dtype != self.dtype)
        ):
            return False
        for axis, size in self.axes.items():
            if size is not None and shape[axis] != size and _known(shape[axis]):
                return False
        return self.shape is None or all(
            want is None or have == want or not _known(have)
            for want, have in zip(self.shape, shape, strict=True)
        )


def _known(size: Any) -> bool:
    """Whether a size is a number, neither None nor a symbol."""
    return isinstance(size, int)


def check_inputs(spec: Any, inputs: Any, layer: Any) -> None:
    """Compare the inputs of a layer with what it expects.

    Args:
        spec: an `InputSpec`, or a nest of them like `inputs`.
        inputs: a tensor or a nest of them.
        layer: for the message.

    Raises:
        ShapeError: naming the layer, the input, the axis and the fix.
    """
    if isinstance(spec, InputSpec) and hasattr(inputs, "shape"):
        if not spec.accepts(inputs):
            raise _mismatch(spec, inputs, layer, "inputs")
        return
    specs, tensors = _aligned(spec, inputs)
    if len(specs) != len(tensors):
        raise ShapeError(
            f"{_name(layer)} takes {len(specs)} inputs and was given {len(tensors)}",
            fix=f"pass {len(specs)} tensors, in a list or by name",
        )
    for i, (one, x) in enumerate(zip(specs, tensors, strict=True)):
        if x is None and one is not None and one.optional:
            continue
        if one is not None and hasattr(x, "shape") and not one.accepts(x):
            raise _mismatch(one, x, layer, one.name or f"inputs[{i}]")


def _aligned(spec: Any, inputs: Any) -> tuple[list[Any], list[Any]]:
    """Specs and tensors in one order; dicts are matched by name."""
    specs = flatten(spec)[0]
    if isinstance(inputs, dict) and all(s is not None and s.name for s in specs):
        return specs, [inputs.get(s.name) for s in specs]
    return specs, flatten(inputs)[0]


def _name(layer: Any) -> str:
    return f"{type(layer).__name__} {layer.name!r}"


def _mismatch(spec: InputSpec, x: Any, layer: Any, argument: str) -> ShapeError:
    shape = open_shape(x.shape)
    what, fix = _reason(spec, shape, x)
    return ShapeError(
        f"{_name(layer)} {what}", operands={argument: _Shown(shape, x.dtype)}, fix=fix
    )


class _Shown:
    """A shape and dtype for the operand list of an error."""

    def __init__(self, shape: Any, dtype: Any) -> None:
        self.shape = shape
        self.dtype = dtype


def _reason(spec: InputSpec, shape: Any, x: Any) -> tuple[str, str]:
    """What is wrong, and what to do."""
    rank = len(shape)
    if spec.ndim is not None and rank != spec.ndim:
        return f"takes inputs of rank {spec.ndim}, was given rank {rank}", _rank_fix(
            rank < spec.ndim
        )
    if spec.min_ndim is not None and rank < spec.min_ndim:
        return (
            f"takes inputs of rank {spec.min_ndim} or more, was given rank {rank}",
            _rank_fix(True),
        )
    if spec.max_ndim is not None and rank > spec.max_ndim:
        return (
            f"takes inputs of rank {spec.max_ndim} at most, was given rank {rank}",
            _rank_fix(False),
        )
    if spec.dtype is not None and x.dtype != spec.dtype:
        return f"takes inputs of {spec.dtype}, was given {x.dtype}", "cast the input"
    for axis, size in spec.axes.items():
        if size is not None and shape[axis] not in (size, None):
            return (
                f"was built for {size} features along axis {axis}, "
                f"was given {shape[axis]}",
                f"pass inputs whose axis {axis} has size {size}, or make a new layer",
            )
    return (
        f"takes inputs of shape {spec.shape}, was given {shape}",
        "pass inputs of that shape (None is any size)",
    )


def _rank_fix(too_few: bool) -> str:
    if too_few:
        return "add the batch axis, as in x[None] or jf.expand_dims(x, axis=0)"
    return "remove an axis, or flatten the input first (keras.layers.Flatten)"
