"""Losses of continuous targets; each gives one value per sample (mean of last axis)."""

from __future__ import annotations

import math
from typing import Any

import jitflow as jf
from jitflow.keras import backend
from jitflow.keras.losses.shapes import matched, to_tensor


def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
    """``mean((y_true - y_pred)**2)`` over the last axis."""
    y_true, y_pred = matched(y_true, y_pred)
    return jf.mean(jf.square(y_true - y_pred), axis=-1)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Any:
    """``mean(|y_true - y_pred|)`` over the last axis."""
    y_true, y_pred = matched(y_true, y_pred)
    return jf.mean(jf.abs(y_true - y_pred), axis=-1)


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Any:
    """``100 * mean(|(y_true - y_pred) / y_true|)``; tiny targets count as 1e-7."""
    y_true, y_pred = matched(y_true, y_pred)
    scale = jf.maximum(jf.abs(y_true), backend.epsilon())
    return 100.0 * jf.mean(jf.abs((y_true - y_pred) / scale), axis=-1)


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Any:
    """``mean((log(y_true + 1) - log(y_pred + 1))**2)``."""
    y_true, y_pred = matched(y_true, y_pred)
    epsilon = backend.epsilon()
    first = jf.log(jf.maximum(y_pred, epsilon) + 1.0)
    second = jf.log(jf.maximum(y_true, epsilon) + 1.0)
    return jf.mean(jf.square(first - second), axis=-1)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Any:
    """Squared error up to `delta`, linear beyond; mean over the last axis."""
    y_true, y_pred = matched(y_true, y_pred)
    error = y_pred - y_true
    size = jf.abs(error)
    linear = delta * size - 0.5 * delta * delta
    return jf.mean(jf.where(size <= delta, 0.5 * jf.square(error), linear), axis=-1)


def log_cosh(y_true: Any, y_pred: Any) -> Any:
    """``mean(log(cosh(y_pred - y_true)))`` over the last axis, without overflow."""
    y_true, y_pred = matched(y_true, y_pred)
    error = y_pred - y_true
    return jf.mean(error + jf.nn.softplus(error * -2.0) - math.log(2.0), axis=-1)


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """Negative cosine of the angle between targets and predictions, in [-1, 1]."""
    y_true, y_pred = matched(y_true, y_pred)
    return -jf.sum(unit(y_true, axis) * unit(y_pred, axis), axis=axis)


def unit(x: Any, axis: int) -> Any:
    """`x` with vectors of length 1 along `axis`; a zero vector stays zero."""
    square = jf.sum(jf.square(x), axis=axis, keepdims=True)
    return x * jf.rsqrt(jf.maximum(square, backend.epsilon() ** 2))


def kl_divergence(y_true: Any, y_pred: Any) -> Any:
    """``sum(y_true * log(y_true / y_pred))``, clipped to [1e-7, 1]."""
    y_pred = to_tensor(y_pred)
    y_true = jf.clip(to_tensor(y_true, y_pred.dtype), backend.epsilon(), 1.0)
    y_pred = jf.clip(y_pred, backend.epsilon(), 1.0)
    return jf.sum(y_true * jf.log(y_true / y_pred), axis=-1)


def poisson(y_true: Any, y_pred: Any) -> Any:
    """``mean(y_pred - y_true * log(y_pred + 1e-7))`` over the last axis."""
    y_true, y_pred = matched(y_true, y_pred)
    return jf.mean(y_pred - y_true * jf.log(y_pred + backend.epsilon()), axis=-1)
