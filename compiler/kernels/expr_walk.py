"""Order in which a target visits the operations of scalar expressions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from compiler.kernels.expr import Expr


def post_order(
    roots: Iterable[Expr], is_done: Callable[[Expr], bool] | None = None
) -> Iterator[Expr]:
    """Every expression under `roots`, operands first, each object once.

    An expression for which `is_done` holds is left out together with what only it
    needs. Works on an explicit stack: fused kernels build chains deeper than the
    recursion limit of Python.
    """
    seen: set[Expr] = set()
    stack = [(root, False) for root in reversed(list(roots))]
    while stack:
        expr, expanded = stack.pop()
        if expanded:
            yield expr
        elif expr not in seen and not (is_done and is_done(expr)):
            seen.add(expr)
            stack.append((expr, True))
            stack.extend((arg, False) for arg in reversed(expr.args))


def calls_of(roots: Iterable[Expr]) -> list[tuple[str, Expr]]:
    """The ``call`` expressions under `roots` as (function name, call), in order."""
    return [(e.attr, e) for e in post_order(roots) if e.op == "call"]
