"""The table that `Model.summary` prints."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from jitflow.errors import ArgumentError, JitFlowError
from jitflow.keras.backend.call_context import calls, outside_traces
from jitflow.keras.backend.tensors import any_batch, is_shape, symbolic_inputs
from jitflow.keras.ops.operation import infer_outputs

_MAX_WIDTH = 110
_CONNECTED = "Connected to"


def print_summary(
    model: Any,
    *,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    print_fn: Callable[[str], Any] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Sequence[str] | None = None,
) -> None:
    """Print the layers of a model, their output shapes and their parameters.

    See `Model.summary` for the arguments.

    Raises:
        ArgumentError: if `layer_range` names no layers.
    """
    columns = _columns(model, show_trainable)
    rows = _rows(model, columns, expand_nested, layer_range)
    width = line_length or _terminal_width(rows)
    table = _table(columns, rows, _widths(columns, positions, width))
    text = "\n".join([f'Model: "{model.name}"', *table, *_totals(model)])
    (print_fn or print)(text)


def _columns(model: Any, show_trainable: bool) -> list[str]:
    names = ["Layer (type)", "Output Shape", "Param #"]
    if _is_graph(model):
        names.append(_CONNECTED)
    return [*names, "Trainable"] if show_trainable else names


def _is_graph(model: Any) -> bool:
    """Whether the layers are connected otherwise than one after the other."""
    graph = getattr(model, "_graph", None)
    if graph is None:
        return False
    uses = graph.nodes
    return any(len(n.inputs) != 1 for n in uses) or len(uses) + 1 != len(
        graph.operations
    )


# ---------------------------------------------------------------------------- contents


def _rows(
    model: Any, columns: list[str], expand: bool, layer_range: Sequence[str] | None
) -> list[list[str]]:
    shapes = _shapes_by_tracing(model)
    layers = _chosen(model, layer_range)
    rows: list[list[str]] = []
    for layer in layers:
        _add_rows(rows, model, layer, columns, shapes, expand, depth=0)
    return rows


def _add_rows(
    rows: list[list[str]],
    model: Any,
    layer: Any,
    columns: list[str],
    shapes: dict[int, Any],
    expand: bool,
    depth: int,
) -> None:
    indent = "  " * depth + ("└ " if depth else "")
    cells = {
        "Layer (type)": f"{indent}{layer.name} ({type(layer).__name__})",
        "Output Shape": _shape_text(layer, shapes),
        "Param #": _count_text(layer),
        _CONNECTED: _connections(model, layer) if depth == 0 else "",
        "Trainable": _trainable_text(layer),
    }
    rows.append([cells[c] for c in columns])
    inside = getattr(layer, "layers", None) if expand else None
    for inner in inside or ():
        _add_rows(rows, layer, inner, columns, shapes, expand, depth + 1)


def _chosen(model: Any, layer_range: Sequence[str] | None) -> list[Any]:
    layers = list(getattr(model, "operations", None) or model.layers)
    if layer_range is None:
        return layers
    names = [layer.name for layer in layers]
    if len(layer_range) != 2 or any(n not in names for n in layer_range):
        raise ArgumentError(
            f"layer_range: {layer_range!r} are not names of two layers",
            fix=f"layers are: {', '.join(names)}",
        )
    first, last = (names.index(n) for n in layer_range)
    return layers[first : last + 1]


def _shapes_by_tracing(model: Any) -> dict[int, Any]:
    """Output shapes of the layers of a model whose graph is not known."""
    shape = getattr(model, "_call_shapes", None)
    if shape is None or hasattr(model, "_graph"):
        return {}
    inputs = symbolic_inputs(any_batch(shape), model.input_dtype)
    calls.shapes = {}
    try:
        with outside_traces():
            infer_outputs(model, (inputs,), {})
        return calls.shapes
    except (JitFlowError, ValueError, TypeError):
        return {}  # a model that only runs eagerly: its shapes are shown as ?
    finally:
        calls.shapes = None


def _shape_text(layer: Any, shapes: dict[int, Any]) -> str:
    nodes = layer._inbound_nodes
    if nodes:
        found = [t.shape for t in nodes[0].outputs]
        return ", ".join(map(str, found))
    if id(layer) not in shapes:
        return "?"
    shape = shapes[id(layer)]
    return str(shape) if is_shape(shape) else ", ".join(map(str, _each_shape(shape)))


def _each_shape(shapes: Any) -> list[Any]:
    if is_shape(shapes):
        return [shapes]
    values = shapes.values() if isinstance(shapes, dict) else shapes
    return [s for v in values for s in _each_shape(v)]


def _count_text(layer: Any) -> str:
    if not hasattr(layer, "count_params"):
        return "0"
    return f"{layer.count_params():,}" if layer.built else "0 (unbuilt)"


def _trainable_text(layer: Any) -> str:
    if not getattr(layer, "weights", None):
        return "-"
    return "Y" if layer.trainable else "N"


def _connections(model: Any, layer: Any) -> str:
    graph = getattr(model, "_graph", None)
    if graph is None:
        return "-"
    found = []
    for index in graph.kept.get(id(layer), ()):
        for tensor in layer._inbound_nodes[index].inputs:
            operation, node, position = tensor._keras_history
            place = graph.index_in_model(operation, node)
            found.append(f"{operation.name}[{place}][{position}]")
    return ", ".join(found) or "-"


def _totals(model: Any) -> list[str]:
    trained = {id(w) for w in model.trainable_weights}
    weights = model.weights
    parts = [
        ("Total params", weights),
        ("Trainable params", [w for w in weights if id(w) in trained]),
        ("Non-trainable params", [w for w in weights if id(w) not in trained]),
    ]
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and getattr(optimizer, "built", False):
        own = optimizer.variables
        parts[0] = ("Total params", [*weights, *own])
        parts.append(("Optimizer params", own))
    return [f" {name}: {_amount(variables)}" for name, variables in parts]


def _amount(variables: Sequence[Any]) -> str:
    count = sum(prod(v.shape) for v in variables)
    size = sum(prod(v.shape) * v.dtype.itemsize for v in variables)
    return f"{count:,} ({_bytes_text(size)})"


def _bytes_text(size: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} TB"


# ------------------------------------------------------------------------------ layout


def _terminal_width(rows: list[list[str]]) -> int:
    columns = len(rows[0]) if rows else 3
    usual = 76 if columns == 3 else 88
    return min(usual, shutil.get_terminal_size((_MAX_WIDTH, 24)).columns)


def _widths(
    columns: list[str], positions: Sequence[float] | None, width: int
) -> list[int]:
    """Widths of the cells' text, for a table of a width."""
    shares = {"Layer (type)": 8.0, "Output Shape": 6.0, "Param #": 3.5}
    parts = [shares.get(c, 5.0 if c == _CONNECTED else 2.5) for c in columns]
    if positions is not None and len(positions) == len(columns):
        ends = list(positions)
        parts = [b - a for a, b in zip([0.0, *ends[:-1]], ends, strict=True)]
    free = width - 3 * len(columns) - 1
    return [max(len("Param #"), int(free * p / sum(parts))) for p in parts]


