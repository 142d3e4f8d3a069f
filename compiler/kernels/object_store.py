"""A directory of object code: safe to share between processes, never trusted blindly.

An entry is ``<key>.o`` beside the manifest ``<key>.json``, which carries the object's
size and SHA-256; readable sources may lie beside them (``<key>.py``). An entry of
which one file is missing is being written or evicted, and does not exist. Whatever
goes wrong (a damaged file, a full disk, a directory that somebody else can write to)
is a warning and a miss.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

_TEMPORARY = ".tmp"
# A writer that died leaves its temporary file; after an hour nobody is writing it.
_STALE_SECONDS = 3600.0
# Evicting a little more than needed spares the next store another scan.
_LOW_WATER = 0.9


class KernelCacheWarning(UserWarning):
    """The kernel cache was damaged or unusable; the program runs on without it."""


class DamagedEntryError(Exception):
    """An entry that must not be used; the message names the file and the fault."""


def _warn(message: str) -> None:
    warnings.warn(message, KernelCacheWarning, stacklevel=2)


def _distrust(path: Path) -> str:
    """Why the directory must not be used, or "" if it may be."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return "it is a symbolic link"
    if not stat.S_ISDIR(found.st_mode):
        return "it is not a directory"
    if os.name != "posix":
        return ""
    if found.st_uid != os.geteuid():
        return f"it belongs to user {found.st_uid}, not to {os.geteuid()}"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others may write to it (mode {stat.S_IMODE(found.st_mode):04o})"
    return ""


@dataclass(frozen=True)
class Entry:
    """The files of one key: total bytes and time of the last use (Unix seconds)."""

    key: str
    files: tuple[Path, ...]
    size: int
    used: float


