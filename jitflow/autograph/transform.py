"""From the syntax tree of a function to one that decides its control flow at run time.

Every branch and loop becomes functions over the names it assigns, handed to an operator
of `jitflow.autograph.operators`, which runs them or stages them. Line and column
numbers stay, so that errors point at what the user wrote.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable, Sequence
from typing import Any, cast

from jitflow.autograph.activity import (
    assigned,
    declared,
    in_scope,
    parameters,
    read,
)
from jitflow.autograph.jumps import has_nested_jump, lower_jumps
from jitflow.autograph.source import FunctionNode

# The name that the operators have in converted code.
RUNTIME = "ag__"
_LEFT_ALONE = frozenset(("super", "locals", "globals", "vars", "eval", "exec", "dir"))
_UNMOVABLE = (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)


def transform(node: FunctionNode, name: str, owner: str) -> ast.FunctionDef:
    """The converted function.

    Args:
        node: the tree of the function; it is not changed.
        name: of the result.
        owner: name of the class that the function is defined in, or "".
    """
    arguments = copy.deepcopy(node.args)
    _strip(arguments)
    if isinstance(node, ast.Lambda):
        expression = copy.deepcopy(node.body)
        body: list[ast.stmt] = [ast.copy_location(ast.Return(expression), expression)]
    else:
        body = copy.deepcopy(node.body)
    texts = _headers(body)
    if has_nested_jump(body):
        body = lower_jumps(body)
    body = _Transformer(body, arguments, owner, texts).function(body)
    made = ast.FunctionDef(name, arguments, body, [], None, None)
    ast.copy_location(made, node)
    return ast.fix_missing_locations(made)


def _strip(arguments: ast.arguments) -> None:
    """Defaults and annotations belong to the function object."""
    arguments.defaults = [ast.Constant(None) for _ in arguments.defaults]
    arguments.kw_defaults = [d and ast.Constant(None) for d in arguments.kw_defaults]
    given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    for argument in (*given, arguments.vararg, arguments.kwarg):
        if argument is not None:
            argument.annotation = None


def _headers(body: Iterable[ast.stmt]) -> dict[ast.AST, str]:
    """What the user wrote at the head of each construct."""
    return {n: text for n in in_scope(body) if (text := _header(n))}


def _header(node: ast.AST) -> str:
    if isinstance(node, ast.If | ast.While):
        word = "if" if isinstance(node, ast.If) else "while"
        return f"{word} {ast.unparse(node.test)}"
    if isinstance(node, ast.For):
        return f"for {ast.unparse(node.target)} in {ast.unparse(node.iter)}"
    if isinstance(node, ast.Assert):
        return f"assert {ast.unparse(node.test)}"
    if isinstance(node, ast.IfExp | ast.Raise):
        return ast.unparse(node)
    return ""


class _Transformer(ast.NodeTransformer):
    """Rewrites one function, from the outside in."""

    def __init__(
        self,
        body: list[ast.stmt],
        arguments: ast.arguments,
        owner: str,
        texts: dict[ast.AST, str],
    ) -> None:
        self.owner = owner.lstrip("_")
        self.texts = texts
        self.arguments = arguments
        self.reads = read(body)
        self.globals = declared(body, ast.Global)
        self.free = self.globals | declared(body, ast.Nonlocal)
        self.parameters = parameters(arguments)
        self.state: dict[str, None] = {}
        self.maybe_unbound = self._unbound_candidates(body)
        self.loop_depth = 0
        self.try_depth = 0
        self.count = 0

    def _unbound_candidates(self, body: list[ast.stmt]) -> set[str]:
        """Names that a construct assigns, and that may have no value at some point."""
        found: set[str] = set()
        for node in in_scope(body):
            if isinstance(node, ast.If | ast.While | ast.For):
                found.update(assigned([node]))
        return (found & set(self.reads)) - self.parameters - self.free

    def function(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """The new body of the function."""
        start, rest = _split_docstring(body)
        place = rest[0] if rest else body[0]
        made = self.block(rest)
        undefined = [
            _placed(_statement(f"{n} = {RUNTIME}.Undefined({n!r})"), place)
            for n in sorted(self.maybe_unbound)
        ]
        return [*start, *undefined, *made]

    def block(self, body: Sequence[ast.stmt]) -> list[ast.stmt]:
        """Statements, each replaced by one or several."""
        out: list[ast.stmt] = []
        for node in body:
            made = self.visit(node)
            out += made if isinstance(made, list) else [made]
        return out

    # ------------------------------------------------------------------- statements

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        # Functions inside are converted when they are called.
        node.decorator_list = [self.visit(d) for d in node.decorator_list]
        return node

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef  # type: ignore[assignment]

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return node

    def visit_If(self, node: ast.If) -> list[ast.stmt]:
        names, live = self._state_of(node)
        test = self.visit(node.test)
        before = node.lineno
        body, orelse = self.block(node.body), self.block(node.orelse)
        text = self._text(node, before)
        self.count += 1
        n = self.count
        made = [
            *self._function(f"if_body_{n}__", [], body, names),
            *self._function(f"else_body_{n}__", [], orelse, names),
            *self._accessors(n, names),
        ]
        call = _call(
            "if_",
            test,
            f"if_body_{n}__",
            f"else_body_{n}__",
            *self._state_arguments(n, names),
            ast.Constant(live),
            ast.Constant(text),
        )
        return _all_placed([*made, ast.Expr(call)], node)

    def visit_While(self, node: ast.While) -> list[ast.stmt]:
        text = self._text(node, node.lineno)
        names, _ = self._state_of(node)
        self.loop_depth += 1
        test, body = self.visit(node.test), self.block(node.body)
        self.loop_depth -= 1
        self.count += 1
        n = self.count
        checks = [ast.Return(test)]
        made = [
            *self._function(f"loop_test_{n}__", [], checks, assigned([node.test])),
            *self._function(f"loop_body_{n}__", [], body, names),
            *self._accessors(n, names),
        ]
        call = _call(
            "while_",
            ast.Name(f"loop_test_{n}__", ast.Load()),
            f"loop_body_{n}__",
            *self._state_arguments(n, names),
            ast.Constant(text),
        )
        after = self.block(node.orelse)
        return [*_all_placed([*made, ast.Expr(call)], node), *after]

    def visit_For(self, node: ast.For) -> list[ast.stmt]:
        text = self._text(node, node.lineno)
        names, _ = self._state_of(node)
        items = self.visit(node.iter)
        extra = getattr(node, "extra_test", None)
        self.loop_depth += 1
        take = ast.Assign([node.target], ast.Name("item__", ast.Load()))
        body = [self.visit(take), *self.block(node.body)]
        checks = [] if extra is None else [ast.Return(self.visit(extra))]
        self.loop_depth -= 1
        self.count += 1
        n = self.count
        made = self._function(f"loop_body_{n}__", ["item__"], body, names)
        goes_on: Any = ast.Constant(None)
        if checks:
            made += self._function(f"loop_test_{n}__", [], checks, [])
            goes_on = ast.Name(f"loop_test_{n}__", ast.Load())
        made += self._accessors(n, names)
        call = _call(
            "for_",
            items,
            ast.Name(f"loop_body_{n}__", ast.Load()),
            goes_on,
            *self._state_arguments(n, names),
            ast.Constant(text),
        )
        after = self.block(node.orelse)
        return [*_all_placed([*made, ast.Expr(call)], node), *after]

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        text = self._text(node, node.lineno)
        if _unmovable(node):
            return self.generic_visit(node)  # type: ignore[return-value]
        test = self.visit(node.test)
        message = _thunk(self.visit(node.msg) if node.msg else ast.Constant(""))
        call = _call("assert_", test, message, ast.Constant(text))
        return _placed_shallow(ast.Expr(call), node)

    def visit_Try(self, node: ast.Try) -> ast.AST:
        """An error that may be handled here has to be raised at once."""
        self.try_depth += 1
        body = self.block(node.body)
        self.try_depth -= 1
        node.body = []
        made = self.generic_visit(node)
        assert isinstance(made, ast.Try)
        made.body = body
        return made

    def visit_Raise(self, node: ast.Raise) -> ast.stmt:
        text = self._text(node, node.lineno)
        if self.try_depth or node.exc is None or _unmovable(node):
            return self.generic_visit(node)  # type: ignore[return-value]
        error = _thunk(self.visit(copy.deepcopy(node.exc)))
        call = _call("raises", error, ast.Constant(text))
        raising = ast.If(call, cast(list[ast.stmt], [self.generic_visit(node)]), [])
        return _placed_shallow(raising, node)

    def visit_Return(self, node: ast.Return) -> ast.stmt:
        value = node.value
        if isinstance(value, ast.Name) and value.id == "returned__":
            result = _call("returned", value)
            return _placed_shallow(ast.Return(result), node)
        return self.generic_visit(node)  # type: ignore[return-value]

    def visit_Delete(self, node: ast.Delete) -> list[ast.stmt]:
        """A name that may be unbound is unbound by assignment."""
        out: list[ast.stmt] = []
        for target in node.targets:
            name = target.id if isinstance(target, ast.Name) else ""
            if name in self.maybe_unbound:
                code = f"{name} = {RUNTIME}.Undefined({name!r})"
                out.append(_placed(_statement(code), node))
            else:
                out.append(ast.copy_location(ast.Delete([self.visit(target)]), node))
        return out

    # ------------------------------------------------------------------ expressions

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        if _unmovable(node):
            return self.generic_visit(node)  # type: ignore[return-value]
        name = "and_" if isinstance(node.op, ast.And) else "or_"
        parts = [_thunk(self.visit(v)) for v in node.values]
        return _placed_shallow(_call(name, *parts), node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        operand = self.visit(node.operand)
        if isinstance(node.op, ast.Not):
            return _placed_shallow(_call("not_", operand), node)
        node.operand = operand
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        if _unmovable(node.body) or _unmovable(node.orelse):
            return self.generic_visit(node)  # type: ignore[return-value]
        text = self._text(node, node.lineno)
        test = self.visit(node.test)
        parts = [_thunk(self.visit(v)) for v in (node.body, node.orelse)]
        call = _call("if_expression", test, *parts, ast.Constant(text))
        return _placed_shallow(call, node)

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        if len(node.ops) == 1 or _unmovable(node):
            return self.generic_visit(node)  # type: ignore[return-value]
        names = ast.Tuple(
            [ast.Constant(type(op).__name__) for op in node.ops], ast.Load()
        )
        operands = [_thunk(self.visit(v)) for v in node.comparators]
        call = _call("compare", self.visit(node.left), names, *operands)
        return _placed_shallow(call, node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        function = node.func
        if isinstance(function, ast.Name) and function.id in _LEFT_ALONE:
            self._explicit_super(node)
            return self.generic_visit(node)  # type: ignore[return-value]
        made = self.generic_visit(node)
        assert isinstance(made, ast.Call)
        made.func = _placed_shallow(_call("call", made.func), function)
        return made

    def _explicit_super(self, node: ast.Call) -> None:
        """``super()`` works in the method itself only, not in the functions we make."""
        first = [*self.arguments.posonlyargs, *self.arguments.args][:1]
        is_super = isinstance(node.func, ast.Name) and node.func.id == "super"
        if is_super and not node.args and first:
            names = ("__class__", first[0].arg)
            node.args = [ast.Name(name, ast.Load()) for name in names]
            _all_placed(node.args, node)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        node.id = self._mangled(node.id)
        ours = node.id.endswith("__")
        loads = isinstance(node.ctx, ast.Load) and not ours
        if loads and node.id in self.maybe_unbound:
            return _placed_shallow(_call("bound", node), node)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        node.attr = self._mangled(node.attr)
        if isinstance(node.value, ast.Name):
            # Left as a chain of names: guards are found by those. `Undefined` raises.
            node.value.id = self._mangled(node.value.id)
            return node
        return self.generic_visit(node)  # type: ignore[return-value]

    def _mangled(self, name: str) -> str:
        private = name.startswith("__") and not name.endswith("__")
        return f"_{self.owner}{name}" if private and self.owner else name

    # ------------------------------------------------------------------------ state

    def _text(self, node: ast.AST, line: int) -> str:
        """``line:header``, or "" for what the user did not write."""
        if getattr(node, "internal", False):
            return ""
        return f"{line}:{self.texts.get(node, '')}"

    def _state_of(self, node: ast.stmt) -> tuple[list[str], int]:
        """Names that a construct assigns; the first of them are read after it."""
        names = [n for n in assigned([node]) if self.reads[n] or n in self.free]
        inside = read([node])
        repeated = self.loop_depth > 0 or isinstance(node, ast.For | ast.While)
        live = [
            n for n in names if repeated or n in self.free or self.reads[n] > inside[n]
        ]
        dead = [n for n in names if n not in live]
        return [*live, *dead], len(live)

    def _function(
        self, name: str, args: list[str], body: list[Any], assigns: Sequence[str]
    ) -> list[ast.stmt]:
        outer = [n for n in assigns if n not in self.globals]
        scope: list[ast.stmt] = []
        if outer:
            scope.append(ast.Nonlocal(outer))
        if len(outer) < len(assigns):
            scope.append(ast.Global([n for n in assigns if n in self.globals]))
        arguments = ast.arguments(
            [], [ast.arg(a) for a in args], None, [], [], None, []
        )
        content = [*scope, *body] or [ast.Pass()]
        return [ast.FunctionDef(name, arguments, content, [], None, None)]

    def _accessors(self, n: int, names: Sequence[str]) -> list[ast.stmt]:
        load = ast.Tuple([ast.Name(x, ast.Load()) for x in names], ast.Load())
        store = ast.Tuple([ast.Name(x, ast.Store()) for x in names], ast.Store())
        take = ast.Assign([store], ast.Name("values__", ast.Load()))
        return [
            *self._function(f"get_state_{n}__", [], [ast.Return(load)], []),
            *self._function(
                f"set_state_{n}__", ["values__"], [take] if names else [], names
            ),
        ]

    def _state_arguments(self, n: int, names: Sequence[str]) -> list[Any]:
        return [
            f"get_state_{n}__",
            f"set_state_{n}__",
            ast.Tuple([ast.Constant(x) for x in names], ast.Load()),
        ]


def _split_docstring(body: list[ast.stmt]) -> tuple[list[ast.stmt], list[ast.stmt]]:
    first = body[0]
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    count = 1 if is_text and isinstance(first.value.value, str) else 0  # type: ignore[attr-defined]
    return body[:count], body[count:]


def _statement(code: str) -> ast.stmt:
    return ast.parse(code).body[0]


def _unmovable(node: ast.AST) -> bool:
    """Whether an expression means something else inside a lambda."""
    return any(isinstance(n, _UNMOVABLE) for n in ast.walk(node))


def _call(operator: str, *args: Any) -> ast.Call:
    """A call of an operator; strings are names."""
    given = [ast.Name(a, ast.Load()) if isinstance(a, str) else a for a in args]
    function = ast.Attribute(ast.Name(RUNTIME, ast.Load()), operator, ast.Load())
    return ast.Call(function, given, [])


def _thunk(value: ast.expr) -> ast.Lambda:
    arguments = ast.arguments([], [], None, [], [], None, [])
    return ast.copy_location(ast.Lambda(arguments, value), value)


def _placed(node: Any, at: ast.AST) -> Any:
    for inner in ast.walk(node):
        ast.copy_location(inner, at)
    return node


def _placed_shallow(node: Any, at: ast.AST) -> Any:
    """A new node at a place; nodes below it that have a place keep it."""
    for inner in ast.walk(node):
        if "lineno" in inner._attributes and not hasattr(inner, "lineno"):
            ast.copy_location(inner, at)
    return node


def _all_placed(nodes: list[Any], at: ast.AST) -> list[Any]:
    return [_placed_shallow(node, at) for node in nodes]
