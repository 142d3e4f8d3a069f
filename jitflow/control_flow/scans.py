"""`scan` and `associative_scan`: loops over slices of their operands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from compiler.ir import op as op_table
from compiler.ir.types import TensorType
from jitflow.control_flow.body import common_captures, results_of
from jitflow.control_flow.slots import Slot, leaf_of, slot_of
from jitflow.control_flow.state import (
    LoopState,
    carriers,
    in_order,
    next_strictly,
    variables_after,
)
from jitflow.errors import ArgumentError, ShapeError
from jitflow.ops.coerce import as_tensor, normalize_axis
from jitflow.ops.creation import zeros
from jitflow.ops.dispatch import apply
from jitflow.ops.manipulation import concat, flip, moveaxis, reshape, stack
from jitflow.tensor import Tensor, state
from jitflow.tensor.state import user_function
from jitflow.tracing.structure import (
    Structure,
    flatten,
    leaf_paths,
    unflatten,
)

Step = Callable[[list[Any]], Any]


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: Any = None,
    reverse: bool = False,
    unroll: int = 1,
) -> tuple[Any, Any]:
    """Apply `f` to each slice of `xs`, carrying a value along.

    Args:
        f: takes the carried value and a slice, returns the new value and a row.
        init: the initial value: tensors, numbers, or structures of them.
        xs: a tensor, or a structure of tensors, sliced along their first dimension;
            None to just count.
        length: number of iterations; needed if `xs` is None.
        reverse: take the slices, and put the rows, from the last to the first.
        unroll: iterations per round of the compiled loop; the result is the same.

    Returns:
        ``(last value, rows stacked along a new first dimension)``. A row may be a
        structure; what is not a tensor in it (None) stays as it is.

    Raises:
        ControlFlowError: if the carried value changes its type, shape or structure.
        ShapeError: if the slices differ in number.
        ArgumentError: if the number is not given.
    """
    f = user_function(f)
    arrays, structure = _scanned(xs)
    count = _count(arrays, leaf_paths(xs, "xs"), length)
    if unroll < 1:
        raise ArgumentError(f"unroll: must be positive, given {unroll}")
    rows = _Rows(f, LoopState.of(init, "init"), structure)
    if state.trace is None:
        leaves, made = _eager_scan(rows, arrays, count, reverse)
    elif unroll > 1 and isinstance(count, int):
        leaves, made = _unrolled_scan(rows, arrays, count, reverse, unroll)
    else:
        leaves, made = run_scan(rows.loop, rows.step, arrays, count, reverse)
    return rows.loop.rebuild(leaves), unflatten(rows.row_structure, made)


class _Rows:
    """The user's function on flat leaves; remembers how its rows are nested."""

    def __init__(
        self, f: Callable[[Any, Any], Any], loop: LoopState, slices: Structure
    ) -> None:
        self.f = f
        self.loop = loop
        self.slices = slices
        self.row_structure: Structure

    def step(self, leaves: list[Any]) -> list[Any]:
        """Leaves of the state and of a slice to those of the state and of a row."""
        count = len(self.loop.leaves)
        value = self.loop.rebuild(leaves[:count])
        parts = leaves[count:]
        result = self.f(value, unflatten(self.slices, parts) if parts else None)
        if type(result) not in (tuple, list) or len(result) != 2:
            raise ArgumentError(
                f"scan: f returned a {type(result).__name__}",
                fix="return a pair: the new carried value and the row (or None)",
            )
        new, structure = flatten(result[0])
        self.loop.check_structure(structure, "the carried value")
        row, self.row_structure = flatten(result[1])
        return [*new, *row]


def _scanned(xs: Any) -> tuple[list[Tensor], Structure]:
    leaves, structure = flatten(xs)
    if all(leaf is None for leaf in leaves):
        return [], structure
    return [as_tensor(x, argument="xs") for x in leaves], structure


def _count(arrays: Sequence[Tensor], paths: Sequence[str], length: Any) -> Any:
    if not arrays and length is None:
        raise ArgumentError("scan: neither xs nor length is given")
    for path, x in zip(paths, arrays, strict=False):
        if not x.shape:
            raise ShapeError(
                f"scan: {path} has rank 0 and cannot be sliced",
                operands={path: x},
                fix="close over what is the same in every iteration",
            )
    counts = [length] if length is not None else []
    counts += [x.shape[0] for x in arrays]
    if any(count != counts[0] for count in counts):
        raise ShapeError(
            f"scan: different numbers of slices: {', '.join(map(str, counts))}",
            operands=dict(zip(paths, arrays, strict=False)),
            fix="all operands need the same first dimension (and length)",
        )
    return counts[0]


