"""`Loss`: a function of targets and predictions, weighted and reduced to a scalar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jitflow as jf
from jitflow.errors import ArgumentError
from jitflow.keras import backend
from jitflow.keras.backend.call_context import get_keras_mask
from jitflow.keras.backend.global_state import auto_name
from jitflow.keras.losses.shapes import same_rank, to_tensor
from jitflow.keras.saving.registration import keras_export
from jitflow.tracing.structure import flatten, unflatten

REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none")


@keras_export("keras.losses.Loss", "keras.Loss")
class Loss:
    """Base of all losses; a subclass defines `call`.

    Args:
        name: shown in logs and configurations.
        reduction: how the values of a batch become one: ``"sum_over_batch_size"`` and
            ``"mean"`` divide their weighted sum by their number,
            ``"mean_with_sample_weight"`` by the sum of the weights, ``"sum"`` does not
            divide, ``"none"`` or None keeps them.
        dtype: in which the loss is computed; the default float type if None.

    Raises:
        ArgumentError: for an unknown reduction.
    """

    def __init__(
        self,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        self.name = name or auto_name(type(self).__name__)
        self.reduction = check_reduction(reduction)
        self._dtype = backend.standardize_dtype(dtype or backend.floatx())

    @property
    def dtype(self) -> str:
        """Name of the element type that the loss is computed in."""
        return self._dtype

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The reduced loss of a batch.

        Args:
            y_true: targets.
            y_pred: predictions.
            sample_weight: weights of the samples, or of every value of the loss.

        Returns:
            A scalar, or the values of all samples without a reduction.
        """
        with jf.name_scope(self.name):
            mask = get_keras_mask(y_pred)
            y_pred = cast_all(y_pred, self._dtype)
            y_true = self.prepare_targets(y_true)
            values = self.call(y_true, y_pred)
            mask = both(mask, self.valid_values(y_true, y_pred))
            return reduce_weighted(
                values, sample_weight, mask, self.reduction, self._dtype
            )

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of every sample, not reduced over the batch."""
        raise NotImplementedError(f"{type(self).__name__} does not define call()")

    def prepare_targets(self, y_true: Any) -> Any:
        """Targets as `call` takes them: in the dtype of the loss."""
        return cast_all(y_true, self._dtype)

    def valid_values(self, y_true: Any, y_pred: Any) -> Any:
        """A mask of the values of `call` that count, or None if all do."""
        return None

    def check_targets(self, y: Any, output_shape: tuple[Any, ...], where: str) -> None:
        """Look at the values of targets on the host before they are trained on.

        Args:
            y: NumPy array of targets.
            output_shape: of the predictions they are compared with.
            where: what to call `y` in a message.

        Raises:
            ArgumentError: if they cannot be targets of this loss.
        """

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal loss."""
        return {"name": self.name, "reduction": self.reduction, "dtype": self._dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A loss from the result of `get_config`."""
        return cls(**config)


class LossFunctionWrapper(Loss):
    """A loss from a function ``fn(y_true, y_pred, **kwargs)`` of every sample."""

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.fn = fn
        self._fn_kwargs = kwargs

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The values of the function."""
        if hasattr(y_true, "ndim") and hasattr(y_pred, "ndim"):
            y_true, y_pred = same_rank(y_true, y_pred)
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal loss."""
        # Subclasses fix `fn`; only the plain wrapper has it in its configuration.
        config = {**super().get_config(), **self._fn_kwargs}
        return (
            {"fn": self.fn, **config} if type(self) is LossFunctionWrapper else config
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}, reduction {self.reduction}>"


def check_reduction(reduction: str | None) -> str | None:
    """`reduction`, if there is one of this name.

    Raises:
        ArgumentError: naming the reductions that there are.
    """
    if reduction is not None and reduction not in REDUCTIONS:
        raise ArgumentError(
            f"reduction: {reduction!r} is not one of {', '.join(REDUCTIONS)} or None"
        )
    return reduction


def cast_all(structure: Any, dtype: str) -> Any:
    """All tensors of a structure in one dtype."""
    leaves, form = flatten(structure)
    return unflatten(form, [to_tensor(leaf, dtype) for leaf in leaves])


def both(a: Any, b: Any) -> Any:
    """The conjunction of two masks, where None stands for all true."""
    if a is None or b is None:
        return b if a is None else a
    return jf.logical_and(a, b)


def reduce_weighted(
    values: Any,
    sample_weight: Any,
    mask: Any,
    reduction: str | None,
    dtype: str,
) -> Any:
    """Weight, mask and reduce the values of a loss.

    Sizes are taken from the tensors at run time, so a trace serves any batch size.
    """
    values = to_tensor(values, dtype)
    weight = None if sample_weight is None else to_tensor(sample_weight, dtype)
    if mask is not None:
        weight = _masked_weight(weight, to_tensor(mask, dtype), reduction)
    if weight is not None:
        values, weight = same_rank(values, weight)
        values = values * _expanded(weight, values)
    return _reduce(values, weight, reduction)


def _expanded(weight: Any, values: Any) -> Any:
    """Weights of samples given a trailing 1 for each further axis of the values."""
    if 0 < weight.ndim < values.ndim and weight.shape[0] == values.shape[0]:
        return jf.expand_dims(weight, axis=tuple(range(weight.ndim, values.ndim)))
    return weight


def _masked_weight(weight: Any, mask: Any, reduction: str | None) -> Any:
    if reduction not in (None, "none", "sum"):
        # The reduction divides by the number of values; only valid ones are to count.
        total = jf.size_of(mask, dtype=mask.dtype)
        mask = mask * (total / (jf.sum(mask) + backend.epsilon()))
    if weight is None:
        return mask
    mask, weight = same_rank(mask, weight)
    return mask * _expanded(weight, mask)


def _reduce(values: Any, weight: Any, reduction: str | None) -> Any:
    if reduction is None or reduction == "none" or values.ndim == 0:
        return values
    if reduction == "sum":
        return jf.sum(values)
    if reduction != "mean_with_sample_weight" or weight is None:
        return jf.mean(values)
    return divide_no_nan(jf.sum(values), jf.sum(weight))


def both_weights(sample_weight: Any, mask: Any, dtype: Any) -> Any:
    """Weights times mask in one dtype; None stands for all ones."""
    weight = None if sample_weight is None else to_tensor(sample_weight, dtype)
    return (
        weight
        if mask is None
        else _masked_weight(weight, to_tensor(mask, dtype), "sum")
    )


def divide_no_nan(x: Any, y: Any) -> Any:
    """``x / y``, and 0 where `y` is 0."""
    zero = y == 0
    return jf.where(zero, 0.0, x / jf.where(zero, 1.0, y))
