"""What a code object reads by name: globals, closure cells, attribute chains.

The scan is static: it looks for a load of a name followed by loads of attributes
(``self.config.rate``), and at what is done with the result where that can be told
(an attribute is stored, a mutating method is looked up).
"""

from __future__ import annotations

import dis
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import NamedTuple

GLOBAL, CELL, LOCAL = "global", "closure variable", "local"

# Methods of the built-in containers that change them.
MUTATORS = frozenset(
    [
        "append",
        "extend",
        "insert",
        "remove",
        "pop",
        "clear",
        "sort",
        "reverse",
        "add",
        "discard",
        "update",
        "popitem",
        "setdefault",
        "appendleft",
        "extendleft",
        "popleft",
        "rotate",
        "difference_update",
        "intersection_update",
        "symmetric_difference_update",
        "__setitem__",
        "__delitem__",
    ]
)


class Chain(NamedTuple):
    """One chain of loads: ``root.attrs[0].attrs[1]`` at a line.

    ``stores`` is the attribute (or, with no attributes, the name itself) that the
    chain's object has stored into at that place, or "".
    """

    kind: str
    root: str
    attrs: tuple[str, ...]
    line: int
    stores: str = ""

    @property
    def text(self) -> str:
        """The chain as the user wrote it."""
        return ".".join((self.root, *self.attrs))


@dataclass(frozen=True)
class CodeScan:
    """The chains of a code object and of the lambdas and comprehensions inside it.

    ``changing_lines`` are lines that store into a subscript, augment a value or look
    up a mutating method: where a captured container was changed is told from them.
    ``moving_locals`` are roots that are assigned in the body, so that their value has
    to be read again and again.
    """

    chains: tuple[Chain, ...]
    changing_lines: frozenset[int]
    moving_locals: frozenset[str]


def _root_of(op: dis.Instruction) -> tuple[str, str] | None:
    name = op.opname
    if name in ("LOAD_GLOBAL", "LOAD_NAME"):
        return GLOBAL, op.argval
    if name in ("LOAD_DEREF", "LOAD_CLASSDEREF"):
        return CELL, op.argval
    if name.startswith("LOAD_FAST"):
        # The fused forms of 3.13 push two names; the second is on top.
        last = op.argval[-1] if isinstance(op.argval, tuple) else op.argval
        return LOCAL, last
    return None


_STORED_NAMES = {"STORE_GLOBAL": GLOBAL, "STORE_DEREF": CELL}
_SKIPPED = frozenset(("CACHE", "EXTENDED_ARG", "PUSH_NULL", "NOP", "PRECALL", "COPY"))


def _chains(ops: list[dis.Instruction]) -> Iterator[Chain]:
    line, position = 0, 0
    while position < len(ops):
        op = ops[position]
        line = _line_of(op) or line
        position += 1
        if op.opname in _STORED_NAMES:
            yield Chain(_STORED_NAMES[op.opname], op.argval, (), line, op.argval)
        root = _root_of(op)
        if root is None:
            continue
        attrs: list[str] = []
        while position < len(ops) and ops[position].opname in _ATTRIBUTE_LOADS:
            attrs.append(ops[position].argval)
            position += 1
        after = ops[position] if position < len(ops) else None
        stored = after is not None and after.opname == "STORE_ATTR"
        yield Chain(*root, tuple(attrs), line, after.argval if stored and after else "")
        # ``o.n += 1`` keeps the object below its old value: the store comes later.
        if attrs and _is_augmented(ops, position, attrs[-1]):
            yield Chain(*root, tuple(attrs[:-1]), line, attrs[-1])


_ATTRIBUTE_LOADS = frozenset(("LOAD_ATTR", "LOAD_METHOD"))


def _line_of(op: dis.Instruction) -> int:
    return (op.positions.lineno if op.positions else None) or 0


def _is_augmented(ops: list[dis.Instruction], start: int, name: str) -> bool:
    line = _line_of(ops[start - 1])
    for op in ops[start:]:
        if _line_of(op) != line:
            return False
        if op.opname == "STORE_ATTR" and op.argval == name:
            return True
    return False


def _changes(op: dis.Instruction) -> bool:
    if op.opname in ("STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE"):
        return True
    if op.opname == "BINARY_OP" and op.argrepr.endswith("="):
        return True
    return op.opname in _ATTRIBUTE_LOADS and op.argval in MUTATORS


@lru_cache(maxsize=4096)
def scan(code: CodeType) -> CodeScan:
    """The scan of a code object; kept, because code objects never change."""
    # A COPY between ``LOAD self`` and ``LOAD_ATTR n`` is how ``self.n += 1`` starts.
    ops = [op for op in dis.get_instructions(code) if op.opname not in _SKIPPED]
    chains = list(_chains(ops))
    changing = {_line_of(op) for op in ops if _changes(op)}
    # Converted control flow keeps its names in cells.
    stores = ("STORE_FAST", "STORE_DEREF")
    stored = {op.argval for op in ops if op.opname.startswith(stores)}
    flat = {n for s in stored for n in (s if isinstance(s, tuple) else (s,))}
    named = [c for c in chains if c.kind in (LOCAL, CELL)]
    roots = {c.root for c in named if c.attrs or c.stores}
    arguments = set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            nested = scan(inner)
            # Locals and cells of an inner function are not this frame's names, except
            # cells that this frame owns; those are found by name when resolved.
            chains.extend(c for c in nested.chains if c.kind != LOCAL)
            changing |= nested.changing_lines
    moving = frozenset((flat - arguments) & roots) | frozenset(flat & arguments & roots)
    return CodeScan(tuple(dict.fromkeys(chains)), frozenset(changing), moving)
