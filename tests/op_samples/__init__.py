"""Samples of every op: operands, attributes and what NumPy says about them.

One module per module of `compiler.ops`; `ALL` maps op names to their samples.
"""

from tests.op_samples import (
    contractions,
    convolution,
    cumulative,
    effects,
    elementwise_binary,
    elementwise_other,
    elementwise_unary,
    fft,
    gathering,
    indexing,
    leaf,
    linalg,
    patches,
    random,
    reductions,
    slicing,
    sorting,
    windows,
)
from tests.op_samples.common import Sample

ALL: dict[str, list[Sample]] = {
    name: samples
    for module in (
        contractions,
        convolution,
        cumulative,
        effects,
        elementwise_binary,
        elementwise_other,
        elementwise_unary,
        fft,
        gathering,
        indexing,
        leaf,
        linalg,
        patches,
        random,
        reductions,
        slicing,
        sorting,
        windows,
    )
    for name, samples in module.SAMPLES.items()
}
