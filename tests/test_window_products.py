"""Convolutions that read their windows in place, judged by NumPy and interpreter."""

from __future__ import annotations

import ctypes
import itertools
from typing import Any

import numpy as np
import pytest

import compiler.ops  # noqa: F401  (fills the table of ops)
from compiler.driver import compile_graph
from compiler.ir.builder import GraphBuilder
from compiler.ir.dims import symbol
from compiler.ir.interpret import interpret
from compiler.ir.node import Graph
from compiler.ir.types import DType, TensorType, f32, f64
from compiler.kernels import native
from compiler.runtime.executable import Executable
from compiler.runtime.steps import StepTable, Words
from compiler.runtime.threadpool import ThreadPool
from compiler.runtime.window_products import (
    POSITION_BLOCK,
    Windows,
    window_gradient_steps,
    window_ir,
    window_offsets,
    window_product_steps,
)

TOLERANCE = {f32: 2e-6, f64: 1e-14}
DTYPES = pytest.mark.parametrize("dtype", [f32, f64], ids=str)


@pytest.fixture(scope="module", params=[1, 2, 3])
def pool(request: pytest.FixtureRequest) -> ThreadPool:
    return ThreadPool(request.param)


# images, sizes, depth, columns, window, strides, low, dilation
GEOMETRIES = (
    (3, (7, 6), 8, 16, (3, 3), (1, 1), (1, 1), (1, 1)),
    (2, (9, 8), 11, 112, (3, 2), (2, 1), (0, 1), (1, 2)),
    (5, (POSITION_BLOCK + 30,), 9, 48, (4,), (1,), (3,), (1,)),
    (1, (4, 3, 5), 8, 32, (2, 3, 2), (1, 1, 2), (0, 1, 1), (2, 1, 1)),
    (4, (1, 1), 17, 80, (1, 1), (1, 1), (0, 0), (1, 1)),
    (3, (8, 9), 1, 32, (3, 3), (1, 1), (1, 1), (1, 1)),
    (3, (8, 9), 3, 48, (2, 3), (2, 1), (1, 0), (1, 1)),
    (0, (5, 5), 8, 16, (3, 3), (1, 1), (0, 0), (1, 1)),
)


