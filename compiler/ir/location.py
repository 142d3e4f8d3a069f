"""Where in the user's program a node was made: ``file:line`` and name scope."""

from __future__ import annotations

import os
import sys
from types import FrameType
from typing import NamedTuple


class Location(NamedTuple):
    """A line of the user's source; printed ``mlp.py:14``."""

    file: str
    line: int
    function: str = ""

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}"


UNKNOWN = Location("", 0)

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Frames of these folders are the framework's own; the caller outside them is the user.
_INTERNAL = tuple(
    os.path.join(_ROOT, package) + os.sep for package in ("compiler", "jitflow")
)


def is_internal(filename: str) -> bool:
    """True for files of the framework and for code that has no file."""
    return filename.startswith(_INTERNAL) or filename.startswith("<")


def caller_location(depth: int = 1) -> Location:
    """The innermost stack frame outside the framework, or `UNKNOWN`."""
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None:
        code = frame.f_code
        if not is_internal(code.co_filename):
            return Location(code.co_filename, frame.f_lineno, code.co_name)
        frame = frame.f_back
    return UNKNOWN
