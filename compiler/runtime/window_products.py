"""Products of the windows of an array, which are never written down.

`window_product_steps` computes ``C[n, p, :] = sum over t, c of x[n, o(p, t) + c] *
B[t, c, :]`` and `window_gradient_steps` ``C[t, c, :] = sum over n, p of x[n, o(p, t) +
c] * B[n, p, :]``: a convolution and its filter's gradient. ``o`` is a table of where
the element t of the window at position p begins in an image, -1 outside of it, where
zeros are read. Register tiles as in `microgemm` read x through the table; the columns
of B are read in place, so their number is a multiple of `COLUMNS`.

Measured on two Zen 5 cores, f32, 64 images of 14x14, 3x3 windows, 32 and 64 channels,
in µs, against windows that are written and multiplied by `microgemm` or OpenBLAS:

=====================  ========  ================  ===============
product                in place  written, tiles    written, BLAS
=====================  ========  ================  ===============
forward                     950  230 + 900         230 + 3,130
input's gradient            950  470 + 1,130       850 + 2,530
filter's gradient         1,010  (as above) 1,190  (as above) 2,060
=====================  ========  ================  ===============

For 64 images of 28x28 with one channel, 32 columns: forward 230 against 315 + 150,
filter's gradient 230 against 180 over the same written windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from compiler.ir.types import DType, f32
from compiler.kernels.cache import default_cache
from compiler.runtime.device import cpu_device
from compiler.runtime.gemm import sum_step
from compiler.runtime.memory import default_buffer_pool
from compiler.runtime.microgemm import NARROW_ROWS, TILE_ROWS, Tile, declarations
from compiler.runtime.steps import Call, Words, chunks_for

VERSION = "window-products-2"

ROWS, DEEP, SHALLOW = "window_rows", "window_sums", "window_shallow_sums"
"""The steps: the product, and the gradient of filters with many or few channels."""

COLUMNS = 16
"""B's columns are a multiple of this: of the lanes of every vector."""
GRADIENT_VECTORS, GRADIENT_ROWS = 2, 8
"""Tiles of the filter's gradient: numbers of channels are often multiples of them."""
NARROW_GRADIENT_ROWS = 4
POSITION_BLOCK = 256
"""Positions whose part of B stays in cache for all elements of the window."""
GRAIN = 1 << 16
"""Multiplications that are worth a chunk."""

Ints = Sequence[int]


@dataclass(frozen=True, eq=False)
class Windows:
    """`images` images of `image_size` elements, and the table of their windows.

    ``offsets`` is int64 [positions, window elements]; `depth` channels are contiguous
    behind each offset.
    """

    images: int
    image_size: int
    depth: int
    offsets: np.ndarray

    @property
    def positions(self) -> int:
        """Windows of an image."""
        return self.offsets.shape[0]

    @property
    def taps(self) -> int:
        """Elements of a window."""
        return self.offsets.shape[1]


def window_offsets(
    sizes: Ints,
    out: Ints,
    window: Ints,
    strides: Ints,
    low: Ints,
    dilation: Ints,
    spacing: Ints,
    depth: int,
) -> np.ndarray:
    """The table of an image of spatial `sizes` whose elements have `depth` channels.

    The attributes are those of `patches`; between elements of the image, where its
    `spacing` puts zeros, nothing is read either.
    """
    total = np.zeros((1, 1), np.int64)
    inside = np.ones((1, 1), bool)
    axes = zip(sizes, out, window, strides, low, dilation, spacing, strict=True)
    for size, places, reach, stride, before, apart, space in axes:
        at = np.arange(places)[:, None] * stride + np.arange(reach) * apart - before
        at, rest = np.divmod(at, space)
        fits = (at >= 0) & (at < size) & (rest == 0)
        total = _outer(total * size, at, np.add)
        inside = _outer(inside, fits, np.logical_and)
    return np.where(inside, total * depth, -1)


def _outer(a: np.ndarray, b: np.ndarray, combine: np.ufunc) -> np.ndarray:
    """Tables of two groups of dimensions as the table of both."""
    both = combine(a[:, None, :, None], b[None, :, None, :])
    return both.reshape(a.shape[0] * b.shape[0], -1)


# -- steps ----------------------------------------------------------------------------


