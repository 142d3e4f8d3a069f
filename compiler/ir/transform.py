"""Transformations of whole graphs by the rules of their ops.

`inline` applies a graph's nodes through any builder; `pullback`, `pushforward` and
`batched` do the same and derive cotangents, tangents or batch axes on the way. They are
what the rules of control-flow ops use on the graphs in their attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compiler.errors import CompilerError
from compiler.ir.builder import BuilderOps
from compiler.ir.node import Graph, Node, Value

Env = dict[Value, Any]


def inline(b: BuilderOps, graph: Graph, args: Sequence[Any]) -> list[Any]:
    """Results of `graph` on values of the builder `b`."""
    env = _run(b, graph, args)
    return [env[v] for v in graph.outputs]


def _run(b: BuilderOps, graph: Graph, args: Sequence[Any]) -> Env:
    env: Env = {p.output: a for p, a in zip(graph.params, args, strict=True)}
    for node in graph.nodes[len(graph.params) :]:
        _bind(env, node, _apply(b, node, env))
    return env


def _apply(b: BuilderOps, node: Node, env: Env) -> Any:
    return b.apply(node.op, tuple(env[v] for v in node.inputs), node.attrs)


def _bind(env: Env, node: Node, results: Any) -> None:
    parts = results if isinstance(results, tuple) else (results,)
    env.update(zip(node.outputs, parts, strict=True))


def pullback(
    b: BuilderOps, graph: Graph, args: Sequence[Any], cotangents: Sequence[Any]
) -> list[Any]:
    """Cotangents of the parameters, given those of the results; None means zero.

    The forward values are computed through `b` as well.
    """
    env = _run(b, graph, args)
    found: Env = {}
    for value, cotangent in zip(graph.outputs, cotangents, strict=True):
        _accumulate(b, found, value, cotangent)
    for node in reversed(graph.nodes[len(graph.params) :]):
        parts = [found.pop(v, None) for v in node.outputs]
        if any(p is not None for p in parts):
            for value, part in zip(node.inputs, _vjp(b, node, env, parts), strict=True):
                _accumulate(b, found, value, part)
    return [found.get(p.output) for p in graph.params]


def _vjp(b: BuilderOps, node: Node, env: Env, parts: list[Any]) -> Sequence[Any]:
    if node.op.vjp is None:
        return [None] * len(node.inputs)
    results = [env[v] for v in node.outputs]
    single = len(results) == 1
    g, y = (parts[0], results[0]) if single else (tuple(parts), tuple(results))
    return node.op.vjp(b, g, y, *(env[v] for v in node.inputs), **node.attrs)


def _accumulate(b: BuilderOps, found: Env, value: Value, part: Any) -> None:
    if part is None or not value.dtype.is_inexact:
        return
    old = found.get(value)
    found[value] = part if old is None else b.add(old, part)


def pushforward(
    b: BuilderOps, graph: Graph, args: Sequence[Any], tangents: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """Results and their tangents, given those of the parameters; None means zero."""
    env: Env = {p.output: a for p, a in zip(graph.params, args, strict=True)}
    found: Env = {p.output: t for p, t in zip(graph.params, tangents, strict=True)}
    for node in graph.nodes[len(graph.params) :]:
        _bind(env, node, _apply(b, node, env))
        parts = [found.get(v) for v in node.inputs]
        if any(p is not None for p in parts) and node.op.jvp is not None:
            results = [env[v] for v in node.outputs]
            y = results[0] if len(results) == 1 else tuple(results)
            xs = [env[v] for v in node.inputs]
            tangent = node.op.jvp(b, tuple(parts), y, *xs, **node.attrs)
            if tangent is not None:
                _bind(found, node, tangent)
    outputs = graph.outputs
    return [env[v] for v in outputs], [found.get(v) for v in outputs]


def batched(
    b: BuilderOps, graph: Graph, args: Sequence[Any], dims: Sequence[int | None]
) -> tuple[list[Any], list[int | None]]:
    """Results and their batch axes, given those of the parameters.

    Raises:
        CompilerError: for an op without a batch rule.
    """
    env: Env = {p.output: a for p, a in zip(graph.params, args, strict=True)}
    axes: Env = {p.output: d for p, d in zip(graph.params, dims, strict=True)}
    for node in graph.nodes[len(graph.params) :]:
        inner = [axes[v] for v in node.inputs]
        if all(d is None for d in inner):
            results: Any = _apply(b, node, env)
            out_dims: Any = (None,) * len(node.outputs)
        else:
            results, out_dims = _batch_one(b, node, env, inner)
        _bind(env, node, results)
        _bind(axes, node, out_dims)
    return [env[v] for v in graph.outputs], [axes[v] for v in graph.outputs]


def _batch_one(
    b: BuilderOps, node: Node, env: Env, dims: list[int | None]
) -> tuple[Any, Any]:
    if node.op.batch is None:
        raise CompilerError(f"{node.op.name} has no rule for vmap", where=str(node.loc))
    return node.op.batch(b, [env[v] for v in node.inputs], dims, **node.attrs)
