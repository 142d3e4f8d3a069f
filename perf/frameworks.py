"""The frameworks of the comparison: whether they are here, and how they wait."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# A setting of the shell that favours or handicaps one framework's BLAS, or turns on
# our dumps, would decide the comparison. Every framework chooses by itself.
DROPPED_PREFIXES = ("OPENBLAS_", "JITFLOW_", "JAX_", "TORCHINDUCTOR_", "KERAS_")


@dataclass(frozen=True)
class Framework:
    """A framework or a framework on a backend.

    Attributes:
        name: what ``--frameworks`` takes.
        modules: what must be importable; the first one is imported and timed.
        packages: distributions that may carry its version.
        environment: variables its processes need.
        cache: variables that place its on-disk cache in a folder, and turn it on.
        wait: blocks until results are there; None where calls are synchronous.
    """

    name: str
    modules: tuple[str, ...]
    packages: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    cache: Callable[[Path], Mapping[str, str]] = lambda folder: {}
    wait: Callable[[Any], Any] | None = None

    def missing(self) -> list[str]:
        """Modules that are not installed here."""
        return [module for module in self.modules if find_spec(module) is None]

    def version(self) -> str:
        """Versions of its distributions, for the report."""
        return " ".join(filter(None, map(_version, self.packages)))


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""


def _wait_jax(results: Any) -> Any:
    import jax

    return jax.block_until_ready(results)


def _jax_cache(folder: Path) -> Mapping[str, str]:
    return {
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def _torch_cache(folder: Path) -> Mapping[str, str]:
    return {"TORCHINDUCTOR_CACHE_DIR": str(folder)}


def _jitflow_cache(folder: Path) -> Mapping[str, str]:
    return {"JITFLOW_CACHE_DIR": str(folder)}


_TF_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2"}

FRAMEWORKS: dict[str, Framework] = {
    f.name: f
    for f in (
        Framework("jitflow", ("jitflow",), ("jitflow",), cache=_jitflow_cache),
        Framework("numpy", ("numpy",), ("numpy",)),
        Framework("jax", ("jax",), ("jax",), cache=_jax_cache, wait=_wait_jax),
        Framework("torch", ("torch",), ("torch",), cache=_torch_cache),
        Framework(
            "tensorflow",
            ("tensorflow",),
            ("tensorflow", "tensorflow-cpu"),
            _TF_QUIET,
        ),
        Framework(
            "keras-jax",
            ("keras", "jax"),
            ("keras", "jax"),
            {"KERAS_BACKEND": "jax"},
            cache=_jax_cache,
        ),
        Framework(
            "keras-tensorflow",
            ("keras", "tensorflow"),
            ("keras", "tensorflow", "tensorflow-cpu"),
            {"KERAS_BACKEND": "tensorflow", **_TF_QUIET},
        ),
        Framework(
            "keras-torch",
            ("keras", "torch"),
            ("keras", "torch"),
            {"KERAS_BACKEND": "torch"},
            cache=_torch_cache,
        ),
    )
}


def select(names: Iterable[str]) -> list[Framework]:
    """The frameworks to compare: those named, ours always, or all of them.

    A family name (``keras``) stands for all its backends.

    Raises:
        ValueError: for a name that is not known.
    """
    wanted = list(names)
    known = {*FRAMEWORKS, *(name.split("-")[0] for name in FRAMEWORKS)}
    unknown = sorted(set(wanted) - known)
    if unknown:
        raise ValueError(f"unknown framework {unknown}; one of {sorted(known)}")
    return [
        framework
        for name, framework in FRAMEWORKS.items()
        if not wanted or name in {"jitflow", *wanted} or name.split("-")[0] in wanted
    ]


def environment(
    framework: Framework,
    cache: Path,
    *,
    cache_on: bool = True,
    base: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """The variables of a worker process.

    Settings of the shell that choose a BLAS kernel, a cache or a dump are left out.
    With `cache_on` the framework's on-disk cache is turned on and lies in `cache`;
    without it the framework does what it does by itself, but not with the user's cache.
    """
    kept = {k: v for k, v in base.items() if not k.startswith(DROPPED_PREFIXES)}
    placed = framework.cache(cache)
    if not cache_on:  # JAX has no cache unless told; the others have one by default.
        placed = {k: v for k, v in placed.items() if not k.startswith("JAX_")}
    return {**kept, **framework.environment, **placed}


def dropped(base: Mapping[str, str] = os.environ) -> list[str]:
    """Variables of this shell that workers do not see."""
    return sorted(name for name in base if name.startswith(DROPPED_PREFIXES))
