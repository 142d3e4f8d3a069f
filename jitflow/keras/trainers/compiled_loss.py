"""The losses of a compiled model: one for each output, added up."""

from __future__ import annotations

from typing import Any

import numpy as np

import jitflow as jf
from jitflow.errors import ArgumentError
from jitflow.keras import losses as losses_module
from jitflow.keras.losses.loss import Loss, LossFunctionWrapper
from jitflow.keras.metrics.reduction import Mean
from jitflow.keras.trainers.outputs import Outputs
from jitflow.tensor.state import state


def output_kind(y_true: Any, y_pred: Any) -> str:
    """``"binary"``, ``"sparse_categorical"`` or ``"categorical"``, by the shapes."""
    if not y_pred.ndim or y_pred.shape[-1] == 1:
        return "binary"
    if y_true.ndim < y_pred.ndim or y_true.shape[-1] == 1:
        return "sparse_categorical"
    return "categorical"


def make_loss(identifier: Any, y_true: Any, y_pred: Any) -> Loss | None:
    """The `Loss` that an entry of ``compile(loss=...)`` means; None for no loss.

    Raises:
        ArgumentError: for an unknown name.
    """
    if isinstance(identifier, str) and identifier in ("crossentropy", "ce"):
        identifier = f"{output_kind(y_true, y_pred)}_crossentropy"
    loss = losses_module.get(identifier)
    if loss is None or isinstance(loss, Loss):
        return loss
    known = losses_module.class_of(loss)
    if known is not None:
        return known()
    return LossFunctionWrapper(loss, name=getattr(loss, "__name__", None))


def _is_loss(value: Any) -> bool:
    # A configuration is a dict and would otherwise be taken for losses by name.
    return isinstance(value, dict) and "class_name" in value


class CompiledLoss:
    """What ``compile(loss=..., loss_weights=...)`` asks for.

    Losses are made when the first predictions are seen. With several outputs each has a
    running mean, ``NAME_loss``.

    Args:
        loss: a loss, or losses by position or output name.
        loss_weights: factors, in the same way.
    """

    def __init__(self, loss: Any, loss_weights: Any = None) -> None:
        self.loss = loss
        self.loss_weights = loss_weights
        self.losses: list[Loss | None] = []
        self.trackers: list[Mean] = []
        self.output_shapes: list[tuple[Any, ...]] = []
        self._outputs: Outputs | None = None

    @property
    def built(self) -> bool:
        """Whether the losses have been made."""
        return self._outputs is not None

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any, names: Any = None
    ) -> Any:
        """The weighted sum of all losses, as a scalar; None if there is no loss.

        Raises:
            ArgumentError: if targets, weights and outputs do not match.
        """
        outputs = Outputs(y_pred, names)
        targets = self._targets(outputs, y_true)
        predictions = outputs.values("y_pred", y_pred)
        if not self.built:
            self._build(outputs, targets, predictions)
        self.output_shapes = [p.shape for p in predictions]
        if state.trace is None:
            self._check_eager(targets)
        weights = outputs.spread("sample_weight", sample_weight, _never, repeat=True)
        return self._total(targets, predictions, weights)

    def _targets(self, outputs: Outputs, y_true: Any) -> list[Any]:
        if y_true is None:
            raise ArgumentError(
                "y: the model was compiled with a loss, and no targets were given",
                fix="pass y, or compile without a loss and use add_loss",
            )
        return outputs.values("y", y_true)

    def _build(self, outputs: Outputs, targets: Any, predictions: Any) -> None:
        given = self.loss
        if _is_loss(given):
            given = losses_module.get(given)
        entries = outputs.spread("loss", given, _is_loss, repeat=True)
        self.losses = [
            make_loss(entry, t, p)
            for entry, t, p in zip(entries, targets, predictions, strict=True)
        ]
        factors = outputs.spread(
            "loss_weights", self.loss_weights, _never, repeat=False
        )
        self.factors = [1.0 if f is None else float(f) for f in factors]
        if outputs.count > 1:
            self.trackers = [Mean(name=f"{name}_loss") for name in outputs.names]
        self._outputs = outputs

    def _total(self, targets: Any, predictions: Any, weights: Any) -> Any:
        total: Any = None
        for i, loss in enumerate(self.losses):
            if loss is None or targets[i] is None:
                continue
            value = loss(targets[i], predictions[i], weights[i])
            if self.trackers:
                size = jf.size_of(predictions[i], 0, "float32")
                self.trackers[i].update_state(value, sample_weight=size)
            value = value * self.factors[i] if self.factors[i] != 1.0 else value
            total = value if total is None else total + value
        return total

    # ------------------------------------------------------------- values of targets

    def _check_eager(self, targets: list[Any]) -> None:
        self._check([None if t is None else t._data for t in targets])

    def check_targets(self, y: Any) -> None:
        """Look at targets on the host: NumPy arrays in the structure of `y`.

        Raises:
            ArgumentError: for values that a loss cannot take, such as labels that are
                not numbers of classes.
        """
        if self._outputs is not None and y is not None:
            self._check(self._outputs.values("y", y))

    @property
    def checks_targets(self) -> bool:
        """Whether any loss looks at the values of targets."""
        return any(
            loss is not None and type(loss).check_targets is not Loss.check_targets
            for loss in self.losses
        )

    def _check(self, targets: list[np.ndarray | None]) -> None:
        assert self._outputs is not None
        for i, loss in enumerate(self.losses):
            if loss is not None and targets[i] is not None:
                where = "y" if len(targets) == 1 else f"y[{self._outputs.names[i]!r}]"
                loss.check_targets(targets[i], self.output_shapes[i], where)


def _never(value: Any) -> bool:
    return False
