"""Tracebacks of errors in traced code: the user's lines, not the framework's."""

from __future__ import annotations

from types import TracebackType

from compiler.errors import CompilerError
from compiler.ir.location import is_internal


def _frames(traceback: TracebackType | None) -> list[TracebackType]:
    found = []
    while traceback is not None:
        found.append(traceback)
        traceback = traceback.tb_next
    return found


def _is_ours(entry: TracebackType) -> bool:
    return is_internal(entry.tb_frame.f_code.co_filename)


def user_traceback(error: BaseException) -> TracebackType | None:
    """The traceback of `error` without the framework's own frames.

    An error that is not meant for the user keeps the frames below the user's innermost
    one: they show where the framework failed.
    """
    entries = _frames(error.__traceback__)
    users = [i for i, entry in enumerate(entries) if not _is_ours(entry)]
    if not users:
        return error.__traceback__
    last = len(entries) if not isinstance(error, CompilerError) else users[-1] + 1
    kept = [e for i, e in enumerate(entries[:last]) if i > users[-1] or not _is_ours(e)]
    result: TracebackType | None = None
    for entry in reversed(kept):
        result = TracebackType(result, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return result
