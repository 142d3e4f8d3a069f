"""Converting functions of the user, once for each code object."""

from __future__ import annotations

import ast
import dis
import functools
import inspect
from functools import lru_cache
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from jitflow.autograph.source import find_function
from jitflow.autograph.transform import RUNTIME, transform
from jitflow.errors import ArgumentError
from jitflow.tracing.frames import is_converted_part, is_user_file

_MARK = "_jitflow_do_not_convert"
_GENERATORS = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class Converted(NamedTuple):
    """A converted code object, and its source as text."""

    code: CodeType
    text: str


def _is_worth_it(code: CodeType) -> bool:
    """Whether there is something to convert: a jump, ``not``, or a call."""
    for instruction in dis.get_instructions(code):
        name = instruction.opname
        if "JUMP" in name or name in ("UNARY_NOT", "FOR_ITER") or "CALL" in name:
            return True
    return False


@lru_cache(maxsize=4096)
def _converted(code: CodeType, filename: str) -> Converted | None:
    """The conversion of a code object; None if it is to be left alone.

    Kept, because code objects never change. The file's name is part of the key: equal
    code of two files is equal.
    """
    if code.co_flags & _GENERATORS or not _is_worth_it(code):
        return None
    node = find_function(code)
    if node is None:
        return None
    name = "lambda__" if isinstance(node, ast.Lambda) else node.name
    tree = transform(node, name, _owner(code))
    free = [n for n in code.co_freevars if n != RUNTIME]
    try:
        made = _compiled(tree, [*free, RUNTIME], filename)
    except SyntaxError:
        return None  # scoping that moved statements cannot keep: it runs as it is
    made = _named(made, code.co_name).replace(co_qualname=code.co_qualname)
    return Converted(made, ast.unparse(tree))


def _named(code: CodeType, name: str) -> CodeType:
    """The code and its parts under the function's name, as tracebacks show it."""
    consts = [
        _named(c, name) if isinstance(c, CodeType) and is_converted_part(c) else c
        for c in code.co_consts
    ]
    return code.replace(co_name=name, co_consts=tuple(consts))


def _owner(code: CodeType) -> str:
    """The class in whose body a function is written, or ""."""
    parts = code.co_qualname.split(".")
    return parts[-2] if len(parts) > 1 and parts[-2] != "<locals>" else ""


def _compiled(tree: ast.FunctionDef, free: list[str], filename: str) -> CodeType:
    """The code of a function that has `free` as closure variables."""
    arguments = ast.arguments([], [ast.arg(n) for n in free], None, [], [], None, [])
    around = ast.FunctionDef("around__", arguments, [tree], [], None, None)
    ast.copy_location(around, tree)
    module = ast.fix_missing_locations(ast.Module([around], []))
    outer = _inner_code(compile(module, filename, "exec"), "around__")
    return _inner_code(outer, tree.name)


def _inner_code(code: CodeType, name: str) -> CodeType:
    return next(
        c for c in code.co_consts if isinstance(c, CodeType) and c.co_name == name
    )


class Converter:
    """Converts functions; converted code finds its operators in `runtime`.

    Args:
        runtime: the module of the operators.
    """

    def __init__(self, runtime: ModuleType) -> None:
        self._cell = CellType(runtime)

    def __call__(self, function: Any) -> Any:
        """What to call in place of `function`: itself, or its conversion.

        Functions, methods, partial objects and callable objects of the user's are
        converted; those of the framework and of libraries are not.
        """
        if isinstance(function, FunctionType):
            return self._function(function)
        if isinstance(function, MethodType):
            inner = self(function.__func__)
            same = inner is function.__func__
            return function if same else MethodType(inner, function.__self__)
        if isinstance(function, functools.partial):
            inner = self(function.func)
            return functools.partial(inner, *function.args, **function.keywords)
        return self._object(function)

    def _object(self, function: Any) -> Any:
        """An instance of a class of the user's that can be called."""
        if isinstance(function, type):
            return function
        call = inspect.getattr_static(type(function), "__call__", None)
        if not isinstance(call, FunctionType):
            return function
        inner = self._function(call)
        return function if inner is call else MethodType(inner, function)

    def _function(self, function: FunctionType) -> FunctionType:
        code = function.__code__
        if getattr(function, _MARK, False) or not is_user_file(code.co_filename):
            return function
        found = _converted(code, code.co_filename)
        return function if found is None else self._made(function, found.code)

    def _made(self, function: FunctionType, code: CodeType) -> FunctionType:
        cells = dict(
            zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        )
        cells[RUNTIME] = self._cell
        made = FunctionType(
            code,
            function.__globals__,
            function.__name__,
            function.__defaults__,
            tuple(cells[name] for name in code.co_freevars),
        )
        made.__kwdefaults__ = function.__kwdefaults__
        made.__dict__.update(function.__dict__)
        made.__dict__[_MARK] = True
        return made


def do_not_convert(function: Any) -> Any:
    """Leave a function's control flow as it is; a decorator."""
    setattr(function, _MARK, True)
    return function


def to_code(function: Any) -> str:
    """The converted source of a function, or of what `jf.function` compiles.

    Raises:
        ArgumentError: if there is nothing to convert, or the source is not at hand.
    """
    target = getattr(function, "python_function", function)
    target = getattr(target, "__func__", target)
    code = getattr(target, "__code__", None)
    found = None if code is None else _converted(code, code.co_filename)
    if found is None:
        raise ArgumentError(
            f"{getattr(function, '__name__', function)!r} is not converted",
            cause="it has no control flow and no calls, or its source is not at hand",
            fix="functions typed at a plain Python prompt have no source: put them in "
            "a file, or use jf.cond, jf.while_loop and jf.scan",
        )
    return found.text
