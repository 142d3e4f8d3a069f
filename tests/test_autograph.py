"""Python control flow on tensors: converted = eager, and what it leaves alone."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitflow as jf
from jitflow.control_flow import ControlFlowError
from jitflow.tracing.structure import flatten


def tensor(values: Any, dtype: str = "float64") -> jf.Tensor:
    return jf.asarray(np.asarray(values, dtype))


X = tensor([1.0, 2.0, 3.0])
N = tensor(4, "int64")


def if_else(x, n):
    if jf.sum(x) > 0:
        y = x * 2
    else:
        y = -x
    return y


def if_without_else(x, n):
    y = x
    if x[0] > 0:
        y = y + 1
    return y


def elif_chain(x, n):
    if x[0] > 2:
        return x
    if x[0] > 0:
        return x * 10
    return x * 100


def early_returns(x, n):
    if x[0] < -10:
        return x, 0
    y = x + 1
    if x[0] < 0:
        return y, 1
    z = y * 2
    return z, 2


def nested_ifs(x, n):
    out = x
    if x[0] > 0:
        if x[1] > 5:
            out = out + 1
        else:
            out = out * 3
    else:
        out = out - 7
    return out


def conditional_expression(x, n):
    y = x * 3 if x[0] > 0 else x
    return (y if jf.max(y) < 4 else -y) + (1 if n > 3 else 2)


def connectives(x, n):
    a = x[0] > 0 and not x[1] > 5
    b = x[0] > 10 or (x[2] > 0 and n == 4)
    c = 0 < x[0] < 2 <= x[1]
    flag = True
    d = flag and x[0] > 0
    return (x if a else -x), (x if b else -x), (x if c else -x), (x if d else -x)


def while_loop(x, n):
    while jf.sum(x * x) < 100:
        x = x * 1.5
    return x


def while_counts(x, n):
    i = 0
    total = 0.0
    while i < n:
        total = total + x[i % 3] * i
        i += 1
    return total, x / i


def while_break(x, n):
    i = 0
    while True:
        i += 1
        x = x * 1.1
        if jf.sum(x) > 20 or i > n:
            break
    return x, i


def while_else(x, n):
    i = n
    while i > 0:
        i = i - 1
        if jf.sum(x) > 1000:
            break
        x = x * 2
    else:
        x = -x
    return x


def while_return(x, n):
    k = n
    while k > 0:
        x = x + 1
        if jf.sum(x) > 12:
            return x
        k = k - 1
    return -x


def for_range(x, n):
    for i in range(n):
        x = x + i
    return x


def for_range_step(x, n):
    for i in range(n, -3, -2):
        x = x * 1.5 + i
    return x


def for_range_return(x, n):
    for i in range(n):
        x = x * 1.5
        if jf.sum(x) > 13:
            return x, i
    return x, -1


def for_tensor(x, n):
    total = 0
    for row in x:
        total = total + jf.sin(row)
    return total


def for_tensor_continue(x, n):
    total = 0.0
    for row in x:
        if row > 2.5:
            continue
        if row < 1.5:
            total = total + 1
            continue
        total = total + row
    return total


def for_tensor_break(x, n):
    last = x[0]
    for row in x:
        last = row
        if row > 1.5:
            break
    return last


def for_python(x, n):
    for k, name in enumerate(["a", "b", "c"]):
        if name == "b":
            continue
        x = x + k
        if jf.sum(x) > 10:
            break
    else:
        x = x * 100
    return x


def nested_loops(x, n):
    total = 0.0
    for row in x:
        j = 0
        while j < n:
            j += 1
            if row * j > 5:
                break
            total = total + row * j
    return total


def helper(v):
    if v > 2:
        return v
    return v * 10 if v > 1 else v * 100


def calls_helper(x, n):
    return [helper(v) for v in (x[0], x[1], x[2])]


def calls_lambda(x, n):
    choose = lambda v: v if v > 2 else -v  # noqa: E731
    return choose(x[0]), functools.partial(helper)(x[1])


def inner_function(x, n):
    scale = 2.0
    for _ in range(2):
        scale = scale * 3

    def apply(v):
        if jf.sum(v) > 0:
            return v * scale
        return v

    return apply(x), jf.map(lambda v: v if v > 1.5 else -v, x)


def unused_in_one_branch(x, n):
    if x[0] > 0:
        only = x * 5
        y = only + 1
    else:
        other = x
        y = other
    return y


def temporaries_of_different_types(x, n):
    if x[0] > 0:
        t = jf.sum(x)
        y = x + t
    else:
        t = x[:2]
        y = x * t[0]
    return y


def structures(x, n):
    state = {"a": x, "b": (x[0], None)}
    for i in range(n):
        state = {"a": state["a"] + i, "b": (state["b"][0] * 2, None)}
    return state


def with_and_try(x, n):
    try:
        with jf.name_scope("s"):
            if x[0] > 0:
                return x + 1
            x = x * 2
    finally:
        x = x + 0
    return x


def handlers(x, n):
    y = x
    if x[0] > 0:
        try:
            y = y + 1
            raise KeyError("k")
        except KeyError as e:
            y = y * len(e.args)
    return y


def walrus_and_delete(x, n):
    if (s := jf.sum(x)) > 0:
        y = s
    else:
        y = -s
    del s
    return y


def augmented(x, n):
    items = [x]
    y = x
    if x[0] > 0:
        y += 1
        y *= y
    items += [y]
    return items


def keyword_arguments(x, n):
    def inner(a, /, b=2.0, *rest, c, **more):
        if a[0] > 0:
            return a * b + c + more["d"]
        return a

    return inner(x, 3.0, c=1.0, d=2.0)


PROGRAMS = [
    *(if_else, if_without_else, elif_chain, early_returns, nested_ifs),
    *(conditional_expression, connectives, while_loop, while_counts, while_break),
    *(while_else, while_return, for_range, for_range_step, for_range_return),
    *(for_tensor, for_tensor_continue, for_tensor_break, for_python, nested_loops),
    *(calls_helper, calls_lambda, inner_function, unused_in_one_branch),
    *(temporaries_of_different_types, structures, with_and_try, handlers),
    *(walrus_and_delete, augmented, keyword_arguments),
]


def as_arrays(value: Any) -> Any:
    """Numbers and tensors as arrays: a counted number comes back as a tensor."""
    leaves, structure = flatten(value)
    numbers = (jf.Tensor, int, float)
    return [np.asarray(v) if isinstance(v, numbers) else v for v in leaves], structure


def assert_equal(actual: Any, expected: Any) -> None:
    found, structure = as_arrays(actual)
    wanted, other = as_arrays(expected)
    assert structure == other
    for a, e in zip(found, wanted, strict=True):
        if not isinstance(e, np.ndarray):
            assert a is e
            continue
        assert a.shape == e.shape
        assert a.dtype.kind == e.dtype.kind
        np.testing.assert_allclose(a, e, rtol=1e-6)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_converted_is_eager(program: Callable[..., Any]) -> None:
    compiled = jf.function(program)
    for x in (X, -X, X * 0.1, X * 30):
        assert_equal(compiled(x, N), program(x, N))
    assert len(compiled.traces) == 1


@pytest.mark.parametrize(
    "program",
    [
        *(if_else, elif_chain, nested_ifs, conditional_expression, for_tensor),
        *(for_tensor_continue, for_tensor_break, for_python, inner_function),
    ],
    ids=lambda p: p.__name__,
)
def test_gradients(program: Callable[..., Any]) -> None:
    def loss(x):
        leaves = flatten(program(x, N))[0]
        return sum(jf.sum(jf.sin(v)) for v in leaves)

    direction = np.array([0.3, -0.5, 0.7])
    eps = 1e-6
    up, down = (float(loss(X + s * eps * direction)) for s in (1, -1))
    for gradient in (jf.function(jf.grad(loss))(X), jf.grad(jf.function(loss))(X)):
        found = float(np.sum(gradient.numpy() * direction))
        assert found == pytest.approx((up - down) / (2 * eps), rel=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.0, 5e-324])
@pytest.mark.parametrize("program", [if_else, connectives, for_tensor_continue])
def test_nasty_values(program: Callable[..., Any], value: float) -> None:
    x = tensor([value, 1.0, value])
    assert_equal(jf.function(program)(x, N), program(x, N))


# -- functions, methods, objects -------------------------------------------------------


class Base:
    def scaled(self, x):
        if jf.sum(x) > 0:
            return x * 2
        return x


class Model(Base):
    def __init__(self) -> None:
        self.w = jf.Variable(tensor(3.0))
        self.__steps = 2

    def scaled(self, x):
        for _ in range(self.__steps):
            if x[0] > 0:
                x = super().scaled(x) + self.w
        return x

    @property
    def twice(self):
        return self.w * 2

    def __call__(self, x):
        return self.scaled(x) if x[1] > 0 else self.twice * x

    @jf.function
    def compiled(self, x):
        if x[0] > 0:
            self.w.assign_add(1.0)
        return self(x)


def test_methods_super_private_names_and_callable_objects() -> None:
    model, reference = Model(), Model()
    for x in (X, -X):
        assert_equal(jf.function(model)(x), reference(x))
        assert_equal(jf.function(model.scaled)(x), reference.scaled(x))


def test_variables_are_assigned_under_conditions() -> None:
    model = Model()
    model.compiled(-X)
    assert float(model.w) == 3
    model.compiled(X)
    assert float(model.w) == 4


def decorator(function):
    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        return function(*args, **kwargs) + 1

    return wrapped


@decorator
def decorated(x, *, limit=0.0):
    if x[0] > limit:
        return x
    return -x


def test_decorators_defaults_and_keywords() -> None:
    for x in (X, -X):
        assert_equal(jf.function(decorated)(x), decorated(x))
        assert_equal(
            jf.function(lambda x: decorated(x, limit=2.0))(x), decorated(x, limit=2.0)
        )


def test_closures_are_shared_and_guarded() -> None:
    factor = 2.0

    @jf.function
    def f(x):
        if x[0] > 0:
            return x * factor
        return x

    assert_equal(f(X), X * 2.0)
    factor = 5.0
    assert_equal(f(X), X * 5.0)


def test_python_values_decide_as_in_python() -> None:
    seen = []

    @jf.function(purity="off")
    def f(x, mode, items):
        if mode == "double" and items:
            seen.append(mode)
            x = x * 2
        elif not items:
            return None
        while len(items) > 1:
            items = items[1:]
            x = x + 1
        return x

    assert_equal(f(X, "double", (1, 2, 3)), X * 2 + 2)
    assert f(X, "other", ()) is None
    assert seen == ["double"]


def test_autograph_can_be_switched_off() -> None:
    with pytest.raises(jf.errors.TracerError, match=r"jf\.cond"):
        jf.function(if_else, autograph=False)(X, N)


def test_do_not_convert() -> None:
    @jf.autograph.do_not_convert
    def plain(x):
        return x if x[0] > 0 else -x

    with pytest.raises(jf.errors.TracerError, match=r"jf\.cond"):
        jf.function(lambda x: plain(x))(X)


def test_a_function_without_source_names_the_functions_to_use() -> None:
    scope: dict[str, Any] = {"jf": jf}
    exec("def f(x):\n    if x[0] > 0:\n        return x\n    return -x\n", scope)
    with pytest.raises(jf.errors.TracerError, match=r"jf\.cond"):
        jf.function(scope["f"])(X)
    with pytest.raises(jf.errors.ArgumentError, match="not converted"):
        jf.autograph.to_code(scope["f"])


# -- assertions ------------------------------------------------------------------------


def test_assertions_are_checked_after_each_run() -> None:
    @jf.function
    def f(x):
        assert jf.sum(x) < 100, "too large"
        for row in x:
            assert row > 0
        return x * 2

    assert_equal(f(X), X * 2)
    with pytest.raises(AssertionError, match=r"too large: test_autograph\.py:\d+"):
        f(X * 100)
    with pytest.raises(AssertionError, match=r"assert row > 0"):
        f(-X)
    assert_equal(f(X), X * 2)


def test_plain_assertions_are_pythons() -> None:
    @jf.function
    def f(x, n):
        assert n > 2, "small"
        return x

    with pytest.raises(AssertionError, match=r"^small$"):
        f(X, 1)


def test_raise_under_a_traced_condition_happens_after_the_run() -> None:
    @jf.function
    def f(x, mode):
        if mode == "bad":
            raise KeyError(mode)
        if x[0] < 0:
            if mode == "worse":
                raise KeyError(mode)
            raise ValueError("negative")
        return x * 2

    assert_equal(f(X, "good"), X * 2)
    with pytest.raises(ValueError, match="negative"):
        f(-X, "good")
    for mode in ("bad", "worse"):
        with pytest.raises(KeyError, match=mode):
            f(X, mode)


# -- errors ----------------------------------------------------------------------------


def test_a_name_without_a_value_fails_where_it_is_used() -> None:
    @jf.function
    def f(x):
        if x[0] > 0:
            y = x
        return y

    with pytest.raises(UnboundLocalError, match="'y' has no value here: a branch of"):
        f(X)


def test_a_name_of_two_types_fails_where_it_is_used() -> None:
    @jf.function
    def f(x):
        if x[0] > 0:
            y = x
        else:
            y = x[0]
        return y + 1

    with pytest.raises(UnboundLocalError, match=r"float64\[\] or float64\[3\]"):
        f(X)


def test_unbound_locals_stay_unbound() -> None:
    @jf.function
    def f(x, n):
        if n > 5:
            y = x
        return y

    with pytest.raises(UnboundLocalError, match="'y'"):
        f(X, 1)


def test_returns_of_different_types() -> None:
    def f(x):
        if x[0] > 0:
            return x
        return x[0]

    with pytest.raises(ControlFlowError, match="the function returns") as caught:
        jf.function(f)(X)
    assert "test_autograph.py" in str(caught.value)


def test_a_loop_variable_that_changes_its_shape() -> None:
    @jf.function
    def f(x, n):
        y = x
        for _ in range(n):
            y = jf.concat([y, x])
        return y

    with pytest.raises(ControlFlowError, match="the loop variable y starts as"):
        f(X, N)


def test_a_name_that_only_a_loop_assigns() -> None:
    @jf.function
    def f(x, n):
        for i in range(n):
            last = x * i
        return last

    with pytest.raises(UnboundLocalError, match="may run zero times"):
        f(X, N)


def test_errors_keep_the_users_line() -> None:
    @jf.function
    def f(x):
        if x[0] > 0:
            return x @ jf.ones((7, 7))
        return x

    with pytest.raises(jf.errors.JitFlowError) as caught:
        f(X)
    assert "x @ jf.ones((7, 7))" in str(caught.value)


# -- inspection ------------------------------------------------------------------------


def test_control_flow_lists_what_became_of_each() -> None:
    @jf.function
    def f(x, n):
        if x[0] > 0:
            x = x * 2
        for _ in range(3):
            x = x + 1
        while jf.sum(x) < 10:
            x = x * 2
        for row in x:
            n = n + row
        if len(x.shape) == 1:
            n = n + 1
        return x, n

    with pytest.raises(jf.errors.ArgumentError, match="not been traced"):
        f.control_flow()
    f(X, 0.0)
    lines = f.control_flow().splitlines()
    assert [line.partition("  ")[2] for line in lines] == [
        "if x[0] > 0  -> cond (converted)",
        "for _ in range(3)  -> Python (3 iterations unrolled)",
        "while jf.sum(x) < 10  -> while (converted)",
        "for row in x  -> scan (converted)",
        "if len(x.shape) == 1  -> Python (first branch)",
    ]
    assert all(line.startswith("test_autograph.py:") for line in lines)


def test_to_code_shows_python() -> None:
    text = jf.autograph.to_code(jf.function(if_else))
    assert "ag__.if_(" in text
    compile(text, "converted", "exec")


def test_code_without_control_flow_or_calls_is_left_alone() -> None:
    def plain(x):
        return x * 2 + 1

    assert jf.autograph.convert(plain) is plain
    assert jf.autograph.convert(jf.sum) is jf.sum
