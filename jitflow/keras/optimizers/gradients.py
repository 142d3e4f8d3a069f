"""What optimizers do with gradients before the rule: clipping, conditional updates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jitflow as jf
from jitflow.errors import ArgumentError
from jitflow.tensor.state import state


@dataclass(frozen=True, slots=True)
class Clipping:
    """At most one limit: of each gradient's norm, of its values, of the global norm."""

    norm: float | None
    value: float | None
    global_norm: float | None

    def check(self) -> None:
        """Check the limits.

        Raises:
            ArgumentError: if there is more than one, or one is not positive.
        """
        limits = {
            "clipnorm": self.norm,
            "clipvalue": self.value,
            "global_clipnorm": self.global_norm,
        }
        given = {name: limit for name, limit in limits.items() if limit is not None}
        if len(given) > 1:
            raise ArgumentError(f"{' and '.join(given)}: only one of them can be set")
        for name, limit in given.items():
            if not limit > 0:
                raise ArgumentError(f"{name}: must be positive, given {limit}")


def clip_gradients(grads: list[Any], clipping: Clipping) -> list[Any]:
    """Gradients within the limit; those within it keep every bit."""
    if clipping.norm is not None:
        return [_clip_norm(g, clipping.norm) for g in grads]
    if clipping.global_norm is not None:
        return _clip_global(grads, clipping.global_norm)
    if clipping.value is not None:
        limit = clipping.value
        return [jf.clip(g, -limit, limit) for g in grads]
    return grads


def _clip_norm(gradient: Any, limit: float) -> Any:
    norm = jf.sqrt(jf.sum(jf.square(gradient)))
    return jf.where(norm > limit, gradient * (limit / norm), gradient)


def global_norm(grads: Sequence[Any]) -> Any:
    """The Euclidean norm of all gradients together."""
    squares = [jf.sum(jf.square(g)) for g in grads]
    total = squares[0]
    for square in squares[1:]:
        total = total + jf.astype(square, total.dtype)
    return jf.sqrt(total)


def _clip_global(grads: list[Any], limit: float) -> list[Any]:
    norm = global_norm(grads)
    # An infinite norm gives NaN, which is what it means; it is not hidden.
    scale = limit / jf.maximum(norm, limit)
    return [g * jf.astype(scale, g.dtype) for g in grads]


def update_if(
    condition: Any, variables: Sequence[Any], action: Callable[[], None]
) -> None:
    """Run `action`, whose assignments to `variables` count only if `condition` holds.

    Inside a trace both values are computed and one is selected; eagerly the action is
    run or not.
    """
    if state.trace is None:
        if bool(condition):
            action()
        return
    before = [v.value for v in variables]
    action()
    for variable, old in zip(variables, before, strict=True):
        new = variable.value
        if new is not old:
            variable.assign(jf.where(condition, new, old))
