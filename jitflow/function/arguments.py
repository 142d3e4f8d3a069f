"""Splitting the arguments of a call into tensors and static Python values.

A call is put into canonical form: keyword arguments and defaults go to their places in
the signature, nested values are flattened. The canonical leaves give the key under
which traces are kept, and the arrays that a trace is called with.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MethodType
from typing import Any

import numpy as np

from compiler.ir.types import DType, dtype_of
from jitflow.errors import ArgumentError, ArgumentTypeError, DTypeError
from jitflow.function.snapshot import is_scalar, show
from jitflow.tensor import Tensor, TracedTensor, Variable, wrap
from jitflow.tracing.context import leaked
from jitflow.tracing.spec import TensorSpec
from jitflow.tracing.structure import Structure, flatten, leaf_paths, unflatten

# Marks in keys: what kind of leaf the entries after it describe.
_ARRAY, _NUMBER, _OBJECT, _VALUE = "array", "number", "object", "value"
_NUMBERS = {float: np.dtype(np.float64), int: np.dtype(np.int64)}


@dataclass(frozen=True, slots=True)
class Leaf:
    """One canonical leaf of a call.

    ``kind`` is ``"array"`` (``key`` is shape and dtype), ``"number"`` (a Python number
    that is passed at run time; ``key`` is its type), ``"value"`` (a static value,
    compared by type and value) or ``"object"`` (static, compared by identity).
    """

    kind: str
    key: Any
    shown: str

    def same(self, other: Leaf) -> bool:
        """Equality of what the trace depends on."""
        return self.kind == other.kind and self.key == other.key


class _Place:
    """Stands for the leaf `index` of a call while it is bound to the signature."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index


@dataclass(slots=True)
class Plan:
    """How the leaves of calls of one form become canonical leaves.

    ``order`` holds, for each canonical leaf, the index of the leaf of the call or
    ``-1 - i`` for the i-th of ``defaults``. ``specs`` are those of the input signature,
    by canonical leaf.
    """

    structure: Structure
    order: tuple[int, ...]
    defaults: tuple[Any, ...]
    paths: tuple[str, ...]
    specs: tuple[TensorSpec | None, ...]
    lifted: set[int] = field(default_factory=set)

    def canonical(self, leaves: Sequence[Any] | Mapping[int, Any]) -> list[Any]:
        """The canonical leaves of a call."""
        defaults = self.defaults
        return [leaves[i] if i >= 0 else defaults[-1 - i] for i in self.order]


