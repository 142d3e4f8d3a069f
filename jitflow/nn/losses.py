"""Losses per example, from logits where that keeps digits."""

from __future__ import annotations

from typing import Any

from jitflow.dtypes import int64
from jitflow.errors import DTypeError, ShapeError
from jitflow.nn.activations import floating, scoped, softplus
from jitflow.nn.normalizing import log_softmax, one_hot
from jitflow.ops import elementwise as e
from jitflow.ops.coerce import as_tensor, normalize_axis, promote_all
from jitflow.ops.dispatch import builder as b
from jitflow.ops.mathematics import xlogy
from jitflow.ops.reductions import mean
from jitflow.ops.reductions import sum as sum_
from jitflow.tensor.tensor import Tensor


def _pair(name: str, x: Any, y: Any) -> tuple[Tensor, Tensor]:
    x, y = promote_all(name, x, y, inexact=True)
    if x.shape != y.shape:
        raise ShapeError(f"{name}: shapes differ", operands={"x1": x, "x2": y})
    return x, y


@scoped
def sigmoid_cross_entropy(logits: Any, labels: Any, /) -> Tensor:
    """``-labels * log(p) - (1 - labels) * log(1 - p)`` with ``p = sigmoid(logits)``.

    Args:
        logits: log-odds.
        labels: of the same shape, in [0, 1].

    Returns:
        One loss per element.

    Raises:
        ShapeError: if the shapes differ.
    """
    x, y = _pair("sigmoid_cross_entropy", logits, labels)
    return e.subtract(softplus(x), e.multiply(x, y))


@scoped
def softmax_cross_entropy(logits: Any, labels: Any, /, axis: int = -1) -> Tensor:
    """``-sum(labels * log(softmax(logits)))`` along `axis`.

    Args:
        logits: unnormalised log-probabilities.
        labels: probabilities of the same shape.
        axis: the dimension of the classes, which the result lacks.

    Raises:
        ShapeError: if the shapes differ.
    """
    x, y = _pair("softmax_cross_entropy", logits, labels)
    # A class of no weight may have the probability 0: 0 * inf would be NaN.
    terms = e.where(e.equal(y, 0), 0, e.multiply(y, log_softmax(x, axis)))
    return e.negative(sum_(terms, axis=axis))


@scoped
def sparse_softmax_cross_entropy(logits: Any, labels: Any, /, axis: int = -1) -> Tensor:
    """`softmax_cross_entropy` for labels that are class numbers.

    Args:
        logits: unnormalised log-probabilities.
        labels: integers of the shape of `logits` without `axis`.
        axis: the dimension of the classes. A number that is no class gives 0.

    Raises:
        DTypeError: if `labels` are not integers.
        ShapeError: if the shapes do not fit.
    """
    x, ids = floating(logits), as_tensor(labels, argument="labels")
    position = normalize_axis(axis, x.ndim, "sparse_softmax_cross_entropy")
    if not ids.dtype.is_integer:
        raise DTypeError(f"labels: class numbers are integers, given {ids.dtype}")
    if ids.shape != x.shape[:position] + x.shape[position + 1 :]:
        raise ShapeError(
            "sparse_softmax_cross_entropy: one label for each row of logits",
            operands={"logits": x, "labels": ids},
        )
    hot = one_hot(b.cast(ids, int64), x.shape[position], axis=position, dtype="bool")
    terms = e.where(hot, log_softmax(x, position), 0)
    return e.negative(sum_(terms, axis=position))


@scoped
def squared_error(predictions: Any, targets: Any, /) -> Tensor:
    """``(predictions - targets)**2``, one per element."""
    return e.square(e.subtract(*_pair("squared_error", predictions, targets)))


@scoped
def absolute_error(predictions: Any, targets: Any, /) -> Tensor:
    """``abs(predictions - targets)``, one per element."""
    return e.abs(e.subtract(*_pair("absolute_error", predictions, targets)))


@scoped
def huber(predictions: Any, targets: Any, /, delta: float = 1.0) -> Tensor:
    """Half the squared error up to `delta`, and linear beyond; one per element."""
    error = absolute_error(predictions, targets)
    near = e.minimum(error, delta)
    return e.multiply(near, e.subtract(error, e.multiply(near, 0.5)))


@scoped
def kl_divergence(targets: Any, predictions: Any, /, axis: int = -1) -> Tensor:
    """``sum(targets * log(targets / predictions))`` of probabilities along `axis`."""
    p, q = _pair("kl_divergence", targets, predictions)
    return sum_(e.subtract(xlogy(p, p), xlogy(p, q)), axis=axis)


@scoped
def poisson_loss(rates: Any, counts: Any, /) -> Tensor:
    """``rates - counts * log(rates)``, one per element."""
    rate, count = _pair("poisson_loss", rates, counts)
    return e.subtract(rate, xlogy(count, rate))


@scoped
def mean_squared_error(predictions: Any, targets: Any, /, axis: Any = -1) -> Tensor:
    """Mean of the squared errors along `axis`."""
    return mean(squared_error(predictions, targets), axis=axis)


@scoped
def mean_absolute_error(predictions: Any, targets: Any, /, axis: Any = -1) -> Tensor:
    """Mean of the absolute errors along `axis`."""
    return mean(absolute_error(predictions, targets), axis=axis)
