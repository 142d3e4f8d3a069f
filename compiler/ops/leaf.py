"""Ops without operands: parameters, literals and index ramps."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from compiler.errors import ExecutionError
from compiler.ir import types as t
from compiler.ir.node import Literal
from compiler.ir.op import Kind, op
from compiler.ir.types import TensorType
from compiler.ops.common import fail


@op("parameter", kind=Kind.LEAF, attrs=("name", "type"), differentiable=False)
class Parameter:
    """An input of the graph, of type `type`; `name` is for people."""

    def infer(*, name: str, type: TensorType) -> TensorType:
        return type

    def evaluate(*, name: str, type: TensorType) -> NoReturn:
        raise ExecutionError(f"parameter {name}: {type} has no value of its own")

    vjp = None
    jvp = None
    batch = None
    emit = None


@op("constant", kind=Kind.LEAF, attrs=("value",), differentiable=False)
class Constant:
    """A literal array. Only literals of rank 0 are written into kernels; the others
    become buffers.
    """

    def infer(*, value: Literal) -> TensorType:
        return value.type

    def evaluate(*, value: Literal) -> np.ndarray:
        return value.array

    vjp = None
    jvp = None
    batch = None

    def emit(
        k: Any, index: Any, in_types: Any, out_type: Any, *, value: Literal
    ) -> Any:
        return k.const(value.array[()], out_type.dtype)


@op("iota", kind=Kind.LEAF, attrs=("dim", "type"), differentiable=False)
class Iota:
    """``out[i] = i[dim]`` as an array of type `type`.

    C1: `dim` is an axis of `type`.
    C2: the dtype of `type` is a number.
    """

    def infer(*, dim: int, type: TensorType) -> TensorType:
        if not 0 <= dim < type.rank:
            fail("iota", "C1", f"dim {dim} is not an axis of {type}")
        if type.dtype is t.bool_:
            fail("iota", "C2", f"dtype must be a number, given {type}")
        return type

    def evaluate(*, dim: int, type: TensorType) -> np.ndarray:
        sizes: Any = type.shape  # numbers by now
        shape = [1] * type.rank
        shape[dim] = sizes[dim]
        ramp = np.arange(sizes[dim], dtype=np.int64).astype(type.dtype.np)
        return np.ascontiguousarray(np.broadcast_to(ramp.reshape(shape), sizes))

    vjp = None
    jvp = None
    batch = None

    def emit(
        k: Any, index: Any, in_types: Any, out_type: Any, *, dim: int, type: Any
    ) -> Any:
        return k.convert(k.position(index[dim]), out_type.dtype)