@dataclass(slots=True)
class Call:
    """A call in canonical form: the key, the arrays, and the leaves they came from."""

    plan: Plan
    leaves: list[Any]
    key: tuple[Any, ...]
    arrays: list[np.ndarray]

    def describe(self) -> tuple[Leaf, ...]:
        """The leaves for records and messages."""
        lifted = self.plan.lifted
        return tuple(_leaf(v, i in lifted) for i, v in enumerate(self.leaves))

    def again(self, name: str) -> Call:
        """The same call after the plan has changed."""
        leaves = dict(zip(self.plan.order, self.leaves, strict=True))
        return prepare(self.plan, leaves, name)

    def objects(self) -> list[Any]:
        """The leaves that are compared by identity."""
        methods = [v.__self__ for v in self.leaves if isinstance(v, MethodType)]
        return [*methods, *(v for v in self.leaves if _kind_of(v) == _OBJECT)]

    def is_lifted(self, i: int) -> bool:
        """Whether canonical leaf `i` is a Python number that is passed at run time."""
        return i in self.plan.lifted and type(self.leaves[i]) in _NUMBERS

    def types(self) -> list[tuple[tuple[Any, ...], DType, TensorSpec | None]]:
        """Shape, dtype and spec of everything that is passed at run time, in order."""
        found: list[tuple[tuple[Any, ...], DType, TensorSpec | None]] = []
        for i, leaf in enumerate(self.leaves):
            if isinstance(leaf, TensorSpec):
                found.append((leaf.shape, leaf.dtype, leaf))
            elif isinstance(leaf, Tensor):
                found.append((leaf.shape, leaf.dtype, self.plan.specs[i]))
            elif self.is_lifted(i):
                found.append(((), dtype_of(_NUMBERS[type(leaf)]), None))
        return found

    @property
    def skeleton(self) -> tuple[Any, ...]:
        """The key without the sizes of dimensions."""
        return tuple(
            len(part) if type(part) is tuple and _is_shape(part) else part
            for part in self.key
        )

    def rebuild(self, leaves: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """``(args, kwargs)`` with other leaves in the same places."""
        args, kwargs = unflatten(self.plan.structure, leaves)
        return args, kwargs


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of a callable; ``(*args, **kwargs)`` if it has none."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return inspect.signature(lambda *args, **kwargs: None)


def make_plan(
    signature: inspect.Signature,
    structure: Structure,
    input_signature: Sequence[Any] | None,
    name: str,
) -> Plan:
    """The plan for calls whose ``(args, kwargs)`` have this structure.

    Raises:
        ArgumentTypeError: if they do not fit the Python signature.
    """
    args, kwargs = unflatten(structure, [_Place(i) for i in range(structure.size)])
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise ArgumentTypeError(f"{name}(): {error}") from None
    bound.apply_defaults()
    leaves, canonical = flatten((bound.args, bound.kwargs))
    order, defaults = [], []
    for leaf in leaves:
        if type(leaf) is _Place:
            order.append(leaf.index)
        else:
            defaults.append(leaf)
            order.append(-len(defaults))
    specs = _specs(bound, input_signature, name, len(leaves))
    return Plan(canonical, tuple(order), tuple(defaults), tuple(_paths(bound)), specs)


def _paths(bound: inspect.BoundArguments) -> list[str]:
    paths: list[str] = []
    late: list[str] = []
    for name, parameter in bound.signature.parameters.items():
        if name not in bound.arguments:
            continue
        value = bound.arguments[name]
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            late += [p for k, v in value.items() for p in leaf_paths(v, k)]
        elif parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            late += leaf_paths(value, name)
        else:
            paths += leaf_paths(value, name)
    return paths + late


def _specs(
    bound: inspect.BoundArguments,
    input_signature: Sequence[Any] | None,
    name: str,
    count: int,
) -> tuple[TensorSpec | None, ...]:
    if input_signature is None:
        return (None,) * count
    specs: list[TensorSpec | None] = []
    for i, value in enumerate(bound.args):
        size = flatten(value)[1].size
        if i >= len(input_signature):
            specs += [None] * size
            continue
        wanted = flatten(input_signature[i])[0]
        if len(wanted) != size:
            raise ArgumentError(
                f"{name}(): argument {i} has {size} parts, "
                f"input_signature {len(wanted)}"
            )
        specs += wanted
    return (*specs, *[None] * (count - len(specs)))


def prepare(plan: Plan, leaves: Sequence[Any] | Mapping[int, Any], name: str) -> Call:
    """The call of `leaves` (by their index in the call) in canonical form.

    Raises:
        ArgumentError: if an argument does not fit the input signature.
        DTypeError: for an array that cannot be a tensor.
    """
    canonical = plan.canonical(leaves)
    key: list[Any] = [plan.structure]
    arrays: list[np.ndarray] = []
    for i, leaf in enumerate(canonical):
        kind = type(leaf)
        if kind is not Tensor:
            leaf = canonical[i] = _normal(leaf, plan, i, name)
            kind = type(leaf)
        if kind is Tensor:
            data = leaf._data
            if plan.specs[i] is not None:
                _check_spec(plan, i, leaf, name)
            key += (data.shape, data.dtype)
            arrays.append(
                data if data.flags.c_contiguous else np.array(data, order="C")
            )
        elif kind is TensorSpec:
            key += (leaf.shape, leaf.dtype.np)
        elif i in plan.lifted and kind in _NUMBERS:
            key.append(kind)
            arrays.append(np.asarray(leaf, _NUMBERS[kind]))
        else:
            key.append(static_key(leaf))
    return Call(plan, canonical, tuple(key), arrays)


def _normal(leaf: Any, plan: Plan, i: int, name: str) -> Any:
    """Arrays, and what an input signature asks to be a tensor, as tensors."""
    if isinstance(leaf, TracedTensor):
        raise leaked(leaf)
    if isinstance(leaf, Tensor | TensorSpec):
        return leaf
    spec = plan.specs[i]
    if isinstance(leaf, np.ndarray | np.generic):
        array = np.asarray(leaf, order="C")
    elif spec is not None and not isinstance(leaf, Variable):
        array = np.array(leaf, dtype=spec.dtype.np)
    else:
        return leaf
    try:
        # Byte order is not part of an element type.
        dtype = dtype_of(array.dtype.newbyteorder("="))
    except TypeError:
        raise DTypeError(
            f"{name}(): {plan.paths[i]} has dtype {array.dtype}, which no tensor has",
            fix="convert the array to a numeric dtype",
        ) from None
    return wrap(array if array.dtype.isnative else array.astype(dtype.np))


def _check_spec(plan: Plan, i: int, tensor: Tensor, name: str) -> None:
    spec = plan.specs[i]
    assert spec is not None
    if not spec.accepts(tensor.shape, tensor.dtype):
        raise ArgumentError(
            f"{name}(): {plan.paths[i]} does not fit input_signature",
            operands={plan.paths[i]: tensor, "input_signature": repr(spec)},
            fix="convert the argument, or change the TensorSpec",
        )


def _is_shape(part: tuple[Any, ...]) -> bool:
    """Keys of static values start with a type or a mark, shapes never do."""
    return not part or not isinstance(part[0], type | str)


def _kind_of(value: Any) -> str:
    if isinstance(value, Tensor | TensorSpec):
        return _ARRAY
    if is_scalar(value) or _has_value_equality(value):
        return _VALUE
    return _OBJECT


def _has_value_equality(value: Any) -> bool:
    """Objects whose class says when two of them are equal, and can be keys."""
    kind = type(value)
    if isinstance(value, Variable) or kind.__eq__ is object.__eq__:
        return False
    return kind.__hash__ is not None and kind.__hash__ is not object.__hash__


def static_key(value: Any) -> Any:
    """A hashable key of a static value; objects are keyed by identity.

    Raises:
        ArgumentTypeError: for values that compare equal but cannot be keys, like sets.
    """
    kind = type(value)
    if kind in (str, int, bool) or value is None:
        return (kind, value)
    if isinstance(value, float | complex):
        return (kind, repr(value))  # tells -0.0 from 0.0, and NaN equals itself
    if isinstance(value, slice):
        return (kind, value.start, value.stop, value.step)
    if isinstance(value, tuple):
        return (kind, *map(static_key, value))
    if isinstance(value, set):
        return (kind, frozenset(map(static_key, value)))
    if isinstance(value, MethodType):
        return (kind, id(value.__self__), id(value.__func__))
    if _kind_of(value) == _OBJECT:
        return (_OBJECT, id(value))
    try:
        hash(value)
    except TypeError:
        return (_OBJECT, id(value))
    return (kind, value)


def _leaf(value: Any, lifted: bool) -> Leaf:
    if isinstance(value, Tensor | TensorSpec):
        return Leaf(_ARRAY, (tuple(value.shape), value.dtype), spec_text(value))
    if lifted and type(value) in _NUMBERS:
        kind = type(value)
        return Leaf(_NUMBER, kind, f"Python {kind.__name__} at run time")
    kind_name = type(value).__name__
    number = type(value) in (int, float, bool)
    text = f"Python {kind_name} {value!r}" if number else show(value)
    return Leaf(_kind_of(value), static_key(value), text)


def spec_text(value: Any) -> str:
    """``f32[32,784]``."""
    dtype: DType = value.dtype
    dims = ",".join("?" if d is None else str(d) for d in value.shape)
    return f"{dtype.name}[{dims}]"
