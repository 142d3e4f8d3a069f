"""`while_loop` and `fori_loop`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compiler.ir import op as op_table
from compiler.ir.dims import SymDim
from jitflow.control_flow.body import (
    Body,
    common_captures,
    results_of,
    run_body,
)
from jitflow.control_flow.branches import cond as choose_cond
from jitflow.control_flow.branches import is_traced, known_truth, truth
from jitflow.control_flow.errors import ControlFlowError
from jitflow.control_flow.scans import run_scan
from jitflow.control_flow.slots import slot_of
from jitflow.control_flow.state import (
    LoopState,
    Step,
    carriers,
    in_order,
    next_strictly,
    variables_after,
)
from jitflow.errors import ArgumentTypeError
from jitflow.ops.coerce import as_tensor
from jitflow.ops.dispatch import apply
from jitflow.ops.elementwise import maximum
from jitflow.tensor import Tensor, state
from jitflow.tensor.state import user_function
from jitflow.tracing.structure import flatten, is_container


def while_loop(
    cond: Callable[..., Any],
    body: Callable[..., Any],
    loop_vars: Any,
    maximum_iterations: Any = None,
) -> Any:
    """Apply `body` to `loop_vars` while `cond` holds.

    Args:
        cond: takes the variables, gives a bool of rank 0. If `loop_vars` is a tuple or
            a list, each of its items is an argument.
        body: takes the same, returns the new values in the structure of `loop_vars`
            (the bare value if there is one only).
        loop_vars: the initial values: tensors, numbers, or structures of them.
        maximum_iterations: upper bound of the number of iterations. With a Python int
            the loop has a reverse-mode gradient; the compiled code then counts up to
            the bound, doing nothing once `cond` fails.

    Returns:
        The last values, in the structure of `loop_vars`.

    Raises:
        ControlFlowError: if a variable changes its type or shape, or the structure
            changes.
    """
    cond, body = user_function(cond), user_function(body)
    several = type(loop_vars) in (tuple, list)

    def test(value: Any) -> Any:
        return cond(*value) if several else cond(value)

    def step(value: Any) -> Any:
        if not several:
            return body(value)
        made = body(*value)
        bare = len(value) == 1 and not (is_container(made) and len(made) == 1)
        return type(value)((made,)) if bare else type(value)(made)

    if state.trace is None:
        return _eager_while(test, step, loop_vars, maximum_iterations)
    if isinstance(maximum_iterations, int | SymDim):
        return _bounded_while(test, step, loop_vars, maximum_iterations)
    if maximum_iterations is not None:
        return _counted_while(test, step, loop_vars, maximum_iterations)
    loop = LoopState.of(loop_vars, "loop_vars")
    found = run_while(loop, _leafwise(loop, test), _leafwise(loop, step, True))
    return loop.rebuild(found)


def _leafwise(
    loop: LoopState, function: Callable[[Any], Any], checked: bool = False
) -> Step:
    """A function of the state as one of its leaves, which may return the state."""

    def on_leaves(leaves: list[Any]) -> Any:
        result = function(loop.rebuild(leaves))
        if not checked:
            return result
        new, structure = flatten(result)
        loop.check_structure(structure, "the loop's state")
        return new

    return on_leaves


def _eager_while(
    test: Callable[[Any], Any], step: Callable[[Any], Any], value: Any, limit: Any
) -> Any:
    loop = LoopState.of(value, "loop_vars")
    count = 0
    while (limit is None or count < int(limit)) and known_truth(test(value)):
        value = step(value)
        check_eager(loop, value)
        count += 1
    return loop.rebuild([eager_leaf(x) for x in flatten(value)[0]])


def check_eager(loop: LoopState, value: Any) -> None:
    """Raise where the compiled loop would: types of the state must stay.

    Raises:
        ControlFlowError: naming the variable and both types.
    """
    leaves, structure = flatten(value)
    loop.check_structure(structure, "the loop's state")
    rows = zip(loop.paths, loop.slots, leaves, strict=True)
    loop.slots = [next_strictly(p, slot, slot_of(leaf)) for p, slot, leaf in rows]


def eager_leaf(leaf: Any) -> Any:
    """A result as a tensor, unless it is static."""
    return leaf if slot_of(leaf).type is None else as_tensor(leaf)


def _counted_while(
    test: Callable[[Any], Any], step: Callable[[Any], Any], value: Any, limit: Any
) -> Any:
    loop = LoopState.of((0, value), "loop_vars")

    def goes_on(pair: Any) -> Any:
        return choose_cond(pair[0] < limit, lambda: truth(test(pair[1])), lambda: False)

    def forward(pair: Any) -> Any:
        return pair[0] + 1, step(pair[1])

    found = run_while(loop, _leafwise(loop, goes_on), _leafwise(loop, forward, True))
    return loop.rebuild(found)[1]


def _bounded_while(
    test: Callable[[Any], Any], step: Callable[[Any], Any], value: Any, limit: Any
) -> Any:
    def forward(_: Any, current: Any) -> Any:
        return choose_cond(
            truth(test(current), "cond"), lambda: step(current), lambda: current
        )

    return _static_fori(0, limit, forward, value, "loop_vars")


def run_while(
    loop: LoopState, test: Step, step: Step, keep_weak: bool = False
) -> list[Any]:
    """Stage a loop on the leaves of its state; returns the last leaves.

    Args:
        loop: the state.
        test: the condition.
        step: the body.
        keep_weak: see `jitflow.control_flow.slots.leaf_of`.
    """
    body = loop.trace("body", step, len(loop.leaves))
    check = run_body(
        "cond", lambda x: [truth(test(x), "cond")], loop.slots, loop.variables
    )
    if check.trace.assigned():
        names = ", ".join(repr(v.name) for v in check.trace.assigned())
        raise ControlFlowError(
            f"the condition of a loop assigns the variable {names}",
            fix="assign variables, and draw random numbers, in the body",
        )
    results, decision = new_state(body, loop), check.lifted(check.leaves)
    consts = common_captures([body, check])
    attrs = {
        "cond": check.trace.graph(consts, check.params, decision),
        "body": body.trace.graph(consts, in_order(body, loop.slots), results),
        "num_consts": len(consts),
    }
    body.trace.tell_tapes()
    check.trace.tell_tapes()
    operands = loop.operands()
    if not operands:
        raise ControlFlowError(
            "a loop without tensors in its state never ends",
            fix="carry what the condition depends on in the loop's state",
        )
    made = apply(op_table.get("while"), (*consts, *operands), attrs)
    return loop.finish(results_of(made), keep_weak)


def new_state(body: Body, loop: LoopState) -> list[Tensor]:
    """What a body makes of the state: leaves, then variables."""
    with body.resumed():
        found = carriers(body.leaves[: len(loop.slots)], loop.slots)
        return body.lifted([*found, *variables_after(body, loop.variables)])


# -- fori_loop ----------------------------------------------------------------------


def fori_loop(lower: Any, upper: Any, body: Callable[..., Any], init: Any) -> Any:
    """``for i in range(lower, upper): init = body(i, init)``; returns the last value.

    With bounds that are Python ints (or sizes) the loop has a reverse-mode gradient;
    with tensors as bounds it has forward mode only.

    Args:
        lower: first index; an integer, or an integer tensor of rank 0.
        upper: one past the last index.
        body: takes the index and the value, returns the new value.
        init: the initial value: tensors, numbers, or structures of them.

    Raises:
        ControlFlowError: if the value changes its type, shape or structure.
        ArgumentTypeError: for a bound that is not an integer.
    """
    body = user_function(body)
    first, last = _bound(lower, "lower"), _bound(upper, "upper")
    if state.trace is None:
        loop, value = LoopState.of(init, "init"), init
        for i in range(int(first), int(last)):
            value = body(i, value)
            check_eager(loop, value)
        return loop.rebuild([eager_leaf(x) for x in flatten(value)[0]])
    if not (is_traced(first) or is_traced(last)):
        return _static_fori(first, last, body, init, "init")
    return _dynamic_fori(first, last, body, init)


def _bound(value: Any, name: str) -> Any:
    if isinstance(value, int | SymDim) and not isinstance(value, bool):
        return value
    tensor = as_tensor(value, argument=name)
    if tensor.shape or tensor.dtype.kind not in "iu":
        raise ArgumentTypeError(
            f"fori_loop: {name} must be an integer of rank 0", operands={name: tensor}
        )
    return tensor


def _static_fori(
    first: Any, last: Any, body: Callable[..., Any], init: Any, name: str
) -> Any:
    length = last - first
    length = max(length, 0) if isinstance(length, int) else length
    loop = LoopState.of((first, init), name)
    loop.paths = [
        "the index",
        *(p.replace(f"{name}[1]", name, 1) for p in loop.paths[1:]),
    ]

    def step(leaves: list[Any]) -> list[Any]:
        index, value = loop.rebuild(leaves)
        new, structure = flatten((index + 1, body(index, value)))
        loop.check_structure(structure, "the loop's state")
        return new

    leaves, _ = run_scan(loop, step, [], length, reverse=False)
    return loop.rebuild(leaves)[1]


def _dynamic_fori(first: Any, last: Any, body: Callable[..., Any], init: Any) -> Any:
    # An empty range must leave the value alone, whatever the bounds are.
    stop = maximum(as_tensor(last), as_tensor(first))

    def test(pair: Any) -> Any:
        return pair[0] < stop

    def step(pair: Any) -> Any:
        return pair[0] + 1, body(*pair)

    loop = LoopState.of((first, init), "init")
    found = run_while(loop, _leafwise(loop, test), _leafwise(loop, step, True))
    return loop.rebuild(found)[1]
