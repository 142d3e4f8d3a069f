"""Captured Python state is guarded, side effects are reported, retraces explained."""

from __future__ import annotations

import enum
import gc
import warnings

import numpy as np
import pytest

import jitflow as jf
from jitflow.function.bytecode import scan
from jitflow.function.snapshot import Snapshot, same_scalar
from jitflow.testing import assert_no_retrace, count_compiles

TEMPERATURE = 1.0
CONFIG = {"scale": 2.0}
LOSSES: list = []
COUNT = 0
TABLE = None
X = jf.asarray(np.array([1.0, 2.0], np.float32))


class Mode(enum.Enum):
    TRAIN = 1
    TEST = 2


def value_of(result) -> list:
    return np.asarray(result).tolist()


def helper(x):
    return x * TEMPERATURE


def test_a_changed_global_traces_again_and_says_so(monkeypatch) -> None:
    @jf.function
    def f(x):
        return x * TEMPERATURE

    assert value_of(f(X)) == [1, 2]
    monkeypatch.setitem(globals(), "TEMPERATURE", 0.5)
    assert value_of(f(X)) == [0.5, 1]
    reason = f.traces[1].reason
    assert reason.startswith("captured global 'TEMPERATURE' changed 1.0 -> 0.5")
    assert "test_guards.py" in reason
    monkeypatch.setitem(globals(), "TEMPERATURE", 1.0)
    with assert_no_retrace():
        assert value_of(f(X)) == [1, 2]


def test_an_equal_value_is_no_change(monkeypatch) -> None:
    @jf.function
    def f(x):
        return x * TEMPERATURE

    f(X)
    monkeypatch.setitem(globals(), "TEMPERATURE", float("1.0"))
    with assert_no_retrace():
        f(X)
        f(X)
    monkeypatch.setitem(globals(), "TEMPERATURE", 1)
    with count_compiles() as count:
        f(X)
    assert count.total == 1


def test_globals_of_called_functions_are_guarded(monkeypatch) -> None:
    f = jf.function(lambda x: helper(x) + 1.0)
    assert value_of(f(X)) == [2, 3]
    monkeypatch.setitem(globals(), "TEMPERATURE", 3.0)
    assert value_of(f(X)) == [4, 7]
    monkeypatch.setitem(globals(), "helper", lambda x: x)
    assert value_of(f(X)) == [2, 3]
    assert "'helper'" in f.traces[-1].reason


def test_closures_are_guarded() -> None:
    rate = 2.0

    @jf.function
    def f(x):
        return x * rate

    assert value_of(f(X)) == [2, 4]
    rate = 3.0
    assert value_of(f(X)) == [3, 6]
    assert "closure variable 'rate' changed 2.0 -> 3.0" in f.traces[1].reason


def test_attributes_are_guarded() -> None:
    class Inner:
        rate = 2.0

    class Layer:
        def __init__(self):
            self.inner = Inner()
            self.mode = Mode.TRAIN
            self.sizes = [1.0, 2.0]

        @property
        def offset(self):
            return self.shift

        def call(self, x):
            y = x * self.inner.rate
            if self.mode is Mode.TRAIN:
                y = y + 1.0
            return y + self.sizes[-1] + self.offset

    layer = Layer()
    layer.shift = 0.0
    f = jf.function(lambda x: layer.call(x))
    assert value_of(f(X)) == [5, 7]
    changes = [
        lambda: setattr(layer.inner, "rate", 3.0),
        lambda: setattr(layer, "mode", Mode.TEST),
        lambda: layer.sizes.append(5.0),
        lambda: setattr(layer, "shift", 10.0),
        lambda: setattr(layer, "inner", Inner()),
    ]
    expected = [[6, 9], [5, 8], [8, 11], [18, 21], [17, 19]]
    for change, want in zip(changes, expected, strict=True):
        change()
        assert value_of(f(X)) == want
        with assert_no_retrace():
            assert value_of(f(X)) == want


def test_loop_variables_are_followed() -> None:
    class Block:
        def __init__(self, k):
            self.k = k

    blocks = [Block(2.0), Block(3.0)]

    @jf.function
    def f(x):
        for block in blocks:
            x = x * 1.0
            x = x * block.k
        return x

    assert value_of(f(X)) == [6, 12]
    blocks[1].k = 5.0
    assert value_of(f(X)) == [10, 20]
    blocks.append(Block(10.0))
    assert value_of(f(X)) == [100, 200]


