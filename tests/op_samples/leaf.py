"""Samples of ops without operands."""

import numpy as np

from compiler.ir.node import Literal
from compiler.ir.types import parse_type
from tests.op_samples.common import Sample, nasty, random_array


def _iota(text: str, dim: int) -> Sample:
    type_ = parse_type(text)

    def reference(**_: object) -> np.ndarray:
        return np.indices(type_.shape)[dim].astype(type_.dtype.np)

    return Sample([], {"dim": dim, "type": type_}, reference)


def _constant(array: np.ndarray) -> Sample:
    return Sample([], {"value": Literal(array)}, lambda value: array)


SAMPLES = {
    "parameter": [],
    "constant": [
        _constant(np.asarray(2.5, np.float32)),
        _constant(nasty("f64")),
        _constant(random_array("bf16", (2, 3))),
        _constant(random_array("c64", (0, 3))),
        _constant(np.asarray(True)),
    ],
    "iota": [
        _iota("i32[4]", 0),
        _iota("f32[2,3]", 1),
        _iota("bf16[2,1,3]", 0),
        _iota("u8[300]", 0),
        _iota("i64[0,2]", 1),
        _iota("c64[3]", 0),
    ],
}
