"""The losses as classes: a function of this package, its options and a reduction."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitflow.errors import ArgumentError
from jitflow.keras.losses import classification, margins, regression
from jitflow.keras.losses.loss import LossFunctionWrapper
from jitflow.keras.losses.shapes import to_tensor
from jitflow.keras.saving.registration import keras_export

_BATCH = "sum_over_batch_size"


@keras_export("keras.losses.MeanSquaredError")
class MeanSquaredError(LossFunctionWrapper):
    """Mean of squared errors; see `mean_squared_error` and `Loss`."""

    def __init__(
        self,
        reduction: str | None = _BATCH,
        name: str | None = "mean_squared_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(regression.mean_squared_error, reduction, name, dtype)


@keras_export("keras.losses.MeanAbsoluteError")
class MeanAbsoluteError(LossFunctionWrapper):
    """Mean of absolute errors; see `mean_absolute_error` and `Loss`."""

    def __init__(
        self,
        reduction: str | None = _BATCH,
        name: str | None = "mean_absolute_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(regression.mean_absolute_error, reduction, name, dtype)


@keras_export("keras.losses.MeanAbsolutePercentageError")
class MeanAbsolutePercentageError(LossFunctionWrapper):
    """Mean of errors in percent; see `mean_absolute_percentage_error` and `Loss`."""

    def __init__(
        self,
        reduction: str | None = _BATCH,
        name: str | None = "mean_absolute_percentage_error",
        dtype: Any = None,
    ) -> None:
        function = regression.mean_absolute_percentage_error
        super().__init__(function, reduction, name, dtype)


@keras_export("keras.losses.MeanSquaredLogarithmicError")
class MeanSquaredLogarithmicError(LossFunctionWrapper):
    """Mean of squared logarithmic errors; see `mean_squared_logarithmic_error`."""

    def __init__(
        self,
        reduction: str | None = _BATCH,
        name: str | None = "mean_squared_logarithmic_error",
        dtype: Any = None,
    ) -> None:
        function = regression.mean_squared_logarithmic_error
        super().__init__(function, reduction, name, dtype)


@keras_export("keras.losses.CosineSimilarity")
class CosineSimilarity(LossFunctionWrapper):
    """Negative cosine of targets and predictions; see `cosine_similarity`."""

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = _BATCH,
        name: str | None = "cosine_similarity",
        dtype: Any = None,
    ) -> None:
        function = regression.cosine_similarity
        super().__init__(function, reduction, name, dtype, axis=axis)


@keras_export("keras.losses.Huber")
class Huber(LossFunctionWrapper):
    """Squared error that grows linearly beyond `delta`; see `huber`."""

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = _BATCH,
        name: str | None = "huber_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(regression.huber, reduction, name, dtype, delta=delta)


@keras_export("keras.losses.LogCosh")
class LogCosh(LossFunctionWrapper):
    """Logarithm of the hyperbolic cosine of the error; see `log_cosh`."""

    def __init__(
        self,
        reduction: str | None = _BATCH,
        name: str | None = "log_cosh",
        dtype: Any = None,
    ) -> None:
        super().__init__(regression.log_cosh, reduction, name, dtype)


@keras_export("keras.losses.KLDivergence")
class KLDivergence(LossFunctionWrapper):
    """Divergence of distributions; see `kl_divergence`."""

    def __init__(
        self,
        reduction: str | None = _BATCH,
        name: str | None = "kl_divergence",
        dtype: Any = None,
    ) -> None:
        super().__init__(regression.kl_divergence, reduction, name, dtype)


@keras_export("keras.losses.Poisson")
class Poisson(LossFunctionWrapper):
    """Negative log-likelihood of counts; see `poisson`."""

    def __init__(
        self,
        reduction: str | None = _BATCH,
        name: str | None = "poisson",
        dtype: Any = None,
    ) -> None:
        super().__init__(regression.poisson, reduction, name, dtype)


@keras_export("keras.losses.Hinge")
class Hinge(LossFunctionWrapper):
    """Hinge loss of binary targets; see `hinge`."""

    def __init__(
        self,
        reduction: str | None = _BATCH,
        name: str | None = "hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(margins.hinge, reduction, name, dtype)


@keras_export("keras.losses.SquaredHinge")
class SquaredHinge(LossFunctionWrapper):
    """Squared hinge loss of binary targets; see `squared_hinge`."""

    def __init__(
        self,
        reduction: str | None = _BATCH,
        name: str | None = "squared_hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(margins.squared_hinge, reduction, name, dtype)


@keras_export("keras.losses.CategoricalHinge")
class CategoricalHinge(LossFunctionWrapper):
    """Hinge loss of one-hot targets; see `categorical_hinge`."""

    def __init__(
        self,
        reduction: str | None = _BATCH,
        name: str | None = "categorical_hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(margins.categorical_hinge, reduction, name, dtype)


@keras_export("keras.losses.Dice")
class Dice(LossFunctionWrapper):
    """Lack of overlap of regions; see `dice`."""

    def __init__(
        self,
        reduction: str | None = _BATCH,
        name: str | None = "dice",
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(margins.dice, reduction, name, dtype, axis=axis)


@keras_export("keras.losses.Tversky")
class Tversky(LossFunctionWrapper):
    """Lack of overlap with weighted misses and false alarms; see `tversky`."""

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str | None = _BATCH,
        name: str | None = "tversky",
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        options = {"alpha": alpha, "beta": beta, "axis": axis}
        super().__init__(margins.tversky, reduction, name, dtype, **options)


@keras_export("keras.losses.BinaryCrossentropy")
class BinaryCrossentropy(LossFunctionWrapper):
    """Cross-entropy of yes-or-no targets; see `binary_crossentropy`."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = _BATCH,
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            classification.binary_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


