"""Algebra that keeps every bit: NaN, infinities, -0.0 and overflow included.

What looks like algebra and is not exact (``x * 0``, ``x + 0.0``, ``x - x``) is in
`compiler.passes.algebra_relaxed`, for users who ask for it.
"""

from __future__ import annotations

import math

import numpy as np

from compiler.ir.node import Graph, Node, Value
from compiler.ir.op import get
from compiler.ir.types import DType
from compiler.passes.context import PassContext
from compiler.passes.pattern import (
    Hole,
    Match,
    Pattern,
    Rule,
    X,
    Y,
    Z,
    apply_of,
    literal,
)
from compiler.passes.rewriter import apply_rules, rule_table
from compiler.passes.values import splat_number

P = Hole("p")
REAL, INTEGER = "iuf", "iu"
ROUNDINGS = ("floor", "ceil", "round_nearest_even")
INVERTED = {"EQ": "NE", "NE": "EQ", "LT": "GE", "GE": "LT", "GT": "LE", "LE": "GT"}
# Bits of every whole number that a float type holds exactly; normal exponents.
SIGNIFICAND = {"f16": 11, "bf16": 8, "f32": 24, "f64": 53}
EXPONENT = {"f16": 14, "bf16": 126, "f32": 126, "f64": 1022}


def _first(m: Match) -> Value:
    return m["x"]


def _zeros(m: Match) -> Value:
    return m.b.full(0, m.out.type)


def _fits(a: DType, b: DType) -> bool:
    """True if converting `a` to `b` keeps every value."""
    if a is b or a.kind == "b":
        return True
    if a.kind == b.kind == "f":
        return _at_most(SIGNIFICAND, a, b) and _at_most(EXPONENT, a, b)
    if a.kind in "iu" and b.kind == "f":
        return a.bits - (a.kind == "i") <= SIGNIFICAND[b.name]
    if a.kind == b.kind:
        return a.bits <= b.bits
    return a.kind == "u" and b.kind == "i" and a.bits < b.bits


def _at_most(table: dict[str, int], a: DType, b: DType) -> bool:
    return table[a.name] <= table[b.name]


def _convert_chain(m: Match) -> Value | None:
    x, middle, out = m["x"], m.operands[0], m.out
    if "c" in x.dtype.kind + middle.dtype.kind + out.dtype.kind:
        return None
    if not _fits(x.dtype, middle.dtype):
        return None
    # Floats saturate where integers wrap: through a float is another way to go.
    wraps = x.dtype.is_integer and out.dtype.is_integer
    if wraps and middle.dtype.is_float and not _fits(x.dtype, out.dtype):
        return None
    return m.b.convert(x, dtype=out.dtype)


def _power_of_two(node: Node, number: float) -> bool:
    if not math.isfinite(number) or number == 0.0:
        return False
    fraction, exponent = math.frexp(abs(number))
    return fraction == 0.5 and abs(exponent - 1) <= EXPONENT[node.outputs[0].dtype.name]


def _times_reciprocal(m: Match) -> Value | None:
    if not _power_of_two(m.node, m["c"]):
        return None
    return m.b.scale(m["x"], 1.0 / m["c"])


def _lowest(dtype: DType) -> float | int:
    return -math.inf if dtype.is_float else int(np.iinfo(dtype.np).min)


def _highest(dtype: DType) -> float | int:
    return math.inf if dtype.is_float else int(np.iinfo(dtype.np).max)


def _drop_limit(m: Match) -> Value | None:
    limit = _lowest if m.node.op.name == "maximum" else _highest
    return m["x"] if m["c"] == limit(m.out.dtype) else None


def _all_ones(m: Match) -> bool:
    dtype = m.out.dtype
    return m["c"] == (-1 if dtype.kind == "i" else (1 << dtype.bits) - 1)


def _and_literal(m: Match) -> Value | None:
    if m["c"] == 0:
        return _zeros(m)
    return m["x"] if _all_ones(m) else None


def _or_literal(m: Match) -> Value | None:
    if m["c"] == 0:
        return m["x"]
    return m.operands[1] if _all_ones(m) else None


def _xor_literal(m: Match) -> Value | None:
    if m["c"] == 0:
        return m["x"]
    return _not(m, m["x"]) if _all_ones(m) else None


