"""Graph text: print -> parse -> print is a fixed point, and values keep every bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import compiler.ops  # noqa: F401
from compiler.errors import CompilerError, ParseError
from compiler.ir import op as op_table
from compiler.ir import types as t
from compiler.ir.builder import GraphBuilder
from compiler.ir.dims import symbol
from compiler.ir.fingerprint import fingerprint
from compiler.ir.location import Location
from compiler.ir.node import Graph, Literal
from compiler.ir.op import Kind, Op
from compiler.ir.parser import parse_graph
from compiler.ir.printer import attr_text, element_from_text, element_text, print_graph
from compiler.ir.types import TensorType
from tests import op_samples

B = symbol("B")
f32 = t.f32


def ty(*shape: object, dtype: t.DType = f32) -> TensorType:
    return TensorType(dtype, shape)


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Op:
    """An op that takes any one attribute and gives its operand types back."""
    record = Op(
        name="probe",
        kind=Kind.EXTERN,
        infer=lambda *types, a: types,
        evaluate=lambda *arrays, a: arrays,
        vjp=None,
        jvp=None,
        batch=None,
        emit=None,
        attrs=("a",),
        doc="",
    )
    monkeypatch.setitem(op_table._TABLE, "probe", record)
    return record


def with_attr(record: Op, value: object) -> Graph:
    b = GraphBuilder("g")
    x = b.parameter(ty(3), "x")
    return b.build([b.apply(record, (x,), {"a": value})])


def attr_of(graph: Graph) -> object:
    return graph.nodes[-1].attrs["a"]


def assert_fixed_point(graph: Graph) -> None:
    for canonical in (False, True):
        text = print_graph(graph, canonical)
        assert print_graph(parse_graph(text), canonical) == text
    assert fingerprint(parse_graph(print_graph(graph))) == fingerprint(graph)


def mlp() -> Graph:
    b = GraphBuilder("loss")
    lines = iter(range(14, 99))
    b.location = lambda: Location("/home/me/mlp.py", next(lines), "loss")
    b.scope = lambda: "model/dense_1"
    x, w = b.parameter(ty(B, 784), "x"), b.parameter(ty(784, 10), "w")
    y = b.dot_general(x, w, contract=((1,), (0,)), batch=((), ()))
    z = b.add(y, b.broadcast_in_dim(b.parameter(ty(10), "b"), dims=(1,), shape=(B, 10)))
    return b.build([b.reduce_sum(z, axes=(0, 1)), w], {1: 1})


def test_readable_text_is_this() -> None:
    assert print_graph(mlp()) == (
        "graph loss(%x: f32[B,784], %w: f32[784,10], %b: f32[10])"
        " -> (f32[], f32[784,10]) aliases {1: 1} {\n"
        "  %0 = dot_general(%x, %w) {batch=[]x[], contract=[1]x[0]} : f32[B,10]"
        "  # mlp.py:16 model/dense_1\n"
        "  %1 = broadcast_in_dim(%b) {dims=[1], shape=[B, 10]} : f32[B,10]"
        "       # mlp.py:18 model/dense_1\n"
        "  %2 = add(%0, %1) : f32[B,10]"
        "                                          # mlp.py:19 model/dense_1\n"
        "  %3 = reduce_sum(%2) {axes=[0, 1]} : f32[]"
        "                             # mlp.py:20 model/dense_1\n"
        "  return %3, %w\n"
        "}\n"
    )


def test_canonical_text_is_this() -> None:
    assert print_graph(mlp(), canonical=True) == (
        "graph main(%p0: f32[B,784], %p1: f32[784,10], %p2: f32[10])"
        " -> (f32[], f32[784,10]) aliases {1: 1} {\n"
        "  %0 = dot_general(%p0, %p1) {batch=[]x[], contract=[1]x[0]} : f32[B,10]\n"
        "  %1 = broadcast_in_dim(%p2) {dims=[1], shape=[B, 10]} : f32[B,10]\n"
        "  %2 = add(%0, %1) : f32[B,10]\n"
        "  %3 = reduce_sum(%2) {axes=[0, 1]} : f32[]\n"
        "  return %3, %p1\n"
        "}\n"
    )


def test_parse_restores_structure() -> None:
    graph = parse_graph(print_graph(mlp()))
    assert [p.attrs["name"] for p in graph.params] == ["x", "w", "b"]
    assert graph.aliases == {1: 1}
    assert graph.symbols() == ("B",)
    node = graph.nodes[3]
    assert (str(node.loc), node.scope) == ("mlp.py:16", "model/dense_1")
    assert node.attrs["contract"] == ((1,), (0,))
    assert_fixed_point(mlp())


ATTRIBUTES = [
    *(0, -3, 2**70, True, False, None, "", 'a "b"\n\t\\ é \ud800 # }', "none"),
    *(0.0, -0.0, 1.0, 0.1, 1e300, 1e-320, math.inf, -math.inf, 1e16),
    *((), (1,), (1, 2), ((1,), (0,)), ((), ()), ((1, 2), (3,), ()), ((1, B), (2,))),
    *((((1,), (0,)), (True, 1.0)), ((True,), (False,)), ("a", (None, (f32,)))),
    *(*t.ALL_DTYPES, ty(), ty(3, 2 * B + 1), ty(0, dtype=t.bf16)),
    *(B, 2 * B - 3, -1 * B, B * B * symbol("N") + 4, symbol("f32"), symbol("inf")),
    *(symbol("graph"), symbol("true") + 1, -1 * symbol("nan"), symbol("dim") * 2),
    *(symbol("x"), symbol("e5") * 2, symbol("f32_"), symbol("_")),
]


@pytest.mark.parametrize("value", ATTRIBUTES, ids=repr)
def test_attribute_round_trip(probe: Op, value: object) -> None:
    graph = with_attr(probe, value)
    back = attr_of(parse_graph(print_graph(graph)))
    assert repr(back) == repr(value)
    assert type(back) is type(value)
    assert back == value
    assert_fixed_point(graph)


@pytest.mark.parametrize("bits", [0x7FF8 << 48, 0xFFF8 << 48, (0x7FF8 << 48) + 5])
def test_nan_attribute_keeps_its_bits(probe: Op, bits: int) -> None:
    value = float(np.array(bits, np.uint64).view(np.float64))
    back = attr_of(parse_graph(print_graph(with_attr(probe, value))))
    assert int(np.array(back).view(np.uint64)) == bits


def test_unprintable_attribute_is_an_error(probe: Op) -> None:
    with pytest.raises(CompilerError, match="cannot be object"):
        attr_text(object())


def _bit_patterns(dtype: t.DType) -> np.ndarray:
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 256, (400, dtype.itemsize), dtype=np.uint8)
    raw[:4] = [[0], [255], [127], [128]]
    if dtype.kind == "b":
        raw &= 1
    return raw.reshape(-1).view(dtype.np)


@pytest.mark.parametrize("dtype", t.ALL_DTYPES, ids=repr)
@pytest.mark.parametrize("count", [0, 1, 31, 33])
def test_literals_keep_every_bit(probe: Op, dtype: t.DType, count: int) -> None:
    for chunk in np.array_split(_bit_patterns(dtype), 8):
        array = chunk[:count]
        back = attr_of(parse_graph(print_graph(with_attr(probe, Literal(array)))))
        assert back.array.dtype == array.dtype
        assert back.array.shape == array.shape
        assert back.array.tobytes() == array.tobytes()


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1, 1), (2, 3, 4), (7, 11)])
def test_literal_shapes(probe: Op, shape: tuple[int, ...]) -> None:
    array = np.arange(math.prod(shape), dtype=np.float32).reshape(shape) - 0.5
    graph = with_attr(probe, Literal(array))
    assert attr_of(parse_graph(print_graph(graph))) == Literal(array)
    assert_fixed_point(graph)


@pytest.mark.parametrize("dtype", [t.f16, t.bf16], ids=repr)
def test_every_16_bit_float_has_text(dtype: t.DType) -> None:
    values = np.arange(1 << 16, dtype=np.uint16).view(dtype.np)
    for value in values[::7]:
        text = element_text(value, dtype)
        assert element_from_text(text, dtype).tobytes() == value.tobytes()


def test_nested_graphs(probe: Op) -> None:
    inner = with_attr(probe, (1, mlp()))
    b = GraphBuilder("outer")
    x = b.parameter(ty(B), "x")
    graph = b.build([b.apply(probe, (x,), {"a": (inner, mlp())})])
    back = attr_of(parse_graph(print_graph(graph)))
    assert [type(g) for g in back] == [Graph, Graph]
    assert fingerprint(back[1]) == fingerprint(mlp())
    assert_fixed_point(graph)


def test_several_results_and_none(probe: Op) -> None:
    b = GraphBuilder("g")
    x, y = b.parameter(ty(3), "x"), b.parameter(ty(2), "y")
    p, q = b.apply(probe, (x, y), {"a": 0})
    b.apply(probe, (), {"a": "effect"})
    graph = b.build([q, p, p])
    text = print_graph(graph)
    assert "%0, %1 = probe(%x, %y) {a=0} : f32[3], f32[2]\n" in text
    assert '  probe() {a="effect"} : ()\n' in text
    assert print_graph(parse_graph(text)) == text


NAMES = [
    "x",
    "x",
    "x.1",
    "0",
    "",
    "a b",
    "%",
    "w/0",
    "return",
    "graph",
    'q"',
    "é\n",
    "-",
]


def test_any_parameter_and_graph_name() -> None:
    for name in NAMES:
        b = GraphBuilder(name)
        params = [b.parameter(ty(3), n or "tmp") for n in NAMES]
        assert_fixed_point(b.build([b.add(p, params[0]) for p in params]))


PLACES = [
    (Location("/a b/c d.py", 3), "m/dense"),
    (Location("", 0), "only scope"),
    (Location("x.py", 7), "two  spaces\nand line \x85 ends "),
    (Location("a:1 b.py", 2), ""),
    (Location("", 5), "  "),
    (Location("", 0), " {fast: rule}"),
]


@pytest.mark.parametrize(("loc", "scope"), PLACES)
def test_any_location_and_scope(loc: Location, scope: str) -> None:
    b = GraphBuilder("g")
    b.location, b.scope = lambda: loc, lambda: scope
    x = b.parameter(ty(3), "x")
    assert_fixed_point(b.build([b.negate(b.negate(x))]))


def test_empty_graph_and_no_results() -> None:
    assert_fixed_point(GraphBuilder("empty").build([]))
    b = GraphBuilder("identity")
    x = b.parameter(ty(B, dtype=t.c64), "x")
    assert_fixed_point(b.build([x, x]))


ERRORS = [
    ("dot_general", "dot_genral", "unknown op dot_genral", "dot_general?"),
    ("(%x, %w)", "(%x, %v)", "%v is not defined", ""),
    ("axes=[0, 1]", "axes=[0, 1", "expected ','", ""),
    ("axes=", "axis=", "takes attributes", ""),
    (": f32[]  ", ": f32[7]  ", "reduce_sum gives f32[], the text says f32[7]", ""),
    ("return %3", "return %2", "the graph returns f32[B,10]", ""),
    ("{1: 1}", "{1: 0}", "V7", ""),
    ("%1 = ", "%0 = ", "%0 is defined twice", ""),
    ("f32[10])", "g32[10])", "not a tensor type", ""),
    ("dims=[1]", "dims=[@]", "the value of an attribute", ""),
    ("dims=[1]", "dims=[f32(abc)]", "abc is not of type f32", ""),
    ("dims=[1]", "dims=[f32[2](1.0)]", "has 2 elements, given 1", ""),
    ("dims=[1]", 'dims=[f32[2]("A")]', "not the bytes", ""),
    ("dims=[1]", 'dims=["\\q"]', "not a string", ""),
    ("dims=[1]", "dims=[i8(300)]", "300 is not of type i8", ""),
    ("dims=[1]", "dims=[f32[B](1.0)]", "fixed shape", ""),
    ("%0 = dot", "%0, %9 = dot", "2 names for 1 results", ""),
    ("\n}\n", "\n}\n}", "text after the end", ""),
    ("graph loss", "loss", "expected 'graph'", ""),
    ("\n}\n", "", "expected '}'", ""),
]


@pytest.mark.parametrize(("old", "new", "message", "fix"), ERRORS)
def test_parse_errors(old: str, new: str, message: str, fix: str) -> None:
    text = print_graph(mlp())
    assert old in text
    with pytest.raises(ParseError) as caught:
        parse_graph(text.replace(old, new, 1), "f.ir")
    assert message in str(caught.value)
    assert fix in caught.value.fix
    assert caught.value.where.startswith("f.ir:")


def test_parse_error_points_at_the_place() -> None:
    text = "graph g(%x: f32[2]) -> (f32[2]) {\n  %0 = ad(%x) : f32[2]\n}"
    with pytest.raises(ParseError) as caught:
        parse_graph(text)
    assert caught.value.where == "line 2:8"
    assert caught.value.message.splitlines()[1:] == [
        "    %0 = ad(%x) : f32[2]",
        "         ^",
    ]


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet='graph %x01:f32[],()->{}="\n#+-*.@ return add', max_size=80))
def test_garbage_is_a_parse_error(text: str) -> None:
    with pytest.raises(ParseError):
        parse_graph(text + "$")


def test_spaces_comments_and_trailing_commas_are_free() -> None:
    graph = parse_graph(
        """# a file comment
        graph g ( %x : f32[ B , 2 ], ) -> ( f32[B,2] , )
        { # not a location
          %a = negate( %x, )
             : f32[B,2]   # m.py:3
          # between
          %b=negate(%a):f32[B,2]return %b}"""
    )
    assert [str(n.loc) for n in graph.nodes[1:]] == ["m.py:3", ":0"]
    assert_fixed_point(graph)


def _swap_order(first: bool) -> Graph:
    b = GraphBuilder("one" if first else "two")
    x, y = b.parameter(ty(4), "x"), b.parameter(ty(4), "why")
    if first:
        p = b.negate(x)
        q = b.sine(y)
    else:
        b.scope = lambda: "elsewhere"
        q = b.sine(y)
        b.cosine(y)  # nothing needs it
        p = b.negate(x)
    return b.build([b.add(p, q)])


def test_fingerprint_ignores_names_order_and_dead_nodes() -> None:
    assert fingerprint(_swap_order(True)) == fingerprint(_swap_order(False))


def test_fingerprint_sees_what_matters() -> None:
    def graph(op: str, swap: bool, dtype: t.DType, alias: bool) -> Graph:
        b = GraphBuilder()
        x, y = b.parameter(ty(4, dtype=dtype)), b.parameter(ty(4, dtype=dtype))
        out = b.apply(op_table.get(op), (y, x) if swap else (x, y), {})
        return b.build([out], {0: 0} if alias else None)

    variants = [
        graph("subtract", False, f32, False),
        graph("add", False, f32, False),
        graph("subtract", True, f32, False),
        graph("subtract", False, t.f64, False),
        graph("subtract", False, f32, True),
    ]
    assert len({fingerprint(g) for g in variants}) == len(variants)


_UNARY = ["negate", "sine", "exponential", "is_finite", "abs"]
_BINARY = ["add", "multiply", "maximum", "subtract"]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Random graphs over arrays of shape (B, 3), with literals and reductions."""
    b = GraphBuilder(draw(st.text(max_size=5)) or "g")
    place = Location(
        draw(st.sampled_from(["", "a.py", "x y.py"])), draw(st.integers(0, 9))
    )
    b.location = lambda: place
    b.scope = lambda: draw(st.sampled_from(["", "m", "m/dense_1 {fast: r}"]))
    pool = [b.parameter(ty(B, 3)) for _ in range(draw(st.integers(1, 3)))]
    for _ in range(draw(st.integers(0, 12))):
        pick = st.sampled_from(pool)
        pool.append(
            draw(st.sampled_from([_unary, _binary, _literal, _matrix]))(b, draw, pick)
        )
    return b.build(draw(st.lists(st.sampled_from(pool), max_size=4)))


