"""Constructor arguments of layers: remembered, checked, and split for `from_config`."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable
from typing import Any

from jitflow.errors import ArgumentError
from jitflow.tracing.structure import flatten

_INPUT_KEYWORDS = ("input_shape", "batch_input_shape", "input_dim", "batch_size")
# What every layer has, whether or not its constructor takes it.
_EVERY_LAYER = ("name", "trainable", "dtype")


def is_plain(value: Any) -> bool:
    """Whether a value is (nested) numbers, strings and None only."""
    return all(
        isinstance(v, str | int | float | bool | type(None)) for v in flatten(value)[0]
    )


def split_by_signature(
    cls: Any, config: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments that a constructor takes, and those every layer has beside."""
    parameters = inspect.signature(cls.__init__).parameters.values()
    names = {p.name for p in parameters}
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return dict(config), {}
    rest = {k: v for k, v in config.items() if k in _EVERY_LAYER and k not in names}
    return {k: v for k, v in config.items() if k not in rest}, rest


def input_shape_argument(kwargs: dict[str, Any]) -> tuple[Any, ...] | None:
    """The input shape that was given to the constructor, with the batch size."""
    given = {k: kwargs.pop(k, None) for k in _INPUT_KEYWORDS}
    if given["input_dim"] is not None:
        given["input_shape"] = (given["input_dim"],)
    if given["batch_input_shape"] is not None:
        return tuple(given["batch_input_shape"])
    if given["input_shape"] is not None:
        return (given["batch_size"], *given["input_shape"])
    return None


def unknown_keywords(cls: Any, kwargs: dict[str, Any]) -> ArgumentError:
    """The error for keywords that no constructor of a class takes."""
    name = next(iter(kwargs))
    known = [
        p
        for base in cls.__mro__[:-1]
        for p in inspect.signature(inspect.unwrap(base.__init__)).parameters
    ]
    near = difflib.get_close_matches(name, known, n=1)
    return ArgumentError(
        f"{cls.__name__} takes no argument {name!r}",
        fix=f"did you mean {near[0]!r}?" if near else "remove it",
    )


def remembering_init(init: Callable[..., None]) -> Callable[..., None]:
    """`__init__` that notes its arguments for `get_config`."""
    signature = inspect.signature(init)

    @functools.wraps(init)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> None:
        if self._init_arguments is None:
            self._init_arguments = _bound(signature, self, args, kwargs)
        init(self, *args, **kwargs)

    return wrapped


def _bound(
    signature: inspect.Signature, layer: Any, args: Any, kwargs: Any
) -> dict[str, Any]:
    try:
        arguments = signature.bind(layer, *args, **kwargs).arguments
    except TypeError:  # the call itself gives the proper message
        return {}
    result: dict[str, Any] = {}
    for name, value in list(arguments.items())[1:]:
        kind = signature.parameters[name].kind
        result.update(value if kind is inspect.Parameter.VAR_KEYWORD else {name: value})
    return result
