"""`jf.function`: compiled calls give what eager calls give, in every way of calling."""

from __future__ import annotations

import dataclasses
import gc
import threading
import weakref
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest

import jitflow as jf
from jitflow.errors import ArgumentError, ArgumentTypeError, TracerError
from jitflow.testing import check_gradients, count_compiles

X = np.array([[1.5, -2.0, np.nan], [np.inf, -0.0, 1e-40]], np.float32)
EMITTERS = ("llvm", "interpreter")


def tensor(*shape: int, dtype: str = "float32") -> jf.Tensor:
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape) / 4 - 1
    return jf.asarray(values.astype(dtype))


def same(a, b) -> None:
    a, b = np.asarray(a), np.asarray(b)
    assert a.dtype == b.dtype
    np.testing.assert_allclose(a, b, rtol=1e-6)


# ------------------------------------------------------------------------- numbers


@pytest.mark.parametrize("emitter", EMITTERS)
@pytest.mark.parametrize(
    "body",
    [
        lambda x: x * 2.0 + 1.0,
        lambda x: jf.sum(jf.exp(x) / (1.0 + x * x), axis=0),
        lambda x: x @ x.T,
        lambda x: (x > 0.0) & (x < 1.0),
        lambda x: jf.mean(x, axis=1, keepdims=True) - x,
        lambda x: x[:, 1:],
    ],
)
def test_compiled_equals_eager(body, emitter: str) -> None:
    for x in (tensor(2, 3), jf.asarray(X), tensor(1, 1), tensor(0, 3)):
        with np.errstate(all="ignore"):
            same(jf.function(body, emitter=emitter)(x), body(x))


def test_structures_go_in_and_come_out() -> None:
    pair = namedtuple("pair", "a b")

    @dataclasses.dataclass
    class Box:
        w: object
        note: str

    @jf.function
    def f(batch, box):
        out = {"y": batch["x"] * box.w, "list": [batch["z"][0], None, "text"]}
        return out, pair(batch["x"], 3), box

    x, w = tensor(3), tensor(3)
    out, made, box = f({"x": x, "z": (w, 1)}, Box(w, "n"))
    same(out["y"], x * w)
    same(out["list"][0], w)
    assert out["list"][1:] == [None, "text"]
    assert type(made).__name__ == "pair"
    assert made.b == 3
    assert box.note == "n"


def test_keyword_arguments_and_defaults_share_a_trace() -> None:
    @jf.function
    def f(x, y=2.0, *, mode="add"):
        return x + y if mode == "add" else x * y

    x = tensor(4)
    for result in (f(x), f(x, 2.0), f(x=x), f(y=2.0, x=x), f(x, mode="add")):
        same(result, x + 2.0)
    assert len(f.traces) == 1
    same(f(x, mode="mul"), x * 2.0)
    assert len(f.traces) == 2


def test_wrong_arguments_name_the_function() -> None:
    @jf.function
    def f(x):
        return x

    with pytest.raises(ArgumentTypeError, match=r"f\(\): missing a required argument"):
        f()
    with pytest.raises(ArgumentTypeError, match="y"):
        f(tensor(1), y=1)


def test_static_values_are_told_apart_by_type() -> None:
    seen = []

    @jf.function(purity="off")
    def f(x, flag):
        seen.append(flag)
        return x + 1.0 if flag is True else x

    x = tensor(2)
    for flag in (True, 1, "True", None, False, True, 1):
        f(x, flag)
    assert [type(s) for s in seen] == [bool, int, str, type(None), bool]


def test_numpy_arrays_are_tensors() -> None:
    @jf.function
    def f(x):
        return x * 2

    same(f(np.ones(3)), np.full(3, 2.0))
    same(f(np.ones((3, 2), order="F")), np.full((3, 2), 2.0))
    same(f(np.arange(6.0).reshape(2, 3).T), np.arange(6.0).reshape(2, 3).T * 2)
    same(f(np.float32(3)), np.float32(6))
    same(f(np.ones(2, ">f4")), np.full(2, 2, "f4"))
    with pytest.raises(TypeError, match="dtype"):
        f(np.array(["a"]))


