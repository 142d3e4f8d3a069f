"""Nested structures (pytrees): dict, list, tuple, namedtuple, dataclass, of leaves.

`flatten` takes a structure apart into its leaves and a hashable `Structure` that says
how to put them together again. Everything that is not a container, None included, is
a leaf.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any


class Structure:
    """The shape of a nested value, without its leaves; hashable, compared by value.

    ``kind`` is the container's type (None for a leaf), ``meta`` what else is needed to
    rebuild it (dict keys, dataclass field names, the default factory), ``children``
    the structures inside and ``size`` the number of leaves.
    """

    __slots__ = ("_hash", "children", "kind", "meta", "size")
    size: int

    def __init__(
        self, kind: type | None, meta: Any, children: tuple[Structure, ...]
    ) -> None:
        self.kind = kind
        self.meta = meta
        self.children = children
        self.size = 1 if kind is None else sum(c.size for c in children)
        self._hash = hash((kind, meta, children))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Structure)
            and self._hash == other._hash
            and self.kind is other.kind
            and self.meta == other.meta
            and self.children == other.children
        )

    def __repr__(self) -> str:
        if self.kind is None:
            return "*"
        inner = ", ".join(map(repr, self.children))
        return f"{self.kind.__name__}({inner})"


LEAF = Structure(None, None, ())

# (values, meta) of a container, and the container of (type, meta, values).
_TakeApart = Callable[[Any], tuple[Sequence[Any], Any]]
_Rebuild = Callable[[type, Any, list[Any]], Any]


def _take_mapping(value: Any) -> tuple[list[Any], Any]:
    return list(value.values()), tuple(value)


def _make_mapping(kind: type, keys: Any, values: list[Any]) -> Any:
    return kind(zip(keys, values, strict=True))


def _take_defaultdict(value: Any) -> tuple[list[Any], Any]:
    return list(value.values()), (value.default_factory, tuple(value))


def _make_defaultdict(kind: type, meta: Any, values: list[Any]) -> Any:
    return kind(meta[0], zip(meta[1], values, strict=True))


def _take_sequence(value: Any) -> tuple[Sequence[Any], Any]:
    return value, None


def _make_sequence(kind: type, _: Any, values: list[Any]) -> Any:
    return kind(values)


def _make_namedtuple(kind: type, _: Any, values: list[Any]) -> Any:
    return kind(*values)


def _take_dataclass(value: Any) -> tuple[list[Any], Any]:
    names = tuple(f.name for f in dataclasses.fields(value))
    return [getattr(value, n) for n in names], names


def _make_dataclass(kind: type, names: Any, values: list[Any]) -> Any:
    # Not through __init__: fields with init=False and frozen classes must work too.
    made: Any = object.__new__(kind)
    for name, value in zip(names, values, strict=True):
        object.__setattr__(made, name, value)
    return made


_EXACT: dict[type, tuple[_TakeApart, _Rebuild]] = {
    dict: (_take_mapping, _make_mapping),
    OrderedDict: (_take_mapping, _make_mapping),
    defaultdict: (_take_defaultdict, _make_defaultdict),
    list: (_take_sequence, _make_sequence),
    tuple: (_take_sequence, _make_sequence),
}
_NAMEDTUPLE = (_take_sequence, _make_namedtuple)
_DATACLASS = (_take_dataclass, _make_dataclass)


def _handlers(kind: type) -> tuple[_TakeApart, _Rebuild] | None:
    found = _EXACT.get(kind)
    if found is None and issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return _NAMEDTUPLE
    if found is None and dataclasses.is_dataclass(kind):
        return _DATACLASS
    return found


def is_container(value: Any) -> bool:
    """True for a value that `flatten` takes apart."""
    return _handlers(type(value)) is not None


def _flatten_into(value: Any, leaves: list[Any]) -> Structure:
    kind = type(value)
    handlers = _handlers(kind)
    if handlers is None:
        leaves.append(value)
        return LEAF
    values, meta = handlers[0](value)
    return Structure(kind, meta, tuple(_flatten_into(v, leaves) for v in values))


def flatten(value: Any) -> tuple[list[Any], Structure]:
    """The leaves of a nested value, in order, and its structure.

    Raises:
        TypeError: for a dict whose keys are not hashable in the structure, never for
            ordinary dicts.
    """
    leaves: list[Any] = []
    return leaves, _flatten_into(value, leaves)


def _rebuild(structure: Structure, leaves: Iterator[Any]) -> Any:
    kind = structure.kind
    if kind is None:
        return next(leaves)
    values = [_rebuild(child, leaves) for child in structure.children]
    handlers = _handlers(kind)
    assert handlers is not None
    return handlers[1](kind, structure.meta, values)


def unflatten(structure: Structure, leaves: Sequence[Any]) -> Any:
    """Inverse of `flatten`.

    Raises:
        ValueError: if the number of leaves is not ``structure.size``.
    """
    if len(leaves) != structure.size:
        raise ValueError(
            f"{structure} needs {structure.size} leaves, not {len(leaves)}"
        )
    return _rebuild(structure, iter(leaves))


def map_structure(function: Callable[..., Any], first: Any, *rest: Any) -> Any:
    """Apply `function` to corresponding leaves of values of one structure.

    Raises:
        ValueError: if the structures differ.
    """
    leaves, structure = flatten(first)
    columns = [leaves]
    for other in rest:
        more, other_structure = flatten(other)
        if other_structure != structure:
            raise ValueError(f"structures differ: {structure} and {other_structure}")
        columns.append(more)
    results = [function(*row) for row in zip(*columns, strict=True)]
    return unflatten(structure, results)


def leaf_paths(value: Any, root: str = "") -> list[str]:
    """How to reach each leaf from `root`, as Python would write it: ``x['a'][0]``."""
    handlers = _handlers(type(value))
    if handlers is None:
        return [root]
    values, meta = handlers[0](value)
    steps = _steps(type(value), meta, len(values))
    pairs = zip(steps, values, strict=True)
    return [path for step, v in pairs for path in leaf_paths(v, root + step)]


def _steps(kind: type, meta: Any, count: int) -> list[str]:
    if kind is defaultdict:
        return [f"[{key!r}]" for key in meta[1]]
    if issubclass(kind, dict):
        return [f"[{key!r}]" for key in meta]
    if dataclasses.is_dataclass(kind):
        return [f".{name}" for name in meta]
    if hasattr(kind, "_fields"):
        return [f".{name}" for name in kind._fields]
    return [f"[{i}]" for i in range(count)]
