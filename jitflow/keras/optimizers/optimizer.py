"""`Optimizer`: from gradients to new values of variables, by a rule of one variable.

Everything that an optimizer remembers is a variable, the learning rate included: inside
a compiled step they are inputs and outputs, so that no value of theirs is part of a
trace. Other hyperparameters are constants of the trace and guarded: when one changes,
the step is traced again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import jitflow as jf
from jitflow.errors import ArgumentError, ArgumentTypeError, GradientError
from jitflow.keras import backend
from jitflow.keras.backend.global_state import auto_name
from jitflow.keras.backend.variable import Variable
from jitflow.keras.optimizers.gradients import Clipping, clip_gradients, update_if
from jitflow.keras.optimizers.schedules import LearningRateSchedule
from jitflow.keras.optimizers.slots import Slots, assign_all
from jitflow.keras.saving.registration import keras_export
from jitflow.keras.saving.serialization import (
    deserialize_keras_object,
    serialize_keras_object,
)
from jitflow.tensor.state import state
from jitflow.tracing import init_scope

# The rate is a variable or a schedule, which is guarded as an object; names are only
# shown.
_NOT_BAKED_IN = frozenset(("learning_rate", "name"))


@keras_export("keras.Optimizer", "keras.optimizers.Optimizer")
class Optimizer(Slots):
    """Base of all optimizers; a subclass defines `update_step` and, for slots, `build`.

    Args:
        learning_rate: a number, a `LearningRateSchedule`, or a callable without
            arguments.
        weight_decay: variables shrink by this share times the learning rate at each
            step; none if None.
        clipnorm: longest norm of the gradient of one variable.
        clipvalue: largest absolute value in a gradient.
        global_clipnorm: longest norm of all gradients together.
        use_ema: keep a moving average of the variables.
        ema_momentum: share of the old average that is kept at each step.
        ema_overwrite_frequency: replace the variables by their average every so many
            steps; None leaves that to `finalize_variable_values`.
        loss_scale_factor: the loss is multiplied and the gradients are divided by it.
        gradient_accumulation_steps: update once in so many steps, with the mean of
            their gradients.
        name: first part of the paths of the optimizer's variables.

    Raises:
        ArgumentError: for values out of range, or more than one kind of clipping.
    """

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name or auto_name(type(self).__name__))
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        Clipping(clipnorm, clipvalue, global_clipnorm).check()
        _check_ranges(self)
        self.built = False
        self._trainable_variables: list[Any] = []
        self._shared: dict[Any, Any] = {}
        self._undecayed: set[int] = set()
        self._undecayed_names: tuple[str, ...] = ()
        self._averages: list[Variable] = []
        self._accumulated: list[Variable] = []
        with jf.name_scope(self.name):
            self._iterations = self._state(0, "int64", "iteration")
            self._learning_rate = self._rate(learning_rate)

    def _rate(self, learning_rate: Any) -> Any:
        learning_rate = _deserialized(learning_rate)
        if callable(learning_rate) and not isinstance(learning_rate, jf.Variable):
            return learning_rate
        if isinstance(learning_rate, jf.Variable | jf.Tensor):
            learning_rate = learning_rate.item()
        if isinstance(learning_rate, bool) or not hasattr(learning_rate, "__float__"):
            raise ArgumentTypeError(
                "learning_rate: a number, a LearningRateSchedule or a callable, given "
                f"{learning_rate!r}"
            )
        return self._state(float(learning_rate), backend.floatx(), "learning_rate")

    # ---------------------------------------------------------------------- variables

    @property
    def iterations(self) -> Any:
        """Number of updates so far, as an int64 scalar."""
        if self.gradient_accumulation_steps:
            return jf.floor_divide(self._iterations, self.gradient_accumulation_steps)
        return self._iterations

    @property
    def learning_rate(self) -> Any:
        """The learning rate: the variable, or the value of the schedule now.

        Assigning a number changes the variable; no trace is made for it.

        Raises:
            ArgumentTypeError: on assignment of a number where there is a schedule.
        """
        rate = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            return rate(self.iterations)
        return rate() if callable(rate) and not isinstance(rate, Variable) else rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        is_variable = isinstance(self._learning_rate, Variable)
        if callable(learning_rate) and not isinstance(learning_rate, jf.Variable):
            if is_variable:
                self._variables = [
                    v for v in self._variables if v is not self._learning_rate
                ]
            self._learning_rate = learning_rate
        elif is_variable:
            self._learning_rate.assign(learning_rate)
        else:
            raise ArgumentTypeError(
                "learning_rate: this optimizer was made with a schedule, a number "
                "cannot be assigned",
                fix="make the optimizer with a number, or assign another schedule",
            )

    def build(self, variables: Sequence[Any]) -> None:
        """Create the slots of `variables`; called by the first `apply`.

        Subclasses call this first and then `add_optimizer_variables`. Called again with
        more variables it keeps the slots that there are.
        """
        self._trainable_variables = list(variables)
        self._index = {id(v): i for i, v in enumerate(variables)}
        self.built = True
        if self.use_ema:
            self._averages = self.add_optimizer_variables(variables, "average")
        if self.gradient_accumulation_steps:
            self._accumulated = self.add_optimizer_variables(
                variables, "gradient_accumulator"
            )

    def assign(self, variable: Any, value: Any) -> None:
        """Set a variable."""
        variable.assign(value)

    def assign_add(self, variable: Any, value: Any) -> None:
        """Add to a variable."""
        variable.assign_add(value)

    def assign_sub(self, variable: Any, value: Any) -> None:
        """Subtract from a variable."""
        variable.assign_sub(value)

    # ---------------------------------------------------------------------- one step

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """The rule: change one variable and its slots."""
        raise NotImplementedError(f"{type(self).__name__} does not define update_step")

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Any]]) -> Any:
        """Take one step; returns the number of steps so far.

        Raises:
            GradientError: if no variable has a gradient.
        """
        pairs = list(grads_and_vars)
        self.apply([g for g, _ in pairs], [v for _, v in pairs])
        return self._iterations

    def apply(
        self, grads: Sequence[Any], trainable_variables: Iterable[Any] | None = None
    ) -> None:
        """Take one step.

        Args:
            grads: a gradient for each variable; None leaves a variable as it is.
            trainable_variables: those of `build` if None. New ones get new slots.

        Raises:
            GradientError: if no variable has a gradient.
            ArgumentError: if gradients and variables do not match.
        """
        grads = list(grads)
        if not grads:
            return
        variables = self._known(trainable_variables)
        if len(grads) != len(variables):
            raise ArgumentError(
                f"grads: {len(grads)} gradients for {len(variables)} variables"
            )
        pairs = [p for p in zip(grads, variables, strict=True) if p[0] is not None]
        if not pairs:
            raise GradientError(
                "no variable has a gradient",
                operands={_path(v): v for v in variables[:8]},
                fix="compute the loss from the variables inside the tape; "
                "tape.why(loss, variable) says where the connection breaks",
            )
        self._guard()
        with jf.name_scope(self.name):
            self._step([g for g, _ in pairs], [v for _, v in pairs])
            self._iterations.assign_add(1)
        self._shared = {}

    def _known(self, variables: Iterable[Any] | None) -> list[Any]:
        if variables is None:
            if not self.built:
                raise ArgumentError(
                    "trainable_variables: needed, the optimizer is not built",
                    fix="call optimizer.build(variables) first, or pass them",
                )
            return self._trainable_variables
        variables = list(variables)
        new = [v for v in variables if id(v) not in self._index]
        if new or not self.built:
            self.built = False
            self.build([*self._trainable_variables, *new])
            self.built = True
        return variables

    def _guard(self) -> None:
        """Tell the trace which attributes it has baked in."""
        if state.trace is None:
            return
        with init_scope():
            names = [n for n in self.get_config() if n not in _NOT_BAKED_IN]
        for name in ("_learning_rate", *names):
            if hasattr(self, name):
                state.trace.observe_attribute(self, name)

    def _step(self, grads: list[Any], variables: list[Any]) -> None:
        if self.loss_scale_factor is not None:
            grads = [g / self.loss_scale_factor for g in grads]
        if self.gradient_accumulation_steps:
            self._accumulate(grads, variables)
        else:
            self._update(grads, variables)
        if self.use_ema:
            self._average_variables()
        for variable in variables:
            constraint = getattr(variable, "constraint", None)
            if constraint is not None:
                variable.assign(constraint(variable.value))

    def _update(self, grads: list[Any], variables: list[Any]) -> None:
        self._shared = {}
        grads = clip_gradients(
            grads, Clipping(self.clipnorm, self.clipvalue, self.global_clipnorm)
        )
        rate = self.learning_rate
        self._decay_weights(variables, rate)
        for gradient, variable in zip(grads, variables, strict=True):
            self.update_step(gradient, variable, rate)

    def _accumulate(self, grads: list[Any], variables: list[Any]) -> None:
        """Add up gradients, and update in the last step of a round."""
        steps = self.gradient_accumulation_steps
        assert steps is not None
        sums = [self.slot(self._accumulated, v) for v in variables]
        for total, gradient in zip(sums, grads, strict=True):
            total.assign_add(gradient)

        def update() -> None:
            self._update([total.value / steps for total in sums], variables)
            for total in sums:
                total.assign(jf.zeros_like(total.value))

        is_last = (self._iterations + 1) % steps == 0
        update_if(is_last, [*self._variables, *variables], update)

    def shared(self, key: Any, make: Callable[[], Any]) -> Any:
        """A value that is the same for all variables of a step, computed once."""
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]

    def rate_like(self, learning_rate: Any, variable: Any) -> Any:
        """The learning rate in the dtype of a variable."""
        return self.shared(
            ("rate", variable.dtype),
            lambda: jf.astype(jf.asarray(_value(learning_rate)), variable.dtype),
        )

    def step_like(self, variable: Any) -> Any:
        """The number of this step, from 1 on, in the dtype of a variable."""
        return self.shared(
            ("step", variable.dtype),
            lambda: jf.astype(_value(self.iterations) + 1, variable.dtype),
        )

    def scale_loss(self, loss: Any) -> Any:
        """The loss whose gradients `apply` expects."""
        if self.loss_scale_factor is None:
            return loss
        return loss * self.loss_scale_factor

    # ------------------------------------------------------------------- weight decay

    def exclude_from_weight_decay(
        self,
        var_list: Iterable[Any] | None = None,
        var_names: Iterable[str] | None = None,
    ) -> None:
        """Name the variables that do not decay, before the optimizer is built.

        Args:
            var_list: the variables themselves.
            var_names: texts; variables whose name contains one do not decay.

        Raises:
            ArgumentError: if the optimizer is built.
        """
        if self.built:
            raise ArgumentError(
                "exclude_from_weight_decay: the optimizer is built already",
                fix="call it before the first step",
            )
        self._undecayed = {id(v) for v in var_list or ()}
        self._undecayed_names = tuple(var_names or ())

    def _decays(self, variable: Any) -> bool:
        names = (variable.name, _path(variable))
        return id(variable) not in self._undecayed and not any(
            text in name for text in self._undecayed_names for name in names
        )

    def _decay_weights(self, variables: Sequence[Any], learning_rate: Any) -> None:
        if self.weight_decay is None:
            return
        for variable in variables:
            if self._decays(variable):
                rate = self.rate_like(learning_rate, variable)
                variable.assign_sub(variable.value * self.weight_decay * rate)

    # ----------------------------------------------------------------- moving average

    def _average_variables(self) -> None:
        variables = self._trainable_variables
        keep = jf.astype(_value(self.iterations) != 0, "float32") * self.ema_momentum
        for variable, average in zip(variables, self._averages, strict=True):
            share = jf.astype(keep, average.dtype)
            average.assign(share * average.value + (1.0 - share) * variable.value)
        if self.ema_overwrite_frequency:
            due = (_value(self.iterations) + 1) % self.ema_overwrite_frequency == 0
            update_if(due, variables, self._use_averages)

    def _use_averages(self) -> None:
        for variable, average in zip(
            self._trainable_variables, self._averages, strict=True
        ):
            variable.assign(average.value)

    def finalize_variable_values(self, var_list: Iterable[Any]) -> None:
        """Give variables their moving average, when training is over."""
        if self.use_ema and self.ema_overwrite_frequency is None:
            for variable in var_list:
                variable.assign(self.slot(self._averages, variable).value)

    # ------------------------------------------------------------------------- state

    def stateless_apply(
        self,
        optimizer_variables: Sequence[Any],
        grads: Sequence[Any],
        trainable_variables: Sequence[Any],
    ) -> tuple[list[Any], list[Any]]:
        """One step from given values, which leaves all variables as they are.

        Returns:
            New values of the trainable variables and of the optimizer's variables.

        Raises:
            ArgumentError: if the optimizer is not built or the numbers differ.
        """
        if not self.built:
            raise ArgumentError(
                "stateless_apply: call optimizer.build(variables) first"
            )
        variables = [*self._trainable_variables, *self.variables]
        given = [*trainable_variables, *optimizer_variables]
        if len(given) != len(variables):
            raise ArgumentError(
                f"stateless_apply: {len(given)} values for {len(variables)} variables"
            )
        before = [v.value for v in variables]
        try:
            assign_all(variables, given)
            self.apply(grads, self._trainable_variables)
            after = [v.value for v in variables]
        finally:
            assign_all(variables, before)
        count = len(self._trainable_variables)
        return after[:count], after[count:]

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal optimizer."""
        rate = self._learning_rate
        return {
            "name": self.name,
            "learning_rate": (
                float(rate.numpy())
                if isinstance(rate, Variable)
                else serialize_keras_object(rate)
            ),
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm,
            "clipvalue": self.clipvalue,
            "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum,
            "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "loss_scale_factor": self.loss_scale_factor,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """An optimizer from the result of `get_config`."""
        config = dict(config)
        rate = config.get("learning_rate")
        if isinstance(rate, dict):
            config["learning_rate"] = deserialize_keras_object(rate, custom_objects)
        return cls(**config)


def _path(variable: Any) -> str:
    return str(getattr(variable, "path", variable.name))


def _value(x: Any) -> Any:
    return x.value if isinstance(x, jf.Variable) else x


def _deserialized(learning_rate: Any) -> Any:
    if isinstance(learning_rate, dict):
        return deserialize_keras_object(learning_rate)
    return learning_rate


def _check_ranges(optimizer: Optimizer) -> None:
    if optimizer.use_ema and not 0 <= optimizer.ema_momentum <= 1:
        raise ArgumentError(
            f"ema_momentum: must be in [0, 1], given {optimizer.ema_momentum}"
        )
    frequency = optimizer.ema_overwrite_frequency
    if frequency is not None and (not isinstance(frequency, int) or frequency < 1):
        raise ArgumentError(
            f"ema_overwrite_frequency: a positive int or None, given {frequency!r}"
        )
    steps = optimizer.gradient_accumulation_steps
    if steps is not None and (not isinstance(steps, int) or steps < 2):
        raise ArgumentError(
            f"gradient_accumulation_steps: an int of at least 2, given {steps!r}"
        )