def test_results_are_not_aliases_of_arguments() -> None:
    @jf.function
    def f(x):
        return x

    given = np.ones(3, np.float32)
    result = f(given)
    given[0] = 7
    assert result.numpy()[0] == 1


# ------------------------------------------------------------------------ variables


@pytest.mark.parametrize("emitter", EMITTERS)
def test_variables_are_updated(emitter: str) -> None:
    w = jf.Variable(np.ones(3, np.float32))

    @jf.function(emitter=emitter)
    def step(x):
        before = w.value
        w.assign_add(x)
        w.assign(w * 2.0)
        return before, w.value

    x = tensor(3)
    expected = np.ones(3, np.float32)
    for _ in range(3):
        before, after = step(x)
        same(before, expected)
        expected = (expected + x.numpy()) * 2
        same(after, expected)
        same(w.numpy(), expected)


def test_old_values_of_a_variable_stay() -> None:
    w = jf.Variable(np.zeros(2, np.float32))

    @jf.function
    def step():
        w.assign_add(np.ones(2, np.float32))

    kept = w.value
    array = kept.numpy()
    step()
    step()
    assert kept.numpy().tolist() == [0, 0]
    assert array.tolist() == [0, 0]
    assert w.numpy().tolist() == [2, 2]


def test_variables_as_arguments() -> None:
    @jf.function
    def f(v, x):
        v.assign_add(x)
        return v * 2.0

    a, b, x = jf.Variable(1.0), jf.Variable(5.0), jf.asarray(2.0)
    same(f(a, x), jf.asarray(6.0))
    same(f(b, x), jf.asarray(14.0))
    same(f(a, x), jf.asarray(10.0))


def test_variable_created_once() -> None:
    class Dense:
        w = None

        @jf.function
        def __call__(self, x):
            if self.w is None:
                self.w = jf.Variable(jf.random.normal(jf.random.key(1), (3, 2)))
            return x @ self.w

    layer = Dense()
    x = tensor(4, 3)
    first = layer(x)
    same(first, x @ layer.w)
    same(layer(x), first)


def test_variable_created_in_every_trace_is_an_error() -> None:
    @jf.function
    def f(x):
        return x + jf.Variable(1.0)

    with pytest.raises(ValueError, match=r"creates variable .* each time"):
        f(tensor(2))


def test_initial_values_must_not_depend_on_arguments() -> None:
    made = []

    @jf.function(purity="off")
    def f(x):
        if not made:
            made.append(jf.Variable(x * 2.0))
        return x + made[0]

    with pytest.raises(ValueError, match="depends on 'x'"):
        f(tensor(2))


def test_init_scope_leaves_the_trace() -> None:
    values = []

    @jf.function(purity="off")
    def f(x):
        with jf.init_scope():
            values.append(float(jf.asarray(3.0) * 2.0))
        return x * values[0]

    same(f(tensor(2)), tensor(2) * 6.0)


# --------------------------------------------------------------- calling one another


def test_nested_functions_are_inlined() -> None:
    @jf.function
    def inner(x):
        return x * 3.0

    @jf.function
    def outer(x):
        return inner(x) + inner(x * 2.0)

    same(outer(tensor(3)), tensor(3) * 9.0)
    assert not inner.traces
    assert outer.ir().count("multiply") == 3


def test_methods_have_traces_per_object() -> None:
    class Scale:
        def __init__(self, k):
            self.k = k

        @jf.function
        def __call__(self, x):
            return x * self.k

        @jf.function
        def twice(self, x, *, extra=0.0):
            return self(x) * 2.0 + extra

    a, b = Scale(2.0), Scale(3.0)
    same(a(tensor(2)), tensor(2) * 2.0)
    same(b(tensor(2)), tensor(2) * 3.0)
    same(a.twice(tensor(2), extra=1.0), tensor(2) * 4.0 + 1.0)
    same(Scale(5.0).twice(tensor(2)), tensor(2) * 10.0)
    assert "multiply" in a.twice.ir()
    assert len(a.twice.traces) == 1


