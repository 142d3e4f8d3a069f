"""How variables get their first values (`keras.initializers`)."""

from __future__ import annotations

from typing import Any

import jitflow as jf
from jitflow.keras.initializers.constant_initializers import (
    Constant,
    Identity,
    Ones,
    Zeros,
)
from jitflow.keras.initializers.initializer import Initializer
from jitflow.keras.initializers.random_initializers import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
)
from jitflow.keras.saving.registration import (
    find_identifier,
    identifier_table,
    keras_export,
)
from jitflow.keras.saving.serialization import (
    deserialize_keras_object,
    resolve,
    serialize_keras_object,
)

# Keras' second names.
IdentityInitializer = Identity
OrthogonalInitializer = Orthogonal
constant = Constant
zeros = Zeros
ones = Ones
identity = Identity
random_normal = RandomNormal
random_uniform = RandomUniform
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
glorot_normal = GlorotNormal
glorot_uniform = GlorotUniform
he_normal = HeNormal
he_uniform = HeUniform
lecun_normal = LecunNormal
lecun_uniform = LecunUniform
orthogonal = Orthogonal

_TABLE = identifier_table(
    (
        *(Constant, Identity, Ones, Zeros),
        *(GlorotNormal, GlorotUniform, HeNormal, HeUniform, LecunNormal, LecunUniform),
        *(Orthogonal, RandomNormal, RandomUniform, TruncatedNormal, VarianceScaling),
    ),
    {
        "IdentityInitializer": Identity,
        "OrthogonalInitializer": Orthogonal,
        "normal": RandomNormal,
        "uniform": RandomUniform,
        "one": Ones,
        "zero": Zeros,
    },
)


@keras_export("keras.initializers.serialize")
def serialize(initializer: Any) -> Any:
    """The configuration of an initializer."""
    return serialize_keras_object(initializer)


@keras_export("keras.initializers.deserialize")
def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The initializer of a configuration."""
    return deserialize_keras_object(config, custom_objects, module_objects=_TABLE)


@keras_export("keras.initializers.get")
def get(identifier: Any) -> Any:
    """The initializer that a name, class, configuration, callable or array means.

    Raises:
        ArgumentError: for an unknown name, with the nearest ones.
        ArgumentTypeError: for anything else.
    """
    if isinstance(identifier, jf.Tensor | jf.Variable) or hasattr(
        identifier, "__array__"
    ):
        return Constant(identifier)
    found = resolve(
        identifier, "initializer", lambda n: find_identifier("initializer", n, _TABLE)
    )
    return found() if isinstance(found, type) else found


__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "IdentityInitializer",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "OrthogonalInitializer",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "constant",
    "deserialize",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "serialize",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]
