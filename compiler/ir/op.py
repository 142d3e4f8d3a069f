"""The op record: everything the system knows about one op, in one place.

A record is made once, at import, by the file of `compiler.ops` that owns the op. Every
field is written; one that does not apply is ``None`` on purpose.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from compiler.errors import CompilerError, UnknownOpError


class Kind(enum.Enum):
    """How an op behaves in fusion and lowering."""

    LEAF = "leaf"  # no tensor operand is read element by element: constant, iota, rng
    ELEMENTWISE = "elementwise"  # out[i] = f(x[i], y[i], ...), equal shapes
    INDEXING = "indexing"  # out[i] = x[map(i)], or a choice between such reads
    REDUCTION = "reduction"  # sums, products, extrema over axes
    CONTRACTION = "contraction"  # dot_general, convolution: library or own kernels
    EXTERN = "extern"  # whole-array routines: sort, gather, linear algebra, fft
    CONTROL = "control"  # ops with graphs in their attributes


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """One op.

    Attributes:
        name: StableHLO name; a method of every builder.
        kind: see `Kind`.
        infer: ``infer(*types, **attrs) -> TensorType | tuple[TensorType, ...]``.
            Raises `TypeInferenceError` with the label of the broken constraint.
            Inference is also verification.
        evaluate: ``evaluate(*arrays, **attrs)`` in NumPy: the meaning of the op.
            Returns an array (or a tuple for several results) of the inferred type.
        vjp: ``vjp(b, g, y, *xs, **attrs)`` gives one cotangent (or None) per operand;
            `g` and `y` are tuples when the op has several results.
        jvp: ``jvp(b, ts, y, *xs, **attrs)`` gives the tangent of the result; a tangent
            that is zero is None in `ts`, and the result is None if all are.
        batch: ``batch(b, xs, dims, **attrs)`` gives ``(result, dim)``; ``dims[i]`` is
            the batch axis of ``xs[i]`` or None. The batch size is that of any operand.
        emit: how a kernel computes it. ELEMENTWISE: ``emit(k, *exprs, **attrs)`` with a
            `ScalarBuilder`. INDEXING and LEAF: see `compiler.ops.indexing`.
        variadic: number of operands is free.
        attrs: names of the attributes, all of them required.
        doc: meaning and labelled constraints, from the record's docstring.
    """

    name: str
    kind: Kind
    infer: Callable[..., Any]
    evaluate: Callable[..., Any]
    vjp: Callable[..., Any] | None
    jvp: Callable[..., Any] | None
    batch: Callable[..., Any] | None
    emit: Any
    attrs: tuple[str, ...]
    doc: str
    differentiable: bool = True

    def __repr__(self) -> str:
        return f"<op {self.name}>"


_FIELDS = ("infer", "evaluate", "vjp", "jvp", "batch", "emit")
# The op table: filled at import by compiler.ops, read-only afterwards.
_TABLE: dict[str, Op] = {}


def define(
    name: str,
    *,
    kind: Kind,
    doc: str,
    attrs: tuple[str, ...] = (),
    differentiable: bool = True,
    **fields: Any,
) -> Op:
    """Make the record of op `name` and enter it in the table.

    Raises:
        CompilerError: if a field is missing or unknown, or the name is taken.
    """
    missing = [f for f in _FIELDS if f not in fields]
    unknown = [f for f in fields if f not in _FIELDS]
    if missing or unknown or name in _TABLE:
        raise CompilerError(
            f"op {name!r}: missing fields {missing}, unknown fields {unknown}, "
            f"already defined: {name in _TABLE}",
            fix="write None for a field that does not apply",
        )
    record = Op(
        name=name,
        kind=kind,
        attrs=tuple(sorted(attrs)),
        doc=doc.strip(),
        differentiable=differentiable,
        **fields,
    )
    _TABLE[name] = record
    return record


def op(
    name: str,
    *,
    kind: Kind,
    attrs: tuple[str, ...] = (),
    differentiable: bool = True,
) -> Callable[[type], Op]:
    """Class decorator: the body's functions are the fields, its docstring the doc."""

    def register(body: type) -> Op:
        fields = {
            key: (value.__func__ if isinstance(value, staticmethod) else value)
            for key, value in vars(body).items()
            if not key.startswith("__")
        }
        return define(
            name,
            kind=kind,
            doc=body.__doc__ or "",
            attrs=attrs,
            differentiable=differentiable,
            **fields,
        )

    return register


def get(name: str) -> Op:
    """The record of an op.

    Raises:
        UnknownOpError: for an unknown name.
    """
    record = _TABLE.get(name)
    if record is None:
        raise UnknownOpError(f"unknown op {name!r}", fix="import compiler.ops first")
    return record


def table() -> Mapping[str, Op]:
    """All op records by name."""
    return dict(_TABLE)
