"""Every rewrite rule against the interpreter, on values that break careless rules."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest

from compiler.ir import types as t
from compiler.ir.interpret import interpret
from compiler.ir.node import Graph
from compiler.ir.printer import print_graph
from compiler.ir.types import DType
from compiler.options import Options
from compiler.passes.pattern import Rule
from compiler.passes.pipeline import PIPELINE, list_rules, run_pipeline
from tests.pass_samples import SAMPLES, Sample, nasty, same_bits

RULES = {rule.name: rule for rule in list_rules()}
ULP = {t.f16: 2.0**-10, t.bf16: 2.0**-7, t.f32: 2.0**-23, t.f64: 2.0**-52}


def _pass_of(rule: Rule) -> str:
    for name, function, _ in PIPELINE:
        if rule in getattr(sys.modules[function.__module__], "RULES", ()):
            return name
    raise AssertionError(f"{rule.name} is in no pass")


OWNER = {name: _pass_of(rule) for name, rule in RULES.items()}


def _cases() -> Iterator[object]:
    for number, sample in enumerate(SAMPLES):
        for dtype in sample.dtypes:
            yield pytest.param(sample, dtype, id=f"{sample.rule}-{number}-{dtype}")


def _rewritten(sample: Sample, graph: Graph) -> Graph:
    rule = RULES[sample.rule]
    relaxed = (rule.name,) if rule.relaxed else ()
    options = Options(only=(OWNER[rule.name],), relaxed=relaxed)
    result = run_pipeline(graph, options)
    assert result.report.fired[rule.name] >= 1, print_graph(graph)
    return result.graph


def _arguments(graph: Graph, rule: Rule) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    if rule.exact or rule.name.startswith("power"):
        return [nasty(type_, rng) for type_ in graph.input_types]
    # Rules that move roundings are judged where rounding is all that happens.
    return [
        rng.uniform(0.5, 2.0, x.shape).astype(x.dtype.np)
        if x.dtype.is_float
        else rng.integers(0, 5, x.shape).astype(x.dtype.np)
        for x in graph.input_types
    ]


def test_every_rule_has_a_sample() -> None:
    assert set(RULES) == {sample.rule for sample in SAMPLES}
    assert len(RULES) == len(list_rules())


@pytest.mark.parametrize(("sample", "dtype"), list(_cases()))
def test_rule(sample: Sample, dtype: DType) -> None:
    rule = RULES[sample.rule]
    graph = sample.graph(dtype)
    new = _rewritten(sample, graph)
    arguments = _arguments(graph, rule)
    (expected,), (given,) = interpret(graph, *arguments), interpret(new, *arguments)
    if rule.exact or expected.dtype.kind not in "fV":
        assert same_bits(expected, given), print_graph(new)
    else:
        _close(expected, given, dtype, signs=not rule.relaxed)


def _close(expected: np.ndarray, given: np.ndarray, dtype: DType, signs: bool) -> None:
    """Within a few ulp; infinities, NaN and, if wanted, signs of zeros as they were."""
    a, b = expected.astype(np.float64), given.astype(np.float64)
    tiny = float(np.finfo(np.float16 if dtype is t.f16 else np.float32).tiny)
    if dtype is t.f64:
        tiny = float(np.finfo(np.float64).tiny)
    zero = (a == 0) & (b == 0) & signs
    np.testing.assert_array_equal(np.signbit(a[zero]), np.signbit(b[zero]))
    np.testing.assert_allclose(b, a, rtol=8 * ULP[dtype], atol=tiny * ULP[dtype] * 4)


@pytest.mark.parametrize("rule", [r for r in RULES.values() if r.relaxed], ids=str)
def test_relaxed_rules_are_off_and_leave_a_mark(rule: Rule) -> None:
    sample = next(s for s in SAMPLES if s.rule == rule.name)
    graph = sample.graph(t.f32)
    exact = run_pipeline(graph)
    assert exact.report.fired[rule.name] == 0
    new = _rewritten(sample, graph)
    made = [n for n in new.nodes if n not in graph.nodes]
    assert all(f"{{fast: {rule.name}}}" in n.scope for n in made)


def test_what_is_not_exact_is_kept() -> None:
    """The classic wrong rules change a bit; the default pipeline must keep these."""
    for name in ("add_zero", "multiply_zero", "subtract_self", "divide_self"):
        sample = next(s for s in SAMPLES if s.rule == name)
        graph = sample.graph(t.f32)
        arguments = [nasty(x, np.random.default_rng(3)) for x in graph.input_types]
        (expected,) = interpret(graph, *arguments)
        (kept,) = interpret(run_pipeline(graph).graph, *arguments)
        (fast,) = interpret(_rewritten(sample, graph), *arguments)
        assert same_bits(expected, kept)
        assert not same_bits(expected, fast)


def test_rules_describe_themselves() -> None:
    for rule in RULES.values():
        assert rule.doc
        assert rule.error
        assert not (rule.relaxed and rule.exact)
