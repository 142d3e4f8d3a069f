"""The scalar expressions that ops emit mean what `evaluate` computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import compiler.ops  # noqa: F401
from compiler.ir import op as op_table
from compiler.ir.builder import infer_types
from compiler.ir.index_map import Affine
from compiler.ir.op import Kind, Op
from compiler.ir.types import DType, TensorType, dtype_of, type_of_array
from compiler.kernels import numpy_scalar
from compiler.kernels.expr import Expr, ScalarBuilder
from compiler.kernels.scalar_math import FUNCTIONS
from tests.op_samples import ALL, Sample

TABLE = op_table.table()


class ProbeBuilder(ScalarBuilder):
    """Evaluates the indices of a whole result at once; reads become variables."""

    def __init__(self, inputs: list[np.ndarray]) -> None:
        self.inputs = inputs
        self.env: dict[str, np.ndarray] = {}

    def _name(self, value: np.ndarray) -> Expr:
        name = f"v{len(self.env)}"
        self.env[name] = value
        return self.var(name, dtype_of(value.dtype))

    def read(self, operand: int, index: Any) -> Expr:
        """The elements at an index; every index must lie inside."""
        x = self.inputs[operand]
        parts = [self._array(i) for i in index]
        for part, size in zip(parts, x.shape, strict=True):
            assert np.all((part >= 0) & (part < size))
        return self._name(np.asarray(x[tuple(parts)]))

    def read_flat(self, operand: int, position: Any) -> Expr:
        """The elements at a row-major position."""
        return self._name(self.inputs[operand].ravel()[self._array(position)])

    def flatten(self, index: Any, shape: Any) -> np.ndarray:
        """Row-major position."""
        position = np.int64(0)
        for i, size in zip(index, shape, strict=True):
            position = position * size + self._array(i)
        return position

    @staticmethod
    def _array(index: Any) -> Any:
        if isinstance(index, Affine):
            assert not index.terms
            return np.asarray(index.offset)
        return np.asarray(index)

    def position(self, index: Any) -> Expr:
        """An index as a value."""
        return self._name(self._array(index).astype(np.int64))

    def dim(self, d: int) -> Affine:
        """A dimension as an index."""
        return Affine({}, d)

    def clamp_index(self, index: Any, low: int, high: int) -> np.ndarray:
        """An index limited to [low, high]."""
        return np.clip(self._array(index), low, high)

    def read_index(self, operand: int, index: Any) -> np.ndarray:
        """Elements of an integer operand as an index."""
        parts = [self._array(i) for i in index]
        return np.asarray(self.inputs[operand][tuple(parts)]).astype(np.int64)

    def within(self, index: Any, extent: int) -> Expr:
        """Whether an index lies in [0, extent)."""
        place = self._array(index)
        return self._name(np.asarray((place >= 0) & (place < extent)))

    def where(self, condition: Expr, a: Expr, b: Expr) -> Expr:
        """One of two values."""
        return self.select(condition, a, b)

    def floordiv(self, index: Any, n: int) -> np.ndarray:
        """Quotient as C has it."""
        return np.trunc(self._array(index) / n).astype(np.int64)

    def mod(self, index: Any, n: int) -> np.ndarray:
        """Remainder as C has it."""
        return np.fmod(self._array(index), n)


def function_limits(expr: Expr, seen: dict[int, float]) -> float:
    """The sum of the error bounds of the functions an expression calls."""
    if id(expr) not in seen:
        seen[id(expr)] = 0.0
        own = 0.0
        if expr.op == "call":
            own = FUNCTIONS[expr.attr, expr.dtype].max_ulp
        seen[id(expr)] = own + sum(function_limits(a, seen) for a in expr.args)
    return seen[id(expr)]


def has_complex(*dtypes: DType) -> bool:
    return any(d.is_complex for d in dtypes)


def attr_dtypes(attrs: dict[str, Any]) -> list[DType]:
    found = [v for v in attrs.values() if isinstance(v, DType)]
    found += [v.dtype for v in attrs.values() if isinstance(v, TensorType)]
    return found + [
        dtype_of(v.array.dtype) for v in attrs.values() if hasattr(v, "array")
    ]


def emits(op: Op, sample: Sample) -> bool:
    dtypes = [dtype_of(x.dtype) for x in sample.inputs] + attr_dtypes(sample.attrs)
    return op.emit is not None and not has_complex(*dtypes)


CASES = [
    pytest.param(TABLE[name], sample, id=f"{name}-{i}")
    for name, samples in sorted(ALL.items())
    for i, sample in enumerate(samples)
    if emits(TABLE[name], sample)
]


def emitted(op: Op, sample: Sample, out: TensorType) -> tuple[Expr, dict]:
    """The expression of the whole result, and the arrays of its variables."""
    k = ProbeBuilder(list(sample.inputs))
    if op.kind is Kind.ELEMENTWISE:
        names = [k._name(x) for x in sample.inputs]
        return op.emit(k, *names, **sample.attrs), k.env
    index = tuple(np.indices(out.shape, dtype=np.int64))
    types = [type_of_array(x) for x in sample.inputs]
    return op.emit(k, index, types, out, **sample.attrs), k.env


# Kernels reduce angles up to this size exactly enough; beyond, any answer in the range.
PERIODIC = {"sine", "cosine", "tan"}
PERIODIC_RANGE = 1e5


def assert_equal(
    actual: np.ndarray, expected: np.ndarray, ulp: float, atol: float = 0.0
) -> None:
    assert actual.dtype == expected.dtype
    if actual.dtype.kind in "biu":
        np.testing.assert_array_equal(actual, expected)
        return
    if ulp == 0:  # NaN equals NaN, and signs of zeros count
        actual, expected = actual.astype(np.float64), expected.astype(np.float64)
        np.testing.assert_array_equal(actual, expected)
        zeros = expected == 0
        np.testing.assert_array_equal(
            np.signbit(actual[zeros]), np.signbit(expected[zeros])
        )
        return
    eps = 2.0**-7 if actual.dtype.kind == "V" else np.finfo(actual.dtype).eps
    wide = np.float64
    tiny = 2.0**-23 if actual.dtype.itemsize == 2 else 1e-44 if eps > 1e-10 else 0
    np.testing.assert_allclose(
        actual.astype(wide),
        expected.astype(wide),
        rtol=(ulp + 2) * eps,
        atol=max(tiny, atol),
    )


@pytest.mark.parametrize(
    ("op", "sample"), [c for c in CASES if c.values[0].kind is not Kind.REDUCTION]
)
def test_emit_equals_evaluate(op: Op, sample: Sample) -> None:
    types = tuple(type_of_array(x) for x in sample.inputs)
    (out,) = infer_types(op, types, sample.attrs)
    if out.size == 0 or (out.rank and op.name == "constant"):
        return
    with np.errstate(all="ignore"):
        expected = op.evaluate(*sample.inputs, **sample.attrs)
        expr, env = emitted(op, sample, out)
        assert expr.dtype is out.dtype
        actual = numpy_scalar.evaluate(expr, env)
    actual = np.broadcast_to(actual, out.shape)
    if op.name in PERIODIC:
        covered = ~(np.abs(sample.inputs[0].astype(np.float64)) > PERIODIC_RANGE)
        actual, expected = actual[covered], expected[covered]
    assert_equal(actual, expected, function_limits(expr, {}), sample.atol)


@pytest.mark.parametrize(
    ("op", "sample"), [c for c in CASES if c.values[0].kind is Kind.REDUCTION]
)
def test_reducers_fold_to_the_reduction(op: Op, sample: Sample) -> None:
    (x,), axes = sample.inputs, sample.attrs["axes"]
    dtype = dtype_of(x.dtype)
    if dtype.name in ("f16", "bf16"):
        return  # kernels accumulate in f32
    k = ScalarBuilder()
    step = k.binary(op.emit.combine, k.var("a", dtype), k.var("b", dtype))
    kept = [i for i in range(x.ndim) if i not in axes]
    rows = x.transpose(*axes, *kept).reshape(
        int(np.prod([x.shape[a] for a in axes])), *(x.shape[i] for i in kept)
    )
    total = np.full(rows.shape[1:], op.emit.identity(dtype), x.dtype)
    for row in rows if rows.size else []:
        total = numpy_scalar.evaluate(step, {"a": total, "b": np.asarray(row)})
    with np.errstate(all="ignore"):
        assert_equal(np.asarray(total), op.evaluate(x, axes=axes), 8)
