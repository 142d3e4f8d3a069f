"""Legality of fusion: can these nodes be one kernel, and if not, why not.

A kernel runs over an iteration *domain*, split into rows and an inner part. For every
row it may reduce the inner part (softmax, layer normalisation), use the result at once,
and at the same time accumulate over the rows (bias gradients, losses). `plan_kernel`
follows the index of every element that is read from the results back to the operands,
and refuses, with a reason, what does not fit that form.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from compiler.fusion.classify import (
    REDUCTIONS,
    FreeValues,
    cost,
    is_view,
    view_index,
)
from compiler.ir.dims import Shape
from compiler.ir.index_map import Affine, identity
from compiler.ir.node import Node, Value

Index = tuple[Affine, ...]


@dataclass(frozen=True)
class Decision:
    """A yes, or a no with a reason a user can read."""

    ok: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.ok


@dataclass(frozen=True)
class KernelPlan:
    """How a set of nodes is one kernel.

    Attributes:
        nodes: members, operands first.
        domain: the iteration space.
        split: number of leading row dimensions; None when nothing fixes it.
        outputs: member results that others read.
        roles: for every reduction ``row`` (inner part to one value a row), ``column``
            (over the rows), ``full`` (to a scalar), ``rows`` (one value a row to a
            scalar) or ``middle`` (over inner rows).
        indices: the index, in the domain, at which each value is read.
    """

    nodes: tuple[Node, ...]
    domain: Shape
    split: int | None
    outputs: tuple[Value, ...]
    roles: dict[Node, str]
    indices: dict[Value, Index] = field(default_factory=dict)


class Refusal(Exception):
    """Raised while planning; the message is the reason."""


@dataclass(frozen=True)
class Limits:
    """Caps on one kernel: ops, buffers that it reads, and cost of an element.

    Compile time grows with the cost: 50 hyperbolic tangents take LLVM 150 ms. What two
    kernels of 25 spend on memory in between is a few percent of their arithmetic, and
    they are compiled side by side.
    """

    nodes: int = 256
    inputs: int = 128
    cost: int = 600


def plan_kernel(
    nodes: Iterable[Node],
    outputs: Iterable[Value],
    free: FreeValues,
    limits: Limits | None = None,
) -> KernelPlan | Decision:
    """A plan that computes `nodes` in one kernel, or a refusal."""
    planner = _Planner(tuple(nodes), tuple(outputs), free, limits or Limits())
    try:
        return planner.plan()
    except Refusal as refusal:
        return Decision(False, str(refusal))


def describe(node: Node) -> str:
    """How a node is named in reasons: op and type."""
    return f"{node.op.name} {node.outputs[0].type}"


@dataclass
class _Planner:
    nodes: tuple[Node, ...]
    outputs: tuple[Value, ...]
    free: FreeValues
    limits: Limits
    domain: Shape = ()
    split: int | None = None
    roles: dict[Node, str] = field(default_factory=dict)

    def plan(self) -> KernelPlan:
        if len(self.nodes) > self.limits.nodes:
            raise Refusal(f"the kernel would have more than {self.limits.nodes} ops")
        if len(self.nodes) > 1 and sum(map(cost, self.nodes)) > self.limits.cost:
            raise Refusal(
                f"the kernel would cost more than {self.limits.cost} additions"
            )
        self.members = set(self.nodes)
        self.reductions = [n for n in self.nodes if n.op.name in REDUCTIONS]
        self.domain = self._domain()
        self._assign_roles()
        self._mark_dependent()
        self.seen: dict[Value, Index] = {}
        self.inputs: set[Value] = set()
        for value, index in self._roots():
            self._follow(value, index)
        if len(self.inputs) > self.limits.inputs:
            raise Refusal(
                f"the kernel would read more than {self.limits.inputs} buffers"
            )
        return KernelPlan(
            self.nodes, self.domain, self.split, self.outputs, self.roles, self.seen
        )

    def _domain(self) -> Shape:
        shapes = [n.inputs[0].shape for n in self.reductions]
        shapes += [v.shape for v in self.outputs if v.node not in self.reductions]
        return max(shapes, key=len)

    def _assign_roles(self) -> None:
        for node in self.reductions:
            if node.inputs[0].shape == self.domain:
                self._assign_domain_role(node)
        for node in self.reductions:
            if node not in self.roles:
                self._assign_row_level_role(node)
        for node in self.reductions:
            if self.roles[node] == "middle":
                self._check_middle(node)

    def _assign_domain_role(self, node: Node) -> None:
        shape = self.domain
        reduced = [a for a in node.attrs["axes"] if shape[a] != 1]
        kept = [
            a
            for a in range(len(shape))
            if a not in node.attrs["axes"] and shape[a] != 1
        ]
        if not kept:
            self.roles[node] = "full"
        elif not reduced or max(kept) < min(reduced):
            self.roles[node] = "row"
            self._fix_split(min(reduced, default=len(shape)), node)
        elif max(reduced) < min(kept):
            self.roles[node] = "column"
            self._fix_split(min(kept), node)
        elif max(reduced) < max(kept) and _contiguous(reduced, kept):
            self.roles[node] = "middle"
            self._fix_split(min(reduced), node)
        else:
            raise Refusal(f"{describe(node)} reduces interleaved dimensions")

    def _check_middle(self, node: Node) -> None:
        if len(self.outputs) > 1:
            raise Refusal("a reduction over middle dimensions stands alone")
        if node.output.dtype.bits == 16:
            raise Refusal("a 16-bit reduction over middle dimensions needs f32 sums")

    def _fix_split(self, split: int, node: Node) -> None:
        split = self._skip_unit(split)
        if self.split is not None and self.split != split:
            raise Refusal(
                f"{describe(node)} splits the domain after dimension {split}, "
                f"another reduction after {self.split}"
            )
        self.split = split

    def _skip_unit(self, split: int) -> int:
        while split > 0 and self.domain[split - 1] == 1:
            split -= 1
        return split

    def _assign_row_level_role(self, node: Node) -> None:
        rows = self._row_shape()
        operand = node.inputs[0].shape
        if rows is None or not _same_but_units(operand, rows):
            raise Refusal(
                f"{describe(node)} reduces {list(operand)}, the kernel runs over "
                f"{list(self.domain)}"
            )
        kept = set(range(len(operand))) - set(node.attrs["axes"])
        if any(operand[a] != 1 for a in kept):
            raise Refusal(f"{describe(node)} reduces only some of the rows")
        self.roles[node] = "rows"

    def _row_shape(self) -> Shape | None:
        return None if self.split is None else self.domain[: self.split]

    def _mark_dependent(self) -> None:
        """Values that cannot be recomputed at will: they need a reduction first."""
        self.dependent: set[Node] = set()
        for node in self.nodes:
            if node in self.roles or any(
                _source(v) in self.dependent for v in node.inputs
            ):
                self.dependent.add(node)

    def _roots(self) -> Iterable[tuple[Value, Index]]:
        for node in self.reductions:
            operand = node.inputs[0]
            yield operand, self._canonical(operand, node)
        for value in self.outputs:
            if value.node not in self.roles:
                yield value, self._canonical(value, value.node)

    def _canonical(self, value: Value, node: Node) -> Index:
        """The index of `value` in terms of the domain, if it has that shape."""
        shape = value.shape
        if shape == self.domain:
            return identity(len(shape))
        rows = self._row_shape()
        if rows is not None and "row" in self.roles.values():
            index = align_units(shape, rows)
            if index is not None:
                return index
        raise Refusal(
            f"{describe(node)} is needed as {value.type}, the kernel runs over "
            f"{list(self.domain)}"
        )

    def _follow(self, root: Value, index: Index) -> None:
        stack = [(root, index)]
        while stack:
            value, index = stack.pop()
            node = value.node
            if self.free(node):
                continue
            if node not in self.members and not is_view(node):
                self.inputs.add(value)
                continue
            known = self.seen.get(value)
            if known is not None and (known is index or known == index):
                continue
            if node in self.members:
                self._check_member(node, index, again=known is not None)
            self.seen[value] = index
            stack.extend(self._operands(node, index))

    def _operands(self, node: Node, index: Index) -> list[tuple[Value, Index]]:
        if node in self.roles:
            return []
        if is_view(node):
            inner = view_index(node, index)
            if inner is None:
                if _source(node.inputs[0]) in self.members:
                    raise Refusal(
                        f"{describe(node)} merges dimensions of a value computed here"
                    )
                self.inputs.add(node.inputs[0])
                return []
            return [(node.inputs[0], inner)]
        if node.op.kind.value != "elementwise":
            for value in node.inputs:
                if _source(value) in self.members:
                    raise Refusal(f"{describe(node)} reads its operand from memory")
                self.inputs.add(value)
            return []
        return [(value, index) for value in node.inputs]

    def _check_member(self, node: Node, index: Index, again: bool) -> None:
        role = self.roles.get(node)
        if role is not None and role != "row":
            raise Refusal(f"{describe(node)} is complete only after the last row")
        if node in self.dependent and not self._is_exact(node, index):
            raise Refusal(f"{describe(node)} is read at another index than its own")
        if again and cost(node) > 2:
            raise Refusal(f"{describe(node)} would be computed at several indices")
        if cost(node) > 2 and self._recomputed(node, index):
            raise Refusal(f"{describe(node)} would be computed again for every row")

    def _is_exact(self, node: Node, index: Index) -> bool:
        shape = node.outputs[0].shape
        full = identity(len(self.domain))
        if shape == self.domain and _equal_but_units(index, full, shape):
            return node not in self.roles
        rows = self._row_shape()
        if rows is None:
            return False
        wanted = align_units(shape, rows)
        return wanted is not None and _equal_but_units(index, wanted, shape)

    def _recomputed(self, node: Node, index: Index) -> bool:
        """True if it varies with a later dimension but not with every earlier one."""
        used = {d for i in index for d in i.terms}
        if not used:
            return False
        needed = {d for d in range(max(used)) if self.domain[d] != 1}
        return not needed <= used


def _source(value: Value) -> Node:
    node = value.node
    while is_view(node):
        node = node.inputs[0].node
    return node


def _contiguous(reduced: list[int], kept: list[int]) -> bool:
    inside = [a for a in kept if min(reduced) < a < max(reduced)]
    return not inside


def _same_but_units(a: Shape, b: Shape) -> bool:
    return [d for d in a if d != 1] == [d for d in b if d != 1]


def align_units(shape: Shape, rows: Shape) -> Index | None:
    """Index of a value of `shape` that equals `rows` but for size-1 dimensions."""
    if not _same_but_units(shape, rows):
        return None
    dims = iter([d for d, extent in enumerate(rows) if extent != 1])
    zero = Affine({})
    return tuple(zero if extent == 1 else Affine({next(dims): 1}) for extent in shape)


def _equal_but_units(a: Index, b: Index, shape: Shape) -> bool:
    return all(x == y for x, y, extent in zip(a, b, shape, strict=True) if extent != 1)
