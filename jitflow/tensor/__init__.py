"""Tensors, variables and the thread's state."""

from jitflow.tensor.state import name_scope, state
from jitflow.tensor.tensor import Tensor, TracedTensor, wrap
from jitflow.tensor.variable import Variable

__all__ = ["Tensor", "TracedTensor", "Variable", "name_scope", "state", "wrap"]
