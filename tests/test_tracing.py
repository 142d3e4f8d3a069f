"""Tracing alone: structures, contexts, captures, nesting, replay."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict, namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jitflow as jf
from compiler.ir.interpret import interpret
from compiler.ir.types import TensorType, f32
from jitflow.errors import ArgumentTypeError, TracerError
from jitflow.ops.dispatch import apply
from jitflow.tensor import state
from jitflow.tracing import TraceContext, flatten, map_structure, replay, unflatten
from jitflow.tracing.structure import leaf_paths

Pair = namedtuple("Pair", "a b")


@dataclasses.dataclass(frozen=True)
class Box:
    x: object
    y: object = dataclasses.field(default=None, init=False)


def nested() -> st.SearchStrategy:
    leaves = st.one_of(st.none(), st.integers(), st.text(max_size=2))
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.lists(inner, max_size=3).map(tuple),
            st.dictionaries(st.text(max_size=2), inner, max_size=3),
            st.tuples(inner, inner).map(lambda p: Pair(*p)),
            inner.map(Box),
        ),
        max_leaves=8,
    )


@given(nested())
def test_flatten_round_trip(value) -> None:
    leaves, structure = flatten(value)
    again = unflatten(structure, leaves)
    assert again == value
    assert type(again) is type(value)
    assert flatten(again)[1] == structure
    assert hash(flatten(again)[1]) == hash(structure)
    assert len(leaf_paths(value, "v")) == structure.size == len(leaves)


def test_structures_differ() -> None:
    values = [[1], (1,), {"a": 1}, {"b": 1}, Pair(1, 2), (1, 2), Box(1), 1]
    structures = [flatten(v)[1] for v in values]
    assert len(set(structures)) == len(values)


def test_special_dicts() -> None:
    for value in (OrderedDict(b=1, a=[2]), defaultdict(list, {"k": [3]})):
        leaves, structure = flatten(value)
        again = unflatten(structure, leaves)
        assert again == value
        assert type(again) is type(value)


def test_map_structure_and_paths() -> None:
    value = {"a": [1, (2,)], "b": Pair(3, None)}
    doubled = map_structure(lambda x, y: (x, y) if x else x, value, value)
    assert doubled["a"][1] == ((2, 2),)
    assert leaf_paths(value, "v") == [
        "v['a'][0]",
        "v['a'][1][0]",
        "v['b'].a",
        "v['b'].b",
    ]
    with pytest.raises(ValueError, match="differ"):
        map_structure(max, [1], (1,))
    with pytest.raises(ValueError, match="needs 1 leaves"):
        unflatten(flatten(1)[1], [])


# ------------------------------------------------------------------------- contexts


def test_captures_are_inputs_once() -> None:
    w = jf.asarray(np.ones(2, np.float32))
    v = jf.Variable(np.zeros(2, np.float32), name="layer/v")
    context = TraceContext("f")
    x = context.parameter(TensorType(f32, (2,)), "x")
    with context.active():
        y = x * w + w + v
        v.assign(y)
        z = v + 1.0
    graph = context.build([z])
    assert [p.attrs["name"] for p in graph.params] == ["x", "c0", "v1_layer_v"]
    assert [c for c, _ in context.captures] == [w, v] or context.captures[0][0] is w
    assert graph.aliases == {1: 2}
    one = np.ones(2, np.float32)
    z_array, v_array = interpret(graph, one, one, one)
    assert z_array.tolist() == [4, 4]
    assert v_array.tolist() == [3, 3]
    assert v.numpy().tolist() == [0, 0]


def test_everything_is_staged() -> None:
    f = jf.function(lambda: jf.zeros((2,)) + jf.arange(2.0))
    assert f().numpy().tolist() == [0, 1]
    assert "iota" in f.ir()


def test_locations_and_scopes() -> None:
    @jf.function
    def f(x):
        with jf.name_scope("block"):
            return jf.tanh(x)

    f(jf.asarray(1.0))
    (node,) = (n for n in f.trace(jf.asarray(1.0)).graph.nodes if n.op.name == "tanh")
    assert node.scope == "block"
    assert node.loc.file.endswith("test_tracing.py")
    assert node.loc.function == "f"


def test_nested_context_captures_outer_tensors() -> None:
    outer, inner = TraceContext("outer"), None
    x = outer.parameter(TensorType(f32, ()), "x")
    v = jf.Variable(2.0)
    with outer.active():
        y = x * 2.0
        inner = TraceContext("body", parent=outer)
        i = inner.parameter(TensorType(f32, ()), "i")
        with inner.active():
            result = i + y + v
            v.assign(result)
        assert state.trace is outer
    body = inner.build([result])
    assert next(c for c, _ in inner.captures) is y
    assert len(body.params) == 3
    assert [variable for variable, _ in inner.written] == [v]
    # A tensor of the body has no meaning outside of it.
    with pytest.raises(TracerError, match="outside its trace"), outer.active():
        outer.lift(result)


def test_no_variables_in_nested_contexts() -> None:
    outer = TraceContext("outer", may_create=True)
    with outer.active():
        inner = TraceContext("body", parent=outer)
        with pytest.raises(ValueError, match="in a loop or branch"), inner.active():
            jf.Variable(1.0)


def test_state_is_restored_after_errors() -> None:
    context = TraceContext("f")
    with pytest.raises(RuntimeError, match="mine"), context.active():
        raise RuntimeError("mine")
    assert state.trace is None
    assert context.closed


def test_replay_inlines_a_symbolic_graph() -> None:
    f = jf.function(
        lambda x: jf.sum(x * 2.0 + 1.0, axis=1),
        input_signature=[jf.TensorSpec([None, 3])],
    )
    graph = f.trace(jf.TensorSpec([None, 3])).graph
    x = jf.asarray(np.ones((4, 3), np.float32))
    (y,) = replay(graph, [x], apply, {"B": 4})
    assert y.numpy().tolist() == [9] * 4


def test_initial_values_from_a_generator_are_drawn_once() -> None:
    def build():
        return jf.Variable(jf.random.default_generator().normal((3,)))

    jf.random.set_seed(1)
    want = [build().numpy(), build().numpy(), build().numpy()]
    jf.random.set_seed(1)
    made = []

    @jf.function(purity="off")
    def f(x):
        if not made:
            made.extend([build(), build()])
        return x + made[0] + made[1]

    f(jf.asarray(np.zeros(3, np.float32)))
    got = [made[0].numpy(), made[1].numpy(), build().numpy()]
    np.testing.assert_array_equal(got, want)


def test_tensor_spec() -> None:
    spec = jf.TensorSpec([None, "N", 3], "float64", name="x")
    assert spec == jf.TensorSpec([None, "N", 3], "float64", name="x")
    assert "float64" in repr(spec)
    assert spec.accepts((1, 2, 3), spec.dtype)
    assert not spec.accepts((1, 2, 4), spec.dtype)
    assert not spec.accepts((2, 3), spec.dtype)
    with pytest.raises(ArgumentTypeError, match="size"):
        jf.TensorSpec([1.5])
