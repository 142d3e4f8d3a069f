"""Functions with derivatives of their own: custom_gradient, custom_vjp, custom_jvp."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from jitflow.errors import ArgumentError, GradientError
from jitflow.gradient.interpreters import Rule, bind
from jitflow.gradient.tape import GradientTape
from jitflow.ops.coerce import as_tensor
from jitflow.ops.dispatch import builder
from jitflow.tracing.structure import flatten, map_structure, unflatten

Pull = Callable[[list[Any]], Sequence[Any]]
Push = Callable[[list[Any]], Sequence[Any]]


def _parts(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _rule_from_pull(name: str, pull: Pull) -> Rule:
    """A rule whose tangents are found by transposing the pull-back, which is linear."""

    def vjp(b: Any, g: Any, y: Any, *xs: Any) -> Sequence[Any]:
        return pull(list(_parts(g)))

    def jvp(b: Any, ts: Any, y: Any, *xs: Any) -> Sequence[Any]:
        outputs = list(_parts(y))
        tape = GradientTape(watch_accessed_variables=False)
        with tape:
            dummies = [_moving(tape, v) for v in outputs]
            found = pull(dummies)
        pairs = [
            (g, t)
            for g, t in zip(found, ts, strict=True)
            if g is not None and t is not None
        ]
        return _transposed(tape, pairs, dummies)

    return Rule(name, vjp, jvp)


def _rule_from_push(name: str, push: Push) -> Rule:
    """A rule whose cotangents are found by transposing the tangent function."""

    def jvp(b: Any, ts: Any, y: Any, *xs: Any) -> Sequence[Any]:
        given = zip(ts, xs, strict=True)
        return push([builder.zeros_like(x) if t is None else t for t, x in given])

    def vjp(b: Any, g: Any, y: Any, *xs: Any) -> Sequence[Any]:
        tape = GradientTape(watch_accessed_variables=False)
        with tape:
            dummies = [_moving(tape, x) for x in xs]
            pushed = push([_or_zeros(d, x) for d, x in zip(dummies, xs, strict=True)])
        pairs = [
            (t, c)
            for t, c in zip(pushed, _parts(g), strict=True)
            if t is not None and c is not None
        ]
        return _transposed(tape, pairs, dummies)

    return Rule(name, vjp, jvp)


def _moving(tape: GradientTape, x: Any) -> Any:
    """A watched zero in the type of `x`; None if that has no derivative."""
    if not x.dtype.is_inexact:
        return None
    dummy = builder.zeros_like(x)
    tape.watch(dummy)
    return dummy


def _or_zeros(dummy: Any, x: Any) -> Any:
    return builder.zeros_like(x) if dummy is None else dummy


def _transposed(
    tape: GradientTape, pairs: Sequence[tuple[Any, Any]], dummies: list[Any]
) -> list[Any]:
    live = [d for d in dummies if d is not None]
    targets, seeds = [y for y, _ in pairs], [s for _, s in pairs]
    found = iter(tape.gradient(targets, live, seeds))
    return [None if d is None else next(found) for d in dummies]


def custom_gradient(fun: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function a gradient of its own.

    It holds for tapes and the transforms built on them, under `vmap`, and, transposed,
    for forward mode. Higher derivatives differentiate the gradient function.

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
        result, pull = fun(*inputs)
        leaves, structure = flatten(map_structure(as_tensor, result))

        def checked(cotangents: list[Any]) -> Sequence[Any]:
            found = _parts(pull(*cotangents))
            if len(found) != len(inputs):
                raise GradientError(
                    f"the gradient function returned {len(found)} gradients for "
                    f"{len(inputs)} arguments"
                )
            return [_fitting(g, x) for g, x in zip(found, inputs, strict=True)]

        rule = _rule_from_pull(getattr(fun, "__name__", "custom"), checked)
        return unflatten(structure, bind(rule, inputs, leaves))

    return wrapped


def _fitting(gradient: Any, x: Any) -> Any:
    """A gradient as a tensor of the type of its argument; None for integers."""
    if gradient is None or not x.dtype.is_inexact:
        return None
    g = as_tensor(gradient, like=x.dtype)
    if g.shape != x.shape:
        raise GradientError(
            f"the gradient function returned shape {g.shape} for an argument of shape "
            f"{x.shape}",
            operands={"gradient": g, "argument": x},
        )
    return builder.cast(g, x.dtype)


class _Custom:
    """What custom_vjp and custom_jvp share: which arguments are differentiated.

    Args:
        fun: the function.
        nondiff_argnums: positions of arguments that are not tensors, or constants.
    """

    def __init__(
        self, fun: Callable[..., Any], nondiff_argnums: Sequence[int] = ()
    ) -> None:
        self.fun = fun
        self._static = tuple(nondiff_argnums)
        wrapper: Any = self
        functools.update_wrapper(wrapper, fun)

    def _split(self, args: tuple[Any, ...]) -> tuple[list[Any], list[Any]]:
        """The constant arguments, and the others with tensors for leaves."""
        fixed = [args[i] for i in self._static]
        moving = [a for i, a in enumerate(args) if i not in self._static]
        return fixed, [map_structure(as_tensor, a) for a in moving]

    def _joined(self, fixed: list[Any], moving: Sequence[Any]) -> list[Any]:
        rest = iter(moving)
        constants = dict(zip(self._static, fixed, strict=True))
        total = len(fixed) + len(moving)
        return [constants[i] if i in constants else next(rest) for i in range(total)]

    def _rule(self, rule: Any, method: str) -> Any:
        if rule is None:
            raise ArgumentError(
                f"{self.fun.__name__} has no derivative yet", fix=f"call {method}"
            )
        return rule


class custom_vjp(_Custom):
    """A function with a reverse-mode derivative of its own, in two parts.

    Example:
        >>> f = jf.custom_vjp(lambda x: jf.sin(x))
        >>> f.defvjp(lambda x: (jf.sin(x), x), lambda x, g: (g * jf.cos(x),))
    """

    _pair: tuple[Callable[..., Any], Callable[..., Any]] | None = None

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Set the derivative.

        Args:
            fwd: takes the arguments, returns ``(result, residuals)``.
            bwd: takes the constant arguments, the residuals and the cotangent of the
                result; returns a tuple with one cotangent (or None) per argument.
        """
        self._pair = (fwd, bwd)

    def __call__(self, *args: Any) -> Any:
        """The result of the function."""
        fwd, bwd = self._rule(self._pair, "defvjp(fwd, bwd)")
        fixed, moving = self._split(args)
        inputs, _ = flatten(moving)
        result, residuals = fwd(*self._joined(fixed, moving))
        leaves, structure = flatten(map_structure(as_tensor, result))

        def pull(cotangents: list[Any]) -> Sequence[Any]:
            found = _parts(bwd(*fixed, residuals, unflatten(structure, cotangents)))
            if len(found) != len(moving):
                raise GradientError(
                    f"bwd of {self.fun.__name__} returned {len(found)} cotangents for "
                    f"{len(moving)} arguments"
                )
            parts = [_leaves_like(g, x) for g, x in zip(found, moving, strict=True)]
            flat = [g for part in parts for g in part]
            return [_fitting(g, x) for g, x in zip(flat, inputs, strict=True)]

        rule = _rule_from_pull(self.fun.__name__, pull)
        return unflatten(structure, bind(rule, inputs, leaves))


