"""`cond` and `switch`: one of several functions is run, chosen by a tensor."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compiler.ir import op as op_table
from jitflow.control_flow.body import (
    Body,
    common_captures,
    results_of,
    run_body,
)
from jitflow.control_flow.errors import ControlFlowError
from jitflow.control_flow.slots import (
    Slot,
    branch_error,
    join,
    leaf_of,
    operand_of,
    slot_of,
)
from jitflow.dtypes import bool_, int32
from jitflow.errors import ArgumentTypeError
from jitflow.ops.coerce import as_tensor
from jitflow.ops.dispatch import apply, builder
from jitflow.ops.elementwise import clip
from jitflow.tensor import Tensor, Variable, state
from jitflow.tensor.state import user_function
from jitflow.tracing.scalar import TracedScalar
from jitflow.tracing.structure import leaf_paths, map_structure, unflatten


def cond(
    pred: Any,
    true_fn: Callable[..., Any],
    false_fn: Callable[..., Any],
    *operands: Any,
) -> Any:
    """``true_fn(*operands)`` if `pred` holds, else ``false_fn(*operands)``.

    Eagerly, and for a Python bool, one function is called. While tracing both are
    traced, and the compiled code runs one of them.

    Args:
        pred: a tensor of rank 0; numbers are true unless they are zero.
        true_fn: takes the operands; may also close over tensors and variables.
        false_fn: likewise; its results have the structure and types of `true_fn`'s.
        operands: tensors, or structures of them.

    Returns:
        What the function returned.

    Raises:
        ControlFlowError: if the two give results of different structure or type.
    """
    functions = (_bound(false_fn, operands), _bound(true_fn, operands))
    if not is_traced(pred):
        return functions[known_truth(pred)]()
    index = builder.convert(truth(pred), dtype=int32)
    return choose(index, functions, ("false_fn", "true_fn"))


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """``branches[index](*operands)``; an index out of range takes the nearest branch.

    Args:
        index: an integer, or an integer tensor of rank 0.
        branches: functions of the operands; see `cond`.
        operands: tensors, or structures of them.

    Raises:
        ControlFlowError: if the branches give results of different structure or type.
        ArgumentTypeError: if the index is not an integer, or there is no branch.
    """
    if not branches:
        raise ArgumentTypeError("switch: there is no branch")
    number: Any = (
        index if isinstance(index, int) else as_tensor(index, argument="index")
    )
    if isinstance(number, Tensor) and (number.shape or number.dtype.kind not in "iu"):
        raise ArgumentTypeError(
            "switch: the index must be an integer of rank 0",
            operands={"index": number},
        )
    functions = tuple(_bound(f, operands) for f in branches)
    if not is_traced(index):
        return functions[min(max(int(number), 0), len(functions) - 1)]()
    # Clipped before it is narrowed, so that no index wraps around.
    plain = number.plain if isinstance(number, TracedScalar) else number
    last = min(len(functions) - 1, int(np.iinfo(plain.dtype.np).max))
    clipped = clip(plain, 0, last)
    names = [f"branches[{i}]" for i in range(len(functions))]
    return choose(builder.cast(clipped, int32), functions, names)


def _bound(function: Callable[..., Any], operands: Sequence[Any]) -> Callable[[], Any]:
    """The call, with arrays among the operands as tensors."""
    given = [map_structure(_array_as_tensor, x) for x in operands]
    return functools.partial(user_function(function), *given)


def _array_as_tensor(leaf: Any) -> Any:
    return as_tensor(leaf) if isinstance(leaf, np.ndarray) else leaf


def is_traced(value: Any) -> bool:
    """Whether the value is known only when the compiled code runs."""
    return state.trace is not None and isinstance(value, Tensor | Variable)


def known_truth(value: Any) -> bool:
    """A condition that is known now, as a Python bool."""
    if state.trace is None and isinstance(value, Tensor | Variable | np.ndarray):
        return bool(truth(value))
    return bool(value)


def truth(value: Any, name: str = "pred") -> Tensor:
    """A condition as a bool tensor of rank 0.

    Raises:
        ControlFlowError: if it is not of rank 0.
    """
    plain = value.plain if isinstance(value, TracedScalar) else value
    tensor = as_tensor(plain, argument=name)
    if tensor.shape:
        raise ControlFlowError(
            f"{name}: a condition is a tensor of rank 0",
            operands={name: tensor},
            fix="reduce it with jf.any or jf.all, or choose elements with jf.where",
        )
    if tensor.dtype is bool_:
        return tensor
    return builder.compare(tensor, builder.zeros_like(tensor), direction="NE")


def merged_slot(path: str, slots: Sequence[Slot], names: Sequence[str]) -> Slot:
    """The common slot of a result of all branches.

    Raises:
        ControlFlowError: if there is none.
    """
    found: Slot | None = slots[0]
    for slot in slots[1:]:
        found = None if found is None else join(found, slot)
    if found is None:
        raise branch_error(path, slots, names)
    return found


def choose(
    index: Tensor,
    functions: Sequence[Callable[[], Any]],
    names: Sequence[str],
    adjust: Callable[[Sequence[Body]], None] | None = None,
    keep_weak: bool = False,
) -> Any:
    """Stage the choice among functions without arguments.

    Args:
        index: int32 of rank 0.
        functions: the branches.
        names: theirs, for messages.
        adjust: called with the traced bodies; may change what they return.
        keep_weak: see `leaf_of`.
    """
    bodies = [
        run_body(_graph_name(name), _without_leaves(f))
        for name, f in zip(names, functions, strict=True)
    ]
    if adjust is not None:
        adjust(bodies)
    slots = _merged(bodies, names)
    variables = {id(v): v for body in bodies for v in body.trace.assigned()}
    outputs = [_outputs(body, slots, list(variables.values())) for body in bodies]
    consts = common_captures(bodies)
    graphs = tuple(
        body.trace.graph(consts, body.params, out)
        for body, out in zip(bodies, outputs, strict=True)
    )
    for body in bodies:
        body.trace.tell_tapes()
    results: list[Any] = []
    if outputs[0]:
        record = op_table.get("case")
        made = apply(record, (index, *consts), {"branches": graphs})
        results = list(results_of(made))
    rest = iter(results)
    leaves = [
        leaf_of(None if s.type is None else next(rest), s, keep_weak) for s in slots
    ]
    for variable, value in zip(variables.values(), rest, strict=True):
        state.trace.write_variable(variable, value)
    return unflatten(bodies[0].structure, leaves)


def _without_leaves(function: Callable[[], Any]) -> Callable[[list[Any]], Any]:
    return lambda _: function()


def _graph_name(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name).strip("_")


def _merged(bodies: Sequence[Body], names: Sequence[str]) -> list[Slot]:
    first = bodies[0]
    for body, name in zip(bodies, names, strict=True):
        if body.structure != first.structure:
            raise ControlFlowError(
                f"the branches return different structures: {names[0]} gives "
                f"{first.structure}, {name} gives {body.structure}",
                fix="return the same containers, with the same keys, from both",
            )
    shape = unflatten(first.structure, first.leaves)
    paths = leaf_paths(shape, "the result")
    columns = zip(*(body.leaves for body in bodies), strict=True)
    return [
        merged_slot(path, [slot_of(leaf) for leaf in column], names)
        for path, column in zip(paths, columns, strict=True)
    ]


def _outputs(
    body: Body, slots: Sequence[Slot], variables: Sequence[Variable]
) -> list[Tensor]:
    """The results of one branch, then the values of what any branch assigns."""
    with body.resumed():
        pairs = zip(body.leaves, slots, strict=True)
        found = [operand_of(leaf, s) for leaf, s in pairs if s.type is not None]
        found += [body.trace.read_variable(v) for v in variables]
        return body.lifted(found)
