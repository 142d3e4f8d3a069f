"""What converted code calls: ordinary Python for plain values, ops for traced ones."""

from __future__ import annotations

import builtins
import functools
import operator
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from compiler.ir.location import Location
from jitflow.autograph.staged import (
    TensorRange,
    branches,
    note,
    staged_if,
    staged_range,
    staged_scan,
    staged_while,
    tensor_range,
)
from jitflow.autograph.undefined import Undefined
from jitflow.control_flow.branches import choose, is_traced, truth
from jitflow.dtypes import bool_, int32
from jitflow.ops.checks import checks_of
from jitflow.ops.dispatch import builder
from jitflow.ops.elementwise import logical_and, logical_not, logical_or
from jitflow.ops.printing import print as print_
from jitflow.tensor import Variable, state
from jitflow.tensor.state import user_function

__all__ = [
    "Undefined",
    "and_",
    "assert_",
    "bound",
    "call",
    "compare",
    "for_",
    "if_",
    "if_expression",
    "not_",
    "or_",
    "raises",
    "returned",
    "while_",
]

Get = Callable[[], tuple[Any, ...]]
Set = Callable[[tuple[Any, ...]], None]


def _place(text: str) -> str:
    """``net.py:18  if x > 0`` from ``18:if x > 0``; "" stays."""
    if not text:
        return ""
    line, _, header = text.partition(":")
    file = sys._getframe(2).f_code.co_filename
    return f"{Location(file, int(line))}  {header}"


# -- names --------------------------------------------------------------------------


def bound(value: Any) -> Any:
    """The value of a name.

    Raises:
        UnboundLocalError: if it has none.
    """
    if type(value) is Undefined:
        value._raise()
    return value


def returned(value: Any) -> Any:
    """What a function returns that may end without ``return``."""
    return None if type(value) is Undefined and not value._reason else bound(value)


def call(function: Any) -> Any:
    """What runs when converted code calls `function`."""
    if state.trace is None:
        return function
    if function is range:
        return tensor_range
    return print_ if function is builtins.print else user_function(function)


# -- branches -----------------------------------------------------------------------


def if_(
    test: Any,
    body: Callable[[], None],
    orelse: Callable[[], None],
    get: Get,
    put: Set,
    names: Sequence[str],
    live: int,
    text: str,
) -> None:
    """An ``if`` statement.

    Args:
        test: the condition.
        body: the first branch; it assigns names of the function around it.
        orelse: the other branch.
        get: gives the values of the names that the branches assign.
        put: assigns them.
        names: those names; the first `live` are read afterwards.
        live: see `names`.
        text: line and header.
    """
    place = _place(text)
    if is_traced(test):
        note(place, "cond (converted)")
        staged_if(test, body, orelse, get, put, names, live, place)
        return
    note(place, f"Python ({'first' if test else 'other'} branch)")
    with branches.inside(staged=False):
        (body if test else orelse)()


def if_expression(
    test: Any, body: Callable[[], Any], orelse: Callable[[], Any], text: str
) -> Any:
    """``body() if test else orelse()``."""
    if not is_traced(test):
        return body() if test else orelse()
    note(_place(text), "cond (converted)")
    index = builder.convert(truth(test), dtype=int32)
    names = ("the value after else", "the value before if")
    return choose(index, (orelse, body), names, keep_weak=True)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Variable) else value


def and_(*parts: Callable[[], Any]) -> Any:
    """``parts[0]() and parts[1]() and ...``; on traced values all are computed."""
    return _connected(parts, True, logical_and)


def or_(*parts: Callable[[], Any]) -> Any:
    """``parts[0]() or parts[1]() or ...``; on traced values all are computed."""
    return _connected(parts, False, logical_or)


def _connected(
    parts: Sequence[Callable[[], Any]], goes_on: bool, combine: Callable[..., Any]
) -> Any:
    """Traced parts are collected; a plain one ends the evaluation as in Python."""
    collected: Any = None
    value: Any = None
    for part in parts:
        value = _plain(part())
        if is_traced(value):
            flag = truth(value, "an operand of and/or")
            collected = flag if collected is None else combine(collected, flag)
        elif bool(value) is not goes_on:
            # A traced part before it may decide first: the outcome is a bool then.
            return value if collected is None else not goes_on
    if collected is None or len(parts) == 0:
        return value
    return collected


