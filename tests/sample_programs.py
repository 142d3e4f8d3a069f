"""Loop programs written by hand, which the emitters' tests compile and run."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np

from compiler import driver
from compiler.ir import types as t
from compiler.ir.builder import GraphBuilder
from compiler.ir.types import DType, TensorType
from compiler.kernels import native
from compiler.kernels.expr import BINARY, COMPARE, Expr, ScalarBuilder
from compiler.kernels.loop_program import (
    Accumulate,
    Accumulator,
    Buffer,
    For,
    Let,
    LoopProgram,
    Statement,
    Store,
    load,
    verify_program,
)
from compiler.kernels.lower import LoweredKernel

K = ScalarBuilder()
FLOATS = (t.f16, t.bf16, t.f32, t.f64)
REAL = tuple(d for d in t.ALL_DTYPES if not d.is_complex)


def var(name: str) -> Expr:
    """An integer variable."""
    return K.var(name, t.i64)


def zero() -> Expr:
    """Start of most loops."""
    return K.const(0, t.i64)


def at(row: Expr, width: Expr, column: Expr) -> Expr:
    """Position of an element of a matrix."""
    return K.add(K.mul(row, width), column)


def rows(*body: Statement, parallel: bool = False) -> For:
    """The outer loop."""
    return For("i0", var("lo"), var("hi"), body, parallel)


def columns(*body: Statement, parallel: bool = True) -> For:
    """A loop over the ``n1`` columns."""
    return For("i1", zero(), var("n1"), body, parallel)


def program(name: str, buffers: Sequence[Buffer], *body: Statement) -> LoopProgram:
    """A verified program with the integer parameter ``n1``."""
    made = LoopProgram(name, tuple(buffers), ("n1",), body)
    verify_program(made)
    return made


def broadcast(dtype: DType = t.f32) -> LoopProgram:
    """``out0[r, c] = tanh(x0[r, c] * x1[c] + 0.5)``, computed in at least f32."""
    x0, x1 = Buffer("x0", dtype, "in"), Buffer("x1", dtype, "in")
    place = at(var("i0"), var("n1"), var("i1"))
    total = K.fma(load(x0, place), load(x1, var("i1")), K.const(0.5, dtype))
    wide = K.convert(total, t.f64 if dtype is t.f64 else t.f32)
    value = K.convert(K.call("tanh", wide), dtype)
    store = Store("out0", place, value)
    out = Buffer("out0", dtype, "out")
    return program("broadcast", (x0, x1, out), rows(columns(store)))


def softmax() -> LoopProgram:
    """Softmax of each row, in three stages."""
    x0, out = Buffer("x0", t.f32, "in"), Buffer("out0", t.f32, "out")

    def element() -> Expr:
        return load(x0, at(var("i0"), var("n1"), var("i1")))

    def shifted() -> Expr:
        return K.call("exponential", K.sub(element(), K.var("r0", t.f32)))

    share = K.div(shifted(), K.var("r1", t.f32))
    body = rows(
        Accumulator("r0", K.const(-np.inf, t.f32)),
        columns(Accumulate("r0", "maximum", element())),
        Accumulator("r1", K.const(0.0, t.f32)),
        columns(Accumulate("r1", "add", shifted())),
        columns(Store("out0", at(var("i0"), var("n1"), var("i1")), share)),
    )
    return program("softmax", (x0, out), body)


def column_sums() -> LoopProgram:
    """``part0[chunk, c] = sum of x0[r, c]`` over the rows of the chunk."""
    x0, part = Buffer("x0", t.f32, "in"), Buffer("part0", t.f32, "partial")
    place = at(var("chunk"), var("n1"), var("i1"))
    element = load(x0, at(var("i0"), var("n1"), var("i1")))
    total = K.add(load(part, place), element)
    return program(
        "column_sums",
        (x0, part),
        columns(Store("part0", place, K.const(0.0, t.f32))),
        rows(columns(Store("part0", place, total))),
    )


def total_of_rows() -> LoopProgram:
    """``part0[chunk]``: sum over rows of the row's largest element, in a flat sum."""
    x0, part = Buffer("x0", t.f32, "in"), Buffer("part0", t.f64, "partial")
    element = load(x0, at(var("i0"), var("n1"), var("i1")))
    largest = K.convert(K.var("r0", t.f32), t.f64)
    return program(
        "total_of_rows",
        (x0, part),
        Accumulator("a0", K.const(0.0, t.f64)),
        rows(
            Accumulator("r0", K.const(-np.inf, t.f32)),
            columns(Accumulate("r0", "maximum", element)),
            Accumulate("a0", "add", largest),
        ),
        Store("part0", var("chunk"), K.var("a0", t.f64)),
    )


