"""A topological order of steps that is kept up to date while steps are merged.

Merging two steps is safe only if no other step must run between them. With the order
at hand only the steps that stand between the two have to be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable


class StepOrder:
    """Steps, named by integers, in an order in which they could be executed.

    `successors` tells which steps read what a step makes; it may change as steps are
    merged.
    """

    def __init__(
        self, steps: Iterable[int], successors: Callable[[int], Iterable[int]]
    ) -> None:
        self._order = list(steps)
        self._position = {step: i for i, step in enumerate(self._order)}
        self._successors = successors

    def between(self, a: int, b: int) -> set[int] | None:
        """Steps between the two that depend on the earlier one.

        None if the later one depends on one of them, so that the two cannot be merged.
        """
        first, last = self._sorted(a, b)
        limit = self._position[last]
        found: set[int] = set()
        stack = [s for s in self._successors(first) if s != last]
        while stack:
            step = stack.pop()
            if step == last:
                return None
            if step in found or self._position[step] > limit or step == first:
                continue
            found.add(step)
            stack.extend(self._successors(step))
        return found

    def merge(self, a: int, b: int, dependent: set[int], merged: int) -> None:
        """Make `a` and `b` one step called `merged` (one of the two).

        `dependent` is what `between` gave: it moves behind the merged step.
        """
        first, last = self._sorted(a, b)
        start, end = self._position[first], self._position[last]
        region = self._order[start : end + 1]
        before = [s for s in region if s not in dependent and s not in (a, b)]
        after = [s for s in region if s in dependent]
        # One place becomes empty; it keeps the positions of all later steps.
        new = [*before, merged, *after]
        self._order[start : end + 1] = [*new, -1]
        for i, step in enumerate(new, start):
            self._position[step] = i
        del self._position[a if merged == b else b]

    def _sorted(self, a: int, b: int) -> tuple[int, int]:
        return (a, b) if self._position[a] < self._position[b] else (b, a)

    def rank(self, step: int) -> int:
        """Position of a step."""
        return self._position[step]
