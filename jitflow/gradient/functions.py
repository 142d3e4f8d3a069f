"""Reverse-mode derivatives as functions: grad, value_and_grad, vjp, stop_gradient."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from jitflow.errors import ArgumentError, GradientError
from jitflow.gradient.interpreters import Interpreter, Rule, copy_of
from jitflow.gradient.tape import GradientTape
from jitflow.ops.coerce import as_tensor
from jitflow.ops.dispatch import builder
from jitflow.tensor.state import state, user_function
from jitflow.tensor.tensor import Tensor
from jitflow.tensor.variable import Variable
from jitflow.tracing.structure import flatten, leaf_paths, map_structure

_IDENTITY = Rule("identity", lambda b, g, y, x: (g,), lambda b, ts, y, x: (ts[0],))


def alias(x: Any) -> Tensor:
    """A tensor of the same value that is another object.

    It can be watched without watching every other use of `x`; for the tapes that
    record now it is computed from `x`.
    """
    tensor = as_tensor(x)
    trace = state.trace
    if isinstance(trace, Interpreter) and not trace.owns(tensor):
        with trace.outside():  # tapes around the transform watch it, too
            copy = alias(tensor)
    else:
        copy = copy_of(tensor)
    for tape in state.tapes:
        tape.record(_IDENTITY, (tensor,), copy, {})
    return copy


def stop_gradient(x: Any) -> Any:
    """The values of a tensor (or structure), through which no gradient passes."""

    def stop(leaf: Any) -> Tensor:
        tensor = as_tensor(leaf)
        if not tensor.dtype.is_inexact:
            return tensor
        # The same bits as another value, by an op that has no derivative.
        return builder.bitcast_convert(tensor, dtype=tensor.dtype)

    return map_structure(stop, x)


def positions_of(argnums: int | Sequence[int], count: int) -> tuple[int, ...]:
    """`argnums` as positions counted from the front.

    Raises:
        ArgumentError: if one is out of range.
    """
    given = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for i in given:
        if not -count <= i < count:
            raise ArgumentError(f"argnums: {i} of {count} positional arguments")
    return tuple(i % count for i in given)


def check_differentiable(
    transform: str, fun: Callable[..., Any], position: int, argument: Any
) -> None:
    """Refuse to differentiate by integers and bools.

    Raises:
        GradientError: naming the argument.
    """
    for leaf, path in zip(
        flatten(argument)[0], leaf_paths(argument, _name(fun, position)), strict=True
    ):
        if leaf is None:
            continue
        tensor = as_tensor(leaf)
        if not tensor.dtype.is_inexact:
            raise GradientError(
                f"{transform}: {path} (argument {position}) is {tensor.dtype}: only "
                "floats have gradients",
                operands={path: tensor},
                fix=f"convert it with jf.astype({path}, 'float32'), or choose other "
                "arguments with argnums",
            )


def _name(fun: Callable[..., Any], position: int) -> str:
    try:
        names = list(inspect.signature(fun).parameters)
    except (TypeError, ValueError):
        names = []
    return names[position] if position < len(names) else f"args[{position}]"


def _watched_copy(tape: GradientTape, argument: Any) -> Any:
    """An argument whose tensors are new and watched; variables are themselves."""

    def leaf(x: Any) -> Any:
        if x is None:
            return None
        value = x if isinstance(x, Variable) else alias(x)
        if value.dtype.is_inexact:
            tape.watch(value)
        return value

    return map_structure(leaf, argument)


def value_and_grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[..., Any]:
    """A function that gives ``(fun(*args), gradient)``.

    Args:
        fun: returns a scalar, or ``(scalar, anything)`` with `has_aux`.
        argnums: the positional argument, or several, to differentiate by; each may be
            a structure of tensors and variables. None inside has the gradient None.
        has_aux: see `fun`.
        holomorphic: the function is complex differentiable, with a complex result.

    Raises:
        GradientError: if the result is not a scalar, or an argument holds integers.
    """

    @functools.wraps(fun)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        positions = positions_of(argnums, len(args))
        tape = GradientTape(watch_accessed_variables=False)
        call = list(args)
        for i in positions:
            check_differentiable("grad", fun, i, args[i])
            call[i] = _watched_copy(tape, args[i])
        with tape:
            result = user_function(fun)(*call, **kwargs)
        value = as_tensor(result[0] if has_aux else result)
        _check_scalar(value, holomorphic)
        grads = _gradients(tape, value, [call[i] for i in positions])
        return result, grads[0] if isinstance(argnums, int) else tuple(grads)

    return wrapped


def _gradients(
    tape: GradientTape, target: Any, sources: list[Any], cotangents: Any = None
) -> list[Any]:
    """Gradients in the structure of the sources; None for what has none."""
    leaves = [x for x in flatten(sources)[0] if x is not None and x.dtype.is_inexact]
    found = tape.gradient(target, leaves, cotangents, unconnected_gradients="zero")
    each = iter(found)

    def leaf(x: Any) -> Any:
        return None if x is None or not x.dtype.is_inexact else next(each)

    return map_structure(leaf, sources)


def _check_scalar(value: Tensor, holomorphic: bool) -> None:
    kind = "complex" if holomorphic else "floating-point"
    fix = "reduce it, for example with jf.mean, or use jf.vjp or jf.jacrev"
    if value.shape == () and value.dtype.kind == "c" and not holomorphic:
        fix = "take jf.real or jf.abs of it, or pass holomorphic=True"
    if value.shape != () or value.dtype.kind != ("c" if holomorphic else "f"):
        raise GradientError(
            f"grad needs a function that returns a {kind} scalar",
            operands={"result": value},
            fix=fix,
        )


def grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[..., Any]:
    """A function that gives the gradient of `fun`; see `value_and_grad`.

    With `has_aux` it gives ``(gradient, aux)``.
    """
    both = value_and_grad(fun, argnums, has_aux, holomorphic)

    @functools.wraps(fun)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapped


def vjp(
    fun: Callable[..., Any], *primals: Any, has_aux: bool = False
) -> tuple[Any, ...]:
    """The result of `fun` and the function that pulls cotangents back to `primals`.

    Returns:
        ``(result, pull)`` where ``pull(cotangents)`` gives a tuple with one gradient
        per primal (None for integers), or ``(result, pull, aux)`` with `has_aux`.
    """
    tape = GradientTape(persistent=True, watch_accessed_variables=False)
    watched = [_watched_copy(tape, p) for p in primals]
    with tape:
        result = user_function(fun)(*watched)
    value = result[0] if has_aux else result
    value = map_structure(as_tensor, value)

    def pull(cotangents: Any) -> tuple[Any, ...]:
        return tuple(_gradients(tape, value, watched, cotangents))

    return (value, pull, result[1]) if has_aux else (value, pull)
