"""Which dtypes a layer computes in and keeps its variables in."""

from __future__ import annotations

from typing import Any

from jitflow.dtypes import as_dtype
from jitflow.errors import ArgumentError, ArgumentTypeError
from jitflow.keras.backend import config
from jitflow.keras.backend.dtypes import standardize_dtype
from jitflow.keras.backend.global_state import session
from jitflow.keras.saving.registration import keras_export

_MIXED = {"mixed_float16": "float16", "mixed_bfloat16": "bfloat16"}
_GLOBAL = "dtype_policy"


@keras_export(
    "keras.DTypePolicy",
    "keras.dtype_policies.DTypePolicy",
    "keras.dtype_policies.FloatDTypePolicy",
    "keras.FloatDTypePolicy",
    "keras.mixed_precision.DTypePolicy",
    "keras.mixed_precision.Policy",
)
class DTypePolicy:
    """A compute dtype and a variable dtype.

    Args:
        name: a dtype for both, ``"mixed_float16"`` or ``"mixed_bfloat16"`` (compute in
            16 bits, variables in float32); the global policy when left out.

    Attributes:
        compute_type: the compute dtype as a `jf.DType`.

    Raises:
        ArgumentTypeError: if the name is not a string.
        ArgumentError: if it is not a policy.
    """

    quantization_mode = None
    name: str

    def __init__(self, name: str | None = None) -> None:
        name = dtype_policy().name if name is None else name
        if not isinstance(name, str):
            raise ArgumentTypeError(f"name: a string is needed, given {name!r}")
        self.name = name
        self.compute_dtype, self.variable_dtype = _parse(name)
        self.compute_type = as_dtype(self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """The name."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DTypePolicy:
        """A policy of that configuration."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DTypePolicy) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f'<DTypePolicy "{self.name}">'


FloatDTypePolicy = DTypePolicy


def _parse(name: str) -> tuple[str, str]:
    if name in _MIXED:
        return _MIXED[name], "float32"
    try:
        dtype = as_dtype(standardize_dtype(name)).long
    except (TypeError, ValueError):
        raise ArgumentError(
            f"name: {name!r} is not a dtype policy",
            fix="a dtype such as 'float32', 'mixed_float16' or 'mixed_bfloat16'",
        ) from None
    return dtype, dtype


@keras_export("keras.config.dtype_policy", "keras.mixed_precision.dtype_policy")
def dtype_policy() -> DTypePolicy:
    """The policy of layers that are made without `dtype`."""
    found = session.attributes.get(_GLOBAL)
    return DTypePolicy(config.floatx()) if found is None else found


@keras_export(
    "keras.config.set_dtype_policy",
    "keras.mixed_precision.set_dtype_policy",
    "keras.mixed_precision.set_global_policy",
)
def set_dtype_policy(policy: Any) -> None:
    """Set the policy of layers that are made from now on.

    Args:
        policy: a `DTypePolicy` or its name.
    """
    if not isinstance(policy, DTypePolicy):
        policy = DTypePolicy(policy)
    session.attributes[_GLOBAL] = policy
