"""Forward mode: `jvp`, and `linearize`, which keeps the forward values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitflow.errors import ArgumentError, GradientError, ShapeError
from jitflow.gradient.functions import alias
from jitflow.gradient.interpreters import DualTrace
from jitflow.gradient.tape import GradientTape
from jitflow.ops.coerce import as_tensor
from jitflow.ops.dispatch import builder
from jitflow.tensor.state import user_function
from jitflow.tensor.tensor import Tensor
from jitflow.tracing.structure import flatten, leaf_paths, map_structure, unflatten


def jvp(
    fun: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    has_aux: bool = False,
) -> tuple[Any, ...]:
    """The result of `fun` and its derivative in the direction of `tangents`.

    Args:
        fun: takes and returns structures of tensors.
        primals: the arguments.
        tangents: one for each, of the same structure; None for zero, and for integers.
        has_aux: `fun` returns ``(result, aux)``.

    Returns:
        ``(result, tangent)``, or ``(result, tangent, aux)``.

    Raises:
        ArgumentError: if `primals` and `tangents` differ in structure.
        ShapeError: if a tangent has another shape than its primal.
        GradientError: for a tangent of an integer.
    """
    leaves, structure = flatten(tuple(primals))
    paths = leaf_paths(tuple(primals), "primals")
    directions = _directions(leaves, structure, tangents, paths)
    trace = DualTrace()
    values = [None if x is None else as_tensor(x) for x in leaves]
    given = [trace.tensor(x, t) for x, t in zip(values, directions, strict=True)]
    with trace.inside():
        made = user_function(fun)(*unflatten(structure, given))
        result, aux = made if has_aux else (made, None)
        outputs, out_structure = flatten(map_structure(as_tensor, result))
    results = [trace.inner(y) for y in outputs]
    pushed = [
        builder.zeros_like(v) if trace.tangent(y) is None else trace.tangent(y)
        for v, y in zip(results, outputs, strict=True)
    ]
    pair = unflatten(out_structure, results), unflatten(out_structure, pushed)
    return (*pair, map_structure(trace.inner, aux)) if has_aux else pair


def _directions(
    leaves: Sequence[Any], structure: Any, tangents: Sequence[Any], paths: list[str]
) -> list[Any]:
    directions, other = flatten(tuple(tangents))
    if structure != other:
        raise ArgumentError(
            f"jvp: primals and tangents differ in structure: {structure} and {other}",
            fix="give one tangent per primal; None where it is zero",
        )
    rows = zip(leaves, directions, paths, strict=True)
    return [_direction(x, t, path) for x, t, path in rows]


def _direction(primal: Any, tangent: Any, path: str) -> Tensor | None:
    """A tangent in the dtype of its primal."""
    if tangent is None:
        return None
    x = as_tensor(primal)
    if not x.dtype.is_inexact:
        raise GradientError(
            f"{path} is {x.dtype}: only floats have tangents",
            operands={path: x},
            fix="make its tangent None, or convert it with jf.astype(x, 'float32')",
        )
    t = as_tensor(tangent, like=x.dtype)
    if t.shape != x.shape:
        raise ShapeError(
            f"jvp: {path} has shape {x.shape}, its tangent {t.shape}",
            operands={path: x, "tangent": t},
        )
    return builder.cast(t, x.dtype)


def linearize(fun: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """The result of `fun`, and its derivative there as a linear function.

    The function is run once; every call of the derivative costs a linear pass over what
    was kept, where `jvp` runs the function again. (The pull-back is linear in its
    cotangent: transposing it once more gives the push-forward.)

    Returns:
        ``(result, push)``; ``push(*tangents)`` gives the tangent of the result.
    """
    leaves, structure = flatten(primals)
    paths = leaf_paths(primals, "primals")
    inner = GradientTape(persistent=True, watch_accessed_variables=False)
    outer = GradientTape(persistent=True, watch_accessed_variables=False)
    with outer:
        inputs = [None if x is None else alias(x) for x in leaves]
        inner.watch([x for x in inputs if x is not None and x.dtype.is_inexact])
        with inner:
            result = map_structure(
                as_tensor, user_function(fun)(*unflatten(structure, inputs))
            )
        outputs, out_structure = flatten(result)
        # Any cotangent does: the pull-back is differentiated, not evaluated.
        dummies = [builder.zeros_like(y) for y in outputs]
        outer.watch([d for d in dummies if d.dtype.is_inexact])
        with inner.stop_recording():
            live = [x for x in inputs if x is not None]
            pulled = iter(inner.gradient(outputs, live, dummies))
    cotangents = [None if x is None else next(pulled) for x in inputs]

    def push(*tangents: Any) -> Any:
        directions = _directions(leaves, structure, tangents, paths)
        pairs = [
            (g, t)
            for g, t in zip(cotangents, directions, strict=True)
            if g is not None and t is not None
        ]
        if not pairs:
            return map_structure(builder.zeros_like, result)
        found = outer.gradient(
            [g for g, _ in pairs],
            dummies,
            [t for _, t in pairs],
            unconnected_gradients="zero",
        )
        return unflatten(out_structure, found)

    return result, push
