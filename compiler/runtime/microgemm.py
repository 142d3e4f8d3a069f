"""Matrix products by register tiles, as LLVM IR: for shapes that a BLAS is slow on.

`micro_address` is a function with the signature of ``cblas_sgemm`` or ``cblas_dgemm``,
row-major, alpha 1, beta 0 or 1. OpenBLAS copies both operands into panels before it
multiplies, which costs more than the product where one side is short: convolutions
(long A, short B) and their filter's gradient.

For each block of K and each panel of up to four vectors of columns, a tile of rows is
multiplied in registers: `TILE_ROWS` by the panel's vectors, one broadcast of an element
of A for each row. A is read in place through a row and a column stride, so a transposed
A costs nothing; B is read in place too where its rows are whole panels, and is else
copied, `PANEL_BYTES` at a time, onto the stack. Rows beyond the matrix repeat its last
row and are not stored; columns beyond it are masked. Every element is a chain of fused
multiply-adds over the whole of K's block: NaN and Inf act as in the plain sum.
"""

from __future__ import annotations

from functools import cache

from compiler.errors import ExecutionError
from compiler.ir.types import DType, f32, f64
from compiler.kernels.cache import default_cache
from compiler.runtime.device import CpuDevice, cpu_device

VERSION = "microgemm-1"

TILE_ROWS = {1: 8, 2: 10, 4: 6}
"""Rows of a tile by its vectors: at least the 8 chains that two units of a latency of
four cycles need, and at most the 32 registers of AVX-512."""
NARROW_ROWS = {1: 8, 2: 6}
"""The same for the 16 registers of AVX2."""

PANEL_DEPTH = 640
TURNED_DEPTH = 128
"""The longest block of K, and where A is stored [k, m], of whose rows each tile reads
only a part of every cache line: then the lines should stay in L1."""
PANEL_BYTES = 256
"""Bytes of a row of the widest panel: 160 KiB in all, which fit in L2."""
PACK_STRIP = 32
"""Rows of a panel that are written together from a transposed B."""
FEW_ROWS = 32
"""Rows below which a copy of B would not be read often enough to pay."""


def has_micro(device: CpuDevice) -> bool:
    """Whether the tiles suit a CPU: it needs fused multiply-adds and masked stores."""
    return "fma" in device.features and device.vector_bytes >= 32


@cache
def micro_address(dtype: DType) -> int:
    """Address of the product for f32 or f64, compiled once per process.

    Raises `ExecutionError` for other dtypes and for a CPU without the instructions.
    """
    device = cpu_device()
    if dtype not in (f32, f64) or not has_micro(device):
        raise ExecutionError(f"no register tiles for {dtype} on this CPU", fix="BLAS")
    vector = device.vector_bytes
    program = micro_ir(dtype, vector)
    parts = {"program": program, "target": "runtime", "generator": VERSION}
    return default_cache().get_or_compile(parts, lambda: program, "micro_gemm")


def micro_ir(dtype: DType, vector_bytes: int) -> str:
    """LLVM IR text of the product with vectors of 32 or 64 bytes."""
    lanes = vector_bytes // dtype.itemsize
    scalar = "float" if dtype is f32 else "double"
    rows = TILE_ROWS if vector_bytes == 64 else NARROW_ROWS
    tiles = [Tile(scalar, lanes, vectors, rows[vectors]) for vectors in rows]
    parts = [
        _product(scalar, dtype, tiles),
        _replace(_PACK, T=scalar, STRIP=PACK_STRIP),
    ]
    parts += [tile.text() for tile in tiles]
    return "\n".join([*parts, declarations(scalar, dtype, lanes)])


def _replace(template: str, **values: object) -> str:
    for name, value in values.items():
        template = template.replace(f"@{name}@", str(value))
    return template


def declarations(scalar: str, dtype: DType, lanes: int) -> str:
    """What the tiles call."""
    vec, short = f"<{lanes} x {scalar}>", f"v{lanes}f{dtype.bits}"
    mask = f"<{lanes} x i1>"
    return f"""
declare {vec} @llvm.fmuladd.{short}({vec}, {vec}, {vec})
declare {vec} @llvm.masked.load.{short}.p0(ptr, i32, {mask}, {vec})
declare void @llvm.masked.store.{short}.p0({vec}, ptr, i32, {mask})
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare i64 @llvm.smin.i64(i64, i64)
"""