def _not(m: Match, x: Value) -> Value:
    return m.b.apply(get("not"), (x,), {})


def _compose_literals(m: Match) -> Value:
    inner, outer = m["inner"].inputs[1], m.operands[1]
    x, literals = m["x"], m.b.apply(m.node.op, (inner, outer), {})
    return m.b.apply(m.node.op, (x, literals), {})


def _negated_literal(m: Match) -> Value:
    return m.b.apply(m.node.op, (m["x"], m.b.full_like(-m["c"], m["x"])), {})


def _select_literal(m: Match) -> Value:
    return m["x"] if m["c"] else m["y"]


def _invert_compare(m: Match) -> Value | None:
    a, b = m["x"], m["y"]
    direction = m.operands[0].node.attrs["direction"]
    if a.dtype.is_inexact and direction not in ("EQ", "NE"):
        return None  # NaN is neither less nor greater
    return m.b.compare(a, b, direction=INVERTED[direction])


def _compare_self(m: Match) -> Value:
    return m.b.full(m.attrs["direction"] in ("EQ", "LE", "GE"), m.out.type)


def _repeats(node: Node) -> bool:
    """True if the first operand is made by the same op."""
    return node.inputs[0].node.op is node.op


def _keeps_dtype(node: Node) -> bool:
    return node.inputs[0].dtype is node.outputs[0].dtype


def _negated_product(m: Match) -> Value | None:
    if not m.out.dtype.is_float:
        return None
    c = m.b.full_like(-m["c"], m["x"])
    return m.b.apply(m["inner"].op, (m["x"], c), {})


def _operand_integer(node: Node) -> bool:
    return not node.inputs[0].dtype.is_inexact


def _parts_of_one(m: Match) -> Value | None:
    return m["x"] if m["x"].type == m.out.type else None


def _same_dims(m: Match) -> Value | None:
    return m["x"] if m["inner"].attrs["dims"] == m.attrs["dims"] else None


def _static_slice(m: Match) -> Value | None:
    """A dynamic slice at a literal place; starts are clamped as the op does it."""
    x, sizes = m.operands[0], m.attrs["sizes"]
    if not all(isinstance(n, int) for n in (*x.shape, *sizes)):
        return None
    starts = [splat_number(v) for v in m.operands[1:]]
    if any(s is None for s in starts):
        return None
    begin = [
        min(max(s, 0), n - size)
        for s, n, size in zip(starts, x.shape, sizes, strict=True)
    ]
    limit = tuple(s + size for s, size in zip(begin, sizes, strict=True))
    ones = (1,) * len(sizes)
    return m.b.slice(x, start=tuple(begin), limit=limit, strides=ones)


def _negative(x: Pattern) -> Pattern:
    return apply_of("negate", x)


def _negations() -> tuple[Rule, ...]:
    """Signs that cancel or move into a literal."""
    return (
        Rule(
            "negate_negate",
            apply_of("negate", _negative(X)),
            _first,
            "-(-x) -> x",
        ),
        Rule(
            "not_not",
            apply_of("not", apply_of("not", X)),
            _first,
            "not(not(x)) -> x",
        ),
        Rule(
            "abs_negate",
            apply_of("abs", apply_of("negate abs", X), kinds="if", where=_keeps_dtype),
            lambda m: m.b.abs(m["x"]),
            "|-x| -> |x|, ||x|| -> |x|",
        ),
        Rule(
            "add_negated",
            apply_of("add", X, _negative(Y), kinds=REAL, swap=True),
            lambda m: m.b.subtract(m["x"], m["y"]),
            "x + (-y) -> x - y",
        ),
        Rule(
            "subtract_negated",
            apply_of("subtract", X, _negative(Y), kinds=REAL),
            lambda m: m.b.add(m["x"], m["y"]),
            "x - (-y) -> x + y",
        ),
        Rule(
            "multiply_negated",
            apply_of("multiply", _negative(X), _negative(Y), kinds=REAL),
            lambda m: m.b.multiply(m["x"], m["y"]),
            "(-x) * (-y) -> x * y",
        ),
        Rule(
            "divide_negated",
            apply_of("divide", _negative(X), _negative(Y), kinds="f"),
            lambda m: m.b.divide(m["x"], m["y"]),
            "(-x) / (-y) -> x / y",
        ),
        Rule(
            "negated_times_literal",
            apply_of("multiply divide", _negative(X), literal(), kinds="f"),
            _negated_literal,
            "(-x) * c -> x * (-c); also /",
        ),
        Rule(
            "negate_product",
            apply_of("negate", apply_of("multiply divide", X, literal(), name="inner")),
            _negated_product,
            "-(x * c) -> x * (-c); also /",
        ),
        Rule(
            "multiply_minus_one",
            apply_of("multiply", X, literal(value=-1), kinds="if"),
            lambda m: m.b.negate(m["x"]),
            "x * -1 -> -x",
        ),
        Rule(
            "minus_zero_subtract",
            apply_of("subtract", literal(value=-0.0), X, kinds="f"),
            lambda m: m.b.negate(m["x"]),
            "-0.0 - x -> -x",
        ),
        Rule(
            "zero_subtract_integer",
            apply_of("subtract", literal(value=0), X, kinds=INTEGER),
            lambda m: m.b.negate(m["x"]),
            "0 - x -> -x for integers",
        ),
    )


