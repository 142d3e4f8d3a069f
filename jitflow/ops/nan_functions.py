"""Reductions that leave NaN out, under NumPy's names.

Where every element is NaN, sums are 0, products 1 and everything else NaN; NumPy gives
the same, with warnings. Positions of such a slice are -1, where NumPy raises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitflow.dtypes import float64
from jitflow.ops import elementwise as e
from jitflow.ops import reductions as r
from jitflow.ops.coerce import as_tensor, normalize_axes
from jitflow.ops.dispatch import builder as b
from jitflow.ops.manipulation import reshape
from jitflow.ops.statistics import (
    check_method,
    inexact,
    order_statistic,
    quantile_shape,
    rows_of,
)
from jitflow.tensor.tensor import Tensor

__all__ = [
    "nanargmax",
    "nanargmin",
    "nancumprod",
    "nancumsum",
    "nanmax",
    "nanmean",
    "nanmedian",
    "nanmin",
    "nanpercentile",
    "nanprod",
    "nanquantile",
    "nanstd",
    "nansum",
    "nanvar",
]

_INF = float("inf")
_NAN = float("nan")


def _without(x: Any, value: Any) -> Tensor:
    """`x` with `value` in place of NaN."""
    x = as_tensor(x)
    return e.where(e.isnan(x), value, x) if x.dtype.is_inexact else x


def _valid(x: Tensor) -> Tensor:
    return e.logical_not(e.isnan(x))


def nansum(
    x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False
) -> Tensor:
    """Sum of the elements over `axis` that are not NaN."""
    return r.sum(_without(x, 0), axis=axis, dtype=dtype, keepdims=keepdims)


def nanprod(
    x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False
) -> Tensor:
    """Product of the elements over `axis` that are not NaN."""
    return r.prod(_without(x, 1), axis=axis, dtype=dtype, keepdims=keepdims)


def nancumsum(x: Any, /, *, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Running sum where NaN counts as 0."""
    return r.cumsum(_without(x, 0), axis=axis, dtype=dtype)


def nancumprod(x: Any, /, *, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Running product where NaN counts as 1."""
    return r.cumprod(_without(x, 1), axis=axis, dtype=dtype)


def _extremum(
    reduction: Callable[..., Tensor], worst: float, x: Any, axis: Any, keepdims: bool
) -> Tensor:
    x = as_tensor(x)
    how = {"axis": axis, "keepdims": keepdims}
    if not x.dtype.is_float:
        return reduction(x, **how)
    found = reduction(_without(x, worst), **how)
    return e.where(r.any(_valid(x), **how), found, _NAN)


def nanmax(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Largest element over `axis` that is not NaN.

    Raises:
        ShapeError: if there is no element.
    """
    return _extremum(r.max, -_INF, x, axis, keepdims)


def nanmin(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Smallest element over `axis` that is not NaN.

    Raises:
        ShapeError: if there is no element.
    """
    return _extremum(r.min, _INF, x, axis, keepdims)


def _position(
    function: Callable[..., Tensor], worst: float, x: Any, axis: Any, keepdims: bool
) -> Tensor:
    x = as_tensor(x)
    if not x.dtype.is_float:
        return function(x, axis=axis, keepdims=keepdims)
    valid = _valid(x)
    # An infinity of the worst kind must come before a NaN: compare in two steps.
    best = {_INF: r.min, -_INF: r.max}[worst](
        _without(x, worst), axis=axis, keepdims=True
    )
    hit = e.logical_and(e.equal(x, best), valid)
    place = r.argmax(hit, axis=axis, keepdims=keepdims)
    return e.where(r.any(valid, axis=axis, keepdims=keepdims), place, -1)


def nanargmax(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Position of the first largest element that is not NaN; -1 if all are.

    Raises:
        ShapeError: if there is no element.
    """
    return _position(r.argmax, -_INF, x, axis, keepdims)


def nanargmin(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Position of the first smallest element that is not NaN; -1 if all are.

    Raises:
        ShapeError: if there is no element.
    """
    return _position(r.argmin, _INF, x, axis, keepdims)


def _count(x: Tensor, axis: Any, keepdims: bool) -> Tensor:
    valid = e.astype(_valid(x), e.real(x).dtype)
    return r.sum(valid, axis=axis, keepdims=keepdims)


def nanmean(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Mean of the elements over `axis` that are not NaN."""
    x = inexact(x)
    total = nansum(x, axis=axis, keepdims=keepdims)
    return e.divide(total, _count(x, axis, keepdims))


def nanvar(
    x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False
) -> Tensor:
    """Variance of the elements over `axis` that are not NaN; NaN if there are not more
    than `correction`."""
    x = inexact(x)
    center = nanmean(x, axis=axis, keepdims=True)
    deviation = e.where(e.isnan(x), 0, e.subtract(x, center))
    size = e.abs(deviation) if x.dtype.is_complex else deviation
    total = r.sum(e.square(size), axis=axis, keepdims=keepdims)
    divisor = e.subtract(_count(x, axis, keepdims), correction)
    few = e.less_equal(divisor, 0)
    return e.where(few, _NAN, e.divide(total, e.where(few, 1, divisor)))


def nanstd(
    x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False
) -> Tensor:
    """Standard deviation: the root of `nanvar`."""
    return e.sqrt(nanvar(x, axis=axis, correction=correction, keepdims=keepdims))


def nanquantile(
    x: Any,
    q: Any,
    /,
    *,
    axis: Any = None,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    """`quantile` of the elements that are not NaN.

    Raises:
        ArgumentError: see `quantile`.
    """
    check_method("nanquantile", q, method)
    x = inexact(x)
    axes = normalize_axes(axis, x.ndim, "nanquantile")
    q = b.cast(as_tensor(q, like=float64), float64)
    rows = b.sort(rows_of(x, axes), axis=x.ndim - len(axes), descending=False)
    counts = r.count_nonzero(_valid(rows), axis=-1)
    found = order_statistic(rows, counts, reshape(q, (-1,)), method)
    return quantile_shape(found, x, q, axes, keepdims)


def nanpercentile(
    x: Any,
    q: Any,
    /,
    *,
    axis: Any = None,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    """`nanquantile` with `q` in percent."""
    share = q / 100 if isinstance(q, int | float) else e.divide(inexact(q), 100)
    return nanquantile(x, share, axis=axis, method=method, keepdims=keepdims)


def nanmedian(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """`median` of the elements that are not NaN."""
    return nanquantile(x, 0.5, axis=axis, keepdims=keepdims)
