"""Functions over tensors, arrays and symbolic tensors (`keras.ops`)."""

from jitflow.keras.ops.operation import Operation
from jitflow.keras.ops.symbolic import FunctionOperation, symbolic

__all__ = ["FunctionOperation", "Operation", "symbolic"]