def _neutral() -> tuple[Rule, ...]:
    """Operands that do nothing."""
    return (
        Rule(
            "multiply_one",
            apply_of("multiply divide", X, literal(value=1), kinds=REAL),
            _first,
            "x * 1 -> x, x / 1 -> x",
        ),
        Rule(
            "add_minus_zero",
            apply_of("add", X, literal(value=-0.0), kinds="f"),
            _first,
            "x + -0.0 -> x",
        ),
        Rule(
            "subtract_zero",
            apply_of("subtract", X, literal(value=0.0), kinds="f"),
            _first,
            "x - 0.0 -> x",
        ),
        Rule(
            "add_zero_integer",
            apply_of("add subtract", X, literal(value=0), kinds=INTEGER),
            _first,
            "x + 0 -> x, x - 0 -> x for integers",
        ),
        Rule(
            "multiply_zero_integer",
            apply_of("multiply", X, literal(value=0), kinds=INTEGER),
            _zeros,
            "x * 0 -> 0 for integers",
        ),
        Rule(
            "subtract_self_integer",
            apply_of("subtract", X, X, kinds=INTEGER),
            _zeros,
            "x - x -> 0 for integers",
        ),
        Rule(
            "divide_power_of_two",
            apply_of("divide", X, literal(), kinds="f"),
            _times_reciprocal,
            "x / 2**k -> x * 2**-k",
        ),
        Rule(
            "extremum_self",
            apply_of("maximum minimum and or", X, X),
            _first,
            "max(x, x) -> x; also min, and, or",
        ),
        Rule(
            "extremum_limit",
            apply_of("maximum minimum", X, literal(), kinds=REAL),
            _drop_limit,
            "max(x, -inf) -> x, min(x, inf) -> x",
        ),
        Rule(
            "and_literal",
            apply_of("and", X, literal()),
            _and_literal,
            "x and 0 -> 0, x and -1 -> x; bool: false, true",
        ),
        Rule(
            "or_literal",
            apply_of("or", X, literal()),
            _or_literal,
            "x or 0 -> x, x or -1 -> -1; bool: false, true",
        ),
        Rule(
            "xor_literal",
            apply_of("xor", X, literal()),
            _xor_literal,
            "x xor 0 -> x, x xor -1 -> not x",
        ),
        Rule("xor_self", apply_of("xor", X, X), _zeros, "x xor x -> 0"),
        Rule(
            "shift_zero",
            apply_of(
                "shift_left shift_right_logical shift_right_arithmetic",
                X,
                literal(value=0),
            ),
            _first,
            "x << 0 -> x; also >>",
        ),
        Rule(
            "compose_literals",
            apply_of(
                "maximum minimum and or xor",
                apply_of("maximum minimum and or xor", X, literal("d"), name="inner"),
                literal(),
                where=_repeats,
            ),
            _compose_literals,
            "max(max(x, c), d) -> max(x, max(c, d)); also min, and, or, xor",
        ),
        Rule(
            "compose_literals_integer",
            apply_of(
                "add multiply",
                apply_of("add multiply", X, literal("d"), name="inner"),
                literal(),
                kinds=INTEGER,
                where=_repeats,
            ),
            _compose_literals,
            "(x + c) + d -> x + (c + d); also *, for integers",
        ),
        Rule(
            "round_twice",
            apply_of(ROUNDINGS, apply_of(ROUNDINGS, name="inner")),
            lambda m: m.operands[0],
            "floor(ceil(x)) -> ceil(x) and so on",
        ),
    )


