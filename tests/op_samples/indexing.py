"""Samples of ops that choose elements of an operand."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.op_samples.common import Sample, random_array


def _broadcast(x: np.ndarray, *, dims: tuple, shape: tuple) -> np.ndarray:
    out = np.empty(shape, x.dtype)
    for place in np.ndindex(*shape):
        source = (place[d] if n > 1 else 0 for d, n in zip(dims, x.shape, strict=True))
        out[place] = x[tuple(source)]
    return out


def _broadcasts() -> list[Sample]:
    cases = [
        ((), (), (3,)),
        ((), (), (2, 0, 3)),
        ((3,), (1,), (2, 3)),
        ((3,), (0,), (3, 2)),
        ((2, 3), (0, 2), (2, 4, 3)),
        ((2, 3), (2, 0), (3, 4, 2)),
        ((1, 3), (0, 1), (4, 3)),
        ((3, 1), (2, 1), (2, 4, 3)),
        ((1, 1), (0, 1), (1, 1)),
        ((0, 1), (0, 1), (0, 5)),
        ((1, 0), (0, 1), (3, 0)),
    ]
    samples = [
        Sample([random_array("f64", s)], {"dims": d, "shape": o}, _broadcast)
        for s, d, o in cases
    ]
    attrs = {"dims": (1,), "shape": (2, 3)}
    dtypes = ("bool", "i8", "bf16", "c64")
    return samples + [
        Sample([random_array(d, (3,))], attrs, _broadcast) for d in dtypes
    ]


def _reshapes() -> list[Sample]:
    cases = [
        ((6,), (2, 3)),
        ((2, 3), (3, 2)),
        ((), (1, 1)),
        ((1, 1), ()),
        ((0, 3), (0,)),
    ]
    cases += [((2, 3, 4), (6, 4)), ((2, 3, 4), (4, 6)), ((24,), (2, 3, 4))]
    return [
        Sample(
            [random_array(d, s)], {"shape": o}, lambda x, shape: np.reshape(x, shape)
        )
        for s, o in cases
        for d in ("f64", "i32")
    ]


def _transposes() -> list[Sample]:
    cases: list[Any] = [((), ()), ((3,), (0,)), ((2, 3), (1, 0)), ((2, 3), (0, 1))]
    cases += [((2, 3, 4), (2, 0, 1)), ((2, 3, 4), (1, 2, 0)), ((2, 0, 4), (2, 1, 0))]
    return [
        Sample(
            [random_array(d, s)],
            {"permutation": p},
            lambda x, permutation: np.transpose(x, permutation),
        )
        for s, p in cases
        for d in ("f64", "bf16")
    ]


def _reverses() -> list[Sample]:
    cases = [
        ((4,), (0,)),
        ((2, 3), (1,)),
        ((2, 3), (0, 1)),
        ((2, 3), ()),
        ((0, 2), (0,)),
    ]
    return [
        Sample([random_array("f64", s)], {"dims": d}, lambda x, dims: np.flip(x, dims))
        for s, d in cases
    ]


def _concatenations() -> list[Sample]:
    cases = [
        ([(2,), (3,), (1,)], 0),
        ([(2, 3), (2, 1)], 1),
        ([(2, 3), (0, 3), (1, 3)], 0),
        ([(0, 3)], 0),
        ([(2, 2, 2)], 1),
        ([(2, 0), (2, 0)], 1),
    ]
    return [
        Sample(
            [random_array(d, s, f"{i}") for i, s in enumerate(shapes)],
            {"dimension": dim},
            lambda *xs, dimension: np.concatenate(xs, dimension),
        )
        for shapes, dim in cases
        for d in ("f64", "i8")
    ]


def _dimension_sizes() -> list[Sample]:
    return [
        Sample(
            [np.zeros((2, 0, 5), np.float32)], {"dim": d}, lambda x, dim: x.shape[dim]
        )
        for d in range(3)
    ]


SAMPLES = {
    "broadcast_in_dim": _broadcasts(),
    "reshape": _reshapes(),
    "transpose": _transposes(),
    "reverse": _reverses(),
    "concatenate": _concatenations(),
    "get_dimension_size": _dimension_sizes(),
}
