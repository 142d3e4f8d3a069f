"""Keys of the counter-based generator (Threefry-2x32), and raw random bits.

`key`, `split` and `bits` give the numbers of JAX's ``threefry2x32`` generator in its
partitionable form.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitflow.dtypes import as_dtype, int64, uint32, uint64
from jitflow.errors import ArgumentError, ArgumentTypeError
from jitflow.ops.coerce import as_tensor
from jitflow.ops.creation import shape_of
from jitflow.ops.dispatch import builder as b
from jitflow.ops.elementwise import bitwise_and, bitwise_right_shift, bitwise_xor
from jitflow.ops.manipulation import stack
from jitflow.tensor.tensor import Operators, Tensor

# Sets the keys of fold_in apart from those of split, which encrypts the same counters.
_FOLD_TWEAK = 0x9E3779B9


def key(seed: Any, /) -> Tensor:
    """The key of a seed: a Python int (its low 64 bits) or an integer tensor."""
    if isinstance(seed, Operators):
        if not seed.dtype.is_integer or seed.shape:
            raise ArgumentTypeError(
                "key: seed is an integer scalar", operands={"seed": seed}
            )
        return _words(b.cast(b.cast(as_tensor(seed), int64), uint64))
    if not hasattr(seed, "__index__"):
        raise ArgumentTypeError(f"key: seed is an int, given {seed!r}")
    value = seed.__index__() & 0xFFFFFFFFFFFFFFFF
    return b.constant(np.array([value >> 32, value & 0xFFFFFFFF], np.uint32))


def _words(x: Tensor) -> Tensor:
    """64-bit words as pairs of 32-bit words, high first, along a new last dimension."""
    high = b.cast(bitwise_right_shift(x, 32), uint32)
    low = b.cast(bitwise_and(x, 0xFFFFFFFF), uint32)
    return stack([high, low], axis=x.ndim)


def as_key(value: Any) -> Tensor:
    """Check that a value is a key.

    Raises:
        ArgumentTypeError: if it is not a uint32 tensor of shape (2,).
    """
    tensor = as_tensor(value, argument="key")
    if tensor.dtype is not uint32 or tensor.shape != (2,):
        raise ArgumentTypeError(
            "key: a key is a uint32 tensor of shape (2,)",
            operands={"key": tensor},
            fix="make one with jf.random.key(seed) or generator.key()",
        )
    return tensor


def bits(key: Any, shape: Any = (), dtype: Any = uint32) -> Tensor:
    """Uniform random bits.

    Args:
        key: a key.
        shape: of the result.
        dtype: uint8, uint16, uint32 or uint64.

    Raises:
        ArgumentError: for another dtype.
    """
    target = as_dtype(dtype)
    if target.kind != "u":
        raise ArgumentError(f"bits: dtype is an unsigned integer, given {target}")
    width = 64 if target is uint64 else 32
    words = b.rng_bits(as_key(key), shape=shape_of(shape), bits=width)
    if target.itemsize < 4:
        words = bitwise_and(words, (1 << target.bits) - 1)
    return b.cast(words, target)


def split(key: Any, num: int = 2) -> Tensor:
    """`num` new keys, as a tensor of shape (num, 2)."""
    return _words(b.rng_bits(as_key(key), shape=(num,), bits=64))


def fold_in(key: Any, data: Any) -> Tensor:
    """A new key from a key and an integer (a step number, a layer number)."""
    number = as_tensor(data, argument="data")
    if not number.dtype.is_integer or number.shape:
        raise ArgumentTypeError(
            "fold_in: data is an integer", operands={"data": number}
        )
    low = b.cast(bitwise_and(b.cast(number, int64), 0xFFFFFFFF), uint32)
    tweak = b.scalar(_FOLD_TWEAK, uint32)
    mixed = bitwise_xor(as_key(key), stack([tweak, low]))
    return split(mixed, 1)[0]
