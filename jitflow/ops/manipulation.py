"""Manipulation functions of the Array API: shapes, order, joining, repetition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compiler.ir.dims import SymDim, exact_div, size_of
from jitflow.errors import ArgumentError, ShapeError
from jitflow.ops.coerce import (
    as_tensor,
    broadcast_shapes,
    normalize_axes,
    normalize_axis,
    promote_all,
)
from jitflow.ops.creation import shape_of
from jitflow.ops.dispatch import builder as b
from jitflow.tensor.tensor import Tensor

Dims = tuple[Any, ...]


def _resolve(shape: Any, x: Tensor) -> Dims:
    """A reshape target with its -1 replaced by the size that is left."""
    given = (shape,) if hasattr(shape, "__index__") else tuple(shape)
    open_ = [i for i, d in enumerate(given) if d == -1]
    if not open_:
        return shape_of(given)
    if len(open_) > 1:
        raise ArgumentError(f"reshape: only one size can be -1, given {given}")
    rest = size_of(d for i, d in enumerate(given) if i != open_[0])
    missing = exact_div(x.size, rest)
    if missing is None:
        raise ShapeError(f"reshape: {x.size} elements do not fill {given}")
    return shape_of(missing if d == -1 else d for d in given)


def reshape(x: Any, /, shape: Any, *, copy: bool | None = None) -> Tensor:
    """The same elements in row-major order under another shape; one size may be -1.

    Raises:
        ShapeError: if the number of elements differs.
    """
    x = as_tensor(x)
    target = _resolve(shape, x)
    if size_of(target) != x.size:
        raise ShapeError(
            f"reshape: {x.size} elements do not fill {target}", operands={"x": x}
        )
    return x if target == x.shape else b.reshape(x, shape=target)


def squeeze(x: Any, /, axis: Any = None) -> Tensor:
    """`x` without dimensions of size 1: those of `axis`, or all of them.

    Raises:
        ShapeError: if a dimension of `axis` has another size.
    """
    x = as_tensor(x)
    if axis is None:
        axes = tuple(i for i, d in enumerate(x.shape) if d == 1)
    else:
        axes = normalize_axes(axis, x.ndim, "squeeze")
    for a in axes:
        if x.shape[a] != 1:
            raise ShapeError(f"squeeze: axis {a} has size {x.shape[a]}, not 1")
    return reshape(x, tuple(d for i, d in enumerate(x.shape) if i not in axes))


def expand_dims(x: Any, /, axis: Any = 0) -> Tensor:
    """`x` with dimensions of size 1 inserted at `axis` of the result."""
    x = as_tensor(x)
    count = len(axis) if isinstance(axis, tuple | list) else 1
    axes = normalize_axes(axis, x.ndim + count, "expand_dims")
    sizes = iter(x.shape)
    full = range(x.ndim + count)
    return reshape(x, tuple(1 if i in axes else next(sizes) for i in full))


def permute_dims(x: Any, /, axes: Sequence[int]) -> Tensor:
    """Dimension ``i`` of the result is dimension ``axes[i]`` of `x`.

    Raises:
        ShapeError: if `axes` is not a permutation.
    """
    x = as_tensor(x)
    order = tuple(normalize_axis(a, x.ndim, "permute_dims") for a in axes)
    if sorted(order) != list(range(x.ndim)):
        raise ShapeError(f"permute_dims: {tuple(axes)} does not permute rank {x.ndim}")
    if order == tuple(range(x.ndim)):
        return x
    return b.transpose(x, permutation=order)


def moveaxis(x: Any, source: Any, destination: Any, /) -> Tensor:
    """Dimensions moved from `source` to `destination`, the others in order."""
    x = as_tensor(x)
    sources = _axis_list(source, x.ndim)
    targets = _axis_list(destination, x.ndim)
    if len(sources) != len(targets) or len(set(sources)) != len(sources):
        raise ArgumentError(
            f"moveaxis: source {source} and destination {destination} do not pair up"
        )
    order = [i for i in range(x.ndim) if i not in sources]
    for target, origin in sorted(zip(targets, sources, strict=True)):
        order.insert(target, origin)
    return permute_dims(x, order)


def _axis_list(axis: Any, rank: int) -> list[int]:
    given = axis if isinstance(axis, tuple | list) else (axis,)
    return [normalize_axis(a, rank, "moveaxis") for a in given]


def swapaxes(x: Any, axis1: int, axis2: int, /) -> Tensor:
    """`x` with two dimensions exchanged."""
    x = as_tensor(x)
    order = list(range(x.ndim))
    i, j = (normalize_axis(a, x.ndim, "swapaxes") for a in (axis1, axis2))
    order[i], order[j] = order[j], order[i]
    return permute_dims(x, order)


def matrix_transpose(x: Any, /) -> Tensor:
    """The last two dimensions exchanged.

    Raises:
        ShapeError: if `x` has fewer than two.
    """
    x = as_tensor(x)
    if x.ndim < 2:
        raise ShapeError("matrix_transpose: x has no matrices", operands={"x": x})
    return swapaxes(x, -1, -2)


def transpose_2d(x: Any) -> Tensor:
    """The transpose of a matrix, for ``Tensor.T``.

    Raises:
        ShapeError: if `x` does not have rank 2.
    """
    x = as_tensor(x)
    if x.ndim != 2:
        raise ShapeError(
            f"T: x has rank {x.ndim}, not 2",
            operands={"x": x},
            fix="use x.mT, or jf.permute_dims(x, axes)",
        )
    return b.transpose(x, permutation=(1, 0))


def broadcast_to(x: Any, /, shape: Any) -> Tensor:
    """`x` repeated to `shape` by the rules of broadcasting.

    Raises:
        ShapeError: if it does not broadcast to exactly that shape.
    """
    x = as_tensor(x)
    target = shape_of(shape)
    if x.ndim > len(target) or broadcast_shapes(x.shape, target) != target:
        raise ShapeError(
            f"broadcast_to: {x.shape} does not broadcast to {target}",
            operands={"x": x},
        )
    return b.broadcast(x, target)


def broadcast_arrays(*arrays: Any) -> list[Tensor]:
    """All arguments at their common shape."""
    xs = [as_tensor(a) for a in arrays]
    shape = broadcast_shapes(*(x.shape for x in xs))
    return [b.broadcast(x, shape) for x in xs]


def concat(arrays: Sequence[Any], /, *, axis: int | None = 0) -> Tensor:
    """The tensors one after the other along `axis`; flattened if it is None.

    Raises:
        ShapeError: if the other dimensions differ.
        ArgumentError: if there is no tensor.
    """
    if not len(arrays):
        raise ArgumentError("concat: arrays is empty")
    xs = promote_all("concat", *arrays)
    if axis is None:
        xs, axis = tuple(reshape(x, (-1,)) for x in xs), 0
    position = normalize_axis(axis, xs[0].ndim, "concat")
    if len(xs) == 1:
        return xs[0]
    _check_concat(xs, position)
    return b.concatenate(*xs, dimension=position)


def _check_concat(xs: Sequence[Tensor], axis: int) -> None:
    def rest(x: Tensor) -> Dims:
        return x.shape[:axis] + x.shape[axis + 1 :]

    if any(x.ndim != xs[0].ndim or rest(x) != rest(xs[0]) for x in xs):
        raise ShapeError(
            f"concat: shapes differ beside axis {axis}",
            operands={f"[{i}]": x for i, x in enumerate(xs)},
        )


def stack(arrays: Sequence[Any], /, *, axis: int = 0) -> Tensor:
    """The tensors side by side along a new dimension `axis`.

    Raises:
        ShapeError: if the shapes differ.
        ArgumentError: if there is no tensor.
    """
    if not len(arrays):
        raise ArgumentError("stack: arrays is empty")
    xs = promote_all("stack", *arrays)
    if any(x.shape != xs[0].shape for x in xs):
        raise ShapeError(
            "stack: shapes differ",
            operands={f"[{i}]": x for i, x in enumerate(xs)},
        )
    position = normalize_axis(axis, xs[0].ndim + 1, "stack")
    return concat([expand_dims(x, position) for x in xs], axis=position)


def slice_axis(x: Tensor, axis: int, start: Any, limit: Any) -> Tensor:
    """``x[..., start:limit, ...]`` along one dimension, by bounds that fit."""
    low: list[Any] = [0] * x.ndim
    high = list(x.shape)
    low[axis], high[axis] = start, limit
    if tuple(high) == x.shape and start == 0:
        return x
    strides = (1,) * x.ndim
    return b.slice(x, start=tuple(low), limit=tuple(high), strides=strides)


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices of `x` along `axis`, which they drop.

    Raises:
        ShapeError: if the size along `axis` is symbolic.
    """
    x = as_tensor(x)
    position = normalize_axis(axis, x.ndim, "unstack")
    size = x.shape[position]
    if isinstance(size, SymDim):
        raise ShapeError(
            f"unstack: axis {axis} has the open size {size}",
            fix="use jf.scan or jf.fori_loop, or a fixed size in the TensorSpec",
        )
    parts = (slice_axis(x, position, i, i + 1) for i in range(size))
    return tuple(squeeze(part, position) for part in parts)


