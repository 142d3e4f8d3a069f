"""The benchmark harness: checks before timing, interleaving, ratios, reports."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perf import compare, report, run
from perf.frameworks import FRAMEWORKS, dropped, environment, select
from perf.measure import Comparison, Measured, geometric_mean
from perf.processes import Worker, WorkerError
from perf.workload import Variant, flatten, mismatch
from perf.workloads import WORKLOADS, mlp
from perf.workloads.calls import EAGER_ADD

NUMPY = EAGER_ADD.variant("numpy")


def comparison(rounds: dict[str, list[float]], name: str = "work") -> Comparison:
    return Comparison(name, name, load=0.0, rounds=rounds)


def quiet(_: str) -> None:
    pass


class TestMismatch:
    def test_equal_results_agree(self) -> None:
        a = np.arange(6.0).reshape(2, 3)
        assert mismatch([a.astype(np.float32)], [a], 1e-6) == ""

    @pytest.mark.parametrize("wrong", [np.nan, np.inf, 1.01])
    def test_one_wrong_element_is_found(self, wrong: float) -> None:
        want = np.ones(1000)
        got = want.copy()
        got[567] = wrong
        assert "result 0 is off" in mismatch([got], [want], 1e-3)

    def test_rounding_beside_large_elements_is_no_mismatch(self) -> None:
        assert mismatch([np.array([1e-7, 1.0])], [np.array([0.0, 1.0])], 1e-6) == ""

    def test_shapes_and_counts(self) -> None:
        a = np.ones(3)
        assert "shape (3,), expected (3, 1)" in mismatch([a], [a[:, None]], 1e-6)
        assert "2 results, expected 1" in mismatch([a, a], [a], 1e-6)

    def test_empty_arrays_agree(self) -> None:
        assert mismatch([np.ones(0)], [np.ones(0)], 1e-6) == ""


def test_flatten_takes_nested_results_and_scalars() -> None:
    arrays = flatten((np.ones(2), [1.5, (np.float32(2),)]))
    assert [a.tolist() for a in arrays] == [[1.0, 1.0], 1.5, 2.0]


def test_reference_losses_of_the_classifier_fall() -> None:
    losses = [float(loss) for loss in mlp.losses(mlp.inputs())]
    assert len(losses) == mlp.CHECK_STEPS
    assert losses[-1] < losses[0] == pytest.approx(np.log(10), abs=0.2)


def test_gradients_of_the_reference_match_finite_differences() -> None:
    arrays = mlp.inputs()
    x, y = arrays["x"].astype(np.float64), arrays["y"]
    values = [p.astype(np.float64) for p in mlp.parameters(arrays)]
    _, gradients = mlp._gradients(values, x, y)
    for value, gradient in zip(values, gradients, strict=True):
        place = np.unravel_index(np.argmax(np.abs(gradient)), value.shape)
        found = []
        for sign in (1, -1):
            value[place] += sign * 1e-6
            found.append(mlp._gradients(values, x, y)[0])
            value[place] -= sign * 1e-6
        assert (found[0] - found[1]) / 2e-6 == pytest.approx(gradient[place], rel=1e-4)


class TestRatios:
    def test_rounds_are_paired(self) -> None:
        # The second round was disturbed; both saw it.
        found = comparison({"jitflow": [1.0, 10.0, 1.0], "jax": [2.0, 20.0, 3.0]})
        ratio = found.ratio()
        assert ratio is not None
        assert (ratio.peer, ratio.median, ratio.low, ratio.high) == ("jax", 2, 2, 3)
        assert ratio.certain

    def test_the_best_of_ours_meets_the_best_peer(self) -> None:
        rounds = {"jitflow": [2.0], "jitflow eager": [9.0], "jax": [3.0], "tf": [4.0]}
        ratio = comparison(rounds).ratio()
        assert ratio is not None and (ratio.peer, ratio.median) == ("jax", 1.5)

    @pytest.mark.parametrize("theirs", [[0.9, 1.2], [2.0]])
    def test_what_rounds_do_not_settle_is_marked(self, theirs: list[float]) -> None:
        ratio = comparison({"jitflow": [1.0] * len(theirs), "jax": theirs}).ratio()
        assert ratio is not None and not ratio.certain
        assert report.ratio_text(ratio).startswith("~")

    @pytest.mark.parametrize("rounds", [{}, {"jitflow": [1.0]}, {"jax": [1.0]}])
    def test_without_both_sides_there_is_no_ratio(
        self, rounds: dict[str, list[float]]
    ) -> None:
        assert comparison(rounds).ratio() is None

    def test_geometric_mean_takes_work_only(self) -> None:
        double = comparison({"jitflow": [1.0], "jax": [2.0]})
        eightfold = comparison({"jitflow": [1.0], "jax": [8.0]})
        imports = replace(eightfold, work=False)
        assert geometric_mean([double, eightfold, imports]) == pytest.approx(4.0)
        assert geometric_mean([imports]) is None

    def test_summary_is_median_and_absolute_deviation(self) -> None:
        assert Measured.of([1.0, 2.0, 9.0]) == Measured(2.0, 1.0)
        assert Measured.of([1.0]) == Measured(1.0, None)


class TestSelection:
    def test_names_and_families(self) -> None:
        names = [f.name for f in select(["torch", "keras"])]
        keras = ["keras-jax", "keras-tensorflow", "keras-torch"]
        assert names == ["jitflow", "torch", *keras]
        assert [f.name for f in select([])] == list(FRAMEWORKS)
        assert [f.name for f in select(["keras-jax"])] == ["jitflow", "keras-jax"]

    def test_unknown_names_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"unknown framework.*'jaxx'"):
            select(["jaxx"])
        with pytest.raises(SystemExit):
            run.main(["--only", "no_such_work"])

    def test_what_is_not_installed_is_skipped_with_a_message(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        absent = replace(FRAMEWORKS["numpy"], modules=("no_such_module",))
        monkeypatch.setitem(FRAMEWORKS, "numpy", absent)
        said: list[str] = []
        found = compare.variants_of(EAGER_ADD, [absent], said.append)
        assert found == []
        assert "numpy: skipped, no_such_module is not installed" in said[0]


class TestEnvironment:
    def test_settings_that_decide_are_left_out(self) -> None:
        base = {"OPENBLAS_CORETYPE": "X", "JITFLOW_EMITTER": "numba", "HOME": "/h"}
        found = environment(FRAMEWORKS["numpy"], Path("c"), base=base)
        assert found == {"HOME": "/h"}
        assert dropped(base) == ["JITFLOW_EMITTER", "OPENBLAS_CORETYPE"]

    def test_caches_are_placed(self) -> None:
        ours = environment(FRAMEWORKS["jitflow"], Path("c"), cache_on=False, base={})
        assert ours == {"JITFLOW_CACHE_DIR": "c"}
        jax = FRAMEWORKS["keras-jax"]
        on = environment(jax, Path("c"), base={})
        assert on["JAX_COMPILATION_CACHE_DIR"] == "c"
        off = environment(jax, Path("c"), cache_on=False, base={})
        assert off == {"KERAS_BACKEND": "jax"}


def test_every_workload_is_complete() -> None:
    names = [workload.name for workload in WORKLOADS]
    assert len(set(names)) == len(names)
    for workload in WORKLOADS:
        labels = [variant.label for variant in workload.variants]
        assert len(set(labels)) == len(labels)
        assert "jitflow" in labels
        assert all(variant.framework in FRAMEWORKS for variant in workload.variants)


def test_order_turns() -> None:
    orders = [compare.rotated(["a", "b", "c"], turn) for turn in range(4)]
    assert ["".join(order) for order in orders] == ["abc", "bca", "cab", "abc"]
    assert compare.rotated([], 3) == []


def worker(folder: Path, mode: str = "steady", variant: Variant = NUMPY) -> Worker:
    return Worker(EAGER_ADD, variant, mode, environment(FRAMEWORKS["numpy"], folder))


def reference() -> list[np.ndarray]:
    return EAGER_ADD.reference(EAGER_ADD.inputs())


def state(process: int) -> str:
    """The kernel's letter for what a process does: R, S or T for stopped."""
    text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    return text.rpartition(")")[2].split()[0]


