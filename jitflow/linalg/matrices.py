"""What the functions over matrices share: their arguments, and small building blocks.

LAPACK knows float32, float64 and their complex types. Integers become the default
float type; float16 and bfloat16 are computed in float32 and rounded at the end.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from jitflow.dtypes import float32
from jitflow.errors import ShapeError
from jitflow.ops.coerce import broadcast_shapes, promote_all
from jitflow.ops.creation import eye
from jitflow.ops.dispatch import builder as b
from jitflow.ops.elementwise import conj
from jitflow.ops.manipulation import matrix_transpose
from jitflow.tensor.tensor import Tensor


def matrix_function(
    count: int = 1, *, square: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: the first `count` arguments become inexact tensors of one dtype.

    Args:
        count: number of tensor arguments; the first one is a stack of matrices.
        square: the matrices have to be square.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **options: Any) -> Any:
            name = function.__name__
            tensors = promote_all(name, *args[:count], inexact=True)
            _check(name, tensors[0], square)
            dtype = tensors[0].dtype
            if dtype.is_complex or dtype.itemsize > 2:
                return function(*tensors, *args[count:], **options)
            wide = (b.cast(t, float32) for t in tensors)
            return _narrow(function(*wide, *args[count:], **options), dtype)

        return wrapped

    return decorate


def _check(name: str, x: Tensor, square: bool) -> None:
    if x.ndim < 2 or (square and x.shape[-1] != x.shape[-2]):
        what = "square matrices" if square else "matrices"
        raise ShapeError(f"{name}: takes {what}", operands={"x": x})


def _narrow(result: Any, dtype: Any) -> Any:
    if isinstance(result, tuple):
        parts = [_narrow(r, dtype) for r in result]
        return type(result)(*parts) if hasattr(result, "_fields") else tuple(parts)
    return b.cast(result, dtype) if result.dtype is float32 else result


def adjoint(x: Tensor) -> Tensor:
    """The conjugate transpose of matrices."""
    return conj(matrix_transpose(x))


def identity_like(x: Tensor) -> Tensor:
    """Identity matrices of the shape of the square matrices `x`."""
    n = x.shape[-1]
    return b.broadcast(eye(n, dtype=x.dtype), x.shape)


def same_stack(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Two stacks of matrices with their leading dimensions broadcast."""
    lead = broadcast_shapes(x.shape[:-2], y.shape[:-2])
    return (
        b.broadcast(x, (*lead, *x.shape[-2:])),
        b.broadcast(y, (*lead, *y.shape[-2:])),
    )


def triangular(
    a: Tensor,
    x: Tensor,
    *,
    lower: bool,
    left: bool = True,
    transpose: str = "none",
    unit_diagonal: bool = False,
) -> Tensor:
    """The `triangular_solve` op with its usual attributes."""
    return b.triangular_solve(
        a,
        x,
        left=left,
        lower=lower,
        transpose=transpose,
        unit_diagonal=unit_diagonal,
    )
