"""Checks in compiled code: a hidden variable remembers the first that failed.

Loops and branches carry the variable like any other, and the host looks at it after
each run.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitflow.config import settings
from jitflow.errors import IndexingError
from jitflow.ops.dispatch import builder
from jitflow.ops.elementwise import logical_and, logical_or, where
from jitflow.tensor import Tensor, Variable, state
from jitflow.tracing.context import TraceContext, init_scope


class Checks:
    """The assertions of one trace.

    Attributes:
        flag: number of the first assertion that failed, counted from 1; else 0.
        errors: what they raise.
    """

    def __init__(self) -> None:
        with init_scope():
            zero = np.zeros((), np.int32)
            self.flag = Variable(zero, trainable=False, name="failed_assertion")
        self.errors: list[BaseException] = []

    def add(self, holds: Tensor, error: BaseException) -> None:
        """Stage an assertion; `holds` is a bool of rank 0."""
        self.errors.append(error)
        before = self.flag.value
        number = builder.full_like(len(self.errors), before)
        settled = logical_or(holds, before != 0)
        self.flag.assign(where(settled, before, number))

    def verify(self) -> None:
        """Look at the last run.

        Raises:
            BaseException: that of the first assertion that failed. What the run
                assigned to variables stays.
        """
        number = int(self.flag._data)
        if number:
            self.flag._data = np.zeros((), np.int32)
            raise self.errors[number - 1].with_traceback(None)


def checks_of(trace: TraceContext) -> Any:
    """The checks of the outermost trace; made when there is the first one."""
    if trace.checks is None:
        outer: TraceContext | None = trace
        made = Checks()
        while outer is not None:
            outer.checks = made
            outer = outer.parent
    return trace.checks


def require_inside(indices: Tensor, size: Any, what: str) -> None:
    """Stage a check that integer `indices` lie in ``[-size, size)``.

    The compiled function raises `IndexingError` after a run in which one did not. Under
    a transform such as `vmap` the indices of the whole batch are looked at around it.
    Nothing is checked if `jitflow.config.check_indices` has switched checks off, nor in
    the body of a loop or a branch inside a transform.

    Raises:
        IndexingError: at once, if the indices have values.
    """
    trace = state.trace
    if not settings.check_indices or _has_transform_around(trace):
        return
    if trace is None:
        _check_now(indices._data, size, what)
        return
    if not isinstance(trace, TraceContext):
        with trace.outside():
            require_inside(trace.inner(indices), size, what)
        return
    inside = logical_and(
        indices >= builder.full_like(0, indices) - size, indices < size
    )
    error = IndexingError(
        f"{what}: an index is out of bounds for size {size}",
        fix="clip the indices, or use jf.config.check_indices(False)",
    )
    axes = tuple(range(inside.ndim))
    checks_of(trace).add(builder.reduce_and(inside, axes=axes), error)


def _has_transform_around(trace: Any) -> bool:
    """Whether a graph being traced is a body inside a transform: its flag would differ
    from element to element."""
    if not isinstance(trace, TraceContext):
        return False
    outer = trace.parent
    while isinstance(outer, TraceContext):
        outer = outer.parent
    return outer is not None


def _check_now(indices: np.ndarray, size: int, what: str) -> None:
    bad = indices[(indices < -size) | (indices >= size)]
    if bad.size:
        raise IndexingError(
            f"{what}: index {bad.flat[0]} is out of bounds for size {size}"
        )