class Tile:
    """Text of one tile function.

    ``tile(k, A, row_step, k_step, rows, B, b_step, C, ldc, cols, add)`` computes
    ``C[rows, cols] = A[rows, k] @ B[k, width]``, or adds it, for 1 <= rows <= height,
    1 <= cols <= width and k >= 1. Steps are in elements.
    """

    def __init__(self, scalar: str, lanes: int, vectors: int, height: int) -> None:
        self.scalar, self.lanes = scalar, lanes
        self.vectors, self.height = vectors, height
        self.vec = f"<{lanes} x {scalar}>"
        self.short = f"v{lanes}f{32 if scalar == 'float' else 64}"
        self.bytes = 4 if scalar == "float" else 8
        self.width = vectors * lanes
        self.cells = [(i, j) for i in range(height) for j in range(vectors)]

    def text(self) -> str:
        """The function."""
        return "\n".join(
            [
                f"define internal void @tile{self.vectors}(i64 %k, ptr %A, i64 %rs, "
                "i64 %ks, i64 %rows, ptr noalias %B, i64 %bs, ptr noalias %C, "
                "i64 %ldc, i64 %cols, i1 %add) noinline {",
                *self._entry(),
                *self._loop(),
                *self.stores(),
                "}",
            ]
        )

    def _entry(self) -> list[str]:
        lines = ["entry:", "  %last = sub i64 %rows, 1"]
        for i in range(self.height):
            lines += [
                f"  %r{i} = call i64 @llvm.smin.i64(i64 {i}, i64 %last)",
                f"  %o{i} = mul i64 %r{i}, %rs",
                f"  %p{i} = getelementptr {self.scalar}, ptr %A, i64 %o{i}",
            ]
        return [*lines, *self.results(), "  br label %loop"]

    def results(self) -> list[str]:
        """The rows of C, ``%c``."""
        lines = []
        for i in range(self.height):
            lines += [
                f"  %cr{i} = mul i64 %ldc, {i}",
                f"  %c{i} = getelementptr {self.scalar}, ptr %C, i64 %cr{i}",
            ]
        return lines

    def _loop(self) -> list[str]:
        vec = self.vec
        lines = ["loop:", "  %l = phi i64 [0, %entry], [%l1, %loop]"]
        lines += [
            "  %at = phi i64 [0, %entry], [%at1, %loop]",
            "  %b = phi ptr [%B, %entry], [%b.next, %loop]",
        ]
        for i, j in self.cells:
            zero = f"[zeroinitializer, %entry], [%n{i}.{j}, %loop]"
            lines.append(f"  %s{i}.{j} = phi {vec} {zero}")
        lines += self.products([f"ptr %p{i}, i64 %at" for i in range(self.height)])
        return [
            *lines,
            "  %l1 = add i64 %l, 1",
            "  %at1 = add i64 %at, %ks",
            f"  %b.next = getelementptr {self.scalar}, ptr %b, i64 %bs",
            "  %more = icmp slt i64 %l1, %k",
            "  br i1 %more, label %loop, label %done",
        ]

    def products(self, places: list[str]) -> list[str]:
        """One step of the sums: from ``%s`` to ``%n``, the row of B at ``%b``.

        `places` are the elements of A, one for each row, as operands of an address.
        """
        vec, lanes = self.vec, self.lanes
        lines = []
        for j in range(self.vectors):
            lines += [
                f"  %b.p{j} = getelementptr {self.scalar}, ptr %b, i64 {j * lanes}",
                f"  %b{j} = load {vec}, ptr %b.p{j}, align {self.bytes}",
            ]
        for i, place in enumerate(places):
            lines += [
                f"  %a.p{i} = getelementptr {self.scalar}, {place}",
                f"  %a.s{i} = load {self.scalar}, ptr %a.p{i}",
                f"  %a.i{i} = insertelement {vec} poison, {self.scalar} %a.s{i}, i32 0",
                f"  %a{i} = shufflevector {vec} %a.i{i}, {vec} poison, "
                f"<{lanes} x i32> zeroinitializer",
            ]
            for j in range(self.vectors):
                operands = f"{vec} %a{i}, {vec} %b{j}, {vec} %s{i}.{j}"
                lines.append(
                    f"  %n{i}.{j} = call {vec} @llvm.fmuladd.{self.short}({operands})"
                )
        return lines

    def stores(self) -> list[str]:
        """Block ``done``, which stores ``%n`` in `rows` and `cols`, to the end."""
        return [*self._plain_stores(), *self._masked_stores(), "end:", "  ret void"]

    def _plain_stores(self) -> list[str]:
        """A whole tile: stored, or added to what is there."""
        lines = [
            "done:",
            f"  %all.rows = icmp eq i64 %rows, {self.height}",
            f"  %all.cols = icmp eq i64 %cols, {self.width}",
            "  %whole = and i1 %all.rows, %all.cols",
            "  br i1 %whole, label %plain, label %masks",
            "plain:",
        ]
        for i, j in self.cells:
            place = f"ptr %c{i}, i64 {j * self.lanes}"
            lines.append(f"  %d{i}.{j} = getelementptr {self.scalar}, {place}")
        lines += ["  br i1 %add, label %sums, label %stores", "stores:"]
        store = f"store {self.vec} %{{}}, ptr %d{{}}, align {self.bytes}"
        for i, j in self.cells:
            cell = f"{i}.{j}"
            lines.append("  " + store.format("n" + cell, cell))
        lines += ["  br label %end", "sums:"]
        for i, j in self.cells:
            cell = f"{i}.{j}"
            lines += [
                f"  %f{cell} = load {self.vec}, ptr %d{cell}, align {self.bytes}",
                f"  %g{cell} = fadd {self.vec} %n{cell}, %f{cell}",
                "  " + store.format("g" + cell, cell),
            ]
        return [*lines, "  br label %end"]

    def _masked_stores(self) -> list[str]:
        mask, lines = f"<{self.lanes} x i1>", ["masks:"]
        index = f"<{self.lanes} x i64>"
        lines += [
            f"  %m.i = insertelement {index} poison, i64 %cols, i32 0",
            f"  %m.v = shufflevector {index} %m.i, {index} poison, "
            f"<{self.lanes} x i32> zeroinitializer",
            f"  %add.i = insertelement {mask} poison, i1 %add, i32 0",
            f"  %add.v = shufflevector {mask} %add.i, {mask} poison, "
            f"<{self.lanes} x i32> zeroinitializer",
        ]
        for j in range(self.vectors):
            first = j * self.lanes
            places = ", ".join(f"i64 {first + x}" for x in range(self.lanes))
            lines += [
                f"  %w{j} = icmp slt {index} <{places}>, %m.v",
                f"  %u{j} = and {mask} %w{j}, %add.v",
            ]
        lines.append("  br label %row0")
        for i in range(self.height):
            lines += self._masked_row(i)
        return lines

    def _masked_row(self, i: int) -> list[str]:
        vec, mask = self.vec, f"<{self.lanes} x i1>"
        after = f"row{i + 1}.test" if i + 1 < self.height else "end"
        lines = [f"row{i}:"]
        for j in range(self.vectors):
            lines += [
                f"  %e{i}.{j} = getelementptr {self.scalar}, ptr %c{i}, "
                f"i64 {j * self.lanes}",
                f"  %old{i}.{j} = call {vec} @llvm.masked.load.{self.short}.p0("
                f"ptr %e{i}.{j}, i32 {self.bytes}, {mask} %u{j}, "
                f"{vec} zeroinitializer)",
                f"  %sum{i}.{j} = fadd {vec} %n{i}.{j}, %old{i}.{j}",
                f"  call void @llvm.masked.store.{self.short}.p0({vec} %sum{i}.{j}, "
                f"ptr %e{i}.{j}, i32 {self.bytes}, {mask} %w{j})",
            ]
        lines.append(f"  br label %{after}")
        if i + 1 < self.height:
            lines += [
                f"row{i + 1}.test:",
                f"  %has{i + 1} = icmp sgt i64 %rows, {i + 1}",
                f"  br i1 %has{i + 1}, label %row{i + 1}, label %end",
            ]
        return lines


