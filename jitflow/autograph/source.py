"""Finding the syntax tree of a function in the file it came from."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType

FunctionNode = ast.FunctionDef | ast.Lambda


@lru_cache(maxsize=256)
def _functions(text: str) -> dict[tuple[int, str], list[FunctionNode]]:
    """The functions of a source text by first line and name."""
    found: dict[tuple[int, str], list[FunctionNode]] = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            # As for code objects, a function starts at its first decorator.
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            found.setdefault((first, node.name), []).append(node)
        elif isinstance(node, ast.Lambda):
            found.setdefault((node.lineno, "<lambda>"), []).append(node)
    return found


def _positions(code: CodeType) -> Iterator[tuple[int, int]]:
    for line, _, column, _ in code.co_positions():
        # The first instructions of a code object stand for all of it, at column 0.
        if (
            line is not None
            and column is not None
            and (line, column) != (_first(code), 0)
        ):
            yield line, column


def _first(code: CodeType) -> int:
    return code.co_firstlineno


def find_function(code: CodeType) -> FunctionNode | None:
    """The tree of a code object; None if its source is not at hand, or ambiguous."""
    linecache.checkcache(code.co_filename)
    text = "".join(linecache.getlines(code.co_filename))
    if not text:
        return None
    try:
        found = _functions(text).get((code.co_firstlineno, code.co_name), [])
    except SyntaxError:
        return None
    matching = [node for node in found if _fits(node, code)]
    return matching[0] if len(matching) == 1 else None


def _fits(node: FunctionNode, code: CodeType) -> bool:
    """Whether arguments agree and the code lies inside of the node's body."""
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    if tuple(a.arg for a in arguments) != code.co_varnames[: len(arguments)]:
        return False
    if isinstance(node, ast.FunctionDef):
        return True
    start = (node.lineno, node.col_offset)
    end = (node.end_lineno or node.lineno, node.end_col_offset or 0)
    return all(start <= place <= end for place in _positions(code))