def not_(value: Any) -> Any:
    """``not value``."""
    return logical_not(truth(value, "not")) if is_traced(value) else not value


_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "Eq": operator.eq,
    "NotEq": operator.ne,
    "Lt": operator.lt,
    "LtE": operator.le,
    "Gt": operator.gt,
    "GtE": operator.ge,
    "Is": operator.is_,
    "IsNot": operator.is_not,
    "In": lambda x, items: x in items,
    "NotIn": lambda x, items: x not in items,
}


def compare(first: Any, names: Sequence[str], *others: Callable[[], Any]) -> Any:
    """``first < second < ...``, each operand computed once."""
    left = first
    steps = []

    def step(name: str, other: Callable[[], Any]) -> Any:
        nonlocal left
        before, left = left, other()
        return _COMPARISONS[name](before, left)

    for name, other in zip(names, others, strict=True):
        steps.append(lambda name=name, other=other: step(name, other))
    return and_(*steps)


def assert_(test: Any, message: Callable[[], Any], text: str) -> None:
    """An ``assert`` statement; on a traced value it is checked after the run.

    Raises:
        AssertionError: if a plain value is false.
    """
    place = _place(text)
    if is_traced(test):
        note(place, "checked after the run (converted)")
        shown = str(message())
        label = f"{shown}: {place}" if shown else place
        checks_of(state.trace).add(truth(test, "assert"), AssertionError(label))
    elif not test:
        raise AssertionError(*([message()] if message() != "" else []))


def raises(error: Callable[[], Any], text: str) -> bool:
    """Whether a ``raise`` statement is to be carried out now.

    Under a traced condition it is not: the error is raised after a run that got there.
    """
    if not branches.staged:
        return True
    note(_place(text), "raised after the run (converted)")
    made = error()
    never = builder.scalar(False, bool_)
    checks_of(state.trace).add(never, made() if isinstance(made, type) else made)
    return False


# -- loops --------------------------------------------------------------------------


def while_(
    test: Callable[[], Any],
    body: Callable[[], None],
    get: Get,
    put: Set,
    names: Sequence[str],
    text: str,
) -> None:
    """A ``while`` loop; it runs in Python until the condition is traced."""
    place = _place(text)
    rounds = 0
    while True:
        going = test()
        if is_traced(going):
            note(place, "while (converted)")
            staged_while(test, body, get, put, names, place)
            return
        if not going:
            note(place, f"Python ({rounds} iterations unrolled)")
            return
        body()
        rounds += 1


def for_(
    items: Iterable[Any],
    body: Callable[[Any], None],
    goes_on: Callable[[], Any] | None,
    get: Get,
    put: Set,
    names: Sequence[str],
    text: str,
) -> None:
    """A ``for`` loop; `goes_on` is false once ``break`` or ``return`` was reached."""
    place = _place(text)
    if isinstance(items, TensorRange):
        note(place, "while (converted)")
        staged_range(items, body, goes_on, get, put, names, place)
    elif is_traced(items):
        note(place, "scan (converted)")
        staged_scan(items, body, goes_on, get, put, names, place)
    else:
        _python_for(items, body, goes_on, get, put, names, place)


def _python_for(
    items: Iterable[Any],
    body: Callable[[Any], None],
    goes_on: Callable[[], Any] | None,
    get: Get,
    put: Set,
    names: Sequence[str],
    place: str,
) -> None:
    rounds = 0
    for item in items:
        going = True if goes_on is None else goes_on()
        if is_traced(going):
            # The loop was left under a condition that is known at run time only.
            staged_if(
                going,
                functools.partial(body, item),
                lambda: None,
                get,
                put,
                names,
                len(names),
                place,
            )
        elif going:
            body(item)
        else:
            break
        rounds += 1
    note(place, f"Python ({rounds} iterations unrolled)")