def _eager_scan(
    rows: _Rows, arrays: Sequence[Tensor], count: int, reverse: bool
) -> tuple[list[Any], list[Any]]:
    loop = rows.loop
    leaves, width = list(loop.leaves), len(loop.leaves)
    made: list[list[Any]] = []
    for i in reversed(range(count)) if reverse else range(count):
        found = rows.step([*leaves, *(x[i] for x in arrays)])
        leaves = found[:width]
        table = zip(loop.paths, loop.slots, leaves, strict=True)
        loop.slots = [next_strictly(p, s, slot_of(leaf)) for p, s, leaf in table]
        made.append(found[width:])
    ended = [x if slot_of(x).type is None else as_tensor(x) for x in leaves]
    if not made:
        return ended, _no_rows(rows, arrays)
    ordered = made[::-1] if reverse else made
    return ended, [_stacked(column) for column in zip(*ordered, strict=True)]


def _no_rows(rows: _Rows, arrays: Sequence[Tensor]) -> list[Any]:
    """Rows of a loop that never ran: their types are found by tracing its body."""
    extra = [_slice_slot(x) for x in arrays]
    body = rows.loop.trace("body", rows.step, len(rows.loop.leaves), extra)
    return [
        x
        if (s := _row_slot(x)).type is None
        else zeros((0, *s.type.shape), dtype=s.type.dtype)
        for x in body.leaves[len(rows.loop.leaves) :]
    ]


def _stacked(column: Sequence[Any]) -> Any:
    first = column[0]
    return (
        first if slot_of(first).type is None else stack([as_tensor(x) for x in column])
    )


def _slice_slot(x: Tensor) -> Slot:
    return Slot(TensorType(x.dtype, x.shape[1:]))


def _row_slot(leaf: Any) -> Slot:
    """Rows are tensors of the default types where they are numbers."""
    slot = slot_of(leaf)
    if slot.weak is None:
        return slot
    return slot_of(as_tensor(slot.weak()))


def run_scan(
    loop: LoopState,
    step: Step,
    arrays: Sequence[Tensor],
    length: Any,
    reverse: bool,
    keep_weak: bool = False,
) -> tuple[list[Any], list[Any]]:
    """Stage a scan on the leaves of its state.

    Args:
        loop: the state.
        step: leaves of the state and of a slice to new leaves and a row.
        arrays: what is sliced.
        length: number of slices.
        reverse: from the last to the first.
        keep_weak: see `jitflow.control_flow.slots.leaf_of`.

    Returns:
        The last leaves of the state, and the stacked rows.
    """
    width = len(loop.leaves)
    body = loop.trace("body", step, width, [_slice_slot(x) for x in arrays])
    row_leaves = body.leaves[width:]
    row_slots = [_row_slot(leaf) for leaf in row_leaves]
    with body.resumed():
        results = [
            *carriers(body.leaves[:width], loop.slots),
            *variables_after(body, loop.variables),
        ]
        carried = len(results)
        results = body.lifted([*results, *carriers(row_leaves, row_slots)])
    consts = common_captures([body])
    attrs = {
        "body": body.trace.graph(consts, in_order(body, loop.slots), results),
        "length": length,
        "num_carry": carried,
        "num_consts": len(consts),
        "reverse": reverse,
    }
    body.trace.tell_tapes()
    made: tuple[Any, ...] = ()
    if results:
        operands = (*consts, *loop.operands(), *arrays)
        made = results_of(apply(op_table.get("scan"), operands, attrs))
    rest = iter(made[carried:])
    rows = [
        leaf_of(None if s.type is None else next(rest), s, False) for s in row_slots
    ]
    return loop.finish(made[:carried], keep_weak), rows


