"""Chains of elementwise operations over ten million elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from perf.workload import Inputs, Step, Variant, Workload
from perf.workloads.styles import Expression, compiled_variants

SIZE = 10_000_000


def _inputs() -> Inputs:
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(SIZE, np.float32) for name in "abc"}


def _numpy(expression: Expression) -> Callable[[Inputs], Step]:
    return lambda inputs: lambda: expression(*inputs.values())


def _multiply_add() -> Expression:
    return lambda a, b, c: a * b + c


def _chain_numpy(a: Any, b: Any, c: Any) -> Any:
    return np.tanh(a * b + c) * (1 / (1 + np.exp(-a))) + np.exp(-b * b)


def _chain_jitflow() -> Expression:
    import jitflow as jf

    return lambda a, b, c: jf.tanh(a * b + c) * jf.sigmoid(a) + jf.exp(-b * b)


def _chain_jax() -> Expression:
    import jax
    import jax.numpy as jnp

    return lambda a, b, c: jnp.tanh(a * b + c) * jax.nn.sigmoid(a) + jnp.exp(-b * b)


def _chain_torch() -> Expression:
    import torch

    return lambda a, b, c: torch.tanh(a * b + c) * torch.sigmoid(a) + torch.exp(-b * b)


def _chain_tensorflow() -> Expression:
    import tensorflow as tf

    return lambda a, b, c: tf.tanh(a * b + c) * tf.sigmoid(a) + tf.exp(-b * b)


CHAIN = Workload(
    name="chain",
    title="tanh(a*b+c)*sigmoid(a)+exp(-b*b), 10M",
    inputs=_inputs,
    reference=lambda x: [_chain_numpy(x["a"], x["b"], x["c"])],
    variants=(
        *compiled_variants(_chain_jitflow, _chain_jax, _chain_torch, _chain_tensorflow),
        Variant("numpy", "numpy", _numpy(_chain_numpy)),
    ),
)

MULTIPLY_ADD = Workload(
    name="multiply_add",
    title="a*b+c, 10M",
    inputs=_inputs,
    reference=lambda x: [x["a"] * x["b"] + x["c"]],
    variants=(
        *compiled_variants(_multiply_add, _multiply_add, _multiply_add, _multiply_add),
        Variant("numpy", "numpy", _numpy(_multiply_add())),
    ),
)
