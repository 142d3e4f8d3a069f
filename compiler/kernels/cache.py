"""Compile once: kernels by key, in this process's memory and on disk.

A key is the SHA-256 of everything that decides the machine code: the canonical
program, the target, the versions of the code generator, llvmlite and LLVM, and the
CPU with its features. Equal kernels are compiled once per process, also when two
threads ask at the same time, and are found on disk by the next process.

Environment: ``JITFLOW_CACHE=off`` keeps everything in memory; ``JITFLOW_CACHE_DIR``
names the directory, else ``$XDG_CACHE_HOME/jitflow/kernels``, else
``~/.cache/jitflow/kernels``.
"""

from __future__ import annotations

import atexit
import difflib
import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from compiler.errors import KernelError
from compiler.kernels import native
from compiler.kernels.object_store import KernelCacheWarning, ObjectStore

__all__ = [
    "CacheStats",
    "Counters",
    "KernelCache",
    "KernelCacheWarning",
    "count_compiles",
    "default_cache",
    "key_of",
]

DEFAULT_MAX_BYTES = 1 << 30

Request = tuple[Mapping[str, str], Callable[[], str], str]
"""Arguments of `KernelCache.get_or_compile`: key parts, IR maker, symbol."""


@dataclass(frozen=True)
class Counters:
    """What `KernelCache.get_or_compile` did so far; subtract two to compare.

    A miss that LLVM refused is counted in ``misses`` but not in ``compiled``;
    ``compile_seconds`` adds up the seconds of all threads.
    """

    memory_hits: int = 0
    disk_hits: int = 0
    misses: int = 0
    compiled: int = 0
    compile_seconds: float = 0.0

    def __sub__(self, other: Counters) -> Counters:
        names = [field.name for field in fields(self)]
        return Counters(*(getattr(self, n) - getattr(other, n) for n in names))


@dataclass(frozen=True)
class CacheStats:
    """State of the disk cache and this process's use of it.

    ``directory`` is None without a disk cache. ``hits`` counts memory and disk;
    ``loaded`` came from disk; ``compiled`` are the misses without an error.
    """

    directory: Path | None
    entries: int
    bytes: int
    hits: int
    misses: int
    compiled: int
    loaded: int


class CompileCount:
    """Counters of one `count_compiles` block: live inside it, final after it."""

    def __init__(self, owner: KernelCache) -> None:
        self._owner = owner
        self._start = owner.counters()
        self._end: Counters | None = None

    def _close(self) -> None:
        self._end = self._owner.counters()

    @property
    def counters(self) -> Counters:
        """What happened since the block began."""
        return (self._end or self._owner.counters()) - self._start

    @property
    def compiled(self) -> int:
        """Kernels compiled since the block began."""
        return self.counters.compiled


def key_of(parts: Mapping[str, str]) -> str:
    """SHA-256, in hexadecimal, of named texts; their order does not matter."""
    digest = hashlib.sha256()
    for name in sorted(parts):
        for text in (name.encode(), parts[name].encode()):
            # Lengths keep ("ab", "c") and ("a", "bc") apart.
            digest.update(len(text).to_bytes(8, "little"))
            digest.update(text)
    return digest.hexdigest()


def _disabled_by_environment() -> bool:
    return os.environ.get("JITFLOW_CACHE", "").lower() in {"off", "0", "false", "no"}


def _default_directory() -> Path | None:
    """Directory by environment; None where the user has no home."""
    named = os.environ.get("JITFLOW_CACHE_DIR")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # relative ones are invalid by the XDG rules
        base = os.path.expanduser("~/.cache")
    return Path(base) / "jitflow" / "kernels" if os.path.isabs(base) else None


def _difference(name: str, old: str, new: str) -> list[str]:
    """One changed part: both values, or a line diff where they have many lines."""
    if "\n" not in old + new:
        return [f"  {name}: {old!r} in the cache, {new!r} now"]
    diff = difflib.unified_diff(
        old.splitlines(), new.splitlines(), "cache", "now", lineterm="", n=1
    )
    return [f"  {name}:", *(f"    {line}" for line in diff)]