def _leaves_like(gradient: Any, x: Any) -> list[Any]:
    if gradient is None:
        return [None] * len(flatten(x)[0])
    return flatten(gradient)[0]


class custom_jvp(_Custom):
    """A function with a forward-mode derivative of its own; reverse mode follows.

    Example:
        >>> f = jf.custom_jvp(lambda x: jf.sin(x))
        >>> @f.defjvp
        ... def f_jvp(primals, tangents):
        ...     (x,), (t,) = primals, tangents
        ...     return jf.sin(x), t * jf.cos(x)
    """

    _push: Callable[..., Any] | None = None

    def defjvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Set the derivative; returns `rule`, so that it decorates.

        Args:
            rule: takes the constant arguments, a tuple of primals and one of tangents;
                returns the result and its tangent, which is linear in the tangents.
        """
        self._push = rule
        return rule

    def __call__(self, *args: Any) -> Any:
        """The result of the function."""
        rule = self._rule(self._push, "defjvp(rule)")
        fixed, moving = self._split(args)
        inputs, nested = flatten(moving)
        result = self.fun(*self._joined(fixed, moving))
        leaves, structure = flatten(map_structure(as_tensor, result))

        def push(tangents: list[Any]) -> Sequence[Any]:
            pushed = tuple(unflatten(nested, tangents))
            tangent = rule(*fixed, tuple(moving), pushed)[1]
            return [
                _fitting(t, y)
                for t, y in zip(_leaves_like(tangent, result), leaves, strict=True)
            ]

        made = bind(_rule_from_push(self.fun.__name__, push), inputs, leaves)
        return unflatten(structure, made)
