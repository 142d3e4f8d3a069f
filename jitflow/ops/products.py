"""NumPy's products beside `matmul`: dot, inner, vdot, cross, kron, convolutions."""

from __future__ import annotations

from typing import Any

from jitflow.errors import ArgumentError, ShapeError
from jitflow.ops.coerce import (
    as_tensor,
    broadcast_pair,
    normalize_axis,
    promote_all,
    require,
)
from jitflow.ops.dispatch import builder as b
from jitflow.ops.elementwise import conj, multiply, subtract
from jitflow.ops.linear_algebra import matmul, tensordot
from jitflow.ops.manipulation import flip, moveaxis, reshape, stack
from jitflow.tensor.tensor import Tensor

__all__ = ["convolve", "correlate", "cross", "dot", "inner", "kron", "vdot"]


def dot(x1: Any, x2: Any, /) -> Tensor:
    """NumPy's ``dot``: over the last axis of x1 and the second to last of x2.

    Raises:
        ShapeError: if their sizes differ.
    """
    x, y = promote_all("dot", x1, x2)
    if not x.ndim or not y.ndim:
        return multiply(x, y)
    if y.ndim <= 2:
        return matmul(x, y)
    return tensordot(x, y, axes=((x.ndim - 1,), (y.ndim - 2,)))


def inner(x1: Any, x2: Any, /) -> Tensor:
    """Sum of products over the last axes.

    Raises:
        ShapeError: if their sizes differ.
    """
    x, y = promote_all("inner", x1, x2)
    if not x.ndim or not y.ndim:
        return multiply(x, y)
    return tensordot(x, y, axes=((x.ndim - 1,), (y.ndim - 1,)))


def vdot(x1: Any, x2: Any, /) -> Tensor:
    """Sum of ``conj(x1) * x2`` over all elements.

    Raises:
        ShapeError: if the numbers of elements differ.
    """
    x, y = (reshape(as_tensor(v), (-1,)) for v in (x1, x2))
    return tensordot(conj(x), y, axes=1)


def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Tensor:
    """Cross products of vectors of three elements along `axis`.

    Raises:
        ShapeError: if the size along `axis` is not 3 in both, or the others do not
            broadcast.
    """
    x, y = promote_all("cross", x1, x2)
    require("cross", x, "iufc", "numeric")
    places = [normalize_axis(axis, t.ndim, "cross") for t in (x, y)]
    if x.shape[places[0]] != 3 or y.shape[places[1]] != 3:
        raise ShapeError(
            f"cross: the size of axis {axis} is not 3", operands={"x1": x, "x2": y}
        )
    x, y = broadcast_pair(x, y, "cross")
    position = normalize_axis(axis, x.ndim, "cross")
    (x0, x1_, x2_), (y0, y1, y2) = (_parts(t, position) for t in (x, y))
    parts = [
        subtract(multiply(x1_, y2), multiply(x2_, y1)),
        subtract(multiply(x2_, y0), multiply(x0, y2)),
        subtract(multiply(x0, y1), multiply(x1_, y0)),
    ]
    return stack(parts, axis=position)


def _parts(x: Tensor, axis: int) -> list[Tensor]:
    last = moveaxis(x, axis, -1)
    return [last[..., i] for i in range(3)]


def kron(x1: Any, x2: Any, /) -> Tensor:
    """Kronecker product: blocks of x2, one scaled by each element of x1."""
    x, y = promote_all("kron", x1, x2)
    rank = max(x.ndim, y.ndim)
    left, right = ((1,) * (rank - t.ndim) + tuple(t.shape) for t in (x, y))
    shape = tuple(d for pair in zip(left, right, strict=True) for d in pair)
    even, odd = (tuple(range(start, 2 * rank, 2)) for start in (0, 1))
    blocks = multiply(
        b.broadcast_in_dim(reshape(x, left), dims=even, shape=shape),
        b.broadcast_in_dim(reshape(y, right), dims=odd, shape=shape),
    )
    return reshape(blocks, tuple(m * n for m, n in zip(left, right, strict=True)))


def _slide(name: str, x: Tensor, w: Tensor, mode: str) -> Tensor:
    """``sum_k x[n + k] w[k]`` where they overlap as `mode` says."""
    require(name, x, "iufc", "numeric")
    if x.ndim != 1 or w.ndim != 1 or not x.shape[0] or not w.shape[0]:
        raise ShapeError(
            f"{name}: takes two vectors with elements", operands={"x1": x, "x2": w}
        )
    if mode not in ("full", "same", "valid"):
        raise ArgumentError(f"{name}: unknown mode {mode!r}")
    size = w.shape[0]
    edge = {"full": (size - 1, size - 1), "valid": (0, 0)}
    low, high = edge.get(mode, (size // 2, (size - 1) // 2))
    y = b.convolution(
        reshape(x, (1, -1, 1)),
        reshape(w, (-1, 1, 1)),
        strides=(1,),
        low=(low,),
        high=(high,),
        dilation=(1,),
        groups=1,
    )
    return reshape(y, (-1,))


def convolve(x1: Any, x2: Any, /, mode: str = "full") -> Tensor:
    """Discrete convolution of two vectors, as in NumPy.

    Args:
        x1: a vector.
        x2: a vector.
        mode: ``"full"``, ``"same"`` (as long as the longer one) or ``"valid"``.

    Raises:
        ShapeError: if one is not a vector with elements.
        ArgumentError: for an unknown mode.
    """
    x, w = promote_all("convolve", x1, x2)
    if x.ndim == w.ndim == 1 and w.shape[0] > x.shape[0]:
        x, w = w, x
    return _slide("convolve", x, flip(w), mode)


def correlate(x1: Any, x2: Any, /, mode: str = "valid") -> Tensor:
    """Cross-correlation ``c[k] = sum_n x1[n + k] * conj(x2[n])``, as in NumPy.

    Args:
        x1: a vector.
        x2: a vector.
        mode: ``"valid"``, ``"same"`` or ``"full"``.

    Raises:
        ShapeError: if one is not a vector with elements.
        ArgumentError: for an unknown mode.
    """
    x, w = promote_all("correlate", x1, x2)
    w = conj(w)
    if x.ndim == w.ndim == 1 and w.shape[0] > x.shape[0]:
        return flip(_slide("correlate", w, x, mode))
    return _slide("correlate", x, w, mode)
