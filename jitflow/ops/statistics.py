"""NumPy's statistics: averages, order statistics, covariances, histograms."""

from __future__ import annotations

import builtins
from typing import Any

from compiler.ir.dims import size_of
from compiler.ir.types import TensorType
from jitflow.config import settings
from jitflow.dtypes import float64, int64
from jitflow.errors import ArgumentError, IndexingError, ShapeError, TracerError
from jitflow.ops import elementwise as e
from jitflow.ops import reductions as r
from jitflow.ops.coerce import as_tensor, is_tracing, normalize_axes, promote_all
from jitflow.ops.creation import linspace
from jitflow.ops.dispatch import builder as b
from jitflow.ops.linear_algebra import diagonal, matmul
from jitflow.ops.manipulation import (
    concat,
    expand_dims,
    flip,
    matrix_transpose,
    moveaxis,
    reshape,
)
from jitflow.ops.searching import pick_along, searchsorted
from jitflow.tensor.tensor import Tensor

__all__ = [
    "average",
    "bincount",
    "corrcoef",
    "cov",
    "digitize",
    "histogram",
    "histogram_bin_edges",
    "median",
    "percentile",
    "ptp",
    "quantile",
]


def inexact(x: Any) -> Tensor:
    """`x` as a tensor of floating-point or complex numbers."""
    x = as_tensor(x)
    return x if x.dtype.is_inexact else b.cast(x, settings.float_dtype)


def average(
    x: Any, /, *, axis: Any = None, weights: Any = None, keepdims: bool = False
) -> Tensor:
    """Weighted mean over `axis`.

    Args:
        x: any tensor.
        axis: an axis, several, or all when left out.
        weights: of the shape of `x`, or a vector along one `axis`.
        keepdims: keep the axes with size 1.

    Raises:
        ShapeError: if `weights` fits neither way.
    """
    if weights is None:
        return r.mean(x, axis=axis, keepdims=keepdims)
    x, w = promote_all("average", x, weights, inexact=True)
    axes = normalize_axes(axis, x.ndim, "average")
    if w.shape != x.shape:
        if w.ndim != 1 or len(axes) != 1 or w.shape[0] != x.shape[axes[0]]:
            raise ShapeError(
                "average: weights do not fit", operands={"x": x, "weights": w}
            )
        spread = tuple(d if i in axes else 1 for i, d in enumerate(x.shape))
        w = b.broadcast(reshape(w, spread), x.shape)
    how: dict[str, Any] = {"axis": axes, "keepdims": keepdims}
    return e.divide(r.sum(e.multiply(x, w), **how), r.sum(w, **how))


