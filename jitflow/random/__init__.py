"""Random numbers from counters: the same in eager code, in traces, on any device.

A key is a uint32 tensor of shape (2,). The functions of this package take a key and
always give the same numbers for it; a `Generator` makes a new key for every draw.
"""

from jitflow.random.generator import Generator, default_generator, set_seed
from jitflow.random.keys import bits, fold_in, key, split
from jitflow.random.sampling import (
    bernoulli,
    categorical,
    gumbel,
    normal,
    permutation,
    randint,
    shuffle,
    truncated_normal,
    uniform,
)

__all__ = [
    "Generator",
    "bernoulli",
    "bits",
    "categorical",
    "default_generator",
    "fold_in",
    "gumbel",
    "key",
    "normal",
    "permutation",
    "randint",
    "set_seed",
    "shuffle",
    "split",
    "truncated_normal",
    "uniform",
]
