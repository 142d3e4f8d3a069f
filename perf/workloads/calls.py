"""What a call costs beside its work: an almost empty function, an eager addition."""

from __future__ import annotations

import numpy as np

from perf.workload import Inputs, Step, Variant, Workload
from perf.workloads.styles import Expression, compiled_variants


def _four() -> Inputs:
    return {"a": np.arange(4, dtype=np.float32)}


def _two_fours() -> Inputs:
    return {"a": np.arange(4, dtype=np.float32), "b": np.ones(4, np.float32)}


def _plus_one() -> Expression:
    return lambda a: a + 1


def _add_jitflow(inputs: Inputs) -> Step:
    import jitflow as jf

    a, b = (jf.asarray(array) for array in inputs.values())
    return lambda: a + b


def _add_numpy(inputs: Inputs) -> Step:
    a, b = inputs.values()
    return lambda: a + b


def _add_jax(inputs: Inputs) -> Step:
    import jax.numpy as jnp

    a, b = (jnp.asarray(array) for array in inputs.values())
    return lambda: a + b


def _add_torch(inputs: Inputs) -> Step:
    import torch

    a, b = (torch.from_numpy(array) for array in inputs.values())
    return lambda: a + b


def _add_tensorflow(inputs: Inputs) -> Step:
    import tensorflow as tf

    a, b = (tf.constant(array) for array in inputs.values())
    return lambda: a + b


EMPTY_CALL = Workload(
    name="empty_call",
    title="call of an almost empty function",
    inputs=_four,
    reference=lambda x: [x["a"] + 1],
    each=False,
    variants=tuple(
        variant
        for variant in compiled_variants(_plus_one, _plus_one, _plus_one, _plus_one)
        if variant.compiles
    ),
)

EAGER_ADD = Workload(
    name="eager_add",
    title="eager add of four elements",
    inputs=_two_fours,
    reference=lambda x: [x["a"] + x["b"]],
    each=False,
    variants=(
        Variant("jitflow", "jitflow", _add_jitflow),
        Variant("numpy", "numpy", _add_numpy),
        Variant("jax", "jax", _add_jax),
        Variant("torch", "torch", _add_torch),
        Variant("tensorflow", "tensorflow", _add_tensorflow),
    ),
)
