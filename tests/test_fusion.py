"""Fusion: what becomes one kernel, what does not, and why."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import compiler.ops  # noqa: F401
from compiler.driver import compile_graph, lower_graph
from compiler.fusion.fuse import fuse
from compiler.fusion.order import StepOrder
from compiler.ir.builder import GraphBuilder
from compiler.ir.dims import symbol
from compiler.ir.interpret import interpret
from compiler.ir.types import TensorType, f32, i32
from compiler.options import Options

B = symbol("B")


def kernels(b, *outputs, aliases=None):
    """Lowered form of a graph with these outputs."""
    return lower_graph(b.build(list(outputs), aliases), Options())


def counts(b, *outputs):
    return compile_graph(b.build(list(outputs)), Options()).counts


def softmax(b, x):
    axes = (b.type_of(x).rank - 1,)
    top = b.keep_dims(b.reduce_max(x, axes=axes), axes, x)
    e = b.exponential(b.subtract(x, top))
    return b.divide(e, b.keep_dims(b.reduce_sum(e, axes=axes), axes, x))


def layer_norm(b, x):
    rows = b.type_of(x).shape[:1]
    n = b.broadcast(b.convert(b.get_dimension_size(x, dim=1), dtype=f32), rows)
    mean = b.divide(b.reduce_sum(x, axes=(1,)), n)
    centred = b.subtract(x, b.keep_dims(mean, (1,), x))
    square = b.reduce_sum(b.multiply(centred, centred), axes=(1,))
    inverse = b.rsqrt(b.add(b.divide(square, n), b.full(1e-5, b.type_of(n))))
    return b.multiply(centred, b.keep_dims(inverse, (1,), x))


@pytest.mark.parametrize("make", [softmax, layer_norm])
def test_row_normalisation_is_one_kernel(make):
    b = GraphBuilder()
    x = b.parameter(TensorType(f32, (B, 64)))
    assert counts(b, make(b, x))["kernels"] == 1


def test_softmax_keeps_the_exponential_in_a_scratch_row():
    b = GraphBuilder()
    x = b.parameter(TensorType(f32, (B, 64)))
    (item,) = kernels(b, softmax(b, x)).schedule.items
    assert [s.buffer for s in item.kernel.scratch] == ["w0"]
    assert item.kernel.program.text().count("exponential") == 1


def test_a_row_that_is_read_backwards_is_not_kept():
    b = GraphBuilder()
    x = b.parameter(TensorType(f32, (B, 8)))
    w = b.parameter(TensorType(f32, (B, 8)))
    y = b.reverse(b.exponential(b.tanh(b.reverse(x, dims=(1,)))), dims=(1,))
    total = b.keep_dims(b.reduce_sum(y, axes=(1,)), (1,), y)
    graph = b.build([b.multiply(b.divide(y, total), w)])
    arrays = np.random.default_rng(0).normal(size=(2, 5, 8)).astype(np.float32)
    (got,) = compile_graph(graph, Options(only=()))(list(arrays))
    (want,) = interpret(graph, *arrays)
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_activation_gradient_and_bias_gradient_are_one_kernel():
    b = GraphBuilder()
    x = b.parameter(TensorType(f32, (B, 64)))
    g = b.parameter(TensorType(f32, (B, 64)))
    zero = b.zeros_like(x)
    d = b.select(b.compare(x, zero, direction="GT"), g, zero)
    found = counts(b, d, b.reduce_sum(d, axes=(0,)))
    assert (found["kernels"], found["combines"]) == (1, 1)


def test_two_users_of_one_reduction_stay_together():
    b = GraphBuilder()
    x = b.parameter(TensorType(f32, (B, 64)))
    log_sum = b.log(b.reduce_sum(b.exponential(x), axes=(1,)))
    shifted = b.subtract(x, b.keep_dims(log_sum, (1,), x))
    loss = b.reduce_sum(log_sum, axes=(0,))
    assert counts(b, shifted, loss)["kernels"] == 1


def test_siblings_that_read_the_same_rows_are_one_kernel():
    b = GraphBuilder()
    x = b.parameter(TensorType(f32, (B, 64)))
    one = b.reduce_sum(x, axes=(0,))
    two = b.reduce_sum(b.multiply(x, x), axes=(0,))
    assert counts(b, one, two)["kernels"] == 1


def test_views_cost_nothing():
    b = GraphBuilder()
    x = b.parameter(TensorType(f32, (4, 6)))
    y = b.transpose(b.reshape(x, shape=(2, 2, 6)), permutation=(2, 0, 1))
    y = b.tanh(b.reverse(y, dims=(1,)))
    assert counts(b, y) == {
        **dict.fromkeys(("combines", "dots", "host", "copies"), 0),
        "nodes": 5,
        "kernels": 1,
    }


def test_a_column_sum_is_not_fused_with_its_users_and_says_why():
    b = GraphBuilder()
    x = b.parameter(TensorType(f32, (B, 64)))
    total = b.reduce_sum(b.exponential(x), axes=(0,))
    y = b.add(x, b.broadcast(total, (B, 64)))
    fused = fuse(b.build([y]))
    assert fused.kernel_count > 1
    assert any("complete only after the last row" in r for r in fused.refusals)


def test_an_expensive_small_value_is_not_recomputed_for_every_row():
    b = GraphBuilder()
    x = b.parameter(TensorType(f32, (B, 64)))
    w = b.parameter(TensorType(f32, (64,)))
    y = b.multiply(x, b.broadcast(b.exponential(b.tanh(w)), (B, 64)))
    fused = fuse(b.build([y]))
    assert fused.kernel_count == 2
    assert any("again for every row" in r for r in fused.refusals)


def test_equal_kernels_are_one_program():
    b = GraphBuilder()
    outs = []
    for n in (8, 16, 32):
        x = b.parameter(TensorType(f32, (n, n)))
        y = b.parameter(TensorType(f32, (n,)))
        outs.append(b.tanh(b.add(x, b.broadcast(y, (n, n)))))
    items = kernels(b, *outs).schedule.items
    assert len(items) == 3
    assert len({i.kernel.program.text() for i in items}) == 1


def test_programs_do_not_depend_on_sizes_even_when_they_coincide():
    texts = set()
    for rows, columns in [(64, 64), (32, 64), (B, 64), (64, 10)]:
        b = GraphBuilder()
        x = b.parameter(TensorType(f32, (rows, columns)))
        y = b.parameter(TensorType(f32, (columns,)))
        labels = b.parameter(TensorType(i32, (rows,)))
        n = b.convert(b.get_dimension_size(x, dim=0), dtype=f32)
        z = softmax(b, b.add(x, b.broadcast(y, (rows, columns))))
        iota = b.iota(type=TensorType(i32, (rows, columns)), dim=1)
        wanted = b.broadcast_in_dim(labels, dims=(0,), shape=(rows, columns))
        hit = b.convert(b.compare(iota, wanted, direction="EQ"), dtype=f32)
        g = b.divide(b.subtract(z, hit), b.broadcast(n, (rows, columns)))
        plan = kernels(b, g, b.reduce_sum(g, axes=(0,))).schedule
        texts.add(
            "\n".join(i.kernel.program.text() for i in plan.items if i.node is None)
        )
    assert len(texts) == 1


def test_variables_are_updated_in_place():
    b = GraphBuilder()
    p = b.parameter(TensorType(f32, (100,)), "p")
    g = b.parameter(TensorType(f32, (100,)), "g")
    new = b.subtract(p, g)
    executable = compile_graph(b.build([new, b.reduce_sum(new, axes=(0,))], {0: 0}))
    assert executable.counts["copies"] == 0
    variable, step = np.ones(100, np.float32), np.full(100, 0.25, np.float32)
    updated, total = executable([variable, step])
    assert np.shares_memory(updated, variable)
    assert variable[0] == 0.75
    assert total == 75.0


def test_an_old_value_that_is_read_later_is_not_overwritten():
    b = GraphBuilder()
    p = b.parameter(TensorType(f32, (100,)), "p")
    total = b.reduce_sum(b.add(p, b.ones_like(p)), axes=(0,))
    reversed_ = b.reverse(p, dims=(0,))
    new = b.add(reversed_, b.broadcast(total, (100,)))
    executable = compile_graph(b.build([new], {0: 0}))
    before = np.arange(100, dtype=np.float32)
    variable = before.copy()
    executable([variable])
    np.testing.assert_allclose(variable, before[::-1] + (before + 1).sum())


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_merging_never_makes_a_cycle(data):
    n = data.draw(st.integers(2, 14))
    pairs = list(itertools.combinations(range(n), 2))
    edges = data.draw(st.sets(st.sampled_from(pairs)))
    owner = {i: i for i in range(n)}

    def successors(step):
        return {owner[b] for a, b in edges if owner[a] == step and owner[b] != step}

    order = StepOrder(range(n), successors)
    for _ in range(data.draw(st.integers(1, 10))):
        a, b = (owner[data.draw(st.integers(0, n - 1))] for _ in range(2))
        if a == b:
            continue
        dependent = order.between(a, b)
        if dependent is None:
            continue
        order.merge(a, b, dependent, a)
        owner = {i: (a if o == b else o) for i, o in owner.items()}
        for x, y in edges:
            assert owner[x] == owner[y] or order.rank(owner[x]) < order.rank(owner[y])