def flat_total(dtype: DType, op: str, start: object) -> LoopProgram:
    """``part0[chunk] = op`` over the chunk's elements of x0."""
    x0, part = Buffer("x0", dtype, "in"), Buffer("part0", dtype, "partial")
    return program(
        f"flat_{op}",
        (x0, part),
        Accumulator("a0", K.const(start, dtype)),
        rows(Accumulate("a0", op, load(x0, var("i0"))), parallel=True),
        Store("part0", var("chunk"), K.var("a0", dtype)),
    )


def running_sum() -> LoopProgram:
    """A running sum along each row: an innermost loop that is not parallel."""
    x0, out = Buffer("x0", t.i32, "in"), Buffer("out0", t.i32, "out")
    before = K.sub(at(var("i0"), var("n1"), var("i1")), K.const(1, t.i64))
    place = at(var("i0"), var("n1"), var("i1"))
    first = at(var("i0"), var("n1"), zero())
    step = Store("out0", place, K.add(load(out, before), load(x0, place)))
    loop = For("i1", K.const(1, t.i64), var("n1"), (step,), parallel=False)
    return program(
        "running_sum",
        (x0, out),
        rows(
            Let("h0", load(x0, first)), Store("out0", first, K.var("h0", t.i32)), loop
        ),
    )


def flipped_rows() -> LoopProgram:
    """Rows reversed through a scratch row for each chunk."""
    x0, out = Buffer("x0", t.f32, "in"), Buffer("out0", t.f32, "out")
    keep = Buffer("scratch0", t.f32, "scratch")
    last = K.sub(K.sub(var("n1"), K.const(1, t.i64)), var("i1"))
    element = load(x0, at(var("i0"), var("n1"), var("i1")))
    kept = load(keep, at(var("chunk"), var("n1"), last))
    return program(
        "flipped_rows",
        (x0, out, keep),
        rows(
            columns(Store("scratch0", at(var("chunk"), var("n1"), var("i1")), element)),
            columns(Store("out0", at(var("i0"), var("n1"), var("i1")), kept)),
        ),
    )


def operations(dtype: DType) -> dict[str, Expr]:
    """Every primitive that applies to `dtype`, on elements of x0, x1 and x2."""
    x, y, z = (load(Buffer(f"x{i}", dtype, "in"), var("i0")) for i in range(3))
    bitwise = {"and", "or", "xor", "shl", "shr", "sar"}
    binary = BINARY - (bitwise if dtype.is_float else {"copysign"})
    unary = "neg abs floor ceil rint trunc sqrt" if dtype.is_float else "neg abs not"
    names = set() if dtype is t.bool_ else {*unary.split()}
    if dtype is t.bool_:
        binary, names = COMPARE | {"and", "or", "xor"}, {"not"}
    elif dtype.is_integer:
        names |= {"popcnt"}
    found = {op: K.binary(op, x, y) for op in binary}
    found |= {op: K.unary(op, x) for op in names}
    found["select"] = K.select(K.binary("lt", x, y), x, y)
    found["isnan"] = K.isnan(x)
    if dtype is not t.bool_:
        found["fma"] = K.fma(x, y, z)
    found |= {f"to {d.name}": K.convert(x, d) for d in REAL if d is not dtype}
    return found


def primitives(dtype: DType) -> LoopProgram:
    """A flat program with one output for each of `operations`."""
    inputs = [Buffer(f"x{i}", dtype, "in") for i in range(3)]
    outputs, stores = [], []
    for i, value in enumerate(operations(dtype).values()):
        outputs.append(Buffer(f"out{i}", value.dtype, "out"))
        stores.append(Store(f"out{i}", var("i0"), value))
    return LoopProgram(
        f"primitives_{dtype.name}",
        (*inputs, *outputs),
        (),
        (rows(*stores, parallel=True),),
    )


