"""Names of objects in saved configurations: the public API and the user's own classes.

Nothing is ever imported by a name that stands in a configuration: a name is looked up
here, in tables that the program itself has filled.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from jitflow.errors import ArgumentError
from jitflow.keras.backend.global_state import to_snake_case

T = TypeVar("T")

# Public objects by (module, name), such as ("keras.layers", "Dense"); filled at import.
_PUBLIC: dict[tuple[str, str], Any] = {}
_PATH_OF: dict[Any, tuple[str, str]] = {}
# The user's objects, by registered name ("package>name").
_CUSTOM: dict[str, Any] = {}
_NAME_OF: dict[Any, str] = {}


def keras_export(*paths: str) -> Callable[[T], T]:
    """Make a class or function public under ``keras.module.Name``.

    The first path is the one that saved configurations carry.
    """

    def register(obj: T) -> T:
        for path in paths:
            module, _, name = path.rpartition(".")
            _PUBLIC[module, name] = obj
            _PATH_OF.setdefault(obj, (module, name))
        return obj

    return register


def public_path(obj: Any) -> tuple[str, str] | None:
    """``("keras.layers", "Dense")`` of a public class or function, else None."""
    try:
        return _PATH_OF.get(obj)
    except TypeError:  # not hashable: no class and no function
        return None


def public_object(module: str, name: str) -> Any:
    """The public object of that path, or None."""
    return _PUBLIC.get((module, name))


def public_classes(module: str, base: type) -> dict[str, Any]:
    """The public classes of a module that derive from `base`, by name."""
    return {
        name: obj
        for (where, name), obj in _PUBLIC.items()
        if where == module and inspect.isclass(obj) and issubclass(obj, base)
    }


def register_keras_serializable(
    package: str = "Custom", name: str | None = None
) -> Callable[[T], T]:
    """Decorator that lets configurations name a class or function of the user.

    Args:
        package: first part of the registered name, ``package>name``.
        name: second part; the object's own name when left out.

    Raises:
        ArgumentError: for a class without `get_config`.
    """

    def register(obj: T) -> T:
        registered = f"{package}>{name or obj.__name__}"  # type: ignore[attr-defined]
        if inspect.isclass(obj) and not hasattr(obj, "get_config"):
            raise ArgumentError(
                f"{obj.__name__}: a registered class has a get_config() method",
                fix="add get_config, returning the arguments of __init__",
            )
        _CUSTOM[registered] = obj
        _NAME_OF[obj] = registered
        return obj

    return register


def get_registered_name(obj: Any) -> str:
    """The name an object was registered under, or its own."""
    return _NAME_OF.get(obj) or obj.__name__


def get_registered_object(
    name: str,
    custom_objects: Mapping[str, Any] | None = None,
    module_objects: Mapping[str, Any] | None = None,
) -> Any:
    """What `name` is registered as: in a scope, by decorator, or in given tables."""
    for table in (custom_objects or {}, _CUSTOM, module_objects or {}):
        if name in table:
            return table[name]
    return None


def get_custom_objects() -> dict[str, Any]:
    """The table of the user's objects, by registered name; may be changed."""
    return _CUSTOM


@contextmanager
def custom_object_scope(custom_objects: Mapping[str, Any]) -> Iterator[None]:
    """Inside, configurations may name the given objects."""
    before = dict(_CUSTOM)
    _CUSTOM.update(custom_objects)
    try:
        yield
    finally:
        _CUSTOM.clear()
        _CUSTOM.update(before)


CustomObjectScope = custom_object_scope


def identifier_table(
    objects: Iterable[Any], aliases: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Classes and functions by every string that names them.

    A class is found as ``CamelCase`` and as ``snake_case``, a function by its name.
    """
    table: dict[str, Any] = {}
    for obj in objects:
        table[obj.__name__] = obj
        if inspect.isclass(obj):
            table.setdefault(to_snake_case(obj.__name__), obj)
    return {**table, **(aliases or {})}


def find_identifier(kind: str, name: str, table: Mapping[str, Any]) -> Any:
    """The object that the string `name` means.

    Args:
        kind: what is looked for, for the message (``"initializer"``).

    Raises:
        ArgumentError: naming the nearest names if there is none.
    """
    found = get_registered_object(name, module_objects=table)
    if found is not None:
        return found
    near = difflib.get_close_matches(name, table, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise ArgumentError(
        f"{kind}: {name!r} is not the name of one",
        fix=hint or "names are: " + ", ".join(sorted(n for n in table if n.islower())),
    )