def test_traces_die_with_their_object() -> None:
    class Model:
        def __init__(self):
            self.w = jf.Variable(np.ones(4, np.float32))
            self.layers = [self]  # a cycle, as in real models

        @jf.function
        def step(self, x):
            self.w.assign_add(x)
            return self.w * 1.0

    @jf.function
    def outside(model, x):
        return model.w * x

    def use() -> weakref.ref:
        model = Model()
        model.step(tensor(4))
        outside(model, tensor(4))
        return weakref.ref(model)

    references = [use() for _ in range(3)]
    gc.collect()
    assert [r() for r in references] == [None] * 3
    assert outside.traces == []
    assert not outside._cache.exact


def test_callable_objects_lambdas_and_partials() -> None:
    import functools

    def add(x, y):
        return x + y

    same(jf.function(lambda x: x + 1.0)(tensor(2)), tensor(2) + 1.0)
    same(jf.function(functools.partial(add, y=2.0))(tensor(2)), tensor(2) + 2.0)
    assert jf.function(add).__name__ == "add"


def test_run_functions_eagerly() -> None:
    calls = []

    @jf.function(purity="off")
    def f(x):
        calls.append(1)
        return x

    jf.config.run_functions_eagerly(True)
    try:
        f(tensor(1))
        f(tensor(1))
    finally:
        jf.config.run_functions_eagerly(False)
    assert len(calls) == 2
    assert not f.traces


# -------------------------------------------------------------------------- gradients


def test_tape_inside() -> None:
    w = jf.Variable(np.array([1.0, 2.0], np.float32))

    @jf.function
    def step(x):
        with jf.GradientTape() as tape:
            loss = jf.sum(w * w * x)
        return tape.gradient(loss, w)

    x = tensor(2)
    same(step(x), 2 * w.numpy() * x.numpy())


def test_tape_outside() -> None:
    w = jf.Variable(np.array([1.0, 2.0, 3.0]))

    @jf.function
    def f(x):
        return jf.sum(jf.tanh(w * x)), x * 2.0

    x = tensor(3, dtype="float64")
    grads = []
    for run in (f, f.python_function):
        with jf.GradientTape() as tape:
            tape.watch(x)
            loss, other = run(x)
            total = loss + jf.sum(other * other)
        grads.append(tape.gradient(total, [x, w]))
    for a, b in zip(*grads, strict=True):
        same(a, b)


def test_tape_outside_of_several_sizes() -> None:
    @jf.function
    def f(x):
        return jf.sum(x * x, axis=1)

    for rows in (2, 5, 7):
        x = tensor(rows, 3)
        with jf.GradientTape() as tape:
            tape.watch(x)
            y = f(x)
        same(tape.gradient(y, x), 2 * x.numpy())


def test_second_derivative_through_a_compiled_function() -> None:
    f = jf.function(lambda x: x * x * x)
    x = jf.asarray(np.array([1.0, 2.0]))
    with jf.GradientTape() as outer:
        outer.watch(x)
        with jf.GradientTape() as inner:
            inner.watch(x)
            y = f(x)
        first = inner.gradient(y, x)
    same(outer.gradient(first, x), 6 * x.numpy())


def test_update_of_a_variable_after_the_forward_pass() -> None:
    w = jf.Variable(np.array([2.0, 3.0]))

    @jf.function
    def f():
        y = jf.sum(w * w)
        w.assign(w * 10.0)
        return y

    with jf.GradientTape() as tape:
        y = f()
    assert tape.gradient(y, w).numpy().tolist() == [4, 6]
    assert w.numpy().tolist() == [20, 30]


def test_check_gradients_of_a_compiled_function() -> None:
    f = jf.function(lambda a, b: jf.exp(a) * b)
    check_gradients(f, [np.array([0.1, 0.2]), np.array([1.0, -2.0])])


# -------------------------------------------------------------------- errors, threads


