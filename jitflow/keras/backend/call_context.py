"""What is going on in this thread while layers call each other.

The outermost call decides `training`; inner calls that are not told otherwise follow.
Masks travel beside the tensors they belong to, in a table that forgets dead tensors.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jitflow.tensor.state import state
from jitflow.tracing import init_scope


class CallState(threading.local):
    """Thread-local state of layer calls.

    Attributes:
        depth: number of layer calls that are running.
        pending_losses: whether a layer holds losses of an earlier call.
        training: the mode of the running calls; None if nobody has said.
        autocast: dtype that float variables are read as, or None for their own.
        shapes: where calls note their output shapes by layer identity, or None.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.pending_losses = False
        self.training: bool | None = None
        self.autocast: Any = None
        self.shapes: dict[int, Any] | None = None
        self.masks: dict[int, tuple[Any, Any]] = {}


calls = CallState()


def set_keras_mask(tensor: Any, mask: Any) -> None:
    """Attach a mask to a tensor; it travels to the layers that take the tensor."""
    if mask is None:
        calls.masks.pop(id(tensor), None)
        return
    masks, key = calls.masks, id(tensor)
    masks[key] = (weakref.ref(tensor, lambda _: masks.pop(key, None)), mask)


def get_keras_mask(tensor: Any) -> Any:
    """The mask attached to a tensor, or None."""
    found = calls.masks.get(id(tensor)) if calls.masks else None
    return None if found is None else found[1]


@contextmanager
def outside_traces(*scopes: str) -> Iterator[None]:
    """Leave traces, tapes and reduced precision, but keep the name scopes.

    Args:
        scopes: name scopes to enter on top of the present ones.
    """
    path, autocast = (*state.scopes, *scopes), calls.autocast
    with init_scope():
        state.scopes, calls.autocast = path, None
        try:
            yield
        finally:
            calls.autocast = autocast
