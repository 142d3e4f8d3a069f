"""The op table. Importing this package fills it; one record per op, one file a subject.

The public function is `compiler.ir.op.get`; the modules are imported for their records.
"""

from compiler.ops import (
    contractions,
    convolution,
    cumulative,
    elementwise,
    gathering,
    indexing,
    leaf,
    random,
    reductions,
    slicing,
    sorting,
    windows,
)

__all__ = [
    "contractions",
    "convolution",
    "cumulative",
    "elementwise",
    "gathering",
    "indexing",
    "leaf",
    "random",
    "reductions",
    "slicing",
    "sorting",
    "windows",
]
