"""The pipeline as a whole: order, options, reports, errors, and that results stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from compiler.errors import CompilerError, PassError
from compiler.ir import types as t
from compiler.ir.builder import GraphBuilder
from compiler.ir.dims import symbol
from compiler.ir.interpret import interpret
from compiler.ir.node import Graph, Node
from compiler.ir.op import Kind, Op
from compiler.ir.printer import print_graph
from compiler.ir.rewrite import rebuild
from compiler.ir.types import TensorType
from compiler.options import Options
from compiler.passes import pipeline
from compiler.passes.context import PassContext
from compiler.passes.pattern import Rule, X, apply_of
from compiler.passes.pipeline import PIPELINE, run_pipeline
from compiler.passes.rewriter import apply_rules, rule_table
from compiler.passes.values import dim_groups
from tests.pass_samples import nasty, same_bits

B, N = symbol("B"), symbol("N")
VEC = TensorType(t.f32, (8,))


def ops(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes[len(graph.params) :]]


def layer_norm(rows: Any = B) -> Graph:
    b = GraphBuilder("layer_norm")
    x = b.parameter(TensorType(t.f32, (rows, 8)), "x")
    scale = b.parameter(VEC, "scale")

    def mean(v: Any) -> Any:
        total = b.reshape(b.reduce_sum(v, axes=(1,)), shape=(rows, 1))
        return b.divide(total, b.full_like(8.0, total))

    centred = b.subtract(x, b.broadcast(mean(x), (rows, 8)))
    variance = mean(b.power(centred, b.full_like(2.0, centred)))
    root = b.sqrt(b.add(variance, b.full_like(1e-5, variance)))
    y = b.divide(centred, b.broadcast(root, (rows, 8)))
    b.exponential(y)  # nobody reads it
    return b.build([b.multiply(y, b.broadcast(scale, (rows, 8)))])


# ------------------------------------------------------------------ whole graphs


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_layer_norm_symbolic(rows: int) -> None:
    graph = layer_norm()
    new = run_pipeline(graph).graph
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s, np.float32) for s in ((rows, 8), (8,))]
    (expected,), (given_,) = interpret(graph, *arrays), interpret(new, *arrays)
    np.testing.assert_allclose(given_, expected, rtol=1e-6, atol=1e-7)
    assert "reshape" not in ops(new)
    assert "power" not in ops(new)
    assert "exponential" not in ops(new)
    # Statistics are worked out on [B] and broadcast afterwards.
    (root,) = [n for n in new.nodes if n.op.name == "sqrt"]
    assert root.output.shape == (B,)


def test_pipeline_is_idempotent_on_layer_norm() -> None:
    once = run_pipeline(layer_norm()).graph
    twice = run_pipeline(once)
    assert twice.graph is once
    assert sum(r.changed for r in twice.report.records.values()) == 0


def test_attention_has_no_transpose_of_scores() -> None:
    b = GraphBuilder()
    q, k = (b.parameter(TensorType(t.f32, (B, 4, 6, 8))) for _ in range(2))
    flipped = b.transpose(k, permutation=(0, 1, 3, 2))
    batch = ((0, 1), (0, 1))
    scores = b.dot_general(q, flipped, contract=((3,), (2,)), batch=batch)
    graph = b.build([b.divide(scores, b.full_like(4.0, scores))])
    new = run_pipeline(graph).graph
    assert ops(new) == ["dot_general", "constant", "broadcast_in_dim", "multiply"]
    rng = np.random.default_rng(0)
    arrays = [rng.random((2, 4, 6, 8), np.float32) for _ in range(2)]
    np.testing.assert_allclose(
        interpret(new, *arrays)[0], interpret(graph, *arrays)[0], rtol=1e-6
    )


def test_reshape_around_an_elementwise_chain_disappears() -> None:
    b = GraphBuilder()
    x = b.parameter(TensorType(t.f32, (B, 6, 4)))
    w = b.parameter(TensorType(t.f32, (4, 8)))
    c = b.parameter(VEC)
    flat = b.reshape(x, shape=(B * 6, 4))
    z = b.dot_general(flat, w, contract=((1,), (0,)), batch=((), ()))
    z = b.reshape(z, shape=(B, 6, 8))
    z = b.tanh(b.add(z, b.broadcast(c, (B, 6, 8))))
    graph = b.build([b.reshape(z, shape=(B * 6, 8))])
    assert ops(run_pipeline(graph).graph) == [
        "reshape",
        "dot_general",
        "broadcast_in_dim",
        "add",
        "tanh",
    ]


def test_dot_read_twice_is_not_computed_twice() -> None:
    b = GraphBuilder()
    x, y = (b.parameter(TensorType(t.f32, (4, 4))) for _ in range(2))
    z = b.dot_general(x, y, contract=((1,), (0,)), batch=((), ()))
    graph = b.build([b.transpose(z, permutation=(1, 0)), z])
    assert ops(run_pipeline(graph).graph).count("dot_general") == 1


def test_dimension_size_is_never_a_literal() -> None:
    b = GraphBuilder()
    b.parameter(VEC)
    size = b.get_dimension_size(b.constant(np.arange(5.0, dtype=np.float32)), dim=0)
    assert ops(run_pipeline(b.build([size])).graph) == [
        "constant",
        "get_dimension_size",
    ]


def test_large_literals_are_not_made() -> None:
    b = GraphBuilder()
    x = b.parameter(TensorType(t.f32, (2048, 3)))
    table = b.constant(np.arange(3, dtype=np.float32))
    wide = b.negate(b.broadcast(table, (2048, 3)))
    new = run_pipeline(b.build([b.add(x, wide)])).graph
    literals = [n.output for n in new.nodes if n.op.name == "constant"]
    assert [v.shape for v in literals] == [(3,)]


def test_work_grows_with_the_graph_only() -> None:
    """Later rounds look at what is new; the report of a long chain is printed."""
    b = GraphBuilder()
    x = b.parameter(TensorType(t.f32, (B, 8)))
    for i in range(250):
        half = b.divide(x, b.full_like(2.0, x))
        x = b.tanh(b.add(b.full_like(float(i), x), half))
    result = run_pipeline(b.build([x]))
    print(result.report)
    assert max(r.rounds for r in result.report.records.values()) <= 3
    assert result.report.fired["divide_power_of_two"] == 250
    assert result.report.fired["literal_right"] == 250


# ------------------------------------------------------------------ common, dead


def test_common_subexpressions_compare_bits() -> None:
    b = GraphBuilder()
    x = b.parameter(VEC)
    zeros = [b.add(x, b.full_like(v, x)) for v in (0.0, -0.0, 0.0)]
    nans = [b.add(x, b.full_like(np.nan, x)) for _ in range(2)]
    graph = b.build([*zeros, *nans])
    new = run_pipeline(graph, Options(only=("eliminate_common",))).graph
    assert ops(new).count("add") == 3
    assert new.outputs[0] is new.outputs[2]
    assert new.outputs[0] is not new.outputs[1]


def test_commutative_operands_in_either_order() -> None:
    b = GraphBuilder()
    x, y = b.parameter(VEC), b.parameter(VEC)
    results = [
        b.add(x, y),
        b.add(y, x),
        b.subtract(x, y),
        b.subtract(y, x),
        b.add(x, x),
    ]
    new = run_pipeline(b.build(results), Options(only=("eliminate_common",))).graph
    assert sorted(ops(new)) == ["add", "add", "subtract", "subtract"]


def test_parameters_and_aliases_stay() -> None:
    b = GraphBuilder()
    x, unused = b.parameter(VEC, "x"), b.parameter(VEC, "unused")
    b.exponential(unused)
    graph = b.build([b.multiply(x, b.full_like(1.0, x)), x], aliases={0: 0})
    new = run_pipeline(graph).graph
    assert new.params == graph.params
    assert new.aliases == {0: 0}
    assert new.nodes == new.params
    assert new.outputs == (x, x)


def test_nothing_to_do_gives_the_same_graph() -> None:
    b = GraphBuilder()
    x = b.parameter(VEC)
    graph = b.build([b.exponential(x)])
    assert run_pipeline(graph).graph is graph


# ------------------------------------------------------------------ options


def test_only_skip_stop_after() -> None:
    graph = layer_norm()
    only = run_pipeline(graph, Options(only=("decompose",)))
    assert list(only.report.records) == ["decompose"]
    assert "power" not in ops(only.graph)
    assert "reshape" in ops(only.graph)
    skipped = run_pipeline(graph, Options(skip=("decompose", "sink_reshapes")))
    assert "decompose" not in skipped.report.records
    assert "power" in ops(skipped.graph)
    stopped = run_pipeline(graph, Options(stop_after="eliminate_dead"))
    assert list(stopped.report.records) == ["eliminate_dead"]


@pytest.mark.parametrize(
    "changes",
    [{"only": ("nope",)}, {"skip": ("nope",)}, {"stop_after": "nope"}],
)
def test_unknown_pass(changes: Mapping[str, Any]) -> None:
    with pytest.raises(PassError, match="unknown pass 'nope'") as error:
        run_pipeline(layer_norm(), Options(**changes))
    assert "canonicalize" in error.value.fix


def test_unknown_relaxed_rule() -> None:
    with pytest.raises(PassError, match="unknown relaxed rule 'fastest'"):
        run_pipeline(layer_norm(), Options(relaxed=("fastest",)))


def test_options_from_environment() -> None:
    env = {
        "JITFLOW_DUMP_TO": "dumps",
        "JITFLOW_EMITTER": "numba",
        "JITFLOW_NUM_THREADS": "3",
        "JITFLOW_SKIP_PASSES": "decompose, fold_transpose",
        "JITFLOW_RELAXED": "",
    }
    options = Options.from_env(env)
    assert options == Options(
        dump_to="dumps",
        emitter="numba",
        num_threads=3,
        skip=("decompose", "fold_transpose"),
    )
    assert Options.from_env({}) == Options()
    assert hash(options) == hash(Options.from_env(env))
    assert options.with_(skip=()).skip == ()


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"JITFLOW_EMITTER": "gcc"}, "unknown emitter 'gcc'"),
        ({"JITFLOW_NUM_THREADS": "many"}, "JITFLOW_NUM_THREADS is 'many'"),
        ({"JITFLOW_NUM_THREADS": "0"}, "num_threads is 0"),
    ],
)
def test_bad_environment(env: dict[str, str], message: str) -> None:
    with pytest.raises(CompilerError, match=message):
        Options.from_env(env)


def test_report_and_dumps() -> None:
    dumped: list[tuple[str, str]] = []

    class Keep:
        def dump(self, stage: str, text: str) -> None:
            dumped.append((stage, text))

    result = run_pipeline(layer_norm(), dumper=Keep())
    changed = sum(r.changed for r in result.report.records.values())
    assert len(dumped) == changed > 0
    assert all(stage.startswith("passes/") for stage, _ in dumped)
    assert dumped[-1][1] == print_graph(result.graph)
    table = str(result.report)
    assert "power_two x1" in table
    assert all(name in table for name in result.report.records)


def test_pipeline_is_documented() -> None:
    assert all(function.__doc__ and why for _, function, why in PIPELINE)


# ------------------------------------------------------------------ failures


def _renaming(before: str, after: str) -> Any:
    """A pass that turns one op into another."""

    def function(graph: Graph, ctx: PassContext) -> Graph:
        b = GraphBuilder()

        def rewrite(node: Node) -> Any:
            if node.op.name != before:
                return None
            return (getattr(b, after)(*node.inputs),)

        return rebuild(graph, rewrite)

    return function


def test_passes_that_undo_each_other_are_named(monkeypatch: Any) -> None:
    group = (
        ("to_sine", _renaming("cosine", "sine"), "test"),
        ("to_cosine", _renaming("sine", "cosine"), "test"),
    )
    monkeypatch.setattr(pipeline, "PIPELINE", group)
    monkeypatch.setattr(pipeline, "GROUPS", (("to_sine", "to_cosine"),))
    b = GraphBuilder()
    graph = b.build([b.sine(b.parameter(VEC))])
    with pytest.raises(PassError, match="to_sine and to_cosine") as error:
        run_pipeline(graph)
    assert "skip" in error.value.fix


def test_a_pass_that_breaks_the_graph_is_named(monkeypatch: Any) -> None:
    def forget(graph: Graph, ctx: PassContext) -> Graph:
        return Graph(graph.name, graph.params, graph.nodes[:-1], graph.outputs)

    monkeypatch.setattr(pipeline, "PIPELINE", (("forget", forget, "test"),))
    with pytest.raises(PassError, match="after forget"):
        run_pipeline(layer_norm())


def _one_rule(rule: Rule, graph: Graph) -> Graph:
    return apply_rules(graph, "test", rule_table([rule]), PassContext())


@pytest.mark.parametrize(
    ("replacement", "message"),
    [
        (lambda m: m.b.negate(m.b.sine(m["x"])), "keeps rewriting"),
        (lambda m: m.b.reduce_sum(m["x"], axes=(0,)), "value of type f32"),
        (lambda m: m.b.reduce_sum(m["x"], axes=(9,)), "C2"),
    ],
)
def test_bad_rules_are_named(replacement: Any, message: str) -> None:
    rule = Rule("wrong", apply_of("sine", X), replacement, "sin(x) -> ?")
    b = GraphBuilder()
    graph = b.build([b.sine(b.parameter(VEC))])
    with pytest.raises(PassError, match=message) as error:
        _one_rule(rule, graph)
    assert "rule wrong" in str(error.value)


def test_new_nodes_keep_location_and_scope() -> None:
    b = GraphBuilder()
    b.scope = lambda: "model/dense"
    x = b.parameter(VEC)
    graph = b.build([b.power(x, b.full_like(3.0, x))])
    new = run_pipeline(graph).graph
    assert {n.scope for n in new.nodes if n.op.name == "multiply"} == {"model/dense"}


# ------------------------------------------------------------------ nested graphs


def test_bodies_are_simplified() -> None:
    def infer(*types: TensorType, body: Graph) -> tuple[TensorType, ...]:
        return body.output_types

    fields = dict.fromkeys(("evaluate", "vjp", "jvp", "batch", "emit"))
    call = Op("apply_body", Kind.CONTROL, infer, attrs=("body",), doc="", **fields)
    inner = GraphBuilder("body")
    y = inner.parameter(VEC)
    body = inner.build([inner.multiply(y, inner.full_like(1.0, y))])
    b = GraphBuilder()
    graph = b.build([b.apply(call, (b.parameter(VEC),), {"body": body})])
    new = run_pipeline(graph).graph
    simplified = new.nodes[-1].attrs["body"]
    assert simplified.nodes == simplified.params
    assert run_pipeline(new).graph is new


# ------------------------------------------------------------------ dims


@pytest.mark.parametrize(
    ("source", "target", "groups"),
    [
        ((6, 5), (2, 3, 5), [((0,), (0, 1)), ((1,), (2,))]),
        ((B, 4), (B * 4,), [((0, 1), (0,))]),
        ((2, 1, 3), (2, 3), [((0,), (0,)), ((1,), ()), ((2,), (1,))]),
        ((4,), (1, 4, 1), [((), (0,)), ((0,), (1,)), ((), (2,))]),
        ((4, 6), (3, 8), [((0, 1), (0, 1))]),
        ((B, N), (N, B), [((0, 1), (0, 1))]),
        ((), (), []),
        ((0, 4), (4, 0), None),
    ],
)
def test_dim_groups(source: Any, target: Any, groups: Any) -> None:
    assert dim_groups(source, target) == groups


# ------------------------------------------------------------------ random graphs

UNARY = ["negate", "abs", "sign", "floor", "round_nearest_even"]
BINARY = ["add", "subtract", "multiply", "divide", "maximum", "minimum"]
MOVES = ["reshape", "transpose", "slice", "reverse", "reduce", "ones"]
VALUES = (0.0, -0.0, 1.0, -1.0, 2.0, 0.5, float("inf"), float("nan"))


def _move(b: GraphBuilder, x: Any, draw: Any) -> Any:
    """A random reshape, transpose, slice, reverse or broadcast and reduction."""
    kind = draw(st.sampled_from(MOVES))
    rank, shape = x.type.rank, x.shape
    if kind == "transpose":
        return b.transpose(x, permutation=tuple(draw(st.permutations(range(rank)))))
    if kind == "reverse":
        return b.reverse(x, dims=(draw(st.integers(0, rank - 1)),))
    if kind == "slice":
        start = tuple(draw(st.integers(0, d)) for d in shape)
        step = tuple(draw(st.integers(1, 2)) for _ in shape)
        cut = b.slice(x, start=start, limit=shape, strides=step)
        zero = b.scalar(-0.0, x.dtype)
        high = tuple(n - m for n, m in zip(shape, cut.shape, strict=True))
        return b.pad(cut, zero, low=(0,) * rank, high=high, interior=(0,) * rank)
    if kind == "reduce":
        axes = (draw(st.integers(0, rank - 1)),)
        name = draw(st.sampled_from(["reduce_max", "reduce_min"]))
        return b.keep_dims(getattr(b, name)(x, axes=axes), axes, x)
    if kind == "ones":
        wide = b.broadcast_in_dim(x, dims=tuple(range(1, rank + 1)), shape=(1, *shape))
        return b.reshape(wide, shape=shape[::-1])
    return b.reshape(x, shape=(*shape[1:], shape[0]))


@st.composite
def graphs(draw: Any) -> Graph:
    """Exact ops only, so that the results must agree bit for bit."""
    b = GraphBuilder()
    shape = draw(st.sampled_from([(2, 3), (1, 4), (2, 1, 3), (6,), (3, 0)]))
    pool = [b.parameter(TensorType(t.f32, shape)) for _ in range(2)]
    for _ in range(draw(st.integers(1, 14))):
        x = draw(st.sampled_from(pool))
        action = draw(st.sampled_from(["unary", "binary", "literal", "move", "where"]))
        if action == "unary":
            pool.append(getattr(b, draw(st.sampled_from(UNARY)))(x))
        elif action == "move":
            pool.append(_move(b, x, draw))
        elif action == "literal":
            value = b.full_like(draw(st.sampled_from(VALUES)), x)
            pair = (x, value) if draw(st.booleans()) else (value, x)
            pool.append(getattr(b, draw(st.sampled_from(BINARY)))(*pair))
        else:
            y = draw(st.sampled_from([v for v in pool if v.shape == x.shape]))
            if action == "binary":
                pool.append(getattr(b, draw(st.sampled_from(BINARY)))(x, y))
            else:
                less = b.compare(x, y, direction=draw(st.sampled_from(["LT", "NE"])))
                pool.append(b.select(less, y, x))
    return b.build(pool[2:][-3:])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(graphs())
def test_random_graphs_keep_every_bit(graph: Graph) -> None:
    rng = np.random.default_rng(1)
    arrays = [nasty(type_, rng) for type_ in graph.input_types]
    new = run_pipeline(graph).graph
    for a, b in zip(interpret(graph, *arrays), interpret(new, *arrays), strict=True):
        assert same_bits(a, b), f"{print_graph(graph)}\n{print_graph(new)}"
    again = run_pipeline(new).graph
    assert print_graph(again, canonical=True) == print_graph(new, canonical=True)
