"""A dense layer's product with its epilogue: x @ w + b, then GELU, 1024 cubed."""

from __future__ import annotations

import math

import numpy as np

from perf.workload import Inputs, Workload
from perf.workloads.styles import Expression, compiled_variants

SIZE = 1024


def _inputs() -> Inputs:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, SIZE, SIZE), np.float32)
    bias = rng.standard_normal(SIZE, np.float32)
    return {"x": x, "w": w / np.float32(math.sqrt(SIZE)), "bias": bias}


def _reference(inputs: Inputs) -> list[np.ndarray]:
    x, w, bias = (array.astype(np.float64) for array in inputs.values())
    y = x @ w + bias
    inner = math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)
    return [0.5 * y * (1 + np.tanh(inner))]


def _jitflow() -> Expression:
    import jitflow as jf

    return lambda x, w, bias: jf.nn.gelu(x @ w + bias, approximate=True)


def _jax() -> Expression:
    import jax

    return lambda x, w, bias: jax.nn.gelu(x @ w + bias, approximate=True)


def _torch() -> Expression:
    import torch

    gelu = torch.nn.functional.gelu
    return lambda x, w, bias: gelu(torch.addmm(bias, x, w), approximate="tanh")


def _tensorflow() -> Expression:
    import tensorflow as tf

    return lambda x, w, bias: tf.nn.gelu(x @ w + bias, approximate=True)


GEMM_GELU = Workload(
    name="gemm_gelu",
    title=f"GEMM {SIZE}³ + bias + GELU",
    inputs=_inputs,
    reference=_reference,
    rtol=1e-4,
    variants=compiled_variants(_jitflow, _jax, _torch, _tensorflow),
)
