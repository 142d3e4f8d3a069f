"""Random numbers from counters: the same in eager code, in traces, on any device.

A key is a uint32 tensor of shape (2,). The functions of this package take a key and
always give the same numbers for it; a `Generator` makes a new key for every draw.
"""

from jitflow.random.counts import (
    binomial,
    choice,
    geometric,
    multinomial,
    poisson,
    rademacher,
)
from jitflow.random.distributions import (
    beta,
    cauchy,
    chisquare,
    dirichlet,
    exponential,
    gamma,
    laplace,
    loggamma,
    logistic,
    lognormal,
    multivariate_normal,
    pareto,
    rayleigh,
    t,
    weibull,
)
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
    "beta",
    "binomial",
    "bits",
    "categorical",
    "cauchy",
    "chisquare",
    "choice",
    "default_generator",
    "dirichlet",
    "exponential",
    "fold_in",
    "gamma",
    "geometric",
    "gumbel",
    "key",
    "laplace",
    "loggamma",
    "logistic",
    "lognormal",
    "multinomial",
    "multivariate_normal",
    "normal",
    "pareto",
    "permutation",
    "poisson",
    "rademacher",
    "randint",
    "rayleigh",
    "set_seed",
    "shuffle",
    "split",
    "t",
    "truncated_normal",
    "uniform",
    "weibull",
]
