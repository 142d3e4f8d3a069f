"""Compiled functions under a gradient tape that records outside of them.

The call is recorded as one op. Its derivative rule replays the graph under a tape, and
is itself a compiled function: forward and backward become one graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from compiler.ir.dims import SymDim
from compiler.ir.op import Kind, Op
from jitflow.function.arguments import Call
from jitflow.function.concrete import ConcreteFunction
from jitflow.gradient import GradientTape
from jitflow.ops.dispatch import apply
from jitflow.tensor import Tensor, Variable, state, wrap
from jitflow.tracing.context import replay


def run_recorded(
    concrete: ConcreteFunction,
    call: Call,
    compile_rule: Callable[[Callable[..., Any], str], Any],
) -> Any:
    """Run a trace, and tell the active tapes.

    Args:
        concrete: the trace.
        call: its arguments.
        compile_rule: makes a compiled function of a Python function and a name.
    """
    given = iter(call.arrays)
    inputs: list[Tensor] = []
    for i, leaf in enumerate(call.leaves):
        if isinstance(leaf, Tensor):
            next(given)
            inputs.append(leaf)
        elif call.is_lifted(i):
            inputs.append(wrap(next(given)))
    # Reading a variable tells the tapes; it also keeps its buffer from being changed
    # in place before the derivative is taken.
    inputs += [c.value if isinstance(c, Variable) else c for c in concrete.captures]
    results = concrete.results(call.arrays)
    count = len(results) - len(concrete.graph.aliases)
    outputs = [wrap(r) for r in results[:count]]
    if outputs:
        if concrete.rule is None:
            concrete.rule = _rule_of(concrete, count, compile_rule)
        made: Any = outputs[0] if count == 1 else tuple(outputs)
        for tape in state.tapes:
            tape.record(concrete.rule, tuple(inputs), made, {})
    return concrete.outputs.assemble(outputs)


def _rule_of(
    concrete: ConcreteFunction,
    count: int,
    compile_rule: Callable[[Callable[..., Any], str], Any],
) -> Op:
    name = concrete.graph.name

    def backward(cotangents: list[Tensor], inputs: list[Tensor]) -> list[Any]:
        return _pull_back(concrete, count, cotangents, inputs)

    compiled = compile_rule(backward, f"{name}_gradient")

    def vjp(b: Any, g: Any, y: Any, *xs: Tensor, **attrs: Any) -> list[Any]:
        cotangents = [g] if count == 1 else [c for c in g if c is not None]
        return compiled(cotangents, list(xs))

    return Op(
        name=name,
        kind=Kind.CONTROL,
        infer=lambda *types: concrete.graph.output_types[:count],
        evaluate=lambda *arrays: tuple(concrete.executable.run(arrays)[:count]),
        vjp=vjp,
        jvp=None,
        batch=None,
        emit=None,
        attrs=(),
        doc="A compiled function that a tape has recorded as one op.",
    )


def _pull_back(
    concrete: ConcreteFunction,
    count: int,
    cotangents: Sequence[Tensor],
    inputs: Sequence[Tensor],
) -> list[Any]:
    """Cotangents of the inputs, None for those that have none."""
    floating = [x for x in inputs if x.dtype.is_inexact]
    with GradientTape() as tape:
        tape.watch(floating)
        outputs = replay(concrete.graph, inputs, apply, _sizes(concrete, inputs))
    targets = [y for y in outputs[:count] if y.dtype.is_inexact]
    found = iter(tape.gradient(targets, floating, output_gradients=list(cotangents)))
    return [next(found) if x.dtype.is_inexact else None for x in inputs]


def _sizes(concrete: ConcreteFunction, inputs: Sequence[Tensor]) -> dict[str, Any]:
    """What the graph's symbols stand for, given the inputs; may be symbols again."""
    sizes: dict[str, Any] = {}
    for type_, x in zip(concrete.graph.input_types, inputs, strict=True):
        for want, have in zip(type_.shape, x.shape, strict=True):
            if isinstance(want, SymDim):
                sizes[str(want)] = have
    return sizes
