"""Dumping stages: every stage of a compilation as a text file that can be diffed.

``<root>/<function>-<n>/`` holds the files of one compilation, numbered in the order in
which they were written: ``00-traced.ir``, ``passes/01-canonicalize.ir``, ...
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from compiler.errors import CompilerError

# Text, or what makes it: text that nobody asked for is never made.
Text = str | Callable[[], str]

_UNSAFE = re.compile(r"[^\w.-]+")


class NullDumper:
    """Writes nothing; the interface of `Dumper`."""

    enabled = False

    def dump(self, stage: str, text: Text, ext: str = ".ir") -> None:
        """Write the text of a stage; here, do nothing."""


class Dumper(NullDumper):
    """Writes numbered files into `folder`, which is made."""

    enabled = True

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._count = 0
        _make_folder(self.folder, exist_ok=True)

    def dump(self, stage: str, text: Text, ext: str = ".ir") -> None:
        """Write the text of a stage as ``NN-stage.ir``.

        A stage ``passes/name`` goes into the sub-folder ``passes``.

        Raises:
            CompilerError: if the file cannot be written.
        """
        *parents, name = (_UNSAFE.sub("_", part) for part in stage.split("/"))
        folder = self.folder.joinpath(*parents)
        path = folder / f"{self._count:02d}-{name}{ext}"
        self._count += 1
        _make_folder(folder, exist_ok=True)
        try:
            path.write_text(text if isinstance(text, str) else text(), encoding="utf-8")
        except OSError as error:
            raise _dump_error(path, error) from None


def dumper_for(root: str | Path | None, function: str) -> NullDumper:
    """A dumper into a new folder ``root/<function>-<n>``; none if `root` is None.

    Raises:
        CompilerError: if the folder cannot be made.
    """
    if root is None:
        return NullDumper()
    name = _UNSAFE.sub("_", function).strip("_") or "graph"
    n = 0
    while not _make_folder(Path(root) / f"{name}-{n}", exist_ok=False):
        n += 1
    return Dumper(Path(root) / f"{name}-{n}")


def _make_folder(path: Path, *, exist_ok: bool) -> bool:
    """Make a folder; False if it is there and `exist_ok` is not."""
    try:
        path.mkdir(parents=True, exist_ok=exist_ok)
    except OSError as error:
        if isinstance(error, FileExistsError) and path.is_dir():
            return False
        raise _dump_error(path, error) from None
    return True


def _dump_error(path: Path, error: OSError) -> CompilerError:
    return CompilerError(
        f"cannot write {path}: {error.strerror}", fix="change the folder to dump to"
    )
