"""`GradientTape`: records ops and runs their derivative rules backwards.

The same tape works eagerly and while tracing: it sees tensors only, and the rules apply
further ops through the same door. Recording and replay are loops, so a chain of
thousands of ops needs no recursion and linear time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from compiler.ir.op import Op
from compiler.ir.types import DType, TensorType
from compiler.ops.common import move_axis
from jitflow.errors import (
    ArgumentError,
    GradientError,
    ShapeError,
    frame_location,
    user_frame,
)
from jitflow.gradient.backward import Record, pull_back
from jitflow.gradient.basis import count_of, size_of_shape, unit_vectors
from jitflow.gradient.explain import Cut, Trail, explain
from jitflow.gradient.interpreters import batched_call, stacked
from jitflow.ops.coerce import as_tensor
from jitflow.ops.dispatch import builder
from jitflow.tensor.state import state
from jitflow.tensor.tensor import Operators, Tensor
from jitflow.tensor.variable import Variable
from jitflow.tracing.structure import flatten, is_container, unflatten

_NOTHING = nullcontext()


class GradientTape:
    """Records the ops on watched tensors, to differentiate through them.

    Trainable variables are watched when they are read; tensors are watched by `watch`.
    Tapes nest: the backward pass of an inner tape is recorded by the outer ones.

    Args:
        persistent: `gradient` may be called more than once.
        watch_accessed_variables: watch every trainable variable that is read.

    Example:
        >>> with jf.GradientTape() as tape:
        ...     loss = jf.sum(w * w)
        >>> tape.gradient(loss, w)
    """

    def __init__(
        self, persistent: bool = False, watch_accessed_variables: bool = True
    ) -> None:
        self._persistent = persistent
        self._watch_variables = watch_accessed_variables
        self._used = False
        self.reset()

    def reset(self) -> None:
        """Forget everything that was recorded and watched."""
        self._records: list[Record] = []
        self._tracked: set[int] = set()
        self._kept: list[Any] = []  # keeps tracked tensors alive: ids are not reused
        self._reads: dict[int, list[Tensor]] = {}
        self._watched_variables: dict[int, Variable] = {}
        self._cuts: list[Cut] = []
        self._trail: Trail | None = None
        self._used = False

    def __enter__(self) -> GradientTape:
        if self in state.tapes:
            raise GradientError("this tape records already")
        state.tapes = (*state.tapes, self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        state.tapes = tuple(t for t in state.tapes if t is not self)

    # ------------------------------------------------------------------ recording

    def watch(self, tensor: Any) -> None:
        """Record what is done with a tensor, a variable, or a structure of them.

        Raises:
            ArgumentError: for something else.
            GradientError: for a tensor of integers or bools.
        """
        for leaf in flatten(tensor)[0]:
            if not isinstance(leaf, Operators):
                raise ArgumentError(f"watch: a {type(leaf).__name__} is not a tensor")
            if not leaf.dtype.is_inexact:
                raise GradientError(
                    f"watch: a {leaf.dtype} tensor has no gradient",
                    operands={"tensor": leaf},
                    fix="convert it with jf.astype(x, 'float32') before watching",
                )
            if isinstance(leaf, Variable):
                self._watched_variables[id(leaf)] = leaf
                self._kept.append(leaf)
            else:
                self._track(leaf)

    def _track(self, tensor: Any) -> None:
        self._tracked.add(id(tensor))
        self._kept.append(tensor)

    def watched_variables(self) -> tuple[Variable, ...]:
        """The variables that are watched, in the order of their first read."""
        return tuple(self._watched_variables.values())

    def read(self, variable: Variable, value: Tensor) -> None:
        """A variable was read as `value`; called by `Variable`."""
        key = id(variable)
        if key not in self._watched_variables:
            if not (self._watch_variables and variable.trainable):
                return
            self._watched_variables[key] = variable
        if variable.dtype.is_inexact:
            self._reads.setdefault(key, []).append(value)
            self._track(value)

    def record(self, op: Op, inputs: Any, outputs: Any, attrs: Any) -> None:
        """An op was applied; called by `dispatch.apply`."""
        tracked = self._tracked
        for x in inputs:
            if id(x) in tracked:
                break
        else:
            return
        results = outputs if type(outputs) is tuple else (outputs,)
        self._records.append(Record(op, inputs, results, attrs))
        alive = op.vjp is not None
        for result in results:
            if alive and result.dtype.is_inexact:
                tracked.add(id(result))
            else:
                self._cut(op.name, inputs)

    def _cut(self, how: str, inputs: Iterable[Any]) -> None:
        where = frame_location(user_frame(2))
        sources = tuple(id(x) for x in inputs if id(x) in self._tracked)
        self._cuts.append(Cut(how, sources, where))

    def escaped(self, tensor: Tensor, how: str) -> None:
        """A tensor's value left the framework; called by `Tensor.numpy`."""
        if id(tensor) in self._tracked:
            self._cut(how, (tensor,))

    @contextmanager
    def stop_recording(self) -> Iterator[None]:
        """Ops made inside are not recorded by this tape."""
        before = state.tapes
        state.tapes = tuple(t for t in before if t is not self)
        try:
            yield
        finally:
            state.tapes = before

    # ------------------------------------------------------------------ replaying

    def gradient(
        self,
        target: Any,
        sources: Any,
        output_gradients: Any = None,
        unconnected_gradients: str = "none",
    ) -> Any:
        """Derivative of the sum of `target` with respect to each source.

        Args:
            target: a tensor or a structure of tensors.
            sources: a watched tensor or variable, or a structure of them.
            output_gradients: weights of the elements of `target`, in its structure.
            unconnected_gradients: what stands for a source that `target` does not
                depend on: ``"none"`` gives None, ``"zero"`` zeros.

        Returns:
            Gradients in the structure of `sources`.

        Raises:
            GradientError: on the second use of a tape that is not persistent.
            ArgumentError: for an unknown option.
        """
        _check_option(unconnected_gradients)
        leaves, structure = flatten(sources)
        targets, seeds = _seeds(target, output_gradients)
        self._use()
        with self._resting():
            found = self._backward(targets, seeds, leaves)
        if not self._persistent:
            self._release(keep_trail=any(g is None for g in found))
        if unconnected_gradients == "zero":
            found = [
                builder.zeros_like(as_tensor(s)) if g is None else g
                for g, s in zip(found, leaves, strict=True)
            ]
        return unflatten(structure, found)

    def _use(self) -> None:
        if self._used and not self._persistent:
            raise GradientError(
                "gradient() was called twice on a tape that is not persistent",
                fix="make it jf.GradientTape(persistent=True), or ask for all "
                "gradients in one call",
            )
        self._used = True

    def _resting(self) -> AbstractContextManager[None]:
        """A one-shot tape does not record its own backward pass."""
        if self._persistent or self not in state.tapes:
            return _NOTHING
        return self.stop_recording()

    def _backward(
        self, targets: Sequence[Any], seeds: Sequence[Any], sources: Sequence[Any]
    ) -> list[Any]:
        groups = [self._source_tensors(s) for s in sources]
        tensors = [t for group in groups for t in group]
        pairs = zip(targets, seeds, strict=True)
        live = [(t, seed) for t, seed in pairs if t.dtype.is_inexact]
        # The sweep may be recorded too: what it adds is not its business.
        found = iter(pull_back(tuple(self._records), live, tensors))
        return [_total([next(found) for _ in group]) for group in groups]

    def _source_tensors(self, source: Any) -> list[Any]:
        if isinstance(source, Variable):
            unique = {id(t): t for t in self._reads.get(id(source), ())}
            return list(unique.values())
        if not isinstance(source, Tensor):
            raise ArgumentError(
                f"sources: a {type(source).__name__} is not a tensor or a variable"
            )
        return [source] if id(source) in self._tracked else []

    def _release(self, keep_trail: bool) -> None:
        """Let go of the recorded tensors; what `why` needs stays, if it is needed."""
        self._trail = self._make_trail() if keep_trail else None
        self._records = []
        self._kept = []

    def _make_trail(self) -> Trail:
        return Trail.of(self._records, self._cuts)

    def jacobian(
        self,
        target: Any,
        sources: Any,
        unconnected_gradients: str = "none",
    ) -> Any:
        """Derivative of every element of `target` with respect to each source.

        All rows are computed in one batched backward pass.

        Args:
            target: a tensor of static shape.
            sources: see `gradient`.
            unconnected_gradients: see `gradient`.

        Returns:
            Tensors of shape ``target.shape + source.shape``.

        Raises:
            GradientError: see `gradient`; and for a target of open shape.
        """
        _check_option(unconnected_gradients)
        target = as_tensor(target)
        count = count_of([target], "jacobian")
        leaves, structure = flatten(sources)
        seeds = unit_vectors(target.shape, target.dtype)
        rows = self._rows(target, seeds, leaves, count)
        columns = [
            _with_shape(
                row, (*target.shape, *source.shape), source.dtype, unconnected_gradients
            )
            for row, source in zip(rows, leaves, strict=True)
        ]
        return unflatten(structure, columns)

    def _rows(
        self, target: Tensor, seeds: Tensor, leaves: list[Any], count: int
    ) -> list[Any]:
        """For each source the gradients for all rows of `seeds`, stacked, or None."""
        self._use()
        with self._resting():
            found = batched_call(
                lambda seed: self._backward([target], [seed], leaves),
                [seeds],
                [0],
                count,
            )
            rows = [None if g[0] is None else stacked(g, 0, count) for g in found]
        if not self._persistent:
            self._release(keep_trail=any(r is None for r in rows))
        return rows

    def batch_jacobian(
        self, target: Any, source: Any, unconnected_gradients: str = "none"
    ) -> Any:
        """The Jacobian of each example of a batch.

        Args:
            target: of shape ``[batch, ...]``; each example depends on the same example
                of `source` only.
            source: of shape ``[batch, ...]``.
            unconnected_gradients: see `gradient`.

        Returns:
            A tensor of shape ``[batch, *target.shape[1:], *source.shape[1:]]``.

        Raises:
            GradientError: see `jacobian`.
            ShapeError: if the sizes of the batch differ.
        """
        _check_option(unconnected_gradients)
        target = as_tensor(target)
        if not target.shape or not source.shape or target.shape[0] != source.shape[0]:
            raise ShapeError(
                "batch_jacobian: target and source need one batch size in front",
                operands={"target": target, "source": source},
            )
        batch, inner = target.shape[0], target.shape[1:]
        count = size_of_shape(inner, "batch_jacobian")
        units = unit_vectors(inner, target.dtype)
        dims = (0, *range(2, units.ndim + 1))
        seeds = builder.broadcast_in_dim(units, dims=dims, shape=(count, *target.shape))
        (rows,) = self._rows(target, seeds, [source], count)
        if rows is not None:
            rows = move_axis(builder, rows, 0, 1)
        shape = (batch, *inner, *source.shape[1:])
        return _with_shape(rows, shape, target.dtype, unconnected_gradients)

    def why(self, target: Any, source: Any) -> str:
        """Why the gradient of `target` with respect to `source` is None, in words.

        Names the op and the line where the connection breaks; says so if there is one.
        """
        trail = self._trail if self._trail is not None else self._make_trail()
        if isinstance(source, Variable):
            reads = [id(t) for t in self._reads.get(id(source), ())]
            watched = id(source) in self._watched_variables
        else:
            reads = [id(source)] if id(source) in self._tracked else []
            watched = bool(reads)
        return explain(trail, target, source, reads, watched)