class TestWorkers:
    def test_a_worker_answers_and_sleeps_between(self, tmp_path: Path) -> None:
        with worker(tmp_path) as numpy:
            facts = numpy.start(reference())
            assert set(facts) == {"import", "build", "first"}
            times = numpy.time(0.01)
            assert len(times) >= 3 and min(times) > 0
            if os.path.isdir("/proc/self"):
                stopped, status = os.waitpid(numpy._process.pid, os.WUNTRACED)
                assert stopped and os.WSTOPSIG(status) == signal.SIGSTOP
                assert state(numpy._process.pid) == "T"
        assert numpy._process.returncode is not None

    def test_wrong_results_are_refused(self, tmp_path: Path) -> None:
        wrong = [array + 1 for array in reference()]
        with (
            worker(tmp_path, "first") as numpy,
            pytest.raises(WorkerError, match="wrong results: result 0 is off by 1"),
        ):
            numpy.start(wrong)

    def test_a_failure_is_told_with_its_last_lines(self, tmp_path: Path) -> None:
        nothing = Variant("no such variant", "numpy", NUMPY.build)
        with (
            worker(tmp_path, variant=nothing) as failing,
            pytest.raises(WorkerError, match="no such variant"),
        ):
            failing.start(reference())


def test_a_variant_that_fails_is_left_out_and_others_go_on() -> None:
    broken = Variant("no such variant", "numpy", NUMPY.build)
    said: list[str] = []
    plan = compare.Plan(rounds=3, seconds=0.01, processes=2)
    found = compare.steady(EAGER_ADD, [broken, NUMPY], plan, said.append)
    assert list(found.rounds) == ["numpy"] and len(found.rounds["numpy"]) == 6
    assert len(said) == 1 and said[0].startswith("  no such variant: left out, ")


