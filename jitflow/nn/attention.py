"""Scaled dot-product attention and embedding look-up."""

from __future__ import annotations

import math
from typing import Any

from compiler.ir.types import TensorType
from jitflow.dtypes import bool_, float32, int64
from jitflow.errors import ArgumentError, ShapeError
from jitflow.nn.activations import floating, scoped
from jitflow.nn.normalizing import softmax
from jitflow.ops import elementwise as e
from jitflow.ops.coerce import as_tensor, promote_all
from jitflow.ops.data_types import finfo
from jitflow.ops.dispatch import builder as b
from jitflow.ops.linear_algebra import matmul
from jitflow.ops.manipulation import matrix_transpose, moveaxis, repeat
from jitflow.ops.searching import take
from jitflow.tensor.tensor import Tensor


@scoped
def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    /,
    bias: Any = None,
    mask: Any = None,
    *,
    scale: float | None = None,
    is_causal: bool = False,
) -> Tensor:
    """``softmax(query @ key^T * scale + bias) @ value`` for each head.

    The softmax of 16-bit data is computed in float32. A query that may look at nothing
    looks at everything alike.

    Args:
        query: ``[batch, T, heads, size]``.
        key: ``[batch, S, key_heads, size]``, where `key_heads` divides `heads`: each
            serves several query heads.
        value: ``[batch, S, key_heads, value_size]``.
        bias: added to the scores; broadcasts to ``[batch, heads, T, S]``.
        mask: where a query may look; broadcasts likewise.
        scale: ``1 / sqrt(size)`` when left out.
        is_causal: position t may look at positions up to t only.

    Raises:
        ShapeError: if the shapes do not fit.
        ArgumentError: if `mask` is not of bools.
    """
    q, k, v = promote_all("dot_product_attention", query, key, value, inexact=True)
    _check(q, k, v)
    times = q.shape[2] // k.shape[2]
    k, v = (x if times == 1 else repeat(x, times, axis=2) for x in (k, v))
    q, k, v = (moveaxis(x, 2, 1) for x in (q, k, v))
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = matmul(q, matrix_transpose(k))
    wide = b.cast(scores, float32) if q.dtype.itemsize == 2 else scores
    wide = e.multiply(wide, factor)
    if bias is not None:
        wide = e.add(wide, e.cast_like(bias, wide.dtype))
    allowed = _allowed(wide, mask, is_causal)
    if allowed is not None:
        wide = e.where(allowed, wide, 0.7 * finfo(wide.dtype).min)
    weights = b.cast(softmax(wide), v.dtype)
    return moveaxis(matmul(weights, v), 1, 2)


def _check(q: Tensor, k: Tensor, v: Tensor) -> None:
    fits = q.ndim == k.ndim == v.ndim == 4
    fits = fits and q.shape[-1] == k.shape[-1] and k.shape[:3] == v.shape[:3]
    fits = fits and q.shape[0] == k.shape[0]
    if not fits or q.shape[2] % (k.shape[2] or 1):
        raise ShapeError(
            "dot_product_attention: takes [batch, positions, heads, size]",
            operands={"query": q, "key": k, "value": v},
        )


def _allowed(scores: Tensor, mask: Any, is_causal: bool) -> Tensor | None:
    allowed = None
    if mask is not None:
        allowed = as_tensor(mask, argument="mask")
        if allowed.dtype is not bool_:
            raise ArgumentError(
                "dot_product_attention: mask is of bools", operands={"mask": allowed}
            )
    if not is_causal:
        return allowed
    shape = TensorType(int64, scores.shape[-2:])
    past = e.less_equal(b.iota(type=shape, dim=1), b.iota(type=shape, dim=0))
    return past if allowed is None else e.logical_and(allowed, past)


@scoped
def embedding_lookup(table: Any, ids: Any, /) -> Tensor:
    """The rows of `table` that integers of any shape name.

    Args:
        table: ``[entries, ...]``.
        ids: integers in ``[0, entries)``.

    Raises:
        IndexingError: if an eager id is out of bounds; in a trace it is clipped.
    """
    return take(floating(table), ids, axis=0)
