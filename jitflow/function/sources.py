"""Where a traced function reads Python state: names, cells, attributes.

`Explorer` follows the chains of `jitflow.function.bytecode` from a function or a
running frame to the objects they reach, and lists every `Source` on the way. Only code
of the user is followed: not the framework, the standard library or installed packages.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from types import CellType, CodeType, FrameType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from compiler.ir.location import Location
from jitflow.function.bytecode import CELL, GLOBAL, LOCAL, Chain, scan
from jitflow.function.snapshot import (
    MISSING,
    Snapshot,
    is_mutable_container,
    is_scalar,
)
from jitflow.tensor import Tensor, Variable
from jitflow.tracing.frames import is_converted_part, is_user_file

# Attributes of these are the framework's business: tensors become inputs.
_OPAQUE = (Tensor, Variable, np.ndarray, np.generic)


class Source:
    """One place that was read. ``label`` names it, ``where`` is the user's line.

    ``changing`` are the lines of the same code that store there or change the object.
    """

    __slots__ = ("before", "changing", "key", "label", "where")

    def __init__(self, label: str, where: Location, key: Any) -> None:
        self.label = label
        self.where = where
        self.key = key
        self.changing: list[Location] = []
        self.before: Snapshot

    def read(self) -> Any:
        """The value now, or `MISSING`."""
        raise NotImplementedError


class NameSource(Source):
    """A name in a module's dict."""

    __slots__ = ("name", "names")

    def __init__(self, label: str, where: Location, names: dict, name: str) -> None:
        super().__init__(label, where, (id(names), name))
        self.names = names
        self.name = name

    def read(self) -> Any:
        return self.names.get(self.name, MISSING)


class CellSource(Source):
    """A closure cell."""

    __slots__ = ("cell",)

    def __init__(self, label: str, where: Location, cell: CellType) -> None:
        super().__init__(label, where, (id(cell), None))
        self.cell = cell

    def read(self) -> Any:
        try:
            return self.cell.cell_contents
        except ValueError:
            return MISSING


class AttributeSource(Source):
    """An attribute of an object, which is not kept alive."""

    __slots__ = ("name", "owner")

    def __init__(self, label: str, where: Location, owner: Any, name: str) -> None:
        super().__init__(label, where, (id(owner), name))
        self.owner = weak(owner)
        self.name = name

    def read(self) -> Any:
        return getattr(self.owner(), self.name, MISSING)


def weak(value: Any, callback: Callable[[Any], None] | None = None) -> Any:
    """A weak reference, or a function that returns `value` if it cannot have one."""
    try:
        return weakref.ref(value, callback)
    except TypeError:
        return lambda: value


def _plain_attribute(owner: Any, name: str) -> bool:
    """Whether reading the attribute runs no code of the user's or ours."""
    kind = type(owner)
    found = inspect.getattr_static(kind, name, MISSING)
    in_dict = name in getattr(owner, "__dict__", ())
    if isinstance(owner, type):
        return not isinstance(inspect.getattr_static(owner, name, None), property)
    if found is MISSING:
        return in_dict
    if inspect.ismemberdescriptor(found):
        return hasattr(owner, name)
    return (in_dict and not hasattr(type(found), "__set__")) or is_scalar(found)


def _is_library(module: ModuleType) -> bool:
    filename = getattr(module, "__file__", None)
    return filename is None or not is_user_file(filename)


def _follows(value: Any) -> bool:
    """Whether attributes of `value` are worth a source."""
    if is_scalar(value) or isinstance(value, _OPAQUE) or value is MISSING:
        return False
    if isinstance(value, ModuleType):
        return not _is_library(value)
    return not (is_mutable_container(value) or _is_opaque(type(value)))


def _is_opaque(kind: type) -> bool:
    """Classes of the framework that hold its own state, such as compiled functions.

    Layers and optimizers are followed: users read and set their attributes.
    """
    package = f"{kind.__module__}."
    return package.startswith(("jitflow.", "compiler.")) and not package.startswith(
        "jitflow.keras."
    )


def _worth_guarding(value: Any) -> bool:
    """False for what the framework and the libraries provide: it does not change."""
    if isinstance(value, ModuleType):
        return False
    if isinstance(value, FunctionType):
        return is_user_file(value.__code__.co_filename)
    if isinstance(value, type) or inspect.isbuiltin(value):
        module = inspect.getmodule(value)
        return module is not None and not _is_library(module)
    return True


@dataclass
class _Names:
    """The name spaces that the chains of one piece of code are resolved in."""

    code: CodeType
    globals: dict[str, Any]
    cells: Mapping[str, CellType]
    locals: Mapping[str, Any]


def _names_of_function(function: FunctionType, first: Any = MISSING) -> _Names:
    code = function.__code__
    cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
    bound = {} if first is MISSING else {code.co_varnames[0]: first}
    return _Names(code, function.__globals__, cells, bound)


