"""The kernel cache: once per process, found by the next, never trusted, never fatal."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compiler.errors import KernelError
from compiler.kernels import cache as cache_module
from compiler.kernels import native, object_store
from compiler.kernels.cache import (
    Counters,
    KernelCache,
    KernelCacheWarning,
    count_compiles,
    default_cache,
    key_of,
)

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No cache variable of the caller, and warnings are errors unless expected."""
    for name in ("JITFLOW_CACHE", "JITFLOW_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", KernelCacheWarning)
        yield


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "kernels"


def ir(value: int, symbol: str = "value") -> str:
    return f"define i32 @{symbol}() {{ ret i32 {value} }}"


def get(cache: KernelCache, value: int, **parts: str) -> int:
    """Value that the cached kernel returns when it is called."""
    key = {"program": f"return {value}", "generator": "1", **parts}
    address = cache.get_or_compile(key, lambda: ir(value), "value")
    return ctypes.CFUNCTYPE(ctypes.c_int32)(address)()


def never() -> str:
    raise AssertionError("compiled what should have been found")


def only(directory: Path, suffix: str) -> Path:
    (path,) = directory.glob(f"*{suffix}")
    return path


def test_compiled_once_then_memory_then_disk(directory: Path) -> None:
    cache = KernelCache(directory)
    assert [get(cache, 5) for _ in range(3)] == [5, 5, 5]
    done = cache.counters()
    assert (done.compiled, done.misses, done.memory_hits, done.disk_hits) == (
        1,
        1,
        2,
        0,
    )
    assert done.compile_seconds > 0
    later = KernelCache(directory)
    address = later.get_or_compile(
        {"program": "return 5", "generator": "1"}, never, "value"
    )
    assert ctypes.CFUNCTYPE(ctypes.c_int32)(address)() == 5
    assert later.counters() == Counters(disk_hits=1)


def test_next_process_finds_it(directory: Path) -> None:
    get(KernelCache(directory), 6)
    code = (
        "from compiler.kernels.cache import default_cache\n"
        "key = {'program': 'return 6', 'generator': '1'}\n"
        "default_cache().get_or_compile(key, lambda: 1 / 0, 'value')\n"
        "print(default_cache().stats().loaded)"
    )
    env = {**os.environ, "JITFLOW_CACHE_DIR": str(directory)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.stderr) == ("1", "")


def test_files_are_private_and_described(directory: Path) -> None:
    get(KernelCache(directory), 7)
    obj, text = only(directory, ".o"), only(directory, ".json")
    manifest = json.loads(text.read_text())
    assert manifest["kernel"] == "value"
    assert manifest["key"] == obj.stem == text.stem
    assert manifest["parts"]["program"] == "return 7"
    assert manifest["parts"]["llvm"] == native.key_parts()["llvm"]
    assert manifest["object_bytes"] == obj.stat().st_size
    assert abs(manifest["created"] - time.time()) < 600
    assert len(list(directory.iterdir())) == 2
    if os.name == "posix":
        assert directory.stat().st_mode & 0o777 == 0o700
        assert obj.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("part", ["program", "generator", "target", "cpu", "llvm"])
def test_every_part_changes_the_key(directory: Path, part: str) -> None:
    cache = KernelCache(directory)
    get(cache, 8)
    get(cache, 8, **{part: "another"})
    assert cache.counters().compiled == 2


def test_key_keeps_texts_apart() -> None:
    assert key_of({"a": "bc"}) != key_of({"ab": "c"})
    assert key_of({"a": "1", "b": "2"}) == key_of({"b": "2", "a": "1"})
    assert key_of({"a": "1", "b": ""}) != key_of({"a": "1"})


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def edit(name: str, value: object) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        manifest = json.loads(path.read_text())
        manifest[name] = value
        path.write_text(json.dumps(manifest))

    return apply


