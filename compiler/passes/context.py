"""What the passes of one pipeline run share."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from compiler.ir.node import Graph, Node
from compiler.options import Options


@dataclass(slots=True)
class PassContext:
    """State of one pipeline run.

    Attributes:
        options: the compiler options.
        settled: per pass the nodes that none of its rules applies to. Nodes never
            change, and rules look only at a node and its operands, so such a node
            need not be tried again in a later round.
        verified: nodes that passed the verifier.
        fired: how often each rule was applied.
        attr_keys: per node what `eliminate_common` compares its attributes by.
        simplify: the pipeline itself, for graphs inside nodes.
    """

    options: Options = field(default_factory=Options)
    settled: defaultdict[str, set[Node]] = field(
        default_factory=lambda: defaultdict(set)
    )
    verified: set[Node] = field(default_factory=set)
    fired: Counter[str] = field(default_factory=Counter)
    attr_keys: dict[Node, tuple[Any, ...]] = field(default_factory=dict)
    simplify: Callable[[Graph], Graph] = lambda graph: graph


PassFn = Callable[[Graph, PassContext], Graph]
