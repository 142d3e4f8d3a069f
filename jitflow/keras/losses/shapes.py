"""Bringing targets, predictions and weights to one dtype and rank."""

from __future__ import annotations

from typing import Any

import jitflow as jf
from jitflow.errors import ShapeError


def to_tensor(x: Any, dtype: Any = None) -> Any:
    """`x` (tensor, variable, array, numbers) as a tensor, of `dtype` if given."""
    tensor = jf.asarray(x.value if isinstance(x, jf.Variable) else x)
    if dtype is None or tensor.dtype == dtype:
        return tensor
    return jf.astype(tensor, dtype)


def matched(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Both in the dtype of `y_pred` and, if a last axis is 1, of one rank."""
    y_pred = to_tensor(y_pred)
    return same_rank(to_tensor(y_true, y_pred.dtype), y_pred)


def same_rank(x1: Any, x2: Any) -> tuple[Any, Any]:
    """Add or drop a last axis of size 1 where the ranks differ by one.

    Of ``[n, 1]`` and ``[n]`` the second one is expanded; of higher ranks the longer one
    is squeezed.
    """
    if x1.ndim == x2.ndim + 1:
        x1, x2 = _reconcile(x1, x2)
    elif x2.ndim == x1.ndim + 1:
        x2, x1 = _reconcile(x2, x1)
    return x1, x2


def _reconcile(longer: Any, shorter: Any) -> tuple[Any, Any]:
    if longer.shape[-1] != 1:
        return longer, shorter
    if shorter.ndim == 1:
        return longer, jf.expand_dims(shorter, axis=-1)
    return jf.squeeze(longer, axis=-1), shorter


def require_same_shape(name: str, y_true: Any, y_pred: Any, fix: str = "") -> None:
    """Check that targets have one value for each prediction.

    Raises:
        ShapeError: naming the loss and both shapes.
    """
    if y_true.shape != y_pred.shape:
        raise ShapeError(
            f"{name}: y_true has shape {shown(y_true.shape)}, y_pred has shape "
            f"{shown(y_pred.shape)}",
            operands={"y_true": y_true, "y_pred": y_pred},
            fix=fix or "make y of the shape of the model's output",
        )


def shown(shape: Any) -> str:
    """A shape for messages; symbols print by name."""
    inner = ", ".join(map(str, shape))
    return f"({inner},)" if len(shape) == 1 else f"({inner})"
