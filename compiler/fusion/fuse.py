"""Cut a graph into groups: greedy merging by bytes of memory traffic saved."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from itertools import pairwise

from compiler.fusion.classify import (
    FreeValues,
    is_emittable,
    is_member,
    is_view,
    member_inputs,
    source,
)
from compiler.fusion.decision import (
    Decision,
    KernelPlan,
    Limits,
    describe,
    plan_kernel,
)
from compiler.fusion.group import FusedGraph, Group
from compiler.fusion.order import StepOrder
from compiler.ir.dims import SymDim, concrete
from compiler.ir.node import Graph, Node, Value
from compiler.options import Options

_STEP_KINDS = {
    "constant": "constant",
    "dot_general": "dot",
    **dict.fromkeys(("scan", "while", "case"), "control"),
}

# What a symbolic dimension counts for in scores; never used for legality.
SIZE_HINT = 128


def fuse(graph: Graph, options: Options | None = None) -> FusedGraph:
    """Groups of `graph` in execution order."""
    return _Fusion(graph, options or Options()).run()


def bytes_of(value: Value) -> int:
    """Size of a value, with symbolic dimensions counted as `SIZE_HINT`."""
    size = value.type.nbytes
    if isinstance(size, SymDim):
        return concrete(size, dict.fromkeys(size.symbols, SIZE_HINT))
    return size


class _Fusion:
    def __init__(self, graph: Graph, options: Options) -> None:
        self.graph = graph
        self.options = options
        self.limits = Limits(
            options.max_ops_per_kernel, options.max_operands_per_kernel
        )
        self.free = FreeValues()
        self.position = {node: i for i, node in enumerate(graph.nodes)}
        self.readers = self._find_readers()
        self.results = dict.fromkeys(graph.outputs)
        self.members: dict[int, list[Node]] = {}
        self.plans: dict[int, KernelPlan] = {}
        self.group_of: dict[Node, int] = {}
        self.refusals: dict[tuple[Node, Node], str] = {}
        self.refused: set[tuple[int, int]] = set()

    def run(self) -> FusedGraph:
        self._start()
        self.order = StepOrder(range(len(self.graph.nodes)), self._successors)
        if self.options.fuse:
            self._merge()
        groups = [*self._loop_groups(), *self._other_groups()]
        refusals = tuple(
            f"{describe(p)} -> {describe(c)}: {reason}"
            for (p, c), reason in self.refusals.items()
            if self.group_of.get(p) != self.group_of.get(c)
        )
        return FusedGraph(self.graph, self._order(groups), refusals)

    # -- who reads what ---------------------------------------------------------

    def _find_readers(self) -> dict[Node, list[Node]]:
        """Nodes that read a node's results, seen through views."""
        readers: dict[Node, list[Node]] = {}
        for node in self.graph.nodes:
            if is_view(node):
                continue
            for found in member_inputs(node, self.free):
                readers.setdefault(found, []).append(node)
        return readers

    def _is_stored(self, value: Value, group: Iterable[Node]) -> bool:
        """True if somebody outside `group` needs `value` in memory."""
        inside = set(group)
        if any(r not in inside for r in self.readers.get(value.node, ())):
            return True
        return any(source(out) is value.node for out in self.results)

    def _stored_outputs(self, nodes: list[Node]) -> list[Value]:
        return [n.output for n in nodes if self._is_stored(n.output, nodes)]

    def _merge(self) -> None:
        edges = self._edges()
        while self._merge_round(edges):
            edges = [e for e in edges if self.group_of[e[0]] != self.group_of[e[1]]]
        self._merge_siblings()

    # -- merging ------------------------------------------------------------------

    def _start(self) -> None:
        for node in self.graph.nodes:
            if is_member(node) and not self.free(node):
                plan = plan_kernel([node], [node.output], self.free, self.limits)
                if isinstance(plan, KernelPlan):
                    self._install(self.position[node], [node], plan)

    def _install(self, key: int, nodes: list[Node], plan: KernelPlan) -> None:
        self.members[key] = nodes
        self.plans[key] = plan
        for node in nodes:
            self.group_of[node] = key

    def _edges(self) -> list[tuple[Node, Node]]:
        found = []
        for consumer in self.group_of:
            for producer in dict.fromkeys(member_inputs(consumer, self.free)):
                if producer in self.group_of:
                    found.append((producer, consumer))
        found.sort(key=lambda e: (-bytes_of(e[0].output), self.position[e[1]]))
        return found

    def _merge_round(self, edges: list[tuple[Node, Node]]) -> bool:
        """Try every edge whose groups have changed; each group grows once a round.

        Growing all groups at the same pace keeps the work linear in the graph: a chain
        of n ops is planned n log n times in all, not n times the size of its kernels.
        """
        grown: set[int] = set()
        for producer, consumer in edges:
            pair = self.group_of[producer], self.group_of[consumer]
            if pair[0] == pair[1] or grown & set(pair) or pair in self.refused:
                continue
            decision = self._try_merge(producer, consumer)
            if decision:
                grown.add(self.group_of[producer])
                self.refused = {p for p in self.refused if not set(p) & set(pair)}
            else:
                self.refused.add(pair)
                self.refusals[producer, consumer] = decision.reason
        return bool(grown)

    def _try_merge(self, a: Node, b: Node) -> Decision:
        first, second = self.group_of[a], self.group_of[b]
        if first == second:
            return Decision(False)
        nodes = sorted(
            self.members[first] + self.members[second], key=self.position.__getitem__
        )
        outputs = self._stored_outputs(nodes)
        plan = plan_kernel(nodes, outputs, self.free, self.limits)
        if isinstance(plan, Decision):
            return plan
        dependent = self.order.between(first, second)
        if dependent is None:
            return Decision(False, "another step must run between the two")
        self.order.merge(first, second, dependent, first)
        del self.members[second], self.plans[second]
        self._install(first, nodes, plan)
        return Decision(True)

    def _unit(self, node: Node) -> int:
        """The step that computes a node: its group, or the node alone."""
        return self.group_of.get(node, self.position[node])

    def _successors(self, unit: int) -> set[int]:
        nodes = self.members.get(unit) or [self.graph.nodes[unit]]
        found = {self._unit(r) for n in nodes for r in self.readers.get(n, ())}
        return found - {unit}

    def _merge_siblings(self) -> None:
        """Groups over the same domain that read the same large value become one."""
        by_input: dict[tuple[Node, object], list[int]] = {}
        for key, plan in list(self.plans.items()):
            for node in self.members[key]:
                for found in member_inputs(node, self.free):
                    if found.outputs[0].shape == plan.domain:
                        by_input.setdefault((found, plan.domain), []).append(key)
        for (_, _), keys in by_input.items():
            self._merge_all(list(dict.fromkeys(keys)))

    def _merge_all(self, keys: list[int]) -> None:
        for a, b in pairwise(keys):
            if a in self.members and b in self.members:
                self._try_merge(self.members[a][0], self.members[b][0])

    # -- result -------------------------------------------------------------------

    def _loop_groups(self) -> list[Group]:
        groups = []
        for key, nodes in self.members.items():
            plan = self.plans[key]
            inputs = dict.fromkeys(self._memory_inputs(nodes))
            groups.append(
                Group(
                    "loop",
                    name_of(nodes),
                    tuple(nodes),
                    plan.outputs,
                    tuple(inputs),
                    plan,
                )
            )
        return groups

    def _memory_inputs(self, nodes: Iterable[Node]) -> Iterable[Value]:
        inside = set(nodes)
        for node in nodes:
            for value in node.inputs:
                found = source(value)
                if found not in inside and not self.free(found):
                    yield behind_views(value)

    def _other_groups(self) -> list[Group]:
        """Steps for everything that is not in a kernel but has to exist in memory."""
        groups = []
        needed = self._materialised_views()
        for node in self.graph.nodes:
            if node in self.group_of or node.op.name == "parameter":
                continue
            if node in needed:
                groups.append(self._view_group(node))
            elif not is_view(node) and not self.free(node):
                groups.append(self._single_group(node))
        return groups

    def _materialised_views(self) -> set[Node]:
        """Views and free values that a library step or the caller reads whole."""
        wanted = list(self.graph.outputs)
        for node in self.graph.nodes:
            if node not in self.group_of and not is_view(node) and not self.free(node):
                wanted.extend(node.inputs)
        found: set[Node] = set()
        for value in wanted:
            node = value.node
            while node.op.name == "reshape" and not self.free(node):
                node = node.inputs[0].node  # a reshape of memory is the same memory
            if is_view(node) or self.free(node):
                found.add(node)
        return found

    def _view_group(self, node: Node) -> Group:
        if not is_emittable(node):
            return self._single_group(node)
        plan = KernelPlan((node,), node.output.shape, None, (node.output,), {})
        inputs = tuple(dict.fromkeys(self._memory_inputs([node])))
        return Group("copy", node.op.name, (node,), (node.output,), inputs, plan)

    def _single_group(self, node: Node) -> Group:
        kind = _STEP_KINDS.get(node.op.name, "host")
        if kind == "dot" and node.output.dtype.name not in ("f32", "f64"):
            kind = "host"
        inputs = tuple(dict.fromkeys(node.inputs))
        return Group(kind, node.op.name, (node,), node.outputs, inputs)

    def _order(self, groups: list[Group]) -> tuple[Group, ...]:
        """Topological order; original position decides among groups that are ready."""
        maker: dict[Node, int] = {}
        for i, group in enumerate(groups):
            for value in group.outputs:
                maker[value.node] = i
        needs = [self._dependencies(g, maker) for g in groups]
        return tuple(groups[i] for i in _topological(needs, self._priorities(groups)))

    def _dependencies(self, group: Group, maker: Mapping[Node, int]) -> set[int]:
        return {maker[m] for v in group.inputs if (m := _memory_node(v, maker))}

    def _priorities(self, groups: list[Group]) -> list[int]:
        return [max(self.position[n] for n in g.nodes) for g in groups]


