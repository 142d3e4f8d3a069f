"""Activation functions and their names (`keras.activations`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitflow.keras.activations.functions import (
    ALL,
    celu,
    elu,
    exponential,
    gelu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_swish,
    hard_tanh,
    leaky_relu,
    linear,
    log_sigmoid,
    log_softmax,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    swish,
    tanh,
    tanh_shrink,
    threshold,
)
from jitflow.keras.saving.registration import (
    find_identifier,
    identifier_table,
    keras_export,
    public_path,
)
from jitflow.keras.saving.serialization import (
    deserialize_keras_object,
    resolve,
    serialize_keras_object,
)

_TABLE = identifier_table(ALL, {"swish": silu, "hard_swish": hard_silu})


@keras_export("keras.activations.serialize")
def serialize(activation: Any) -> Any:
    """The name of a built-in activation, the configuration of any other."""
    path = public_path(activation)
    return path[1] if path else serialize_keras_object(activation)


@keras_export("keras.activations.deserialize")
def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The activation of a name or configuration."""
    return deserialize_keras_object(config, custom_objects, module_objects=_TABLE)


@keras_export("keras.activations.get")
def get(identifier: Any) -> Callable[..., Any]:
    """The activation that a name, configuration or callable means; None is linear.

    Raises:
        ArgumentError: for an unknown name, with the nearest ones.
        ArgumentTypeError: for anything else.
    """
    if identifier is None:
        return linear
    return resolve(
        identifier, "activation", lambda n: find_identifier("activation", n, _TABLE)
    )


__all__ = [
    "celu",
    "deserialize",
    "elu",
    "exponential",
    "gelu",
    "get",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "serialize",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
    "threshold",
]