@keras_export("keras.losses.BinaryFocalCrossentropy")
class BinaryFocalCrossentropy(LossFunctionWrapper):
    """Binary cross-entropy of hard samples; see `binary_focal_crossentropy`."""

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = _BATCH,
        name: str | None = "binary_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            classification.binary_focal_crossentropy,
            reduction,
            name,
            dtype,
            apply_class_balancing=apply_class_balancing,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


@keras_export("keras.losses.CategoricalCrossentropy")
class CategoricalCrossentropy(LossFunctionWrapper):
    """Cross-entropy of one-hot targets; see `categorical_crossentropy`."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = _BATCH,
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            classification.categorical_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


@keras_export("keras.losses.CategoricalFocalCrossentropy")
class CategoricalFocalCrossentropy(LossFunctionWrapper):
    """Categorical cross-entropy of hard samples; see the function of this name."""

    def __init__(
        self,
        alpha: Any = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = _BATCH,
        name: str | None = "categorical_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            classification.categorical_focal_crossentropy,
            reduction,
            name,
            dtype,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


@keras_export("keras.losses.SparseCategoricalCrossentropy")
class SparseCategoricalCrossentropy(LossFunctionWrapper):
    """Cross-entropy of integer labels; see `sparse_categorical_crossentropy`."""

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = _BATCH,
        axis: int = -1,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            classification.sparse_categorical_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            ignore_class=ignore_class,
            axis=axis,
        )
        self.axis = axis
        self.ignore_class = ignore_class

    def prepare_targets(self, y_true: Any) -> Any:
        """Labels as tensors in their own dtype: floats hold small integers only."""
        return to_tensor(y_true)

    def valid_values(self, y_true: Any, y_pred: Any) -> Any:
        """A mask of the samples whose label is not `ignore_class`."""
        if self.ignore_class is None:
            return None
        labels = classification.class_labels(y_true, to_tensor(y_pred), self.axis)
        return labels != self.ignore_class

    def check_targets(self, y: Any, output_shape: tuple[Any, ...], where: str) -> None:
        """See `Loss.check_targets`: labels are numbers of classes.

        Raises:
            ArgumentError: naming the label, where it is, and the fix.
        """
        check_labels(y, output_shape[self.axis], where, self.ignore_class)


@keras_export("keras.losses.CategoricalGeneralizedCrossEntropy")
class CategoricalGeneralizedCrossEntropy(LossFunctionWrapper):
    """Loss of integer labels that may be wrong; see the function of this name.

    Raises:
        ArgumentError: if `q` is not between 0 and 1.
    """

    def __init__(
        self,
        q: float = 0.5,
        reduction: str | None = _BATCH,
        name: str | None = "categorical_generalized_cross_entropy",
        dtype: Any = None,
    ) -> None:
        if not 0 < q < 1:
            raise ArgumentError(f"q: must be in (0, 1), given {q}")
        function = classification.categorical_generalized_cross_entropy
        super().__init__(function, reduction, name, dtype, q=q)

    def check_targets(self, y: Any, output_shape: tuple[Any, ...], where: str) -> None:
        """See `Loss.check_targets`: labels are numbers of classes."""
        check_labels(y, output_shape[-1], where, None)


def check_labels(y: Any, num_classes: Any, where: str, ignored: int | None) -> None:
    """Check that integer labels are in ``0 .. num_classes - 1``, or `ignored`.

    One pass over `y` when all is well.

    Raises:
        ArgumentError: naming the first label that is not, its place, and the fix.
    """
    y = np.asarray(y)
    if not isinstance(num_classes, int) or y.size == 0 or y.dtype.kind not in "iuf":
        return
    if y.min() >= 0 and y.max() < num_classes:
        return
    wrong = ~((y >= 0) & (y < num_classes))
    if ignored is not None:
        wrong &= y != ignored
    places = np.argwhere(wrong)
    if len(places):
        raise _label_error(y, tuple(map(int, places[0])), num_classes, where)


def _label_error(
    y: np.ndarray, place: tuple[int, ...], num_classes: int, where: str
) -> ArgumentError:
    value = y[place].item()
    if not np.isfinite(y).all():
        fix = "remove NaN and infinity from the labels"
    elif y.max() == num_classes and y.min() >= 1:
        fix = f"labels start at 0: subtract 1 from {y.min()}..{y.max()}"
    elif value < 0:
        fix = f"pass ignore_class={value} to the loss, if these samples do not count"
    else:
        fix = f"give the output layer at least {int(y.max()) + 1} units"
    index = place[0] if y.size == len(y) else place
    return ArgumentError(
        f"{where}: label {value} of sample {index} is not one of the "
        f"{num_classes} classes 0..{num_classes - 1} of the model's output",
        fix=fix,
    )
