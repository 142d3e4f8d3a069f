"""Optimizers against NumPy over several steps, their options, schedules and state."""

from __future__ import annotations

import math

import numpy as np
import pytest

import jitflow as jf
from jitflow import keras
from jitflow.errors import ArgumentError, ArgumentTypeError, GradientError
from jitflow.keras import optimizers
from jitflow.keras.optimizers import schedules
from jitflow.testing import assert_no_retrace

START = np.random.default_rng(0).normal(size=(4, 3))
GRADIENTS = np.random.default_rng(1).normal(size=(6, 4, 3))
EPSILON = 1e-7


def run(optimizer, steps=6, compiled=False):
    """The variable after some steps."""
    variable = keras.Variable(START.astype("f4"), name="w")

    def step(gradient):
        optimizer.apply_gradients([(gradient, variable)])

    step = jf.function(step) if compiled else step
    for gradient in GRADIENTS[:steps]:
        step(jf.asarray(gradient.astype("f4")))
    return variable.numpy()


def sgd(rate=0.01, momentum=0.0, nesterov=False):
    w, m = START.copy(), 0.0
    for g in GRADIENTS:
        m = momentum * m - rate * g
        w += momentum * m - rate * g if nesterov else m
    return w


def adam(rate=0.001, b1=0.9, b2=0.999, amsgrad=False, decay=0.0):
    w, m, v, top = START.copy(), 0.0, 0.0, 0.0
    for t, g in enumerate(GRADIENTS, start=1):
        w -= decay * rate * w
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        top = np.maximum(top, v) if amsgrad else v
        size = rate * math.sqrt(1 - b2**t) / (1 - b1**t)
        w -= size * m / (np.sqrt(top) + EPSILON)
    return w


def adamax(rate=0.001, b1=0.9, b2=0.999):
    w, m, u = START.copy(), 0.0, 0.0
    for t, g in enumerate(GRADIENTS, start=1):
        m = b1 * m + (1 - b1) * g
        u = np.maximum(b2 * u, abs(g))
        w -= rate / (1 - b1**t) * m / (u + EPSILON)
    return w


def nadam(rate=0.001, b1=0.9, b2=0.999):
    w, m, v, product = START.copy(), 0.0, 0.0, 1.0
    for t, g in enumerate(GRADIENTS, start=1):
        now = b1 * (1 - 0.5 * 0.96**t)
        after = b1 * (1 - 0.5 * 0.96 ** (t + 1))
        product *= now
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        ahead = after * m / (1 - product * after) + (1 - now) * g / (1 - product)
        w -= rate * ahead / (np.sqrt(v / (1 - b2**t)) + EPSILON)
    return w


def lamb(rate=0.001, b1=0.9, b2=0.999):
    w, m, v = START.copy(), 0.0, 0.0
    for t, g in enumerate(GRADIENTS, start=1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        update = m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + EPSILON)
        w -= np.linalg.norm(w) / np.linalg.norm(update) * rate * update
    return w


def rmsprop(rate=0.001, rho=0.9, momentum=0.0, centered=False):
    w, v, mean, m = START.copy(), 0.0, 0.0, 0.0
    for g in GRADIENTS:
        v = rho * v + (1 - rho) * g * g
        mean = rho * mean + (1 - rho) * g
        m = momentum * m + rate * g / np.sqrt(v - centered * mean**2 + EPSILON)
        w -= m
    return w


def adagrad(rate=0.001, start=0.1):
    w, v = START.copy(), start
    for g in GRADIENTS:
        v = v + g * g
        w -= rate * g / np.sqrt(v + EPSILON)
    return w


def adadelta(rate=0.001, rho=0.95):
    w, v, d = START.copy(), 0.0, 0.0
    for g in GRADIENTS:
        v = rho * v + (1 - rho) * g * g
        delta = -np.sqrt(d + EPSILON) / np.sqrt(v + EPSILON) * g
        d = rho * d + (1 - rho) * delta**2
        w += rate * delta
    return w


