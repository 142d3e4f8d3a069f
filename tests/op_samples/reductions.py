"""Samples of reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from compiler.ir.types import dtype_of
from tests.op_samples.common import (
    COMPLEX,
    FLOATS,
    INTS,
    Sample,
    nasty,
    random_array,
    wide,
)

CASES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((5,), (0,)),
    ((), ()),
    ((2, 3), (0,)),
    ((2, 3), (1,)),
    ((2, 3), (0, 1)),
    ((2, 3), ()),
    ((2, 3, 4), (0, 2)),
    ((1, 4), (0,)),
]
EMPTY = [((0,), (0,)), ((0, 3), (0,)), ((0, 3), (1,)), ((2, 0, 3), (1, 2))]


def family(
    function: Callable[..., Any], dtypes: tuple[str, ...], initial: Any = None
) -> list[Sample]:
    """All cases in f64 (or i32), every dtype once, empty operands, NaN."""
    main = "f64" if "f64" in dtypes else "i32"

    def reference(x: np.ndarray, *, axes: tuple[int, ...]) -> np.ndarray:
        extra = {} if initial is None else {"initial": initial(x.dtype)}
        return np.asarray(function(x, axis=axes, **extra)).astype(x.dtype)

    cases = [(main, *case) for case in CASES + EMPTY]
    cases += [(d, (3, 4), (1,)) for d in dtypes]
    samples = [
        Sample(
            [random_array(d, s)],
            {"axes": axes},
            wide(reference),
            grad=initial is None or 0 not in s,  # the extremum of nothing is infinite
            ulp=8,
        )
        for d, s, axes in cases
    ]
    if main == "f64":
        x = np.stack([nasty("f32"), np.ones_like(nasty("f32"))])
        attrs = {"axes": (0,)}
        samples.append(Sample([x], attrs, wide(reference), grad=False))
    return samples


def _lowest(dtype: np.dtype) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _highest(dtype: np.dtype) -> Any:
    return np.inf if dtype.kind == "f" else np.iinfo(dtype).max


def _bitwise(ufunc: np.ufunc) -> Callable[..., Any]:
    return lambda x, axis: ufunc.reduce(x, axis=axis)


def _args() -> list[Sample]:
    samples = []
    for kind, function in (("max", np.argmax), ("min", np.argmin)):

        def reference(x: Any, *, axis: int, dtype: Any, kind: str, f: Any = function):
            return f(x, axis=axis).astype(dtype.np)

        for d in ("f32", "f64", "bf16", "i8", "u64", "bool"):
            for axis in (0, 1):
                attrs = {"axis": axis, "dtype": dtype_of("i32"), "kind": kind}
                samples.append(Sample([random_array(d, (4, 3))], attrs, reference))
        attrs = {"axis": 0, "dtype": dtype_of("i64"), "kind": kind}
        ties = np.array([1.0, 3.0, 3.0, 0.0, 0.0])
        samples += [Sample([x], attrs, reference) for x in (nasty("f32"), ties)]
    return samples


ZEROS = np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 5.0], [1.0, 2.0, 3.0]])

SAMPLES = {
    "reduce_sum": family(np.sum, FLOATS + COMPLEX + INTS),
    "reduce_prod": [
        *family(np.prod, FLOATS + COMPLEX + INTS),
        Sample([ZEROS], {"axes": (1,)}, lambda x, axes: np.prod(x, axes)),
        Sample([ZEROS], {"axes": (0, 1)}, lambda x, axes: np.prod(x, axes)),
    ],
    "reduce_max": family(np.max, FLOATS + INTS, _lowest),
    "reduce_min": family(np.min, FLOATS + INTS, _highest),
    "reduce_and": family(_bitwise(np.bitwise_and), ("bool", *INTS)),
    "reduce_or": family(_bitwise(np.bitwise_or), ("bool", *INTS)),
    "arg_reduce": _args(),
}
