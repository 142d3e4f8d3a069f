"""`vmap`: a function of single examples becomes one of whole batches."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitflow.errors import ArgumentError, ArgumentTypeError, ShapeError
from jitflow.gradient.interpreters import batched_call, stacked
from jitflow.ops.coerce import as_tensor
from jitflow.tensor.state import user_function
from jitflow.tensor.tensor import Operators
from jitflow.tracing.structure import (
    flatten,
    is_container,
    leaf_paths,
    unflatten,
)


def vmap(
    fun: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_size: int | None = None,
) -> Callable[..., Any]:
    """A function that applies `fun` to every element of a batch, all at once.

    Every op is replaced by one on the whole batch; there is no loop. It works eagerly,
    while tracing, on functions that take gradients, and nested. Random functions get
    one key per element (``jf.random.split(key, n)``); a generator's draws, like
    everything that does not depend on the batch, are the same for all elements.

    Args:
        fun: takes and returns structures of tensors.
        in_axes: the axis of the arguments that counts the elements: one for all, or one
            for each positional argument; for a structure also a structure of that form.
            None: the argument is the same for all. Keyword arguments have axis 0.
        out_axes: where the results get that axis, likewise; None for a result that
            does not depend on the batch.
        axis_size: size of the batch; needed if no argument has it.

    Raises:
        ShapeError: if an argument lacks its axis, or the sizes differ.
        ArgumentError: if `in_axes` or `out_axes` do not fit the arguments or results.

    Example:
        >>> per_example = jf.vmap(jf.grad(loss), in_axes=(None, 0, 0))
        >>> per_example(weights, inputs, labels)
    """

    @functools.wraps(fun)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = flatten((args, kwargs))
        paths = _paths(fun, args, kwargs)
        axes = [*_input_axes(in_axes, args), *(0 for _ in flatten(kwargs)[0])]
        pairs = [
            _operand(x, a, path) for x, a, path in zip(leaves, axes, paths, strict=True)
        ]
        values, dims = [p[0] for p in pairs], [p[1] for p in pairs]
        size = _batch_size(values, dims, paths, axis_size)
        out_structure = None

        def flat(*elements: Any) -> list[Any]:
            nonlocal out_structure
            again, named = unflatten(structure, elements)
            results, out_structure = flatten(user_function(fun)(*again, **named))
            return [_result(y) for y in results]

        found = batched_call(flat, values, dims, size)
        assert out_structure is not None
        shape = unflatten(out_structure, [None] * len(found))
        places = _spread(out_axes, shape, "out_axes", "result")
        results = [_placed(f, p, size) for f, p in zip(found, places, strict=True)]
        return unflatten(out_structure, results)

    return wrapped


def _paths(fun: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> list[str]:
    """How to name each leaf of the arguments: ``params['w']``."""
    try:
        names = list(inspect.signature(fun).parameters)
    except (TypeError, ValueError):
        names = []
    names += [f"argument {i}" for i in range(len(names), len(args))]
    pairs = [*zip(names, args, strict=False), *kwargs.items()]
    return [path for name, value in pairs for path in leaf_paths(value, name)]


def _input_axes(in_axes: Any, args: tuple[Any, ...]) -> list[int | None]:
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    if isinstance(in_axes, tuple) and len(in_axes) != len(args):
        raise ArgumentError(
            f"in_axes: {len(in_axes)} axes for {len(args)} positional arguments",
            fix="give one for each; None for an argument that has no batch axis",
        )
    return _spread(in_axes, args, "in_axes", "argument")


def _spread(axes: Any, value: Any, argument: str, what: str) -> list[int | None]:
    """One axis per leaf of `value`; an axis in place of a structure is for all of it.

    Raises:
        ArgumentError: if the axes are structured in another way than the value.
    """
    if axes is None or isinstance(axes, int):
        return [axes] * len(flatten(value)[0])
    kinds = (type(axes), type(value))
    fits = is_container(value) and (
        kinds[0] is kinds[1] or all(issubclass(k, list | tuple) for k in kinds)
    )
    parts, children = _children(axes), _children(value) if fits else []
    if isinstance(axes, dict) and fits:
        fits = set(axes) == set(value)
        parts = [axes.get(key) for key in value]
    if not fits or len(parts) != len(children):
        raise ArgumentError(
            f"{argument}: {axes!r} does not fit the structure of the {what}",
            fix="an int, None, or a structure of them in the form of the value",
        )
    pairs = zip(parts, children, strict=True)
    return [a for part, child in pairs for a in _spread(part, child, argument, what)]


def _children(value: Any) -> list[Any]:
    if not is_container(value):
        return []
    return list(value.values()) if isinstance(value, dict) else list(value)


def _operand(x: Any, axis: int | None, path: str) -> tuple[Any, int | None]:
    """An argument's leaf as a tensor, with its axis counted from the front."""
    if axis is None or x is None:
        return x, None
    if not isinstance(x, Operators | np.ndarray | np.generic | int | float | complex):
        raise ArgumentTypeError(
            f"vmap: {path} is a {type(x).__name__}: it has no axis {axis}",
            fix="set its in_axes to None",
        )
    tensor = as_tensor(x)
    rank = tensor.ndim
    if not -rank <= axis < rank:
        raise ShapeError(
            f"vmap: {path} of shape {tensor.shape} has no axis {axis}",
            operands={path: tensor},
            fix="set its in_axes to one of its axes, or to None",
        )
    return tensor, axis % rank


def _batch_size(
    values: Sequence[Any],
    dims: Sequence[int | None],
    paths: Sequence[str],
    axis_size: int | None,
) -> Any:
    """The one size of all batch axes."""
    sizes = [
        (path, d, x.shape[d])
        for x, d, path in zip(values, dims, paths, strict=True)
        if d is not None
    ]
    if not sizes and axis_size is None:
        raise ArgumentError(
            "vmap: no argument has a batch axis", fix="set in_axes, or axis_size"
        )
    size = axis_size if axis_size is not None else sizes[0][2]
    if any(s != size for _, _, s in sizes):
        listed = ", ".join(f"{path} has {s} (axis {d})" for path, d, s in sizes)
        given = "" if axis_size is None else f"; axis_size is {axis_size}"
        raise ShapeError(
            f"vmap: the sizes of the batch axes differ: {listed}{given}",
            fix="pass arguments that are the same for all elements with in_axes=None",
        )
    return size


def _result(y: Any) -> Any:
    return None if y is None else as_tensor(y, argument="the result of vmap's function")


def _placed(result: tuple[Any, int | None], axis: int | None, size: Any) -> Any:
    """A result with its batch axis where it was asked for."""
    value, dim = result
    if value is None:
        return None
    if axis is None:
        if dim is not None:
            raise ArgumentError(
                "out_axes: None for a result that depends on the batch",
                operands={"result": value},
                fix="give the axis that the batch shall have",
            )
        return value
    rank = value.ndim + (dim is None)
    if not -rank <= axis < rank:
        raise ArgumentError(
            f"out_axes: {axis} for a result that has {rank} dimensions with the batch"
        )
    return stacked(result, axis % rank, size)
