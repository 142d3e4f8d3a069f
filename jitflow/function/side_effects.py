"""Side effects of a traced function: what runs once per trace and not per call.

The captured objects are compared before and after tracing. A difference is either
legal preparation (an attribute that was missing or None is filled in, as lazily built
layers do), or something that the user expects on every call and will not get.
"""

from __future__ import annotations

import linecache
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from compiler.ir.location import Location
from jitflow.errors import JitFlowError
from jitflow.function.guards import Guard
from jitflow.function.snapshot import MISSING, Content, Snapshot, is_mutable_container
from jitflow.function.sources import Source
from jitflow.tensor import TracedTensor, Variable
from jitflow.tracing.structure import flatten


class SideEffectError(JitFlowError, RuntimeError):
    """A traced function changes Python state, and ``purity="error"`` was asked for."""

    code = "JF021"


class SideEffectWarning(UserWarning):
    """JF021: a traced function changes Python state; it happens once per trace."""


def split_sources(
    sources: Mapping[Any, Source],
) -> tuple[list[Guard], list[tuple[Source, Any]]]:
    """Sources that kept their value as guards, and the side effects.

    What was filled in while tracing is guarded with its new value.
    """
    guards: list[Guard] = []
    effects: list[tuple[Source, Any]] = []
    for source in sources.values():
        value = source.read()
        if source.before.matches(value):
            guards.append(Guard(source, source.before))
        elif _fills_in(source.before, value):
            guards.append(Guard(source, Snapshot(value)))
        else:
            effects.append((source, value))
    return guards, effects


def _fills_in(before: Snapshot, value: Any) -> bool:
    """Whether a change looks like lazy preparation."""
    if value is MISSING or holds_traced(value):
        return False
    if is_mutable_container(value):
        was_empty = isinstance(before.content, Content) and len(before.content) == 0
        return was_empty and all(_is_built(v) for v in flatten(value)[0])
    empty = before.ident in (id(None), id(MISSING), id(False))
    return empty and before.content is None


def _is_built(value: Any) -> bool:
    """Objects with a life of their own; numbers and text are records of a call."""
    return isinstance(value, Variable) or type(value).__module__ != "builtins"


def holds_traced(value: Any) -> bool:
    """Whether a traced tensor is in `value`."""
    if is_mutable_container(value):
        value = list(value.values()) if isinstance(value, dict) else list(value)
    return any(isinstance(leaf, TracedTensor) for leaf in flatten(value)[0])


def report(effects: Iterable[tuple[Source, Any]], purity: str) -> list[str]:
    """Warn about side effects, or raise; returns the messages.

    Raises:
        SideEffectError: if `purity` is ``"error"`` and there are any.
    """
    messages = []
    for source, value in effects:
        message = describe_effect(source, value)
        messages.append(message)
        if purity == "error":
            where = str(_place(source))
            raise SideEffectError(message, where=where, fix=_FIX)
        if purity == "warn":
            place = _place(source)
            warnings.warn_explicit(
                f"JF021: {message}. {_FIX}", SideEffectWarning, place.file, place.line
            )
    return messages


_FIX = "Return the value from the function, or keep it in a jf.Variable"


def describe_effect(source: Source, value: Any) -> str:
    """``losses.append(loss) at train.py:30 runs once per trace, not per call``."""
    place = _place(source)
    text = linecache.getline(place.file, place.line).strip()
    what = text or f"{source.label} ({source.before.shown} -> {Snapshot(value).shown})"
    return f"{what} at {place} runs once per trace, not per call"


def _place(source: Source) -> Location:
    return source.changing[0] if source.changing else source.where
