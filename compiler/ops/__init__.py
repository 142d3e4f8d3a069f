"""The op table. Importing this package fills it; one record per op, one file a subject.

The public function is `compiler.ir.op.get`; the modules are imported for their records.
"""

from compiler.ops import (
    contractions,
    cumulative,
    elementwise,
    indexing,
    leaf,
    random,
    reductions,
    slicing,
)

__all__ = [
    "contractions",
    "cumulative",
    "elementwise",
    "indexing",
    "leaf",
    "random",
    "reductions",
    "slicing",
]