def _table(columns: list[str], rows: list[list[str]], widths: list[int]) -> list[str]:
    def line(left: str, fill: str, middle: str, right: str) -> str:
        return left + middle.join(fill * (w + 2) for w in widths) + right

    body: list[str] = []
    for i, row in enumerate(rows):
        body += [line("├", "─", "┼", "┤")] * (i > 0) + _row(row, columns, widths, "│")
    return [
        line("┏", "━", "┳", "┓"),
        *_row(columns, columns, widths, "┃"),
        line("┡", "━", "╇", "┩"),
        *body,
        line("└", "─", "┴", "┘"),
    ]


def _row(
    cells: Sequence[str], columns: list[str], widths: list[int], bar: str
) -> list[str]:
    """The lines of one row; long cells go on in the next line."""
    wrapped = [
        textwrap.wrap(cell, w, subsequent_indent="" if i else _indent(cell)) or [""]
        for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
    ]
    lines = []
    for k in range(max(map(len, wrapped))):
        texts = [
            _aligned(part[k] if k < len(part) else "", column, w)
            for part, column, w in zip(wrapped, columns, widths, strict=True)
        ]
        lines.append(bar + bar.join(f" {t} " for t in texts) + bar)
    return lines


def _indent(cell: str) -> str:
    return " " * (len(cell) - len(cell.lstrip()))


def _aligned(text: str, column: str, width: int) -> str:
    return text.rjust(width) if column == "Param #" else text.ljust(width)