def window_product_steps(
    dtype: DType, windows: Windows, columns: int, bufs: Words, threads: int, name: str
) -> list[Call]:
    """The step for ``bufs = Words(x, B, C)``, B [taps, depth, columns], C [n, p, ...].

    Chunks divide the positions of all images.
    """
    w = windows
    rows = w.images * w.positions
    wanted = min(threads, rows * w.taps * w.depth * columns // GRAIN)
    fn = _step(dtype, ROWS)
    chunks = chunks_for(rows, wanted)
    return [Call(fn, bufs, _ints(dtype, w, columns), rows, chunks, 1, name)]


def window_gradient_steps(
    dtype: DType, windows: Windows, columns: int, bufs: Words, threads: int, name: str
) -> list[Call]:
    """The steps for ``bufs = Words(x, B, C)``, B [n, p, columns], C [taps, depth, ...].

    Chunks divide the images; each adds up a C of its own, which a second step sums.
    """
    w = windows
    size = w.taps * w.depth * columns
    wanted = min(threads, w.images * w.positions * size // GRAIN)
    chunks = chunks_for(w.images, wanted)
    fn = _step(dtype, DEEP if w.depth >= GRADIENT_ROWS else SHALLOW)
    parts = default_buffer_pool().empty((chunks, size), dtype.np)
    if w.images * w.positions == 0:
        parts[:] = 0  # nothing will be added up
    ints = _ints(dtype, w, columns, parts)
    first = Call(fn, bufs, ints, w.images, chunks, 1, name)
    sums = Words(parts, size, chunks, 0)
    return [first, Call(sum_step(dtype), bufs, sums, size, name=f"{name} sum")]


def _ints(dtype: DType, w: Windows, columns: int, parts: np.ndarray | int = 0) -> Words:
    zeros = np.zeros(w.depth, dtype.np)
    offsets = np.ascontiguousarray(w.offsets)
    sizes = (w.positions, w.taps, w.depth, columns, w.image_size)
    return Words(offsets, zeros, *sizes, parts)


_INTS = ("positions", "taps", "depth", "n", "image")


@cache
def _step(dtype: DType, symbol: str) -> int:
    """Address of the step `symbol`, compiled once per process."""
    text = window_ir(dtype, cpu_device().vector_bytes, symbol)
    parts = {"program": text, "target": "runtime", "generator": VERSION}
    return default_cache().get_or_compile(parts, lambda: text, symbol)


# -- text -----------------------------------------------------------------------------


def window_ir(dtype: DType, vector_bytes: int, symbol: str) -> str:
    """LLVM IR text of the step `symbol`: `ROWS`, `DEEP` or `SHALLOW`."""
    lanes = vector_bytes // dtype.itemsize
    scalar = "float" if dtype is f32 else "double"
    wide = vector_bytes == 64
    if symbol == ROWS:
        rows = TILE_ROWS if wide else NARROW_ROWS
        tiles = [Tile(scalar, lanes, v, h) for v, h in sorted(rows.items())]
        parts = [_rows_step(tiles), *map(_rows_tile, tiles)]
    else:
        height = GRADIENT_ROWS if wide else NARROW_GRADIENT_ROWS
        counts = range(1, GRADIENT_VECTORS + 1)
        tiles = [Tile(scalar, lanes, vectors, height) for vectors in counts]
        parts = [_sums_step(tiles, symbol), *(_sums_tile(t, symbol) for t in tiles)]
    return "\n".join([*parts, declarations(scalar, dtype, lanes)])


def _step_text(symbol: str, scalar: str, body: str) -> str:
    loads = "\n".join(
        f"  %{name}.at = getelementptr i64, ptr %ints, i64 {at}\n"
        f"  %{name} = load i64, ptr %{name}.at"
        for at, name in enumerate(_INTS, 2)
    )
    return f"""
define void @{symbol}(i64 %lo, i64 %hi, i64 %chunk, ptr %bufs, ptr %ints) {{
entry:
  %b.pp = getelementptr ptr, ptr %bufs, i64 1
  %c.pp = getelementptr ptr, ptr %bufs, i64 2
  %X = load ptr, ptr %bufs
  %B = load ptr, ptr %b.pp
  %C = load ptr, ptr %c.pp
  %offsets = load ptr, ptr %ints
  %zeros.at = getelementptr ptr, ptr %ints, i64 1
  %zeros = load ptr, ptr %zeros.at
{loads}
{body}
  ret void
}}
""".replace("@T@", scalar)


def _loop(name: str, start: str, stop: str, step: int, body: str) -> str:
    """``for name in range(start, stop, step)`` around blocks that end open."""
    return f"""
  br label %{name}.pre
{name}.pre:
  br label %{name}.test
{name}.test:
  %{name} = phi i64 [{start}, %{name}.pre], [%{name}.1, %{name}.next]
  %{name}.more = icmp slt i64 %{name}, {stop}
  br i1 %{name}.more, label %{name}.body, label %{name}.end
{name}.body:
{body}
  br label %{name}.next
{name}.next:
  %{name}.1 = add i64 %{name}, {step}
  br label %{name}.test
{name}.end:"""


def _panels(tiles: list[Tile], body: dict[int, str]) -> str:
    """All columns, in panels of the widest tile, then of the next one."""
    lines, start = [], "0"
    for tile in reversed(tiles):
        v = tile.vectors
        lines += [
            f"  %rest{v} = srem i64 %n, {tile.width}",
            f"  %stop{v} = sub i64 %n, %rest{v}",
            _loop(f"j{v}", start, f"%stop{v}", tile.width, body[v]),
        ]
        start = f"%stop{v}"
    return "\n".join(lines)


def _rows_step(tiles: list[Tile]) -> str:
    """Positions [lo, hi) of all images: for each panel of B, tiles of one image."""
    scalar = tiles[0].scalar
    bodies = {tile.vectors: _rows_panel(tile) for tile in tiles}
    return _step_text(ROWS, scalar, _panels(tiles, bodies))


def _rows_panel(tile: Tile) -> str:
    v = tile.vectors
    # The step of the loop is what is left of the image, so it is written out here.
    return f"""
  %b.j{v} = getelementptr @T@, ptr %B, i64 %j{v}
  %c.j{v} = getelementptr @T@, ptr %C, i64 %j{v}
  br label %r{v}.test
r{v}.test:
  %r{v} = phi i64 [%lo, %j{v}.body], [%r{v}.1, %r{v}.body]
  %r{v}.more = icmp slt i64 %r{v}, %hi
  br i1 %r{v}.more, label %r{v}.body, label %r{v}.end
r{v}.body:
  %i{v} = sdiv i64 %r{v}, %positions
  %first{v} = mul i64 %i{v}, %positions
  %p{v} = sub i64 %r{v}, %first{v}
  %left{v} = sub i64 %positions, %p{v}
  %mine{v} = sub i64 %hi, %r{v}
  %some{v} = call i64 @llvm.smin.i64(i64 %left{v}, i64 %mine{v})
  %rows{v} = call i64 @llvm.smin.i64(i64 %some{v}, i64 {tile.height})
  %x.i{v} = mul i64 %i{v}, %image
  %x{v} = getelementptr @T@, ptr %X, i64 %x.i{v}
  %o.i{v} = mul i64 %p{v}, %taps
  %o{v} = getelementptr i64, ptr %offsets, i64 %o.i{v}
  %c.i{v} = mul i64 %r{v}, %n
  %c{v} = getelementptr @T@, ptr %c.j{v}, i64 %c.i{v}
  call void @rows{v}(ptr %x{v}, ptr %zeros, ptr %o{v}, i64 %taps, i64 %depth,
    i64 %rows{v}, ptr %b.j{v}, ptr %c{v}, i64 %n)
  %r{v}.1 = add i64 %r{v}, %rows{v}
  br label %r{v}.test
r{v}.end:"""


def _rows_tile(tile: Tile) -> str:
    """``rows(x, zeros, offsets, taps, depth, rows, B, C, n)``: a tile of positions."""
    lines = [
        f"define internal void @rows{tile.vectors}(ptr %X, ptr %zeros, ptr %offsets, "
        "i64 %taps, i64 %depth, i64 %rows, ptr noalias %B, ptr noalias %C, i64 %ldc) "
        "noinline {",
        *("entry:", "  %last = sub i64 %rows, 1", f"  %cols = add i64 0, {tile.width}"),
        "  %add = icmp ne i64 0, 0",
    ]
    for i in range(tile.height):
        lines += [
            f"  %r{i} = call i64 @llvm.smin.i64(i64 {i}, i64 %last)",
            f"  %qo{i} = mul i64 %r{i}, %taps",
            f"  %q{i} = getelementptr i64, ptr %offsets, i64 %qo{i}",
        ]
    lines += [
        *tile.results(),
        "  br label %tap",
        "tap:",
        "  %t = phi i64 [0, %entry], [%t1, %tap.next]",
        "  %b.t = phi ptr [%B, %entry], [%b.next, %tap.next]",
    ]
    for i, j in tile.cells:
        zero = f"[zeroinitializer, %entry], [%n{i}.{j}, %tap.next]"
        lines.append(f"  %z{i}.{j} = phi {tile.vec} {zero}")
    for i in range(tile.height):
        lines.append(f"  %qt{i} = getelementptr i64, ptr %q{i}, i64 %t")
        lines += _address(tile.scalar, f"%qt{i}", str(i), "%X")
    lines += [
        "  br label %loop",
        "loop:",
        "  %l = phi i64 [0, %tap], [%l1, %loop]",
        "  %b = phi ptr [%b.t, %tap], [%b.next, %loop]",
    ]
    for i, j in tile.cells:
        start = f"[%z{i}.{j}, %tap], [%n{i}.{j}, %loop]"
        lines.append(f"  %s{i}.{j} = phi {tile.vec} {start}")
    lines += [
        *tile.products([f"ptr %p{i}, i64 %l" for i in range(tile.height)]),
        "  %l1 = add i64 %l, 1",
        f"  %b.next = getelementptr {tile.scalar}, ptr %b, i64 %ldc",
        "  %more = icmp slt i64 %l1, %depth",
        "  br i1 %more, label %loop, label %tap.next",
        "tap.next:",
        "  %t1 = add i64 %t, 1",
        "  %t.more = icmp slt i64 %t1, %taps",
        "  br i1 %t.more, label %tap, label %done",
    ]
    return "\n".join([*lines, *tile.stores(), "}"])


def _address(scalar: str, place: str, name: str, x: str) -> list[str]:
    """``%p``: where an element of a window begins; in the zeros, if outside."""
    return [
        f"  %o{name} = load i64, ptr {place}",
        f"  %out{name} = icmp slt i64 %o{name}, 0",
        f"  %in{name} = getelementptr {scalar}, ptr {x}, i64 %o{name}",
        f"  %p{name} = select i1 %out{name}, ptr %zeros, ptr %in{name}",
    ]


def _sums_step(tiles: list[Tile], symbol: str) -> str:
    """Images [lo, hi): blocks of positions, and for each all of C."""
    bodies = {tile.vectors: _sums_panel(tile, symbol) for tile in tiles}
    every = (_over_cells if symbol == SHALLOW else _over_taps)(tiles, bodies)
    block = f"""
  %p.left = sub i64 %positions, %p
  %count = call i64 @llvm.smin.i64(i64 %p.left, i64 {POSITION_BLOCK})
  %later.i = icmp sgt i64 %i, %lo
  %later.p = icmp sgt i64 %p, 0
  %add = or i1 %later.i, %later.p
  %o.p = mul i64 %p, %taps
  %b.ip = add i64 %b.i, %p
  %b.row = mul i64 %b.ip, %n
  %b.p = getelementptr @T@, ptr %B, i64 %b.row
{every}"""
    image = f"""
  %x.i = mul i64 %i, %image
  %b.i = mul i64 %i, %positions
{_loop("p", "0", "%positions", POSITION_BLOCK, block)}"""
    body = f"""
  %parts.at = getelementptr ptr, ptr %ints, i64 7
  %parts = load ptr, ptr %parts.at
  %cells = mul i64 %taps, %depth
  %size = mul i64 %cells, %n
  %own = mul i64 %chunk, %size
  %mine = getelementptr @T@, ptr %parts, i64 %own
{_loop("i", "%lo", "%hi", 1, image)}"""
    return _step_text(symbol, tiles[0].scalar, body)


def _over_taps(tiles: list[Tile], bodies: dict[int, str]) -> str:
    """Tiles of the channels of one element of the window."""
    height = tiles[0].height
    body = f"""
  %x.c = add i64 %x.i, %c
  %x.p = getelementptr @T@, ptr %X, i64 %x.c
  %c.left = sub i64 %depth, %c
  %rows = call i64 @llvm.smin.i64(i64 %c.left, i64 {height})
  %c.t = mul i64 %t, %depth
  %cell = add i64 %c.t, %c
  %c.row = mul i64 %cell, %n
  %c.p = getelementptr @T@, ptr %mine, i64 %c.row
  %o.t = add i64 %o.p, %t
{_panels(tiles, bodies)}"""
    return _loop("t", "0", "%taps", 1, _loop("c", "0", "%depth", height, body))


def _over_cells(tiles: list[Tile], bodies: dict[int, str]) -> str:
    """Tiles of several elements of the window, where each has few channels."""
    height = tiles[0].height
    body = f"""
  %x.p = getelementptr @T@, ptr %X, i64 %x.i
  %left = sub i64 %cells, %cell
  %rows = call i64 @llvm.smin.i64(i64 %left, i64 {height})
  %c.row = mul i64 %cell, %n
  %c.p = getelementptr @T@, ptr %mine, i64 %c.row
  %o.t = add i64 %o.p, 0
{_panels(tiles, bodies)}"""
    return _loop("cell", "0", "%cells", height, body)


def _sums_panel(tile: Tile, symbol: str) -> str:
    v = tile.vectors
    return f"""
  %b.j{v} = getelementptr @T@, ptr %b.p, i64 %j{v}
  %c.j{v} = getelementptr @T@, ptr %c.p, i64 %j{v}
  %o{v} = getelementptr i64, ptr %offsets, i64 %o.t
  call void @sums{v}(ptr %x.p, ptr %zeros, ptr %o{v}, i64 %taps, i64 %depth, i64 %cell,
    i64 %count, i64 %rows, ptr %b.j{v}, ptr %c.j{v}, i64 %n, i1 %add)"""


def _sums_tile(tile: Tile, symbol: str) -> str:
    """``sums(x, zeros, offsets, taps, depth, cell, count, rows, B, C, n, add)``.

    Rows of the filter from `cell` on: channels of one element of the window, or
    elements with their channels, which are found each by itself.
    """
    shallow = symbol == SHALLOW
    lines = [
        f"define internal void @sums{tile.vectors}(ptr %X, ptr %zeros, ptr %offsets, "
        "i64 %taps, i64 %depth, i64 %cell, i64 %count, i64 %rows, ptr noalias %B, "
        "ptr noalias %C, i64 %ldc, i1 %add) noinline {",
        *("entry:", "  %last = sub i64 %rows, 1", f"  %cols = add i64 0, {tile.width}"),
    ]
    for i in range(tile.height):
        lines.append(f"  %r{i} = call i64 @llvm.smin.i64(i64 {i}, i64 %last)")
        lines += _element(tile, i) if shallow else []
    lines += [
        *tile.results(),
        "  br label %loop",
        "loop:",
        "  %l = phi i64 [0, %entry], [%l1, %loop]",
        "  %at = phi i64 [0, %entry], [%at1, %loop]",
        "  %b = phi ptr [%B, %entry], [%b.next, %loop]",
    ]
    for i, j in tile.cells:
        start = f"[zeroinitializer, %entry], [%n{i}.{j}, %loop]"
        lines.append(f"  %s{i}.{j} = phi {tile.vec} {start}")
    lines += [
        *(_shallow_products(tile) if shallow else _deep_products(tile)),
        "  %l1 = add i64 %l, 1",
        "  %at1 = add i64 %at, %taps",
        f"  %b.next = getelementptr {tile.scalar}, ptr %b, i64 %ldc",
        "  %more = icmp slt i64 %l1, %count",
        "  br i1 %more, label %loop, label %done",
    ]
    return "\n".join([*lines, *tile.stores(), "}"])


def _deep_products(tile: Tile) -> list[str]:
    """Channels side by side, behind one offset."""
    return [
        "  %q = getelementptr i64, ptr %offsets, i64 %at",
        *_address(tile.scalar, "%q", "x", "%X"),
        *tile.products([f"ptr %px, i64 %r{i}" for i in range(tile.height)]),
    ]


def _element(tile: Tile, i: int) -> list[str]:
    """Where row i finds its offsets, and its channel in the image."""
    return [
        f"  %cell{i} = add i64 %cell, %r{i}",
        f"  %tap{i} = sdiv i64 %cell{i}, %depth",
        f"  %ch{i} = srem i64 %cell{i}, %depth",
        f"  %q{i} = getelementptr i64, ptr %offsets, i64 %tap{i}",
        f"  %x{i} = getelementptr {tile.scalar}, ptr %X, i64 %ch{i}",
    ]


def _shallow_products(tile: Tile) -> list[str]:
    lines = []
    for i in range(tile.height):
        lines.append(f"  %qa{i} = getelementptr i64, ptr %q{i}, i64 %at")
        lines += _address(tile.scalar, f"%qa{i}", str(i), f"%x{i}")
    return lines + tile.products([f"ptr %p{i}, i64 0" for i in range(tile.height)])