def test_first_calls_are_fresh_processes_and_eager_ones_left_out() -> None:
    eager = replace(NUMPY, compiles=False)
    cold, warm, imports = compare.first_calls(EAGER_ADD, [NUMPY], 2, quiet)
    assert [len(c.rounds["numpy"]) for c in (cold, warm, imports)] == [2, 2, 2]
    assert not imports.work
    nothing, _, _ = compare.first_calls(EAGER_ADD, [eager], 1, quiet)
    assert nothing.rounds == {}


def test_a_run_writes_its_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, page = tmp_path / "figures.json", tmp_path / "figures.md"
    options = [
        "--frameworks",
        "numpy",
        "--rounds",
        "2",
        "--seconds",
        "0.01",
        "--processes",
        "1",
    ]
    files = ["--json", str(figures), "--markdown", str(page)]
    assert run.main(["--only", "eager_add", *options, *files]) == 0
    printed = capsys.readouterr().out
    assert "numpy / jitflow: " in printed and "geometric mean" in printed
    written = json.loads(figures.read_text(encoding="utf-8"))
    (row,) = written["comparisons"]
    assert set(row["seconds"]) == {"jitflow", "numpy"}
    assert row["ratio"]["peer"] == "numpy"
    assert "| eager add of four elements | " in page.read_text(encoding="utf-8")


def test_durations_have_three_digits_and_a_unit() -> None:
    shown = [
        report.duration(s) for s in (12.4, 1.662e-3, 0.061, 999.6e-6, 3.4e-6, 4.1e-7)
    ]
    assert shown == ["12.4 s", "1.66 ms", "61.0 ms", "1.00 ms", "3.40 µs", "410 ns"]
