"""Hinge losses and losses of overlapping regions."""

from __future__ import annotations

from typing import Any

import jitflow as jf
from jitflow.keras import backend
from jitflow.keras.losses.shapes import to_tensor


def _signs(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Targets 0 and 1 as -1 and 1; other targets as they are."""
    y_pred = to_tensor(y_pred)
    y_true = to_tensor(y_true, y_pred.dtype)
    is_binary = jf.all((y_true == 0) | (y_true == 1))
    return jf.where(is_binary, 2.0 * y_true - 1.0, y_true), y_pred


def hinge(y_true: Any, y_pred: Any) -> Any:
    """``mean(max(1 - y_true * y_pred, 0))``; targets are -1 and 1, or 0 and 1."""
    y_true, y_pred = _signs(y_true, y_pred)
    return jf.mean(jf.maximum(1.0 - y_true * y_pred, 0.0), axis=-1)


def squared_hinge(y_true: Any, y_pred: Any) -> Any:
    """``mean(max(1 - y_true * y_pred, 0)**2)``; targets as for `hinge`."""
    y_true, y_pred = _signs(y_true, y_pred)
    return jf.mean(jf.square(jf.maximum(1.0 - y_true * y_pred, 0.0)), axis=-1)


def categorical_hinge(y_true: Any, y_pred: Any) -> Any:
    """``max(best wrong score - right score + 1, 0)``; targets are one-hot."""
    y_pred = to_tensor(y_pred)
    y_true = to_tensor(y_true, y_pred.dtype)
    right = jf.sum(y_true * y_pred, axis=-1)
    wrong = jf.max((1.0 - y_true) * y_pred, axis=-1)
    return jf.maximum(wrong - right + 1.0, 0.0)


def dice(y_true: Any, y_pred: Any, axis: Any = None) -> Any:
    """One minus twice the overlap over the total, summed over `axis` (all if None)."""
    y_pred = to_tensor(y_pred)
    y_true = to_tensor(y_true, y_pred.dtype)
    overlap = jf.sum(y_true * y_pred, axis=axis)
    total = jf.sum(y_true, axis=axis) + jf.sum(y_pred, axis=axis)
    return 1.0 - 2.0 * overlap / (total + backend.epsilon())


def tversky(
    y_true: Any,
    y_pred: Any,
    alpha: float = 0.5,
    beta: float = 0.5,
    axis: Any = None,
) -> Any:
    """One minus the Tversky index; `alpha` weighs misses, `beta` false alarms."""
    y_pred = to_tensor(y_pred)
    y_true = to_tensor(y_true, y_pred.dtype)
    overlap = jf.sum(y_true * y_pred, axis=axis)
    missed = jf.sum((1.0 - y_pred) * y_true, axis=axis)
    extra = jf.sum(y_pred * (1.0 - y_true), axis=axis)
    total = overlap + missed * alpha + extra * beta + backend.epsilon()
    return 1.0 - overlap / total
