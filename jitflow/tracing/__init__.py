"""Tracing: recording what a Python function does with tensors into a graph."""

from jitflow.tracing.context import TraceContext, init_scope, replay
from jitflow.tracing.spec import TensorSpec
from jitflow.tracing.structure import flatten, map_structure, unflatten

__all__ = [
    "TensorSpec",
    "TraceContext",
    "flatten",
    "init_scope",
    "map_structure",
    "replay",
    "unflatten",
]
