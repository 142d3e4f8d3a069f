"""Converting to tensors, casting, shapes: the small functions layers are built from."""

from __future__ import annotations

from typing import Any

import numpy as np

import jitflow as jf
from jitflow.dtypes import as_dtype
from jitflow.keras.backend.dtypes import standardize_dtype
from jitflow.keras.backend.keras_tensor import KerasTensor, open_shape
from jitflow.tracing.structure import flatten, map_structure


def is_tensor(x: Any) -> bool:
    """Whether `x` is a tensor with a value, or one of a trace."""
    return isinstance(x, jf.Tensor)


def convert_to_tensor(x: Any, dtype: Any = None) -> jf.Tensor:
    """`x` as a tensor of `dtype`; Python numbers get Keras' default types.

    Args:
        x: tensor, variable, array, number or nested sequence.
        dtype: a dtype, or None for that of `x` (Python floats: `floatx`, ints: int32).
    """
    if isinstance(x, jf.Tensor):
        return x if dtype is None else cast(x, dtype)
    if isinstance(x, jf.Variable):
        return x.value if dtype is None else cast(x.value, dtype)
    if dtype is None:
        dtype = _default_dtype(x)
    return jf.asarray(x, dtype=None if dtype is None else standardize_dtype(dtype))


def _default_dtype(x: Any) -> Any:
    if hasattr(x, "dtype") or hasattr(x, "__array__"):
        return None
    kinds = {type(leaf) for leaf in flatten(x)[0]}
    if kinds <= {bool} or not kinds <= {bool, int, float}:
        return None
    return float if float in kinds else "int32"


def cast(x: Any, dtype: Any) -> jf.Tensor:
    """`x` converted to `dtype`."""
    wanted = as_dtype(standardize_dtype(dtype))
    x = jf.asarray(x) if not isinstance(x, jf.Tensor) else x
    return x if x.dtype is wanted else jf.astype(x, wanted)


def convert_to_numpy(x: Any) -> np.ndarray:
    """`x` as a NumPy array."""
    return x.numpy() if isinstance(x, jf.Tensor | jf.Variable) else np.asarray(x)


def shape_of(x: Any) -> tuple[int | None, ...] | None:
    """The shape of a tensor with None where it is open; None if `x` has no shape."""
    shape = getattr(x, "shape", None)
    return None if shape is None else open_shape(shape)


def shapes_of(x: Any) -> Any:
    """The shapes of nested tensors, in the same structure."""
    return map_structure(shape_of, x)


def is_shape(x: Any) -> bool:
    """Whether `x` is one shape, and not a nest of shapes."""
    return isinstance(x, tuple | list) and all(
        d is None or (hasattr(d, "__index__") and not isinstance(d, bool)) for d in x
    )


def map_shapes(function: Any, shapes: Any) -> Any:
    """Apply a function to every shape in a nest of shapes."""
    if is_shape(shapes):
        return function(tuple(shapes))
    if isinstance(shapes, dict):
        return {key: map_shapes(function, s) for key, s in shapes.items()}
    return type(shapes)(map_shapes(function, s) for s in shapes)


def symbolic_inputs(shapes: Any, dtype: Any) -> Any:
    """A nest of `KerasTensor`s of the given shapes."""
    return map_shapes(lambda shape: KerasTensor(shape, dtype), shapes)


def any_batch(shapes: Any) -> Any:
    """A nest of shapes with the batch size left open."""
    return map_shapes(lambda shape: (None, *shape[1:]), shapes)
