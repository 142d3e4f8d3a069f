"""Samples of rng_bits: words of the published Threefry-2x32 test vectors' cipher."""

from __future__ import annotations

import numpy as np

from tests.op_samples.common import Sample


def _rotate(x: int, distance: int) -> int:
    return (x << distance | x >> (32 - distance)) & 0xFFFFFFFF


def threefry(key: tuple[int, int], counter: tuple[int, int]) -> tuple[int, int]:
    """Threefry-2x32-20 in Python integers."""
    schedule = (*key, key[0] ^ key[1] ^ 0x1BD11BDA)
    x, y = ((c + k) & 0xFFFFFFFF for c, k in zip(counter, key, strict=True))
    for step in range(20):
        distance = (13, 15, 26, 6, 17, 29, 16, 24)[step % 8]
        x = (x + y) & 0xFFFFFFFF
        y = _rotate(y, distance) ^ x
        if step % 4 == 3:
            group = step // 4 + 1
            x = (x + schedule[group % 3]) & 0xFFFFFFFF
            y = (y + schedule[(group + 1) % 3] + group) & 0xFFFFFFFF
    return x, y


def _reference(key: np.ndarray, *, shape: tuple[int, ...], bits: int) -> np.ndarray:
    words = []
    for i in range(int(np.prod(shape))):
        pair = threefry((int(key[0]), int(key[1])), (i >> 32, i & 0xFFFFFFFF))
        words.append(pair[0] ^ pair[1] if bits == 32 else pair[0] << 32 | pair[1])
    dtype = np.uint32 if bits == 32 else np.uint64
    return np.array(words, dtype).reshape(shape)


SAMPLES = {
    "rng_bits": [
        Sample([np.array(key, np.uint32)], {"shape": shape, "bits": bits}, _reference)
        for key in ((0, 0), (1, 2), (0xFFFFFFFF, 0x13198A2E))
        for shape in ((), (1,), (0,), (5,), (2, 3))
        for bits in (32, 64)
    ],
}
