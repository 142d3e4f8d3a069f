"""The identity of a graph: equal for graphs that differ in names and order only."""

from __future__ import annotations

import hashlib

from compiler.ir.node import Graph
from compiler.ir.printer import print_graph


def fingerprint(graph: Graph) -> str:
    """SHA-256 of the canonical text, in hexadecimal.

    Graphs that differ only in names, locations, scopes, dead nodes or the order in
    which independent nodes were made have the same fingerprint.
    """
    return hashlib.sha256(print_graph(graph, canonical=True).encode()).hexdigest()