def behind_views(value: Value) -> Value:
    """The value behind any chain of views."""
    while is_view(value.node):
        value = value.node.inputs[0]
    return value


def _memory_node(value: Value, maker: Mapping[Node, int]) -> Node | None:
    """The node whose buffer holds `value`, if a group makes it."""
    node = value.node
    while node not in maker and is_view(node):
        node = node.inputs[0].node
    return node if node in maker else None


def _topological(needs: list[set[int]], priority: list[int]) -> list[int]:
    users: dict[int, list[int]] = {}
    missing = [len(n) for n in needs]
    for i, need in enumerate(needs):
        for j in need:
            users.setdefault(j, []).append(i)
    ready = [(priority[i], i) for i, count in enumerate(missing) if count == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        _, i = heapq.heappop(ready)
        order.append(i)
        for j in users.get(i, ()):
            missing[j] -= 1
            if missing[j] == 0:
                heapq.heappush(ready, (priority[j], j))
    assert len(order) == len(needs), "fusion made a cycle"
    return order


_DULL = frozenset(
    ["convert", "compare", "select", "multiply", "add", "subtract", "and", "or"]
)
_SHORT = {"exponential": "exp", "logistic": "sigmoid", "reduce_sum": "sum"}


def name_of(nodes: Iterable[Node]) -> str:
    """A short readable name: innermost name scopes, or the ops that matter."""
    nodes = list(nodes)
    places = [n.scope.split(" ")[0].split("/")[-1] for n in nodes]
    scopes = list(dict.fromkeys(p for p in places if p))
    if scopes:
        return "_".join(scopes[:3])
    names = list(dict.fromkeys(n.op.name for n in nodes))
    keen = [n for n in names if n not in _DULL] or names
    return "_".join(_SHORT.get(n, n) for n in keen[:4])
