"""Looking inside: trace, lower, compile, texts of stages, specs, dumps, benchmark."""

from __future__ import annotations

import numpy as np
import pytest

import jitflow as jf
from jitflow.errors import ArgumentError
from jitflow.testing import GradientMismatch, check_gradients, count_compiles


def model(x, w):
    return jf.sum(jf.tanh(x @ w), axis=0)


X = jf.asarray(np.linspace(-1, 2, 12, dtype=np.float32).reshape(4, 3))
W = jf.asarray(np.ones((3, 2), np.float32))


def test_trace_lower_compile() -> None:
    f = jf.function(model)
    with count_compiles() as count:
        traced = f.trace(X, W)
        lowered = f.lower(X, W)
        compiled = f.compile(X, W)
    assert count.total == 1
    assert "dot_general" in traced.ir()
    assert traced.graph is lowered.graph
    assert "%p0" in traced.ir(fmt="canonical")
    assert "graph" in lowered.ir()
    assert lowered.report()
    np.testing.assert_allclose(compiled(X, W).numpy(), model(X, W).numpy(), rtol=1e-5)
    assert compiled.cost()["kernels"] >= 1
    for text in (compiled.kernels(), compiled.buffers(), compiled.steps()):
        assert text.strip()
    assert compiled.cost() == traced.lower().compile().cost()


@pytest.mark.parametrize(
    "stage",
    ["traced", "optimized", "fused", "loops", "kernels", "llvm", "buffers", "steps"],
)
def test_every_stage_has_text(stage: str) -> None:
    f = jf.function(model)
    f(X, W)
    assert f.ir(stage).strip()


def test_errors_of_ir() -> None:
    f = jf.function(model)
    with pytest.raises(ArgumentError, match="not been traced"):
        f.ir()
    f(X, W)
    with pytest.raises(ArgumentError, match="stage"):
        f.ir("bytecode")
    with pytest.raises(ArgumentError, match="fmt"):
        f.ir(fmt="html")
    g = jf.function(model, jit_compile=False)
    g(X, W)
    with pytest.raises(ArgumentError, match="interpreter"):
        g.ir("llvm")


def test_concrete_functions_and_specs() -> None:
    f = jf.function(model)
    concrete = f.get_concrete_function(
        jf.TensorSpec([None, 3], name="data"), jf.TensorSpec([3, 2])
    )
    assert "%data: f32[B,3]" in f.ir()
    np.testing.assert_allclose(concrete(X, W).numpy(), model(X, W).numpy(), rtol=1e-5)
    with count_compiles() as count:
        for n in (1, 2, 4):
            x = jf.asarray(np.ones((n, 3), np.float32))
            np.testing.assert_allclose(f(x, W).numpy(), model(x, W).numpy(), rtol=1e-5)
    assert count.total == 0


def test_input_signature() -> None:
    spec = [jf.TensorSpec(["B", 3]), jf.TensorSpec([3, None])]
    f = jf.function(model, input_signature=spec)
    for n in (4, 5, 6):
        x = np.ones((n, 3), np.float32)
        np.testing.assert_allclose(f(x, W).numpy(), [n * np.tanh(3)] * 2, rtol=1e-5)
    assert len(f.traces) == 1
    assert f.signatures()[0][0] == ("x", "f32[B,3]")
    with pytest.raises(ArgumentError, match="input_signature"):
        f(np.ones((4, 3)), W)
    with pytest.raises(ArgumentError, match="input_signature"):
        f(np.ones((4, 2), np.float32), W)
    g = jf.function(lambda x: x * 2, input_signature=[jf.TensorSpec([], "float32")])
    assert g(3).dtype == "float32"
    assert float(g(4.5)) == 9.0
    assert len(g.traces) == 1


def test_captures_table() -> None:
    w = jf.Variable(np.ones(3, np.float32), name="w")
    table = jf.asarray(np.ones((2, 3), np.float32))

    @jf.function
    def f(x):
        w.assign_add(x)
        return jf.sum(table * w)

    f(jf.asarray(np.ones(3, np.float32)))
    text = f.captures()
    assert "2 captured arrays" in text
    assert "f32[3]  12 bytes  variable 'w', updated" in text
    assert "f32[2,3]  24 bytes  tensor" in text


def test_dump_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("JITFLOW_DUMP_TO", str(tmp_path))
    f = jf.function(model, name="dumped")
    f(X, W)
    (folder,) = tmp_path.iterdir()
    names = [p.name for p in folder.iterdir()]
    assert folder.name.startswith("dumped")
    assert any("traced" in n for n in names)
    assert any("llvm" in n for n in names)


def test_benchmark() -> None:
    report = jf.benchmark(model, X, W, seconds=0.05, show=False)
    text = str(report)
    assert "eager" in text
    assert "compiled" in text
    assert report["compiled"].stages["trace"] > 0
    assert len(report["eager"].samples) >= 5
    numpy_too = jf.benchmark(
        lambda x: x * 2 + 1, X, compare=("numpy", "compiled"), seconds=0.02, show=False
    )
    assert numpy_too["numpy"].steady > 0
    with pytest.raises(ArgumentError, match="compare"):
        jf.benchmark(model, X, W, compare=("torch",))


def test_benchmark_refuses_results_that_differ() -> None:
    calls = []

    def f(x):
        calls.append(1)
        return x * float(len(calls))

    with pytest.raises(ArgumentError, match="differs"), pytest.warns():
        jf.benchmark(f, X, show=False)


def test_check_gradients_finds_a_wrong_rule() -> None:
    @jf.custom_gradient
    def wrong(x):
        return x * x, lambda g: g * 3.0

    with pytest.raises(GradientMismatch, match="argument 0"):
        check_gradients(wrong, [np.array([2.0])])
    check_gradients(lambda x: x * x, [np.array([2.0])])
