"""Control flow as functions: the same code runs eagerly and in compiled functions."""

from jitflow.control_flow.branches import cond, switch
from jitflow.control_flow.errors import ControlFlowError
from jitflow.control_flow.loops import fori_loop, while_loop
from jitflow.control_flow.mapping import map
from jitflow.control_flow.scans import associative_scan, scan

__all__ = [
    "ControlFlowError",
    "associative_scan",
    "cond",
    "fori_loop",
    "map",
    "scan",
    "switch",
    "while_loop",
]
