"""What users run first: the digits example and the code on the front page."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DIGITS = ROOT / "examples" / "train_digits.py"


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )


def blocks(language: str) -> list[str]:
    """The fenced blocks of the README in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


def test_train_digits_reaches_its_accuracy_and_shows_the_step(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    done = run(str(DIGITS), "--dump-to", "dumps", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = re.search(r"accuracy (\d+\.\d+)%", done.stdout)
    assert found is not None and float(found[1]) >= 97.0
    for heading in ("as traced", "after fusion", "kernels ==", "buffer plan"):
        assert heading in done.stdout
    assert re.search(r"^arena \d+ bytes; peak \d+", done.stdout, re.M)
    for row in ("eager", "compiled, first call", "compiled, steady", "second process"):
        assert re.search(rf"{row}.* \d+\.\d+ ms$", done.stdout, re.M)
    names = {path.name for path in (tmp_path / "dumps").iterdir()}
    assert {"traced.ir", "fused.txt", "kernels.py", "buffers.txt"} <= names
    again = run("-m", "compiler.tools.opt", "dumps/traced.ir", cwd=tmp_path)
    assert again.returncode == 0, again.stderr


def test_train_digits_reports_an_accuracy_that_is_too_low(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    done = run(str(DIGITS), "--epochs", "1", "--batch-size", "512", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "accuracy" in done.stdout


def test_the_two_commands_of_the_readme() -> None:
    first, *_ = blocks("bash")
    job, tests = first.splitlines()
    assert README.index("```bash") < 200
    for line, last in ((job, "python examples/train_digits.py"), (tests, "pytest")):
        install, what = line.split(" && ")
        assert shlex.split(install)[:5] == ["python", "-m", "pip", "install", "-e"]
        assert what.endswith(last)


def masked(line: str) -> str:
    return re.sub(r"\d+", "0", line)


PAGE = re.findall(r"^```python\n(.*?)^```\n\n```\n(.*?)^```$", README, re.M | re.S)


@pytest.mark.parametrize(("source", "printed"), PAGE)
def test_python_of_the_readme_runs(source: str, printed: str, tmp_path: Path) -> None:
    (tmp_path / "page.py").write_text(source, encoding="utf-8")
    done = run("page.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    # Figures and later lines follow the machine and the compiler's version.
    assert masked(done.stdout.splitlines()[0]) == masked(printed.splitlines()[0])


def test_every_python_block_of_the_readme_is_followed_by_its_output() -> None:
    assert len(PAGE) == len(blocks("python")) == 2


def test_links_of_the_readme_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(targets) > 8
    missing = [t for t in targets if "://" not in t and not (ROOT / t).exists()]
    assert missing == []