def _choices() -> tuple[Rule, ...]:
    """Predicates and selects."""
    return (
        Rule(
            "select_literal",
            apply_of("select", literal(), X, Y),
            _select_literal,
            "select(true, x, y) -> x, select(false, x, y) -> y",
        ),
        Rule(
            "select_same",
            apply_of("select", P, X, X),
            _first,
            "select(p, x, x) -> x",
        ),
        Rule(
            "select_truth",
            apply_of("select", P, literal("c", True), literal("d", False), kinds="b"),
            lambda m: m["p"],
            "select(p, true, false) -> p",
        ),
        Rule(
            "select_untruth",
            apply_of("select", P, literal("c", False), literal("d", True), kinds="b"),
            lambda m: _not(m, m["p"]),
            "select(p, false, true) -> not p",
        ),
        Rule(
            "select_not",
            apply_of("select", apply_of("not", P), X, Y),
            lambda m: m.b.select(m["p"], m["y"], m["x"]),
            "select(not p, x, y) -> select(p, y, x)",
        ),
        Rule(
            "select_again_true",
            apply_of("select", P, apply_of("select", P, X, Y), Z),
            lambda m: m.b.select(m["p"], m["x"], m["z"]),
            "select(p, select(p, x, y), z) -> select(p, x, z)",
        ),
        Rule(
            "select_again_false",
            apply_of("select", P, X, apply_of("select", P, Y, Z)),
            lambda m: m.b.select(m["p"], m["x"], m["z"]),
            "select(p, x, select(p, y, z)) -> select(p, x, z)",
        ),
        Rule(
            "not_compare",
            apply_of("not", apply_of("compare", X, Y)),
            _invert_compare,
            "not (x == y) -> x != y; order is inverted for integers and bools only",
        ),
        Rule(
            "compare_self",
            apply_of("compare", X, X, where=_operand_integer),
            _compare_self,
            "x == x -> true and so on for integers and bools",
        ),
    )


def _conversions() -> tuple[Rule, ...]:
    """Conversions, parts of numbers, and moves that follow from literals."""
    return (
        Rule(
            "convert_chain",
            apply_of("convert", apply_of("convert", X)),
            _convert_chain,
            "convert(convert(x)) -> convert(x) if the middle dtype keeps every value",
        ),
        Rule(
            "bitcast_chain",
            apply_of("bitcast_convert", apply_of("bitcast_convert", X)),
            lambda m: m.b.bitcast_convert(m["x"], dtype=m.out.dtype),
            "bitcast(bitcast(x)) -> bitcast(x)",
        ),
        Rule(
            "real_of_complex",
            apply_of("real", apply_of("complex", X, Y)),
            _first,
            "real(complex(x, y)) -> x",
        ),
        Rule(
            "imag_of_complex",
            apply_of("imag", apply_of("complex", X, Y)),
            lambda m: m["y"],
            "imag(complex(x, y)) -> y",
        ),
        Rule(
            "complex_of_parts",
            apply_of("complex", apply_of("real", X), apply_of("imag", X)),
            _parts_of_one,
            "complex(real(z), imag(z)) -> z",
        ),
        Rule(
            "reverse_reverse",
            apply_of("reverse", apply_of("reverse", X, name="inner")),
            _same_dims,
            "reverse(reverse(x)) -> x along the same dimensions",
        ),
        Rule(
            "dynamic_slice_literal",
            apply_of("dynamic_slice"),
            _static_slice,
            "dynamic_slice at literal starts -> slice",
        ),
    )


RULES: tuple[Rule, ...] = (
    *_neutral(),
    *_negations(),
    *_choices(),
    *_conversions(),
)
_TABLE = rule_table(RULES)


def algebra_exact(graph: Graph, ctx: PassContext) -> Graph:
    """Apply the exact algebraic rules; see the module."""
    return apply_rules(graph, "algebra_exact", _TABLE, ctx)
