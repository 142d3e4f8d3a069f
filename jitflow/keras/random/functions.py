"""Random tensors by Keras' names: `keras.random.normal` and its siblings.

Each takes `seed`: an int (the same numbers every time), a `SeedGenerator` (new numbers
every time, repeatable) or None (the global generator).
"""

from __future__ import annotations

from typing import Any

import jitflow as jf
from jitflow.keras.backend.dtypes import is_float_dtype, standardize_dtype
from jitflow.keras.random.seed_generator import draw_seed


def normal(
    shape: Any,
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: Any = None,
    seed: Any = None,
) -> jf.Tensor:
    """Normally distributed numbers."""
    key = draw_seed(seed)
    return jf.random.normal(key, shape, standardize_dtype(dtype), mean, stddev)


def uniform(
    shape: Any,
    minval: float = 0.0,
    maxval: float = 1.0,
    dtype: Any = None,
    seed: Any = None,
) -> jf.Tensor:
    """Uniform numbers in ``[minval, maxval)``; of integers with an integer dtype."""
    name = standardize_dtype(dtype)
    if not is_float_dtype(name):
        return randint(shape, int(minval), int(maxval), name, seed)
    return jf.random.uniform(draw_seed(seed), shape, name, minval, maxval)


def truncated_normal(
    shape: Any,
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: Any = None,
    seed: Any = None,
) -> jf.Tensor:
    """Normal numbers within two standard deviations of the mean."""
    name = standardize_dtype(dtype)
    return jf.random.truncated_normal(draw_seed(seed), shape, name, mean, stddev)


def randint(
    shape: Any, minval: int, maxval: int, dtype: Any = "int32", seed: Any = None
) -> jf.Tensor:
    """Integers in ``[minval, maxval)``."""
    name = standardize_dtype(dtype)
    return jf.random.randint(draw_seed(seed), shape, minval, maxval, name)


def categorical(
    logits: Any, num_samples: int, dtype: Any = "int32", seed: Any = None
) -> jf.Tensor:
    """`num_samples` class indices for each row of logits ``(batch, classes)``."""
    logits = jf.asarray(logits)
    rows = jf.expand_dims(logits, axis=-2)
    shape = (*logits.shape[:-1], num_samples)
    drawn = jf.random.categorical(draw_seed(seed), rows, shape=shape)
    return jf.astype(drawn, standardize_dtype(dtype))


def shuffle(x: Any, axis: int = 0, seed: Any = None) -> jf.Tensor:
    """The slices of `x` along `axis` in random order."""
    return jf.random.shuffle(draw_seed(seed), x, axis)


def dropout(
    inputs: Any, rate: float, noise_shape: Any = None, seed: Any = None
) -> jf.Tensor:
    """Zero a fraction `rate` of the inputs and scale the rest by ``1 / (1 - rate)``.

    Args:
        inputs: a tensor of floats.
        rate: between 0 and 1.
        noise_shape: shape of the mask, which broadcasts; the inputs' when left out.
        seed: see the module.
    """
    inputs = jf.asarray(inputs)
    key = draw_seed(seed)
    shape = inputs.shape if noise_shape is None else _fill(noise_shape, inputs)
    if rate >= 1.0:
        return jf.zeros_like(inputs)
    keep = 1.0 - rate
    kept = jf.broadcast_to(jf.random.bernoulli(key, keep, shape), inputs.shape)
    return jf.where(kept, inputs / keep, 0.0)


def _fill(noise_shape: Any, inputs: jf.Tensor) -> tuple[Any, ...]:
    """A mask shape with None replaced by the inputs' sizes."""
    pairs = zip(noise_shape, inputs.shape, strict=True)
    return tuple(size if dim is None else dim for dim, size in pairs)
