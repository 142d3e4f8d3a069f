"""The functions behind the operators of `Tensor` and `Variable`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from jitflow.errors import ArgumentError, TracerError
from jitflow.ops import elementwise as e
from jitflow.ops.coerce import as_tensor, is_tensor_like
from jitflow.ops.elementwise import abs, astype, bitwise_invert, negative, positive
from jitflow.ops.indexing import getitem
from jitflow.ops.linear_algebra import matmul
from jitflow.ops.manipulation import matrix_transpose, transpose_2d, unstack
from jitflow.ops.reductions import any
from jitflow.ops.updates import Updater
from jitflow.tensor.tensor import Operators, Tensor
from jitflow.tensor.variable import Variable

__all__ = [
    "Updater",
    "abs",
    "any",
    "array_namespace",
    "as_tensor",
    "astype",
    "binary",
    "bitwise_invert",
    "getitem",
    "iterate",
    "matrix_transpose",
    "negative",
    "positive",
    "transpose_2d",
]

_BINARY = {
    function.__name__: function
    for function in (
        *(e.add, e.subtract, e.multiply, e.divide, e.floor_divide, e.remainder, e.pow),
        *(e.equal, e.not_equal, e.less, e.less_equal, e.greater, e.greater_equal),
        *(e.bitwise_and, e.bitwise_or, e.bitwise_xor),
        *(e.bitwise_left_shift, e.bitwise_right_shift, matmul),
    )
}
_API_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12", "2025.12")


def binary(name: str, x: Any, y: Any) -> Any:
    """An operator; NotImplemented if an operand is of a foreign type."""
    x = x.value if isinstance(x, Variable) else x
    y = y.value if isinstance(y, Variable) else y
    if not (is_tensor_like(x) and is_tensor_like(y)):
        return NotImplemented
    return _BINARY[name](x, y)


def iterate(x: Any) -> Iterator[Tensor]:
    """The slices of `x` along its first dimension.

    Raises:
        TracerError: while tracing, if their number is open.
    """
    x = as_tensor(x)
    if not x.shape:
        raise ArgumentError("a tensor of rank 0 cannot be iterated")
    if not isinstance(x.shape[0], int):
        raise TracerError(
            "iteration needs a fixed first dimension",
            operands={"x": x},
            fix="use jf.scan or jf.fori_loop, or a fixed size in the TensorSpec",
        )
    return iter(unstack(x))


def array_namespace(api_version: str | None) -> Any:
    """The Array API namespace of tensors: the package itself.

    Raises:
        ArgumentError: for an unknown edition.
    """
    if api_version is not None and api_version not in _API_VERSIONS:
        raise ArgumentError(f"api_version: {api_version!r} is not supported")
    return sys.modules["jitflow"]


Operators._ops = sys.modules[__name__]
