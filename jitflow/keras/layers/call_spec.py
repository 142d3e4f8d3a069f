"""What the signatures of a layer's `call` and `build` say, found once per class."""

from __future__ import annotations

import functools
import inspect
from typing import Any, NamedTuple

_MISSING = inspect.Parameter.empty


class CallSpec(NamedTuple):
    """Facts about ``call(self, ...)`` and ``build(self, ...)``.

    Attributes:
        names: positional arguments of `call`.
        takes_training: whether `call` has an argument ``training``.
        training_position: its place among the positional ones, or a large number.
        training_default: its default, None without one.
        masks: pairs ``(mask argument, argument it belongs to)``.
        build_names: arguments of `build`; empty if it takes anything or nothing.
        computes_mask: whether the class has a `compute_mask` of its own.
        keywords: all keyword names, or None if any is taken.
    """

    names: tuple[str, ...]
    takes_training: bool
    training_position: int
    training_default: Any
    masks: tuple[tuple[str, str], ...]
    build_names: tuple[str, ...]
    computes_mask: bool
    keywords: frozenset[str] | None


@functools.cache
def call_spec_of(cls: Any, base: Any) -> CallSpec:
    """The `CallSpec` of a layer class; `base` is `Layer`."""
    parameters = list(inspect.signature(cls.call).parameters.values())[1:]
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    names = tuple(p.name for p in named if p.kind is not p.KEYWORD_ONLY)
    training = next((p for p in named if p.name == "training"), None)
    default = None if training is None else training.default
    return CallSpec(
        names=names,
        takes_training=training is not None,
        training_position=names.index("training") if "training" in names else 1 << 30,
        training_default=None if default is _MISSING else default,
        masks=_mask_arguments([p.name for p in named]),
        build_names=_build_names(cls),
        computes_mask=cls.compute_mask is not base.compute_mask,
        keywords=None
        if any(p.kind is p.VAR_KEYWORD for p in parameters)
        else frozenset(p.name for p in named),
    )


def _mask_arguments(names: list[str]) -> tuple[tuple[str, str], ...]:
    pairs = [(f"{n}_mask", n) for n in names if f"{n}_mask" in names]
    if "mask" in names and names[0] != "mask":
        pairs.append(("mask", names[0]))
    return tuple(pairs)


def _build_names(cls: Any) -> tuple[str, ...]:
    parameters = list(inspect.signature(cls.build).parameters.values())[1:]
    return tuple(
        p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    )
