"""The ops of random programs in terms of JAX: a judge that shares no code with ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from compiler.ir.builder import BuilderOps
from compiler.ir.op import Op
from compiler.ir.types import TensorType, type_of_array

_RENAMED = {
    "logistic": "logistic",
    "sine": "sin",
    "cosine": "cos",
    "negate": "neg",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "maximum": "max",
    "minimum": "min",
    "exponential": "exp",
}
_SAME = ("tanh", "abs", "erf", "floor", "add", "shift_right_logical")
_COMPARE = {"LT": "lt", "GE": "ge", "EQ": "eq", "NE": "ne", "GT": "gt", "LE": "le"}


class JaxBuilder(BuilderOps):
    """Applies ops with ``jax.lax``."""

    def __init__(self) -> None:
        import jax

        self.jnp, self.lax, self.random = jax.numpy, jax.lax, jax.random

    def type_of(self, x: Any) -> TensorType:
        """Type of a JAX array."""
        return type_of_array(np.empty(x.shape, x.dtype))

    def apply(self, op: Op, inputs: tuple[Any, ...], attrs: Mapping[str, Any]) -> Any:
        """One op on JAX arrays."""
        if op.name in _SAME or op.name in _RENAMED:
            return getattr(self.lax, _RENAMED.get(op.name, op.name))(*inputs)
        rule: Callable[..., Any] = getattr(self, f"_{op.name}")
        return rule(*inputs, **attrs)

    def _constant(self, value: Any) -> Any:
        return self.jnp.asarray(value.array)

    def _compare(self, x: Any, y: Any, direction: str) -> Any:
        return getattr(self.lax, _COMPARE[direction])(x, y)

    def _select(self, c: Any, x: Any, y: Any) -> Any:
        return self.lax.select(c, x, y)

    def _reduce_sum(self, x: Any, axes: Any) -> Any:
        return self.jnp.sum(x, axis=axes)

    def _reduce_max(self, x: Any, axes: Any) -> Any:
        return self.jnp.max(x, axis=axes, initial=-np.inf)

    def _reduce_min(self, x: Any, axes: Any) -> Any:
        return self.jnp.min(x, axis=axes, initial=np.inf)

    def _transpose(self, x: Any, permutation: Any) -> Any:
        return self.lax.transpose(x, permutation)

    def _reshape(self, x: Any, shape: Any) -> Any:
        return self.lax.reshape(x, shape)

    def _slice(self, x: Any, start: Any, limit: Any, strides: Any) -> Any:
        return self.lax.slice(x, start, limit, strides)

    def _pad(self, x: Any, value: Any, low: Any, high: Any, interior: Any) -> Any:
        return self.lax.pad(x, value, list(zip(low, high, interior, strict=True)))

    def _concatenate(self, *xs: Any, dimension: int) -> Any:
        return self.lax.concatenate(xs, dimension)

    def _reverse(self, x: Any, dims: Any) -> Any:
        return self.lax.rev(x, dims)

    def _iota(self, type: TensorType, dim: int) -> Any:
        return self.lax.broadcasted_iota(type.dtype.np, type.shape, dim)

    def _convert(self, x: Any, dtype: Any) -> Any:
        return self.lax.convert_element_type(x, dtype.np)

    def _broadcast_in_dim(self, x: Any, dims: Any, shape: Any) -> Any:
        return self.lax.broadcast_in_dim(x, shape, dims)

    def _get_dimension_size(self, x: Any, dim: int) -> Any:
        return self.jnp.asarray(x.shape[dim], np.int64)

    def _rng_bits(self, key: Any, shape: Any, bits: int) -> Any:
        wrapped = self.random.wrap_key_data(key, impl="threefry2x32")
        return self.random.bits(wrapped, shape, f"uint{bits}")

    def _dot_general(self, x: Any, y: Any, contract: Any, batch: Any) -> Any:
        return self.lax.dot_general(x, y, (contract, batch), precision="highest")