@dataclass
class Explorer:
    """Collects the sources of one trace; ``sources`` maps keys to them, in order."""

    sources: dict[Any, Source] = field(default_factory=dict)
    _visited: set[Any] = field(default_factory=set)
    _moving: dict[int, list[int]] = field(default_factory=dict)

    def visit_function(self, function: Any, first: Any = MISSING) -> None:
        """Everything that a function of the user reads, and the ones it calls."""
        if isinstance(function, MethodType):
            function, first = function.__func__, function.__self__
        function = inspect.unwrap(function)
        if not isinstance(function, FunctionType):
            return
        if is_converted_part(function.__code__):
            return  # its names are those of the function around it
        key = (id(function), id(first))
        if key in self._visited or not is_user_file(function.__code__.co_filename):
            return
        self._visited.add(key)
        if function.__code__.co_argcount == 0:
            first = MISSING
        self._resolve_all(_names_of_function(function, first))

    def visit_frame(self, frame: FrameType) -> bool:
        """Everything that a running frame reads; True if it must be visited again."""
        if not is_user_file(frame.f_code.co_filename):
            return False
        moving = scan(frame.f_code).moving_locals
        names = _Names(frame.f_code, frame.f_globals, {}, frame.f_locals)
        before = self._moving.get(id(frame))
        now = [id(names.locals.get(name)) for name in moving]
        if now != before:
            # The watcher keeps frames alive while tracing, so ids stay unique.
            self._moving[id(frame)] = now
            self._resolve_all(names, None if before is None else moving)
        return bool(moving)

    def observe_attribute(self, owner: Any, name: str, where: Location) -> None:
        """List an attribute that framework code read on the user's behalf."""
        label = f"attribute '{type(owner).__name__}.{name}'"
        self._add(AttributeSource(label, where, owner, name))

    def _resolve_all(self, names: _Names, roots: Set[str] | None = None) -> None:
        """Resolve the chains of a piece of code, or only those from some locals."""
        found = scan(names.code)
        for chain in found.chains:
            if roots is None or chain.root in roots:
                self._resolve(chain, names, found.changing_lines)

    def _resolve(self, chain: Chain, names: _Names, changing: frozenset[int]) -> None:
        where = Location(names.code.co_filename, chain.line, names.code.co_name)
        path = _Path(self, where, chain, chain.line in changing)
        value = path.root(names)
        first = value
        for i, attr in enumerate(chain.attrs):
            value = path.attribute(value, attr, i)
        if isinstance(value, FunctionType | MethodType) or hasattr(
            value, "__wrapped__"
        ):
            owner = first if len(chain.attrs) == 1 else MISSING
            self.visit_function(value, owner)
        if chain.stores and (chain.attrs or chain.root != chain.stores):
            path.stored(value, chain.stores)

    def _add(self, source: Source, value: Any = MISSING) -> Source:
        known = self.sources.get(source.key)
        if known is not None:
            return known
        source.before = Snapshot(source.read())
        self.sources[source.key] = source
        return source


@dataclass
class _Path:
    """Follows one chain, and notes the places where it is changed."""

    explorer: Explorer
    where: Location
    chain: Chain
    changes: bool

    def root(self, names: _Names) -> Any:
        chain = self.chain
        if chain.kind == LOCAL or chain.root in names.locals:
            return names.locals.get(chain.root, MISSING)
        source: Source | None = None
        if chain.kind == CELL and chain.root in names.cells:
            label = f"captured closure variable '{chain.root}'"
            source = CellSource(label, self.where, names.cells[chain.root])
        elif chain.kind == GLOBAL and chain.root in names.globals:
            label = f"captured global '{chain.root}'"
            source = NameSource(label, self.where, names.globals, chain.root)
        return MISSING if source is None else self._take(source, 0)

    def attribute(self, owner: Any, name: str, position: int) -> Any:
        """The value of ``owner.name`` if it can be read without running anything."""
        if not _follows(owner):
            return MISSING
        text = ".".join((self.chain.root, *self.chain.attrs[: position + 1]))
        if isinstance(owner, ModuleType):
            names = vars(owner)
            source: Source = NameSource(
                f"captured global '{text}'", self.where, names, name
            )
            return self._take(source, position + 1) if name in names else MISSING
        if _plain_attribute(owner, name):
            label = f"captured attribute '{text}'"
            source = AttributeSource(label, self.where, owner, name)
            return self._take(source, position + 1)
        return self._code_behind(owner, name)

    def _code_behind(self, owner: Any, name: str) -> Any:
        found = inspect.getattr_static(owner, name, MISSING)
        if isinstance(found, property):
            self.explorer.visit_function(found.fget, owner)
            return MISSING
        if isinstance(found, FunctionType) and not isinstance(owner, type):
            self.explorer.visit_function(found, owner)
        return MISSING

    def _take(self, source: Source, consumed: int) -> Any:
        value = source.read()
        if not _worth_guarding(value):
            return value
        source = self.explorer._add(source)
        # The object reached last is the one that a mutating line is about.
        last = consumed >= len(self.chain.attrs) - 1
        rebinds = self.chain.stores and not self.chain.attrs and consumed == 0
        if (self.changes and last) or (rebinds and self._stores_root()):
            source.changing.append(self.where)
        return value

    def _stores_root(self) -> bool:
        return self.chain.stores == self.chain.root

    def stored(self, owner: Any, name: str) -> None:
        """An attribute is assigned here; the object may not have it yet."""
        if owner is MISSING or not _follows(owner):
            return
        held = name in getattr(owner, "__dict__", ())
        known = held or not hasattr(type(owner), name)
        if not (known or _plain_attribute(owner, name)):
            return
        label = f"captured attribute '{self.chain.text}.{name}'"
        source = AttributeSource(label, self.where, owner, name)
        self.explorer._add(source).changing.append(self.where)
