"""Who wants to know about traces: counters, and contexts that forbid retracing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jitflow.errors import JitFlowError

Observer = Callable[[Any], None]
_forbidden: ContextVar[bool] = ContextVar("jitflow_no_retrace", default=False)
_observers: ContextVar[tuple[Observer, ...]] = ContextVar("jitflow_traces", default=())


class RetraceError(JitFlowError, RuntimeError):
    """A function would be traced again where that is not allowed."""

    code = "JF022"


class RetraceWarning(UserWarning):
    """A function was traced again; see ``f.why()``."""


@contextmanager
def no_retrace() -> Iterator[None]:
    """Inside, a function that has a trace must not need another one.

    Raises:
        RetraceError: from the call that would trace again, with the reason.
    """
    token = _forbidden.set(True)
    try:
        yield
    finally:
        _forbidden.reset(token)


@contextmanager
def observe_traces(observer: Observer) -> Iterator[None]:
    """Call `observer` with the record of every trace that is made inside."""
    token = _observers.set((*_observers.get(), observer))
    try:
        yield
    finally:
        _observers.reset(token)


def retracing_forbidden() -> bool:
    """Whether a `no_retrace` context is active."""
    return _forbidden.get()


def announce(record: Any) -> None:
    """Tell the observers about a new trace."""
    for observer in _observers.get():
        observer(record)