def test_values_are_not_there_while_tracing() -> None:
    @jf.function(autograph=False)
    def f(x):
        if x > 0.0:
            return x
        return -x

    with pytest.raises(TracerError, match=r"jf\.where|jf\.cond") as info:
        f(jf.asarray(1.0))
    assert "test_function.py" in str(info.value)
    with pytest.raises(TracerError, match="numpy"):
        jf.function(lambda x: x.numpy())(tensor(2))


def test_leaked_tensors_say_where_they_come_from() -> None:
    kept = []

    @jf.function(purity="off")
    def f(x):
        kept.append(x * 2.0)
        return x

    f(tensor(2))
    for use in (lambda: kept[0] + 1.0, lambda: f(kept[0]), lambda: kept[0].numpy()):
        with pytest.raises(TracerError, match=r"multiply at test_function\.py"):
            use()
    g = jf.function(lambda x: x + kept[0])
    with pytest.raises(TracerError, match=r"multiply at test_function\.py"):
        g(tensor(2))


def test_an_exception_leaves_no_trace_behind() -> None:
    fail = [True]
    w = jf.Variable(1.0)

    @jf.function(purity="off")
    def f(x):
        w.assign(x)
        if fail[0]:
            raise KeyError("mine")
        return x * w

    with pytest.raises(KeyError, match="mine") as info:
        f(jf.asarray(2.0))
    names = [entry.name for entry in info.traceback]
    assert names[-1] == "f"
    assert not f.traces
    assert float(w.numpy()) == 1.0
    same(jf.asarray(1.0) + 1.0, jf.asarray(2.0))
    fail[0] = False
    same(f(jf.asarray(2.0)), jf.asarray(4.0))


def test_threads_may_call_at_once() -> None:
    w = jf.Variable(np.zeros(8, np.float32))

    @jf.function
    def step(x):
        w.assign_add(x)
        return x * 2.0

    x = jf.asarray(np.ones(8, np.float32))
    failures = []

    def work() -> None:
        for _ in range(200):
            if not np.all(step(x).numpy() == 2):
                failures.append(1)

    with count_compiles() as count:
        step(x)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert count.total == 1
    assert not failures
    assert w.numpy().tolist() == [801] * 8


def test_first_call_from_several_threads_traces_once() -> None:
    f = jf.function(lambda x: jf.tanh(x) + 1.0)
    results = []
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        results.append(f(tensor(3)).numpy())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(f.traces) == 1
    for r in results:
        np.testing.assert_array_equal(r, results[0])


@pytest.mark.parametrize(
    "options",
    [
        {"purity": "loud"},
        {"on_retrace": "never"},
        {"emitter": "gcc"},
        {"verify": "maybe"},
        {"max_traces": 0},
    ],
)
def test_options_are_checked(options: dict) -> None:
    with pytest.raises(ArgumentError, match=next(iter(options))):
        jf.function(lambda x: x, **options)


def test_verify_compares_with_the_interpreter() -> None:
    f = jf.function(lambda x: jf.sum(jf.exp(x)), verify="first")
    same(f(tensor(5)), jf.sum(jf.exp(tensor(5))))
    concrete = f.traces[0].concrete
    assert concrete.verified
    g = jf.function(lambda x: x + 1.0, verify="always")
    g(tensor(2))
    broken = g.traces[0].concrete
    broken._executable = SimpleNamespace(run=lambda arrays: [arrays[0] * 3])
    with pytest.raises(RuntimeError, match="differs from the interpreter"):
        g(tensor(2))


def test_random_numbers_advance_as_eagerly() -> None:
    def draw():
        return jf.random.Generator

    jf.random.set_seed(3)
    eager = [jf.random.default_generator().uniform((4,)).numpy() for _ in range(3)]
    jf.random.set_seed(3)
    f = jf.function(lambda: jf.random.default_generator().uniform((4,)))
    compiled = [f().numpy() for _ in range(3)]
    np.testing.assert_array_equal(eager, compiled)
    assert draw() is not None
