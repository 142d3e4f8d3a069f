"""Soundness of a memory plan: live storages never overlap unless one takes over."""

from __future__ import annotations

from compiler.buffers.assign import Assignment
from compiler.runtime.executable import BoundProgram


def assert_sound(bound: BoundProgram) -> None:
    """Every pair of slots that share bytes has disjoint lifetimes or is a take-over."""
    _assert_sound(bound.assignment)


def _assert_sound(assignment: Assignment) -> None:
    for body in assignment.bodies.values():
        _assert_sound(body)
    slots = list(assignment.slots.values())
    for i, a in enumerate(slots):
        assert a.offset % 64 == 0
        assert a.offset + a.nbytes <= assignment.arena_bytes
        for b in slots[i + 1 :]:
            apart = a.offset + a.nbytes <= b.offset or b.offset + b.nbytes <= a.offset
            if apart or a.death < b.birth or b.death < a.birth:
                continue
            first, second = (a, b) if a.birth < b.birth else (b, a)
            assert second.shared_with is first.storage, (first, second)
            assert first.death == second.birth