class KernelCache:
    """Addresses of kernels by what they were compiled from. Thread-safe.

    `directory` is used instead of the one the environment names, but
    ``JITFLOW_CACHE=off`` always keeps the disk out; `max_bytes` caps the disk cache,
    least recently used entries going first.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> None:
        self._store: ObjectStore | None = None
        path = _default_directory() if directory is None else Path(directory)
        if path is not None and not _disabled_by_environment():
            self._store = ObjectStore(path.expanduser().absolute(), max_bytes)
        self._addresses: dict[str, int] = {}
        self._busy: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._counters = Counters()

    # Compiling

    def get_or_compile(
        self,
        key_parts: Mapping[str, str],
        make_ir: Callable[[], str],
        symbol: str,
    ) -> int:
        """Address of the function `symbol`, from memory, from disk or compiled now.

        `key_parts` names the caller's share of the key (``program``, ``generator``,
        ``target``, ...); the host's share and the symbol are added here. `make_ir`
        gives the LLVM IR text and is called only when the kernel must be compiled.
        Raises `KernelError`, and stores nothing, if LLVM refuses the text.
        """
        parts = self.full_parts(key_parts, symbol)
        key = key_of(parts)
        address = self._remembered(key)
        if address is not None:
            return address
        with self._sole_worker(key):
            address = self._remembered(key)
            if address is None:
                address = self._load(key, symbol)
            if address is None:
                address = self._compile(key, parts, make_ir, symbol)
            self._addresses[key] = address
        return address

    def get_many(self, requests: Sequence[Request]) -> list[int]:
        """Addresses of several kernels; those to compile share all cores.

        Raises what the first failing request raises, after the others are done.
        """
        if len(requests) < 2:
            return [self.get_or_compile(*request) for request in requests]
        workers = min(len(requests), os.cpu_count() or 1)
        with ThreadPoolExecutor(workers, "jitflow-compile") as pool:
            return list(
                pool.map(lambda request: self.get_or_compile(*request), requests)
            )

    @staticmethod
    def full_parts(key_parts: Mapping[str, str], symbol: str) -> dict[str, str]:
        """The caller's key parts with those of the host and the symbol."""
        return {**native.key_parts(), **key_parts, "symbol": symbol}

    @contextmanager
    def _sole_worker(self, key: str) -> Iterator[None]:
        """Hold the key's lock: whoever comes second finds the address in memory."""
        with self._lock:
            lock = self._busy.setdefault(key, threading.Lock())
        try:
            with lock:
                yield
        finally:
            with self._lock:
                self._busy.pop(key, None)

    def _count(self, **added: float) -> None:
        with self._lock:
            now = {name: getattr(self._counters, name) + n for name, n in added.items()}
            self._counters = replace(self._counters, **now)

    def _remembered(self, key: str) -> int | None:
        address = self._addresses.get(key)
        if address is not None:
            self._count(memory_hits=1)
        return address

    def _load(self, key: str, symbol: str) -> int | None:
        store = self._store
        obj = store.read(key) if store else None
        if store is None or obj is None:
            return None
        try:
            address = native.load_object(obj, [symbol])[symbol]
        except KernelError as error:
            store.report_damage(f"{store.directory / key}.o: {error.message}")
            return None
        self._count(disk_hits=1)
        return address

    def _compile(
        self,
        key: str,
        parts: Mapping[str, str],
        make_ir: Callable[[], str],
        symbol: str,
    ) -> int:
        self._count(misses=1)
        start = time.perf_counter()
        obj = native.optimise_and_emit(make_ir())
        address = native.load_object(obj, [symbol])[symbol]
        self._count(compiled=1, compile_seconds=time.perf_counter() - start)
        if self._store:
            self._store.write(key, obj, {"kernel": symbol, "parts": dict(parts)})
        return address

    # Sources

    def put_source(self, key: str, suffix: str, text: str) -> Path:
        """Write generated source to a real file ``<key><suffix>``; returns its path.

        Without a disk cache the file lies in a directory of this process that is
        removed when the process ends. `suffix` starts with a dot.
        """
        if not suffix.startswith(".") or os.path.basename(suffix) != suffix:
            raise KernelError(f"source suffix {suffix!r} is not of the form '.py'")
        path = self._store.write_source(key, suffix, text) if self._store else None
        if path is None:
            path = self._private_directory / f"{key}{suffix}"
            path.write_text(text, encoding="utf-8")
        return path

    @cached_property
    def _private_directory(self) -> Path:
        directory = tempfile.mkdtemp(prefix="jitflow-")
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        return Path(directory)

    # Looking inside

    def counters(self) -> Counters:
        """Snapshot of the counters of this cache in this process."""
        with self._lock:
            return self._counters

    @contextmanager
    def count_compiles(self) -> Iterator[CompileCount]:
        """Count what happens inside the block, other threads included."""
        count = CompileCount(self)
        try:
            yield count
        finally:
            count._close()

    def stats(self) -> CacheStats:
        """Entries and bytes on disk, hits and misses of this process."""
        entries = self._store.entries() if self._store else []
        done = self.counters()
        usable = self._store is not None and self._store.usable
        return CacheStats(
            directory=self._store.directory if self._store and usable else None,
            entries=len(entries),
            bytes=sum(entry.size for entry in entries),
            hits=done.memory_hits + done.disk_hits,
            misses=done.misses,
            compiled=done.compiled,
            loaded=done.disk_hits,
        )

    def clear(self, older_than: float | None = None) -> int:
        """Remove disk entries not used for `older_than` seconds (None: all).

        Returns how many were removed. Kernels this process holds stay usable.
        """
        return self._store.clear(older_than) if self._store else 0

    def verify(self) -> list[str]:
        """File and fault of every damaged disk entry; empty when all are sound."""
        return self._store.verify() if self._store else []

    def explain_miss(self, key_parts: Mapping[str, str], symbol: str = "") -> str:
        """Why a kernel is not on disk: what differs from the nearest entry.

        Nearest is the entry with the most equal parts among those of the kernel
        `symbol`, or among all if none has that name.
        """
        store = self._store
        if store is None or not store.usable:
            return "there is no disk cache to look in"
        parts = self.full_parts(key_parts, symbol)
        manifests = [m for m in store.manifests() if isinstance(m.get("parts"), dict)]
        named = [m for m in manifests if m.get("kernel") == symbol] or manifests
        if not named:
            return f"the cache {store.directory} is empty"
        return _explain(parts, max(named, key=lambda m: _likeness(parts, m["parts"])))


