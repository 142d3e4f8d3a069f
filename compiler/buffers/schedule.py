"""The schedule: work items in execution order, and the storages they read and write.

Reshapes share the storage of their operand; results of the graph, updated variables
and literals live outside the arena. Loops and branches contain schedules of their own,
whose parameters are storages around them: invariants and carried values are read and
written where they are, slices through an address that changes in each iteration.
Everything here is symbolic and computed once; sizes follow in `assign`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compiler.buffers.storage import Item, Schedule, Storage
from compiler.buffers.windows import read_in_place
from compiler.fusion.classify import FreeValues
from compiler.fusion.fuse import fuse
from compiler.fusion.group import FusedGraph, Group
from compiler.ir.dims import Dim
from compiler.ir.node import Graph, Node, Value
from compiler.kernels.lower import Partial, Scratch, lower_group
from compiler.options import Options


def schedule(fused: FusedGraph, options: Options | None = None) -> Schedule:
    """Lower the groups and lay out who reads and writes what, in order."""
    scheduler = Scheduler(fused, options or Options())
    for i, param in enumerate(fused.graph.params):
        scheduler.parameter(param, place="input", position=i)
    return scheduler.finish({}, fused.graph.aliases)


class Scheduler:
    """Builds the schedule of one graph, or of one body."""

    def __init__(self, fused: FusedGraph, options: Options) -> None:
        self.fused = fused
        self.options = options
        self.graph = fused.graph
        self.free = FreeValues()
        self.items: list[Item] = []
        self.storages: list[Storage] = []
        self.storage_of: dict[Value, Storage] = {}
        self.in_place = read_in_place(fused)

    def parameter(self, param: Node, **place: Any) -> Storage:
        """Tell where a parameter lives."""
        name = str(param.attrs.get("name", "p"))
        return self.new(param.output, name, **place)

    def finish(
        self, targets: Mapping[int, Storage], aliases: Mapping[int, int]
    ) -> Schedule:
        """Schedule everything.

        `targets` says where results of a body go, by position; `aliases` which results
        replace a parameter. Other results are outputs of the graph.
        """
        for group in self.fused.groups:
            self._group(group)
        outputs = self._place_outputs(targets, aliases)
        self._place_updates(outputs, aliases)
        self._lifetimes()
        return Schedule(
            self.graph, self.items, self.storages, self.storage_of, dict(aliases)
        )

    # -- storages -----------------------------------------------------------------

    def new(
        self, value: Value | None, name: str, nbytes: Dim = 0, **more: Any
    ) -> Storage:
        """A storage, of a value if one is given."""
        size = value.type.nbytes if value is not None else nbytes
        storage = Storage(name, size, **more)
        self.storages.append(storage)
        if value is not None:
            self.storage_of[value] = storage
        return storage

    def find(self, value: Value) -> Storage:
        """The storage of a value; that of the operand for a reshape of memory."""
        while value not in self.storage_of:
            assert value.node.op.name == "reshape", value
            value = value.node.inputs[0]
        return self.storage_of[value]

    # -- items --------------------------------------------------------------------

    def _group(self, group: Group) -> None:
        if group.nodes[0] in self.in_place:
            return
        if group.kind in ("loop", "copy"):
            self._kernel(group)
        elif group.kind == "constant":
            node = group.nodes[0]
            array = node.attrs["value"].array
            self.new(node.output, "literal", place="constant", array=array)
        elif group.kind == "control":
            self._control(group.nodes[0])
        else:
            self._library(group.kind, group.nodes[0])

    def _kernel(self, group: Group) -> None:
        kernel = lower_group(group, self.free)
        item = Item("kernel", group.name, (), (), (), kernel)
        bound: dict[str, Storage] = {}
        for buffer in kernel.program.buffers:
            if buffer.role == "in":
                bound[buffer.name] = self.find(kernel.values[buffer.name])
            elif buffer.role == "out":
                bound[buffer.name] = self.new(kernel.values[buffer.name], group.name)
        parts: list[Partial | Scratch] = [*kernel.partials, *kernel.scratch]
        for part in parts:
            kind = "partial sums" if isinstance(part, Partial) else "scratch"
            size = part.size * part.dtype.itemsize
            bound[part.buffer] = self.new(
                None, f"{group.name} {kind}", size, chunks_of=item
            )
        for operand, result in kernel.inplace:
            bound[result].follows.append(bound[operand])
        roles = {b.name: b.role for b in kernel.program.buffers}
        item.reads = tuple(s for n, s in bound.items() if roles[n] == "in")
        item.writes = tuple(s for n, s in bound.items() if roles[n] != "in")
        item.bufs = tuple(bound[b.name] for b in kernel.program.buffers)
        self.items.append(item)
        for partial in kernel.partials:
            self._combine(item, partial, bound[partial.buffer])

    def _combine(self, of: Item, partial: Partial, source: Storage) -> None:
        target = self.new(partial.value, f"{of.name} {partial.combine}")
        name = f"combine_{partial.combine}"
        item = Item("combine", name, (source, target), (source,), (target,))
        item.kernel, item.partial, item.of = of.kernel, partial, of
        self.items.append(item)

    def _library(self, kind: str, node: Node) -> None:
        first = node.inputs[0].node if node.inputs else None
        windows = first if first in self.in_place else None
        inputs = (windows.inputs[0], *node.inputs[1:]) if windows else node.inputs
        reads = tuple(self.find(v) for v in inputs)
        writes = tuple(self.new(v, node.op.name) for v in node.outputs)
        item = Item(kind, node.op.name, (*reads, *writes), reads, writes, node=node)
        item.windows = windows
        self.items.append(item)

    def copy(self, target: Storage, source: Storage, name: str = "copy") -> None:
        """Append a copy of memory."""
        self.items.append(Item("copy", name, (target, source), (source,), (target,)))

    # -- control flow -------------------------------------------------------------

    def _control(self, node: Node) -> None:
        """A native loop or branch; a host routine if some body needs the host."""
        mark = len(self.items), len(self.storages)
        made = {"scan": self._scan, "while": self._while, "case": self._case}
        item = made[node.op.name](node)
        if any(i.kind == "host" for body in item.bodies for i in body.walk()):
            del self.items[mark[0] :], self.storages[mark[1] :]
            self._library("host", node)
            return
        self.items.append(item)

    def _body(self, graph: Graph) -> Scheduler:
        return Scheduler(fuse(graph, self.options), self.options)

    def _scan(self, node: Node) -> Item:
        attrs = node.attrs
        n, k, body = attrs["num_consts"], attrs["num_carry"], attrs["body"]
        consts, carry, scanned = _cut(node.inputs, n, k)
        state = self._carried(node, carry)
        rows = [self.new(v, "scan rows") for v in node.outputs[k:]]
        inner = self._body(body)
        params = iter(body.params)
        for value in consts:
            inner.parameter(next(params), place="outer", outer=self.find(value))
        for storage in state:
            inner.parameter(next(params), place="outer", outer=storage)
        for value in scanned:
            whole = self._fixed(self.find(value))
            inner.parameter(next(params), place="slice", outer=whole)
        targets = {
            k + i: Storage("row", body.outputs[k + i].type.nbytes, "slice", outer=row)
            for i, row in enumerate(rows)
        }
        made = inner.finish(targets, {i: n + i for i in range(k)})
        index = self.new(None, "loop index", 8)
        reads = (*map(self.find, (*consts, *scanned)), *state)
        return self._item(node, reads, (*state, *rows), (made,), index)

    def _fixed(self, storage: Storage) -> Storage:
        """A storage with one address; a slice of an outer loop is copied to one."""
        moving = storage
        while moving.place == "outer":
            assert moving.outer is not None
            moving = moving.outer
        if moving.place != "slice":
            return storage
        kept = self.new(None, f"copy of {storage.name}", storage.nbytes)
        self.copy(kept, storage)
        return kept

    def _while(self, node: Node) -> Item:
        n, cond, body = (node.attrs[k] for k in ("num_consts", "cond", "body"))
        consts, carry, _ = _cut(node.inputs, n, len(node.inputs) - n)
        state = self._carried(node, carry)
        flag = self.new(None, "loop condition", 1)
        around = [*map(self.find, consts), *state]
        test = self._inside(cond, around)
        target = Storage("condition", 1, "outer", outer=flag)
        each = self._inside(body, around)
        bodies = (
            test.finish({0: target}, {}),
            each.finish({}, {i: n + i for i in range(len(state))}),
        )
        return self._item(node, tuple(around), tuple(state), bodies, flag)

    def _case(self, node: Node) -> Item:
        index, *operands = (self.find(v) for v in node.inputs)
        results = [self.new(v, "case") for v in node.outputs]
        bodies = []
        for branch in node.attrs["branches"]:
            targets = {
                i: Storage("result", s.nbytes, "outer", outer=s)
                for i, s in enumerate(results)
            }
            bodies.append(self._inside(branch, operands).finish(targets, {}))
        reads = (index, *operands)
        return self._item(node, reads, tuple(results), tuple(bodies), index)

    def _inside(self, graph: Graph, around: list[Storage]) -> Scheduler:
        inner = self._body(graph)
        for param, storage in zip(graph.params, around, strict=True):
            inner.parameter(param, place="outer", outer=storage)
        return inner

    def _carried(self, node: Node, carry: tuple[Value, ...]) -> list[Storage]:
        """Storages of the carried values, filled with the initial ones."""
        state = []
        for initial, result in zip(carry, node.outputs, strict=False):
            source, target = self.find(initial), self.new(result, "carried value")
            target.follows.append(source)
            self.copy(target, source, "initial value")
            state.append(target)
        return state

    def _item(
        self,
        node: Node,
        reads: tuple[Storage, ...],
        writes: tuple[Storage, ...],
        bodies: tuple[Schedule, ...],
        control: Storage,
    ) -> Item:
        name = node.op.name
        frames = tuple(self.new(None, f"{name} body", 0, frame_of=b) for b in bodies)
        item = Item(name, name, (), reads, (*writes, *frames, control), node=node)
        item.bodies, item.frames, item.control = bodies, frames, control
        return item

    # -- results ------------------------------------------------------------------

    def _place_outputs(
        self, targets: Mapping[int, Storage], aliases: Mapping[int, int]
    ) -> list[Storage]:
        """Storages of the results: written directly if possible, else copied."""
        placed: list[Storage] = []
        for position, value in enumerate(self.graph.outputs):
            storage = self.find(value)
            if position not in aliases:
                target = targets.get(position) or Storage(
                    f"copy of {storage.name}", storage.nbytes, "output", position
                )
                if storage.place == "arena":
                    storage.move_to(target)
                else:
                    self.storages.append(target)
                    self.copy(target, storage)
            placed.append(storage)
        return placed

    def _place_updates(
        self, outputs: list[Storage], aliases: Mapping[int, int]
    ) -> None:
        """Write updated variables in place where nobody reads the old value later."""
        variables = {
            p: self.find(self.graph.params[i].output) for p, i in aliases.items()
        }
        changed = {p: v for p, v in variables.items() if outputs[p] is not v}
        for position in changed:
            if outputs[position] in changed.values():
                # Variables that exchange their values: read all before writing any.
                old = outputs[position]
                outputs[position] = self.new(None, f"old {old.name}", old.nbytes)
                self.copy(outputs[position], old, "exchange")
        self._lifetimes()
        for position, variable in changed.items():
            new = outputs[position]
            if self._can_replace(new, variable):
                new.move_to(variable)
            else:
                self.copy(variable, new, "update")

    def _can_replace(self, new: Storage, variable: Storage) -> bool:
        if new.place != "arena":
            return False
        if variable.death < new.birth:
            return True
        return variable.death == new.birth and variable in new.follows

    def _lifetimes(self) -> None:
        for storage in self.storages:
            storage.birth = storage.death = -1
        for position, item in enumerate(self.items):
            for storage in (*item.reads, *item.writes):
                if storage.birth < 0:
                    storage.birth = position
                storage.death = position


def _cut(
    values: tuple[Value, ...], n: int, k: int
) -> tuple[tuple[Value, ...], tuple[Value, ...], tuple[Value, ...]]:
    return values[:n], values[n : n + k], values[n + k :]
