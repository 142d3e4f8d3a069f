"""Errors of the compiler, all in one format: code, what, where, cause, fix."""

from __future__ import annotations


class CompilerError(Exception):
    """Base of every error the compiler raises on purpose.

    ``code`` is stable (``JF101``), ``message`` says what is wrong, ``where`` is the
    user's ``file:line`` when known, ``fix`` says what to write instead.
    """

    code = "JF100"

    def __init__(self, message: str, *, where: str = "", fix: str = "") -> None:
        self.message = message
        self.where = where
        self.fix = fix
        super().__init__(self._format())

    def _format(self) -> str:
        lines = [f"{self.code} {type(self).__name__}: {self.message}"]
        if self.where:
            lines.append(f"  at {self.where}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)


class TypeInferenceError(CompilerError):
    """An op was given operands that break one of its labelled constraints."""

    code = "JF101"


class UnknownOpError(CompilerError, AttributeError):
    """There is no op of that name; builders have ops as attributes."""

    code = "JF108"


class VerifyError(CompilerError):
    """A graph is not well formed; always a bug of the pass that is named."""

    code = "JF102"


class ParseError(CompilerError):
    """IR text could not be parsed; ``where`` is ``line:column``."""

    code = "JF103"


class PassError(CompilerError):
    """A pass failed, or two passes undo each other."""

    code = "JF104"


class KernelError(CompilerError):
    """A kernel could not be generated or compiled; always an internal failure."""

    code = "JF105"


class ExecutionError(CompilerError):
    """An executable was called with buffers that do not fit its signature."""

    code = "JF106"


class InternalError(CompilerError):
    """The compiler itself failed; a folder with everything to reproduce it is named."""

    code = "JF107"
