"""Process-wide settings, each with a getter; set once at the start of a program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from compiler.ir.types import DType
from jitflow.dtypes import as_dtype, complex64, complex128, float32, float64
from jitflow.errors import DTypeError


@dataclass(slots=True)
class Settings:
    """The values behind the functions of this module."""

    float_dtype: DType = float32
    functions_eager: bool = False
    check_indices: bool = True


settings = Settings()


def set_default_dtype(dtype: Any) -> None:
    """Float type of creation functions, of integer division and of weak floats.

    It says nothing about what is allowed: float64 asked for is always float64 given.

    Raises:
        DTypeError: if `dtype` is not a floating-point type.
    """
    chosen = as_dtype(dtype)
    if not chosen.is_float:
        raise DTypeError(f"dtype: {chosen} is not a floating-point type")
    settings.float_dtype = chosen


def default_dtype() -> DType:
    """The default float type (float32 unless set)."""
    return settings.float_dtype


def default_complex_dtype() -> DType:
    """The complex type that goes with the default float type."""
    return complex128 if settings.float_dtype is float64 else complex64


def run_functions_eagerly(run_eagerly: bool) -> None:
    """Make every `jf.function` run its Python body instead of a compiled trace."""
    settings.functions_eager = bool(run_eagerly)


def functions_run_eagerly() -> bool:
    """Whether `run_functions_eagerly` is on."""
    return settings.functions_eager


def check_indices(check: bool) -> None:
    """Whether compiled functions raise for an index out of bounds (True unless set).

    Without the check such an index is clipped. It counts for functions that are traced
    from then on; eager code always checks.
    """
    settings.check_indices = bool(check)
