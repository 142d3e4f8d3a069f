"""Compiles scalar expressions into array loops, for the tests of the scalar walkers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from compiler.ir import types as t
from compiler.ir.types import DType
from compiler.kernels.expr import Expr
from compiler.kernels.llvm_literals import memory_type
from compiler.kernels.llvm_scalar import LlvmScalar, link_scalar_functions
from compiler.kernels.native import KERNEL_SIGNATURE, compile_and_load

_LOOP = """\
define void @k(i64 %lo, i64 %hi, i64 %chunk, ptr %bufs, ptr %ints) {{
entry:
{pointers}
  br label %head
head:
  %i = phi i64 [ %lo, %entry ], [ %next, %body ]
  %more = icmp slt i64 %i, %hi
  br i1 %more, label %body, label %done
body:
{body}
  %next = add i64 %i, 1
  br label %head
done:
  ret void
}}
"""


NASTY = [0.0, -0.0, 1.0, -1.0, 0.5, -1.5, 2.5, 3.5, math.inf, -math.inf, math.nan]
NASTY += [1e-45, -1e-40, 5e-324, 2.0**31, -(2.0**31), 2.0**63, 2.0**64, 255.5, -128.7]
NASTY += [65504.0, 65520.0, 3.4e38, -3.4e38, 1.7e308, 6e-8, 1.0009766, 127.99]


def samples(dtype: DType, seed: int, count: int = 300) -> np.ndarray:
    """Nasty values, then random bits, then values of ordinary size."""
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        if dtype is t.bool_:
            return rng.random(count) < 0.5
        raw = rng.integers(0, 256, count * dtype.itemsize, np.uint8).view(dtype.np)
        if dtype.is_float:
            plain = (rng.normal(size=count) * 10).astype(dtype.np)
            return np.concatenate([np.array(NASTY).astype(dtype.np), raw, plain])
        info = np.iinfo(dtype.np)
        edges = [info.min, info.max, 0, 1, max(info.min, -1), info.max - 1, 7]
        small = rng.integers(0, 100, count).astype(dtype.np)
        return np.concatenate([np.array(edges, dtype.np), raw, small])


def pairs(dtype: DType) -> list[np.ndarray]:
    """Every pair of nasty values, and random pairs."""
    values = samples(dtype, 1)
    first = np.repeat(values[:28], 28), np.tile(values[:28], 28)
    return [
        np.concatenate([f, samples(dtype, seed)[-300:]])
        for f, seed in zip(first, (2, 3), strict=True)
    ]


def loop_ir(expr: Expr, params: dict[str, DType], *, contract: bool = True) -> str:
    """A kernel that computes `expr` for every element of its buffers."""
    lines: list[str] = []
    scalar = LlvmScalar(lines, contract=contract)
    pointers = []
    for n in range(len(params) + 1):
        pointers.append(f"  %s{n} = getelementptr ptr, ptr %bufs, i64 {n}")
        pointers.append(f"  %b{n} = load ptr, ptr %s{n}")
    for n, (name, dtype) in enumerate(params.items()):
        address = f"getelementptr {memory_type(dtype)}, ptr %b{n}, i64 %i"
        scalar.env[name] = scalar.load_element(dtype, scalar.emit(address))
    out = scalar.value(expr)
    slot = f"getelementptr {memory_type(expr.dtype)}, ptr %b{len(params)}, i64 %i"
    scalar.store_element(expr.dtype, out, scalar.emit(slot))
    text = _LOOP.format(pointers="\n".join(pointers), body="\n".join(lines))
    return link_scalar_functions(text)


def compiled(
    expr: Expr, params: dict[str, DType], *, contract: bool = True
) -> Callable[..., np.ndarray]:
    """`expr` as a native function of one array for each parameter."""
    address = compile_and_load(loop_ir(expr, params, contract=contract), ["k"])["k"]
    kernel = KERNEL_SIGNATURE(address)

    def run(*arrays: np.ndarray) -> np.ndarray:
        inputs = [np.ascontiguousarray(a) for a in arrays]
        out = np.empty(inputs[0].shape, expr.dtype.np)
        bufs = np.array([a.ctypes.data for a in (*inputs, out)], np.uintp)
        kernel(0, out.size, 0, bufs.ctypes.data, None)
        return out

    return run


def same_bits(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """True where bits are equal or both are NaN."""
    if a.dtype.kind in "biu":
        return a == b
    raw = np.dtype(f"u{a.dtype.itemsize}")
    with np.errstate(all="ignore"):
        nan = np.isnan(a.astype(np.float64)) & np.isnan(b.astype(np.float64))
    return (a.view(raw) == b.view(raw)) | nan
