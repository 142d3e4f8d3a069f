"""`Generator`: a source of keys whose state is a variable.

Because the state is a variable, a compiled function advances it exactly as eager code
does, and a checkpoint can hold it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import numpy as np

from jitflow.ops.dispatch import builder as b
from jitflow.random import counts, distributions, keys, sampling
from jitflow.tensor.tensor import Tensor
from jitflow.tensor.variable import Variable

_STEP = np.array([0, 1], np.uint32)


class Generator:
    """Makes keys, one after the other, and samples with them.

    The state is itself a key, whose second word counts the draws: draw ``n`` uses the
    key ``(k0, k1 + n)``. It repeats after 2**32 draws.

    Args:
        seed: an int; taken from the operating system when left out.

    Attributes:
        state: uint32 variable of shape (2,).
    """

    def __init__(self, seed: int | None = None) -> None:
        first = _first_key(secrets.randbits(64) if seed is None else seed)
        self.state = Variable(first, trainable=False, name="generator_state")

    def reset(self, seed: int) -> None:
        """Start again as a new generator with this seed would."""
        self.state.assign(_first_key(seed))

    def key(self) -> Tensor:
        """The next key."""
        current = self.state.value
        self.state.assign(b.add(current, b.constant(_STEP)))
        return current

    def split(self, num: int = 2) -> Tensor:
        """`num` keys at once, of shape (num, 2)."""
        return keys.split(self.key(), num)

    def uniform(self, *args: Any, **kwargs: Any) -> Tensor:
        """`jf.random.uniform` with the next key."""
        return sampling.uniform(self.key(), *args, **kwargs)

    def normal(self, *args: Any, **kwargs: Any) -> Tensor:
        """`jf.random.normal` with the next key."""
        return sampling.normal(self.key(), *args, **kwargs)

    def truncated_normal(self, *args: Any, **kwargs: Any) -> Tensor:
        """`jf.random.truncated_normal` with the next key."""
        return sampling.truncated_normal(self.key(), *args, **kwargs)

    def bernoulli(self, *args: Any, **kwargs: Any) -> Tensor:
        """`jf.random.bernoulli` with the next key."""
        return sampling.bernoulli(self.key(), *args, **kwargs)

    def categorical(self, *args: Any, **kwargs: Any) -> Tensor:
        """`jf.random.categorical` with the next key."""
        return sampling.categorical(self.key(), *args, **kwargs)

    def randint(self, *args: Any, **kwargs: Any) -> Tensor:
        """`jf.random.randint` with the next key."""
        return sampling.randint(self.key(), *args, **kwargs)

    def permutation(self, *args: Any, **kwargs: Any) -> Tensor:
        """`jf.random.permutation` with the next key."""
        return sampling.permutation(self.key(), *args, **kwargs)

    def shuffle(self, *args: Any, **kwargs: Any) -> Tensor:
        """`jf.random.shuffle` with the next key."""
        return sampling.shuffle(self.key(), *args, **kwargs)


def _drawing(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A function of a key as a method that draws the next key."""

    def method(self: Generator, *args: Any, **kwargs: Any) -> Tensor:
        return function(self.key(), *args, **kwargs)

    method.__name__ = method.__qualname__ = function.__name__
    method.__doc__ = f"`jf.random.{function.__name__}` with the next key."
    return method


_MORE = (
    *(counts.binomial, counts.choice, counts.geometric, counts.multinomial),
    *(counts.poisson, counts.rademacher, sampling.gumbel),
    *(distributions.beta, distributions.cauchy, distributions.chisquare),
    *(distributions.dirichlet, distributions.exponential, distributions.gamma),
    *(distributions.laplace, distributions.loggamma, distributions.logistic),
    *(distributions.lognormal, distributions.multivariate_normal),
    *(distributions.pareto, distributions.rayleigh, distributions.t),
    distributions.weibull,
)
for _function in _MORE:
    setattr(Generator, _function.__name__, _drawing(_function))


def _first_key(seed: int) -> Tensor:
    """The seed's key, encrypted: seeds 1 and 2 must not be draws 1 and 2 of one."""
    return keys.split(keys.key(seed), 1)[0]


# The generator of the process; set_seed resets it in place, so that functions that
# were compiled with it follow.
_default = Generator()


def default_generator() -> Generator:
    """The generator that is used where none is given."""
    return _default


def set_seed(seed: int) -> None:
    """Make everything that draws from the default generator repeatable."""
    _default.reset(seed)
