"""The CPU that kernels run on: name, usable cores, features, cache sizes."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from compiler.errors import ExecutionError
from compiler.kernels import native

_DEFAULT_CACHES = {"L1d": 32 << 10, "L2": 1 << 20, "L3": 16 << 20}
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True)
class CpuDevice:
    """One CPU as the compiler sees it.

    ``name`` is LLVM's name of the microarchitecture, ``model`` the vendor's; ``cores``
    counts those this process may use; ``features`` are LLVM's names; cache sizes are
    in bytes (``l1`` and ``l2`` per core, ``l3`` shared).
    """

    name: str
    model: str
    vendor: str
    cores: int
    features: frozenset[str]
    l1: int
    l2: int
    l3: int

    @property
    def vector_bytes(self) -> int:
        """Width of the widest vector registers."""
        if "avx512f" in self.features:
            return 64
        return 32 if "avx" in self.features else 16


def _size(text: str) -> int:
    text = text.strip()
    return int(text[:-1]) * _UNITS[text[-1]] if text[-1:] in _UNITS else int(text)


def _caches() -> dict[str, int]:
    """Cache sizes of the first CPU from Linux's ``/sys``, else typical ones."""
    found = dict(_DEFAULT_CACHES)
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            kind = (index / "type").read_text().strip()
            level = (index / "level").read_text().strip()
            name = "L1d" if level == "1" and kind == "Data" else f"L{level}"
            if name in found and kind != "Instruction":
                found[name] = _size((index / "size").read_text())
        except (OSError, ValueError):
            continue
    return found


def _cpuinfo(field: str) -> str:
    """The first value of a field of Linux's ``/proc/cpuinfo``, or an empty text."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() == field:
                    return value.strip()
    except OSError:
        pass
    return ""


def _quota(limit: str) -> int | None:
    """CPUs granted by a ``cpu.max`` line ``quota period``; None without a limit."""
    quota, _, period = limit.partition(" ")
    if not quota.isdigit() or not period.strip().isdigit():
        return None
    return max(1, round(int(quota) / int(period)))


def _container_cores() -> int | None:
    try:
        return _quota(Path("/sys/fs/cgroup/cpu.max").read_text())
    except OSError:
        return None


def available_cores() -> int:
    """Cores this process may use: its affinity, and the limit of its container."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return min(cores, _container_cores() or cores)


def default_threads() -> int:
    """Threads to use: ``JITFLOW_NUM_THREADS``, else `available_cores`.

    Raises `ExecutionError` if the variable is not a positive integer.
    """
    asked = os.environ.get("JITFLOW_NUM_THREADS", "").strip()
    if not asked:
        return available_cores()
    if not asked.isdecimal() or int(asked) < 1:
        raise ExecutionError(
            f"JITFLOW_NUM_THREADS is {asked!r}",
            fix="set it to a positive integer, or unset it to use all cores",
        )
    return int(asked)


def _feature_set(flags: str) -> frozenset[str]:
    return frozenset(f[1:] for f in flags.split(",") if f.startswith("+"))


@cache
def cpu_device() -> CpuDevice:
    """This machine's CPU, looked at once per process."""
    host = native.host()
    sizes = _caches()
    return CpuDevice(
        name=host.cpu,
        model=_cpuinfo("model name") or platform.processor() or platform.machine(),
        vendor=_cpuinfo("vendor_id"),
        cores=available_cores(),
        features=_feature_set(host.features),
        l1=sizes["L1d"],
        l2=sizes["L2"],
        l3=sizes["L3"],
    )


def cpu_fingerprint() -> str:
    """Everything about this CPU that decides the machine code, for cache keys."""
    host = native.host()
    return f"{host.triple} {host.cpu} {host.features}"