def _likeness(parts: Mapping[str, str], other: Mapping[str, Any]) -> float:
    """Number of equal parts; texts of the program count by how alike they are."""
    alike = float(sum(other.get(name) == text for name, text in parts.items()))
    program = difflib.SequenceMatcher(
        None, parts.get("program", ""), str(other.get("program", ""))
    )
    return alike + program.quick_ratio()


def _explain(parts: Mapping[str, str], manifest: Mapping[str, Any]) -> str:
    old: Mapping[str, Any] = manifest["parts"]
    names = sorted(parts.keys() | old.keys())
    changed = [n for n in names if parts.get(n) != old.get(n)]
    if not changed:
        return f"it is in the cache: {manifest['key']} ({manifest.get('kernel')})"
    lines = [f"nearest entry {manifest['key']} ({manifest.get('kernel')}) differs in"]
    for name in changed:
        lines += _difference(name, str(old.get(name, "")), parts.get(name, ""))
    return "\n".join(lines)


_DEFAULT_LOCK = threading.Lock()


@cache
def _default() -> KernelCache:
    return KernelCache()


def default_cache() -> KernelCache:
    """The cache of this process (a documented module cache), made at first use."""
    with _DEFAULT_LOCK:
        return _default()


def count_compiles() -> AbstractContextManager[CompileCount]:
    """`KernelCache.count_compiles` of the default cache::

    with count_compiles() as count:
        step(batch)
    assert count.compiled == 0
    """
    return default_cache().count_compiles()
