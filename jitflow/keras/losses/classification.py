"""Cross-entropies: losses of class labels and class probabilities."""

from __future__ import annotations

from typing import Any

import jitflow as jf
from jitflow.errors import ArgumentTypeError, ShapeError
from jitflow.keras import backend
from jitflow.keras.losses.shapes import require_same_shape, shown, to_tensor

_ONE_HOT_FIX = (
    "use sparse_categorical_crossentropy for integer labels, or encode them with "
    "keras.utils.to_categorical"
)


def binary_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """Cross-entropy of yes-or-no targets, mean over `axis`.

    Args:
        y_true: targets in [0, 1], of the shape of `y_pred`.
        y_pred: probabilities, clipped to [1e-7, 1 - 1e-7], or logits.
        from_logits: whether `y_pred` is logits; then nothing is clipped.
        label_smoothing: how far targets are moved towards 0.5, in [0, 1].
        axis: over which the mean is taken.

    Raises:
        ShapeError: if the shapes differ.
    """
    y_true, y_pred = _binary(y_true, y_pred, label_smoothing)
    require_same_shape("binary_crossentropy", y_true, y_pred)
    return jf.mean(_binary_values(y_true, y_pred, from_logits), axis=axis)


def _binary(y_true: Any, y_pred: Any, smoothing: float) -> tuple[Any, Any]:
    y_pred = to_tensor(y_pred)
    y_true = to_tensor(y_true, y_pred.dtype)
    if smoothing:
        y_true = y_true * (1.0 - smoothing) + 0.5 * smoothing
    return y_true, y_pred


def _binary_values(y_true: Any, y_pred: Any, from_logits: bool) -> Any:
    if from_logits:
        # max(z, 0) - z*y + log(1 + exp(-|z|)) overflows for no logit.
        tail = jf.log1p(jf.exp(-jf.abs(y_pred)))
        return jf.maximum(y_pred, 0.0) - y_pred * y_true + tail
    p = _clipped(y_pred)
    return -(y_true * jf.log(p) + (1.0 - y_true) * jf.log(1.0 - p))


def _clipped(p: Any) -> Any:
    return jf.clip(p, backend.epsilon(), 1.0 - backend.epsilon())


def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """Binary cross-entropy times ``(1 - p_t)**gamma``, mean over `axis`.

    Easy samples, of high probability ``p_t`` of the right answer, count less; with
    `apply_class_balancing` class 1 also counts `alpha` and class 0 ``1 - alpha``.
    """
    y_true, y_pred = _binary(y_true, y_pred, label_smoothing)
    require_same_shape("binary_focal_crossentropy", y_true, y_pred)
    p = jf.nn.sigmoid(y_pred) if from_logits else y_pred
    right = y_true * p + (1.0 - y_true) * (1.0 - p)
    values = jf.pow(1.0 - right, gamma) * _binary_values(y_true, p, False)
    if apply_class_balancing:
        values = (y_true * alpha + (1.0 - y_true) * (1.0 - alpha)) * values
    return jf.mean(values, axis=axis)


def categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """Cross-entropy of one-hot (or soft) targets along the class `axis`.

    Args:
        y_true: probabilities of the classes, of the shape of `y_pred`.
        y_pred: probabilities, normalised and clipped here, or logits.
        from_logits: whether `y_pred` is logits.
        label_smoothing: how far targets are moved towards the uniform distribution.
        axis: of the classes.

    Raises:
        ShapeError: if the shapes differ.
    """
    y_true, y_pred = _categorical(y_true, y_pred, label_smoothing, axis)
    require_same_shape("categorical_crossentropy", y_true, y_pred, _ONE_HOT_FIX)
    return -jf.sum(y_true * _log_probability(y_pred, from_logits, axis), axis=axis)


def _categorical(
    y_true: Any, y_pred: Any, smoothing: float, axis: Any
) -> tuple[Any, Any]:
    _check_axis(axis)
    y_pred = to_tensor(y_pred)
    y_true = to_tensor(y_true, y_pred.dtype)
    if smoothing:
        classes = jf.size_of(y_true, -1, y_pred.dtype)
        y_true = y_true * (1.0 - smoothing) + smoothing / classes
    return y_true, y_pred


