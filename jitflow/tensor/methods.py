"""Methods of tensors and variables that are functions of the namespace: ``x.sum()``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jitflow.tensor.tensor import Tensor

_PACKAGE = __name__.partition(".")[0]


def _function(name: str) -> Any:
    """A function of the public namespace, which is imported after this module."""
    return getattr(sys.modules[_PACKAGE], name)


class Methods:
    """What NumPy, JAX and PyTorch users write as methods.

    ``axis``, ``keepdims`` and the other arguments are those of the functions of the
    same name.
    """

    __slots__ = ()

    def sum(self, axis: Any = None, **options: Any) -> Tensor:
        """`jf.sum`."""
        return _function("sum")(self, axis=axis, **options)

    def prod(self, axis: Any = None, **options: Any) -> Tensor:
        """`jf.prod`."""
        return _function("prod")(self, axis=axis, **options)

    def mean(self, axis: Any = None, **options: Any) -> Tensor:
        """`jf.mean`."""
        return _function("mean")(self, axis=axis, **options)

    def var(self, axis: Any = None, **options: Any) -> Tensor:
        """`jf.var`."""
        return _function("var")(self, axis=axis, **options)

    def std(self, axis: Any = None, **options: Any) -> Tensor:
        """`jf.std`."""
        return _function("std")(self, axis=axis, **options)

    def max(self, axis: Any = None, **options: Any) -> Tensor:
        """`jf.max`."""
        return _function("max")(self, axis=axis, **options)

    def min(self, axis: Any = None, **options: Any) -> Tensor:
        """`jf.min`."""
        return _function("min")(self, axis=axis, **options)

    def all(self, axis: Any = None, **options: Any) -> Tensor:
        """`jf.all`."""
        return _function("all")(self, axis=axis, **options)

    def any(self, axis: Any = None, **options: Any) -> Tensor:
        """`jf.any`."""
        return _function("any")(self, axis=axis, **options)

    def argmax(self, axis: Any = None, **options: Any) -> Tensor:
        """`jf.argmax`."""
        return _function("argmax")(self, axis=axis, **options)

    def argmin(self, axis: Any = None, **options: Any) -> Tensor:
        """`jf.argmin`."""
        return _function("argmin")(self, axis=axis, **options)

    def reshape(self, *shape: Any) -> Tensor:
        """`jf.reshape`, to ``reshape(2, 3)`` or ``reshape((2, 3))``."""
        wanted = (
            shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        )
        return _function("reshape")(self, wanted)

    def flatten(self) -> Tensor:
        """All elements in one dimension."""
        return _function("reshape")(self, (-1,))

    ravel = flatten

    def squeeze(self, axis: Any) -> Tensor:
        """`jf.squeeze`."""
        return _function("squeeze")(self, axis=axis)

    def transpose(self, *axes: Any) -> Tensor:
        """`jf.permute_dims`; without axes all of them are reversed."""
        if not axes:
            axes = tuple(reversed(range(len(self.shape))))  # type: ignore[attr-defined]
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return _function("permute_dims")(self, order)

    def astype(self, dtype: Any) -> Tensor:
        """`jf.astype`."""
        return _function("astype")(self, dtype)

    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        """`jf.clip`."""
        return _function("clip")(self, min, max)

    def round(self) -> Tensor:
        """`jf.round`."""
        return _function("round")(self)

    def dot(self, other: Any) -> Tensor:
        """`jf.matmul`."""
        return _function("matmul")(self, other)
