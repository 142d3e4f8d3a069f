"""`jf.benchmark`: how fast is a function eagerly and compiled, and from when on?

The variants run interleaved, so that a busy machine disturbs all of them alike. Results
are compared first: a speed-up of something that computes other numbers is none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from jitflow.errors import ArgumentError
from jitflow.function import Function, function
from jitflow.tensor import Tensor, Variable
from jitflow.tracing.structure import flatten

VARIANTS = ("numpy", "eager", "compiled")


@dataclass
class Timing:
    """One variant; times in seconds.

    Attributes:
        name: of the variant.
        first: the first call, with tracing and compiling.
        stages: parts of the first call by name; empty for variants that do not compile.
        samples: times of the calls after the first.
    """

    name: str
    first: float
    stages: dict[str, float] = field(default_factory=dict)
    samples: list[float] = field(default_factory=list)

    @property
    def steady(self) -> float:
        """The median of the later calls."""
        return median(self.samples)

    @property
    def spread(self) -> float:
        """The median absolute deviation from `steady`."""
        middle = self.steady
        return median(abs(s - middle) for s in self.samples)


@dataclass
class Report:
    """Timings of all variants; its text is a table."""

    timings: list[Timing]

    def __getitem__(self, name: str) -> Timing:
        """The timing of a variant."""
        return next(t for t in self.timings if t.name == name)

    def speedup(self, fast: str = "compiled", slow: str = "eager") -> float | None:
        """How many times faster one variant is; None if the noise hides it."""
        a, b = self[fast], self[slow]
        if abs(a.steady - b.steady) <= a.spread + b.spread:
            return None
        return b.steady / a.steady

    def break_even(self, fast: str = "compiled", slow: str = "eager") -> int | None:
        """Calls after which `fast` has paid for its first one; None if never."""
        a, b = self[fast], self[slow]
        gain = b.steady - a.steady
        if gain <= 0:
            return None
        return max(1, 1 + int(np.ceil((a.first - b.first) / gain)))

    def __str__(self) -> str:
        head = f"{'':>10} {'trace':>9} {'compile':>9} {'1st call':>10}   steady"
        lines = [head, *map(_row, self.timings)]
        names = {t.name for t in self.timings}
        if {"eager", "compiled"} <= names:
            lines.append(self._verdict())
        return "\n".join(lines)

    def _verdict(self) -> str:
        ratio, calls = self.speedup(), self.break_even()
        if ratio is None:
            return "no difference beyond the noise"
        if calls is None:
            return f"compiled is {1 / ratio:.2f} times slower"
        return f"compiled is {ratio:.2f} times faster; break-even after {calls} calls"


def _row(timing: Timing) -> str:
    stages = [timing.stages.get(name) for name in ("trace", "compile")]
    shown = ["-" if s is None else _text(s) for s in stages]
    steady = f"{_text(timing.steady)} ± {_text(timing.spread)}"
    return (
        f"{timing.name:>10} {shown[0]:>9} {shown[1]:>9} {_text(timing.first):>10}   "
        f"{steady} (n={len(timing.samples)})"
    )


def _text(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def benchmark(
    target: Callable[..., Any],
    *args: Any,
    compare: Sequence[str] = ("eager", "compiled"),
    seconds: float = 1.0,
    rtol: float = 1e-4,
    atol: float = 1e-5,
    show: bool = True,
    **kwargs: Any,
) -> Report:
    """Time a function in several variants on the same arguments.

    Args:
        target: a Python function or a `jf.function`.
        args: its arguments; `kwargs` too.
        compare: ``"eager"`` runs the Python function, ``"compiled"`` its trace,
            ``"numpy"`` the Python function on NumPy arrays.
        seconds: how long to measure, all variants together.
        rtol: relative tolerance for the results of the variants to agree.
        atol: absolute tolerance.
        show: print the table.

    Returns:
        A `Report`.

    Raises:
        ArgumentError: for an unknown variant, or if the results differ.
    """
    unknown = [name for name in compare if name not in VARIANTS]
    if unknown or not compare:
        raise ArgumentError(f"compare: {unknown or 'nothing'}; one of {VARIANTS}")
    runs = {name: _variant(name, target, args, kwargs) for name in compare}
    timings, results = [], {}
    for name, run in runs.items():
        start = time.perf_counter()
        results[name] = run()
        timing = Timing(name, time.perf_counter() - start)
        timings.append(timing)
    _check_agreement(results, rtol, atol)
    compiled = getattr(runs.get("compiled"), "function", None)
    if compiled is not None and compiled.traces:
        next(t for t in timings if t.name == "compiled").stages = dict(
            compiled.traces[-1].seconds
        )
    _measure(runs, timings, seconds)
    report = Report(timings)
    if show:
        print(report)
    return report


class _Run:
    """One variant, ready to be called."""

    def __init__(self, call: Callable[[], Any], compiled: Function | None) -> None:
        self._call = call
        self.function = compiled

    def __call__(self) -> Any:
        return self._call()


def _variant(
    name: str, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> _Run:
    python = target.python_function if isinstance(target, Function) else target
    if name == "compiled":
        # A fresh function: the first call is part of what is measured.
        made = function(python)
        return _Run(lambda: made(*args, **kwargs), made)
    if name == "numpy":
        args = tuple(_to_numpy(a) for a in args)
        kwargs = {k: _to_numpy(v) for k, v in kwargs.items()}
    return _Run(lambda: python(*args, **kwargs), None)


def _to_numpy(value: Any) -> Any:
    return np.array(value.numpy()) if isinstance(value, Tensor | Variable) else value


def _arrays(result: Any) -> list[np.ndarray]:
    leaves = flatten(result)[0]
    return [
        np.asarray(v) for v in leaves if isinstance(v, Tensor | Variable | np.ndarray)
    ]


def _check_agreement(results: dict[str, Any], rtol: float, atol: float) -> None:
    names = list(results)
    first = _arrays(results[names[0]])
    for name in names[1:]:
        other = _arrays(results[name])
        if len(first) != len(other):
            raise ArgumentError(
                f"{names[0]} gives {len(first)} arrays, {name} {len(other)}"
            )
        for i, (a, b) in enumerate(zip(first, other, strict=True)):
            if not np.allclose(a, b, rtol=rtol, atol=atol, equal_nan=True):
                raise ArgumentError(
                    f"result {i} of {name} differs from {names[0]}",
                    fix="functions that update variables give other results each call; "
                    "pass a larger rtol if the difference is rounding",
                )


def _measure(runs: dict[str, _Run], timings: list[Timing], seconds: float) -> None:
    clock = time.perf_counter
    end = clock() + seconds
    rounds = 0
    while rounds < 5 or (clock() < end and rounds < 10_000):
        for timing in timings:
            run = runs[timing.name]
            start = clock()
            run()
            timing.samples.append(clock() - start)
        rounds += 1
