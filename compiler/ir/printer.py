"""Graph text: readable for people, canonical for cache keys; both parse back.

::

    graph loss(%x: f32[B,784], %w: f32[784,10]) -> (f32[B,10]) aliases {0: 1} {
      %0 = dot_general(%x, %w) {batch=[]x[], contract=[1]x[0]} : f32[B,10]  # mlp.py:14
      return %0
    }

Values of attributes:

=============  =====================================================================
int, float     ``3``, ``0.5``, ``-inf``; a float that no decimal gives back bit for
               bit (a NaN with a payload) is its bits, ``0x7ff8000000000001``
bool, None     ``true``, ``false``, ``none``
str            ``"text"`` with the escapes of JSON
DType, type    ``f32``, ``f32[B,784]``
dimension      ``2*B+1``; ``dim(f32)`` where the symbol is also another word
tuple          ``[1, 0]``; two tuples of ints are ``[1]x[0]``
Literal        ``f32(0.5)``, ``f32[2,2]([[1.0, 2.0], [3.0, 4.0]])``; complex elements
               are ``(re, im)``; from 33 elements on ``f32[99]("base64 of the bytes")``
Graph          its text; a nested graph has names of its own
=============  =====================================================================

A comment ``# file:line scope`` after a node is its location and name scope; a line of
``-`` stands for an unknown location. Canonical text has one line per node, in the order
of a depth-first walk from the results, parameters ``%p0``, values ``%0``, the name
``main``, and neither comments nor nodes that no result needs.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from compiler.errors import CompilerError
from compiler.ir.dims import SymDim
from compiler.ir.node import Graph, Literal, Node, Value
from compiler.ir.rewrite import topological
from compiler.ir.types import ALL_DTYPES, DType, TensorType, dtype_of, f64

# Longest literal that is written element by element.
INLINE_ELEMENTS = 32
# Words that are not the name of a symbol where an attribute is expected.
RESERVED = frozenset(
    ["true", "false", "none", "inf", "nan", "graph", *(d.name for d in ALL_DTYPES)]
)
# A name that needs no quotes after ``%`` or ``graph``.
PLAIN_NAME = re.compile(r"[A-Za-z_][\w./-]*")
_LEADING_WORD = re.compile(r"[A-Za-z_]\w*")
_HEADER_WIDTH = 100
_COMMENT_COLUMN = 88

Names = Mapping[Value, str]


def print_graph(graph: Graph, canonical: bool = False) -> str:
    """The text of `graph`, ending in a newline; `parse_graph` reads it back."""
    return "\n".join(_graph_lines(graph, canonical)) + "\n"


def print_node(node: Node, names: Names, canonical: bool = False) -> str:
    """One node without its comment; values that `names` lacks are ``%?``."""
    operands = ", ".join([names.get(v, "%?") for v in node.inputs])
    results = ", ".join([names.get(v, "%?") for v in node.outputs])
    types = ", ".join([repr(v.type) for v in node.outputs]) or "()"
    attrs = _attrs_text(node.attrs, canonical)
    equals = " = " if results else ""
    return f"{results}{equals}{node.op.name}({operands}){attrs} : {types}"


def print_excerpt(graph: Graph, center: int, radius: int = 5) -> str:
    """The nodes around position `center`, which is marked; for error messages.

    Works for graphs that are not well formed.
    """
    names = value_names(graph, graph.nodes, canonical=False)
    first = max(0, center - radius)
    lines = []
    for i, node in enumerate(graph.nodes[first : center + radius + 1], first):
        mark = ">" if i == center else " "
        lines.append(f"{mark} {print_node(node, names)}{_comment(node)}")
    return "\n".join(lines)


def value_names(graph: Graph, nodes: Iterable[Node], canonical: bool) -> Names:
    """What every value is called in the text: ``%x`` or ``%3``."""
    names: dict[Value, str] = {}
    used: set[str] = set()
    for i, param in enumerate(graph.params):
        name = f"p{i}" if canonical else _unused(str(param.attrs.get("name", "")), used)
        used.add(name)
        names.update((v, "%" + quoted_name(name)) for v in param.outputs)
    values = (v for node in nodes for v in node.outputs if v not in names)
    names.update((v, f"%{i}") for i, v in enumerate(values))
    return names


def quoted_name(name: str) -> str:
    """`name` as it is when it reads as one word, else in quotes."""
    return name if PLAIN_NAME.fullmatch(name) else json.dumps(name)


def _unused(name: str, used: set[str]) -> str:
    candidate, i = name, 0
    while candidate in used:
        i += 1
        candidate = f"{name}.{i}"
    return candidate


def _graph_lines(graph: Graph, canonical: bool) -> list[str]:
    nodes = topological(graph.outputs, graph.params) if canonical else graph.nodes
    names = value_names(graph, nodes, canonical)
    params = set(graph.params)
    body = [n for n in nodes if n not in params]
    lines = ["  " + print_node(n, names, canonical) for n in body]
    if not canonical:
        lines = _with_comments(lines, [_comment(n) for n in body])
    outputs = ", ".join([names.get(v, "%?") for v in graph.outputs])
    return [
        *_header(graph, names, canonical),
        *lines,
        f"  return {outputs}".rstrip(),
        "}",
    ]


def _header(graph: Graph, names: Names, canonical: bool) -> list[str]:
    name = "main" if canonical else quoted_name(graph.name)
    params = [
        f"{names.get(v, '%?')}: {v.type}" for p in graph.params for v in p.outputs
    ]
    results = ", ".join(map(repr, graph.output_types))
    aliases = ", ".join(f"{o}: {i}" for o, i in sorted(graph.aliases.items()))
    tail = f") -> ({results}){f' aliases {{{aliases}}}' if aliases else ''} {{"
    line = f"graph {name}({', '.join(params)}{tail}"
    if canonical or len(line) <= _HEADER_WIDTH or not params:
        return [line]
    return [
        f"graph {name}(",
        *(f"    {p}," for p in params[:-1]),
        f"    {params[-1]}",
        tail,
    ]


def _with_comments(lines: list[str], comments: list[str]) -> list[str]:
    widths = [_last_width(s) for s, c in zip(lines, comments, strict=True) if c]
    column = max([w for w in widths if w <= _COMMENT_COLUMN], default=0)
    return [
        s + " " * (column - _last_width(s)) + c if c else s
        for s, c in zip(lines, comments, strict=True)
    ]


def _last_width(text: str) -> int:
    return len(text) - text.rfind("\n") - 1


def _comment(node: Node) -> str:
    if not node.loc.line and not node.scope:
        return ""
    place = str(node.loc) if node.loc.line else "-"
    # One line, one space between words: what the parser reads back is the same.
    return "  # " + " ".join(f"{place} {node.scope}".split())


def _attrs_text(attrs: Mapping[str, Any], canonical: bool) -> str:
    if not attrs:
        return ""
    parts = [f"{key}={attr_text(attrs[key], canonical)}" for key in sorted(attrs)]
    return " {" + ", ".join(parts) + "}"


def attr_text(value: Any, canonical: bool = False) -> str:
    """The text of one attribute value; the table is in the module docstring.

    Raises:
        CompilerError: for a value that an attribute cannot have.
    """
    if isinstance(value, tuple):
        return _tuple_text(value, canonical)
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, SymDim):
        return _dim_text(value)
    if isinstance(value, (DType, TensorType)):
        return repr(value)
    if isinstance(value, Literal):
        return _literal_text(value.array)
    if isinstance(value, (float, np.floating)):
        return element_text(np.float64(value), f64)
    if isinstance(value, Graph):
        return "\n    ".join(_graph_lines(value, canonical))
    if value is None:
        return "none"
    raise CompilerError(
        f"an attribute cannot be {type(value).__name__}: {value!r}",
        fix="use int, float, str, bool, None, DType, TensorType, SymDim, Literal, "
        "Graph, or a tuple of these",
    )


def _tuple_text(value: tuple[Any, ...], canonical: bool) -> str:
    if len(value) == 2 and all(map(_is_int_tuple, value)):
        return "x".join(_tuple_text(v, canonical) for v in value)
    return "[" + ", ".join([attr_text(v, canonical) for v in value]) + "]"


def _is_int_tuple(value: Any) -> bool:
    return isinstance(value, tuple) and all(
        isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in value
    )


def _dim_text(dim: SymDim) -> str:
    text = str(dim)
    word = _LEADING_WORD.match(text)
    return f"dim({text})" if word and word[0] in RESERVED else text


def _literal_text(array: np.ndarray) -> str:
    dtype = dtype_of(array.dtype)
    if array.ndim == 0:
        return f"{dtype.name}({element_text(array[()], dtype)})"
    shape = ",".join(map(str, array.shape))
    if array.size > INLINE_ELEMENTS:
        data = '"' + base64.b64encode(array.tobytes()).decode() + '"'
    else:
        data = _nested_text(array, dtype)
    return f"{dtype.name}[{shape}]({data})"


def _nested_text(array: np.ndarray, dtype: DType) -> str:
    if array.ndim == 0:
        return element_text(array[()], dtype)
    return "[" + ", ".join([_nested_text(a, dtype) for a in array]) + "]"


def element_text(value: Any, dtype: DType) -> str:
    """One element of a literal; `element_from_text` gives the same bits back."""
    if dtype.kind == "b":
        return "true" if value else "false"
    if dtype.kind in "iu":
        return str(int(value))
    if dtype.kind == "c":
        part = component_dtype(dtype)
        return f"({element_text(value.real, part)}, {element_text(value.imag, part)})"
    bits = value.tobytes()
    for text in (str(value), repr(float(value))):
        if element_from_text(text, dtype).tobytes() == bits:
            return text if re.search("[.enf]", text) else text + ".0"
    return "0x" + bits[::-1].hex()


def component_dtype(dtype: DType) -> DType:
    """The dtype of the real part of a complex dtype."""
    return dtype_of(np.zeros((), dtype.np).real.dtype)


def element_from_text(text: str, dtype: DType) -> Any:
    """The NumPy scalar that a word stands for: ``0.5``, ``-inf``, ``0x7fc00001``.

    Raises:
        ValueError, OverflowError: if the word is not such an element.
    """
    if dtype.kind == "b":
        return np.bool_(("false", "true").index(text))
    if dtype.kind in "iu":
        return _checked_int(int(text, 0), dtype)
    if text.startswith("0x"):
        raw = bytes.fromhex(text[2:].zfill(2 * dtype.itemsize))[::-1]
        return np.frombuffer(raw, dtype.np, count=1)[0]
    with np.errstate(all="ignore"):
        return np.asarray(float(text)).astype(dtype.np)[()]


def _checked_int(value: int, dtype: DType) -> Any:
    bits = dtype.itemsize * 8
    low = -(1 << (bits - 1)) if dtype.kind == "i" else 0
    if not low <= value < low + (1 << bits):
        raise OverflowError(f"{value} does not fit {dtype.name}")
    return dtype.np.type(value)
