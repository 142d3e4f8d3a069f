"""Products of several matrices and functions of matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitflow.errors import ArgumentError
from jitflow.linalg.matrices import identity_like, matrix_function
from jitflow.linalg.norms import matrix_norm
from jitflow.linalg.solvers import solve_square
from jitflow.ops import elementwise as e
from jitflow.ops.coerce import as_tensor
from jitflow.ops.linear_algebra import matmul
from jitflow.ops.manipulation import expand_dims, reshape
from jitflow.tensor.tensor import Tensor


def multi_dot(arrays: Sequence[Any], /) -> Tensor:
    """The product of matrices in the order that takes the fewest multiplications.

    The first and the last one may be vectors.

    Raises:
        ArgumentError: for fewer than two.
    """
    if len(arrays) < 2:
        raise ArgumentError("multi_dot: takes at least two matrices")
    xs = [as_tensor(a) for a in arrays]
    ends = [x.ndim == 1 for x in (xs[0], xs[-1])]
    xs[0] = expand_dims(xs[0], 0) if ends[0] else xs[0]
    xs[-1] = expand_dims(xs[-1], 1) if ends[1] else xs[-1]
    product = _multiply(xs, _splits([x.shape[0] for x in xs] + [xs[-1].shape[1]]))
    shape = product.shape[int(ends[0]) : 2 - int(ends[1])]
    return reshape(product, shape)


def _splits(sizes: list[int]) -> np.ndarray:
    """Where to cut each range of matrices: matrix-chain dynamic programming."""
    n = len(sizes) - 1
    cost, cut = np.zeros((n, n)), np.zeros((n, n), int)
    for width in range(1, n):
        for i in range(n - width):
            j = i + width
            options = [
                cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1]
                for k in range(i, j)
            ]
            cut[i, j] = i + int(np.argmin(options))
            cost[i, j] = min(options)
    return cut


def _multiply(xs: list[Tensor], cut: np.ndarray) -> Tensor:
    def part(i: int, j: int) -> Tensor:
        if i == j:
            return xs[i]
        k = int(cut[i, j])
        return matmul(part(i, k), part(k + 1, j))

    return part(0, len(xs) - 1)


# Coefficients of the diagonal Padé approximant of order 13 (Higham, 2005); beyond
# norm THETA the matrix is halved and the result squared.
_PADE = (
    *(64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800),
    *(129060195264000, 10559470521600, 670442572800, 33522128640, 1323241920),
    *(40840800, 960960, 16380, 182, 1),
)
_THETA = 5.371920351148152
_MAX_SQUARINGS = 24


def _pade(a: Tensor) -> Tensor:
    one = identity_like(a)
    c = [v / _PADE[0] for v in _PADE]  # float32 would overflow on the way
    a2 = matmul(a, a)
    a4 = matmul(a2, a2)
    a6 = matmul(a2, a4)

    def mix(*pairs: tuple[float, Tensor]) -> Tensor:
        total = e.multiply(pairs[0][1], pairs[0][0])
        for factor, x in pairs[1:]:
            total = e.add(total, e.multiply(x, factor))
        return total

    high = matmul(a6, mix((c[13], a6), (c[11], a4), (c[9], a2)))
    odd = matmul(a, e.add(high, mix((c[7], a6), (c[5], a4), (c[3], a2), (c[1], one))))
    high = matmul(a6, mix((c[12], a6), (c[10], a4), (c[8], a2)))
    even = e.add(high, mix((c[6], a6), (c[4], a4), (c[2], a2), (c[0], one)))
    return solve_square(e.subtract(even, odd), e.add(even, odd))


@matrix_function(square=True)
def expm(x: Any, /) -> Tensor:
    """Exponentials of square matrices, by scaling and squaring.

    Norms above ``5.4 * 2**24`` give NaN or infinity.
    """
    if 0 in x.shape:
        return x
    size = matrix_norm(x, ord=1, keepdims=True)
    count = e.ceil(e.log2(e.maximum(e.divide(size, _THETA), 1)))
    result = _pade(e.multiply(x, e.astype(e.pow(0.5, count), x.dtype)))
    for step in range(_MAX_SQUARINGS):
        result = e.where(e.greater(count, step), matmul(result, result), result)
    return result
