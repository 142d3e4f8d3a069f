"""How tensors and variables print."""

from __future__ import annotations

import numpy as np

from compiler.ir.types import DType


def show_array(kind: str, array: np.ndarray, dtype: DType, extra: str = "") -> str:
    """``Tensor([1. 2.], shape=(2,), dtype=float32)``, long arrays shortened."""
    text = np.array2string(array, separator=", ", prefix=f"{kind}(", threshold=200)
    return f"{kind}({text}, shape={array.shape}, dtype={dtype}{extra})"
