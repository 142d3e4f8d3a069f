"""Eager = compiled = interpreted on random programs, and gradients are slopes.

The programs are those of `tests.random_graphs`. ``python -m tests.test_random_programs
10000`` runs as many of up to 60 ops.
"""

from __future__ import annotations

import sys

import numpy as np
from hypothesis import HealthCheck, assume, given, settings

import jitflow as jf
from compiler.ir.interpret import bind_graph, bind_symbols, interpret
from compiler.ir.node import Graph
from compiler.ir.printer import print_graph
from compiler.ir.transform import inline
from compiler.ir.types import f64
from jitflow.ops.dispatch import builder
from tests.random_graphs import assert_same, programs

QUIET = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def fixed_graph(graph: Graph, arrays: list[np.ndarray]) -> Graph:
    """The graph with its symbols replaced by the sizes of these arrays."""
    return bind_graph(graph, bind_symbols(graph, [a.shape for a in arrays]))


def as_function(graph: Graph, arrays: list[np.ndarray]):
    """A Python function of tensors that applies the graph's ops one by one."""
    fixed = fixed_graph(graph, arrays)

    def run(*tensors):
        return inline(builder, fixed, tensors)

    return run


def check_values(program) -> None:
    """Eager, compiled and interpreted results agree."""
    graph, arrays = program
    want = interpret(graph, *arrays)
    run = as_function(graph, arrays)
    tensors = [jf.asarray(a) for a in arrays]
    eager = [t.numpy() for t in run(*tensors)]
    assert_same(eager, want, print_graph(graph))
    compiled = [t.numpy() for t in jf.function(run)(*tensors)]
    assert_same(compiled, want, print_graph(graph))


def check_gradient(program) -> None:
    """The compiled gradient of a weighted sum is its slope along a random direction."""
    graph, arrays = program
    assume(graph.input_types[0].dtype is f64)
    rng = np.random.default_rng(len(graph.nodes))
    # Away from kinks, and from the nasty values, which have no slopes.
    arrays = [rng.normal(size=a.shape) for a in arrays]
    run = as_function(graph, arrays)

    def total(*tensors):
        return sum(jf.sum(jf.tanh(y)) for y in run(*tensors))

    step = 1e-6
    direction = [rng.normal(size=a.shape) for a in arrays]

    def moved(sign):
        points = zip(arrays, direction, strict=True)
        return float(total(*(jf.asarray(a + sign * step * d) for a, d in points)))

    slope = (moved(1) - moved(-1)) / (2 * step)
    compiled = jf.function(jf.grad(total, argnums=tuple(range(len(arrays)))))
    found = compiled(*(jf.asarray(a) for a in arrays))
    along = sum(
        float(np.sum(g.numpy() * d)) for g, d in zip(found, direction, strict=True)
    )
    kinks = (
        "abs",
        "maximum",
        "minimum",
        "floor",
        "compare",
        "reduce_max",
        "reduce_min",
    )
    loose = 1e-4 if any(n.op.name in kinks for n in graph.nodes) else 1e-6
    size = 1 + abs(slope) + abs(along)
    assert abs(slope - along) <= loose * size, print_graph(graph)


@QUIET
@given(programs())
def test_eager_equals_compiled_equals_interpreted(program):
    check_values(program)


@settings(QUIET, max_examples=25)
@given(programs(max_ops=8))
def test_gradients_are_slopes(program):
    check_gradient(program)


if __name__ == "__main__":
    count = int(sys.argv[1])
    relaxed = settings(
        QUIET, max_examples=count, suppress_health_check=list(HealthCheck)
    )
    relaxed(given(programs(max_ops=60))(check_values))()
    relaxed(given(programs(max_ops=20))(check_gradient))()
    print(f"{count} programs: eager = compiled = interpreted, gradients are slopes")
