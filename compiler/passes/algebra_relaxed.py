"""Algebra of real numbers, not of floats: off unless a user names a rule.

Each rule says what it costs. A node it makes carries the rule's name in its scope
(``dense {fast: divide_literal}``), so that the text of a graph shows where it was used.
"""

from __future__ import annotations

import functools
import math

from compiler.ir.node import Graph, Value
from compiler.passes.context import PassContext
from compiler.passes.pattern import Match, Pattern, Rule, X, Y, apply_of, literal
from compiler.passes.rewriter import RuleTable, apply_rules, rule_table

ZERO_SIGN = "the sign of a zero result"
NOT_FINITE = "NaN and infinite operands give an ordinary number"
ONE_ULP = "1 ulp more; results may overflow or underflow earlier"
RANGE = "a few ulp; overflow and underflow of the intermediate value disappear"


def _exp(x: Pattern) -> Pattern:
    return apply_of("exponential", x)


def _times_inverse(m: Match) -> Value | None:
    c = m["c"]
    if c == 0.0 or not math.isfinite(c) or not math.isfinite(1.0 / c):
        return None
    return m.b.scale(m["x"], 1.0 / c)


def _merge_literals(m: Match) -> Value:
    literals = m.b.apply(m.node.op, (m["inner"].inputs[1], m.operands[1]), {})
    return m.b.apply(m.node.op, (m["x"], literals), {})


def _nested(name: str) -> Pattern:
    return apply_of(name, X, literal("d"), name="inner")


RULES: tuple[Rule, ...] = (
    Rule(
        "add_zero",
        apply_of("add", X, literal(value=0.0), kinds="f"),
        lambda m: m["x"],
        "x + 0.0 -> x",
        ZERO_SIGN,
        relaxed=True,
    ),
    Rule(
        "multiply_zero",
        apply_of("multiply", X, literal(test=lambda c: c == 0), kinds="f"),
        lambda m: m.b.zeros_like(m["x"]),
        "x * 0.0 -> 0.0",
        f"{NOT_FINITE}; {ZERO_SIGN}",
        relaxed=True,
    ),
    Rule(
        "subtract_self",
        apply_of("subtract", X, X, kinds="f"),
        lambda m: m.b.zeros_like(m["x"]),
        "x - x -> 0.0",
        NOT_FINITE,
        relaxed=True,
    ),
    Rule(
        "divide_self",
        apply_of("divide", X, X, kinds="f"),
        lambda m: m.b.ones_like(m["x"]),
        "x / x -> 1.0",
        NOT_FINITE + ", and so does zero",
        relaxed=True,
    ),
    Rule(
        "negate_subtract",
        apply_of("negate", apply_of("subtract", X, Y), kinds="f"),
        lambda m: m.b.subtract(m["y"], m["x"]),
        "-(x - y) -> y - x",
        ZERO_SIGN,
        relaxed=True,
    ),
    Rule(
        "divide_literal",
        apply_of("divide", X, literal(), kinds="f"),
        _times_inverse,
        "x / c -> x * (1 / c)",
        ONE_ULP,
        relaxed=True,
    ),
    Rule(
        "merge_factors",
        apply_of("multiply", _nested("multiply"), literal(), kinds="f"),
        _merge_literals,
        "(x * c) * d -> x * (c * d)",
        ONE_ULP,
        relaxed=True,
    ),
    Rule(
        "merge_terms",
        apply_of("add", _nested("add"), literal(), kinds="f"),
        _merge_literals,
        "(x + c) + d -> x + (c + d)",
        "rounding of the sum of the literals; cancellation shows it in full",
        relaxed=True,
    ),
    Rule(
        "divide_sqrt",
        apply_of("divide", X, apply_of("sqrt", Y), kinds="f"),
        lambda m: m.b.multiply(m["x"], m.b.rsqrt(m["y"])),
        "x / sqrt(y) -> x * rsqrt(y)",
        "1 ulp more; 0 / 0 and inf / inf stay NaN",
        relaxed=True,
    ),
    Rule(
        "multiply_exponentials",
        apply_of("multiply", _exp(X), _exp(Y), kinds="f"),
        lambda m: m.b.exponential(m.b.add(m["x"], m["y"])),
        "exp(x) * exp(y) -> exp(x + y)",
        RANGE,
        relaxed=True,
    ),
    Rule(
        "log_exponential",
        apply_of("log", _exp(X), kinds="f"),
        lambda m: m["x"],
        "log(exp(x)) -> x",
        RANGE,
        relaxed=True,
    ),
    Rule(
        "exponential_log",
        apply_of("exponential", apply_of("log", X), kinds="f"),
        lambda m: m["x"],
        "exp(log(x)) -> x",
        "a few ulp; a negative x gives x, not NaN",
        relaxed=True,
    ),
    Rule(
        "sqrt_square",
        apply_of("sqrt", apply_of("multiply", X, X), kinds="f"),
        lambda m: m.b.abs(m["x"]),
        "sqrt(x * x) -> |x|",
        RANGE,
        relaxed=True,
    ),
)


@functools.cache
def _table(names: tuple[str, ...]) -> RuleTable:
    chosen = [rule for rule in RULES if rule.name in names or "all" in names]
    return rule_table(chosen)


def algebra_relaxed(graph: Graph, ctx: PassContext) -> Graph:
    """Apply the relaxed rules that the options name; none by default."""
    if not ctx.options.relaxed:
        return graph
    table = _table(ctx.options.relaxed)
    return apply_rules(graph, "algebra_relaxed", table, ctx)
