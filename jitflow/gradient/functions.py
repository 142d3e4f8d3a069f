"""Derivatives as functions: grad, value_and_grad, vjp, jvp, stop_gradient, ..."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jitflow.errors import ArgumentError, GradientError
from jitflow.gradient.tape import GradientTape
from jitflow.ops.coerce import as_tensor
from jitflow.ops.dispatch import builder
from jitflow.tensor.state import state
from jitflow.tensor.tensor import Tensor, TracedTensor, wrap
from jitflow.tensor.variable import Variable
from jitflow.tracing.structure import flatten, map_structure, unflatten


class _Rule(NamedTuple):
    """A gradient function in the form of an op record."""

    name: str
    vjp: Callable[..., Any]


_IDENTITY = _Rule("identity", lambda b, g, y, x: (g,))


def alias(x: Any) -> Tensor:
    """A tensor of the same value that is another object.

    It can be watched without watching every other use of `x`; for the tapes that
    record now it is computed from `x`.
    """
    tensor = as_tensor(x)
    if isinstance(tensor, TracedTensor):
        copy: Tensor = TracedTensor(tensor._value, tensor._trace)
    else:
        copy = wrap(tensor._data)
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


def _positions(argnums: int | Sequence[int], count: int) -> tuple[int, ...]:
    given = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for i in given:
        if not -count <= i < count:
            raise ArgumentError(f"argnums: {i} of {count} positional arguments")
    return tuple(i % count for i in given)


def _watched_copy(tape: GradientTape, argument: Any) -> Any:
    """An argument whose tensors are new and watched; variables are themselves."""

    def leaf(x: Any) -> Any:
        value = x if isinstance(x, Variable) else alias(x)
        tape.watch(value)
        return value

    return map_structure(leaf, argument)


def value_and_grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
) -> Callable[..., Any]:
    """A function that gives ``(fun(*args), gradient)``.

    Args:
        fun: returns a scalar, or ``(scalar, anything)`` with `has_aux`.
        argnums: the positional argument, or several, to differentiate by; each may be
            a structure of tensors and variables.
        has_aux: see `fun`.

    Raises:
        GradientError: if the result is not a scalar.
    """

    @functools.wraps(fun)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        positions = _positions(argnums, len(args))
        tape = GradientTape(watch_accessed_variables=False)
        call = list(args)
        for i in positions:
            call[i] = _watched_copy(tape, args[i])
        with tape:
            result = fun(*call, **kwargs)
        value = as_tensor(result[0] if has_aux else result)
        _check_scalar(value)
        sources = [call[i] for i in positions]
        grads = tape.gradient(value, sources, unconnected_gradients="zero")
        return result, grads[0] if isinstance(argnums, int) else tuple(grads)

    return wrapped


def _check_scalar(value: Tensor) -> None:
    if value.shape != () or not value.dtype.is_inexact:
        raise GradientError(
            "grad needs a function that returns a floating-point scalar",
            operands={"result": value},
            fix="reduce it, for example with jf.mean, or use jf.vjp",
        )


def grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
) -> Callable[..., Any]:
    """A function that gives the gradient of `fun`; see `value_and_grad`.

    With `has_aux` it gives ``(gradient, aux)``.
    """
    both = value_and_grad(fun, argnums, has_aux)

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
        per primal, or ``(result, pull, aux)`` with `has_aux`.
    """
    tape = GradientTape(persistent=True, watch_accessed_variables=False)
    watched = [_watched_copy(tape, p) for p in primals]
    with tape:
        result = fun(*watched)
    value = result[0] if has_aux else result
    value = map_structure(as_tensor, value)

    def pull(cotangents: Any) -> tuple[Any, ...]:
        found = tape.gradient(value, watched, cotangents, unconnected_gradients="zero")
        return tuple(found)

    return (value, pull, result[1]) if has_aux else (value, pull)


def jvp(
    fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Any, Any]:
    """The result of `fun` and its derivative in the direction of `tangents`.

    Forward mode as reverse mode applied twice: the pull-back is linear in the
    cotangent, and its transpose is the push-forward.

    Raises:
        ArgumentError: if `primals` and `tangents` differ in structure.
    """
    leaves, structure = flatten(tuple(primals))
    directions, other = flatten(tuple(tangents))
    if structure != other:
        raise ArgumentError("jvp: primals and tangents differ in structure")
    inner = GradientTape(persistent=True, watch_accessed_variables=False)
    outer = GradientTape(watch_accessed_variables=False)
    with outer:
        inputs = [alias(x) for x in leaves]
        inner.watch([x for x in inputs if x.dtype.is_inexact])
        with inner:
            result = map_structure(as_tensor, fun(*unflatten(structure, inputs)))
        outputs, out_structure = flatten(result)
        # Any cotangent does: the pull-back is differentiated, not evaluated.
        dummies = [builder.zeros_like(y) for y in outputs]
        outer.watch([d for d in dummies if d.dtype.is_inexact])
        pulled = inner.gradient(outputs, inputs, dummies)
    pairs = [
        (g, builder.cast(as_tensor(t, like=g.dtype), g.dtype))
        for g, t in zip(pulled, directions, strict=True)
        if g is not None
    ]
    if not pairs:
        return result, map_structure(builder.zeros_like, result)
    pushed = outer.gradient(
        [g for g, _ in pairs],
        dummies,
        [t for _, t in pairs],
        unconnected_gradients="zero",
    )
    return result, unflatten(out_structure, pushed)


def custom_gradient(fun: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function a gradient of its own.

    Args:
        fun: takes tensors and returns ``(result, pull)``; ``pull(*cotangents)``, with
            one cotangent per result tensor, returns one gradient per argument (None
            where there is none).

    Example:
        >>> @jf.custom_gradient
        ... def clip_gradient(x):
        ...     return x, lambda g: jf.clip(g, -1, 1)
    """

    @functools.wraps(fun)
    def wrapped(*args: Any) -> Any:
        inputs = tuple(as_tensor(a) for a in args)
        tapes = state.tapes
        state.tapes = ()
        try:
            result, pull = fun(*inputs)
        finally:
            state.tapes = tapes
        leaves, structure = flatten(result)
        outputs = tuple(alias(y) for y in leaves)
        rule = _Rule(getattr(fun, "__name__", "custom"), _as_rule(pull, inputs))
        for tape in tapes:
            tape.record(rule, inputs, outputs, {})
        return unflatten(structure, outputs)

    return wrapped


def _as_rule(pull: Callable[..., Any], inputs: Sequence[Tensor]) -> Callable[..., Any]:
    def rule(b: Any, g: Any, y: Any, *xs: Any) -> Sequence[Any]:
        found = pull(*(g if isinstance(g, tuple) else (g,)))
        found = found if isinstance(found, tuple | list) else (found,)
        if len(found) != len(inputs):
            raise GradientError(
                f"the gradient function returned {len(found)} gradients for "
                f"{len(inputs)} arguments"
            )
        return [None if d is None else as_tensor(d) for d in found]

    return rule
