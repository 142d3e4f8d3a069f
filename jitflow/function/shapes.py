"""Which sizes of the arguments are fixed in a trace and which are symbols."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compiler.ir.dims import Dim, SymDim, symbol
from compiler.ir.types import TensorType
from jitflow.function.arguments import Call


class _Names:
    """Hands out names: ``B`` for the first open leading size, else ``d1``, ``d2``."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken
        self._by_group: dict[Any, SymDim] = {}

    def of(self, group: Any, axis: int) -> SymDim:
        """The symbol of a group of sizes that go together."""
        found = self._by_group.get(group)
        if found is None:
            name = "B" if axis == 0 else f"d{axis}"
            number = axis
            while name in self._taken:
                number += 1
                name = f"d{number}"
            self._taken.add(name)
            found = self._by_group[group] = symbol(name)
        return found


def first_pattern(call: Call) -> tuple[TensorType, ...]:
    """The pattern of a first trace: sizes as they are, symbols where a spec is open.

    Open sizes that are equal in the call, or leading ones of which no size is known,
    share a symbol: most programs need their batch sizes to be equal.
    """
    named = {str(d) for _, _, s in call.types() if s for d in s.shape}
    names = _Names({n for n in named if not n.isdigit()})
    result: list[TensorType] = []
    for shape, dtype, spec in call.types():
        wanted = shape if spec is None else spec.shape
        dims = []
        for axis, (want, have) in enumerate(zip(wanted, shape, strict=True)):
            if want is None:
                open_size = have is None or isinstance(have, SymDim)
                group = ("open", axis == 0) if open_size else ("size", have)
                alone = open_size and axis > 0
                key = (*group, len(result), axis) if alone else group
                dims.append(names.of(key, axis))
            else:
                dims.append(want)
        result.append(TensorType(dtype, tuple(dims)))
    return tuple(result)


def generalise(
    pattern: Sequence[TensorType], shapes: Sequence[tuple[int, ...]]
) -> tuple[TensorType, ...]:
    """The pattern with a symbol wherever a size of `shapes` differs from it.

    Sizes that change together (from one old value to one new value) share a symbol.
    """
    taken = {str(d) for t in pattern for d in t.shape if isinstance(d, SymDim)}
    names = _Names(set())
    kept: dict[str, tuple[Any, int]] = {}
    result = []
    for type_, shape in zip(pattern, shapes, strict=True):
        dims: list[Dim] = []
        for axis, (old, new) in enumerate(zip(type_.shape, shape, strict=True)):
            if isinstance(old, int) and old == new:
                dims.append(old)
                continue
            group = (str(old), new)
            # A symbol keeps its name for the first size that it meets.
            if str(old) in taken and kept.setdefault(str(old), group) == group:
                dims.append(old)
            else:
                names._taken |= taken
                dims.append(names.of(group, axis))
        result.append(type_.with_shape(tuple(dims)))
    return tuple(result)


def describe_change(old: tuple[Any, ...], new: tuple[Any, ...]) -> str:
    """``dim 0: 32 -> 17`` for each size that differs."""
    if len(old) != len(new):
        return f"rank {len(old)} -> {len(new)}"
    pairs = enumerate(zip(old, new, strict=True))
    return ", ".join(f"dim {i}: {a} -> {b}" for i, (a, b) in pairs if a != b)