def split(x: Any, /, indices_or_sections: Any, *, axis: int = 0) -> list[Tensor]:
    """`x` cut along `axis` into equal sections, or at the given positions.

    Raises:
        ShapeError: if the sections are not equal.
    """
    x = as_tensor(x)
    position = normalize_axis(axis, x.ndim, "split")
    size = x.shape[position]
    if hasattr(indices_or_sections, "__index__"):
        sections = int(indices_or_sections)
        part = exact_div(size, sections) if sections > 0 else None
        if part is None:
            raise ShapeError(f"split: axis {axis} of size {size} into {sections}")
        cuts = [part * i for i in range(1, sections)]
    else:
        cuts = [_position(c, size) for c in indices_or_sections]
    pairs = zip([0, *cuts], [*cuts, size], strict=True)
    return [slice_axis(x, position, low, _not_below(high, low)) for low, high in pairs]


def _position(cut: Any, size: Any) -> Any:
    if isinstance(cut, SymDim) or isinstance(size, SymDim):
        return cut
    return max(min(cut + size if cut < 0 else cut, size), 0)


def _not_below(high: Any, low: Any) -> Any:
    ordered = isinstance(high, SymDim) or isinstance(low, SymDim) or high >= low
    return high if ordered else low


def flip(x: Any, /, *, axis: Any = None) -> Tensor:
    """The order of the elements reversed along `axis` (all if None)."""
    x = as_tensor(x)
    dims = normalize_axes(axis, x.ndim, "flip")
    return b.reverse(x, dims=dims) if dims else x