def _seeds(target: Any, output_gradients: Any) -> tuple[list[Any], list[Any]]:
    """Targets as tensors, and the cotangent that each starts with."""
    targets = [as_tensor(t) for t in flatten(target)[0]]
    if output_gradients is None:
        return targets, [builder.ones_like(t) for t in targets]
    given = _matching(target, output_gradients)
    seeds = []
    for t, seed in zip(targets, given, strict=True):
        g = builder.ones_like(t) if seed is None else as_tensor(seed, like=t.dtype)
        if g.shape != t.shape:
            raise ArgumentError(
                f"output_gradients: shape {g.shape} for a target of shape {t.shape}"
            )
        seeds.append(builder.cast(g, t.dtype))
    return targets, seeds


def _matching(target: Any, gradients: Any) -> list[Any]:
    """The parts of `gradients` that stand where `target` has its leaves."""
    if not is_container(target):
        return [gradients]
    children = list(target.values()) if isinstance(target, dict) else list(target)
    if isinstance(target, dict) and isinstance(gradients, dict):
        parts = [gradients.get(key) for key in target]
    else:
        parts = list(gradients)
    if len(parts) != len(children):
        raise ArgumentError(
            f"output_gradients: {len(parts)} for {len(children)} targets"
        )
    pairs = zip(children, parts, strict=True)
    return [leaf for child, part in pairs for leaf in _matching(child, part)]


def _total(gradients: list[Any]) -> Any:
    """The sum of the gradients of all reads of one source; None if there is none."""
    total = None
    for g in gradients:
        if g is not None:
            total = g if total is None else builder.add(total, g)
    return total


def _check_option(unconnected_gradients: str) -> None:
    if unconnected_gradients not in ("none", "zero"):
        raise ArgumentError(
            f"unconnected_gradients: {unconnected_gradients!r} : 'none' or 'zero'"
        )


def _with_shape(rows: Any, shape: Any, dtype: DType, unconnected: str) -> Any:
    """Stacked gradients as a Jacobian; zeros for None, if they are asked for."""
    if rows is not None:
        return builder.reshape(rows, shape=shape)
    return builder.full(0, TensorType(dtype, shape)) if unconnected == "zero" else None