def test_containers_are_guarded(monkeypatch) -> None:
    @jf.function
    def f(x):
        return x * CONFIG["scale"]

    assert value_of(f(X)) == [2, 4]
    monkeypatch.setitem(CONFIG, "scale", 5.0)
    assert value_of(f(X)) == [5, 10]


def test_captured_tensors_and_arrays(monkeypatch) -> None:
    table = np.array([1.0, 2.0], np.float32)
    monkeypatch.setitem(globals(), "TABLE", table)

    @jf.function
    def f(x):
        return x + TABLE

    assert value_of(f(X)) == [2, 4]
    table[0] = 10.0
    assert value_of(f(X)) == [11, 4]
    monkeypatch.setitem(globals(), "TABLE", jf.asarray(table * 2))
    assert value_of(f(X)) == [21, 6]


def test_an_object_that_died_is_not_confused_with_a_new_one() -> None:
    class Scale:
        def __init__(self, k):
            self.k = k

    @jf.function
    def f(scale, x):
        return x * scale.k

    for k in range(20):
        assert value_of(f(Scale(float(k)), X)) == [k, 2 * k]
        gc.collect()
    assert len(f.traces) <= 1


# --------------------------------------------------------------------- side effects


def test_append_is_reported_with_its_line() -> None:
    @jf.function
    def f(x):
        LOSSES.append(1)
        return x

    with pytest.warns(
        jf.SideEffectWarning,
        match=r"LOSSES\.append\(1\) at test_guards\.py:\d+ runs once",
    ):
        f(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f(X)
    assert "side effect" in f.why()


def test_counters_are_reported() -> None:
    class Model:
        steps = 0
        seen: dict

        def __init__(self):
            self.total = 0
            self.seen = {"n": 1}

        @jf.function
        def step(self, x):
            self.total += 1
            return x

        @jf.function
        def note(self, x):
            self.seen["n"] = 2
            return x

    model = Model()
    with pytest.warns(jf.SideEffectWarning, match=r"self\.total \+= 1"):
        model.step(X)
    with pytest.warns(jf.SideEffectWarning, match=r"self\.seen\['n'\]|seen\[.n.\] = 2"):
        model.note(X)


def test_global_statement_is_reported() -> None:
    @jf.function(purity="error")
    def f(x):
        global COUNT
        COUNT += 1
        return x

    with pytest.raises(jf.SideEffectError, match="COUNT"):
        f(X)


def test_a_kept_tensor_is_reported() -> None:
    class Keeper:
        last = None

    keeper = Keeper()

    @jf.function
    def f(x):
        keeper.last = x * 2.0
        return x

    with pytest.warns(jf.SideEffectWarning, match=r"keeper\.last = x \* 2\.0"):
        f(X)


def test_pure_and_lazily_built_code_is_quiet() -> None:
    class Layer:
        w = None
        built = False

        def __init__(self):
            self.parts: list = []

        def call(self, x):
            if not self.built:
                self.w = jf.Variable(np.ones(2, np.float32))
                self.parts.append(self.w)
                self.built = True
            local = []
            local.append(x)
            return local[0] * self.w

    layer = Layer()
    f = jf.function(lambda x: layer.call(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f(X)
        with assert_no_retrace():
            f(X)
    assert len(f.traces) == 1


def test_purity_off() -> None:
    @jf.function(purity="off")
    def f(x):
        LOSSES.append(1)
        return x

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f(X)


# ------------------------------------------------------------- retraces and reasons


def test_sizes_become_symbols() -> None:
    f = jf.function(lambda x, y: jf.sum(x * y, axis=0))
    with count_compiles() as count:
        for n in (4, 7, 9, 1, 30):
            a = np.arange(3.0 * n).reshape(n, 3)
            np.testing.assert_allclose(f(a, a).numpy(), (a * a).sum(0))
    assert count.total == 2
    assert f.traces[1].signature[0] == ("x", "f64[B,3]")
    assert "dim 0: 4 -> 7" in f.traces[1].reason
    assert "open" in f.why()


def test_sizes_that_move_apart_get_symbols_of_their_own() -> None:
    f = jf.function(lambda x, y: (x * 2.0, y * 3.0))
    for n, m in ((2, 2), (3, 3), (4, 5), (6, 7), (8, 8)):
        a, b = f(np.ones(n), np.ones(m))
        assert a.shape == (n,)
        assert b.shape == (m,)
    assert len(f.traces) == 3


def test_a_function_that_needs_its_sizes_stays_static() -> None:
    @jf.function
    def f(x):
        for _ in range(x.shape[0]):
            x = x + 1.0
        return x

    for n in (2, 3, 2, 4):
        assert value_of(f(np.zeros(n))) == [n] * n
    assert len(f.traces) == 3
    assert "sizes stay fixed" in f.why()


def test_numbers_are_passed_at_run_time_from_the_second_value_on() -> None:
    @jf.function
    def f(x, lr):
        return x * lr + (1 - lr) / 3

    for lr in (0.1, 0.2, 0.3, 1e-9):
        want = X.numpy() * np.float32(lr) + np.float32((1 - lr) / 3)
        got = f(X, lr)
        assert got.dtype == "float32"
        np.testing.assert_array_equal(got.numpy(), want)
    assert len(f.traces) == 2
    assert "lr" in f.traces[1].reason
    for n in (2, 3, 4):
        assert f(jf.asarray([1, 2]), n).dtype == jf.asarray([1, 2]).dtype or n


def test_numbers_that_python_needs_stay_static() -> None:
    @jf.function
    def f(x, n, negate=0.0):
        if negate:
            x = -x
        return jf.tile(x, (n,)) * negate

    for n in (1, 2, 3):
        assert f(X, n, 1.0).shape == (2 * n,)
    assert value_of(f(X, 1, 0.0)) == [0, 0]
    assert value_of(f(X, 1, 2.0)) == [-2, -4]
    assert "stays static" in f.why()


def test_reasons_name_dtype_rank_and_objects() -> None:
    f = jf.function(lambda x, mode=None: x)
    f(np.ones(2, np.float32))
    f(np.ones(2, np.float64))
    assert "f32[2] -> f64[2]" in f.traces[-1].reason
    f(np.ones((2, 2), np.float32))
    assert "f32[2]" in f.traces[-1].reason
    assert "rank" in f.traces[-1].fix
    f(np.ones(2, np.float32), mode="a")
    assert "mode" in f.traces[-1].reason


def test_on_retrace() -> None:
    f = jf.function(lambda x: x, on_retrace="error")
    f(np.ones(2))
    with pytest.raises(jf.RetraceError, match="dim 0: 2 -> 3"):
        f(np.ones(3))
    g = jf.function(lambda x: x, on_retrace="warn")
    g(np.ones(2))
    with pytest.warns(jf.RetraceWarning, match="traced again"):
        g(np.ones(3))
    h = jf.function(lambda x: x)
    with jf.no_retrace():
        h(np.ones(2))
        with pytest.raises(jf.RetraceError):
            h(np.ones((2, 2)))


def test_max_traces_drops_the_least_used() -> None:
    f = jf.function(lambda x, mode: x, max_traces=2)
    for mode in ("a", "b", "b", "c"):
        f(X, mode)
    assert [dict(s)["mode"] for s in f.signatures()] == ["'b'", "'c'"]
    info = f.cache_info()
    assert (info.hits, info.misses, info.maxsize, info.currsize) == (1, 3, 2, 2)


def test_hits_are_counted() -> None:
    f = jf.function(lambda x: x)
    for _ in range(5):
        f(X)
    assert f.traces[0].hits == 4
    f.cache_clear()
    assert f.traces == []
    assert "not traced" in f.why()


# ------------------------------------------------------------------------ mechanism


def test_scan_finds_chains() -> None:
    def f(self, x):
        self.a.b.append(x)
        self.c += 1
        return TEMPERATURE

    found = {(c.text, c.stores) for c in scan(f.__code__).chains}
    assert ("self.a.b.append", "") in found
    assert ("self", "c") in found
    assert ("TEMPERATURE", "") in found


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (1, 1.0, False),
        (1, True, False),
        (0.0, -0.0, False),
        (float("nan"), float("nan"), True),
        ((1, "a"), (1, "a"), True),
        ((1, 2), (1, 2.0), False),
        ("x", "x", True),
    ],
)
def test_same_scalar(a, b, equal: bool) -> None:
    assert same_scalar(a, b) is equal


def test_snapshots_of_containers() -> None:
    items = [1, object()]
    before = Snapshot(items)
    assert before.matches(items)
    items[1] = object()
    assert not before.matches(items)
    numbers = {"a": 1}
    seen = Snapshot(numbers)
    numbers["a"] = 2
    assert not seen.matches(numbers)