def lion(rate=0.001, b1=0.9, b2=0.99):
    w, m = START.copy(), 0.0
    for g in GRADIENTS:
        w -= rate * np.sign(b1 * m + (1 - b1) * g)
        m = b2 * m + (1 - b2) * g
    return w


def ftrl(rate=0.001, l1=0.0, l2=0.0, start=0.1):
    w, n, z = START.copy(), np.full_like(START, start), 0.0
    for g in GRADIENTS:
        after = n + g * g
        z = z + g - (np.sqrt(after) - np.sqrt(n)) / rate * w
        n = after
        w = (np.clip(z, -l1, l1) - z) / (np.sqrt(n) / rate + 2 * l2)
    return w


def adafactor(rate=0.001):
    w, r, c = START.copy(), 0.0, 0.0
    for t, g in enumerate(GRADIENTS, start=1):
        keep, square = 1 - t**-0.8, g * g + 1e-30
        r = keep * r + (1 - keep) * square.mean(-1)
        c = keep * c + (1 - keep) * square.mean(-2)
        u = g / np.sqrt((r / r.mean())[:, None] * c[None, :])
        u = u / max(1.0, np.sqrt((u**2).mean()))
        size = max(1e-3, np.sqrt((w**2).mean())) * min(rate, 1 / math.sqrt(t))
        w = w - size * u
    return w


CASES = {
    "SGD": ({}, sgd()),
    "SGD momentum": ({"momentum": 0.9}, sgd(momentum=0.9)),
    "SGD nesterov": (
        *({"momentum": 0.9, "nesterov": True},),
        sgd(momentum=0.9, nesterov=True),
    ),
    "Adam": ({}, adam()),
    "Adam amsgrad": ({"amsgrad": True}, adam(amsgrad=True)),
    "AdamW": ({}, adam(decay=0.004)),
    "Adamax": ({}, adamax()),
    "Nadam": ({}, nadam()),
    "Lamb": ({}, lamb()),
    "RMSprop": ({}, rmsprop()),
    "RMSprop centered": (
        *({"momentum": 0.8, "centered": True},),
        rmsprop(momentum=0.8, centered=True),
    ),
    "Adagrad": ({}, adagrad()),
    "Adadelta": ({}, adadelta()),
    "Lion": ({}, lion()),
    "Ftrl": (
        *({"l1_regularization_strength": 0.01, "l2_regularization_strength": 0.1},),
        ftrl(l1=0.01, l2=0.1),
    ),
    "Adafactor": ({}, adafactor()),
}


def make(case, **options):
    return getattr(optimizers, case.split()[0])(**CASES[case][0], **options)