def nasty(dtype: DType) -> np.ndarray:
    """Values that break careless arithmetic."""
    if dtype is t.bool_:
        return np.array([False, True])
    if dtype.is_integer:
        info = np.iinfo(dtype.np)
        small = {0, 1, 2, 3, 7, 100, info.max, info.min, info.max - 1}
        negative = {-1, -2, -7} if dtype.kind == "i" else set()
        return np.array(sorted(small | negative), dtype.np)
    values = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1.5, 3.0, 1e-3, 255.5, -70000.0, 6e4]
    values += [np.nan, np.inf, -np.inf, 1e-7, -6e-8, 3e9, -1e19, 1e30, 1e-40]
    with np.errstate(all="ignore"):
        return np.array(values).astype(dtype.np)


def nasty_triples(dtype: DType) -> list[np.ndarray]:
    """Every pair of nasty values, with a third one."""
    values = nasty(dtype)
    x, y = (a.ravel().copy() for a in np.meshgrid(values, values))
    return [x, y, np.roll(y, 1)]


def run_native(
    address: int,
    buffers: Sequence[np.ndarray],
    ints: Sequence[int],
    extent: int,
    chunks: int = 1,
) -> None:
    """Call a native kernel for each of `chunks` chunks, as the runtime does."""
    pointers = (ctypes.c_void_p * len(buffers))(*[b.ctypes.data for b in buffers])
    numbers = (ctypes.c_int64 * (len(ints) or 1))(*ints)
    function = native.KERNEL_SIGNATURE(address)
    for chunk in range(chunks):
        lo, hi = extent * chunk // chunks, extent * (chunk + 1) // chunks
        function(lo, hi, chunk, ctypes.addressof(pointers), ctypes.addressof(numbers))


def assert_same(got: np.ndarray, want: np.ndarray, what: str = "") -> None:
    """Equal bit by bit, but for the sign and payload of a NaN."""
    if want.dtype.kind not in "fV":
        np.testing.assert_array_equal(got, want, what)
        return
    got, want = got.astype(np.float64), want.astype(np.float64)
    np.testing.assert_array_equal(got, want, what)
    number = ~np.isnan(want)
    np.testing.assert_array_equal(
        np.signbit(got)[number], np.signbit(want)[number], what
    )


def lowered_kernels() -> list[LoweredKernel]:
    """Kernels that the compiler makes of a graph with every kind of reduction."""
    b = GraphBuilder("mixed")
    x = b.parameter(TensorType(t.f32, (6, 10)), "x")
    y = b.parameter(TensorType(t.f32, (3, 4, 5)), "y")
    total = b.reduce_sum(x, axes=(1,))
    centered = b.subtract(x, b.broadcast_in_dim(total, shape=(6, 10), dims=(0,)))
    largest = b.reduce_max(centered, axes=(1,))
    wide = b.broadcast_in_dim(largest, shape=(6, 10), dims=(0,))
    shares = b.exponential(b.subtract(centered, wide))
    outputs = [
        shares,
        b.reduce_sum(shares, axes=(0,)),
        b.reduce_sum(b.multiply(x, x), axes=(0, 1)),
        b.reduce_max(y, axes=(1,)),
        b.transpose(b.tanh(y), permutation=(2, 0, 1)),
    ]
    plan = driver.lower_graph(b.build(outputs)).schedule
    return [item.kernel for item in plan.items if item.kernel is not None]


def buffers_of(kernel: LoweredKernel, chunks: int, seed: int = 0) -> list[np.ndarray]:
    """Arrays for the parameters of a kernel of static size: inputs are random."""
    rng = np.random.default_rng(seed)
    sizes = {p.buffer: p.size for p in (*kernel.partials, *kernel.scratch)}
    arrays = []
    for buffer in kernel.program.buffers:
        shape = (chunks, sizes[buffer.name]) if buffer.name in sizes else None
        shape = shape or kernel.values[buffer.name].type.shape
        values = rng.standard_normal(shape) if buffer.role == "in" else np.zeros(shape)
        arrays.append(values.astype(buffer.dtype.np))
    return arrays
