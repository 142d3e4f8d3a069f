"""Matrix products as native steps: a routine called from chunks of our own pool.

`gemm_step` has the kernel ABI and computes, for each matrix of a batch,
``C = op(A) @ op(B)`` (or ``C += …``), row-major, through the BLAS or the register tiles
of `microgemm`, whichever `takes_tiles` says is faster. Chunks divide the rows of C, its
columns, the batch, or the sum itself, as `plan_gemm` decides; chunks of the sum write
matrices of their own that a second step adds up. An *epilogue* kernel may follow each
chunk while the rows are still in cache; it runs over rows of C seen as one matrix
[batch * M, N] (split by rows or by batch only).

``bufs = [A, B, C]``; ``ints`` are the words of `GemmInts`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from compiler.errors import ExecutionError
from compiler.ir.types import DType, f32, f64
from compiler.kernels.cache import default_cache
from compiler.runtime.device import cpu_device
from compiler.runtime.memory import default_buffer_pool
from compiler.runtime.microgemm import has_micro, micro_address
from compiler.runtime.openblas import blas
from compiler.runtime.steps import NO_WORDS, Call, Word, Words, chunks_for

ROWS, COLUMNS, BATCH, SUM = 0, 1, 2, 3
VERSION = "gemm-2"
EPILOGUE_BYTES = 1 << 19
MIN_TILE_ROWS = 64
"""Bytes and rows of C that are computed before the epilogue runs over them."""

# Below this many multiplications a product is faster on one thread.
SERIAL_PRODUCTS = 1 << 16
# The fewest columns, and rows, that a chunk should have: multiples of the tile of
# OpenBLAS's AVX-512 kernels, whose width lies along the columns of a row-major C.
COLUMN_ALIGN = 16
ROW_ALIGN = 8
SUM_ALIGN = 64

# A sum is divided if it is this many times longer than the sides of C, and if C, of
# which each chunk then has one of its own, has no more elements than this.
LONG_SUM = 16
SUM_CELLS = 1 << 16
SUM_GRAIN = 1 << 13
"""Elements of C that a chunk adds up at least."""

# What `takes_tiles` compares with, see there.
TILE_PRODUCTS = 1 << 20
TILE_COLUMNS = 8
TURNED_ROWS, TURNED_COLUMNS = 96, 64
LARGE_SIDE = 512

_TEMPLATE = """
define void @gemm(i64 %lo, i64 %hi, i64 %chunk, ptr %bufs, ptr %ints) {
entry:
@LOADS@
  %b.pp = getelementptr ptr, ptr %bufs, i64 1
  %c.pp = getelementptr ptr, ptr %bufs, i64 2
  %A = load ptr, ptr %bufs
  %B = load ptr, ptr %b.pp
  %C.whole = load ptr, ptr %c.pp
  %by.rows = icmp eq i64 %split, 0
  %by.cols = icmp eq i64 %split, 1
  %by.batch = icmp eq i64 %split, 2
  %by.sum = icmp eq i64 %split, 3
  %C = select i1 %by.sum, ptr %parts, ptr %C.whole
  %ta = icmp ne i64 %trans_a, 0
  %tb = icmp ne i64 %trans_b, 0
  %batch.lo = select i1 %by.batch, i64 %lo, i64 0
  %batch.hi = select i1 %by.batch, i64 %hi, i64 %batch
  %row.lo = select i1 %by.rows, i64 %lo, i64 0
  %row.hi = select i1 %by.rows, i64 %hi, i64 %m
  %col.lo = select i1 %by.cols, i64 %lo, i64 0
  %col.hi = select i1 %by.cols, i64 %hi, i64 %n
  %cols = sub i64 %col.hi, %col.lo
  %sum.lo = select i1 %by.sum, i64 %lo, i64 0
  %sum.hi = select i1 %by.sum, i64 %hi, i64 %k
  %len = sub i64 %sum.hi, %sum.lo
  %cells = mul i64 %m, %n
  %own = mul i64 %chunk, %cells
  %c.own = select i1 %by.sum, i64 %own, i64 0
  %trans_a.32 = select i1 %ta, i32 112, i32 111
  %trans_b.32 = select i1 %tb, i32 112, i32 111
  %cols.32 = trunc i64 %cols to i32
  %k.32 = trunc i64 %len to i32
  %lda.32 = trunc i64 %lda to i32
  %ldb.32 = trunc i64 %ldb to i32
  %ldc.32 = trunc i64 %ldc to i32
  %add = icmp ne i64 %beta, 0
  %beta.f = select i1 %add, @T@ 1.0, @T@ 0.0
  %row.step = select i1 %ta, i64 1, i64 %lda
  %col.step = select i1 %tb, i64 %ldb, i64 1
  %col.b = mul i64 %col.lo, %col.step
  %a.sum.step = select i1 %ta, i64 %lda, i64 1
  %b.sum.step = select i1 %tb, i64 1, i64 %ldb
  %a.sum = mul i64 %sum.lo, %a.sum.step
  %b.sum = mul i64 %sum.lo, %b.sum.step
  %b.first = add i64 %col.b, %b.sum
  %no.k = icmp sle i64 %len, 0
  %no.cols = icmp sle i64 %cols, 0
  %has.epilogue = icmp ne ptr %epilogue, null
  %tile.rows = select i1 %has.epilogue, i64 %tile, i64 9223372036854775807
  br label %batch.test

batch.test:
  %i = phi i64 [%batch.lo, %entry], [%i1, %batch.next]
  %batch.more = icmp slt i64 %i, %batch.hi
  br i1 %batch.more, label %batch.body, label %end
batch.body:
  %a.i = mul i64 %i, %stride_a
  %b.i = mul i64 %i, %stride_b
  %c.i = mul i64 %i, %stride_c
  %a.batch = add i64 %a.i, %a.sum
  %c.batch = add i64 %c.i, %c.own
  %b.at = add i64 %b.i, %b.first
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

# bufs = [A, B, C], ints = [parts, size, count, adds]: C[lo, hi) = the sum of `count`
# matrices of `size` elements, in order, or C + that.
_SUM = """
define void @gemm_sum(i64 %lo, i64 %hi, i64 %chunk, ptr %bufs, ptr %ints) {
entry:
  %c.pp = getelementptr ptr, ptr %bufs, i64 2
  %C = load ptr, ptr %c.pp
  %parts = load ptr, ptr %ints
  %size.p = getelementptr i64, ptr %ints, i64 1
  %size = load i64, ptr %size.p
  %count.p = getelementptr i64, ptr %ints, i64 2
  %count = load i64, ptr %count.p
  %adds.p = getelementptr i64, ptr %ints, i64 3
  %adds.i = load i64, ptr %adds.p
  %adds = icmp ne i64 %adds.i, 0
  br label %test
test:
  %c = phi i64 [0, %entry], [%c1, %next]
  %later = icmp sgt i64 %c, 0
  %add = or i1 %later, %adds
  %at = mul i64 %c, %size
  %part = getelementptr @T@, ptr %parts, i64 %at
  %some = icmp slt i64 %lo, %hi
  br i1 %some, label %choose, label %end
choose:
  br i1 %add, label %sum, label %copy
copy:
  %i = phi i64 [%lo, %choose], [%i1, %copy]
  %p.i = getelementptr @T@, ptr %part, i64 %i
  %x.i = load @T@, ptr %p.i
  %c.i = getelementptr @T@, ptr %C, i64 %i
  store @T@ %x.i, ptr %c.i
  %i1 = add nsw i64 %i, 1
  %i.more = icmp slt i64 %i1, %hi
  br i1 %i.more, label %copy, label %next
sum:
  %j = phi i64 [%lo, %choose], [%j1, %sum]
  %p.j = getelementptr @T@, ptr %part, i64 %j
  %x.j = load @T@, ptr %p.j
  %c.j = getelementptr @T@, ptr %C, i64 %j
  %y.j = load @T@, ptr %c.j
  %z.j = fadd @T@ %y.j, %x.j
  store @T@ %z.j, ptr %c.j
  %j1 = add nsw i64 %j, 1
  %j.more = icmp slt i64 %j1, %hi
  br i1 %j.more, label %sum, label %next
next:
  %c1 = add i64 %c, 1
  %more = icmp slt i64 %c1, %count
  br i1 %more, label %test, label %end
end:
  ret void
}
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
    "parts": "ptr",
}


def _typed(template: str, dtype: DType) -> str:
    return template.replace("@T@", "float" if dtype is f32 else "double")


def gemm_ir(dtype: DType) -> str:
    """LLVM IR text of the step function for f32 or f64; its symbol is ``gemm``."""
    loads = []
    for at, (name, kind) in enumerate(_INTS.items()):
        loads.append(f"  %{name}.at = getelementptr i64, ptr %ints, i64 {at}")
        loads.append(f"  %{name} = load {kind}, ptr %{name}.at")
    text = _TEMPLATE.replace("@LOADS@", "\n".join(loads))
    return _typed(text.replace("@BYTES@", str(dtype.itemsize)), dtype)


def _compiled(text: str, symbol: str) -> int:
    parts = {"program": text, "target": "runtime", "generator": VERSION}
    return default_cache().get_or_compile(parts, lambda: text, symbol)


@cache
def gemm_step(dtype: DType) -> int:
    """Address of the step function for f32 or f64, compiled once per process.

    Raises `ExecutionError` for other dtypes: they have no BLAS routine.
    """
    if dtype not in (f32, f64):
        raise ExecutionError(f"no BLAS product of {dtype}", fix="use f32 or f64")
    return _compiled(gemm_ir(dtype), "gemm")


@cache
def sum_step(dtype: DType) -> int:
    return _compiled(_typed(_SUM, dtype), "gemm_sum")


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
    m: int,
    n: int,
    k: int,
    batch: int,
    threads: int,
    *,
    epilogue: bool = False,
    sums: bool = False,
) -> GemmPlan:
    """Divide a product over `threads` threads; small ones stay whole.

    Measured on two Zen 5 cores, f32 (µs on one thread, on two): 32³ 0.55, 0.58; 48³
    1.3, 1.0; 64³ 2.4, 1.5; 128x784 by 784x512 486, 260 by columns, 270 by rows; 1024³
    9,400, 4,800 (447 GFLOP/s). Twice as many chunks as threads cost 2 to 5 % there.

    A batch that is a multiple of the threads, or large, is divided as a whole.
    Otherwise the longer side of C is divided, since each chunk packs the operand of
    the other side again; with an epilogue that works on rows, only rows or batches.
    With `sums` a sum that is much longer than both sides is divided before them: its
    chunks read disjoint parts of both operands.
    """
    whole = GemmPlan(ROWS, m, 1, 1)
    if threads <= 1 or m * n * k * batch < SERIAL_PRODUCTS:
        return whole if batch == 1 else GemmPlan(BATCH, batch, 1, 1)
    if batch >= threads and (batch % threads == 0 or batch >= 4 * threads):
        return GemmPlan(BATCH, batch, threads, 1)
    if sums and batch == 1 and k >= LONG_SUM * max(m, n) and m * n <= SUM_CELLS:
        return GemmPlan(SUM, k, chunks_for(k, threads, SUM_ALIGN), SUM_ALIGN)
    if n > m and not epilogue:
        chunks = chunks_for(n, threads, COLUMN_ALIGN)
        return GemmPlan(COLUMNS, n, chunks, COLUMN_ALIGN)
    return GemmPlan(ROWS, m, chunks_for(m, threads, ROW_ALIGN), ROW_ALIGN)


def _chunk_sides(gemm: Gemm, plan: GemmPlan) -> tuple[int, int, int]:
    """M, N and K of one call of the routine."""
    sides = {ROWS: gemm.m, COLUMNS: gemm.n, SUM: gemm.k}
    if plan.split in sides:
        sides[plan.split] = -(-sides[plan.split] // max(1, plan.chunks))
    return sides[ROWS], sides[COLUMNS], sides[SUM]


def takes_tiles(gemm: Gemm, plan: GemmPlan) -> bool:
    """Whether `microgemm` is expected to be faster than the BLAS.

    Time of OpenBLAS 0.3 over that of the tiles, one Zen 5 core, f32, M x N x K:

    ================  ====  ====  ====  ====
    shape              NN    TN    NT    TT
    ================  ====  ====  ====  ====
    50176 x 32 x 9    1.77
    9 x 32 x 50176          2.38
    12544 x 64 x 288  1.70
    288 x 64 x 12544        1.24
    100 x 32 x 1000   1.33  1.43  1.10  1.16
    32 x 256 x 256    1.25  1.20  0.89  0.90
    10 x 256 x 1000   2.74  2.79  0.98  0.96
    256 x 256 x 256   1.08  1.07  1.01  1.03
    1000 x 10 x 256   1.65  1.60  1.70  1.61
    1000 x 4 x 1000   0.95  0.85  0.97  0.85
    100 x 32 x 64     0.99  0.97  1.07  0.95
    100 x 10 x 64     0.94  0.95  0.87  0.83
    1024³             1.02  0.98  0.94
    ================  ====  ====  ====  ====

    OpenBLAS has routines without packing for up to a million multiplications, which
    are better than the tiles where columns are few; beyond that it packs both
    operands. The tiles copy a B that is stored [n, k] element by element, which takes
    some hundred rows to pay, or about as many as the panels of 64 columns.
    """
    rows, cols, length = _chunk_sides(gemm, plan)
    if gemm.dtype not in (f32, f64) or not has_micro(cpu_device()):
        return False
    if rows * cols * length < TILE_PRODUCTS or cols < TILE_COLUMNS:
        return False
    if gemm.trans_b and rows < TURNED_ROWS * (1 if cols <= TURNED_COLUMNS else 2):
        return False
    return min(rows, cols, length) < LARGE_SIDE


def _routine(gemm: Gemm, plan: GemmPlan) -> int:
    """Address of the product of one matrix, with the signature of cblas."""
    if takes_tiles(gemm, plan):
        return micro_address(gemm.dtype)
    return blas().gemm_address(gemm.dtype)


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


def gemm_ints(
    gemm: Gemm, plan: GemmPlan, epilogue: Epilogue | None = None, parts: Word = 0
) -> Words:
    """The ``ints`` of the step function; `parts` is one C for each chunk of a sum."""
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
        *(_routine(g, plan), g.m, g.n, g.k, *flags, *leading),
        *(int(g.accumulate), g.batch, *strides, plan.split, *end, parts),
    )


def gemm_steps(
    gemm: Gemm,
    bufs: Words,
    threads: int,
    epilogue: Epilogue | None = None,
    name: str = "gemm",
) -> list[Call]:
    """The steps that compute a product into ``bufs = Words(A, B, C)``.

    They own the memory of partial sums: a table of them is run by one thread at a
    time. Raises `ExecutionError` for a dtype without a BLAS routine, and for extents
    that do not fit BLAS's 32-bit integers.
    """
    largest = max(gemm.m, gemm.n, gemm.k, *(x or 0 for x in (gemm.lda, gemm.ldb)))
    if largest >= 1 << 31:
        raise ExecutionError(f"a matrix extent of {largest} exceeds BLAS's 32 bits")
    plan = plan_gemm(
        *(gemm.m, gemm.n, gemm.k, gemm.batch, threads),
        epilogue=epilogue is not None,
        sums=epilogue is None and gemm.ldc in (None, gemm.n),
    )
    if plan.split == SUM and plan.chunks > 1:
        return _divided_sum(gemm, plan, bufs, name)
    return [_call(gemm, plan, bufs, gemm_ints(gemm, plan, epilogue), name)]


def _call(gemm: Gemm, plan: GemmPlan, bufs: Words, ints: Words, name: str) -> Call:
    fn = gemm_step(gemm.dtype)
    return Call(fn, bufs, ints, plan.extent, plan.chunks, plan.align, name)


def _divided_sum(gemm: Gemm, plan: GemmPlan, bufs: Words, name: str) -> list[Call]:
    """Partial sums, each chunk's in a matrix of its own, and their sum."""
    size = gemm.m * gemm.n
    parts = default_buffer_pool().empty((plan.chunks, size), gemm.dtype.np)
    partial = gemm_ints(replace(gemm, accumulate=False), plan, parts=parts)
    ints = Words(parts, size, plan.chunks, int(gemm.accumulate))
    chunks = chunks_for(size, min(plan.chunks, size // SUM_GRAIN), SUM_ALIGN)
    last = Call(sum_step(gemm.dtype), bufs, ints, size, chunks, 1, f"{name} sum")
    return [_call(gemm, plan, bufs, partial, name), last]
