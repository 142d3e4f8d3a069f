"""`TracedScalar`: a Python number that a compiled function takes at run time.

It behaves as the number would: combined with other Python numbers it stays one
(computed in float64 or int64, as Python does), and combined with a tensor it is weak,
so it never changes the tensor's dtype. Where Python needs the value itself (``if``,
``range``, ``math.sqrt``) it raises, and the function falls back to one trace per value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitflow.errors import TracerError
from jitflow.tensor.tensor import TracedTensor

_KINDS = (bool, int, float)


class TracedScalar(TracedTensor):
    """A number of rank 0 in float64 or int64.

    Attributes:
        weak_type: ``float`` or ``int``: the Python type it stands for.
    """

    __slots__ = ("weak_type",)

    def __init__(self, value: Any, trace: Any, weak_type: type) -> None:
        super().__init__(value, trace)
        self.weak_type = weak_type

    @property
    def plain(self) -> TracedTensor:
        """The same value as an ordinary tensor of float64 or int64."""
        return TracedTensor(self._value, self._trace)

    # Hashing by identity would let a dict look-up by the number miss silently.
    def __hash__(self) -> int:
        raise TracerError("a Python number that is passed at run time has no hash")


def weak_type_of(value: Any) -> type | None:
    """The Python type of a weak operand; None for tensors and everything else."""
    if type(value) is TracedScalar:
        return value.weak_type
    return type(value) if type(value) in _KINDS else None


def _operator(name: str, reflected: bool) -> Callable[[Any, Any], Any]:
    def method(self: TracedScalar, other: Any) -> Any:
        if weak_type_of(other) is None:
            pair = (other, self) if reflected else (self, other)
            return self._ops.binary(name, *pair)
        if name == "pow":
            _refuse_integer_power(self, other)
        pair = (_plain(other), self.plain) if reflected else (self.plain, _plain(other))
        if name == "divide" or float in (self.weak_type, weak_type_of(other)):
            pair = (_as_float(pair[0]), _as_float(pair[1]))
        return _again_weak(self._ops.binary(name, *pair))

    return method


def _as_float(x: Any) -> Any:
    """Python computes in double precision as soon as one operand is a float."""
    if isinstance(x, TracedTensor):
        return x if x.dtype.is_float else x._ops.astype(x, "float64")
    return float(x)


def _refuse_integer_power(x: Any, y: Any) -> None:
    if float not in (weak_type_of(x), weak_type_of(y)):
        # Python's int ** int is an int or a float depending on the sign.
        raise TracerError("int ** int needs the value of the exponent")


def _plain(value: Any) -> Any:
    return value.plain if type(value) is TracedScalar else value


def _again_weak(tensor: Any) -> Any:
    if tensor.dtype.kind == "b":
        return tensor
    kind = float if tensor.dtype.is_float else int
    return TracedScalar(tensor._value, tensor._trace, kind)


def _negative(self: TracedScalar) -> Any:
    return _again_weak(self._ops.negative(self.plain))


def _absolute(self: TracedScalar) -> Any:
    return _again_weak(self._ops.abs(self.plain))


_ARITHMETIC = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "pow",
}
_COMPARISONS = {
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}
for _short, _long in _ARITHMETIC.items():
    setattr(TracedScalar, f"__{_short}__", _operator(_long, reflected=False))
    setattr(TracedScalar, f"__r{_short}__", _operator(_long, reflected=True))
for _short, _long in _COMPARISONS.items():
    setattr(TracedScalar, f"__{_short}__", _operator(_long, reflected=False))
for _short, _function in (("neg", _negative), ("abs", _absolute)):
    setattr(TracedScalar, f"__{_short}__", _function)
