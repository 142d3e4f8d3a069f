"""rng_bits: counter-based random bits, the same on every target and thread count.

Threefry-2x32 with 20 rounds (Salmon and others, "Parallel random numbers: as easy as
1, 2, 3", 2011). Element ``i`` in row-major order encrypts the counter ``(i >> 32, i)``
under the key, so every element can be computed on its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compiler.ir import types as t
from compiler.ir.dims import Shape
from compiler.ir.index_map import ZERO, Affine
from compiler.ir.op import Kind, op
from compiler.ir.types import TensorType
from compiler.ops.common import fail

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def _threefry(arith: Any, key: tuple[Any, Any], x: tuple[Any, Any]) -> tuple[Any, Any]:
    """The block cipher over any arithmetic that has add, xor, rotate and word."""
    parity = arith.xor(arith.xor(key[0], key[1]), arith.word(_PARITY))
    schedule = (*key, parity)
    x0, x1 = arith.add(x[0], key[0]), arith.add(x[1], key[1])
    for group in range(5):
        for distance in _ROTATIONS[group % 2]:
            x0 = arith.add(x0, x1)
            x1 = arith.xor(x0, arith.rotate(x1, distance))
        x0 = arith.add(x0, schedule[(group + 1) % 3])
        injected = arith.add(schedule[(group + 2) % 3], arith.word(group + 1))
        x1 = arith.add(x1, injected)
    return x0, x1


class _NumpyWords:
    """u32 arithmetic over arrays; every operation wraps."""

    add = staticmethod(np.add)
    xor = staticmethod(np.bitwise_xor)
    word = staticmethod(np.uint32)

    @staticmethod
    def rotate(x: Any, distance: int) -> Any:
        left = np.left_shift(x, np.uint32(distance))
        return np.bitwise_or(left, np.right_shift(x, np.uint32(32 - distance)))


class _ExprWords:
    """u32 arithmetic over scalar expressions."""

    def __init__(self, k: Any) -> None:
        self.k = k
        self.add = k.add

    def xor(self, a: Any, b: Any) -> Any:
        return self.k.binary("xor", a, b)

    def word(self, value: int) -> Any:
        return self.k.const(value, t.u32)

    def rotate(self, x: Any, distance: int) -> Any:
        k = self.k
        left = k.binary("shl", x, self.word(distance))
        return k.binary("or", left, k.binary("shr", x, self.word(32 - distance)))


def _u64(x: np.ndarray) -> np.ndarray:
    return x.astype(np.uint64)


@op("rng_bits", kind=Kind.LEAF, attrs=("bits", "shape"), differentiable=False)
class RngBits:
    """Uniform random words of `shape`, a function of the key and the position alone.

    With the cipher's words ``(x0, x1)``: 32 bits are ``x0 ^ x1``, 64 bits are
    ``x0 << 32 | x1``.

    C1: the key is u32[2].
    C2: `bits` is 32 (result u32) or 64 (result u64).
    """

    def infer(key: TensorType, *, shape: Shape, bits: int) -> TensorType:
        if key != TensorType(t.u32, (2,)):
            fail("rng_bits", "C1", f"key must be u32[2], given {key}")
        if bits not in (32, 64):
            fail("rng_bits", "C2", f"bits must be 32 or 64, given {bits}")
        return TensorType(t.u32 if bits == 32 else t.u64, shape)

    def evaluate(key: np.ndarray, *, shape: tuple[int, ...], bits: int) -> np.ndarray:
        count = np.arange(int(np.prod(shape, dtype=np.int64)), dtype=np.uint64)
        counter = (count >> np.uint64(32)).astype(np.uint32), count.astype(np.uint32)
        x0, x1 = _threefry(_NumpyWords, (key[0], key[1]), counter)
        words = x0 ^ x1 if bits == 32 else _u64(x0) << np.uint64(32) | _u64(x1)
        return words.reshape(shape)

    vjp = None
    jvp = None

    def batch(b: Any, xs: Any, dims: Sequence[Any], *, shape: Shape, bits: int) -> Any:
        return _batched_bits(b, xs[0], dims[0], shape, bits), 0

    def emit(
        k: Any, index: Any, in_types: Any, out_type: Any, *, shape: Any, bits: int
    ) -> Any:
        key = k.read(0, (ZERO,)), k.read(0, (Affine({}, 1),))
        place = k.convert(k.position(k.flatten(index, out_type.shape)), t.u64)
        upper = k.binary("shr", place, k.const(32, t.u64))
        counter = k.convert(upper, t.u32), k.convert(place, t.u32)
        x0, x1 = _threefry(_ExprWords(k), key, counter)
        if bits == 32:
            return k.binary("xor", x0, x1)
        high = k.binary("shl", k.convert(x0, t.u64), k.const(32, t.u64))
        return k.binary("or", high, k.convert(x1, t.u64))


class _BuilderWords:
    """u32 arithmetic over values of a graph builder."""

    def __init__(self, b: Any, like: Any) -> None:
        self.b = b
        self.like = like
        self.add = b.add
        self.xor = b.xor

    def word(self, value: int) -> Any:
        return self.b.full_like(value, self.like)

    def rotate(self, x: Any, distance: int) -> Any:
        left = self.b.shift_left(x, self.word(distance))
        right = self.b.shift_right_logical(x, self.word(32 - distance))
        return getattr(self.b, "or")(left, right)


def _key_word(b: Any, keys: Any, word: int, shape: Shape) -> Any:
    """Word 0 or 1 of every key, repeated over `shape`."""
    count = b.type_of(keys).shape[0]
    column = b.slice(keys, start=(0, word), limit=(count, word + 1), strides=(1, 1))
    return b.broadcast_in_dim(column, dims=(0, 1), shape=shape)


def _batched_bits(b: Any, keys: Any, dim: int, shape: Shape, bits: int) -> Any:
    """`rng_bits` of many keys: the cipher written out, counters shared by the keys."""
    if dim != 0:
        keys = b.transpose(keys, permutation=(1, 0))
    size = TensorType(t.u64, shape).size
    flat = (b.type_of(keys).shape[0], size)
    place = b.iota(type=TensorType(t.u64, flat), dim=1)
    upper = b.shift_right_logical(place, b.full_like(32, place))
    counter = b.convert(upper, dtype=t.u32), b.convert(place, dtype=t.u32)
    key = _key_word(b, keys, 0, flat), _key_word(b, keys, 1, flat)
    x0, x1 = _threefry(_BuilderWords(b, counter[0]), key, counter)
    if bits == 32:
        words = b.xor(x0, x1)
    else:
        high = b.convert(x0, dtype=t.u64)
        high = b.shift_left(high, b.full_like(32, high))
        words = getattr(b, "or")(high, b.convert(x1, dtype=t.u64))
    return b.reshape(words, shape=(flat[0], *shape))
