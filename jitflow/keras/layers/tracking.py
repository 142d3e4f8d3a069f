"""Which variables, layers and generators belong to a layer.

A layer owns what stands in its attributes, directly or inside lists, tuples, dicts and
sets. Containers stay ordinary Python containers: they are looked through each time, so
that whatever is appended later is found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import jitflow as jf

_CONTAINERS = (list, tuple, dict, set, frozenset)
# Attribute values of these types are never tracked; most attributes are.
PLAIN = frozenset((int, float, str, bool, type(None), type, jf.Tensor))


def is_trackable(value: Any) -> bool:
    """Whether an attribute value may hold something that a layer owns."""
    return isinstance(value, (*_CONTAINERS, jf.Variable)) or hasattr(
        type(value), "_tracked_as"
    )


def walk(values: Iterable[Any]) -> Iterator[Any]:
    """Everything trackable in nested containers, in order."""
    for value in values:
        if isinstance(value, dict):
            yield from walk(value.values())
        elif isinstance(value, _CONTAINERS):
            yield from walk(value)
        elif isinstance(value, jf.Variable) or hasattr(type(value), "_tracked_as"):
            yield value


def of_kind(values: Iterable[Any], kind: str) -> list[Any]:
    """The tracked objects of one kind (``"layer"``), without repetition."""
    found = {
        id(v): v for v in walk(values) if getattr(type(v), "_tracked_as", None) == kind
    }
    return list(found.values())


def unique(values: Iterable[Any]) -> list[Any]:
    """The values without repetition, by identity."""
    return list({id(v): v for v in values}.values())
