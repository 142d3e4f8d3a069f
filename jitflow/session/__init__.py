"""Graphs that are built once and run with values: `Graph`, `placeholder`, `Session`."""

from jitflow.session.graph import Graph, GraphError, placeholder
from jitflow.session.session import Session

__all__ = ["Graph", "GraphError", "Session", "placeholder"]
