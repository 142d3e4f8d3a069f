"""Finding the user's frames on the stack while tracing."""

from __future__ import annotations

import re
import sys
import sysconfig
from collections.abc import Callable
from functools import lru_cache
from types import CodeType, FrameType

from compiler.ir.location import UNKNOWN, Location, is_internal

_LIBRARIES = tuple(
    {
        sysconfig.get_path(name)
        for name in ("stdlib", "platstdlib", "purelib", "platlib")
    }
)


@lru_cache(maxsize=4096)
def is_user_file(filename: str) -> bool:
    """Whether code of this file is guarded: the user's own, notebooks included."""
    if filename.startswith("<") and filename.endswith(">"):
        return filename.startswith(("<stdin", "<ipython", "<string"))
    return not is_internal(filename) and not filename.startswith(_LIBRARIES)


# Parts of converted functions (`jitflow.autograph.transform`), numbered.
_PARTS = re.compile(
    r"(if_body|else_body|loop_body|loop_test|get_state|set_state)_\d+__"
)


def is_converted_part(code: CodeType) -> bool:
    """Whether code is a branch or loop of a converted function.

    Its ``co_name`` is that of the function, for tracebacks; ``co_qualname`` is its own.
    """
    return _PARTS.fullmatch(code.co_qualname.rpartition(".")[2]) is not None


@lru_cache(maxsize=4096)
def _is_internal(filename: str) -> bool:
    return is_internal(filename)


def _user_line(frame: FrameType | None) -> Location:
    """The innermost line outside of the framework, from `frame` on outwards."""
    while frame is not None:
        code = frame.f_code
        if not _is_internal(code.co_filename):
            return Location(code.co_filename, frame.f_lineno, code.co_name)
        frame = frame.f_back
    return UNKNOWN


class FrameWatcher:
    """Walks the stack once for each op: gives its line, and reports new user frames.

    Args:
        on_frame: called with each user frame the first time that it is seen below the
            traced function's own; while it returns True it is called for every op.
    """

    def __init__(self, on_frame: Callable[[FrameType], bool] | None = None) -> None:
        self._on_frame = on_frame
        # Frames are kept alive while tracing, so that their identity is unique.
        self._seen: dict[FrameType, bool] = {}
        self._bottom: FrameType | None = None
        self._around = UNKNOWN

    def start(self, bottom: FrameType) -> None:
        """Walks end at `bottom`: older frames are not the trace's business."""
        self._bottom = bottom
        self._around = _user_line(bottom)

    def stop(self) -> None:
        """Forget all frames."""
        self._seen.clear()
        self._bottom = None
        self._on_frame = None

    def location(self) -> Location:
        """The user's innermost line; the line that started the trace if none is in it.

        A step of the framework's own, such as that of ``fit``, has no user frame.
        """
        found = UNKNOWN
        frame: FrameType | None = sys._getframe(1)
        bottom = self._bottom
        while frame is not None and frame is not bottom:
            code = frame.f_code
            if not _is_internal(code.co_filename):
                if found is UNKNOWN:
                    found = Location(code.co_filename, frame.f_lineno, code.co_name)
                self._report(frame)
                if self._on_frame is None:
                    break
            frame = frame.f_back
        return self._around if found is UNKNOWN else found

    def _report(self, frame: FrameType) -> None:
        started = self._on_frame is not None and self._bottom is not None
        if started and self._seen.get(frame, True):
            assert self._on_frame is not None
            self._seen[frame] = self._on_frame(frame)
