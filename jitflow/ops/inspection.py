"""What the Array API calls inspection: devices, dtypes and capabilities."""

from __future__ import annotations

from typing import Any

from compiler.ir.types import ALL_DTYPES, DType
from jitflow.config import default_complex_dtype, settings
from jitflow.dtypes import bfloat16, float16, int64
from jitflow.ops.creation import check_device
from jitflow.ops.data_types import isdtype

__all__ = ["__array_namespace_info__"]

# What the standard knows; there are 16-bit floats too.
_LONG_NAMES = {str(d): d for d in ALL_DTYPES if d not in (bfloat16, float16)}


class __array_namespace_info__:
    """Facts about the namespace, for code written for any array library.

    Example:
        >>> jf.__array_namespace_info__().default_dtypes()["real floating"]
        float32
    """

    def capabilities(self) -> dict[str, Any]:
        """What optional parts of the standard there are; outside of traces."""
        return {
            "boolean indexing": True,
            "data-dependent shapes": True,
            "max dimensions": 64,
        }

    def default_device(self) -> str:
        """The device of tensors that are made without naming one."""
        return "cpu"

    def devices(self) -> list[str]:
        """All devices that hold tensors."""
        return ["cpu"]

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        """The dtypes that Python numbers get, by kind."""
        check_device(device)
        return {
            "real floating": settings.float_dtype,
            "complex floating": default_complex_dtype(),
            "integral": int64,
            "indexing": int64,
        }

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, DType]:
        """The standard's dtypes, of a kind that `jf.isdtype` knows, by name."""
        check_device(device)
        if kind is None:
            return dict(_LONG_NAMES)
        return {name: d for name, d in _LONG_NAMES.items() if isdtype(d, kind)}