DAMAGES = {
    "flipped object": (".o", flip, "SHA-256"),
    "truncated object": (".o", truncate, "bytes instead of"),
    "empty object": (".o", lambda path: path.write_bytes(b""), "0 bytes instead of"),
    "bad JSON": (".json", lambda path: path.write_text("{nonsense"), "Expecting"),
    "binary JSON": (".json", lambda path: path.write_bytes(b"\xff" * 9), "decode"),
    "deep JSON": (".json", lambda path: path.write_text("[" * 99999), "recursion"),
    "truncated JSON": (".json", truncate, "Expecting|Unterminated"),
    "list": (".json", lambda path: path.write_text("[]"), "not the manifest"),
    "other key": (".json", edit("key", "0" * 64), "not the manifest"),
    "wrong SHA": (".json", edit("object_sha256", "0" * 64), "SHA-256"),
    "wrong size": (".json", edit("object_bytes", 3), "instead of 3"),
    "no SHA": (".json", edit("object_sha256", None), "object_sha256"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_one_warning_and_is_repaired(directory: Path, name: str) -> None:
    suffix, damage, message = DAMAGES[name]
    get(KernelCache(directory), 9)
    path = only(directory, suffix)
    damage(path)
    (fault,) = KernelCache(directory).verify()
    assert path.stem in fault
    cache = KernelCache(directory)
    with pytest.warns(KernelCacheWarning, match=message) as caught:
        assert get(cache, 9) == 9
    assert len(caught) == 1 and fault in str(caught[0].message)
    assert cache.counters().compiled == 1
    assert cache.verify() == []
    after = KernelCache(directory)
    assert get(after, 9) == 9 and after.counters().disk_hits == 1


def test_object_with_right_sha_that_does_not_load(directory: Path) -> None:
    get(KernelCache(directory), 10)
    key = only(directory, ".o").stem
    object_store.ObjectStore(directory, 1 << 20).write(key, b"no object", {})
    with pytest.warns(KernelCacheWarning, match="load object code"):
        assert get(KernelCache(directory), 10) == 10
    assert get(KernelCache(directory), 10) == 10


@pytest.mark.parametrize("suffix", [".o", ".json"])
def test_unfinished_entry_is_a_silent_miss(directory: Path, suffix: str) -> None:
    get(KernelCache(directory), 11)
    only(directory, suffix).unlink()
    cache = KernelCache(directory)
    assert get(cache, 11) == 11 and cache.counters().compiled == 1


def test_bad_ir_raises_and_writes_nothing(directory: Path) -> None:
    cache = KernelCache(directory)
    for text in ("define void @value(", "declare float @expf(float)", ir(1, "other")):
        with pytest.raises(KernelError):
            cache.get_or_compile({"program": "bad"}, lambda text=text: text, "value")
    assert list(directory.iterdir()) == []
    assert (cache.counters().compiled, cache.counters().misses) == (0, 3)


def refuse(directory: Path, reason: str) -> None:
    """The directory is refused with one warning, and kernels work without it."""
    cache = KernelCache(directory)
    with pytest.warns(KernelCacheWarning, match=reason) as caught:
        assert [get(cache, 12), get(cache, 13)] == [12, 13]
        assert cache.put_source("k" * 64, ".py", "x = 1").read_text() == "x = 1"
    assert len(caught) == 1
    assert cache.stats().directory is None and cache.stats().entries == 0
    assert (cache.verify(), cache.clear()) == ([], 0)
    assert "no disk cache" in cache.explain_miss({})


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_directory_others_may_write_is_refused(directory: Path, mode: int) -> None:
    directory.mkdir()
    directory.chmod(mode)
    refuse(directory, "others may write")
    assert list(directory.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="POSIX owners")
def test_directory_of_another_user_is_refused(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.mkdir(mode=0o700)
    real = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: real + 1)
    refuse(directory, "belongs to user")


def test_link_and_file_are_refused(directory: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    directory.symlink_to(target)
    refuse(directory, "symbolic link")
    assert list(target.iterdir()) == []
    file = tmp_path / "file"
    file.write_text("")
    refuse(file, "exists")
    refuse(file / "below", "Not a directory|not used")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_disk_that_takes_no_writes(
    directory: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    get(KernelCache(directory), 14)

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(object_store.os, "replace", fail)
    cache = KernelCache(directory)
    with pytest.warns(KernelCacheWarning, match="cannot be written") as caught:
        assert [get(cache, value) for value in (14, 15, 16)] == [14, 15, 16]
    assert len(caught) == 1
    assert cache.counters().disk_hits == 1 and cache.counters().compiled == 2
    assert len(list(directory.iterdir())) == 2, "a temporary file was left behind"
    source = cache.put_source("k" * 64, ".py", "y = 2")
    assert source.read_text() == "y = 2" and source.parent != directory


def test_directory_removed_while_running(directory: Path) -> None:
    cache = KernelCache(directory)
    get(cache, 17)
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    assert get(cache, 18) == 18
    assert cache.stats().entries == 1


@pytest.mark.parametrize("value", ["off", "OFF", "0", "false", "no"])
def test_environment_switches_the_disk_off(
    directory: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("JITFLOW_CACHE", value)
    cache = KernelCache(directory)
    assert [get(cache, 19), get(cache, 19)] == [19, 19]
    assert cache.counters().compiled == 1 and cache.counters().memory_hits == 1
    assert not directory.exists()
    assert cache.stats().directory is None


def test_environment_names_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    home = tmp_path / "home" / ".cache" / "jitflow" / "kernels"
    assert KernelCache().stats().directory == home
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert KernelCache().stats().directory == home
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert KernelCache().stats().directory == tmp_path / "xdg" / "jitflow" / "kernels"
    monkeypatch.setenv("JITFLOW_CACHE_DIR", str(tmp_path / "own"))
    assert KernelCache().stats().directory == tmp_path / "own"


def age(directory: Path, seconds: float) -> None:
    """Make everything in the directory that much older."""
    for path in directory.iterdir():
        found = path.stat().st_mtime
        os.utime(path, (found - seconds, found - seconds))


def test_cap_evicts_least_recently_used(directory: Path) -> None:
    cache = KernelCache(directory)
    for value in (20, 21, 22):
        get(cache, value)
        age(directory, 100)
    entry = cache.stats().bytes / 3
    get(KernelCache(directory), 20)  # a hit makes it the youngest
    small = KernelCache(directory, max_bytes=int(3.5 * entry))
    get(small, 23)
    assert small.stats().bytes <= 3.5 * entry
    survivors = KernelCache(directory)
    assert [get(survivors, value) for value in (20, 22, 23)] == [20, 22, 23]
    assert survivors.counters().disk_hits == 3
    assert get(survivors, 21) == 21 and survivors.counters().compiled == 1


def test_cap_smaller_than_one_entry(directory: Path) -> None:
    cache = KernelCache(directory, max_bytes=10)
    assert [get(cache, 24), get(cache, 25), get(cache, 24)] == [24, 25, 24]
    assert cache.stats().entries == 0


def test_clear_by_age(directory: Path) -> None:
    cache = KernelCache(directory)
    get(cache, 26)
    age(directory, 1000)
    get(cache, 27)
    (directory / "README").write_text("not ours")
    assert cache.clear(older_than=500) == 1
    assert cache.stats().entries == 1
    assert get(cache, 26) == 26, "a kernel in memory outlives its file"
    assert cache.clear() == 1
    assert [path.name for path in directory.iterdir()] == ["README"]


def test_temporary_files_of_the_dead_are_removed(directory: Path) -> None:
    cache = KernelCache(directory)
    get(cache, 28)
    for name, seconds in (("old", 7200), ("new", 0)):
        path = directory / f"{'a' * 64}.o{name}.tmp"
        path.write_text("")
        os.utime(path, (time.time() - seconds,) * 2)
    assert cache.stats().entries == 1
    cache.clear()
    assert [path.name[66:] for path in directory.iterdir()] == ["new.tmp"]


def test_stats_and_count_compiles(directory: Path) -> None:
    cache = KernelCache(directory)
    with cache.count_compiles() as count:
        get(cache, 29)
        assert count.compiled == 1
        get(cache, 29)
    get(cache, 30)
    assert (count.compiled, count.counters.memory_hits) == (1, 1)
    stats = cache.stats()
    files = [path.stat().st_size for path in directory.iterdir()]
    assert (stats.entries, stats.bytes) == (2, sum(files))
    assert (stats.hits, stats.misses, stats.compiled, stats.loaded) == (1, 2, 2, 0)


def test_default_cache_is_one(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JITFLOW_CACHE_DIR", str(directory))
    cache_module._default.cache_clear()
    try:
        with count_compiles() as count:
            get(default_cache(), 31)
        assert count.compiled == 1 and default_cache() is default_cache()
        assert default_cache().stats().directory == directory
    finally:
        cache_module._default.cache_clear()


def test_threads_compile_a_kernel_once(directory: Path) -> None:
    cache = KernelCache(directory)
    made: list[int] = []
    addresses: list[int] = []

    def slow() -> str:
        made.append(1)
        time.sleep(0.05)
        return ir(32)

    def work() -> None:
        addresses.append(cache.get_or_compile({"program": "slow"}, slow, "value"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and len(addresses) == 8 and len(set(addresses)) == 1
    assert cache.counters().memory_hits == 7


def test_after_a_failure_the_next_may_succeed(directory: Path) -> None:
    cache = KernelCache(directory)
    with pytest.raises(ZeroDivisionError):
        cache.get_or_compile({"program": "p"}, lambda: str(1 / 0), "value")
    assert cache.get_or_compile({"program": "p"}, lambda: ir(1), "value")


def test_get_many_keeps_the_order(directory: Path) -> None:
    cache = KernelCache(directory)
    values = [40, 41, 42, 41, 43, 40]
    requests = [({"program": str(v)}, lambda v=v: ir(v), "value") for v in values]
    found = cache.get_many(requests)
    assert [ctypes.CFUNCTYPE(ctypes.c_int32)(a)() for a in found] == values
    assert cache.counters().compiled == 4
    assert cache.get_many([]) == []
    with pytest.raises(KernelError):
        cache.get_many([({"program": "x"}, lambda: "nonsense", "value"), *requests])


WRITER = """
import ctypes, sys
from compiler.kernels.cache import KernelCache
sys.stdin.readline()
for value in range(15):
    cache = KernelCache(sys.argv[1], max_bytes=int(sys.argv[2]))
    text = f"define i32 @value() {{ ret i32 {value} }}"
    address = cache.get_or_compile({"program": str(value)}, lambda: text, "value")
    assert ctypes.CFUNCTYPE(ctypes.c_int32)(address)() == value
"""


@pytest.mark.parametrize("max_bytes", [1 << 30, 6000])
def test_processes_write_the_same_keys(directory: Path, max_bytes: int) -> None:
    command = [sys.executable, "-W", "error", "-c", WRITER, directory, str(max_bytes)]
    writers = [
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for writer in writers:  # both are started before either may begin
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    errors = [writer.communicate()[1] for writer in writers]
    assert errors == ["", ""]
    cache = KernelCache(directory)
    assert cache.verify() == []
    assert max_bytes < 1 << 30 or cache.stats().entries == 15
    assert not list(directory.glob("*.tmp"))


def test_explain_miss(directory: Path) -> None:
    cache = KernelCache(directory)
    assert "empty" in cache.explain_miss({"program": "p"}, "value")
    program = "for i\n  load a\n  store b"
    for symbol in ("value", "other"):
        parts = {"program": program, "generator": "1"}
        cache.get_or_compile(parts, lambda symbol=symbol: ir(1, symbol), symbol)
    changed = {"program": program.replace("load a", "load c"), "generator": "2"}
    text = cache.explain_miss(changed, "value")
    assert "generator: '1' in the cache, '2' now" in text
    assert "-  load a" in text and "+  load c" in text
    assert "(value)" in text and "cpu" not in text
    same = {"program": program, "generator": "1"}
    assert "it is in the cache" in cache.explain_miss(same, "value")


def test_sources_are_real_files(directory: Path) -> None:
    cache = KernelCache(directory)
    key = key_of({"source": "é = 1\n"})
    path = cache.put_source(key, ".py", "é = 1\n")
    assert path == directory / f"{key}.py"
    before = path.stat().st_mtime_ns
    assert cache.put_source(key, ".py", "é = 1\n") == path
    assert path.stat().st_mtime_ns == before
    path.write_text("broken")
    assert cache.put_source(key, ".py", "é = 1\n").read_text("utf-8") == "é = 1\n"
    for suffix in ("py", "./../x.py", ""):
        with pytest.raises(KernelError, match="suffix"):
            cache.put_source(key, suffix, "")
