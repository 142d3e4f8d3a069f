"""Frequencies of the transforms' results, and shifts of the zero frequency."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitflow.config import settings
from jitflow.dtypes import as_dtype
from jitflow.errors import ArgumentError, DTypeError
from jitflow.ops.coerce import as_tensor, normalize_axes
from jitflow.ops.creation import check_device
from jitflow.ops.dispatch import builder as b
from jitflow.ops.manipulation import roll
from jitflow.tensor.tensor import Tensor


def _spaced(name: str, places: np.ndarray, n: int, d: Any, dtype: Any) -> Tensor:
    target = settings.float_dtype if dtype is None else as_dtype(dtype)
    if not target.is_float:
        raise DTypeError(f"{name}: dtype is a float type, given {target}")
    return b.constant((places / (n * d)).astype(target.np))


def _check_length(name: str, n: Any) -> None:
    if n < 1:
        raise ArgumentError(f"{name}: n is positive, given {n}")


def fftfreq(
    n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None
) -> Tensor:
    """Frequencies of `fft` of length `n` and sample spacing `d`: 0, positive, negative.

    Raises:
        ArgumentError: if `n` is not positive.
    """
    check_device(device)
    _check_length("fftfreq", n)
    places = (np.arange(n) + n // 2) % n - n // 2
    return _spaced("fftfreq", places, n, d, dtype)


def rfftfreq(
    n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None
) -> Tensor:
    """Frequencies of `rfft` of length `n` and sample spacing `d`: 0 and positive.

    Raises:
        ArgumentError: if `n` is not positive.
    """
    check_device(device)
    _check_length("rfftfreq", n)
    return _spaced("rfftfreq", np.arange(n // 2 + 1), n, d, dtype)


def _shifted(name: str, x: Any, axes: Any, inverse: bool) -> Tensor:
    x = as_tensor(x)
    chosen = normalize_axes(axes, x.ndim, name)
    halves = [x.shape[a] // 2 for a in chosen]
    shifts = [-h if inverse else h for h in halves]
    return roll(x, shifts, axis=chosen) if chosen else x


def fftshift(x: Any, /, *, axes: Any = None) -> Tensor:
    """The zero frequency moved to the middle of `axes` (all when left out)."""
    return _shifted("fftshift", x, axes, False)


def ifftshift(x: Any, /, *, axes: Any = None) -> Tensor:
    """The inverse of `fftshift`."""
    return _shifted("ifftshift", x, axes, True)