def _unrolled_scan(
    rows: _Rows, arrays: Sequence[Tensor], count: int, reverse: bool, unroll: int
) -> tuple[list[Any], list[Any]]:
    """Blocks of `unroll` iterations in one round; what is left over goes one by one."""
    whole = count - count % unroll
    blocks = [reshape(x[:whole], (-1, unroll, *x.shape[1:])) for x in arrays]
    tails = [x[whole:] for x in arrays]
    loop, width = rows.loop, len(rows.loop.leaves)

    def block_step(leaves: list[Any]) -> list[Any]:
        state_leaves, parts = leaves[:width], leaves[width:]
        made: list[Any] = [None] * unroll
        for i in reversed(range(unroll)) if reverse else range(unroll):
            found = rows.step([*state_leaves, *(x[i] for x in parts)])
            state_leaves, made[i] = found[:width], found[width:]
        return [*state_leaves, *(_stacked(c) for c in zip(*made, strict=True))]

    def run_blocks() -> list[Any]:
        loop.leaves, found = run_scan(
            loop, block_step, blocks, whole // unroll, reverse
        )
        return [
            x if slot_of(x).type is None else reshape(x, (whole, *x.shape[2:]))
            for x in found
        ]

    def run_tail() -> list[Any]:
        rest = count - whole
        loop.leaves, found = run_scan(loop, rows.step, tails, rest, reverse)
        return found

    if reverse:
        last = run_tail()
        first = run_blocks()
    else:
        first = run_blocks()
        last = run_tail()
    pairs = zip(first, last, strict=True)
    joined = [a if slot_of(a).type is None else concat([a, b]) for a, b in pairs]
    return loop.leaves, joined


# -- associative_scan -----------------------------------------------------------------


def associative_scan(
    f: Callable[[Any, Any], Any], xs: Any, reverse: bool = False, axis: int = 0
) -> Any:
    """Running combination of elements by an associative function, in parallel.

    The work is that of two ordinary loops, in ``2 log2(n)`` steps that each handle many
    elements at once.

    Args:
        f: takes two structures like `xs` (earlier elements first, many at once along
            `axis`) and returns their combination, elementwise along `axis`.
        xs: a tensor or a structure of tensors.
        reverse: combine from the last element to the first.
        axis: along which the elements lie.

    Returns:
        A structure like `xs`; element i combines elements 0 to i.

    Raises:
        ShapeError: if the tensors differ in their size along `axis`.
    """
    f = user_function(f)
    leaves, structure = flatten(xs)
    tensors = [as_tensor(x, argument="xs") for x in leaves]
    axes = [normalize_axis(axis, x.ndim, "associative_scan") for x in tensors]
    sizes = {x.shape[a] for x, a in zip(tensors, axes, strict=True)}
    if len(sizes) != 1 or not all(isinstance(n, int) for n in sizes):
        raise ShapeError(
            "associative_scan: needs one fixed size along the axis",
            operands={f"xs[{i}]": x for i, x in enumerate(tensors)},
        )

    def combine(a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
        pair = [_outward(x, axes, structure) for x in (a, b)]
        made = [as_tensor(x) for x in flatten(f(*(pair[::-1] if reverse else pair)))[0]]
        return [moveaxis(x, d, 0) for x, d in zip(made, axes, strict=True)]

    moved = [moveaxis(x, d, 0) for x, d in zip(tensors, axes, strict=True)]
    if reverse:
        # From the far end everything is a forward scan, with the arguments swapped.
        found = _prefixes(combine, [flip(x, axis=0) for x in moved])
        return _outward([flip(x, axis=0) for x in found], axes, structure)
    return _outward(_prefixes(combine, moved), axes, structure)


def _outward(xs: Sequence[Tensor], axes: Sequence[int], structure: Structure) -> Any:
    pairs = zip(xs, axes, strict=True)
    return unflatten(structure, [moveaxis(x, 0, d) for x, d in pairs])


def _prefixes(
    combine: Callable[[list[Tensor], list[Tensor]], list[Tensor]], xs: list[Tensor]
) -> list[Tensor]:
    """Prefix combinations: pairs are combined, solved, and spread out again."""
    size = xs[0].shape[0] if xs else 0
    if size < 2:
        return xs
    pairs = combine([x[: size - 1 : 2] for x in xs], [x[1::2] for x in xs])
    odd = _prefixes(combine, pairs)
    if size == 2:
        return [concat([x[:1], y]) for x, y in zip(xs, odd, strict=True)]
    later = [x[2::2] for x in xs]
    even = combine([y[: later[0].shape[0]] for y in odd], later)
    return [
        _interleave(concat([x[:1], e]), y)
        for x, e, y in zip(xs, even, odd, strict=True)
    ]


def _interleave(even: Tensor, odd: Tensor) -> Tensor:
    """``even[0], odd[0], even[1], ...``; `even` may have one element more."""
    count = odd.shape[0]
    both = stack([even[:count], odd], axis=1)
    flat = reshape(both, (2 * count, *odd.shape[1:]))
    return flat if even.shape[0] == count else concat([flat, even[count:]])
