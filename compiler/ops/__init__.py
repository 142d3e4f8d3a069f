"""The op table. Importing this package fills it; one record per op, one file a subject.

The public function is `compiler.ir.op.get`; the modules are imported for their records.
"""

from compiler.ops import (
    contractions,
    control,
    convolution,
    cumulative,
    custom,
    effects,
    elementwise,
    fft,
    gathering,
    indexing,
    leaf,
    linalg,
    patches,
    random,
    reductions,
    scan,
    slicing,
    sorting,
    spectral,
    windows,
)

__all__ = [
    "contractions",
    "control",
    "convolution",
    "cumulative",
    "custom",
    "effects",
    "elementwise",
    "fft",
    "gathering",
    "indexing",
    "leaf",
    "linalg",
    "patches",
    "random",
    "reductions",
    "scan",
    "slicing",
    "sorting",
    "spectral",
    "windows",
]
