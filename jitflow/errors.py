"""Errors of the framework: one format for eager and traced code.

Every error has a stable code (``JF2xx``), says what is wrong, shows the line with
a caret, the operands, the cause and the fix, and is also an instance of the built-in
exception that Python code expects (`ValueError`, `TypeError`, `IndexError`).
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

from compiler.errors import CompilerError
from compiler.ir.location import Location, is_internal


def user_frame(depth: int = 1) -> FrameType | None:
    """The innermost stack frame outside the framework, or None."""
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None and is_internal(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def frame_location(frame: FrameType | None) -> Location | None:
    """Where a frame is now."""
    if frame is None:
        return None
    return Location(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


def source_excerpt(frame: FrameType | None) -> str:
    """``file:line  source`` with a caret under what is running; "" if unknown."""
    if frame is None:
        return ""
    where = f"{Location(frame.f_code.co_filename, frame.f_lineno)}"
    text = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    source = text.strip()
    if not source:
        return where
    return f"{where}  {source}{_caret(frame, text, len(where) + 2)}"


def _caret(frame: FrameType, text: str, indent: int) -> str:
    positions = list(frame.f_code.co_positions())
    index = frame.f_lasti // 2
    if not 0 <= index < len(positions):
        return ""
    line, end_line, start, end = positions[index]
    if start is None or end is None or line != end_line or line != frame.f_lineno:
        return ""
    # Columns count UTF-8 bytes; the excerpt is shown without its indentation.
    raw = text.encode()
    first = len(raw[:start].decode(errors="replace"))
    width = len(raw[start:end].decode(errors="replace"))
    offset = indent + first - (len(text) - len(text.lstrip()))
    return "\n    " + " " * offset + "^" * max(width, 1)


class JitFlowError(CompilerError):
    """Base of every error that the front end raises.

    Args:
        message: what is wrong, with the argument's name and the shapes.
        fix: what to write instead.
        cause: why it happened, when that is another place than the failing line.
        operands: names and descriptions of the operands, printed one a line.
        where: the user's line; found on the stack when left out.
    """

    code = "JF200"

    def __init__(
        self,
        message: str,
        *,
        fix: str = "",
        cause: str = "",
        operands: Mapping[str, Any] | None = None,
        where: str = "",
    ) -> None:
        self.cause = cause
        self.operands = {k: describe(v) for k, v in (operands or {}).items()}
        super().__init__(message, where=where or source_excerpt(user_frame()), fix=fix)

    def _format(self) -> str:
        lines = [f"{self.code} {type(self).__name__}: {self.message}"]
        if self.where:
            lines.append(f"    {self.where}")
        if self.operands:
            pairs = (f"{name}: {text}" for name, text in self.operands.items())
            lines.append("  operands: " + "   ".join(pairs))
        if self.cause:
            lines.append(f"  cause: {self.cause}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)


def describe(x: Any) -> str:
    """``float32[3,4]`` for anything with dtype and shape, else a short ``repr``."""
    if isinstance(x, str):
        return x
    shape, dtype = getattr(x, "shape", None), getattr(x, "dtype", None)
    if shape is None or dtype is None:
        return f"{type(x).__name__} {x!r}"[:60]
    return f"{dtype}[{','.join(map(str, shape))}]"


class ArgumentError(JitFlowError, ValueError):
    """An argument has a value that the function does not take."""

    code = "JF201"


class ArgumentTypeError(JitFlowError, TypeError):
    """An argument has a type that the function does not take."""

    code = "JF202"


class ShapeError(JitFlowError, ValueError):
    """Shapes do not fit together."""

    code = "JF203"


class DTypeError(JitFlowError, TypeError):
    """An element type is not allowed here, or two have no common type."""

    code = "JF204"


class IndexingError(JitFlowError, IndexError):
    """An index is out of bounds, or of a kind that cannot index a tensor."""

    code = "JF205"


class ScalarRangeError(JitFlowError, OverflowError):
    """A Python integer does not fit the element type it meets."""

    code = "JF206"


class TracerError(JitFlowError, TypeError):
    """A traced tensor was used where a value is needed, or outside its trace."""

    code = "JF210"


class VariableError(JitFlowError, ValueError):
    """A variable was created or assigned with something that does not fit."""

    code = "JF220"


class GradientError(JitFlowError, ValueError):
    """A gradient was asked for that cannot be computed."""

    code = "JF230"


class GradientWarning(UserWarning):
    """A gradient request that is legal and almost certainly not meant."""
