"""Jacobians and Hessians: derivatives along all unit vectors at once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from jitflow.errors import GradientError
from jitflow.gradient.basis import count_of, split_first, split_last, standard_basis
from jitflow.gradient.forward import jvp
from jitflow.gradient.functions import check_differentiable, positions_of, vjp
from jitflow.gradient.interpreters import batched_call, stacked
from jitflow.ops.coerce import as_tensor
from jitflow.tensor.state import user_function
from jitflow.tracing.structure import flatten, map_structure, unflatten

Argnums = int | Sequence[int]


def jacfwd(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[..., Any]:
    """A function that gives the Jacobian of `fun`, by forward mode.

    One pass over the function for all inputs; best where there are more outputs than
    inputs.

    Args:
        fun: takes and returns structures of tensors.
        argnums: the positional argument, or several, to differentiate by.
        has_aux: `fun` returns ``(result, aux)``; the Jacobian comes with the aux.
        holomorphic: the function is complex differentiable, of complex arguments.

    Returns:
        In the structure of the result, with that of the arguments inside, tensors of
        shape ``result.shape + argument.shape``.

    Raises:
        GradientError: for integer arguments, open sizes, and complex arguments unless
            `holomorphic`.
    """

    @functools.wraps(fun)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        call = _Selected(fun, args, kwargs, argnums)
        leaves = call.leaves("jacfwd")
        _check_kind("jacfwd", "argument", leaves, holomorphic)
        size = count_of(leaves, "jacfwd")
        kept: list[Any] = []

        def push(*directions: Any) -> list[Any]:
            tangents = unflatten(call.structure, directions)
            found = jvp(call, call.values, tangents, has_aux)
            outputs, structure = flatten(found[1])
            extra, extra_structure = flatten(found[2] if has_aux else None)
            kept[:] = [len(outputs), structure, extra_structure]
            return [*outputs, *extra]

        found = batched_call(push, standard_basis(leaves), [0] * len(leaves), size)
        count, structure, extra_structure = kept
        columns = [split_last(stacked(f, 0, size), leaves) for f in found[:count]]
        result = unflatten(structure, [call.nested(c) for c in columns])
        aux = unflatten(extra_structure, [value for value, _ in found[count:]])
        return (result, aux) if has_aux else result

    return wrapped


def jacrev(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[..., Any]:
    """A function that gives the Jacobian of `fun`, by reverse mode; see `jacfwd`.

    One forward pass and one batched backward pass; best where there are more inputs
    than outputs. Without `holomorphic` the results must be real.
    """

    @functools.wraps(fun)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        call = _Selected(fun, args, kwargs, argnums)
        leaves = call.leaves("jacrev")
        value, pull, *aux = vjp(call, *call.values, has_aux=has_aux)
        outputs, structure = flatten(value)
        _check_kind("jacrev", "result", outputs, holomorphic)
        size = count_of(outputs, "jacrev")

        def rows(*cotangents: Any) -> list[Any]:
            return flatten(pull(unflatten(structure, cotangents)))[0]

        found = batched_call(rows, standard_basis(outputs), [0] * len(outputs), size)
        blocks = [split_first(stacked(f, 0, size), outputs) for f in found]
        assert len(blocks) == len(leaves)
        result = unflatten(
            structure, [call.nested(b) for b in zip(*blocks, strict=True)]
        )
        return (result, *aux) if has_aux else result

    return wrapped


def hessian(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[..., Any]:
    """A function that gives the second derivatives of `fun`; see `jacfwd`.

    Forward over reverse mode: ``jacfwd(jacrev(fun))``.
    """
    inner = jacrev(fun, argnums, has_aux, holomorphic)
    return jacfwd(inner, argnums, has_aux, holomorphic)


class _Selected:
    """A call with some arguments chosen: a function of these alone."""

    def __init__(
        self, fun: Callable[..., Any], args: Any, kwargs: Any, argnums: Argnums
    ) -> None:
        self._fun, self._args, self._kwargs = user_function(fun), args, kwargs
        self._positions = positions_of(argnums, len(args))
        self._single = isinstance(argnums, int)
        self.values = tuple(map_structure(as_tensor, args[i]) for i in self._positions)
        self.structure = flatten(self.values)[1]

    def __call__(self, *values: Any) -> Any:
        args = list(self._args)
        for i, value in zip(self._positions, values, strict=True):
            args[i] = value
        return self._fun(*args, **self._kwargs)

    def leaves(self, transform: str) -> list[Any]:
        """The tensors of the chosen arguments, all of them floating or complex."""
        for i, value in zip(self._positions, self.values, strict=True):
            check_differentiable(transform, self._fun, i, value)
        return flatten(self.values)[0]

    def nested(self, blocks: Sequence[Any]) -> Any:
        """One block per leaf, in the structure of the chosen arguments."""
        values = unflatten(self.structure, list(blocks))
        return values[0] if self._single else values


def _check_kind(
    transform: str, what: str, tensors: Sequence[Any], holomorphic: bool
) -> None:
    """Complex derivatives only where they are asked for."""
    wanted, fix = "complex", "leave out holomorphic, or convert it to complex"
    if not holomorphic:
        wanted, fix = "real", "take jf.real and jf.imag of it, or pass holomorphic=True"
    for x in tensors:
        if not x.dtype.is_inexact or (x.dtype.kind == "c") != holomorphic:
            raise GradientError(
                f"{transform}: the {what} must be {wanted}, it is {x.dtype}",
                operands={what: x},
                fix=fix,
            )
