"""Keras-wide settings: default float type, epsilon, image data format."""

from __future__ import annotations

import math
from typing import Any

from jitflow.errors import ArgumentError

_FLOAT_TYPES = ("bfloat16", "float16", "float32", "float64")
_IMAGE_DATA_FORMATS = ("channels_last", "channels_first")


class _Settings:
    """The values behind the functions of this module."""

    floatx = "float32"
    epsilon = 1e-7
    image_data_format = "channels_last"


def floatx() -> str:
    """The default float type of layers, as a name (``"float32"`` unless set)."""
    return _Settings.floatx


def set_floatx(value: str) -> None:
    """Set the default float type.

    Raises:
        ArgumentError: if `value` is not the name of a float type.
    """
    if value not in _FLOAT_TYPES:
        raise ArgumentError(f"value: {value!r} is not one of {_FLOAT_TYPES}")
    _Settings.floatx = str(value)


def epsilon() -> float:
    """The small constant that keeps divisions and logarithms finite (1e-7)."""
    return _Settings.epsilon


def set_epsilon(value: float) -> None:
    """Set the small constant.

    Raises:
        ArgumentError: if `value` is not a finite number.
    """
    number: Any = float(value)
    if not math.isfinite(number):
        raise ArgumentError(f"value: epsilon is a finite number, given {value!r}")
    _Settings.epsilon = number


def image_data_format() -> str:
    """``"channels_last"`` (unless set) or ``"channels_first"``."""
    return _Settings.image_data_format


def set_image_data_format(data_format: str) -> None:
    """Set the default order of image dimensions.

    Raises:
        ArgumentError: for anything but the two names.
    """
    _Settings.image_data_format = standardize_data_format(data_format)


def standardize_data_format(data_format: str | None) -> str:
    """A `data_format` argument with its default filled in.

    Raises:
        ArgumentError: for an unknown name.
    """
    if data_format is None:
        return image_data_format()
    name = str(data_format).lower()
    if name not in _IMAGE_DATA_FORMATS:
        raise ArgumentError(
            f"data_format: {data_format!r} is not one of {_IMAGE_DATA_FORMATS}"
        )
    return name
