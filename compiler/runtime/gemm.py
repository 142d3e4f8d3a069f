"""Matrix products as native steps: cblas called from chunks of our own pool.

`gemm_f32` and `gemm_f64` have the kernel ABI and compute, for each matrix of a batch,
``C = op(A) @ op(B)`` (or ``C += …``), row-major. Chunks divide the rows of C, its
columns, or the batch, as `plan_gemm` decides. An *epilogue* kernel may follow each
chunk while the rows are still in cache; it runs over rows of C seen as one matrix
[batch * M, N] (split by rows or by batch, not by columns).

``bufs = [A, B, C]``; ``ints`` are the words of `GemmInts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from compiler.errors import ExecutionError
from compiler.ir.types import DType, f32, f64
from compiler.kernels.cache import default_cache
from compiler.runtime.openblas import blas
from compiler.runtime.steps import NO_WORDS, Call, Word, Words, chunks_for

ROWS, COLUMNS, BATCH = 0, 1, 2
VERSION = "gemm-1"
EPILOGUE_BYTES = 1 << 19
MIN_TILE_ROWS = 64
"""Bytes and rows of C that are computed before the epilogue runs over them."""

# Below this many multiplications a product is faster on one thread.
SERIAL_PRODUCTS = 1 << 16
# The fewest columns, and rows, that a chunk should have: multiples of the tile of
# OpenBLAS's AVX-512 kernels, whose width lies along the columns of a row-major C.
COLUMN_ALIGN = 16
ROW_ALIGN = 8

_TEMPLATE = """
define void @gemm(i64 %lo, i64 %hi, i64 %chunk, ptr %bufs, ptr %ints) {
entry:
@LOADS@
  %b.pp = getelementptr ptr, ptr %bufs, i64 1
  %c.pp = getelementptr ptr, ptr %bufs, i64 2
  %A = load ptr, ptr %bufs
  %B = load ptr, ptr %b.pp
  %C = load ptr, ptr %c.pp
  %by.rows = icmp eq i64 %split, 0
  %by.cols = icmp eq i64 %split, 1
  %by.batch = icmp eq i64 %split, 2
  %ta = icmp ne i64 %trans_a, 0
  %tb = icmp ne i64 %trans_b, 0
  %batch.lo = select i1 %by.batch, i64 %lo, i64 0
  %batch.hi = select i1 %by.batch, i64 %hi, i64 %batch
  %row.lo = select i1 %by.rows, i64 %lo, i64 0
  %row.hi = select i1 %by.rows, i64 %hi, i64 %m
  %col.lo = select i1 %by.cols, i64 %lo, i64 0
  %col.hi = select i1 %by.cols, i64 %hi, i64 %n
  %cols = sub i64 %col.hi, %col.lo
  %trans_a.32 = select i1 %ta, i32 112, i32 111
  %trans_b.32 = select i1 %tb, i32 112, i32 111
  %cols.32 = trunc i64 %cols to i32
  %k.32 = trunc i64 %k to i32
  %lda.32 = trunc i64 %lda to i32
  %ldb.32 = trunc i64 %ldb to i32
  %ldc.32 = trunc i64 %ldc to i32
  %add = icmp ne i64 %beta, 0
  %beta.f = select i1 %add, @T@ 1.0, @T@ 0.0
  %row.step = select i1 %ta, i64 1, i64 %lda
  %col.step = select i1 %tb, i64 %ldb, i64 1
  %col.b = mul i64 %col.lo, %col.step
  %no.k = icmp eq i64 %k, 0
  %no.cols = icmp sle i64 %cols, 0
  %has.epilogue = icmp ne ptr %epilogue, null
  %tile.rows = select i1 %has.epilogue, i64 %tile, i64 9223372036854775807
  br label %batch.test

batch.test:
  %i = phi i64 [%batch.lo, %entry], [%i1, %batch.next]
  %batch.more = icmp slt i64 %i, %batch.hi
  br i1 %batch.more, label %batch.body, label %end
batch.body:
  %a.batch = mul i64 %i, %stride_a
  %b.batch = mul i64 %i, %stride_b
  %c.batch = mul i64 %i, %stride_c
  %b.at = add i64 %b.batch, %col.b
  %b.p = getelementptr @T@, ptr %B, i64 %b.at
  %row.base = mul i64 %i, %m
  br label %tile.test

tile.test:
  %r = phi i64 [%row.lo, %batch.body], [%r.end, %tile.next]
  %row.more = icmp slt i64 %r, %row.hi
  br i1 %row.more, label %tile.body, label %batch.next
tile.body:
  %left = sub i64 %row.hi, %r
  %whole = icmp ult i64 %left, %tile.rows
  %rows = select i1 %whole, i64 %left, i64 %tile.rows
  %r.end = add i64 %r, %rows
  br i1 %no.cols, label %after, label %address
address:
  %a.row = mul i64 %r, %row.step
  %a.at = add i64 %a.batch, %a.row
  %a.p = getelementptr @T@, ptr %A, i64 %a.at
  %c.row = mul i64 %r, %ldc
  %c.col = add i64 %c.row, %col.lo
  %c.at = add i64 %c.batch, %c.col
  %c.p = getelementptr @T@, ptr %C, i64 %c.at
  br i1 %no.k, label %empty, label %product
product:
  %rows.32 = trunc i64 %rows to i32
  call void %gemm(i32 101, i32 %trans_a.32, i32 %trans_b.32, i32 %rows.32,
    i32 %cols.32, i32 %k.32, @T@ 1.0, ptr %a.p, i32 %lda.32, ptr %b.p, i32 %ldb.32,
    @T@ %beta.f, ptr %c.p, i32 %ldc.32)
  br label %after

empty:
  br i1 %add, label %after, label %zero
zero:
  %z = phi i64 [0, %empty], [%z1, %zero]
  %z.row = mul i64 %z, %ldc
  %z.p = getelementptr @T@, ptr %c.p, i64 %z.row
  %z.bytes = mul i64 %cols, @BYTES@
  call void @llvm.memset.p0.i64(ptr %z.p, i8 0, i64 %z.bytes, i1 false)
  %z1 = add i64 %z, 1
  %z.more = icmp slt i64 %z1, %rows
  br i1 %z.more, label %zero, label %after

after:
  br i1 %has.epilogue, label %finish, label %tile.next
finish:
  %e.lo = add i64 %row.base, %r
  %e.hi = add i64 %row.base, %r.end
  call void %epilogue(i64 %e.lo, i64 %e.hi, i64 %chunk, ptr %epilogue_bufs,
    ptr %epilogue_ints)
  br label %tile.next
tile.next:
  br label %tile.test
batch.next:
  %i1 = add i64 %i, 1
  br label %batch.test
end:
  ret void
}
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
"""

# The words of ``ints``, in order, and how the kernel reads them.
_INTS = {
    "gemm": "ptr",
    "m": "i64",
    "n": "i64",
    "k": "i64",
    "trans_a": "i64",
    "trans_b": "i64",
    "lda": "i64",
    "ldb": "i64",
    "ldc": "i64",
    "beta": "i64",
    "batch": "i64",
    "stride_a": "i64",
    "stride_b": "i64",
    "stride_c": "i64",
    "split": "i64",
    "epilogue": "ptr",
    "epilogue_bufs": "ptr",
    "epilogue_ints": "ptr",
    "tile": "i64",
}


def gemm_ir(dtype: DType) -> str:
    """LLVM IR text of the step function for f32 or f64; its symbol is ``gemm``."""
    loads = []
    for at, (name, kind) in enumerate(_INTS.items()):
        loads.append(f"  %{name}.at = getelementptr i64, ptr %ints, i64 {at}")
        loads.append(f"  %{name} = load {kind}, ptr %{name}.at")
    text = _TEMPLATE.replace("@LOADS@", "\n".join(loads))
    text = text.replace("@BYTES@", str(dtype.itemsize))
    return text.replace("@T@", "float" if dtype is f32 else "double")


@cache
def gemm_step(dtype: DType) -> int:
    """Address of the step function for f32 or f64, compiled once per process.

    Raises `ExecutionError` for other dtypes: they have no BLAS routine.
    """
    if dtype not in (f32, f64):
        raise ExecutionError(f"no BLAS product of {dtype}", fix="use f32 or f64")
    return default_cache().get_or_compile(
        {"program": gemm_ir(dtype), "target": "runtime", "generator": VERSION},
        lambda: gemm_ir(dtype),
        "gemm",
    )


@dataclass(frozen=True, slots=True)
class GemmPlan:
    """How a product is divided: ``[0, extent)`` of `split` in `chunks` chunks."""

    split: int
    extent: int
    chunks: int
    align: int


@dataclass(frozen=True, slots=True)
class Epilogue:
    """A kernel that runs over finished rows of C, ``[lo, hi)`` of batch * M."""

    fn: int
    bufs: Words
    ints: Words = NO_WORDS


@dataclass(frozen=True, slots=True)
class Gemm:
    """One product ``C[m,n] = op(A)[m,k] @ op(B)[k,n]``, `batch` times.

    `trans_a` says that A is stored [k,m], `trans_b` that B is stored [n,k]. Leading
    dimensions and batch strides are in elements and default to those of dense
    buffers; a batch stride of 0 uses one matrix for the whole batch. With
    `accumulate` the product is added to C.
    """

    dtype: DType
    m: int
    n: int
    k: int
    trans_a: bool = False
    trans_b: bool = False
    batch: int = 1
    accumulate: bool = False
    lda: int | None = None
    ldb: int | None = None
    ldc: int | None = None
    stride_a: int | None = None
    stride_b: int | None = None
    stride_c: int | None = None


def plan_gemm(
    m: int, n: int, k: int, batch: int, threads: int, *, epilogue: bool = False
) -> GemmPlan:
    """Divide a product over `threads` threads; small ones stay whole.

    Measured on two Zen 5 cores, f32 (µs on one thread, on two): 32³ 0.55, 0.58; 48³
    1.3, 1.0; 64³ 2.4, 1.5; 128x784 by 784x512 486, 260 by columns, 270 by rows; 1024³
    9,400, 4,800 (447 GFLOP/s). Twice as many chunks as threads cost 2 to 5 % there.

    A batch that is a multiple of the threads, or large, is divided as a whole.
    Otherwise the longer side of C is divided, since each chunk packs the operand of
    the other side again; with an epilogue that works on rows, only rows or batches.
    """
    whole = GemmPlan(ROWS, m, 1, 1)
    if threads <= 1 or m * n * k * batch < SERIAL_PRODUCTS:
        return whole if batch == 1 else GemmPlan(BATCH, batch, 1, 1)
    if batch >= threads and (batch % threads == 0 or batch >= 4 * threads):
        return GemmPlan(BATCH, batch, threads, 1)
    if n > m and not epilogue:
        chunks = chunks_for(n, threads, COLUMN_ALIGN)
        return GemmPlan(COLUMNS, n, chunks, COLUMN_ALIGN)
    return GemmPlan(ROWS, m, chunks_for(m, threads, ROW_ALIGN), ROW_ALIGN)


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _tile_rows(gemm: Gemm, plan: GemmPlan) -> int:
    """Rows of C between two runs of the epilogue.

    As many as stay in cache, if each call of BLAS then still has enough rows to be
    worth packing B again (about 23 rows' work) for not reading C again (about 22/k of
    it); otherwise all rows of the chunk at once. Measured at 1024³: tiles of 64 rows
    cost 36 %, 256 10 %, 512 3 %; at 50176x32x9 tiles of 512 rows save a third.
    """
    chunk = -(-gemm.m // plan.chunks) if plan.split == ROWS else gemm.m
    fit = EPILOGUE_BYTES // max(1, gemm.n * gemm.dtype.itemsize)
    if fit < max(MIN_TILE_ROWS, 2 * gemm.k):
        return max(1, chunk)
    # Equal tiles: a last one of a few rows would pack B for nothing.
    tiles = max(1, -(-chunk // fit))
    return max(1, -(-chunk // tiles))


def gemm_ints(gemm: Gemm, plan: GemmPlan, epilogue: Epilogue | None = None) -> Words:
    """The ``ints`` of the step function."""
    g = gemm
    end: tuple[Word, ...] = (0, 0, 0, 0)
    if epilogue is not None:
        tile = _tile_rows(g, plan)
        end = (epilogue.fn, epilogue.bufs, epilogue.ints, tile)
    lda = _or(g.lda, g.m if g.trans_a else g.k)
    ldb = _or(g.ldb, g.k if g.trans_b else g.n)
    strides = (
        _or(g.stride_a, g.m * g.k),
        _or(g.stride_b, g.k * g.n),
        _or(g.stride_c, g.m * g.n),
    )
    flags = (int(g.trans_a), int(g.trans_b))
    leading = (max(1, lda), max(1, ldb), max(1, _or(g.ldc, g.n)))
    return Words(
        *(blas().gemm_address(g.dtype), g.m, g.n, g.k, *flags, *leading),
        *(int(g.accumulate), g.batch, *strides, plan.split, *end),
    )


def gemm_call(
    gemm: Gemm,
    bufs: Words,
    threads: int,
    epilogue: Epilogue | None = None,
    name: str = "gemm",
) -> Call:
    """The step that computes a product into ``bufs = Words(A, B, C)``.

    Raises `ExecutionError` for a dtype without a BLAS routine, and for extents that
    do not fit BLAS's 32-bit integers.
    """
    largest = max(gemm.m, gemm.n, gemm.k, *(x or 0 for x in (gemm.lda, gemm.ldb)))
    if largest >= 1 << 31:
        raise ExecutionError(f"a matrix extent of {largest} exceeds BLAS's 32 bits")
    has_epilogue = epilogue is not None
    plan = plan_gemm(gemm.m, gemm.n, gemm.k, gemm.batch, threads, epilogue=has_epilogue)
    ints = gemm_ints(gemm, plan, epilogue)
    fn = gemm_step(gemm.dtype)
    return Call(fn, bufs, ints, plan.extent, plan.chunks, plan.align, name)