def ptp(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Largest minus smallest element over `axis`."""
    how = {"axis": axis, "keepdims": keepdims}
    return e.subtract(r.max(x, **how), r.min(x, **how))


# ------------------------------------------------------------------ order statistics


def rows_of(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The elements of `axes` as one last dimension behind the other dimensions."""
    rest = [d for i, d in enumerate(x.shape) if i not in axes]
    count = len(axes)
    moved = moveaxis(x, axes, tuple(range(x.ndim - count, x.ndim)))
    return reshape(moved, (*rest, size_of(x.shape[a] for a in axes)))


_METHODS = ("linear", "lower", "higher", "nearest", "midpoint")


def _share(place: Tensor, low: Tensor, method: str) -> Tensor:
    """How far between the two neighbours the quantile is."""
    part = e.subtract(place, low)
    if method == "linear":
        return part
    if method == "lower":
        return b.zeros_like(part)
    if method == "higher":
        return e.ceil(part)
    if method == "midpoint":
        return e.multiply(e.ceil(part), 0.5)
    return e.subtract(e.round(place), low)


def order_statistic(rows: Tensor, counts: Tensor, q: Tensor, method: str) -> Tensor:
    """Quantiles `q` (a vector) of the first `counts` elements of the sorted `rows`.

    Returns:
        A tensor ``[..., len(q)]``; NaN where there is no element.
    """
    last = e.subtract(b.cast(counts, q.dtype), 1)
    place = e.multiply(expand_dims(last, -1), q)
    low = e.floor(place)
    ends = (b.cast(e.maximum(p, 0), int64) for p in (low, e.ceil(place)))
    size = r.size_of(rows, (rows.ndim - 1,))
    safe = [e.minimum(i, e.maximum(e.subtract(size, 1), 0)) for i in ends]
    first, second = (pick_along(rows, i, -1) for i in safe)
    share = b.cast(_share(place, low, method), rows.dtype)
    # Between two equal infinities the difference would be NaN.
    step = e.subtract(second, e.where(e.equal(first, second), second, first))
    exact = e.logical_or(e.equal(share, 0), e.equal(first, second))
    moved = e.add(first, e.multiply(step, e.where(exact, 1, share)))
    result = e.where(exact, first, e.where(e.equal(share, 1), second, moved))
    return e.where(expand_dims(e.less(last, 0), -1), float("nan"), result)


def quantile_shape(
    result: Tensor, x: Tensor, q: Tensor, axes: tuple[int, ...], keepdims: bool
) -> Tensor:
    """Quantiles ``[..., len(q)]`` in NumPy's form: ``q.shape`` first."""
    rest = tuple(d for i, d in enumerate(x.shape) if i not in axes)
    if keepdims:
        rest = tuple(1 if i in axes else d for i, d in enumerate(x.shape))
    return reshape(moveaxis(result, -1, 0), (*q.shape, *rest))


def check_method(name: str, q: Any, method: str) -> None:
    """Check the arguments that the quantile functions share."""
    if method not in _METHODS:
        raise ArgumentError(f"{name}: method is one of {_METHODS}, given {method!r}")
    if isinstance(q, int | float) and not 0 <= q <= 1:
        raise ArgumentError(f"{name}: q is in [0, 1], given {q}")


def quantile(
    x: Any,
    q: Any,
    /,
    *,
    axis: Any = None,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    """Quantiles of the elements over `axis`; NaN if there is one.

    Args:
        x: real numbers.
        q: probabilities in [0, 1], of any shape, which comes first in the result.
        axis: an axis, several, or all when left out.
        method: between two elements: ``"linear"``, ``"lower"``, ``"higher"``,
            ``"nearest"`` or ``"midpoint"``.
        keepdims: keep the axes with size 1.

    Raises:
        ArgumentError: for another method, or a Python number `q` that is outside.
    """
    check_method("quantile", q, method)
    x = inexact(x)
    axes = normalize_axes(axis, x.ndim, "quantile")
    # Places in long rows need more digits than the elements.
    q = b.cast(as_tensor(q, like=float64), float64)
    rows = b.sort(rows_of(x, axes), axis=x.ndim - len(axes), descending=False)
    counts = b.broadcast(r.size_of(rows, (rows.ndim - 1,)), rows.shape[:-1])
    found = order_statistic(rows, counts, reshape(q, (-1,)), method)
    lost = r.any(e.isnan(rows), axis=-1, keepdims=True)
    found = e.where(lost, float("nan"), found)
    return quantile_shape(found, x, q, axes, keepdims)


def percentile(
    x: Any,
    q: Any,
    /,
    *,
    axis: Any = None,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    """`quantile` with `q` in percent."""
    share = q / 100 if isinstance(q, int | float) else e.divide(inexact(q), 100)
    return quantile(x, share, axis=axis, method=method, keepdims=keepdims)


def median(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The middle element over `axis`, or the mean of the middle two; NaN if there is
    one."""
    return quantile(x, 0.5, axis=axis, keepdims=keepdims)


# ----------------------------------------------------------------------- covariance


def cov(
    x: Any,
    y: Any = None,
    /,
    *,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
) -> Tensor:
    """Covariance matrix of variables.

    Args:
        x: variables in rows, observations in columns; a vector is one variable.
        y: more variables in the same form.
        rowvar: False for variables in columns.
        bias: divide by N, not N - 1.
        ddof: divide by N - `ddof` instead.
        fweights: how often each observation counts.
        aweights: weight of each observation.

    Raises:
        ShapeError: if `x` or `y` has more than two dimensions.
    """
    given = [v for v in (x, y) if v is not None]
    tensors = promote_all("cov", *given, inexact=True)
    if builtins.any(t.ndim > 2 for t in tensors):
        raise ShapeError("cov: takes matrices", operands={"x": tensors[0]})
    data = concat([_variables(t, rowvar) for t in tensors], axis=0)
    correction = (0 if bias else 1) if ddof is None else ddof
    weights = _weights(data, fweights, aweights)
    if weights is None:
        count = r.size_of(data, (1,), e.real(data).dtype)
        centered = e.subtract(data, r.mean(data, axis=1, keepdims=True))
        scaled, divisor = centered, e.subtract(count, correction)
    else:
        total = r.sum(weights)
        center = e.divide(
            r.sum(e.multiply(data, weights), axis=1, keepdims=True), total
        )
        centered = e.subtract(data, center)
        scaled = e.multiply(centered, weights)
        divisor = e.subtract(total, correction)
        if aweights is not None and correction:
            spread = r.sum(e.multiply(weights, e.cast_like(aweights, weights.dtype)))
            divisor = e.subtract(total, e.multiply(e.divide(spread, total), correction))
    products = matmul(scaled, e.conj(matrix_transpose(centered)))
    result = e.divide(products, e.astype(e.maximum(divisor, 0), products.dtype))
    return reshape(result, ()) if tuple(result.shape) == (1, 1) else result


def _variables(x: Tensor, rowvar: bool) -> Tensor:
    if x.ndim < 2:
        return reshape(x, (1, -1))
    return x if rowvar or x.shape[0] == 1 else matrix_transpose(x)


def _weights(data: Tensor, fweights: Any, aweights: Any) -> Tensor | None:
    dtype = e.real(data).dtype
    given = [e.cast_like(w, dtype) for w in (fweights, aweights) if w is not None]
    if not given:
        return None
    return given[0] if len(given) == 1 else e.multiply(*given)


def corrcoef(x: Any, y: Any = None, /, *, rowvar: bool = True) -> Tensor:
    """Correlation coefficients of variables; see `cov`."""
    c = cov(x, y, rowvar=rowvar)
    if not c.ndim:
        return e.divide(c, c)
    root = e.sqrt(e.real(diagonal(c)))
    scale = e.astype(e.multiply(expand_dims(root, 1), expand_dims(root, 0)), c.dtype)
    result = e.divide(c, scale)
    return result if result.dtype.is_complex else e.clip(result, -1, 1)


# ----------------------------------------------------------------------- histograms


def digitize(x: Any, bins: Any, /, *, right: bool = False) -> Tensor:
    """Number (int64) of the bin of each element, from 0 (before) to ``len(bins)``.

    Args:
        x: any real tensor.
        bins: edges, ascending or descending.
        right: an edge belongs to the bin below it, not above.
    """
    edges = as_tensor(bins, argument="bins")
    sides = ("left", "right") if right else ("right", "left")
    up = searchsorted(edges, x, side=sides[0])
    if edges.shape[0] == 0:
        return up
    down = e.subtract(edges.shape[0], searchsorted(flip(edges), x, side=sides[1]))
    return e.where(e.greater(edges[0], edges[-1]), down, up)


def bincount(
    x: Any, /, *, weights: Any = None, minlength: int = 0, length: int | None = None
) -> Tensor:
    """How often each of the numbers 0, 1, ... occurs (int64), or the sum of weights.

    Args:
        x: integers that are not negative.
        weights: one per element.
        minlength: least size of the result.
        length: size of the result, where larger numbers are dropped; needed while
            tracing, ``max(x) + 1`` when left out.

    Raises:
        TracerError: while tracing without `length`.
        IndexingError: for a negative number in eager code.
    """
    x = reshape(as_tensor(x), (-1,))
    if length is None:
        if is_tracing():
            raise TracerError(
                "bincount: the size of the result depends on values",
                operands={"x": x},
                fix="give length=",
            )
        length = int(x._data.max()) + 1 if x.size else 0
    if not is_tracing() and x.size and int(x._data.min()) < 0:
        raise IndexingError("bincount: numbers are not negative")
    return count_into(x, max(length, minlength), weights)


def count_into(places: Tensor, length: Any, weights: Any) -> Tensor:
    """Sums of `weights` (ones when None) at `places`; those outside are dropped."""
    if weights is None:
        updates = b.full(1, TensorType(int64, places.shape))
    else:
        updates = reshape(as_tensor(weights), (-1,))
    zeros = b.full(0, TensorType(updates.dtype, (length,)))
    vectors = reshape(b.cast(places, int64), (-1, 1))
    how = {"dims": (0,), "batch": 0, "mode": "fill", "combine": "add"}
    return b.scatter(zeros, vectors, updates, **how)


def histogram_bin_edges(x: Any, /, bins: Any = 10, range: Any = None) -> Tensor:
    """The edges that `histogram` uses."""
    x = inexact(x)
    if not hasattr(bins, "__index__"):
        return as_tensor(bins, argument="bins")
    count = int(bins)
    if count < 1:
        raise ArgumentError(f"histogram: {count} bins")
    if range is not None:
        low, high = (e.cast_like(v, x.dtype) for v in range)
    elif x.size == 0:
        low, high = (e.cast_like(v, x.dtype) for v in (0, 1))
    else:
        low, high = r.min(x), r.max(x)
    flat = e.equal(low, high)
    low = e.where(flat, e.subtract(low, 0.5), low)
    high = e.where(flat, e.add(high, 0.5), high)
    inner = linspace(low, high, count + 1, dtype=x.dtype)
    return concat([inner[:-1], reshape(high, (1,))])


def histogram(
    x: Any,
    /,
    bins: Any = 10,
    range: Any = None,
    weights: Any = None,
    density: bool = False,
) -> tuple[Tensor, Tensor]:
    """How many elements lie between the edges of bins, and the edges.

    The last bin includes its right edge. Elements outside and NaN are dropped.

    Args:
        x: any real tensor.
        bins: number of equal bins, or their edges in ascending order.
        range: ``(low, high)`` of equal bins; the extrema of `x` when left out.
        weights: one per element: sums instead of numbers.
        density: divide by the total and by the widths.

    Returns:
        Counts (int64, or of the dtype of `weights`) and edges.
    """
    edges = histogram_bin_edges(x, bins, range)
    flat, edges_ = promote_all("histogram", reshape(as_tensor(x), (-1,)), edges)
    count = edges.shape[0] - 1
    place = e.subtract(searchsorted(edges_, flat, side="right"), 1)
    place = e.where(e.equal(flat, edges_[-1]), count - 1, place)
    place = e.where(e.isnan(flat), count, place)
    counts = count_into(place, count, weights)
    if density:
        width = r.diff(edges)
        counts = e.divide(counts, e.multiply(r.sum(counts), width))
    return counts, edges
