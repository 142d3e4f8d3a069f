"""Help for tests of code that uses JitFlow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from jitflow.errors import JitFlowError
from jitflow.function.policy import no_retrace, observe_traces
from jitflow.function.records import TraceRecord
from jitflow.gradient import GradientTape
from jitflow.ops.coerce import as_tensor
from jitflow.tensor import Tensor

__all__ = ["GradientMismatch", "assert_no_retrace", "check_gradients", "count_compiles"]

assert_no_retrace = no_retrace


class GradientMismatch(JitFlowError, AssertionError):
    """A derivative rule and finite differences disagree."""

    code = "JF024"


class Count:
    """Traces that were made; an int by ``len`` and by comparison of ``total``."""

    def __init__(self) -> None:
        self.records: list[TraceRecord] = []

    @property
    def total(self) -> int:
        """How many."""
        return len(self.records)

    def __len__(self) -> int:
        return len(self.records)


@contextmanager
def count_compiles() -> Iterator[Count]:
    """Count the traces that are made, and compiled, inside."""
    count = Count()
    with observe_traces(count.records.append):
        yield count


def check_gradients(
    function: Callable[..., Any],
    args: Sequence[Any],
    *,
    eps: float = 1e-6,
    rtol: float = 1e-5,
    atol: float = 1e-7,
) -> None:
    """Compare the gradient of the sum of a function's result with finite differences.

    Args:
        function: takes tensors, returns one.
        args: float arrays; computed in float64.
        eps: step of the central differences.
        rtol: relative tolerance.
        atol: absolute tolerance.

    Raises:
        GradientMismatch: naming the argument and the element that differ most.
    """
    arrays = [np.array(a, dtype=np.float64) for a in args]
    tensors = [as_tensor(a) for a in arrays]
    with GradientTape() as tape:
        tape.watch(tensors)
        result = function(*tensors)
    found = tape.gradient(result, tensors, unconnected_gradients="zero")
    for i, gradient in enumerate(found):
        expected = _differences(function, arrays, i, eps)
        _compare(i, np.asarray(gradient), expected, rtol, atol)


def _total(function: Callable[..., Any], arrays: Sequence[np.ndarray]) -> float:
    result: Tensor = function(*(as_tensor(a) for a in arrays))
    return float(np.sum(result.numpy()))


def _differences(
    function: Callable[..., Any], arrays: list[np.ndarray], i: int, eps: float
) -> np.ndarray:
    out = np.zeros_like(arrays[i])
    for index in np.ndindex(out.shape):
        values = []
        for step in (eps, -eps):
            moved = arrays[i].copy()
            moved[index] += step
            values.append(_total(function, [*arrays[:i], moved, *arrays[i + 1 :]]))
        out[index] = (values[0] - values[1]) / (2 * eps)
    return out


def _compare(
    i: int, found: np.ndarray, expected: np.ndarray, rtol: float, atol: float
) -> None:
    if np.allclose(found, expected, rtol=rtol, atol=atol):
        return
    error = np.abs(found - expected) - rtol * np.abs(expected)
    worst = np.unravel_index(int(np.argmax(error)), error.shape)
    raise GradientMismatch(
        f"argument {i}: the gradient at {tuple(map(int, worst))} is "
        f"{found[worst]:.8g}, "
        f"finite differences give {expected[worst]:.8g}"
    )
