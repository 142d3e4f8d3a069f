"""`SeedGenerator`: random keys whose state is a variable, and seeds that are ints."""

from __future__ import annotations

import random as python_random
from typing import Any

import numpy as np

import jitflow as jf
from jitflow.errors import ArgumentTypeError
from jitflow.keras.backend.global_state import auto_name, session
from jitflow.keras.backend.variable import Variable
from jitflow.keras.saving.registration import keras_export
from jitflow.tensor.state import name_scope

_STEP = np.array([0, 1], np.uint32)
_GLOBAL = "global_seed_generator"


@keras_export("keras.random.SeedGenerator")
class SeedGenerator:
    """Gives another key for every random operation.

    Its state is a variable, so that compiled functions draw the same numbers as eager
    code and two calls never draw the same.

    Args:
        seed: an int; drawn from Python's `random` when left out, so that
            `keras.utils.set_random_seed` makes it repeatable.
        name: of the generator.

    Attributes:
        state: uint32 variable of shape (2,): the seed and the number of draws.

    Raises:
        ArgumentTypeError: if the seed is not an int.
    """

    _tracked_as = "seed_generator"

    def __init__(self, seed: int | None = None, name: str | None = None) -> None:
        self.name = name or auto_name(type(self).__name__)
        self._initial_seed = seed
        first = _check_seed(make_default_seed() if seed is None else seed)
        with name_scope(self.name):
            self.state = Variable(
                np.array([first, 0], np.uint32),
                trainable=False,
                autocast=False,
                name="seed_generator_state",
            )

    def next(self, ordered: bool = True) -> jf.Tensor:
        """The next key, a uint32 tensor of shape (2,).

        Args:
            ordered: accepted for Keras' signature; keys are ordered in any case.
        """
        current = self.state.value
        self.state.assign(jf.add(current, _STEP))
        return current

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"seed": self._initial_seed, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeedGenerator:
        """A new generator with the same seed."""
        return cls(**config)


def _check_seed(seed: Any) -> int:
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise ArgumentTypeError(f"seed: an int is needed, given {seed!r}")
    return seed.__index__() & 0xFFFFFFFF


def make_default_seed() -> int:
    """A seed from Python's `random`."""
    return python_random.randint(1, int(1e9))


def global_seed_generator() -> SeedGenerator:
    """The generator that unseeded random operations use."""
    found = session.attributes.get(_GLOBAL)
    if found is None:
        found = session.attributes[_GLOBAL] = SeedGenerator()
    return found


def draw_seed(seed: Any) -> jf.Tensor:
    """The key that a `seed` argument means.

    Args:
        seed: a `SeedGenerator`, an int (the same key every time) or None (the global
            generator).

    Raises:
        ArgumentTypeError: for anything else.
    """
    if isinstance(seed, SeedGenerator):
        return seed.next()
    if seed is None:
        return global_seed_generator().next()
    if isinstance(seed, jf.Tensor):
        return seed
    return jf.asarray(np.array([_check_seed(seed), 0], np.uint32))
