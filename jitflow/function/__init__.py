"""`jf.function`: Python functions as compiled traces."""

from jitflow.function.concrete import ConcreteFunction
from jitflow.function.function import Function, function
from jitflow.function.policy import RetraceError, RetraceWarning, no_retrace
from jitflow.function.records import CacheInfo, TraceRecord
from jitflow.function.side_effects import SideEffectError, SideEffectWarning
from jitflow.function.stages import Compiled, Lowered, Traced
from jitflow.function.verification import VerificationError

__all__ = [
    "CacheInfo",
    "Compiled",
    "ConcreteFunction",
    "Function",
    "Lowered",
    "RetraceError",
    "RetraceWarning",
    "SideEffectError",
    "SideEffectWarning",
    "TraceRecord",
    "Traced",
    "VerificationError",
    "function",
    "no_retrace",
]
