"""The command-line tools and the dumper, used as a person would."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from compiler.dump import Dumper, NullDumper, dumper_for
from compiler.errors import CompilerError
from compiler.ir import types as t
from compiler.ir.dims import symbol
from compiler.ir.parser import parse_graph
from compiler.ir.printer import print_graph
from compiler.ir.types import TensorType
from compiler.passes.pipeline import PIPELINE
from compiler.tools import opt, run

TEXT = """\
graph g(%x: f32[B,4], %n: i32[B,4]) -> (f32[B,4], f32[4], i32[B,4]) {
  %0 = negate(%x) : f32[B,4]       # m.py:1 layer
  %1 = negate(%0) : f32[B,4]
  %2 = multiply(%1, %x) : f32[B,4]
  %3 = multiply(%1, %x) : f32[B,4]
  %4 = sine(%x) : f32[B,4]
  %5 = add(%2, %3) : f32[B,4]
  %6 = reduce_sum(%5) {axes=[0]} : f32[4]
  %7 = add(%n, %n) : i32[B,4]
  return %5, %6, %7
}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "g.ir"
    path.write_text(TEXT)
    return str(path)


Capture = pytest.CaptureFixture[str]


def test_opt_prints_what_the_pipeline_gives(file: str, capsys: Capture) -> None:
    assert opt.main([file]) == 0
    graph = parse_graph(capsys.readouterr().out)
    assert len(graph.nodes) < len(parse_graph(TEXT).nodes)
    assert graph.output_types == parse_graph(TEXT).output_types
    assert "sine" not in {n.op.name for n in graph.nodes}


def test_opt_without_passes_is_the_identity(file: str, capsys: Capture) -> None:
    everything = ",".join(name for name, _, _ in PIPELINE)
    assert opt.main([file, "--skip", everything]) == 0
    assert capsys.readouterr().out == print_graph(parse_graph(TEXT))
    assert opt.main([file, "--skip", everything, "--canonical"]) == 0
    assert capsys.readouterr().out == print_graph(parse_graph(TEXT), canonical=True)
    assert opt.main([file, "--skip", everything, "--diff"]) == 0
    assert capsys.readouterr().out == ""


def test_opt_one_pass_as_a_diff(file: str, capsys: Capture) -> None:
    assert opt.main([file, "--passes", "eliminate_dead", "--diff", "--report"]) == 0
    output = capsys.readouterr()
    changes = [line for line in output.out.splitlines() if line[0] in "+-"]
    assert changes[:2] == ["--- before", "+++ after"]
    assert any(line.startswith("-  %4 = sine(%x)") for line in changes)
    assert "eliminate_dead" in output.err


def test_opt_reads_standard_input(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(TEXT))
    first = PIPELINE[0][0]
    assert opt.main(["-", "--stop-after", first]) == 0
    assert parse_graph(capsys.readouterr().out).name == "g"


