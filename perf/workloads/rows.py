"""Row and column reductions of a 4096×1024 matrix: softmax, layer norm, squares."""

from __future__ import annotations

import numpy as np

from perf.workload import Inputs, Workload
from perf.workloads.styles import Expression, compiled_variants

ROWS, COLUMNS = 4096, 1024
EPSILON = 1e-5


def _matrix() -> Inputs:
    rng = np.random.default_rng(0)
    return {"x": rng.standard_normal((ROWS, COLUMNS), np.float32)}


def _normalized() -> Inputs:
    rng = np.random.default_rng(1)
    scale, offset = rng.standard_normal((2, COLUMNS), np.float32)
    return {**_matrix(), "scale": scale, "offset": offset}


def _softmax(inputs: Inputs) -> list[np.ndarray]:
    x = inputs["x"].astype(np.float64)
    powers = np.exp(x - x.max(-1, keepdims=True))
    return [powers / powers.sum(-1, keepdims=True)]


def _layer_norm(inputs: Inputs) -> list[np.ndarray]:
    x = inputs["x"].astype(np.float64)
    centred = x - x.mean(-1, keepdims=True)
    variance = np.square(centred).mean(-1, keepdims=True)
    normal = centred / np.sqrt(variance + EPSILON)
    return [normal * inputs["scale"] + inputs["offset"]]


def _softmax_jitflow() -> Expression:
    import jitflow as jf

    return lambda x: jf.nn.softmax(x, axis=-1)


def _softmax_jax() -> Expression:
    import jax

    return lambda x: jax.nn.softmax(x, axis=-1)


def _softmax_torch() -> Expression:
    import torch

    return lambda x: torch.softmax(x, -1)


def _softmax_tensorflow() -> Expression:
    import tensorflow as tf

    return lambda x: tf.nn.softmax(x, axis=-1)


def _layer_norm_jitflow() -> Expression:
    import jitflow as jf

    def layer_norm(x, scale, offset):  # type: ignore[no-untyped-def]
        centred = x - jf.mean(x, axis=-1, keepdims=True)
        variance = jf.mean(centred * centred, axis=-1, keepdims=True)
        return centred * jf.rsqrt(variance + EPSILON) * scale + offset

    return layer_norm


def _layer_norm_jax() -> Expression:
    import jax
    import jax.numpy as jnp

    def layer_norm(x, scale, offset):  # type: ignore[no-untyped-def]
        centred = x - jnp.mean(x, axis=-1, keepdims=True)
        variance = jnp.mean(centred * centred, axis=-1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + EPSILON) * scale + offset

    return layer_norm


def _layer_norm_torch() -> Expression:
    import torch

    return lambda x, scale, offset: torch.nn.functional.layer_norm(
        x, (COLUMNS,), scale, offset, EPSILON
    )


def _layer_norm_tensorflow() -> Expression:
    import tensorflow as tf

    def layer_norm(x, scale, offset):  # type: ignore[no-untyped-def]
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, offset, scale, EPSILON)

    return layer_norm


def _squares_jitflow() -> Expression:
    import jitflow as jf

    return lambda x: jf.sum(x * x, axis=0)


def _squares_jax() -> Expression:
    import jax.numpy as jnp

    return lambda x: jnp.sum(x * x, axis=0)


def _squares_torch() -> Expression:
    return lambda x: (x * x).sum(0)


def _squares_tensorflow() -> Expression:
    import tensorflow as tf

    return lambda x: tf.reduce_sum(x * x, axis=0)


SOFTMAX = Workload(
    name="softmax",
    title=f"softmax {ROWS}×{COLUMNS}",
    inputs=_matrix,
    reference=_softmax,
    variants=compiled_variants(
        _softmax_jitflow, _softmax_jax, _softmax_torch, _softmax_tensorflow
    ),
)

LAYER_NORM = Workload(
    name="layer_norm",
    title=f"layer norm {ROWS}×{COLUMNS}",
    inputs=_normalized,
    reference=_layer_norm,
    variants=compiled_variants(
        _layer_norm_jitflow,
        _layer_norm_jax,
        _layer_norm_torch,
        _layer_norm_tensorflow,
    ),
)

COLUMN_SQUARES = Workload(
    name="column_squares",
    title=f"column sum of squares {ROWS}×{COLUMNS}",
    inputs=_matrix,
    reference=lambda x: [np.square(x["x"].astype(np.float64)).sum(0)],
    variants=compiled_variants(
        _squares_jitflow, _squares_jax, _squares_torch, _squares_tensorflow
    ),
)
