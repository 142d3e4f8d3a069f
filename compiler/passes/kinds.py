"""Names of the ops of each kind, read once from the op table."""

from __future__ import annotations

import compiler.ops  # noqa: F401  fills the op table
from compiler.ir.op import Kind, table


def _names(*kinds: Kind) -> tuple[str, ...]:
    return tuple(name for name, record in table().items() if record.kind in kinds)


ELEMENTWISE = frozenset(_names(Kind.ELEMENTWISE))
REDUCTIONS = _names(Kind.REDUCTION)
# Ops whose results follow from their operands alone and are cheap to work out.
EVALUABLE = _names(Kind.ELEMENTWISE, Kind.INDEXING, Kind.REDUCTION, Kind.CONTRACTION)
