"""The driver: every stage has text, failures leave a report, threads may share."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import compiler.ops  # noqa: F401
from compiler import driver
from compiler.errors import CompilerError, ExecutionError, InternalError
from compiler.ir.builder import GraphBuilder
from compiler.ir.dims import symbol
from compiler.ir.parser import parse_graph
from compiler.ir.types import TensorType, c64, f32
from compiler.kernels.cache import count_compiles
from compiler.options import Options
from compiler.stages import STAGES

B = symbol("B")


def dense(rows=B):
    b = GraphBuilder("dense")
    x = b.parameter(TensorType(f32, (rows, 20)), "x")
    w = b.parameter(TensorType(f32, (20, 30)), "w")
    h = b.dot_general(x, w, contract=((1,), (0,)), batch=((), ()))
    h = b.maximum(b.multiply(h, b.ones_like(h)), b.zeros_like(h))
    return b.build([h, b.reduce_sum(h, axes=(0,))])


def arrays(rows, rng):
    x = rng.normal(size=(rows, 20)).astype(np.float32)
    return [x, rng.normal(size=(20, 30)).astype(np.float32)]


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_text(stage, rng):
    executable = driver.compile_graph(dense(), Options())
    before = executable.text(stage)
    executable(arrays(5, rng))
    assert before.strip()
    assert executable.text(stage).strip()


def test_an_unknown_stage_lists_the_known_ones():
    with pytest.raises(CompilerError, match=r"unknown stage 'ptx'[\s\S]*optimized"):
        driver.compile_graph(dense(), Options()).text("ptx")


def test_dumps_need_no_change_to_the_code(tmp_path, monkeypatch, rng):
    monkeypatch.setenv("JITFLOW_DUMP_TO", str(tmp_path))
    driver.compile_graph(dense())
    (folder,) = tmp_path.iterdir()
    names = "\n".join(sorted(str(p.relative_to(folder)) for p in folder.rglob("*.*")))
    for stage in ("traced", "optimized", "fused", "kernels", "buffers", "passes/"):
        assert stage in names
    traced = next(folder.glob("*traced.ir")).read_text()
    assert parse_graph(traced).name == "dense"


def test_other_sizes_compile_nothing(rng):
    executable = driver.compile_graph(dense(), Options())
    executable(arrays(64, rng))
    with count_compiles() as counted:
        for rows in (17, 1, 0, 300):
            x, w = arrays(rows, rng)
            h, total = executable([x, w])
            np.testing.assert_allclose(h, np.maximum(x @ w, 0), rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(total, h.sum(0), rtol=1e-4, atol=1e-4)
    assert counted.compiled == 0


def test_a_static_graph_has_the_kernels_of_the_symbolic_one(rng):
    driver.compile_graph(dense(), Options())
    with count_compiles() as counted:
        driver.compile_graph(dense(48), Options())
    assert counted.compiled == 0


def test_wrong_arguments_name_the_parameter(rng):
    executable = driver.compile_graph(dense(), Options())
    x, w = arrays(4, rng)
    with pytest.raises(ExecutionError, match="parameter %w of dense"):
        executable([x, w.T])
    with pytest.raises(ExecutionError, match=r"%x.*float64"):
        executable([x.astype(np.float64), w])
    with pytest.raises(ExecutionError, match="takes 2 arrays"):
        executable([x])


def test_a_defect_of_the_compiler_leaves_a_report(tmp_path, monkeypatch):
    monkeypatch.setenv("JITFLOW_CRASH_DIR", str(tmp_path))

    def broken(fused, options):
        raise RuntimeError("boom")

    monkeypatch.setattr(driver, "schedule", broken)
    with pytest.raises(InternalError, match="compiling dense failed: boom"):
        driver.compile_graph(dense(), Options())
    (folder,) = tmp_path.iterdir()
    assert {p.name for p in folder.iterdir()} == {
        "graph.ir",
        "options.txt",
        "traceback.txt",
    }
    assert parse_graph((folder / "graph.ir").read_text()).name == "dense"


def test_complex_graphs_run_on_the_host(rng):
    b = GraphBuilder()
    x = b.parameter(TensorType(c64, (3, 4)))
    executable = driver.compile_graph(b.build([b.multiply(b.exponential(x), x)]))
    z = (rng.normal(size=(3, 4)) + 1j * rng.normal(size=(3, 4))).astype(np.complex64)
    np.testing.assert_allclose(executable([z])[0], np.exp(z) * z, rtol=1e-5)
    assert executable.counts["host"] == 2


def test_several_threads_call_one_executable(rng):
    executable = driver.compile_graph(dense(), Options())
    problems = []

    def work(seed):
        own = np.random.default_rng(seed)
        for rows in own.integers(0, 200, 40):
            x, w = arrays(int(rows), own)
            h, total = executable([x, w])
            try:
                np.testing.assert_allclose(
                    h, np.maximum(x @ w, 0), rtol=1e-4, atol=1e-4
                )
                np.testing.assert_allclose(total, h.sum(0), rtol=1e-3, atol=1e-3)
            except AssertionError as error:
                problems.append(error)

    threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


def test_results_of_earlier_calls_are_never_overwritten(rng):
    executable = driver.compile_graph(dense(), Options())
    kept = []
    for _ in range(6):
        x, w = arrays(400, rng)
        kept.append((executable([x, w])[0], np.maximum(x @ w, 0)))
    for got, want in kept:
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_thread_counts_agree(threads, rng):
    executable = driver.compile_graph(dense(), Options(num_threads=threads))
    x, w = arrays(1000, rng)
    first, again = executable([x, w]), executable([x, w])
    np.testing.assert_allclose(first[1], np.maximum(x @ w, 0).sum(0), rtol=1e-4)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
