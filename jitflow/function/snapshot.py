"""What a captured Python value was when a function was traced, and whether it still is.

Scalars (numbers, strings, None, enum members and tuples of them) are compared by type
and value. The built-in containers are compared by what they hold. Everything else is
compared by identity.
"""

from __future__ import annotations

import enum
from collections import OrderedDict, defaultdict, deque
from typing import Any

import numpy as np

from compiler.ir.types import DType
from jitflow.errors import describe

_SCALARS = (
    *(int, float, bool, complex, str, bytes, type(None), type(Ellipsis)),
    *(range, slice, DType, np.dtype),
)
# Of these, subclasses count too.
_SCALAR_BASES = (DType, np.dtype, enum.Enum)
_CONTAINERS = (list, dict, set, deque, OrderedDict, defaultdict, bytearray)
# Longer containers are compared by length: a guard runs on every call.
_MAX_ITEMS = 256


class Missing:
    """Stands for a name that is not there; see `MISSING`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<not there>"


MISSING = Missing()


def is_scalar(value: Any) -> bool:
    """True for values that are compared by type and value."""
    if isinstance(value, tuple | frozenset):
        return all(is_scalar(v) for v in value)
    return type(value) in _SCALARS or isinstance(value, _SCALAR_BASES)


def is_mutable_container(value: Any) -> bool:
    """True for the built-in containers that can change in place."""
    return isinstance(value, _CONTAINERS)


def same_scalar(a: Any, b: Any) -> bool:
    """Equality that tells 1 from 1.0 and True, -0.0 from 0.0, and has NaN equal."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same_scalar, a, b))
    if isinstance(a, float | complex):
        return repr(a) == repr(b)
    return bool(a == b)


class Content:
    """The items of a mutable container at one time."""

    __slots__ = ("_items", "_length", "_scalars")

    def __init__(self, container: Any) -> None:
        self._length = len(container)
        items = _items(container)
        self._scalars = all(is_scalar(v) for v in items)
        self._items = items if self._scalars else [id(v) for v in items]

    def unchanged(self, container: Any) -> bool:
        """Whether the container still holds the same items in the same places."""
        if len(container) != self._length:
            return False
        if self._length > _MAX_ITEMS:
            return True
        if self._scalars:
            return _items(container) == self._items
        # The common case, a list of layers, is compared without copying it.
        plain = type(container) is list
        return [*map(id, container if plain else _items(container))] == self._items

    def __len__(self) -> int:
        return self._length


def _items(container: Any) -> list[Any]:
    if len(container) > _MAX_ITEMS:
        return []
    if isinstance(container, dict):
        return [*container, *container.values()]
    return list(container)


class Bits:
    """The bytes of a NumPy array at one time; only identity counts for large arrays.

    Traces hold copies of captured arrays, so writing to one has to be noticed.
    """

    __slots__ = ("_bits",)

    def __init__(self, array: np.ndarray) -> None:
        self._bits = array.tobytes() if array.nbytes <= MAX_COMPARED_BYTES else None

    def unchanged(self, array: np.ndarray) -> bool:
        """Whether the array still holds the same bits."""
        return self._bits is None or array.tobytes() == self._bits


# Comparing one MiB takes some 100 µs on every call; above that arrays are not compared.
MAX_COMPARED_BYTES = 1 << 20


def _content_of(value: Any) -> Content | Bits | None:
    if is_mutable_container(value):
        return Content(value)
    return Bits(value) if isinstance(value, np.ndarray) else None


class Snapshot:
    """A value as it was seen; ``value`` keeps scalars and containers alive."""

    __slots__ = ("content", "ident", "shown", "value")

    def __init__(self, value: Any) -> None:
        self.ident = id(value)
        self.shown = show(value)
        self.content = _content_of(value)
        keeps = is_scalar(value) or self.content is not None or value is MISSING
        self.value = value if keeps else MISSING

    @property
    def is_scalar(self) -> bool:
        """Whether the value is compared by value."""
        return self.content is None and self.value is not MISSING

    def matches(self, value: Any) -> bool:
        """Whether `value` is what was seen."""
        if id(value) == self.ident:
            return self.content is None or self.content.unchanged(value)
        return self.is_scalar and same_scalar(value, self.value)


def show(value: Any, limit: int = 60) -> str:
    """A short text for messages; never an array's values."""
    if getattr(value, "shape", None) is not None and hasattr(value, "dtype"):
        return f"{type(value).__name__} {describe(value)}"
    if not (is_scalar(value) or is_mutable_container(value)):
        name = getattr(value, "__qualname__", None) or getattr(value, "name", None)
        text = f" {name!r}" if isinstance(name, str) else ""
        return f"{type(value).__name__}{text} object"
    if is_mutable_container(value) and not Content(value)._scalars:
        return f"{type(value).__name__} of {len(value)} items"
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
