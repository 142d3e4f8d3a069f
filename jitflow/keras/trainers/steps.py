"""`StepFunction`: a step of a model as compiled traces with an open batch size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import jitflow as jf
from jitflow.config import functions_run_eagerly
from jitflow.keras.trainers.data import Batch
from jitflow.tensor.tensor import wrap
from jitflow.tracing.structure import Structure, unflatten

# The symbol of the first dimension of every array of a batch.
BATCH = "batch"


class StepFunction:
    """Runs ``step(data)`` on batches: eagerly, or as one compiled trace.

    There is one `jf.function` for each structure of batches. The first dimension of all
    arrays is one symbol from the first trace on, so that the last, smaller batch of an
    epoch needs no trace and no compilation.

    Args:
        name: shown in graphs and reports.
        step: takes ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)`` of tensors.
        run_eagerly: run the Python code at each step.
        jit_compile: False runs traces op by op in the reference interpreter.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[Any], Any],
        run_eagerly: bool = False,
        jit_compile: bool = True,
    ) -> None:
        self.name = name
        self.step = step
        self.run_eagerly = run_eagerly
        self.jit_compile = jit_compile
        self.functions: dict[Structure, Any] = {}

    @property
    def is_eager(self) -> bool:
        """Whether steps run as Python code now."""
        return self.run_eagerly or functions_run_eagerly()

    @property
    def traces(self) -> list[Any]:
        """The traces of all structures, oldest first."""
        return [trace for f in self.functions.values() for trace in f.traces]

    def __call__(self, batch: Batch) -> Any:
        """Run the step on a batch; returns what the step returns."""
        tensors = [wrap(a) for a in batch.arrays]
        if self.is_eager:
            return self.step(unflatten(batch.structure, tensors))
        return self._function(batch)(*tensors)

    def prepare(self, batch: Batch) -> None:
        """Trace and compile for batches like this one, without running the step."""
        if not self.is_eager:
            self._function(batch)

    def _function(self, batch: Batch) -> Any:
        found = self.functions.get(batch.structure)
        return found or self._make(batch.structure, batch.arrays)

    def _make(self, structure: Structure, arrays: Sequence[np.ndarray]) -> Any:
        step = self.step

        def run_step(*tensors: Any) -> Any:
            return step(unflatten(structure, tensors))

        function = jf.function(
            run_step, name=self.name, jit_compile=self.jit_compile, max_traces=None
        )
        function.get_concrete_function(*_specs(arrays))
        self.functions[structure] = function
        return function


def _specs(arrays: Sequence[np.ndarray]) -> list[jf.TensorSpec]:
    """Types of arrays with the first dimension open."""
    return [
        jf.TensorSpec((BATCH, *a.shape[1:]) if a.ndim else (), a.dtype) for a in arrays
    ]