# out[l, j] = B[l * sk + j * sn] for l < k and j < cols, zero for cols <= j < width.
# The inner loop runs along the unit stride of B; where that is K, in strips whose rows
# of the panel stay in the L1 cache until all columns are written.
_PACK = """
define internal void @pack(ptr noalias %B, i64 %k, i64 %cols, i64 %sk, i64 %sn,
  i64 %width, ptr noalias %out) noinline {
entry:
  %short = icmp slt i64 %cols, %width
  br i1 %short, label %clear, label %choose
clear:
  %cells = mul i64 %k, %width
  %end.p = getelementptr @T@, ptr null, i64 %cells
  %bytes = ptrtoint ptr %end.p to i64
  call void @llvm.memset.p0.i64(ptr %out, i8 0, i64 %bytes, i1 false)
  br label %choose
choose:
  %by.row = icmp eq i64 %sn, 1
  br i1 %by.row, label %row, label %column

row:
  %l = phi i64 [0, %choose], [%l1, %row.next]
  %from.l = mul i64 %l, %sk
  %to.l = mul i64 %l, %width
  %from.row = getelementptr @T@, ptr %B, i64 %from.l
  %to.row = getelementptr @T@, ptr %out, i64 %to.l
  br label %row.cell
row.cell:
  %j = phi i64 [0, %row], [%j1, %row.cell]
  %from.j = getelementptr @T@, ptr %from.row, i64 %j
  %to.j = getelementptr @T@, ptr %to.row, i64 %j
  %x = load @T@, ptr %from.j
  store @T@ %x, ptr %to.j
  %j1 = add nsw nuw i64 %j, 1
  %more.j = icmp slt i64 %j1, %cols
  br i1 %more.j, label %row.cell, label %row.next
row.next:
  %l1 = add nsw nuw i64 %l, 1
  %more.l = icmp slt i64 %l1, %k
  br i1 %more.l, label %row, label %end

column:
  %t = phi i64 [0, %choose], [%t.end, %strip.next]
  %t.left = sub i64 %k, %t
  %t.size = call i64 @llvm.smin.i64(i64 %t.left, i64 @STRIP@)
  %t.end = add i64 %t, %t.size
  %t.cell = mul i64 %t, %width
  %from.t = getelementptr @T@, ptr %B, i64 %t
  %to.t = getelementptr @T@, ptr %out, i64 %t.cell
  br label %strip
strip:
  %c = phi i64 [0, %column], [%c1, %column.next]
  %from.c = mul i64 %c, %sn
  %from.col = getelementptr @T@, ptr %from.t, i64 %from.c
  %to.col = getelementptr @T@, ptr %to.t, i64 %c
  br label %column.cell
column.cell:
  %d = phi i64 [0, %strip], [%d1, %column.cell]
  %to.d = mul i64 %d, %width
  %from.p = getelementptr @T@, ptr %from.col, i64 %d
  %to.p = getelementptr @T@, ptr %to.col, i64 %to.d
  %y = load @T@, ptr %from.p
  store @T@ %y, ptr %to.p
  %d1 = add nsw nuw i64 %d, 1
  %more.d = icmp slt i64 %d1, %t.size
  br i1 %more.d, label %column.cell, label %column.next
column.next:
  %c1 = add nsw nuw i64 %c, 1
  %more.c = icmp slt i64 %c1, %cols
  br i1 %more.c, label %strip, label %strip.next
strip.next:
  %more.t = icmp slt i64 %t.end, %k
  br i1 %more.t, label %column, label %end
end:
  ret void
}
"""

