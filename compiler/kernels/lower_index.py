"""Indices while a kernel is lowered: symbolic first, loop variables afterwards.

While expressions are built, an index is a leaf ``index`` holding an `Affine` over the
dimensions of the domain. When all of them are known, neighbouring dimensions that every
access walks as one are collapsed, and the leaves become arithmetic on loop variables
``i0, i1, ...``, extents ``n0, n1, ...``, strides ``s0, ...`` and offsets ``o0, ...``.
Extents are named by position, never by value, so that one program serves every shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from compiler.ir import types as t
from compiler.ir.dims import Dim, Shape, SymDim, size_of
from compiler.ir.index_map import Affine, flatten
from compiler.ir.node import Value
from compiler.ir.types import DType, TensorType
from compiler.kernels.expr import Expr, ScalarBuilder
from compiler.kernels.loop_program import sub_expressions

K = ScalarBuilder()
I64 = t.i64


def index_leaf(affine: Affine) -> Expr:
    """The unresolved index expression of an affine position."""
    return Expr("index", (), I64, affine)


def int_var(name: str) -> Expr:
    """An i64 scalar: a loop variable or integer parameter."""
    return K.var(name, I64)


class Opaque:
    """An index that is not affine: an i64 expression with index arithmetic."""

    __slots__ = ("expr",)

    def __init__(self, expr: Expr) -> None:
        self.expr = expr

    def __add__(self, other: Any) -> Opaque:
        return Opaque(K.add(self.expr, position_of(other)))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Opaque:
        return Opaque(K.sub(self.expr, position_of(other)))

    def __rsub__(self, other: Any) -> Opaque:
        return Opaque(K.sub(position_of(other), self.expr))

    def __mul__(self, other: Any) -> Opaque:
        return Opaque(K.mul(self.expr, position_of(other)))

    __rmul__ = __mul__


def position_of(index: Any) -> Expr:
    """The i64 expression of an index: affine, opaque, a dimension or an int.

    Sizes become parameters, so that the program serves other sizes too.
    """
    if isinstance(index, Opaque):
        return index.expr
    if isinstance(index, int) and -1 <= index <= 1:
        return K.const(index, I64)
    return index_leaf(index if isinstance(index, Affine) else Affine({}, index))


def linear(index: Sequence[Any], shape: Shape) -> Expr:
    """Row-major position of an index, affine where all its parts are."""
    if all(isinstance(i, Affine) for i in index):
        return index_leaf(flatten(index, shape))
    total: Any = Affine({})
    stride: Dim = 1
    for i, extent in zip(reversed(index), reversed(shape), strict=True):
        if extent != 1:
            total = total + i * stride
        stride = stride * extent
    return position_of(total)


class IndexContext(ScalarBuilder):
    """The ``k`` that indexing ops receive: scalar operations, reads and positions."""

    def __init__(
        self,
        operands: Sequence[Value],
        read: Callable[[Value, tuple], Expr],
        read_flat: Callable[[Value, Any], Expr],
    ) -> None:
        self._operands = operands
        self._read = read
        self._read_flat = read_flat

    def read(self, operand: int, index: Sequence[Any]) -> Expr:
        """The element of an operand at an index."""
        parts = tuple(
            i if isinstance(i, Affine | Opaque) else Affine({}, i) for i in index
        )
        return self._read(self._operands[operand], parts)

    def read_flat(self, operand: int, position: Any) -> Expr:
        """The element of an operand at a row-major position."""
        return self._read_flat(self._operands[operand], position)

    def flatten(self, index: Sequence[Any], shape: Shape) -> Any:
        """Row-major position of an index in a dense array of `shape`."""
        if all(isinstance(i, Affine) for i in index):
            return flatten(index, shape)
        return Opaque(linear(index, shape))

    def position(self, index: Any) -> Expr:
        """An index as an i64 value."""
        return position_of(index)

    def dim(self, d: Dim) -> Affine:
        """A dimension as an index."""
        return Affine({}, d)

    def clamp_index(self, index: Any, low: Any, high: Any) -> Opaque:
        """The index limited to ``[low, high]``."""
        lowered = self.binary("minimum", position_of(index), position_of(high))
        return Opaque(self.binary("maximum", lowered, position_of(low)))

    def read_index(self, operand: int, index: Sequence[Any]) -> Opaque:
        """An element of an integer operand, as an index."""
        return Opaque(self.convert(self.read(operand, index), I64))

    def within(self, index: Any, extent: Any) -> Expr:
        """True where ``0 <= index < extent``."""
        position = position_of(index)
        low = self.binary("ge", position, self.const(0, I64))
        return self.binary("and", low, self.binary("lt", position, position_of(extent)))

    def where(self, condition: Expr, a: Expr, b: Expr) -> Expr:
        """`a` where the condition holds, else `b`; both are computed."""
        return self.select(condition, a, b)

    def floordiv(self, index: Any, n: Any) -> Opaque:
        """Quotient of a non-negative index."""
        return Opaque(self.div(position_of(index), position_of(n)))

    def mod(self, index: Any, n: Any) -> Opaque:
        """Remainder of a non-negative index."""
        return Opaque(self.binary("rem", position_of(index), position_of(n)))


class Nest:
    """The loop nest of a domain: collapsed dimensions and their names.

    Attributes:
        groups: for each loop the domain dimensions it walks, outermost first.
        rows: how many of the loops belong to the row part.
    """

    def __init__(
        self, domain: Shape, split: int | None, leaves: Iterable[Affine]
    ) -> None:
        self.domain = domain
        self.split = split
        self.groups, first_inner = _collapse(domain, split, list(leaves))
        if split is None:
            self.rows = _free_rows([size_of(domain[d] for d in g) for g in self.groups])
        else:
            self.rows = first_inner
        self.extents: list[Dim] = [
            size_of(domain[d] for d in group) for group in self.groups
        ]
        self.params: dict[str, Dim] = {
            f"n{i}": extent for i, extent in enumerate(self.extents)
        }

    @property
    def is_flat(self) -> bool:
        """True when a single loop, the parallel one, walks the whole domain."""
        return self.split is None and len(self.groups) <= 1

    def row_extent(self) -> Dim:
        """Number of iterations of the parallel loop."""
        if self.is_flat:
            return size_of(self.extents)
        return size_of(self.extents[: self.rows])

    def inner_extent(self) -> Dim:
        """Number of domain points of one row."""
        return size_of(self.extents[self.rows :])

    def inner_size(self) -> Expr:
        """`inner_extent` as an expression."""
        return product(self._tail(self.rows - 1, len(self.groups)))

    def resolve(self, affine: Affine) -> Expr:
        """An affine index as arithmetic on loop variables and parameters."""
        total: Expr | None = None
        for i, group in enumerate(self.groups):
            coeff = affine.terms.get(group[-1], 0)
            if coeff != 0:
                term = self._scaled(i, coeff)
                total = term if total is None else K.add(total, term)
        if affine.offset != 0 or total is None:
            offset = self._offset(affine.offset)
            total = offset if total is None else K.add(total, offset)
        return total

    def _scaled(self, loop: int, coeff: Dim) -> Expr:
        var = int_var(f"i{loop}")
        if coeff == 1:
            return var
        for end in (len(self.groups), self.rows):
            if loop < end and coeff == size_of(self.extents[loop + 1 : end]):
                return K.mul(var, product(self._tail(loop, end)))
        return K.mul(var, self._parameter("s", coeff))

    def _tail(self, loop: int, end: int) -> list[Expr]:
        return [int_var(f"n{i}") for i in range(loop + 1, end)]

    def _offset(self, offset: Dim) -> Expr:
        if offset == 0 and isinstance(offset, int):
            return K.const(0, I64)
        return self._parameter("o", offset)

    def _parameter(self, prefix: str, value: Dim) -> Expr:
        """A parameter of its own; equal values of different origin stay apart."""
        name = f"{prefix}{sum(p.startswith(prefix) for p in self.params)}"
        self.params[name] = value
        return int_var(name)


def product(factors: Sequence[Expr]) -> Expr:
    """Product of i64 expressions; 1 for none."""
    if not factors:
        return K.const(1, I64)
    total = factors[0]
    for factor in factors[1:]:
        total = K.mul(total, factor)
    return total


def _collapse(
    domain: Shape, split: int | None, leaves: list[Affine]
) -> tuple[list[list[int]], int]:
    """Runs of dimensions that every access walks as one, and the first inner run."""
    groups: list[list[int]] = []
    first_inner = 0
    for d, extent in enumerate(domain):
        if extent == 1 and not isinstance(extent, SymDim):
            continue
        inner = split is not None and d >= split
        joins = (
            bool(groups)
            and (split is None or inner == (groups[-1][-1] >= split))
            and all(_walks_as_one(a, groups[-1][-1], d, extent) for a in leaves)
        )
        if joins:
            groups[-1].append(d)
        else:
            groups.append([d])
            if not inner:
                first_inner = len(groups)
    return groups, first_inner


# Iterations of the parallel loop that are enough to keep all cores busy.
ENOUGH_ROWS = 16
SIZE_HINT = 128


def _free_rows(extents: list[Dim]) -> int:
    """How many loops make up the parallel one, where nothing fixes it.

    As few as give every core work: each row costs divisions to find its indices. The
    innermost loop is the vector loop and never belongs to it.
    """
    iterations = 1
    for rows, extent in enumerate(extents[:-1], 1):
        iterations *= SIZE_HINT if isinstance(extent, SymDim) else extent
        if iterations >= ENOUGH_ROWS:
            return rows
    return max(len(extents) - 1, 0)


def _walks_as_one(affine: Affine, outer: int, inner: int, extent: Dim) -> bool:
    return affine.terms.get(outer, 0) == affine.terms.get(inner, 0) * extent


class Resolver:
    """Rewrites expressions: index leaves become arithmetic of a `Nest`."""

    def __init__(self, nest: Nest) -> None:
        self._nest = nest
        self._done: dict[int, Expr] = {}
        self._alive: list[Expr] = []
        self._affine: dict[Affine, Expr] = {}

    def __call__(self, root: Expr) -> Expr:
        for expr in sub_expressions([root]):
            if id(expr) in self._done:
                continue
            self._alive.append(expr)
            self._done[id(expr)] = self._one(expr)
        return self._done[id(root)]

    def _one(self, expr: Expr) -> Expr:
        if expr.op == "index":
            return self._index(expr.attr)
        if expr.op == "inner_size":
            return self._nest.inner_size()
        args = tuple(self._done[id(a)] for a in expr.args)
        if all(a is b for a, b in zip(args, expr.args, strict=True)):
            return expr
        return Expr(expr.op, args, expr.dtype, expr.attr)

    def _index(self, affine: Affine) -> Expr:
        found = self._affine.get(affine)
        if found is None:
            found = self._affine[affine] = self._nest.resolve(affine)
        return found


def acc_dtype(dtype: DType) -> DType:
    """The dtype in which values of `dtype` are accumulated."""
    return t.f32 if dtype in (t.f16, t.bf16) else dtype


def element_index(type_: TensorType, position: Expr) -> tuple[Opaque, ...]:
    """Multi-dimensional index of a row-major position (with divisions)."""
    parts: list[Opaque] = []
    rest = position
    for extent in reversed(type_.shape):
        n = position_of(extent)
        parts.append(Opaque(K.binary("rem", rest, n)))
        rest = K.div(rest, n)
    return tuple(reversed(parts))
