"""``return``, ``break`` and ``continue`` as assignments to flags.

A branch that may be compiled cannot jump. What follows a conditional jump goes into the
other branch where one branch always jumps, else under a test of the flags.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from jitflow.autograph.activity import SCOPES

RETURNED = "returned__"
DONE = "done__"
_LOOPS = (ast.For, ast.While)
_JUMPS = (ast.Return, ast.Break, ast.Continue)


@dataclass
class _Loop:
    """Flags of one loop, and whether they are used."""

    number: int

    @property
    def broken(self) -> str:
        return f"broken_{self.number}__"

    @property
    def skipped(self) -> str:
        return f"skipped_{self.number}__"


def has_nested_jump(body: Sequence[ast.stmt]) -> bool:
    """Whether a jump is under an ``if`` or in a loop."""
    return any(
        _contains(node, _JUMPS) for node in _statements(body) if _is_compound(node)
    )


def _is_compound(node: ast.AST) -> bool:
    return isinstance(node, ast.If | ast.For | ast.While)


def _statements(nodes: Sequence[ast.AST]) -> list[ast.AST]:
    """The statements of a scope, compound ones before their parts."""
    found: list[ast.AST] = []
    for node in nodes:
        if isinstance(node, SCOPES):
            continue
        found.append(node)
        found += _statements(list(ast.iter_child_nodes(node)))
    return found


def _contains(node: ast.AST, kinds: tuple[type, ...] | type) -> bool:
    return any(isinstance(n, kinds) for n in _statements([node]))


def _own_jumps(node: ast.AST, kind: type) -> bool:
    """Whether a ``break`` or ``continue`` of the loop around `node` is in it."""
    if isinstance(node, kind):
        return True
    if isinstance(node, SCOPES):
        return False
    if isinstance(node, _LOOPS):
        # The jumps of an inner loop's ``else`` are those of the outer loop.
        return any(_own_jumps(n, kind) for n in node.orelse)
    return any(_own_jumps(n, kind) for n in ast.iter_child_nodes(node))


def always_jumps(body: Sequence[ast.stmt]) -> bool:
    """Whether control never reaches the end of a block."""
    if not body:
        return False
    last = body[-1]
    if isinstance(last, ast.If):
        return always_jumps(last.body) and always_jumps(last.orelse)
    return isinstance(last, (*_JUMPS, ast.Raise))


def lower_jumps(body: list[ast.stmt]) -> list[ast.stmt]:
    """The body of a function with one ``return``, at its end.

    Blocks that only exist for the flags' sake have the attribute ``internal``.
    """
    if not always_jumps(body):
        last = body[-1]
        end = ast.copy_location(ast.Return(ast.Constant(None)), last)
        body = [*body, end]
    lowered = _Lowering().block(body, None)
    first, last = body[0], body[-1]
    start = [_assign(DONE, False, first)]
    result = ast.Return(_load(RETURNED))
    return [*start, *lowered, ast.copy_location(result, last)]


class _Lowering:
    def __init__(self) -> None:
        self.loops = 0

    def block(self, body: Sequence[ast.stmt], loop: _Loop | None) -> list[ast.stmt]:
        out: list[ast.stmt] = []
        for position, node in enumerate(body):
            if isinstance(node, _JUMPS):
                return [*out, *self.jump(node, loop)]
            if isinstance(node, SCOPES) or not _contains(node, _JUMPS):
                out.append(node)
                continue
            rest = list(body[position + 1 :])
            if isinstance(node, ast.If):
                node, rest = _moved(node, rest)
            flags = self._flags(node, loop)
            out += self.compound(node, loop)
            if rest and flags:
                return [*out, _guard(flags, self.block(rest, loop), rest[0])]
            if not rest:
                return out
        return out

    def _flags(self, node: ast.stmt, loop: _Loop | None) -> list[str]:
        """The flags that a statement may set for those after it."""
        found = [DONE] if _contains(node, ast.Return) else []
        if loop is not None and _own_jumps(node, ast.Break):
            found.append(loop.broken)
        if loop is not None and _own_jumps(node, ast.Continue):
            found.append(loop.skipped)
        return found

    def jump(self, node: ast.stmt, loop: _Loop | None) -> list[ast.stmt]:
        if isinstance(node, ast.Return):
            value = node.value or ast.Constant(None)
            store = ast.Assign([ast.Name(RETURNED, ast.Store())], value)
            return [ast.copy_location(store, node), _assign(DONE, True, node)]
        assert loop is not None
        flag = loop.broken if isinstance(node, ast.Break) else loop.skipped
        return [_assign(flag, True, node)]

    def compound(self, node: ast.stmt, loop: _Loop | None) -> list[ast.stmt]:
        if isinstance(node, _LOOPS):
            return self.loop(node, loop)
        for name in ("body", "orelse", "finalbody"):
            if getattr(node, name, None):
                setattr(node, name, self.block(getattr(node, name), loop))
        for handler in getattr(node, "handlers", ()):
            handler.body = self.block(handler.body, loop)
        for case in getattr(node, "cases", ()):
            case.body = self.block(case.body, loop)
        return [node]

    def loop(self, node: ast.For | ast.While, outer: _Loop | None) -> list[ast.stmt]:
        self.loops += 1
        loop = _Loop(self.loops)
        breaks = any(_own_jumps(n, ast.Break) for n in node.body)
        skips = any(_own_jumps(n, ast.Continue) for n in node.body)
        returns = any(_contains(n, ast.Return) for n in node.body)
        stops = [loop.broken] * breaks + [DONE] * returns
        orelse, node.orelse = node.orelse, []
        body = self.block(node.body, loop)
        node.body = [_assign(loop.skipped, False, node)] * skips + body
        if stops:
            _stop_at(node, stops)
        before = [_assign(loop.broken, False, node)] if breaks else []
        after = self.block(orelse, outer)
        if after and stops:
            after = [_guard(stops, after, orelse[0])]
        return [*before, node, *after]


def _moved(node: ast.If, rest: list[ast.stmt]) -> tuple[ast.If, list[ast.stmt]]:
    """What follows an ``if`` moves into the branch that does not jump."""
    if always_jumps(node.body):
        node.orelse = [*node.orelse, *rest]
        return node, []
    if always_jumps(node.orelse):
        node.body = [*node.body, *rest]
        return node, []
    return node, rest


def _stop_at(node: ast.For | ast.While, flags: Sequence[str]) -> None:
    test = _none_of(flags, node)
    if isinstance(node, ast.While):
        both = ast.BoolOp(ast.And(), [test, node.test])
        node.test = ast.copy_location(both, node.test)
    else:
        node.extra_test = test  # type: ignore[attr-defined]


def _none_of(flags: Sequence[str], at: ast.AST) -> ast.expr:
    names: list[ast.expr] = [_load(flag) for flag in flags]
    test = names[0] if len(names) == 1 else ast.BoolOp(ast.Or(), names)
    return _placed(ast.UnaryOp(ast.Not(), test), at)


def _guard(flags: Sequence[str], body: list[ast.stmt], at: ast.AST) -> ast.stmt:
    node = ast.If(_none_of(flags, at), body, [])
    node.internal = True  # type: ignore[attr-defined]
    return ast.copy_location(node, at)


def _assign(name: str, value: bool, at: ast.AST) -> ast.stmt:
    return _placed(ast.Assign([ast.Name(name, ast.Store())], ast.Constant(value)), at)


def _load(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


def _placed(node, at):  # type: ignore[no-untyped-def]
    """A node, and those below it, at the place of another."""
    for inner in ast.walk(node):
        ast.copy_location(inner, at)
    return node
