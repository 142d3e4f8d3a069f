"""What each pass makes of a graph, as text in ``passes/NAME.{before,after}.ir``.

``pipeline`` runs all passes, ``algebra_relaxed`` all relaxed rules, any other name only
that pass. After a change that is meant, ``JITFLOW_UPDATE_GOLDEN=1`` writes the texts
again; read the difference before you keep it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from compiler.ir.parser import parse_graph
from compiler.ir.printer import print_graph
from compiler.options import Options
from compiler.passes.pipeline import PIPELINE, run_pipeline

FOLDER = Path(__file__).parent / "passes"
NAMES = sorted(path.name.split(".")[0] for path in FOLDER.glob("*.before.ir"))


def _after(name: str) -> str:
    graph = parse_graph((FOLDER / f"{name}.before.ir").read_text(encoding="utf-8"))
    options = Options(
        only=None if name == "pipeline" else (name,),
        relaxed=("all",) if name == "algebra_relaxed" else (),
    )
    return print_graph(run_pipeline(graph, options).graph)


@pytest.mark.parametrize("name", NAMES)
def test_golden(name: str) -> None:
    path = FOLDER / f"{name}.after.ir"
    given = _after(name)
    if os.environ.get("JITFLOW_UPDATE_GOLDEN"):
        path.write_text(given, encoding="utf-8")
    assert given == path.read_text(encoding="utf-8")


def test_every_pass_that_rewrites_ops_has_a_golden_text() -> None:
    rewriting = {name for name, _, _ in PIPELINE} - {"simplify_bodies"}
    assert rewriting | {"pipeline"} == set(NAMES)