def positions(case: Any) -> tuple[int, ...]:
    """Positions of the windows when there is as much padding behind as in front."""
    _, sizes, _, _, window, strides, low, dilation = case
    axes = zip(sizes, window, strides, low, dilation, strict=True)
    return tuple((n + 2 * lo - (k - 1) * d - 1) // s + 1 for n, k, s, lo, d in axes)


def windows_of(case: Any) -> Windows:
    images, sizes, depth, _, window, strides, low, dilation = case
    place = (sizes, positions(case), window, strides, low, dilation)
    table = window_offsets(*place, (1,) * len(sizes), depth)
    return Windows(images, int(np.prod(sizes)) * depth, depth, table)


def columns_of(case: Any, x: np.ndarray) -> np.ndarray:
    """The windows, from slices of a padded array: float64 [n, p, taps * depth]."""
    images, _, depth, _, window, strides, low, dilation = case
    padded = np.pad(x, [(0, 0), *((lo, lo) for lo in low), (0, 0)]).astype(np.float64)
    out = positions(case)
    parts = []
    for tap in itertools.product(*map(range, window)):
        place = tuple(
            slice(k * d, k * d + (n - 1) * s + 1, s)
            for k, d, n, s in zip(tap, dilation, out, strides, strict=True)
        )
        parts.append(padded[(slice(None), *place)])
    stacked = np.stack(parts, axis=-2)
    return stacked.reshape(images, int(np.prod(out)), int(np.prod(window)) * depth)


def check(dtype: DType, got: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    """``got == a @ b``, by the sum of the magnitudes that were added."""
    b = b.astype(np.float64)
    scale = max(1, a.shape[-1]) ** 0.5 * TOLERANCE[dtype]
    assert (np.abs(got - a @ b) <= scale * (np.abs(a) @ np.abs(b))).all()


def operands(case: Any, dtype: DType) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The images, a filter, and a gradient of the output."""
    images, sizes, depth, columns, window, *_ = case
    rng = np.random.default_rng(depth + columns)
    shapes = (
        (images, *sizes, depth),
        (int(np.prod(window)) * depth, columns),
        (images, int(np.prod(positions(case))), columns),
    )
    x, w, g = (rng.standard_normal(shape).astype(dtype.np) for shape in shapes)
    return x, w, g


@DTYPES
@pytest.mark.parametrize("case", GEOMETRIES, ids=str)
def test_product_of_windows(pool: ThreadPool, dtype: DType, case: Any) -> None:
    x, w, g = operands(case, dtype)
    out = np.full(g.shape, np.nan, dtype.np)
    bufs, threads = Words(x, w, out), pool.num_threads
    steps = window_product_steps(dtype, windows_of(case), case[3], bufs, threads, "c")
    pool.run(StepTable(steps))
    check(dtype, out, columns_of(case, x), w)


@DTYPES
@pytest.mark.parametrize("case", GEOMETRIES, ids=str)
def test_gradient_of_the_filter(pool: ThreadPool, dtype: DType, case: Any) -> None:
    x, w, g = operands(case, dtype)
    out = np.full(w.shape, np.nan, dtype.np)
    bufs, threads = Words(x, g, out), pool.num_threads
    steps = window_gradient_steps(dtype, windows_of(case), case[3], bufs, threads, "g")
    table = StepTable(steps)
    pool.run(table)
    columns = columns_of(case, x).reshape(-1, w.shape[0])
    check(dtype, out, columns.T, g.reshape(-1, w.shape[1]))
    first = out.copy()
    pool.run(table)
    np.testing.assert_array_equal(out, first)


@DTYPES
def test_vectors_of_other_cpus(dtype: DType) -> None:
    case = GEOMETRIES[1]
    x, w, g = operands(case, dtype)
    windows = windows_of(case)
    sizes = (windows.positions, windows.taps, windows.depth, case[3])
    zeros = np.zeros(windows.depth, dtype.np)
    tables = (windows.offsets.ctypes.data, zeros.ctypes.data)
    columns = columns_of(case, x)
    flat = columns.reshape(-1, w.shape[0]).T
    for vector_bytes, rows in itertools.product((16, 32), (True, False)):
        name = "window_rows" if rows else "window_sums"
        out = np.full(g.shape if rows else w.shape, np.nan, dtype.np)
        ints = np.array([*tables, *sizes, windows.image_size, out.ctypes.data])
        bufs = np.array([a.ctypes.data for a in (x, w if rows else g, out)])
        text = window_ir(dtype, vector_bytes, name)
        address = native.compile_and_load(text, [name])[name]
        extent = case[0] * (windows.positions if rows else 1)
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in (bufs, ints)]
        native.KERNEL_SIGNATURE(address)(0, extent, 0, *pointers)
        if rows:
            check(dtype, out, columns, w)
        else:
            check(dtype, out, flat, g.reshape(-1, w.shape[1]))


def test_offsets_of_a_small_image() -> None:
    ones = (1, 1)
    table = window_offsets((2, 3), (2, 3), (3, 1), ones, (1, 0), ones, ones, depth=10)
    expected = [
        [-1, 0, 30],
        [-1, 10, 40],
        [-1, 20, 50],
        [0, 30, -1],
        [10, 40, -1],
        [20, 50, -1],
    ]
    assert table.tolist() == expected


def test_offsets_between_spaced_elements() -> None:
    one = (1,)
    table = window_offsets((2,), (4,), (3,), one, (2,), one, (2,), depth=5)
    # The image is seen as 0, none, 5, with two zeros in front.
    assert table.tolist() == [[-1, -1, 0], [-1, 0, -1], [0, -1, 5], [-1, 5, -1]]


# -- whole programs -------------------------------------------------------------------


def convolution_graph(
    x_shape: tuple[Any, ...], w_shape: tuple[int, ...], dtype: DType = f32, **attrs: Any
) -> Graph:
    """A convolution and both of its gradients."""
    b = GraphBuilder()
    x, w = (b.parameter(TensorType(dtype, s)) for s in (x_shape, w_shape))
    y = b.convolution(x, w, **attrs)
    g = b.parameter(b.type_of(y))
    dx = b.convolution_input_gradient(g, w, shape=x_shape, **attrs)
    dw = b.convolution_filter_gradient(x, g, shape=w_shape, **attrs)
    return b.build([y, dx, dw])


def attributes(**changes: Any) -> dict[str, Any]:
    ones = (1, 1)
    base = {"strides": ones, "low": ones, "high": ones, "dilation": ones, "groups": 1}
    return base | changes


def arguments(graph: Graph, batch: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(5)
    shapes = [
        tuple(d if isinstance(d, int) else batch for d in t.shape)
        for t in graph.input_types
    ]
    dtypes = [t.dtype.np for t in graph.input_types]
    drawn = zip(shapes, dtypes, strict=True)
    return tuple(rng.standard_normal(s).astype(d) for s, d in drawn)


def compare(made: Executable, graph: Graph, given: tuple[np.ndarray, ...]) -> None:
    for got, expected in zip(made(given), interpret(graph, *given), strict=True):
        scale = 1e-5 * max(1.0, float(np.abs(expected).max(initial=0)))
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=scale)


def in_place(made: Executable) -> int:
    return sum(item.windows is not None for item in made.schedule.walk())


@pytest.mark.parametrize(
    ("x", "w", "changes", "count"),
    [
        ((3, 6, 7, 16), (3, 3, 16, 32), {}, 3),
        ((3, 6, 7, 16), (3, 2, 16, 16), {"dilation": (2, 1)}, 3),
        ((3, 7, 7, 16), (3, 3, 16, 32), {"strides": (2, 2)}, 3),
        ((3, 8, 6, 16), (3, 2, 16, 32), {"strides": (3, 2), "low": (0, 0)}, 3),
        # The gradient of few channels, odd numbers of them, and groups are written.
        ((3, 6, 7, 3), (3, 3, 3, 32), {}, 2),
        ((3, 6, 7, 16), (3, 3, 16, 7), {}, 1),
        ((3, 6, 7, 32), (3, 3, 16, 32), {"groups": 2}, 0),
    ],
    ids=str,
)
def test_convolutions(x: Any, w: Any, changes: Any, count: int) -> None:
    graph = convolution_graph(x, w, **attributes(**changes))
    made = compile_graph(graph)
    assert in_place(made) == count
    compare(made, graph, arguments(graph))


def test_any_number_of_images() -> None:
    graph = convolution_graph(
        (symbol("n"), 5, 5, 16), (3, 3, 16, 16), f64, **attributes()
    )
    made = compile_graph(graph)
    assert in_place(made) == 3
    for batch in (0, 1, 7):
        compare(made, graph, arguments(graph, batch))


def test_windows_that_are_a_result_are_written() -> None:
    b = GraphBuilder()
    x = b.parameter(TensorType(f32, (2, 6, 16)))
    w = b.parameter(TensorType(f32, (3, 16, 16)))
    one = {"strides": (1,), "low": (1,), "high": (1,), "dilation": (1,)}
    columns = b.patches(x, window=(3,), spacing=(1,), **one)
    graph = b.build([b.convolution(x, w, groups=1, **one), columns])
    made = compile_graph(graph)
    assert in_place(made) == 0
    compare(made, graph, arguments(graph))


def test_not_a_number_in_the_filter_meets_the_padding() -> None:
    graph = convolution_graph((1, 3, 3, 16), (3, 3, 16, 16), **attributes())
    x, w, g = arguments(graph)
    w[0, 0, 0, 0], x[0, 2, 2, 5] = np.nan, np.inf
    got, expected = compile_graph(graph)((x, w, g))[0], interpret(graph, x, w, g)[0]
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_array_equal(np.isinf(got), np.isinf(expected))
