"""The buffer plan as text: value, offset, bytes, lifetime, and what shares what."""

from __future__ import annotations

from compiler.buffers.assign import Assignment
from compiler.buffers.storage import Schedule


def peak_bytes(assignment: Assignment) -> tuple[int, int]:
    """Largest sum of live bytes, and the item at which it occurs."""
    events: dict[int, int] = {}
    for slot in assignment.slots.values():
        if slot.shared_with is None:
            events[slot.birth] = events.get(slot.birth, 0) + slot.nbytes
        end = slot.death + 1
        taken = any(s.shared_with is slot.storage for s in assignment.slots.values())
        if not taken:
            events[end] = events.get(end, 0) - slot.nbytes
    live = peak = where = 0
    for item in sorted(events):
        live += events[item]
        if live > peak:
            peak, where = live, item
    return peak, where


def buffer_report(schedule: Schedule, assignment: Assignment) -> str:
    """One line for each storage in the arena, and a summary."""
    lines = [f"{'offset':>10} {'bytes':>10} {'live':>11}  value"]
    slots = sorted(assignment.slots.values(), key=lambda s: (s.birth, s.offset))
    for slot in slots:
        live = f"{slot.birth}..{slot.death}"
        shared = f"  (takes over {slot.shared_with.name})" if slot.shared_with else ""
        place = f"{slot.offset:>10} {slot.nbytes:>10} {live:>11}"
        lines.append(f"{place}  {slot.storage.name}{shared}")
    peak, where = peak_bytes(assignment)
    at = schedule.items[where].name if schedule.items else "nothing"
    params = {schedule.storage_of[p.output] for p in schedule.graph.params}
    updated = sum(s.place == "input" and s not in params for s in schedule.storages)
    lines.append(
        f"arena {assignment.arena_bytes} bytes; peak {peak} live bytes at item {where} "
        f"({at}); {assignment.sum_bytes} bytes without sharing; "
        f"{updated} updates in place"
    )
    return "\n".join(lines)
