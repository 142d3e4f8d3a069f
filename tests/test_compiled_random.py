"""Compiled = interpreted, on random graphs; the memory plan of each is sound."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from compiler.driver import compile_graph
from compiler.ir.interpret import interpret
from compiler.ir.printer import print_graph
from compiler.options import Options
from tests.buffer_checks import assert_sound
from tests.random_graphs import assert_same, programs

QUIET = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@QUIET
@given(programs())
def test_compiled_equals_interpreted(program):
    graph, arrays = program
    want = interpret(graph, *[a.copy() for a in arrays])
    executable = compile_graph(graph, Options())
    for _ in range(2):  # the second run reuses arena and results
        got = executable([a.copy() for a in arrays])
        assert_same(got, want, print_graph(graph))
    for bound in executable.bound_programs():
        assert_sound(bound)


@settings(QUIET, max_examples=25)
@given(programs(max_ops=6))
def test_every_op_alone_equals_interpreted(program):
    graph, arrays = program
    options = Options(fuse=False, only=("layout_dots",))
    got = compile_graph(graph, options)([a.copy() for a in arrays])
    assert_same(got, interpret(graph, *arrays), print_graph(graph))
