"""Functions over tensors, by subject; `jitflow` re-exports them as its namespace."""

from jitflow.ops import (
    creation,
    data_types,
    elementwise,
    indexing,
    linear_algebra,
    manipulation,
    operators,
    reductions,
    searching,
)
from jitflow.ops.dispatch import TensorBuilder, apply, builder
from jitflow.ops.reductions import size_of

__all__ = [
    "TensorBuilder",
    "apply",
    "builder",
    "creation",
    "data_types",
    "elementwise",
    "indexing",
    "linear_algebra",
    "manipulation",
    "operators",
    "reductions",
    "searching",
    "size_of",
]