def test_opt_lists_passes(capsys: Capture) -> None:
    assert opt.main(["--list-passes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [name for name, _, _ in PIPELINE]
    assert all(why in line for line, (_, _, why) in zip(lines, PIPELINE, strict=True))


@pytest.mark.parametrize(
    ("replace", "arguments", "message"),
    [
        (("sine", "sin"), [], "unknown op sin"),
        (("", ""), ["--passes", "no_such_pass"], "unknown pass 'no_such_pass'"),
        (("", ""), ["--relaxed", "no_such_rule"], "no_such_rule"),
    ],
)
def test_opt_errors_are_one_message(
    replace: tuple[str, str], arguments: list[str], message: str, tmp_path: Path,
    capsys: Capture,
) -> None:  # fmt: skip
    path = tmp_path / "g.ir"
    path.write_text(TEXT.replace(*replace) if replace[0] else TEXT)
    assert opt.main([str(path), *arguments]) == 1
    output = capsys.readouterr()
    assert message in output.err
    assert "Traceback" not in output.err
    assert output.out == ""


def test_missing_file(tmp_path: Path, capsys: Capture) -> None:
    for tool in (opt.main, run.main):
        assert tool([str(tmp_path / "none.ir")]) == 1
        assert "cannot read" in capsys.readouterr().err


def test_opt_needs_a_file(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        opt.main([])
    assert caught.value.code == 2
    assert "FILE is needed" in capsys.readouterr().err


def test_run_compares_with_the_interpreter(file: str, capsys: Capture) -> None:
    assert run.main([file, "--compare", "--symbols", "B=5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "result 0: f32[5,4]",
        "result 1: f32[4]",
        "result 2: i32[5,4]",
    ]
    assert all(line.endswith("  ok") for line in lines)


def test_run_finds_a_mismatch(
    file: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = run.interpret

    def wrong(graph: object, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        first, *rest = exact(graph, *arrays)
        return (first * np.float32(1.01), *rest)

    monkeypatch.setattr(run, "interpret", wrong)
    assert run.main([file, "--compare"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines] == ["MISMATCH", "ok", "ok"]
    assert run.main([file, "--compare", "--rtol", "0.1"]) == 0


def test_run_is_repeatable(file: str, capsys: Capture) -> None:
    texts = []
    for seed in ("1", "1", "2"):
        assert run.main([file, "--interpret", "--seed", seed]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]


def test_run_takes_arrays(file: str, tmp_path: Path, capsys: Capture) -> None:
    x = np.full((2, 4), 3, np.float32)
    n = np.full((2, 4), 7, np.int32)
    np.savez(tmp_path / "a.npz", x=x, arr_1=n)
    for mode in ([], ["--interpret"]):
        assert run.main([file, "--inputs", str(tmp_path / "a.npz"), *mode]) == 0
        assert "[36. 36. 36. 36.]\nresult 2" in capsys.readouterr().out


def test_run_errors_are_one_message(file: str, tmp_path: Path, capsys: Capture) -> None:
    np.savez(tmp_path / "a.npz", y=np.zeros(3))
    (tmp_path / "b.npz").write_bytes(b"not an archive")
    np.savez(tmp_path / "c.npz", x=np.zeros((2, 4)), n=np.zeros((2, 4)))
    for arguments, message in [
        (["--symbols", "N=3"], "not the size of a symbol"),
        (["--symbols", "B"], "not the size of a symbol"),
        (["--inputs", str(tmp_path / "a.npz")], "no array for parameter %x"),
        (["--inputs", str(tmp_path / "b.npz")], "--inputs"),
        (["--inputs", str(tmp_path / "none.npz")], "No such file"),
        (["--interpret", "--inputs", str(tmp_path / "c.npz")], "%x of g is f32[B,4]"),
    ]:
        assert run.main([file, *arguments]) == 1
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("dtype", t.ALL_DTYPES, ids=repr)
def test_random_arrays_and_their_difference(dtype: t.DType) -> None:
    rng = np.random.default_rng(0)
    type_ = TensorType(dtype, (symbol("B"), 6))
    array = run.random_array(type_, {"B": 9}, rng)
    assert (array.dtype, array.shape) == (dtype.np, (9, 6))
    assert run.difference(array, array.copy()) == (0.0, 0.0, 0.0, True)
    other = run.random_array(type_, {"B": 9}, rng)
    assert not run.difference(array, other).close
    empty = run.random_array(type_, {"B": 0}, rng)
    assert run.difference(empty, empty) == (0.0, 0.0, 0.0, True)
    scalar = run.random_array(TensorType(dtype, ()), {}, rng)
    assert run.difference(scalar, scalar).close


def f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_difference_counts_ulps() -> None:
    one = np.float32(1)
    above = np.nextafter(one, np.float32(2))
    assert run.difference(f32(above), f32(1)).ulps == 1
    assert run.difference(f32(above, 1), f32(1, above)).ulps == 1
    smallest = np.finfo(np.float32).smallest_subnormal
    assert run.difference(f32(smallest), f32(0)).ulps == 1
    assert run.difference(f32(-0.0), f32(0.0)).ulps == 0


@pytest.mark.parametrize(
    ("got", "want", "close"),
    [
        (f32(np.nan, np.inf), f32(np.nan, np.inf), True),
        (f32(np.nan), f32(1), False),
        (f32(1), f32(np.nan), False),
        (f32(np.inf), f32(-np.inf), False),
        (f32(1), f32(np.inf), False),
        (f32(3e38, 1), f32(3e38, 1), True),
        (f32(1e-9, 1), f32(0, 1), True),
        (f32(1e-3, 1), f32(0, 1), False),
        (f32(1), np.array([1.0]), False),
        (f32(1), f32(1, 1), False),
        (np.array([2**53 + 1]), np.array([2**53]), False),
        (np.array([2**53]), np.array([2**53]), True),
    ],
)
def test_difference_of_nasty_values(
    got: np.ndarray, want: np.ndarray, close: bool
) -> None:
    assert run.difference(got, want).close is close


def test_dumper_numbers_files(tmp_path: Path) -> None:
    dumper = dumper_for(tmp_path / "new", "train <step>")
    assert isinstance(dumper, Dumper)
    dumper.dump("traced", "a\n")
    dumper.dump("passes/fold constants", lambda: "b\n")
    dumper.dump("kernel", "c", ext=".ll")
    again = dumper_for(tmp_path / "new", "train <step>")
    again.dump("traced", "d")
    written = {
        p.relative_to(tmp_path).as_posix(): p.read_text()
        for p in tmp_path.rglob("*")
        if p.is_file()
    }
    assert written == {
        "new/train_step-0/00-traced.ir": "a\n",
        "new/train_step-0/passes/01-fold_constants.ir": "b\n",
        "new/train_step-0/02-kernel.ll": "c",
        "new/train_step-1/00-traced.ir": "d",
    }


def test_null_dumper_makes_no_text() -> None:
    dumper = dumper_for(None, "f")
    assert type(dumper) is NullDumper
    assert not dumper.enabled
    dumper.dump("stage", lambda: pytest.fail("text was made"))


def test_dumping_where_one_cannot(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CompilerError, match="cannot write"):
        dumper_for(tmp_path / "file", "f")
    with pytest.raises(CompilerError, match="cannot write"):
        Dumper(tmp_path / "file")
    dumper = Dumper(tmp_path / "ok")
    (tmp_path / "ok" / "00-x.ir").mkdir()
    with pytest.raises(CompilerError, match="cannot write"):
        dumper.dump("x", "text")