class ObjectStore:
    """Object code by key in `directory`, at most about `max_bytes` in all.

    ``usable`` is decided at first use: the directory is created with mode 0700, and
    is refused, with one warning, if it is a link, belongs to another user or can be
    written by others.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self._read_only = False

    @cached_property
    def usable(self) -> bool:
        """True if entries may be read from the directory."""
        try:
            self._make_directory()
            reason = _distrust(self.directory)
        except OSError as error:
            reason = str(error)
        if reason:
            _warn(
                f"kernel cache directory {self.directory} is not used: {reason}; "
                "kernels are compiled in every process. Fix the directory, or set "
                "JITFLOW_CACHE_DIR to another or JITFLOW_CACHE=off"
            )
        return not reason

    def _make_directory(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _path(self, key: str, suffix: str) -> Path:
        return self.directory / f"{key}{suffix}"

    # Reading

    def read(self, key: str) -> bytes | None:
        """The object of `key`; None if there is none. A damaged one warns."""
        if not self.usable:
            return None
        try:
            obj = self._read_checked(key)
        except DamagedEntryError as damage:
            self.report_damage(str(damage))
            return None
        if obj is not None:
            self._touch(key)
        return obj

    def report_damage(self, damage: str) -> None:
        """Warn about an entry that is compiled afresh and replaced."""
        _warn(f"damaged kernel cache entry: {damage}; it is compiled afresh")

    def _read_checked(self, key: str) -> bytes | None:
        """Object of `key`, its SHA-256 checked; raises `DamagedEntryError`."""
        path = self._path(key, ".o")
        manifest = self._read_manifest(key)
        if manifest is None:
            return None
        try:
            obj = path.read_bytes()
        except FileNotFoundError:
            return None  # another process is evicting the entry
        except OSError as error:
            raise DamagedEntryError(f"{path}: {error}") from error
        if len(obj) != manifest["object_bytes"]:
            fault = f"{len(obj)} bytes instead of {manifest['object_bytes']}"
            raise DamagedEntryError(f"{path}: {fault}")
        if hashlib.sha256(obj).hexdigest() != manifest["object_sha256"]:
            raise DamagedEntryError(f"{path}: its SHA-256 is not the manifest's")
        return obj

    def _read_manifest(self, key: str) -> dict[str, Any] | None:
        path = self._path(key, ".json")
        try:
            manifest = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise DamagedEntryError(f"{path}: {error}") from error
        if not isinstance(manifest, dict) or manifest.get("key") != key:
            raise DamagedEntryError(f"{path}: it is not the manifest of this key")
        for name, kind in (("object_bytes", int), ("object_sha256", str)):
            if not isinstance(manifest.get(name), kind):
                raise DamagedEntryError(f"{path}: '{name}' is missing or not {kind}")
        return manifest

    def _touch(self, key: str) -> None:
        for suffix in (".o", ".json"):
            with suppress(OSError):
                os.utime(self._path(key, suffix))

    def manifests(self) -> Iterator[dict[str, Any]]:
        """Every manifest that can be read."""
        for entry in self.entries():
            with suppress(DamagedEntryError):
                manifest = self._read_manifest(entry.key)
                if manifest is not None:
                    yield manifest

    def verify(self) -> list[str]:
        """One line, file and fault, for every damaged entry."""
        damaged = []
        for entry in self.entries():
            try:
                self._read_checked(entry.key)
            except DamagedEntryError as damage:
                damaged.append(str(damage))
        return damaged

    # Writing

    def write(self, key: str, obj: bytes, manifest: Mapping[str, Any]) -> None:
        """Store an object; a failure warns once and ends writing in this process."""
        whole = {
            "key": key,
            "object_bytes": len(obj),
            "object_sha256": hashlib.sha256(obj).hexdigest(),
            "created": time.time(),
            **manifest,
        }
        text = json.dumps(whole, indent=1).encode()
        if self._put(key, ".o", obj) and self._put(key, ".json", text):
            self._account(len(obj) + len(text))

    def write_source(self, key: str, suffix: str, text: str) -> Path | None:
        """Store a readable source beside the object; None where that is impossible."""
        path = self._path(key, suffix)
        data = text.encode()
        with suppress(OSError):
            if self.usable and path.read_bytes() == data:
                return path
        if not self._put(key, suffix, data):
            return None
        self._account(len(data))
        return path

    def _put(self, key: str, suffix: str, data: bytes) -> bool:
        if self._read_only or not self.usable:
            return False
        try:
            self._replace(self._path(key, suffix), data)
        except OSError as error:
            self._read_only = True
            _warn(
                f"kernel cache directory {self.directory} cannot be written: {error}; "
                "this process stores no more kernels"
            )
            return False
        return True

    def _replace(self, path: Path, data: bytes) -> None:
        """Write atomically: readers see the old file or the new one, whole."""
        self._make_directory()  # another process may have removed it
        handle, name = tempfile.mkstemp(_TEMPORARY, path.name, self.directory)
        try:
            with open(handle, "wb") as file:
                file.write(data)
            os.replace(name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise

    # Size

    def entries(self) -> list[Entry]:
        """Every key in the directory, least recently used first."""
        if not self.usable:
            return []
        files: dict[str, list[tuple[Path, os.stat_result]]] = {}
        for path in self._listed():
            with suppress(OSError):  # gone since it was listed
                held = (path, path.stat())
                files.setdefault(path.stem, []).append(held)
        found = [self._entry(key, all_held) for key, all_held in files.items()]
        return sorted(found, key=lambda entry: (entry.used, entry.key))

    def _entry(self, key: str, held: list[tuple[Path, os.stat_result]]) -> Entry:
        paths = tuple(path for path, _ in held)
        size = sum(found.st_size for _, found in held)
        return Entry(key, paths, size, max(found.st_mtime for _, found in held))

    def _listed(self) -> list[Path]:
        """Files of entries: keys have 64 digits, anything else is not ours."""
        with suppress(OSError):
            return [
                path
                for path in self.directory.iterdir()
                if len(path.stem) == 64 and path.suffix != _TEMPORARY
            ]
        return []

    @cached_property
    def _size(self) -> int:
        return sum(entry.size for entry in self.entries())

    def _account(self, added: int) -> None:
        # May count a replaced file twice; `_evict` measures before it removes.
        self._size += added
        if self._size > self.max_bytes:
            self._evict()

    def _evict(self) -> None:
        """Remove least recently used entries until the rest fits."""
        self._remove_stale_temporaries()
        entries = self.entries()
        size = sum(entry.size for entry in entries)
        fits = size <= self.max_bytes
        limit = self.max_bytes if fits else self.max_bytes * _LOW_WATER
        for entry in entries:
            if size <= limit:
                break
            self._remove(entry)
            size -= entry.size
        self._size = size

    def _remove_stale_temporaries(self) -> None:
        for path in self.directory.glob(f"*{_TEMPORARY}"):
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - _STALE_SECONDS:
                    path.unlink()

    def _remove(self, entry: Entry) -> None:
        for path in entry.files:
            with suppress(OSError):
                path.unlink()

    def clear(self, older_than: float | None = None) -> int:
        """Remove the entries not used for `older_than` seconds (None: all); count."""
        if not self.usable:
            return 0
        limit = float("inf") if older_than is None else time.time() - older_than
        chosen = [entry for entry in self.entries() if entry.used < limit]
        for entry in chosen:
            self._remove(entry)
        self._remove_stale_temporaries()
        self.__dict__.pop("_size", None)
        return len(chosen)
