"""The error of control flow whose parts do not fit together."""

from __future__ import annotations

from jitflow.errors import JitFlowError


class ControlFlowError(JitFlowError, TypeError):
    """Branches with unequal results, or a loop whose state changes type."""

    code = "JF240"