_PRODUCT = """
define void @micro_gemm(i32 %order, i32 %ta.32, i32 %tb.32, i32 %m.32, i32 %n.32,
  i32 %k.32, @T@ %alpha, ptr %A, i32 %lda.32, ptr %B, i32 %ldb.32, @T@ %beta, ptr %C,
  i32 %ldc.32) {
entry:
  %panel = alloca [@CELLS@ x @T@], align 64
  %m = sext i32 %m.32 to i64
  %n = sext i32 %n.32 to i64
  %k = sext i32 %k.32 to i64
  %lda = sext i32 %lda.32 to i64
  %ldb = sext i32 %ldb.32 to i64
  %ldc = sext i32 %ldc.32 to i64
  %ta = icmp eq i32 %ta.32, 112
  %tb = icmp eq i32 %tb.32, 112
  %a.rs = select i1 %ta, i64 1, i64 %lda
  %a.ks = select i1 %ta, i64 %lda, i64 1
  %b.ks = select i1 %tb, i64 1, i64 %ldb
  %b.ns = select i1 %tb, i64 %ldb, i64 1
  %adds = fcmp une @T@ %beta, 0.0
  %few = icmp slt i64 %m, @FEW@
  ; Blocks of K of equal length, each a chain of sums.
  %most = select i1 %ta, i64 @TURNED@, i64 @DEPTH@
  %k.up = add i64 %k, %most
  %k.up1 = sub i64 %k.up, 1
  %blocks = sdiv i64 %k.up1, %most
  %k.up2 = add i64 %k, %blocks
  %k.up3 = sub i64 %k.up2, 1
  %depth = sdiv i64 %k.up3, %blocks
  br label %k.body

k.body:
  %l = phi i64 [0, %entry], [%l.end, %k.next]
  %k.left = sub i64 %k, %l
  %kc = call i64 @llvm.smin.i64(i64 %k.left, i64 %depth)
  %l.end = add i64 %l, %kc
  %later = icmp sgt i64 %l, 0
  %add = or i1 %later, %adds
  %a.k = mul i64 %l, %a.ks
  %a.l = getelementptr @T@, ptr %A, i64 %a.k
  %b.k = mul i64 %l, %b.ks
  %b.l = getelementptr @T@, ptr %B, i64 %b.k
  br label %n.body

n.body:
  %j = phi i64 [0, %k.body], [%j.end, %n.next]
  %n.left = sub i64 %n, %j
@WIDTH@
  %cols = call i64 @llvm.smin.i64(i64 %n.left, i64 %width)
  %j.end = add i64 %j, %cols
  %b.n = mul i64 %j, %b.ns
  %b.j = getelementptr @T@, ptr %b.l, i64 %b.n
  %c.j = getelementptr @T@, ptr %C, i64 %j
  ; Read B where it is if its rows are whole panels, dense or read only a few times.
  %full = icmp eq i64 %cols, %width
  %dense = icmp eq i64 %b.ks, %width
  %unit = icmp eq i64 %b.ns, 1
  %good = or i1 %dense, %few
  %fine = and i1 %full, %unit
  %in.place = and i1 %fine, %good
  br i1 %in.place, label %rows, label %copy
copy:
  call void @pack(ptr %b.j, i64 %kc, i64 %cols, i64 %b.ks, i64 %b.ns, i64 %width,
    ptr %panel)
  br label %rows
rows:
  %b.p = phi ptr [%b.j, %n.body], [%panel, %copy]
  %b.step = phi i64 [%b.ks, %n.body], [%width, %copy]
  switch i64 %width, label %with@LAST@ [@CASES@]

@LOOPS@

n.next:
  %more.n = icmp slt i64 %j.end, %n
  br i1 %more.n, label %n.body, label %k.next
k.next:
  %more.k = icmp slt i64 %l.end, %k
  br i1 %more.k, label %k.body, label %end
end:
  ret void
}
"""

