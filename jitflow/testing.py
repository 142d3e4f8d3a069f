"""Help for tests of code that uses JitFlow."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from jitflow.dtypes import bfloat16
from jitflow.errors import ArgumentError, JitFlowError
from jitflow.function.policy import no_retrace, observe_traces
from jitflow.function.records import TraceRecord
from jitflow.gradient import grad, jvp
from jitflow.ops.coerce import as_tensor
from jitflow.ops.elementwise import add, imag, multiply, real
from jitflow.ops.reductions import sum
from jitflow.tracing import flatten

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
    order: int = 1,
    modes: Sequence[str] = ("rev", "fwd"),
    eps: float = 1e-5,
    rtol: float = 1e-5,
    atol: float = 1e-6,
) -> None:
    """Compare the derivatives of a function with finite differences.

    Reverse mode is checked element by element, for a weighted sum of the results;
    forward mode along one direction. Both are fixed, so that a failure is repeatable.

    Args:
        function: takes tensors, returns a structure of tensors.
        args: arrays; real floats are computed in float64 and differentiated, others are
            constants.
        order: 2 checks also the derivatives of the gradient, and so on.
        modes: ``"rev"`` (tapes, grad, vjp) and ``"fwd"`` (jvp).
        eps: step of the central differences.
        rtol: relative tolerance.
        atol: absolute tolerance.

    Raises:
        GradientMismatch: naming the mode, the order, the argument and the element that
            differ most.
        ArgumentError: for an unknown mode, or if no argument is a real float.
    """
    for mode in modes:
        if mode not in ("rev", "fwd"):
            raise ArgumentError(f"modes: {mode!r} is neither 'rev' nor 'fwd'")
    check = _Check(function, [np.asarray(a) for a in args], eps, rtol, atol)
    for number in range(1, order + 1):
        check.run(number, modes)
        if number < order:
            check = check.of_gradient()


class _Check:
    """One order of `check_gradients`: a function of the differentiable arguments."""

    def __init__(
        self,
        function: Callable[..., Any],
        arrays: Sequence[np.ndarray],
        eps: float,
        rtol: float,
        atol: float,
    ) -> None:
        self._function = function
        self._options = (eps, rtol, atol)
        self._moving = [i for i, a in enumerate(arrays) if _is_float(a)]
        if not self._moving:
            raise ArgumentError("args: no argument is a real float")
        self._arrays = [
            a.astype(np.float64) if i in self._moving else a
            for i, a in enumerate(arrays)
        ]

    def flat(self, *values: Any) -> list[Any]:
        """The results as real floats for values of the differentiable arguments."""
        args: list[Any] = [as_tensor(a) for a in self._arrays]
        for i, value in zip(self._moving, values, strict=True):
            args[i] = as_tensor(value)
        results = [as_tensor(y) for y in flatten(self._function(*args))[0]]
        pairs = [(real(y), imag(y)) if y.dtype.is_complex else (y,) for y in results]
        return [y for pair in pairs for y in pair if y.dtype.is_float]

    def weighted(self, *values: Any) -> Any:
        """The sum of all results, with fixed weights so that nothing cancels."""
        parts = [
            sum(multiply(y, _pattern(y.shape, i)))
            for i, y in enumerate(self.flat(*values))
        ]
        return functools.reduce(add, parts)

    def of_gradient(self) -> _Check:
        """The check of the gradient as a function."""
        values = [self._arrays[i] for i in self._moving]
        gradient = grad(self.weighted, argnums=tuple(range(len(values))))
        return _Check(gradient, values, *self._options)

    def run(self, order: int, modes: Sequence[str]) -> None:
        """Compare; raises `GradientMismatch`."""
        values = [self._arrays[i] for i in self._moving]
        if "rev" in modes:
            found = grad(self.weighted, argnums=tuple(range(len(values))))(*values)
            for i, gradient in enumerate(found):
                what = f"reverse mode, order {order}, argument {self._moving[i]}"
                expected = self._differences(values, i)
                self._compare(what, gradient.numpy(), expected)
        if "fwd" in modes:
            directions = [_pattern(v.shape, 7 + i) for i, v in enumerate(values)]
            pushed = jvp(self.flat, values, directions)[1]
            moved = self._along(values, directions)
            for i, (t, expected) in enumerate(zip(pushed, moved, strict=True)):
                what = f"forward mode, order {order}, result {i}"
                self._compare(what, t.numpy(), expected)

    def _differences(self, values: list[np.ndarray], i: int) -> np.ndarray:
        eps = self._options[0]
        out = np.zeros_like(values[i])
        for index in np.ndindex(out.shape):
            ends = []
            for step in (eps, -eps):
                moved = values[i].copy()
                moved[index] += step
                ends.append(self.weighted(*values[:i], moved, *values[i + 1 :]).item())
            out[index] = (ends[0] - ends[1]) / (2 * eps)
        return out

    def _along(
        self, values: list[np.ndarray], directions: list[np.ndarray]
    ) -> list[np.ndarray]:
        eps = self._options[0]
        up, down = (
            self.flat(*(v + s * d for v, d in zip(values, directions, strict=True)))
            for s in (eps, -eps)
        )
        pairs = zip(up, down, strict=True)
        return [(a.numpy() - b.numpy()) / (2 * eps) for a, b in pairs]

    def _compare(self, what: str, found: np.ndarray, expected: np.ndarray) -> None:
        eps, rtol, atol = self._options
        if np.allclose(found, expected, rtol=rtol, atol=atol, equal_nan=True):
            return
        error = np.abs(found - expected) - rtol * np.abs(expected)
        error = np.where(np.isnan(error), np.inf, error)
        worst = np.unravel_index(int(np.argmax(error)), error.shape)
        wrong = int(np.sum(error > atol))
        raise GradientMismatch(
            f"{what}: the derivative at {tuple(map(int, worst))} is "
            f"{found[worst]:.8g}, finite differences give {expected[worst]:.8g}; "
            f"{wrong} of {error.size} elements differ",
            fix="check the derivative rule; near a kink or for large third derivatives "
            f"choose another point or eps (now {eps:g})",
        )


def _is_float(array: np.ndarray) -> bool:
    return array.dtype.kind == "f" or array.dtype == bfloat16.np


def _pattern(shape: Any, seed: int) -> np.ndarray:
    """Fixed numbers between 0.5 and 1.5 in size, of both signs."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)
