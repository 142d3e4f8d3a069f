"""BLAS: the library of the ``scipy-openblas32`` wheel, loaded and driven by us.

It is called single-threaded from chunks of our own pool (two pools of threads on the
same cores spin against each other). OpenBLAS chooses its kernels while it is loaded,
and takes CPUs that it does not know for a Haswell: on those with AVX-512 we name the
SkylakeX kernels, unless the user's ``OPENBLAS_CORETYPE`` says otherwise.
``JITFLOW_BLAS_CORE`` outranks it, for this library only: a name of OpenBLAS's, or
``auto`` for our own choice. The library's symbols stay local, so NumPy's and SciPy's
own copies are not disturbed.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from compiler.errors import ExecutionError
from compiler.ir.types import DType, f32, f64
from compiler.runtime.device import CpuDevice, cpu_device

_AVX512 = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"})
_AVX512_CORES = frozenset({"skylakex", "cooperlake", "sapphirerapids"})
_SYMBOLS = {f32: "cblas_sgemm", f64: "cblas_dgemm"}
_PREFIXES = ("scipy_", "")


def core_type(device: CpuDevice) -> str | None:
    """The kernels OpenBLAS should use where its own choice is known to be poor.

    It knows Intel's CPUs, and asks them for AVX-512. Of other vendors' AVX-512 CPUs
    it knows some; all of them run the SkylakeX kernels.
    """
    knows = device.vendor == "GenuineIntel"
    return "SkylakeX" if device.features >= _AVX512 and not knows else None


def _settings(device: CpuDevice) -> dict[str, str]:
    """The environment to load the library in."""
    asked = os.environ.get("JITFLOW_BLAS_CORE", "")
    outranked = "" if asked else os.environ.get("OPENBLAS_CORETYPE", "")
    core = outranked or (core_type(device) if asked in ("", "auto") else asked)
    if not outranked and core and core.lower() in _AVX512_CORES:
        _check_avx512(device, core)
    # Without a choice of ours an empty value leaves OpenBLAS its own.
    return {"OPENBLAS_NUM_THREADS": "1", "OPENBLAS_CORETYPE": core or ""}


def _check_avx512(device: CpuDevice, core: str) -> None:
    if not device.features >= _AVX512:
        raise ExecutionError(
            f"JITFLOW_BLAS_CORE is {core!r}, and this CPU lacks AVX-512",
            fix="unset it, or set it to auto",
        )


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables, and put back what there was."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _library_path() -> Path:
    # Importing the package would load the library before we have named the core.
    spec = importlib.util.find_spec("scipy_openblas32")
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        for path in sorted((Path(folder) / "lib").glob("*scipy_openblas*")):
            if path.suffix in {".so", ".dylib", ".dll"}:
                return path
    raise ExecutionError(
        "the BLAS library is not installed", fix="pip install scipy-openblas32"
    )


class Blas:
    """The loaded library. ``core`` is the kernel set OpenBLAS really uses."""

    def __init__(self) -> None:
        with _environment(_settings(cpu_device())):
            self._library = ctypes.CDLL(str(_library_path()))
        self._symbol("openblas_set_num_threads")(1)
        name = self._symbol("openblas_get_corename")
        name.restype = ctypes.c_char_p
        self.core: str = name().decode()

    def _symbol(self, name: str) -> Any:
        for prefix in _PREFIXES:
            if hasattr(self._library, prefix + name):
                return getattr(self._library, prefix + name)
        raise ExecutionError(f"the BLAS library lacks {name}")

    def gemm_address(self, dtype: DType) -> int:
        """Address of ``cblas_sgemm`` or ``cblas_dgemm`` (32-bit integers).

        Raises `ExecutionError` for other dtypes.
        """
        if dtype not in _SYMBOLS:
            raise ExecutionError(f"BLAS has no product of {dtype}", fix="f32 or f64")
        symbol = self._symbol(_SYMBOLS[dtype])
        return ctypes.cast(symbol, ctypes.c_void_p).value or 0


@cache
def blas() -> Blas:
    """The library, loaded at the first call of the process.

    Raises `ExecutionError` if the wheel is missing.
    """
    return Blas()
