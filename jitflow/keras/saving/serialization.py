"""Objects as configurations (JSON-like dicts) and back, in Keras' format."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import jitflow as jf
from jitflow.errors import ArgumentError, ArgumentTypeError
from jitflow.keras.backend.dtypes import standardize_dtype
from jitflow.keras.saving.registration import (
    custom_object_scope,
    get_registered_name,
    get_registered_object,
    public_object,
    public_path,
)

_PLAIN = (str, int, float, bool, type(None))


def serialize_keras_object(obj: Any) -> Any:
    """An object as plain dicts, lists, numbers and strings.

    Raises:
        ArgumentTypeError: if the object has no configuration (a lambda, a class without
            `get_config`).
    """
    if isinstance(obj, _PLAIN):
        return obj
    if isinstance(obj, list | tuple):
        return type(obj)(serialize_keras_object(v) for v in obj)
    if isinstance(obj, Mapping):
        return {key: serialize_keras_object(v) for key, v in obj.items()}
    special = _SPECIAL.get(type(obj))
    if special is not None:
        return special(obj)
    if isinstance(obj, np.generic):
        return obj.item()
    if isinstance(obj, jf.Tensor | jf.Variable):
        return _array_config("__tensor__", obj.numpy())
    return _object_config(obj)


def _array_config(kind: str, array: np.ndarray) -> dict[str, Any]:
    dtype = standardize_dtype(array.dtype)
    return {"class_name": kind, "config": {"value": array.tolist(), "dtype": dtype}}


def _bytes_config(value: bytes) -> dict[str, Any]:
    return {"class_name": "__bytes__", "config": {"value": value.decode("utf-8")}}


def _slice_config(value: slice) -> dict[str, Any]:
    parts = {"start": value.start, "stop": value.stop, "step": value.step}
    return {"class_name": "__slice__", "config": serialize_keras_object(parts)}


_SPECIAL: dict[type, Callable[[Any], Any]] = {
    bytes: _bytes_config,
    slice: _slice_config,
    type(Ellipsis): lambda _: {"class_name": "__ellipsis__", "config": {}},
    np.ndarray: lambda a: _array_config("__numpy__", a),
}


def add_special_serializer(kind: type, function: Callable[[Any], Any]) -> None:
    """Serialise instances of exactly `kind` with `function`."""
    _SPECIAL[kind] = function


def _object_config(obj: Any) -> dict[str, Any]:
    if isinstance(obj, types.FunctionType | types.BuiltinFunctionType):
        return _function_config(obj)
    if not hasattr(obj, "get_config"):
        raise ArgumentTypeError(
            f"a {type(obj).__name__} object cannot be serialised",
            fix="give its class a get_config() method, or use one that has it",
        )
    config = _class_config(type(obj), obj.get_config())
    for key in ("build_config", "compile_config"):
        method = getattr(obj, f"get_{key}", None)
        extra = method() if method is not None else None
        if extra is not None:
            config[key] = serialize_keras_object(extra)
    return config


def _class_config(cls: type, config: Any) -> dict[str, Any]:
    path = public_path(cls)
    module, name = path or (_module_of(cls), cls.__name__)
    # Keras has no public name for some classes; it writes their own name twice.
    unnamed = path is None or path[0].startswith("keras.src.")
    return {
        "module": module,
        "class_name": name,
        "config": serialize_keras_object(config),
        "registered_name": get_registered_name(cls) if unnamed else None,
    }


def _function_config(function: Any) -> Any:
    if function.__name__ == "<lambda>":
        raise ArgumentTypeError(
            "a lambda cannot be serialised",
            fix="use a named function with keras.saving.register_keras_serializable",
        )
    path = public_path(function)
    return {
        "module": path[0] if path else _module_of(function),
        "class_name": "function",
        "config": path[1] if path else function.__name__,
        "registered_name": None if path else get_registered_name(function),
    }


def _module_of(obj: Any) -> str | None:
    return None if obj.__module__ == "__main__" else obj.__module__


def deserialize_keras_object(
    config: Any,
    custom_objects: Mapping[str, Any] | None = None,
    safe_mode: bool = True,
    module_objects: Mapping[str, Any] | None = None,
) -> Any:
    """The object that a configuration describes; inverse of `serialize_keras_object`.

    Classes and functions are looked up among the public ones and those the program has
    registered or passes in; nothing is imported and no code in a configuration is run,
    with or without `safe_mode`.

    Args:
        custom_objects: further classes and functions by name.
        module_objects: where bare strings and bare class names are looked up.

    Raises:
        ArgumentError: for a class that is not known.
    """
    with custom_object_scope(custom_objects or {}):
        return _Reader(module_objects or {}).read(config)


class _Reader:
    """Turns configurations into objects, with a table for bare names."""

    def __init__(self, module_objects: Mapping[str, Any]) -> None:
        self.module_objects = module_objects

    def read(self, config: Any) -> Any:
        if isinstance(config, str):
            found = get_registered_object(config, module_objects=self.module_objects)
            return config if found is None else _instance(found)
        if isinstance(config, _PLAIN):
            return config
        if isinstance(config, list | tuple):
            return type(config)(self.read(v) for v in config)
        if not isinstance(config, Mapping):
            raise ArgumentTypeError(f"config: a {type(config).__name__} is not one")
        if "class_name" not in config or "config" not in config:
            return {key: self.read(v) for key, v in config.items()}
        return self._read_object(config)

    def _read_object(self, config: Mapping[str, Any]) -> Any:
        name, inner = config["class_name"], config["config"]
        if name in _READERS:
            return _READERS[name](self, inner)
        if name == "function":
            return self._find(config, inner)
        cls = self._find(config, name)
        if not hasattr(cls, "from_config"):
            raise ArgumentError(f"config: {name!r} has no from_config method")
        instance = cls.from_config(inner)
        build = config.get("build_config")
        if build and hasattr(instance, "build_from_config"):
            instance.build_from_config(build)
        compiled = config.get("compile_config")
        if compiled and hasattr(instance, "compile_from_config"):
            instance.compile_from_config(compiled)
        return instance

    def _find(self, config: Mapping[str, Any], name: str) -> Any:
        registered = config.get("registered_name")
        module = config.get("module") or ""
        for candidate in (registered, name):
            found = candidate and get_registered_object(candidate)
            if found is not None and found != "":
                return found
        found = public_object(module, name) or self.module_objects.get(name)
        if found is None:
            raise ArgumentError(
                f"config: {registered or name!r} (module {module!r}) is not known here",
                fix="register it with keras.saving.register_keras_serializable, or "
                "pass custom_objects={name: object}",
            )
        return found


def _instance(found: Any) -> Any:
    return found() if inspect.isclass(found) else found


def _read_array(reader: _Reader, inner: Mapping[str, Any]) -> np.ndarray:
    return np.array(inner["value"], dtype=inner["dtype"])


def _read_tensor(reader: _Reader, inner: Mapping[str, Any]) -> jf.Tensor:
    return jf.asarray(inner["value"], dtype=inner["dtype"])


def _read_slice(reader: _Reader, inner: Mapping[str, Any]) -> slice:
    return slice(*(reader.read(inner[k]) for k in ("start", "stop", "step")))


def _refuse_lambda(reader: _Reader, inner: Any) -> Any:
    raise ArgumentError(
        "config: it contains the byte code of a lambda, which is never run",
        fix="replace it by a registered function and pass custom_objects",
    )


_READERS: dict[str, Callable[[_Reader, Any], Any]] = {
    "__bytes__": lambda _, inner: inner["value"].encode("utf-8"),
    "__slice__": _read_slice,
    "__ellipsis__": lambda _, inner: ...,
    "__numpy__": _read_array,
    "__tensor__": _read_tensor,
    "__lambda__": _refuse_lambda,
}


def resolve(
    identifier: Any, kind: str, find: Callable[[str], Any], base: type | None = None
) -> Any:
    """What `get` of every module does: strings, classes, configurations, objects.

    Args:
        identifier: a name, a class, a configuration dict, an instance, a callable, or
            None, which stays None.
        kind: for messages (``"loss"``).
        find: the class or function behind a name; raises for unknown ones.
        base: class whose subclasses are instantiated when passed as such.

    Raises:
        ArgumentError: for a name that is not known.
        ArgumentTypeError: for anything else.
    """
    if identifier is None:
        return None
    if isinstance(identifier, str):
        return _instance(find(identifier))
    if isinstance(identifier, Mapping):
        name = str(identifier.get("class_name"))
        inner = identifier.get("config")
        if "registered_name" not in identifier and "module" not in identifier:
            # The short form of the user: {"class_name": ..., "config": {...}}.
            return find(name).from_config(dict(inner or {}))
        return deserialize_keras_object(identifier)
    if base is not None and inspect.isclass(identifier):
        return identifier()
    if callable(identifier) or (base is not None and isinstance(identifier, base)):
        return identifier
    raise ArgumentTypeError(
        f"{kind}: a {type(identifier).__name__} cannot be one",
        operands={kind: identifier},
        fix=f"pass a name, a {kind} object, a callable or None",
    )
