"""Reading graph text back: the inverse of `compiler.ir.printer`.

::

    graph   = "graph" name "(" [param {"," param}] ")" "->" "(" [types] ")"
              ["aliases" "{" int ":" int {"," ...} "}"] "{" {node} return "}"
    param   = value ":" type
    node    = [values "="] op "(" [values] ")" ["{" key "=" attr {"," ...} "}"]
              ":" types ["#" file ":" line [scope]]
    return  = "return" [values]

The types written at a node are compared with what the op's `infer` gives. Spaces and
line breaks are free; a comment that is no location is skipped.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import json
import re
from collections.abc import Callable, Mapping
from math import prod
from typing import Any, NoReturn, TypeVar

import numpy as np

from compiler.errors import CompilerError, ParseError
from compiler.ir import op as op_table
from compiler.ir.builder import infer_types
from compiler.ir.dims import parse_dim
from compiler.ir.location import UNKNOWN, Location
from compiler.ir.node import Graph, Literal, Node, Value
from compiler.ir.op import Op
from compiler.ir.printer import (
    PLAIN_NAME,
    component_dtype,
    element_from_text,
    quoted_name,
)
from compiler.ir.types import ALL_DTYPES, DType, TensorType, f64, parse_type
from compiler.ir.verify import verify

T = TypeVar("T")

_SPACE = re.compile(r"(?:\s+|#[^\n]*)*")
_TRAILING_COMMENT = re.compile(r"[ \t]*#[ \t]*([^\n]*)")
_LOCATION = re.compile(r"(?:-|(.*?):(\d+))(?: (.*))?")
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_NUMBERED = re.compile(r"%\d+(?!\w)")
_WORD = re.compile(r"[A-Za-z_]\w*")
_INT = re.compile(r"-?\d+")
_ELEMENT = re.compile(r"[-+]?\w[\w.]*(?:(?<=[eE])[-+]\d+)?")
_TYPE = re.compile(r"[A-Za-z_]\w*\[[^\]\n]*\]")
_FLOAT = re.compile(
    r"0x[0-9a-fA-F]+|[-+]?(?:\d+\.\d*(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|(?:inf|nan)(?!\w))"
)
_DIM = re.compile(r"-?\w+(?:[*+-]\w+)*")
_CONSTANTS: Mapping[str, Any] = {"true": True, "false": False, "none": None}
_DTYPES: Mapping[str, DType] = {d.name: d for d in ALL_DTYPES}


def parse_graph(text: str, filename: str = "") -> Graph:
    """The graph that `text` describes.

    Args:
        text: readable or canonical graph text.
        filename: named in errors.

    Raises:
        ParseError: with line and column, the line and a caret.
    """
    source = _Source(text, filename)
    graph = _GraphParser(source).graph()
    if source.rest():
        source.fail("text after the end of the graph")
    return graph


class _Source:
    """A position in a text, and the lexical steps from there."""

    def __init__(self, text: str, filename: str) -> None:
        self.text = text
        self.filename = filename
        self.position = 0

    def next(self) -> int:
        """The position of what follows spaces and comments."""
        match = _SPACE.match(self.text, self.position)
        return match.end() if match else self.position

    def skip(self) -> int:
        """Go over spaces and comments; the position then."""
        self.position = self.next()
        return self.position

    def rest(self) -> str:
        return self.text[self.skip() :]

    def sees(self, word: str) -> bool:
        """Whether `word` follows; a name must end there. Does not move."""
        start = self.next()
        if not self.text.startswith(word, start):
            return False
        after = self.text[start + len(word) : start + len(word) + 1]
        return not (word[-1].isalnum() and (after.isalnum() or after == "_"))

    def accept(self, word: str) -> bool:
        if not self.sees(word):
            return False
        self.position = self.next() + len(word)
        return True

    def expect(self, word: str) -> None:
        if not self.accept(word):
            self.fail(f"expected {word!r}")

    def accept_pattern(self, pattern: re.Pattern[str]) -> str | None:
        match = pattern.match(self.text, self.skip())
        if match is None:
            return None
        self.position = match.end()
        return match[0]

    def expect_pattern(self, pattern: re.Pattern[str], what: str) -> str:
        found = self.accept_pattern(pattern)
        return self.fail(f"expected {what}") if found is None else found

    def comment(self) -> str:
        """The comment on the rest of this line, which is consumed."""
        match = _TRAILING_COMMENT.match(self.text, self.position)
        if match is None:
            return ""
        self.position = match.end()
        return match[1].strip()

    def listed(self, item: Callable[[], T], end: str) -> list[T]:
        """Items with commas between them, up to and including `end`."""
        items: list[T] = []
        while not self.accept(end):
            if items:
                self.expect(",")
                if self.accept(end):
                    break
            items.append(item())
        return items

    def fail(self, message: str, at: int | None = None, fix: str = "") -> NoReturn:
        at = min(self.skip() if at is None else at, len(self.text))
        start = self.text.rfind("\n", 0, at) + 1
        line = self.text[start:].split("\n", 1)[0]
        number, column = self.text.count("\n", 0, at) + 1, at - start + 1
        place = f"{number}:{column}"
        raise ParseError(
            f"{message}\n  {line}\n  {' ' * (column - 1)}^",
            where=f"{self.filename}:{place}" if self.filename else f"line {place}",
            fix=fix,
        )


class _GraphParser:
    """Reads one graph; a nested graph has a parser, and names, of its own."""

    def __init__(self, source: _Source) -> None:
        self.source = source
        self.values: dict[str, Value] = {}

    def graph(self) -> Graph:
        source = self.source
        start = source.skip()
        source.expect("graph")
        name = self.name()
        source.expect("(")
        params = source.listed(self.parameter, ")")
        source.expect("->")
        source.expect("(")
        types = tuple(source.listed(self.type, ")"))
        aliases = self.aliases()
        source.expect("{")
        body = []
        while not source.sees("return"):
            body.append(self.node())
        outputs = self.returned(types)
        source.expect("}")
        graph = Graph(name, params, [*params, *body], outputs, aliases)
        self.verify(graph, start)
        return graph

    def verify(self, graph: Graph, at: int) -> None:
        try:
            verify(graph, set(graph.nodes))  # every node was inferred when it was read
        except CompilerError as error:
            self.source.fail(error.message, at)

    def name(self) -> str:
        text = self.source.accept_pattern(_STRING)
        if text is not None:
            return self.unquoted(text)
        return self.source.expect_pattern(PLAIN_NAME, "a name")

    def unquoted(self, text: str) -> str:
        try:
            return json.loads(text)
        except ValueError as error:
            self.source.fail(f"not a string: {error}", self.source.position - len(text))

    def parameter(self) -> Node:
        start = self.source.skip()
        self.source.expect("%")
        name = self.name()
        self.source.expect(":")
        type_ = self.type()
        attrs = {"name": name, "type": type_}
        node = Node(op_table.get("parameter"), (), attrs, (type_,))
        self.define("%" + quoted_name(name), node.output, start)
        return node

    def type(self) -> TensorType:
        start = self.source.skip()
        text = self.source.expect_pattern(_TYPE, "a type such as f32[B,784]")
        try:
            return parse_type(text)
        except ValueError as error:
            self.source.fail(str(error), start)

    def aliases(self) -> dict[int, int]:
        if not self.source.accept("aliases"):
            return {}
        self.source.expect("{")
        return dict(self.source.listed(self.alias, "}"))

    def alias(self) -> tuple[int, int]:
        result = int(self.source.expect_pattern(_INT, "a result number"))
        self.source.expect(":")
        return result, int(self.source.expect_pattern(_INT, "a parameter number"))

    def returned(self, types: tuple[TensorType, ...]) -> list[Value]:
        start = self.source.skip()
        self.source.expect("return")
        outputs = [] if self.source.sees("}") else self.operands_until(None)
        given = tuple(v.type for v in outputs)
        if given != types:
            self.source.fail(
                f"the graph returns {_types_text(given)}, its header says "
                f"{_types_text(types)}",
                start,
            )
        return outputs

    def define(self, name: str, value: Value, at: int) -> None:
        if name in self.values:
            self.source.fail(f"{name} is defined twice", at)
        self.values[name] = value

    def value_name(self) -> str:
        number = self.source.accept_pattern(_NUMBERED)
        if number is not None:
            return number
        self.source.expect("%")
        return "%" + quoted_name(self.name())

    def operand(self) -> Value:
        start = self.source.skip()
        name = self.value_name()
        value = self.values.get(name)
        if value is None:
            self.source.fail(
                f"{name} is not defined", start, _did_you_mean(name, self.values)
            )
        return value

    def operands_until(self, end: str | None) -> list[Value]:
        if end is not None:
            return self.source.listed(self.operand, end)
        values = [self.operand()]
        while self.source.accept(","):
            values.append(self.operand())
        return values

    def node(self) -> Node:
        source = self.source
        start = source.skip()
        names = self.result_names()
        at = source.skip()
        record = self.op()
        source.expect("(")
        inputs = self.operands_until(")")
        attrs = dict(source.listed(self.attribute, "}")) if source.accept("{") else {}
        source.expect(":")
        types = self.annotated_types()
        self.check_types(record, inputs, attrs, types, at)
        loc, scope = _parse_comment(source.comment())
        node = Node(record, inputs, attrs, types, loc, scope)
        if len(names) != len(types):
            source.fail(f"{len(names)} names for {len(types)} results", start)
        for name, value in zip(names, node.outputs, strict=True):
            self.define(name, value, start)
        return node

    def result_names(self) -> list[str]:
        if not self.source.sees("%"):
            return []
        names = [self.value_name()]
        while self.source.accept(","):
            names.append(self.value_name())
        self.source.expect("=")
        return names

    def op(self) -> Op:
        start = self.source.skip()
        name = self.source.expect_pattern(_WORD, "an op")
        table = op_table.table()
        if name not in table:
            self.source.fail(f"unknown op {name}", start, _did_you_mean(name, table))
        return table[name]

    def annotated_types(self) -> tuple[TensorType, ...]:
        if self.source.accept("("):
            self.source.expect(")")
            return ()
        types = [self.type()]
        while self.source.accept(","):
            types.append(self.type())
        return tuple(types)

    def check_types(
        self,
        record: Op,
        inputs: list[Value],
        attrs: Mapping[str, Any],
        types: tuple[TensorType, ...],
        at: int,
    ) -> None:
        try:
            inferred = infer_types(record, tuple(v.type for v in inputs), attrs)
        except CompilerError as error:
            self.source.fail(error.message, at, error.fix)
        if inferred != types:
            self.source.fail(
                f"{record.name} gives {_types_text(inferred)}, the text says "
                f"{_types_text(types)}",
                at,
            )

    def attribute(self) -> tuple[str, Any]:
        key = self.source.expect_pattern(_WORD, "the name of an attribute")
        self.source.expect("=")
        return key, self.attr()

    def attr(self) -> Any:
        source = self.source
        start = source.skip()
        if source.accept("["):
            return self.tuple_attr()
        text = source.accept_pattern(_STRING)
        if text is not None:
            return self.unquoted(text)
        if source.sees("graph"):
            return _GraphParser(source).graph()
        text = source.accept_pattern(_FLOAT)
        if text is not None:
            return float(element_from_text(text, f64))
        word = source.accept_pattern(_WORD) or ""
        if word in _CONSTANTS:
            return _CONSTANTS[word]
        if word in _DTYPES:
            return self.dtype_attr(_DTYPES[word], start)
        quoted = word == "dim" and source.accept("(")
        if not quoted:
            source.position = start
        dim = self.dim()
        if quoted:
            source.expect(")")
        return dim

    def tuple_attr(self) -> tuple[Any, ...]:
        first = tuple(self.source.listed(self.attr, "]"))
        if not self.source.text.startswith("x[", self.source.position):
            return first
        self.source.position += 2
        return first, tuple(self.source.listed(self.attr, "]"))

    def dim(self) -> Any:
        start = self.source.skip()
        text = self.source.expect_pattern(_DIM, "the value of an attribute")
        try:
            return parse_dim(text)
        except ValueError as error:
            self.source.fail(str(error), start)

    def dtype_attr(self, dtype: DType, start: int) -> Any:
        """What starts with a dtype: the dtype, a type, or a literal."""
        source = self.source
        type_ = TensorType(dtype, ())
        typed = source.text.startswith("[", source.position)
        if typed:
            source.position = start
            type_ = self.type()
        if source.text.startswith("(", source.position):
            return self.literal(type_, start)
        return type_ if typed else dtype

    def literal(self, type_: TensorType, start: int) -> Literal:
        self.source.expect("(")
        if not type_.is_static:
            self.source.fail("a literal has a fixed shape", start)
        text = self.source.accept_pattern(_STRING)
        array = self.flat(type_) if text is None else self.decoded(type_, text)
        self.source.expect(")")
        count = prod(type_.shape)
        if array.size != count:
            self.source.fail(f"{type_} has {count} elements, given {array.size}", start)
        return Literal(array.reshape(type_.shape))

    def decoded(self, type_: TensorType, text: str) -> np.ndarray:
        start = self.source.position - len(text)
        try:
            data = base64.b64decode(self.unquoted(text), validate=True)
            return np.frombuffer(data, type_.dtype.np)
        except (binascii.Error, ValueError) as error:
            self.source.fail(f"not the bytes of {type_}: {error}", start)

    def flat(self, type_: TensorType) -> np.ndarray:
        elements: list[Any] = []
        self.elements(type_.dtype, elements)
        return np.array(elements, dtype=type_.dtype.np)

    def elements(self, dtype: DType, found: list[Any]) -> None:
        if self.source.accept("["):
            self.source.listed(lambda: self.elements(dtype, found), "]")
        else:
            found.append(self.element(dtype))

    def element(self, dtype: DType) -> Any:
        if dtype.kind != "c":
            return self.real_element(dtype)
        part = component_dtype(dtype)
        pair = np.empty(2, part.np)
        self.source.expect("(")
        pair[0] = self.real_element(part)
        self.source.expect(",")
        pair[1] = self.real_element(part)
        self.source.expect(")")
        return pair.view(dtype.np)[0]

    def real_element(self, dtype: DType) -> Any:
        start = self.source.skip()
        text = self.source.expect_pattern(_ELEMENT, f"an element of type {dtype.name}")
        try:
            return element_from_text(text, dtype)
        except (ValueError, OverflowError):
            self.source.fail(f"{text} is not of type {dtype.name}", start)


def _parse_comment(text: str) -> tuple[Location, str]:
    match = _LOCATION.fullmatch(text)
    if match is None:
        return UNKNOWN, ""
    loc = UNKNOWN if match[2] is None else Location(match[1], int(match[2]))
    return loc, match[3] or ""


def _types_text(types: tuple[TensorType, ...]) -> str:
    return ", ".join(map(str, types)) or "()"


def _did_you_mean(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]}?" if close else ""