def roll(x: Any, /, shift: Any, *, axis: Any = None) -> Tensor:
    """Elements moved by `shift` along `axis`, those that fall off coming back."""
    x = as_tensor(x)
    if axis is None:
        return reshape(roll(reshape(x, (-1,)), shift, axis=0), x.shape)
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    shifts = shift if isinstance(shift, tuple | list) else (shift,) * len(axes)
    if len(shifts) != len(axes):
        raise ArgumentError(f"roll: shift {shift} and axis {axis} do not pair up")
    for distance, a in zip(shifts, axes, strict=True):
        x = _roll_axis(x, int(distance), normalize_axis(a, x.ndim, "roll"))
    return x


def _roll_axis(x: Tensor, distance: int, axis: int) -> Tensor:
    size = x.shape[axis]
    if isinstance(size, int):
        cut = -distance % size if size else 0
    else:  # |distance| <= size is assumed of an open size, and checked by no one else
        cut = -distance if distance < 0 else size - distance
    if cut == 0 or distance == 0:
        return x
    return concat(
        [slice_axis(x, axis, cut, size), slice_axis(x, axis, 0, cut)], axis=axis
    )


def tile(x: Any, repetitions: Any, /) -> Tensor:
    """`x` repeated as a whole `repetitions` times along each dimension."""
    x = as_tensor(x)
    times = (repetitions,) if hasattr(repetitions, "__index__") else tuple(repetitions)
    rank = max(len(times), x.ndim)
    times = (1,) * (rank - len(times)) + times
    x = reshape(x, (1,) * (rank - x.ndim) + tuple(x.shape))
    if all(n == 1 for n in times):
        return x
    paired = tuple(d for pair in zip(times, x.shape, strict=True) for d in pair)
    odd = tuple(range(1, 2 * rank, 2))
    wide = b.broadcast_in_dim(x, dims=odd, shape=paired)
    return reshape(wide, tuple(n * d for n, d in zip(times, x.shape, strict=True)))


def repeat(x: Any, repeats: Any, /, *, axis: int | None = None) -> Tensor:
    """Each element repeated `repeats` times along `axis` (flattened if None).

    Args:
        repeats: an int, or one int per element (Python ints or an eager tensor).
    """
    x = as_tensor(x)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    position = normalize_axis(axis, x.ndim, "repeat")
    if not hasattr(repeats, "__index__") or getattr(repeats, "shape", ()) != ():
        return _repeat_each(x, repeats, position)
    shape = list(x.shape)
    shape.insert(position + 1, int(repeats))
    kept = tuple(i for i in range(len(shape)) if i != position + 1)
    wide = b.broadcast_in_dim(x, dims=kept, shape=tuple(shape))
    merged = list(x.shape)
    merged[position] = merged[position] * int(repeats)
    return reshape(wide, tuple(merged))


def _repeat_each(x: Tensor, repeats: Any, axis: int) -> Tensor:
    counts = as_tensor(repeats).numpy().tolist()
    if len(counts) == 1:
        counts = counts * x.shape[axis]
    if len(counts) != x.shape[axis]:
        raise ShapeError(
            f"repeat: {len(counts)} counts for axis {axis} of size {x.shape[axis]}"
        )
    parts = [
        repeat(slice_axis(x, axis, i, i + 1), n, axis=axis)
        for i, n in enumerate(counts)
    ]
    return concat(parts, axis=axis) if parts else x
