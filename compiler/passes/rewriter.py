"""Applying rules to a graph: one walk, rules found by op name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from compiler.errors import CompilerError, PassError
from compiler.ir.builder import BuilderOps, infer_types
from compiler.ir.location import UNKNOWN, Location
from compiler.ir.node import Graph, Node, Value
from compiler.ir.op import Op
from compiler.ir.rewrite import rebuild
from compiler.ir.types import TensorType
from compiler.passes.context import PassContext
from compiler.passes.pattern import Match, Rule

# Rules run on what rules make; more levels than this mean that they go in circles.
_MAX_DEPTH = 64

RuleTable = Mapping[str, tuple[Rule, ...]]


def rule_table(rules: Iterable[Rule]) -> RuleTable:
    """Rules by the op at the root of their pattern, in the order given."""
    table: dict[str, tuple[Rule, ...]] = {}
    for rule in rules:
        for name in rule.pattern.ops:
            table[name] = (*table.get(name, ()), rule)
    return table


class RuleBuilder(BuilderOps):
    """Makes the nodes of replacements, and simplifies each by the same rules.

    New nodes get the location and the scope of the node that is replaced. A scope of a
    relaxed rule carries the rule's name: ``dense {fast: add_zero}``.
    """

    def __init__(
        self, table: RuleTable, settled: set[Node], fired: Counter[str]
    ) -> None:
        self.table = table
        self.settled = settled
        self.fired = fired
        self.loc: Location = UNKNOWN
        self.scope = ""
        self.depth = 0

    def type_of(self, x: Value) -> TensorType:
        """The type of a graph value."""
        return x.type

    def apply(self, op: Op, inputs: tuple[Any, ...], attrs: Mapping[str, Any]) -> Any:
        """A new node, simplified; see `BuilderOps.apply`."""
        types = infer_types(op, tuple(v.type for v in inputs), attrs)
        node = Node(op, inputs, attrs, types, self.loc, self.scope)
        outputs = self._simplify(node) or node.outputs
        return outputs[0] if len(outputs) == 1 else outputs

    def rewrite(self, node: Node) -> tuple[Value, ...] | None:
        """Replacement results of a node of the graph, or None."""
        if node.op.name not in self.table or node in self.settled:
            return None
        self.loc, self.scope = node.loc, node.scope
        return self._simplify(node)

    def _simplify(self, node: Node) -> tuple[Value, ...] | None:
        rules = self.table.get(node.op.name)
        if rules is not None:
            for rule in rules:
                value = self._try(rule, node)
                if value is not None:
                    return (value,)
        self.settled.add(node)
        return None

    def _try(self, rule: Rule, node: Node) -> Value | None:
        found: dict[str, Any] = {}
        if not rule.pattern.match_node(node, found):
            return None
        if self.depth > _MAX_DEPTH:
            raise PassError(f"rule {rule.name} keeps rewriting what it made: {node}")
        scope = self.scope
        if rule.relaxed:
            self.scope = f"{scope} {{fast: {rule.name}}}".lstrip()
        self.depth += 1
        try:
            value = rule.replacement(Match(self, node, found))
        except CompilerError as error:
            raise _blame(rule, node, error) from error
        finally:
            self.depth -= 1
            self.scope = scope
        if value is None or value is node.outputs[0]:
            return None
        _check_type(rule, node, value)
        self.fired[rule.name] += 1
        return value


def _blame(rule: Rule, node: Node, error: CompilerError) -> PassError:
    if isinstance(error, PassError):
        return error
    return PassError(f"rule {rule.name} failed on {node}: {error.message}")


def _check_type(rule: Rule, node: Node, value: Value) -> None:
    if value.type != node.outputs[0].type:
        raise PassError(
            f"rule {rule.name} replaced {node} by a value of type {value.type}"
        )


def apply_rules(graph: Graph, name: str, table: RuleTable, ctx: PassContext) -> Graph:
    """The graph rewritten by the rules of pass `name`; the same object if none fits."""
    return rebuild(graph, RuleBuilder(table, ctx.settled[name], ctx.fired).rewrite)
