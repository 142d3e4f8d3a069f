"""A builder whose values are NumPy arrays: runs op rules eagerly, for tests.

Every application checks that `infer` and `evaluate` agree on the result types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import compiler.ops  # noqa: F401  (fills the op table)
from compiler.ir.builder import BuilderOps, infer_types
from compiler.ir.op import Op
from compiler.ir.types import TensorType, type_of_array


class NumpyBuilder(BuilderOps):
    """`BuilderOps` over arrays."""

    def apply(self, op: Op, inputs: tuple[Any, ...], attrs: Mapping[str, Any]) -> Any:
        """Evaluate, and compare the result types with the inferred ones."""
        types = infer_types(op, tuple(type_of_array(x) for x in inputs), attrs)
        with np.errstate(all="ignore"):
            result = op.evaluate(*inputs, **attrs)
        outputs = result if isinstance(result, tuple) else (result,)
        for type_, output in zip(types, outputs, strict=True):
            assert isinstance(output, np.ndarray), (op, type(output))
            assert type_of_array(output) == type_, (op, output.dtype, output.shape)
        return result

    def type_of(self, x: np.ndarray) -> TensorType:
        """The type of an array."""
        return type_of_array(x)
