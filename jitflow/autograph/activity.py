"""Which names a piece of code assigns and reads, in the scope of its function."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator

SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def in_scope(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes themselves and what is below them, without the bodies of functions."""
    for node in nodes:
        yield node
        if not isinstance(node, SCOPES):
            yield from in_scope(ast.iter_child_nodes(node))


def assigned(nodes: Iterable[ast.AST]) -> list[str]:
    """Names that are bound or deleted, in order of first occurrence.

    Not the names of exceptions: they are unbound again at the end of their handlers.
    """
    found: dict[str, None] = {}
    for node in _bindings(nodes):
        for name in _names_bound(node):
            found[name] = None
    return list(found)


def _bindings(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Like `in_scope`; of a comprehension only what it binds outside of it (walrus)."""
    for node in nodes:
        if isinstance(node, _COMPREHENSIONS):
            yield from (
                n.target for n in ast.walk(node) if isinstance(n, ast.NamedExpr)
            )
            continue
        yield node
        if not isinstance(node, SCOPES):
            yield from _bindings(ast.iter_child_nodes(node))


def _names_bound(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
        return [node.id]
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(a.asname or a.name).partition(".")[0] for a in node.names]
    if isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
        return [node.name]
    return []


def read(nodes: Iterable[ast.AST]) -> Counter[str]:
    """How often names are read, by functions inside too.

    The test that `jitflow.autograph.jumps` adds to a ``for`` loop counts.
    """
    found: Counter[str] = Counter()
    for top in nodes:
        for node in ast.walk(top):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store):
                found[node.id] += 1
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                found[node.target.id] += 1
            elif isinstance(node, ast.Nonlocal):
                found.update(node.names)
            elif extra := getattr(node, "extra_test", None):
                found.update(read([extra]))
    return found


def declared(
    nodes: Iterable[ast.AST], kind: type[ast.Global] | type[ast.Nonlocal]
) -> set[str]:
    """Names declared ``global`` or ``nonlocal`` (`kind` is the node's type)."""
    return {name for n in in_scope(nodes) if isinstance(n, kind) for name in n.names}


def parameters(arguments: ast.arguments) -> set[str]:
    """Names of the parameters of a function."""
    given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    extra = [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    return {a.arg for a in (*given, *extra)}