def _check_axis(axis: Any) -> None:
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise ArgumentTypeError(f"axis: an int, given {axis!r}")


def _log_probability(y_pred: Any, from_logits: bool, axis: int) -> Any:
    if from_logits:
        return jf.nn.log_softmax(y_pred, axis=axis)
    return jf.log(_normalised(y_pred, axis))


def _normalised(p: Any, axis: int) -> Any:
    return _clipped(p / jf.sum(p, axis=axis, keepdims=True))


def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: Any = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """Categorical cross-entropy times ``alpha * (1 - p)**gamma`` of each class."""
    y_true, y_pred = _categorical(y_true, y_pred, label_smoothing, axis)
    name = "categorical_focal_crossentropy"
    require_same_shape(name, y_true, y_pred, _ONE_HOT_FIX)
    p = jf.nn.softmax(y_pred, axis=axis) if from_logits else y_pred
    p = _normalised(p, axis)
    weight = jf.pow(1.0 - p, gamma) * to_tensor(alpha, p.dtype)
    return jf.sum(weight * (-y_true * jf.log(p)), axis=axis)


def sparse_categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> Any:
    """Cross-entropy of integer labels along the class `axis`.

    Args:
        y_true: labels; the shape of `y_pred` without `axis`, or with size 1 there.
        y_pred: probabilities, normalised and clipped here, or logits.
        from_logits: whether `y_pred` is logits.
        ignore_class: a label whose samples have loss 0.
        axis: of the classes.

    Raises:
        ShapeError: if the shapes do not fit.
    """
    _check_axis(axis)
    y_pred = to_tensor(y_pred)
    labels = class_labels(y_true, y_pred, axis)
    _check_sparse(labels, y_pred, axis)
    # A comparison with 0..n-1 and not a gather: it fuses with the softmax of the row.
    chosen = jf.expand_dims(labels, axis=axis) == class_numbers(y_pred, axis)
    log_p = _log_probability(y_pred, from_logits, axis)
    values = -jf.sum(jf.where(chosen, log_p, 0.0), axis=axis)
    if ignore_class is None:
        return values
    return jf.where(labels != ignore_class, values, 0.0)


def class_labels(y_true: Any, y_pred: Any, axis: int) -> Any:
    """Labels as int32, without a class axis of size 1."""
    labels = to_tensor(y_true)
    if labels.ndim == y_pred.ndim and labels.shape[axis] == 1:
        labels = jf.squeeze(labels, axis=axis)
    return to_tensor(labels, "int32")


def class_numbers(y_pred: Any, axis: int) -> Any:
    """``0 .. n-1`` along `axis`, with size 1 elsewhere."""
    axis %= y_pred.ndim
    numbers = jf.arange(y_pred.shape[axis], dtype="int32")
    others = tuple(i for i in range(y_pred.ndim) if i != axis)
    return jf.expand_dims(numbers, axis=others) if others else numbers


def _check_sparse(labels: Any, y_pred: Any, axis: int) -> None:
    axis %= y_pred.ndim
    expected = tuple(d for i, d in enumerate(y_pred.shape) if i != axis)
    if labels.shape != expected:
        raise ShapeError(
            f"sparse_categorical_crossentropy: y_true has shape {shown(labels.shape)}, "
            f"labels of y_pred of shape {shown(y_pred.shape)} have shape "
            f"{shown(expected)}",
            operands={"y_true": labels, "y_pred": y_pred},
            fix="use categorical_crossentropy for one-hot targets",
        )


def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float) -> Any:
    """``(1 - p**q) / q`` for the probability `p` of the label; robust to wrong labels.

    Between cross-entropy (`q` towards 0) and mean absolute error (`q` = 1).
    """
    y_pred = to_tensor(y_pred)
    labels = class_labels(y_true, y_pred, -1)
    chosen = jf.expand_dims(labels, axis=-1) == class_numbers(y_pred, -1)
    p = jf.sum(jf.where(chosen, y_pred, 0.0), axis=-1)
    return (1.0 - jf.pow(p, q)) / q
