"""The architecture, held: import direction, no late imports, file size, docstrings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# A stage may import only stages of its own line or of lines before it.
COMPILER = [
    {"errors", "options", "dump"},
    {"ir"},
    {"ops"},
    {"passes"},
    {"fusion"},
    {"kernels"},
    {"buffers"},
    {"runtime"},
    {"driver", "stages", "crash"},
    {"tools"},
]
JITFLOW = [
    {"errors", "dtypes", "config"},
    {"tensor", "tracing", "device"},
    {"ops"},
    {"gradient", "random", "nn", "linalg", "fft"},
    {"function", "control_flow", "autograph", "session"},
    {"data", "inspect", "benchmark", "testing", "saving"},
    {"keras"},
    {"serving", "export", "distribute", "cli"},
    {"__main__"},
]
ORDER = {"compiler": COMPILER, "jitflow": JITFLOW}
# From this stage on the public namespace itself (``import jitflow``) may be used.
PUBLIC_FROM = "keras"
# May be missing, or is slow to import: the only imports allowed inside functions.
OPTIONAL = {
    *("scipy", "sklearn", "mpmath", "pandas", "h5py", "PIL", "matplotlib"),
    *("jax", "torch", "tensorflow", "keras", "IPython", "tqdm"),
}
# Numba is slow to import and needed by some targets only.
TARGET_ONLY = {"numba"}
TARGET_STAGES = {"kernels", "runtime"}
MAX_LINES = 600

FILES = sorted(p for package in ORDER for p in (ROOT / package).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), relative(path))


def module_parts(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imported(node: ast.AST, path: Path) -> Iterator[str]:
    """Full names of what an import statement brings in."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = module_parts(path)[: None if path.stem == "__init__" else -1]
            package = package[: len(package) - node.level + 1]
            base = ".".join([*package, *([base] if base else [])])
        yield from (f"{base}.{alias.name}" for alias in node.names)


def all_imports(tree: ast.AST, path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        yield from ((node.lineno, name) for name in imported(node, path))


def late_imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from all_imports(node, path)


def stage_of(package: str, name: str) -> int | None:
    found = [i for i, stages in enumerate(ORDER[package]) if name in stages]
    return found[0] if found else None


def wrong_direction(path: Path) -> Iterator[str]:
    package, *rest = module_parts(path)
    if not rest:  # the package itself gathers what it likes
        return
    own = stage_of(package, rest[0])
    public = stage_of("jitflow", PUBLIC_FROM)
    for line, name in all_imports(tree_of(path), path):
        target = name.split(".")
        if target[0] != package or own is None:
            continue
        stage = stage_of(package, target[1]) if len(target) > 1 else None
        if stage is None and (package != "jitflow" or own < public):
            yield f"{relative(path)}:{line} imports {name}, which is no stage"
        elif stage is not None and stage > own:
            yield f"{relative(path)}:{line} imports {name}, a later stage"


def test_the_packages_are_found() -> None:
    assert {module_parts(p)[0] for p in FILES} == set(ORDER)
    assert len(FILES) > 30


def test_every_module_has_a_place_in_the_order() -> None:
    homeless = {
        relative(p)
        for p in FILES
        for package, *rest in [module_parts(p)]
        if rest and stage_of(package, rest[0]) is None
    }
    assert not homeless, "give these a line in COMPILER or JITFLOW"


def test_imports_go_one_way() -> None:
    assert [problem for p in FILES for problem in wrong_direction(p)] == []


def test_the_compiler_never_imports_the_framework() -> None:
    wrong = [
        f"{relative(p)}:{line}"
        for p in FILES
        if module_parts(p)[0] == "compiler"
        for line, name in all_imports(tree_of(p), p)
        if name.split(".")[0] == "jitflow"
    ]
    assert wrong == []


def test_no_imports_inside_functions() -> None:
    wrong = []
    for path in FILES:
        stage = (*module_parts(path), "")[1]
        allowed = OPTIONAL | (TARGET_ONLY if stage in TARGET_STAGES else set())
        for line, name in late_imports(path):
            if name.split(".")[0] not in allowed:
                wrong.append(f"{relative(path)}:{line} imports {name}")
    assert wrong == []


def test_files_are_short() -> None:
    lengths = {relative(p): len(p.read_text("utf-8").splitlines()) for p in FILES}
    assert {p: n for p, n in lengths.items() if n > MAX_LINES} == {}


def test_every_module_has_a_docstring() -> None:
    assert [relative(p) for p in FILES if not ast.get_docstring(tree_of(p))] == []


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [
        ("compiler/ir/a.py", "import compiler.ops.leaf", "later stage"),
        ("compiler/ir/a.py", "from compiler import driver", "later stage"),
        ("compiler/ir/a.py", "from ..passes import pipeline", "later stage"),
        ("compiler/ops/__init__.py", "from .. import passes", "later stage"),
        ("jitflow/ops/a.py", "def f():\n  from jitflow.keras import x", "later stage"),
        ("jitflow/ops/a.py", "import jitflow", "no stage"),
        ("jitflow/tensor/a.py", "from jitflow import Tensor", "no stage"),
        ("jitflow/keras/a.py", "import jitflow", None),
        ("jitflow/__init__.py", "from jitflow import cli", None),
        ("compiler/ops/a.py", "from compiler.ir import op\nfrom . import b", None),
    ],
)
def test_the_check_itself(
    name: str, code: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "tree_of", lambda path: ast.parse(code))
    found = list(wrong_direction(ROOT / name))
    assert len(found) == (expected is not None)
    assert expected is None or expected in found[0]
