"""Slots: what each leaf of a loop's state, or of a branch's results, is.

A leaf is a tensor of a type, a *weak* number (a Python int or float, which never
changes the dtype of what it meets), or anything else: then it is static and must stay
what it is. The rules here decide what becomes of a leaf that is one thing before an
iteration, or in one branch, and another thing after it, or in the other branch.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compiler.ir.dims import SymDim
from compiler.ir.types import DType, TensorType
from jitflow.config import settings
from jitflow.control_flow.errors import ControlFlowError
from jitflow.dtypes import bool_, float64, int64
from jitflow.ops.coerce import as_tensor, scalar_tensor
from jitflow.ops.dispatch import builder
from jitflow.ops.promotion import result_dtype
from jitflow.tensor import Tensor, Variable
from jitflow.tracing.scalar import TracedScalar

# A weak number is carried in the type that Python computes in.
_CARRIERS: dict[type, DType] = {int: int64, float: float64}


@dataclass(frozen=True)
class Slot:
    """One leaf.

    Attributes:
        type: of the tensor that carries it; None if it is static.
        weak: ``int`` or ``float`` for a weak number.
        value: what a static leaf is.
    """

    type: TensorType | None
    weak: builtins.type | None = None
    value: Any = None

    def __str__(self) -> str:
        if self.type is None:
            return f"{builtins.type(self.value).__name__} {self.value!r}"[:60]
        if self.weak is not None:
            return f"a Python {self.weak.__name__}"
        return f"{self.type.dtype.long}[{','.join(map(str, self.type.shape))}]"


def weak_slot(kind: type) -> Slot:
    """The slot of a Python int or float."""
    return Slot(TensorType(_CARRIERS[kind]), kind)


def slot_of(leaf: Any) -> Slot:
    """The slot that a leaf needs."""
    if isinstance(leaf, Tensor | Variable):
        if leaf.weak_type is not None:
            return weak_slot(leaf.weak_type)
        return Slot(TensorType(leaf.dtype, leaf.shape))
    if isinstance(leaf, SymDim):
        return weak_slot(int)
    if type(leaf) in _CARRIERS:
        return weak_slot(type(leaf))
    if isinstance(leaf, np.ndarray | np.generic | bool | complex):
        return slot_of(as_tensor(leaf))
    return Slot(None, value=leaf)


def operand_of(leaf: Any, slot: Slot) -> Tensor:
    """The tensor that carries a leaf into a slot that it fits."""
    assert slot.type is not None
    dtype = slot.type.dtype
    if isinstance(leaf, TracedScalar):
        return builder.cast(leaf.plain, dtype)
    if type(leaf) in (bool, int, float, complex):
        return scalar_tensor(leaf, dtype)
    return builder.cast(as_tensor(leaf), dtype)


def leaf_of(tensor: Any, slot: Slot, keep_weak: bool) -> Any:
    """What the user sees of a slot: inverse of `operand_of`.

    Args:
        tensor: the carrier; None for a static slot.
        slot: what it is.
        keep_weak: give weak numbers back as such; else as tensors of default types.
    """
    if slot.type is None:
        return slot.value
    if slot.weak is None:
        return tensor
    if keep_weak:
        return TracedScalar(tensor._value, tensor._trace, slot.weak)
    return strong(tensor, slot.weak)


def strong(tensor: Tensor, kind: type) -> Tensor:
    """A carried Python number as an ordinary tensor of the default type."""
    return builder.cast(tensor, settings.float_dtype if kind is float else int64)


def same_static(a: Any, b: Any) -> bool:
    """Whether two static leaves are one value."""
    if a is b:
        return True
    try:
        return type(a) is type(b) and bool(a == b)
    except Exception:  # a foreign __eq__ may do anything: then they differ
        return False


def join(a: Slot, b: Slot) -> Slot | None:
    """The slot that holds both; None if there is none.

    Weak numbers take the type of a tensor of rank 0 that they meet, as far as their
    kind allows; two tensors have to be of one type.
    """
    if a.type is None or b.type is None:
        same = a.type is b.type and same_static(a.value, b.value)
        return a if same else None
    if a.weak is not None and b.weak is not None:
        return weak_slot(float if float in (a.weak, b.weak) else int)
    if a.weak is None and b.weak is None:
        return a if a.type == b.type else None
    hard, kind = (a, b.weak) if a.weak is None else (b, a.weak)
    assert hard.type is not None and kind is not None
    fits = hard.type.shape == () and hard.type.dtype is not bool_
    fits = fits and result_dtype([hard.type.dtype], [kind]) is hard.type.dtype
    return hard if fits else None


def next_slot(before: Slot, after: Slot) -> Slot | None:
    """The slot of a loop variable, given what it was and what the body makes of it.

    Unlike a tensor, a number that the loop starts with takes any type of rank 0.
    """
    free = before.weak is not None and after.type is not None
    if free and after.weak is None and after.type.shape == ():  # type: ignore[union-attr]
        return after
    return join(before, after)


def state_error(path: str, before: Slot, after: Slot) -> ControlFlowError:
    """The error for a loop variable whose type does not stay the same."""
    fix = "start with a value of the type that the body returns"
    if before.type is not None and after.type is not None:
        if before.type.shape == after.type.shape:
            fix = f"convert with jf.astype, or {fix}"
        elif before.type.shape == ():
            fix = f"start with jf.zeros of shape {tuple(after.type.shape)}, or {fix}"
    return ControlFlowError(
        f"the loop variable {path} starts as {before} and becomes {after}",
        cause="compiled loops keep the type of every variable from one iteration "
        "to the next",
        fix=fix,
    )


def branch_error(path: str, slots: Sequence[Slot], names: Sequence[str]) -> Any:
    """The error for a result that differs between branches."""
    parts = [f"{s} in {n}" for s, n in zip(slots, names, strict=True)]
    return ControlFlowError(
        f"the branches give different types for {path}: " + ", ".join(parts),
        cause="which branch runs is not known while tracing, so all of them have to "
        "give the same type",
        fix="convert with jf.astype, jf.reshape or jf.broadcast_to in one branch",
    )
