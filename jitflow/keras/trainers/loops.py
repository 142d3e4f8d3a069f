"""The loops of `fit`, `evaluate` and `predict` over batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

import jitflow as jf
from jitflow.errors import ArgumentError
from jitflow.keras.callbacks.callback_list import CallbackList
from jitflow.keras.trainers.data import Batch, DataSource
from jitflow.keras.trainers.steps import StepFunction
from jitflow.tracing.structure import flatten, unflatten


@dataclass(slots=True)
class Clock:
    """Where the time of a loop went, in seconds."""

    data: float = 0.0
    step: float = 0.0
    callbacks: float = 0.0
    steps: int = 0

    @property
    def total(self) -> float:
        """The time of all steps."""
        return self.data + self.step + self.callbacks

    def report(self) -> str:
        """``time: data 5 %, step 93 %, callbacks 2 % of 0.52 s``."""
        total = self.total or 1.0
        shares = ", ".join(
            f"{name} {100 * part / total:.0f} %"
            for name, part in (
                ("data", self.data),
                ("step", self.step),
                ("callbacks", self.callbacks),
            )
        )
        hint = "; waiting for data" if self.data > self.step else ""
        return f"time: {shares} of {self.total:.3g} s{hint}"


class EpochIterator:
    """The batches of epochs, at most so many at a time.

    A source that goes on where it stopped (a generator) keeps its place between epochs
    if `steps` is set; any other starts anew.

    Args:
        source: of the batches.
        steps: of an epoch; None for all that the source has.
    """

    def __init__(self, source: DataSource, steps: int | None = None) -> None:
        self.source = source
        self.steps = steps
        self._going: Iterator[Batch] | None = None

    @property
    def num_batches(self) -> int | None:
        """Number of batches of an epoch, if it is known."""
        return self.steps or self.source.num_batches

    def epoch(self) -> Iterator[Batch]:
        """The batches of one epoch.

        Raises:
            ArgumentError: if there is none.
        """
        if self.steps is None:
            yield from self.source.epoch()
            return
        restarted = False
        count = 0
        while count < self.steps:
            if self._going is None:
                self._going = self.source.epoch()
                restarted = True
            batch = next(self._going, None)
            if batch is None:
                self._going = None
                if restarted and count == 0:
                    return
                if not self._can_restart(restarted):
                    return
                continue
            count += 1
            yield batch

    def _can_restart(self, restarted: bool) -> bool:
        # A generator that has ended gives no more; arrays and data sets start again.
        return not restarted or self.source.num_batches is not None


class Hooks:
    """The hooks of a kind of loop (``"train"``, ``"test"``, ``"predict"``)."""

    def __init__(self, callbacks: CallbackList, kind: str) -> None:
        self.begin: Callable[..., None] = getattr(callbacks, f"on_{kind}_batch_begin")
        self.end: Callable[..., None] = getattr(callbacks, f"on_{kind}_batch_end")


@dataclass(slots=True)
class Loop:
    """One pass over batches.

    Attributes:
        step: runs a batch.
        hooks: called around executions.
        steps_per_execution: batches between hooks.
        should_stop: asked after each execution.
        before: called with each batch before its step.
    """

    step: StepFunction
    hooks: Hooks
    steps_per_execution: int
    should_stop: Callable[[], bool]
    before: Callable[[Batch], None]

    def run(self, batches: Iterator[Batch], clock: Clock) -> Any:
        """Run the step on all batches; returns the result of the last one."""
        result: Any = None
        number = 0
        mark = perf_counter()
        for batch in batches:
            start = perf_counter()
            clock.data += start - mark
            first = number % self.steps_per_execution == 0
            if first:
                self.hooks.begin(number)
            begun = perf_counter()
            self.before(batch)
            result = self.step(batch)
            done = perf_counter()
            number += 1
            if number % self.steps_per_execution == 0:
                self.hooks.end(number - 1, result)
            mark = perf_counter()
            clock.callbacks += (begun - start) + (mark - done)
            clock.step += done - begun
            if self.should_stop():
                break
        if number % self.steps_per_execution:
            self.hooks.end(number - 1, result)
        clock.steps += number
        return result


class Collector:
    """Puts the predictions of batches together.

    Args:
        num_samples: of all batches, if it is known: results are then written to their
            place at once.
    """

    def __init__(self, num_samples: int | None) -> None:
        self._num_samples = num_samples
        self._structure: Any = None
        self._whole: list[np.ndarray] | None = None
        self._parts: list[list[np.ndarray]] = []
        self._filled = 0

    def add(self, outputs: Any) -> None:
        """Take the predictions of a batch: tensors in any structure."""
        leaves, self._structure = flatten(outputs)
        arrays = [_array(leaf) for leaf in leaves]
        if self._num_samples is not None and not self._parts and _fits(arrays):
            self._write(arrays)
        else:
            self._parts.append([np.array(a) for a in arrays])

    def _write(self, arrays: list[np.ndarray]) -> None:
        if self._whole is None:
            self._whole = [
                np.empty((self._num_samples, *a.shape[1:]), a.dtype) for a in arrays
            ]
        stop = self._filled + len(arrays[0])
        for whole, array in zip(self._whole, arrays, strict=True):
            whole[self._filled : stop] = array
        self._filled = stop

    def result(self) -> Any:
        """All predictions as NumPy arrays in the structure of the outputs.

        Raises:
            ArgumentError: if there was no batch.
        """
        if self._structure is None:
            raise ArgumentError("x: there are no batches to predict on")
        if self._whole is not None:
            arrays = [a[: self._filled] for a in self._whole]
        else:
            arrays = [np.concatenate(part) for part in zip(*self._parts, strict=True)]
        return unflatten(self._structure, arrays)


def _array(leaf: Any) -> np.ndarray:
    return leaf.numpy() if isinstance(leaf, jf.Tensor) else np.asarray(leaf)


def _fits(arrays: list[np.ndarray]) -> bool:
    """Whether all outputs have the same number of rows."""
    return all(a.ndim and len(a) == len(arrays[0]) for a in arrays)
