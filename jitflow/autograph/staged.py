"""Converted statements as ops: the names that they assign become operands and results.

A name that has no value before a loop is the loop's own: it is not carried, and has no
value after it. A name that has no value, or another type, after one of two branches has
none after both; only its use is an error, which says why. The returned value is the
exception: where a function has not returned yet it is filled with zeros, which nobody
sees because a flag says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from jitflow.autograph.jumps import RETURNED
from jitflow.autograph.undefined import Undefined
from jitflow.control_flow.body import Body, run_body
from jitflow.control_flow.branches import choose, is_traced, truth
from jitflow.control_flow.errors import ControlFlowError
from jitflow.control_flow.loops import run_while
from jitflow.control_flow.scans import run_scan
from jitflow.control_flow.slots import join, slot_of
from jitflow.control_flow.state import LoopState
from jitflow.dtypes import int32
from jitflow.errors import ArgumentTypeError
from jitflow.ops.coerce import as_tensor
from jitflow.ops.dispatch import builder
from jitflow.ops.elementwise import logical_and, logical_or
from jitflow.tensor import state
from jitflow.tracing.structure import flatten, leaf_paths, map_structure, unflatten

Get = Callable[[], tuple[Any, ...]]
Set = Callable[[tuple[Any, ...]], None]


class _Branches(threading.local):
    """The ``if`` statements that converted code is in, innermost last.

    Attributes:
        staged: whether the innermost one depends on a traced value.
    """

    def __init__(self) -> None:
        self.staged = False

    @contextmanager
    def inside(self, staged: bool) -> Iterator[None]:
        """While a branch runs."""
        before = self.staged
        self.staged = staged
        try:
            yield
        finally:
            self.staged = before


branches = _Branches()


def note(place: str, outcome: str) -> None:
    """Remember what became of a statement, for `Function.control_flow`."""
    trace = state.trace
    if trace is None or not place:
        return
    before = trace.decisions.get(place)
    known = before is not None and outcome in before.split("; ")
    if not known:
        trace.decisions[place] = outcome if before is None else f"{before}; {outcome}"


# -- branches -----------------------------------------------------------------------


def staged_if(
    test: Any,
    body: Callable[[], None],
    orelse: Callable[[], None],
    get: Get,
    put: Set,
    names: Sequence[str],
    live: int,
    place: str,
) -> None:
    """An ``if`` statement on a traced value; see `operators.if_`."""
    before = get()

    def branch(function: Callable[[], None]) -> Callable[[], tuple[Any, ...]]:
        def run() -> tuple[Any, ...]:
            put(before)
            with branches.inside(staged=True):
                function()
            return get()[:live]

        return run

    def adjust(bodies: Sequence[Body]) -> None:
        _reconcile(bodies, names[:live], place)

    index = builder.convert(truth(test), dtype=int32)
    labels = ("the else branch", "the if branch")
    made = choose(index, (branch(orelse), branch(body)), labels, adjust, keep_weak=True)
    put((*made, *before[live:]))


def _reconcile(bodies: Sequence[Body], names: Sequence[str], place: str) -> None:
    """Make the results of both branches fit, name by name."""
    columns = [list(unflatten(b.structure, b.leaves)) for b in bodies]
    for i, name in enumerate(names):
        values = [column[i] for column in columns]
        new = _reconciled(bodies, name, values, place)
        for column, value in zip(columns, new, strict=True):
            column[i] = value
    for body, column in zip(bodies, columns, strict=True):
        body.leaves, body.structure = flatten(tuple(column))


def _reconciled(
    bodies: Sequence[Body], name: str, values: list[Any], place: str
) -> list[Any]:
    missing = [v for v in values if type(v) is Undefined]
    if name == RETURNED and len(missing) == 1:
        return _filled(bodies, values)
    if missing:
        where = f"a branch of `{place}` does not assign it" if place else "not assigned"
        return [_poison(name, missing[0], where)] * len(values)
    if _fit(values):
        return values
    shown = " or ".join(map(_shown, values))
    if name == RETURNED:
        raise ControlFlowError(
            f"the function returns {shown}, depending on a traced value",
            cause="which branch runs is not known while tracing",
            fix="return values of the same structure and types from every branch",
        )
    reason = f"after `{place}` it is {shown}, depending on the branch"
    return [Undefined(name, reason)] * len(values)


def _poison(name: str, value: Undefined, reason: str) -> Undefined:
    return value if value._reason else Undefined(name, reason)


def _shown(value: Any) -> str:
    leaves, structure = flatten(value)
    parts = ", ".join(str(slot_of(leaf)) for leaf in leaves)
    return parts if len(leaves) == 1 else f"{structure} of {parts}"


def _fit(values: Sequence[Any]) -> bool:
    """Whether values of the branches have a common type."""
    flat = [flatten(v) for v in values]
    if any(structure != flat[0][1] for _, structure in flat):
        return False
    rows = zip(*(leaves for leaves, _ in flat), strict=True)
    return all(join(*map(slot_of, row)) is not None for row in rows)


def _filled(bodies: Sequence[Body], values: list[Any]) -> list[Any]:
    """The returned value, with zeros in the branch that does not return."""
    known = next(v for v in values if type(v) is not Undefined)
    made = []
    for body, value in zip(bodies, values, strict=True):
        if type(value) is Undefined:
            with body.resumed():
                value = map_structure(_blank, known)
        made.append(value)
    return made


def _blank(leaf: Any) -> Any:
    slot = slot_of(leaf)
    if slot.type is None:
        return leaf
    return builder.full(0, slot.type) if slot.weak is None else slot.weak()


# -- loops --------------------------------------------------------------------------


class _Names:
    """The names that a loop assigns, split into those it carries and its own."""

    def __init__(self, get: Get, put: Set, names: Sequence[str], place: str) -> None:
        self.get, self.put, self.names, self.place = get, put, names, place
        self.before = get()
        self.carried = [
            i for i, v in enumerate(self.before) if type(v) is not Undefined
        ]

    def carry_returned(self, run: Callable[[], Any]) -> None:
        """Give the returned value zeros to start with, if the loop may return."""
        if RETURNED not in self.names:
            return
        place = self.names.index(RETURNED)
        if place in self.carried:
            return

        def probe(_: list[Any]) -> Any:
            self.enter(None)
            run()
            return self.get()[place]

        body = run_body("probe", probe)
        found = unflatten(body.structure, body.leaves)
        if type(found) is not Undefined:
            values = list(self.before)
            values[place] = map_structure(_blank, found)
            self.before = tuple(values)
            self.carried = sorted([*self.carried, place])

    def state(self) -> LoopState:
        """The state of the loop."""
        values = [self.before[i] for i in self.carried]
        loop = LoopState.of(tuple(values), "state")
        pairs = zip(self.carried, values, strict=True)
        loop.paths = [p for i, v in pairs for p in leaf_paths(v, self._label(i))]
        return loop

    def _label(self, i: int) -> str:
        return "the returned value" if self.names[i] == RETURNED else self.names[i]

    def enter(self, values: Sequence[Any] | None) -> None:
        """Assign the names as an iteration finds them; None: as before the loop."""
        full = list(self.before)
        if values is not None:
            for i, value in zip(self.carried, values, strict=True):
                full[i] = value
        self.put(tuple(full))

    def carried_values(self) -> list[Any]:
        """The values that an iteration leaves in the carried names."""
        found = self.get()
        return [found[i] for i in self.carried]

    def leave(self, values: Sequence[Any]) -> None:
        """Assign the names as the loop leaves them."""
        reason = f"it is assigned only in `{self.place}`, which may run zero times"
        full: list[Any] = [Undefined(n, reason) for n in self.names]
        for i, value in zip(self.carried, values, strict=True):
            full[i] = value
        self.put(tuple(full))

    def step(self, loop: LoopState, run: Callable[..., None]) -> Callable[..., Any]:
        """A body on the leaves of the state; `run` gets what comes after them."""

        def on_leaves(leaves: list[Any]) -> list[Any]:
            width = loop.structure.size
            self.enter(loop.rebuild(leaves[:width]))
            run(*leaves[width:])
            new, structure = flatten(tuple(self.carried_values()))
            self._check(loop, structure)
            return new

        return on_leaves

    def _check(self, loop: LoopState, structure: Any) -> None:
        pairs = zip(loop.structure.children, structure.children, strict=True)
        for i, (old, new) in zip(self.carried, pairs, strict=True):
            if old != new:
                raise ControlFlowError(
                    f"the loop variable {self._label(i)} is {old} before an "
                    f"iteration of `{self.place}` and {new} after it",
                    fix="return to the containers that the loop started with; to "
                    "collect values, use jf.scan",
                )


def staged_while(
    test: Callable[[], Any],
    body: Callable[[], None],
    get: Get,
    put: Set,
    names: Sequence[str],
    place: str,
) -> None:
    """A ``while`` loop on a traced condition; see `operators.while_`."""
    found = _Names(get, put, names, place)
    found.carry_returned(body)
    loop = found.state()

    def check(leaves: list[Any]) -> Any:
        found.enter(loop.rebuild(leaves))
        return test()

    leaves = run_while(loop, check, found.step(loop, body), keep_weak=True)
    found.leave(loop.rebuild(leaves))


class TensorRange:
    """``range`` with a traced bound."""

    def __init__(self, start: Any, stop: Any, step: Any) -> None:
        self.start, self.stop, self.step = start, stop, step


def tensor_range(*bounds: Any) -> Any:
    """``range(*bounds)`` where a bound may be traced.

    Raises:
        ArgumentTypeError: for a traced bound that is not an integer of rank 0.
    """
    if not any(is_traced(b) for b in bounds):
        return range(*bounds)
    for bound in bounds:
        tensor = as_tensor(bound)
        if tensor.shape or tensor.dtype.kind not in "iu":
            raise ArgumentTypeError(
                "range: a bound must be an integer of rank 0",
                operands={"bound": tensor},
            )
    start, stop = (0, bounds[0]) if len(bounds) == 1 else bounds[:2]
    return TensorRange(start, stop, bounds[2] if len(bounds) > 2 else 1)


def staged_range(
    items: TensorRange,
    body: Callable[[Any], None],
    goes_on: Callable[[], Any] | None,
    get: Get,
    put: Set,
    names: Sequence[str],
    place: str,
) -> None:
    """A ``for`` loop over a range with traced bounds."""
    found = _Names(get, put, names, place)
    found.carry_returned(lambda: body(items.start))
    outer = found.state()
    loop = LoopState.of((items.start, outer.rebuild(outer.leaves)), "state")
    loop.paths = ["the index", *outer.paths]

    def check(leaves: list[Any]) -> Any:
        index, values = loop.rebuild(leaves)
        found.enter(values)
        inside = _in_range(index, items)
        if goes_on is None:
            return inside
        return logical_and(truth(inside), truth(goes_on()))

    def step(leaves: list[Any]) -> list[Any]:
        index = leaves[0]
        new = found.step(outer, lambda: body(index))(leaves[1:])
        return [index + items.step, *new]

    leaves = run_while(loop, check, step, keep_weak=True)
    found.leave(loop.rebuild(leaves)[1])


def _in_range(index: Any, items: TensorRange) -> Any:
    if isinstance(items.step, int):
        return index < items.stop if items.step > 0 else index > items.stop
    up = logical_and(items.step > 0, index < items.stop)
    return logical_or(up, logical_and(items.step < 0, index > items.stop))


def staged_scan(
    items: Any,
    body: Callable[[Any], None],
    goes_on: Callable[[], Any] | None,
    get: Get,
    put: Set,
    names: Sequence[str],
    place: str,
) -> None:
    """A ``for`` loop over the slices of a traced tensor."""
    tensor = as_tensor(items)
    if not tensor.shape:
        raise ArgumentTypeError(
            "a tensor of rank 0 cannot be iterated", operands={"x": tensor}
        )
    found = _Names(get, put, names, place)
    found.carry_returned(lambda: body(builder.zeros_like(tensor[0])))
    loop = found.state()

    def run(item: Any) -> None:
        going = True if goes_on is None else goes_on()
        if is_traced(going):
            keep = len(names)
            staged_if(going, lambda: body(item), _nothing, get, put, names, keep, place)
        elif going:
            body(item)

    leaves, _ = run_scan(
        loop, found.step(loop, run), [tensor], tensor.shape[0], False, keep_weak=True
    )
    found.leave(loop.rebuild(leaves))


def _nothing() -> None:
    """The branch of a loop that was left."""
