"""Random programs and their gradients against JAX, where it is installed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

import jitflow as jf
from compiler.ir.transform import inline
from compiler.ir.types import f64
from tests.jax_builder import JaxBuilder
from tests.random_graphs import programs
from tests.test_random_programs import as_function, fixed_graph

jax = pytest.importorskip("jax")


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    """JAX gives float64 only when asked to, for the whole process."""
    before = jax.config.jax_enable_x64, jax.config.jax_threefry_partitionable
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_threefry_partitionable", True)
    yield
    jax.config.update("jax_enable_x64", before[0])
    jax.config.update("jax_threefry_partitionable", before[1])


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(programs())
def test_values_and_gradients_agree_with_jax(program):
    graph, arrays = program
    assume(graph.input_types[0].dtype is f64 and all(a.size for a in arrays))
    # Ordinary values: at ties and kinks the two choose different subgradients.
    rng = np.random.default_rng(len(graph.nodes))
    arrays = [rng.normal(size=a.shape) for a in arrays]
    ours, fixed = as_function(graph, arrays), fixed_graph(graph, arrays)
    builder = JaxBuilder()

    def total(*tensors):
        return sum(jf.sum(jf.tanh(y)) for y in ours(*tensors))

    def total_in_jax(*tensors):
        results = inline(builder, fixed, tensors)
        return sum(jax.numpy.sum(jax.numpy.tanh(y)) for y in results)

    everything = tuple(range(len(arrays)))
    compiled = jf.function(jf.value_and_grad(total, argnums=everything))
    value, gradients = compiled(*(jf.asarray(a) for a in arrays))
    want, slopes = jax.value_and_grad(total_in_jax, argnums=everything)(*arrays)
    np.testing.assert_allclose(value.numpy(), want, rtol=1e-9, atol=1e-9)
    for got, slope in zip(gradients, slopes, strict=True):
        np.testing.assert_allclose(got.numpy(), slope, rtol=1e-7, atol=1e-8)
