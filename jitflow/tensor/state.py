"""What is going on in this thread: the active trace, the tapes, the name scopes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from compiler.ir.location import Location

if TYPE_CHECKING:
    from jitflow.tensor.tensor import Tensor
    from jitflow.tensor.variable import Variable


class Trace(Protocol):
    """What the front end asks of an active trace (`jitflow.tracing`)."""

    @property
    def staging(self) -> bool:
        """True if tensors have no values while it is active."""

    def apply(self, op: Any, inputs: tuple[Any, ...], attrs: Any) -> Any:
        """Stage an op; eager tensors among the inputs are lifted."""

    def lift(self, tensor: Tensor) -> Tensor:
        """The traced tensor that stands for a closed-over eager one."""

    def read_variable(self, variable: Variable) -> Tensor:
        """The current value of a variable inside the trace."""

    def write_variable(self, variable: Variable, value: Tensor) -> None:
        """Stage an assignment; `value` has the variable's type."""

    def created_variable(self, variable: Variable) -> None:
        """A variable is being created while tracing; raises if that is not allowed."""

    def concrete(self, tensor: Tensor) -> Any:
        """The array of a tensor that depends on captured values only."""

    def convert(self, function: Any) -> Any:
        """A function of the user with its Python control flow made traceable."""


class Tape(Protocol):
    """What the front end asks of an active gradient tape (`jitflow.gradient`)."""

    def record(self, op: Any, inputs: Any, outputs: Any, attrs: Any) -> None:
        """An op was applied."""

    def read(self, variable: Variable, value: Tensor) -> None:
        """A variable was read as `value`."""

    def escaped(self, tensor: Tensor, how: str) -> None:
        """The value of `tensor` left the framework through ``how`` (``numpy()``)."""


class _Activity:
    """Number of threads that trace or record; operators take a fast path at zero."""

    __slots__ = ("lock", "threads")

    def __init__(self) -> None:
        self.threads = 0
        self.lock = threading.Lock()

    def change(self, by: int) -> None:
        with self.lock:
            self.threads += by


activity = _Activity()


class State(threading.local):
    """Thread-local state of the front end.

    Attributes:
        scopes: name scopes, outermost first (``("model", "dense_1")``).
        location: line that ops made now belong to; None means the caller's own line.
            A tape sets it so that backward ops carry the line of their forward op.
    """

    def __init__(self) -> None:
        self._trace: Trace | None = None
        self._tapes: tuple[Tape, ...] = ()
        self._active = False
        self.scopes: tuple[str, ...] = ()
        self.location: Location | None = None

    @property
    def trace(self) -> Any:
        """The active trace, or None: then everything runs at once."""
        return self._trace

    @trace.setter
    def trace(self, trace: Trace | None) -> None:
        self._trace = trace
        self._sync()

    @property
    def tapes(self) -> tuple[Tape, ...]:
        """The tapes that record, outermost first."""
        return self._tapes

    @tapes.setter
    def tapes(self, tapes: tuple[Tape, ...]) -> None:
        self._tapes = tapes
        self._sync()

    def _sync(self) -> None:
        active = self._trace is not None or bool(self._tapes)
        if active != self._active:
            self._active = active
            activity.change(1 if active else -1)

    @property
    def scope(self) -> str:
        """The name scopes as one path: ``model/dense_1``."""
        return "/".join(self.scopes)


state = State()


def user_function(function: Any) -> Any:
    """What the framework calls in place of a function that the user handed over.

    While tracing it is the function with its control flow converted.
    """
    trace = state.trace
    return function if trace is None else trace.convert(function)


@contextmanager
def name_scope(name: str) -> Iterator[None]:
    """Ops made inside carry `name` in their scope; scopes nest as a path."""
    before = state.scopes
    state.scopes = (*before, name)
    try:
        yield
    finally:
        state.scopes = before
