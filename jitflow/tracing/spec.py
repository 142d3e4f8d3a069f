"""`TensorSpec`: what a tensor argument looks like, without its values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from compiler.ir.dims import SymDim, symbol
from compiler.ir.types import DType, TensorType
from jitflow.dtypes import as_dtype
from jitflow.errors import ArgumentTypeError


class TensorSpec:
    """The type of a tensor argument.

    Args:
        shape: sizes; None leaves a size open, a string leaves it open under a name, so
            that equal names are equal sizes (``TensorSpec(["B", 784])``).
        dtype: element type.
        name: name of the argument in the graph.

    Raises:
        ArgumentTypeError: if a size is neither an int, None nor a name.
    """

    __slots__ = ("dtype", "name", "shape")

    def __init__(
        self, shape: Iterable[Any] = (), dtype: Any = "float32", name: str | None = None
    ) -> None:
        self.shape = tuple(_size(d) for d in shape)
        self.dtype: DType = as_dtype(dtype)
        self.name = name

    @classmethod
    def from_tensor(cls, tensor: Any, name: str | None = None) -> TensorSpec:
        """The spec of a tensor, a variable or an array."""
        return cls(tensor.shape, tensor.dtype, name)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def accepts(self, shape: tuple[Any, ...], dtype: DType) -> bool:
        """Whether a tensor of this shape and dtype fits."""
        return (
            dtype is self.dtype
            and len(shape) == len(self.shape)
            and all(
                not isinstance(want, int) or want == have
                for want, have in zip(self.shape, shape, strict=True)
            )
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TensorSpec) and (
            (self.shape, self.dtype, self.name)
            == (other.shape, other.dtype, other.name)
        )

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype, self.name))

    def __repr__(self) -> str:
        name = f", name={self.name!r}" if self.name else ""
        return f"TensorSpec(shape={list(self.shape)}, dtype={self.dtype}{name})"

    def type_with(self, shape: tuple[Any, ...]) -> TensorType:
        """The tensor type with open sizes filled in from `shape`."""
        return TensorType(self.dtype, shape)


def _size(dim: Any) -> Any:
    if dim is None or isinstance(dim, SymDim):
        return dim
    if isinstance(dim, str):
        return symbol(dim)
    if isinstance(dim, bool) or not hasattr(dim, "__index__"):
        raise ArgumentTypeError(
            f"shape: a size must be an int, None or a name, given {dim!r}"
        )
    return dim.__index__()
