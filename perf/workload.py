"""What is timed: a workload, and how each framework's user would write it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Inputs = Mapping[str, np.ndarray]
Step = Callable[[], Any]
"""Runs the work once and returns what the framework returns."""
Build = Callable[[Inputs], Step]
"""Everything up to the first call: convert the inputs, define and decorate."""

OURS = "jitflow"


@dataclass(frozen=True)
class Variant:
    """One way to write a workload.

    Attributes:
        label: the column it fills; unique in the workload.
        framework: a name from `perf.frameworks.FRAMEWORKS`.
        build: makes the step from the inputs.
        compiles: whether the first call compiles; an eager one is left out there.
    """

    label: str
    framework: str
    build: Build
    compiles: bool = True


@dataclass(frozen=True)
class Workload:
    """One row of the table.

    Attributes:
        name: what ``--only`` takes.
        title: what the table says.
        inputs: makes the arrays; the same in every process.
        reference: expected results of the first `check_steps` calls, from NumPy.
        variants: the ways to write it, ours among them.
        rtol: largest error that is no mismatch, relative to the mean magnitude of
            the reference.
        check_steps: calls whose results are compared before anything is timed; more
            than one where a call changes state.
        each: wait for every result. Otherwise only for the last of a sample: the
            cost of a call, not of its work.
        first_call: also time the first call of a process, with empty caches and with
            the caches of an earlier process.
        steady: time calls after the first ones.
    """

    name: str
    title: str
    inputs: Callable[[], Inputs]
    reference: Callable[[Inputs], list[np.ndarray]]
    variants: tuple[Variant, ...]
    rtol: float = 1e-5
    check_steps: int = 1
    each: bool = True
    first_call: bool = False
    steady: bool = True

    def variant(self, label: str) -> Variant:
        """The variant with this label.

        Raises:
            KeyError: if there is none.
        """
        for variant in self.variants:
            if variant.label == label:
                return variant
        raise KeyError(label)


def flatten(results: Any) -> list[np.ndarray]:
    """Results of one step, an array or a tuple or list of them, as NumPy arrays."""
    if isinstance(results, tuple | list):
        return [array for result in results for array in flatten(result)]
    detach = getattr(results, "detach", None)
    return [np.asarray(results if detach is None else detach())]


def mismatch(got: list[np.ndarray], want: list[np.ndarray], rtol: float) -> str:
    """Why results differ from the reference, or an empty string if they agree."""
    if len(got) != len(want):
        return f"{len(got)} results, expected {len(want)}"
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        if a.shape != b.shape:
            return f"result {i} has shape {a.shape}, expected {b.shape}"
        error = np.abs(a.astype(np.float64) - b)
        scale = np.maximum(np.abs(b), np.mean(np.abs(b)) if b.size else 0.0)
        worst = float(np.max(error - rtol * scale, initial=-np.inf))
        if not worst <= 0:
            return f"result {i} is off by {np.max(error):.3g}"
    return ""
