"""Neural-network functions: activations, softmax, one-hot, dropout.

They are composites of ops under a name scope of their own; a compiled function fuses
them, and `f.ir()` shows the scope beside every op.
"""

from jitflow.nn.activations import (
    celu,
    elu,
    gelu,
    glu,
    hard_sigmoid,
    hard_silu,
    hard_tanh,
    leaky_relu,
    log_sigmoid,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softplus,
    softsign,
    swish,
    tanh,
)
from jitflow.nn.normalizing import (
    dropout,
    log_softmax,
    logsumexp,
    moments,
    one_hot,
    softmax,
)

__all__ = [
    "celu",
    "dropout",
    "elu",
    "gelu",
    "glu",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "mish",
    "moments",
    "one_hot",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "swish",
    "tanh",
]
