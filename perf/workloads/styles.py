"""Compile one array expression with each framework, as its user would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perf.workload import Build, Inputs, Step, Variant

Expression = Callable[..., Any]
"""Takes the framework's arrays, in the order of the inputs."""
Make = Callable[[], Expression]
"""Imports the framework and returns the expression."""


def jitflow(make: Make) -> Build:
    """``jf.function``."""

    def build(inputs: Inputs) -> Step:
        import jitflow as jf

        arrays = [jf.asarray(array) for array in inputs.values()]
        compiled = jf.function(make())
        return lambda: compiled(*arrays)

    return build


def jax(make: Make) -> Build:
    """``jax.jit``."""

    def build(inputs: Inputs) -> Step:
        import jax

        arrays = [jax.numpy.asarray(array) for array in inputs.values()]
        compiled = jax.jit(make())
        return lambda: compiled(*arrays)

    return build


def torch(make: Make, *, compiled: bool) -> Build:
    """PyTorch, eager or with ``torch.compile``."""

    def build(inputs: Inputs) -> Step:
        import torch

        arrays = [torch.from_numpy(array) for array in inputs.values()]
        run = torch.compile(make()) if compiled else make()
        return lambda: run(*arrays)

    return build


def tensorflow(make: Make, *, jit_compile: bool) -> Build:
    """``tf.function`` with or without XLA."""

    def build(inputs: Inputs) -> Step:
        import tensorflow as tf

        arrays = [tf.constant(array) for array in inputs.values()]
        compiled = tf.function(make(), jit_compile=jit_compile)
        return lambda: compiled(*arrays)

    return build


def compiled_variants(
    in_jitflow: Make, in_jax: Make, in_torch: Make, in_tensorflow: Make
) -> tuple[Variant, ...]:
    """The usual columns: one expression through every framework's compiler."""
    return (
        Variant("jitflow", "jitflow", jitflow(in_jitflow)),
        Variant("jax", "jax", jax(in_jax)),
        Variant("torch", "torch", torch(in_torch, compiled=False), compiles=False),
        Variant("torch.compile", "torch", torch(in_torch, compiled=True)),
        Variant(
            "tf.function", "tensorflow", tensorflow(in_tensorflow, jit_compile=False)
        ),
        Variant("tf XLA", "tensorflow", tensorflow(in_tensorflow, jit_compile=True)),
    )
