"""Ops written as cheaper ones that are at least as accurate as the op's own kernel.

``power`` matters most: with a small literal exponent it is a product, a root or a
reciprocal, and a general power costs fifty times as much. The library function may be
wrong by 2 ulp; what stands here is wrong by less.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from compiler.ir.builder import BuilderOps
from compiler.ir.node import Graph, Value
from compiler.ir.types import TensorType, f32, u8
from compiler.passes.context import PassContext
from compiler.passes.pattern import EXACT, Match, Rule, X, apply_of, literal
from compiler.passes.rewriter import apply_rules, rule_table

ONE_ROUNDING = "0.5 ulp: the correctly rounded power"
TWO_ROUNDINGS = "1.5 ulp; the op's own error is up to 2 ulp"


Formula = Callable[[BuilderOps, Value], Value]


def _square(b: BuilderOps, x: Value) -> Value:
    return b.multiply(x, x)


def _cube(b: BuilderOps, x: Value) -> Value:
    return b.multiply(_square(b, x), x)


def _fourth(b: BuilderOps, x: Value) -> Value:
    return _square(b, _square(b, x))


def _reciprocal(b: BuilderOps, x: Value) -> Value:
    return b.divide(b.ones_like(x), x)


def _root(b: BuilderOps, x: Value) -> Value:
    root = b.sqrt(b.add(x, b.zeros_like(x)))  # -0.0 ** 0.5 is +0.0
    return _at_minus_infinity(b, x, math.inf, root)


def _reciprocal_root(b: BuilderOps, x: Value) -> Value:
    root = b.rsqrt(b.add(x, b.zeros_like(x)))
    return _at_minus_infinity(b, x, 0.0, root)


def _at_minus_infinity(b: BuilderOps, x: Value, value: float, other: Value) -> Value:
    infinite = b.compare(x, b.full_like(-math.inf, x), direction="EQ")
    return b.select(infinite, b.full_like(value, x), other)


def _power(
    name: str,
    exponent: float,
    formula: Formula,
    doc: str,
    error: str = EXACT,
    kinds: str = "f",
) -> Rule:
    def replacement(m: Match) -> Value:
        b, x = m.b, m["x"]
        if error != TWO_ROUNDINGS or x.dtype.bits != 16:
            return formula(b, x)
        # The op itself rounds a half-precision power only once.
        return b.convert(formula(b, b.convert(x, dtype=f32)), dtype=x.dtype)

    pattern = apply_of("power", X, literal(value=exponent), kinds=kinds)
    return Rule(name, pattern, replacement, doc, error)


def _position_of_extremum(m: Match) -> Value | None:
    """The smallest position whose element equals the extremum, or is NaN."""
    b, (x,), axis = m.b, m.operands, m.attrs["axis"]
    if x.dtype.kind == "c":
        return None
    if x.dtype.kind == "b":
        x = b.convert(x, dtype=u8)
    reduce = b.reduce_max if m.attrs["kind"] == "max" else b.reduce_min
    extremum = b.keep_dims(reduce(x, axes=(axis,)), (axis,), x)
    found = b.compare(x, extremum, direction="EQ")
    if x.dtype.is_float:
        found = getattr(b, "or")(found, b.compare(x, x, direction="NE"))
    positions = b.iota(type=TensorType(m.attrs["dtype"], x.shape), dim=axis)
    nowhere = b.full_like(np.iinfo(m.attrs["dtype"].np).max, positions)
    return b.reduce_min(b.select(found, positions, nowhere), axes=(axis,))


RULES: tuple[Rule, ...] = (
    Rule(
        "custom_derivative",
        apply_of("custom_derivative"),
        lambda m: m.operands[0],
        "custom_derivative(value, ...) -> value: derivatives have been taken by now",
    ),
    Rule(
        "arg_reduce",
        apply_of("arg_reduce"),
        _position_of_extremum,
        "arg_reduce(x) -> min(where(x == reduce(x) or isnan(x), position)): two "
        "reductions that fuse with their neighbours",
    ),
    _power("power_zero", 0, BuilderOps.ones_like, "x ** 0 -> 1", kinds="iuf"),
    _power("power_one", 1, lambda b, x: x, "x ** 1 -> x", kinds="iuf"),
    _power("power_two", 2, _square, "x ** 2 -> x * x", ONE_ROUNDING, "iuf"),
    _power("power_three", 3, _cube, "x ** 3 -> x * x * x", TWO_ROUNDINGS, "iuf"),
    _power(
        "power_four", 4, _fourth, "x ** 4 -> (x * x) * (x * x)", TWO_ROUNDINGS, "iuf"
    ),
    _power("power_minus_one", -1, _reciprocal, "x ** -1 -> 1 / x", ONE_ROUNDING),
    _power(
        "power_minus_two",
        -2,
        lambda b, x: _square(b, _reciprocal(b, x)),
        "x ** -2 -> (1 / x) * (1 / x)",
        TWO_ROUNDINGS,
    ),
    _power(
        "power_half",
        0.5,
        _root,
        "x ** 0.5 -> sqrt(x), with pow's values at -0.0 and -inf",
        ONE_ROUNDING,
    ),
    _power(
        "power_minus_half",
        -0.5,
        _reciprocal_root,
        "x ** -0.5 -> rsqrt(x), with pow's values at -0.0 and -inf",
        TWO_ROUNDINGS,
    ),
)
_TABLE = rule_table(RULES)


def decompose(graph: Graph, ctx: PassContext) -> Graph:
    """Apply the rules; see the module."""
    return apply_rules(graph, "decompose", _TABLE, ctx)