@pytest.mark.parametrize("case", CASES)
def test_steps_are_those_of_the_rule(case):
    expected = CASES[case][1]
    np.testing.assert_allclose(run(make(case)), expected, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("case", CASES)
def test_compiled_steps_are_eager_steps(case):
    eager, compiled = run(make(case)), run(make(case), compiled=True)
    np.testing.assert_allclose(compiled, eager, rtol=2e-5, atol=1e-6)


def test_learning_rate_changes_without_a_trace():
    optimizer = optimizers.SGD(1.0)
    variable = keras.Variable(np.zeros(2, "f4"), name="w")

    @jf.function
    def step(gradient):
        optimizer.apply_gradients([(gradient, variable)])

    ones = jf.ones((2,))
    step(ones)
    optimizer.learning_rate = 0.5
    with assert_no_retrace():
        step(ones)
    np.testing.assert_allclose(variable.numpy(), -1.5)
    assert float(optimizer.learning_rate) == 0.5
    assert int(optimizer.iterations) == 2


def test_a_changed_hyperparameter_traces_again():
    optimizer = optimizers.SGD(1.0, momentum=0.5)
    variable = keras.Variable(np.zeros(1, "f4"), name="w")

    @jf.function
    def step(gradient):
        optimizer.apply_gradients([(gradient, variable)])

    step(jf.ones((1,)))  # m = -1, w = -1
    optimizer.momentum = 0.0
    step(jf.ones((1,)))
    np.testing.assert_allclose(variable.numpy(), -2.0)
    assert len(step.traces) == 2


def clipped(function):
    w = START.copy()
    for g in GRADIENTS:
        w -= 0.01 * function(g)
    return w


def test_clipping():
    def by_norm(g):
        return g * min(1.0, 0.5 / np.linalg.norm(g))

    norm = run(optimizers.SGD(clipnorm=0.5))
    np.testing.assert_allclose(norm, clipped(by_norm), rtol=1e-5)
    together = run(optimizers.SGD(global_clipnorm=0.5))
    np.testing.assert_allclose(together, clipped(by_norm), rtol=1e-5)
    value = run(optimizers.SGD(clipvalue=0.2))
    np.testing.assert_allclose(
        value, clipped(lambda g: np.clip(g, -0.2, 0.2)), rtol=1e-5
    )
    with pytest.raises(ArgumentError, match="only one"):
        optimizers.SGD(clipnorm=1.0, clipvalue=1.0)
    with pytest.raises(ArgumentError, match="clipnorm"):
        optimizers.SGD(clipnorm=-1.0)


def test_weight_decay_and_its_exceptions():
    weight = keras.Variable(np.ones(2, "f4"), name="kernel")
    bias = keras.Variable(np.ones(2, "f4"), name="bias")
    optimizer = optimizers.SGD(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    zero = jf.zeros((2,))
    optimizer.apply_gradients([(zero, weight), (zero, bias)])
    np.testing.assert_allclose(weight.numpy(), 0.95)
    np.testing.assert_allclose(bias.numpy(), 1.0)
    with pytest.raises(ArgumentError, match="before the first step"):
        optimizer.exclude_from_weight_decay(var_names=["kernel"])


@pytest.mark.parametrize("compiled", [False, True])
def test_gradient_accumulation(compiled):
    optimizer = optimizers.SGD(0.1, gradient_accumulation_steps=3)
    expected = START - 0.1 * GRADIENTS[:3].mean(0) - 0.1 * GRADIENTS[3:6].mean(0)
    np.testing.assert_allclose(run(optimizer, 6, compiled), expected, rtol=1e-5)
    assert int(optimizer.iterations) == 2
    early = run(optimizers.SGD(0.1, gradient_accumulation_steps=3), 2, compiled)
    np.testing.assert_array_equal(early, START.astype("f4"))


@pytest.mark.parametrize("compiled", [False, True])
def test_moving_average(compiled):
    options = {"use_ema": True, "ema_momentum": 0.5}
    w, average = START.copy(), 0.0
    for t, g in enumerate(GRADIENTS[:4]):
        w = w - 0.01 * g
        average = w if t == 0 else 0.5 * average + 0.5 * w
    optimizer = optimizers.SGD(**options)
    np.testing.assert_allclose(run(optimizer, 4, compiled), w, rtol=1e-5)
    (variable,) = optimizer._trainable_variables
    optimizer.finalize_variable_values([variable])
    np.testing.assert_allclose(variable.numpy(), average, rtol=1e-5)
    every = run(optimizers.SGD(**options, ema_overwrite_frequency=4), 4, compiled)
    np.testing.assert_allclose(every, average, rtol=1e-5)


def test_loss_scale_factor():
    optimizer = optimizers.SGD(0.1, loss_scale_factor=8.0)
    assert float(optimizer.scale_loss(jf.asarray(2.0))) == 16.0
    expected = START - 0.1 * GRADIENTS[0] / 8
    np.testing.assert_allclose(run(optimizer, 1), expected, rtol=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
def test_loss_scale_optimizer_skips_infinite_gradients(compiled):
    optimizer = optimizers.LossScaleOptimizer(
        optimizers.SGD(1.0), initial_scale=4.0, dynamic_growth_steps=2
    )
    variable = keras.Variable(np.zeros(2, "f4"), name="w")

    def step(gradient):
        optimizer.apply_gradients([(gradient, variable)])

    step = jf.function(step) if compiled else step
    step(jf.asarray([np.inf, 1.0], dtype="float32"))
    np.testing.assert_array_equal(variable.numpy(), [0.0, 0.0])
    assert float(optimizer.dynamic_scale.numpy()) == 2.0
    for _ in range(2):
        step(jf.asarray([2.0, 4.0], dtype="float32"))
    np.testing.assert_allclose(variable.numpy(), [-2.0, -4.0])
    assert float(optimizer.dynamic_scale.numpy()) == 4.0
    assert int(optimizer.iterations) == 2


def test_missing_gradients():
    a = keras.Variable(np.ones(2, "f4"), name="a")
    b = keras.Variable(np.ones(2, "f4"), name="b")
    optimizer = optimizers.SGD(1.0)
    optimizer.apply_gradients([(jf.ones((2,)), a), (None, b)])
    np.testing.assert_array_equal(a.numpy(), 0.0)
    np.testing.assert_array_equal(b.numpy(), 1.0)
    with pytest.raises(GradientError, match=r"tape\.why"):
        optimizer.apply_gradients([(None, a), (None, b)])


def test_new_variables_get_slots():
    a = keras.Variable(np.ones(2, "f4"), name="a")
    b = keras.Variable(np.ones(2, "f4"), name="b")
    optimizer = optimizers.SGD(1.0, momentum=0.5)
    optimizer.apply_gradients([(jf.ones((2,)), a)])
    optimizer.apply_gradients([(jf.ones((2,)), b), (jf.ones((2,)), a)])
    np.testing.assert_allclose(a.numpy(), 1 - 1 - 1.5)
    np.testing.assert_allclose(b.numpy(), 0.0)
    assert len(optimizer.variables) == 4


def test_constraints_hold_after_a_step():
    variable = keras.Variable(np.ones(2, "f4"), name="w")
    variable.constraint = keras.constraints.NonNeg()
    optimizers.SGD(1.0).apply_gradients([(jf.asarray([3.0, 0.5]), variable)])
    np.testing.assert_allclose(variable.numpy(), [0.0, 0.5])


def test_stateless_apply_leaves_variables_alone():
    variable = keras.Variable(np.ones(2, "f4"), name="w")
    optimizer = optimizers.SGD(0.5, momentum=0.9)
    optimizer.build([variable])
    values = [v.value for v in optimizer.variables]
    new, state = optimizer.stateless_apply(values, [jf.ones((2,))], [jf.ones((2,))])
    np.testing.assert_allclose(new[0].numpy(), 0.5)
    assert int(state[0]) == 1 and int(optimizer.iterations) == 0
    np.testing.assert_array_equal(variable.numpy(), 1.0)


def test_weights_of_an_optimizer_continue_a_run():
    first = optimizers.Adam()
    variable = keras.Variable(START.astype("f4"), name="w")
    for g in GRADIENTS[:3]:
        first.apply_gradients([(jf.asarray(g.astype("f4")), variable)])
    second = optimizers.Adam()
    second.build([variable])
    second.set_weights(first.get_weights())
    for g in GRADIENTS[3:]:
        second.apply_gradients([(jf.asarray(g.astype("f4")), variable)])
    np.testing.assert_allclose(variable.numpy(), run(optimizers.Adam()), rtol=1e-6)


def test_configurations():
    for case, (options, _) in CASES.items():
        optimizer = make(case, clipnorm=1.5)
        again = optimizers.deserialize(optimizers.serialize(optimizer))
        assert type(again) is type(optimizer)
        assert again.get_config() == optimizer.get_config()
        assert options.items() <= again.get_config().items()
    scheduled = optimizers.Adam(schedules.ExponentialDecay(0.1, 10, 0.5))
    again = optimizers.Adam.from_config(scheduled.get_config())
    assert float(again.learning_rate) == pytest.approx(0.1)
    assert isinstance(optimizers.get("rmsprop"), optimizers.RMSprop)
    assert isinstance(optimizers.get("AdamW"), optimizers.AdamW)
    with pytest.raises(ArgumentError, match="adam"):
        optimizers.get("adan")


def test_names_of_slots():
    variable = keras.Variable(np.ones(2, "f4"), name="w")
    variable.path = "model/dense/w"
    optimizer = optimizers.Adam()
    optimizer.build([variable])
    assert [v.path for v in optimizer.variables] == [
        "adam/iteration",
        "adam/learning_rate",
        "adam/model_dense_w_momentum",
        "adam/model_dense_w_velocity",
    ]


def wave(share):
    return 0.5 * (1 + math.cos(math.pi * share))


SCHEDULES = [
    (schedules.ExponentialDecay(0.1, 5, 0.9), lambda t: 0.1 * 0.9 ** (t / 5)),
    (
        schedules.ExponentialDecay(0.1, 5, 0.9, staircase=True),
        lambda t: 0.1 * 0.9 ** (t // 5),
    ),
    (schedules.InverseTimeDecay(0.1, 5, 0.5), lambda t: 0.1 / (1 + 0.1 * t)),
    (
        schedules.PiecewiseConstantDecay([2, 4], [0.3, 0.2, 0.1]),
        lambda t: 0.3 if t <= 2 else 0.2 if t <= 4 else 0.1,
    ),
    (
        schedules.PolynomialDecay(0.1, 5, 0.01, power=2.0),
        lambda t: 0.09 * (1 - min(t, 5) / 5) ** 2 + 0.01,
    ),
    (
        schedules.CosineDecay(0.1, 5, alpha=0.1),
        lambda t: 0.1 * (0.9 * wave(min(t, 5) / 5) + 0.1),
    ),
    (
        schedules.CosineDecay(0.0, 5, warmup_target=0.2, warmup_steps=3),
        lambda t: 0.2 * t / 3 if t < 3 else 0.2 * wave(min(t - 3, 5) / 5),
    ),
    (
        schedules.CosineDecayRestarts(0.1, 4, t_mul=1.0, m_mul=0.5),
        lambda t: 0.1 * 0.5 ** (t // 4) * wave(t % 4 / 4),
    ),
]


@pytest.mark.parametrize(("schedule", "formula"), SCHEDULES)
def test_schedules(schedule, formula):
    found = [float(schedule(t)) for t in range(12)]
    expected = [formula(t) for t in range(12)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)
    again = schedules.deserialize(schedules.serialize(schedule))
    assert again.get_config() == schedule.get_config()


def test_a_schedule_runs_inside_the_compiled_step():
    optimizer = optimizers.SGD(schedules.ExponentialDecay(1.0, 1, 0.5))
    variable = keras.Variable(np.zeros(1, "f4"), name="w")

    @jf.function
    def step(gradient):
        optimizer.apply_gradients([(gradient, variable)])

    for _ in range(3):
        step(jf.ones((1,)))
    np.testing.assert_allclose(variable.numpy(), -1.75)
    assert len(step.traces) == 1
    with pytest.raises(ArgumentTypeError, match="schedule"):
        optimizer.learning_rate = 0.1


def test_a_user_optimizer():
    class Signs(keras.Optimizer):
        def build(self, variables):
            super().build(variables)
            self.last = self.add_optimizer_variables(variables, "last")

        def update_step(self, gradient, variable, learning_rate):
            self.assign(self.last[self._get_variable_index(variable)], gradient)
            self.assign_sub(variable, learning_rate * jf.sign(gradient))

    expected = START - 0.25 * np.sign(GRADIENTS).sum(0)
    np.testing.assert_allclose(run(Signs(0.25)), expected, rtol=1e-5, atol=1e-6)


def test_arguments_are_checked():
    with pytest.raises(ArgumentTypeError, match="learning_rate"):
        optimizers.SGD("fast")
    with pytest.raises(ArgumentError, match="momentum"):
        optimizers.SGD(momentum=2.0)
    with pytest.raises(ArgumentError, match="gradient_accumulation_steps"):
        optimizers.SGD(gradient_accumulation_steps=1)
    with pytest.raises(ArgumentError, match="not built"):
        optimizers.SGD().apply([jf.ones((2,))])