def _unary(b: GraphBuilder, draw: st.DrawFn, pick: st.SearchStrategy) -> object:
    op = op_table.get(draw(st.sampled_from(_UNARY)))
    return b.cast(b.apply(op, (draw(pick),), {}), f32)


def _binary(b: GraphBuilder, draw: st.DrawFn, pick: st.SearchStrategy) -> object:
    op = op_table.get(draw(st.sampled_from(_BINARY)))
    return b.apply(op, (draw(pick), draw(pick)), {})


def _literal(b: GraphBuilder, draw: st.DrawFn, pick: st.SearchStrategy) -> object:
    value = draw(st.lists(st.floats(width=32), min_size=3, max_size=3))
    row = b.constant(np.array(value, np.float32))
    return b.add(draw(pick), b.broadcast(row, (B, 3)))


def _matrix(b: GraphBuilder, draw: st.DrawFn, pick: st.SearchStrategy) -> object:
    x = b.transpose(draw(pick), permutation=(1, 0))
    square = b.dot_general(x, draw(pick), contract=((1,), (0,)), batch=((), ()))
    return b.broadcast(b.reduce_sum(square, axes=(0,)), (B, 3))


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_random_graphs_round_trip(graph: Graph) -> None:
    assert_fixed_point(graph)


@pytest.mark.parametrize("name", sorted(op_samples.ALL))
def test_every_op_round_trips(name: str) -> None:
    record = op_table.get(name)
    for sample in op_samples.ALL[name]:
        b = GraphBuilder(name)
        inputs = tuple(b.parameter(t.type_of_array(x)) for x in sample.inputs)
        b.apply(record, inputs, sample.attrs)
        graph = b.build(b.nodes[-1].outputs)
        assert_fixed_point(graph)
        assert parse_graph(print_graph(graph)).nodes[-1].attrs == graph.nodes[-1].attrs
