"""`set_random_seed`: one number that makes a program repeatable."""

from __future__ import annotations

import random as python_random

import numpy as np

import jitflow as jf
from jitflow.errors import ArgumentError
from jitflow.keras.backend.global_state import session
from jitflow.keras.random.seed_generator import SeedGenerator


def set_random_seed(seed: int) -> None:
    """Seed Python's, NumPy's, `jf.random`'s and Keras' global generators.

    Initializers and dropout layers without a seed of their own draw theirs from
    Python's generator, so that models made afterwards are the same every time.

    Args:
        seed: an int from 0 to ``2**32 - 1``.

    Raises:
        ArgumentError: for anything else.
    """
    if not isinstance(seed, int) or not 0 <= seed < 1 << 32:
        raise ArgumentError(f"seed: an int from 0 to 2**32 - 1, given {seed!r}")
    python_random.seed(seed)
    np.random.seed(seed)
    jf.random.set_seed(seed)
    session.attributes["global_seed_generator"] = SeedGenerator(seed)