_ROWS = """
with@V@:
  br label %row@V@
row@V@:
  %i@V@ = phi i64 [0, %with@V@], [%i1@V@, %row@V@]
  %left@V@ = sub i64 %m, %i@V@
  %rows@V@ = call i64 @llvm.smin.i64(i64 %left@V@, i64 @HEIGHT@)
  %a.i@V@ = mul i64 %i@V@, %a.rs
  %a.p@V@ = getelementptr @T@, ptr %a.l, i64 %a.i@V@
  %c.i@V@ = mul i64 %i@V@, %ldc
  %c.p@V@ = getelementptr @T@, ptr %c.j, i64 %c.i@V@
  call void @tile@V@(i64 %kc, ptr %a.p@V@, i64 %a.rs, i64 %a.ks, i64 %rows@V@,
    ptr %b.p, i64 %b.step, ptr %c.p@V@, i64 %ldc, i64 %cols, i1 %add)
  %i1@V@ = add i64 %i@V@, @HEIGHT@
  %more@V@ = icmp slt i64 %i1@V@, %m
  br i1 %more@V@, label %row@V@, label %n.next
"""


def _product(scalar: str, dtype: DType, tiles: list[Tile]) -> str:
    loops = [
        _replace(_ROWS, V=tile.vectors, HEIGHT=tile.height, T=scalar) for tile in tiles
    ]
    cases = " ".join(f"i64 {t.width}, label %with{t.vectors}" for t in tiles[:-1])
    return _replace(
        _PRODUCT,
        T=scalar,
        CELLS=PANEL_DEPTH * PANEL_BYTES // dtype.itemsize,
        FEW=FEW_ROWS,
        TURNED=TURNED_DEPTH,
        DEPTH=PANEL_DEPTH,
        WIDTH=_width(tiles),
        LAST=tiles[-1].vectors,
        CASES=cases,
        LOOPS="\n".join(loops),
    )


def _width(tiles: list[Tile]) -> str:
    """The narrowest panel that holds the columns that are left, else the widest."""
    lines, width = [], str(tiles[-1].width)
    for tile in reversed(tiles[:-1]):
        here = f"%width{tile.vectors}" if tile is not tiles[0] else "%width"
        lines += [
            f"  %fits{tile.vectors} = icmp sle i64 %n.left, {tile.width}",
            f"  {here} = select i1 %fits{tile.vectors}, i64 {tile.width}, i64 {width}",
        ]
        width = here
    return "\n".join(lines)
