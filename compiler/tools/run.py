"""Run a graph file on given or random arrays; compare with the interpreter.

::

    python -m compiler.tools.run loss.ir --symbols B=32 --compare
    python -m compiler.tools.run loss.ir --inputs arrays.npz --interpret
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from compiler.driver import compile_graph
from compiler.errors import CompilerError
from compiler.ir.dims import concrete
from compiler.ir.interpret import interpret
from compiler.ir.node import Graph
from compiler.ir.types import TensorType, dtype_of, type_of_array
from compiler.tools import guarded, read_graph

# Relative error that another order of the same operations explains.
_TOLERANCE = {"f16": 1e-2, "bf16": 5e-2, "f32": 1e-4, "f64": 1e-10}
_TOLERANCE |= {"c64": 1e-4, "c128": 1e-10}
_DEFAULT_SIZE = 8


class Difference(NamedTuple):
    """How far one array is from another: largest errors, and whether that is close."""

    absolute: float
    relative: float
    ulps: float
    close: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status: 1 after an error or a mismatch."""
    args = _parser().parse_args(arguments)
    return guarded(lambda: _run(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m compiler.tools.run")
    add = parser.add_argument
    add("file", metavar="FILE", help="graph text; - is standard input")
    add("--seed", type=int, default=0, help="of the random arrays")
    add("--inputs", metavar="X.npz", help="arrays by parameter name, or arr_0, ...")
    add("--symbols", nargs="+", default=[], metavar="B=32", help="sizes of symbols")
    add("--compare", action="store_true", help="compare with the interpreter")
    add("--interpret", action="store_true", help="run the interpreter only")
    add("--rtol", type=float, help="largest relative error that is no mismatch")
    return parser


def _run(args: argparse.Namespace) -> int:
    graph = read_graph(args.file)
    arrays = _arguments(graph, args)
    results = _results(graph, arrays, interpreted=args.interpret)
    if not args.compare:
        for i, array in enumerate(results):
            print(f"result {i}: {type_of_array(array)}\n{array}")
        return 0
    return _compare(results, interpret(graph, *arrays), args.rtol)


def _results(
    graph: Graph, arrays: Sequence[np.ndarray], *, interpreted: bool
) -> Sequence[np.ndarray]:
    if interpreted:
        return interpret(graph, *arrays)
    # A result that replaces an input is written into its buffer: hand out copies.
    results: Sequence[np.ndarray] = compile_graph(graph)([a.copy() for a in arrays])
    return results


def _arguments(graph: Graph, args: argparse.Namespace) -> list[np.ndarray]:
    if args.inputs:
        return _load_inputs(graph, args.inputs)
    bindings = dict.fromkeys(graph.symbols(), _DEFAULT_SIZE)
    bindings |= _parse_symbols(args.symbols, graph)
    rng = np.random.default_rng(args.seed)
    return [random_array(t, bindings, rng) for t in graph.input_types]


def _parse_symbols(texts: Sequence[str], graph: Graph) -> dict[str, int]:
    sizes = {}
    for text in texts:
        name, _, size = text.partition("=")
        if name not in graph.symbols() or not size.isdigit():
            raise CompilerError(
                f"--symbols {text}: not the size of a symbol of {graph.name}",
                fix=f"SYMBOL=SIZE with a symbol of {list(graph.symbols())}",
            )
        sizes[name] = int(size)
    return sizes


def random_array(
    type_: TensorType, bindings: Mapping[str, int], rng: np.random.Generator
) -> np.ndarray:
    """A random array of a type: normal numbers, small non-negative integers, bits."""
    shape = tuple(concrete(d, bindings) for d in type_.shape)
    dtype = type_.dtype
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(np.bool_)
    if dtype.is_integer:
        return rng.integers(0, 8, shape).astype(dtype.np)
    values = rng.standard_normal(shape)
    if dtype.is_complex:
        return np.asarray(values + 1j * rng.standard_normal(shape)).astype(dtype.np)
    return np.asarray(values).astype(dtype.np)


def _load_inputs(graph: Graph, path: str) -> list[np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = dict(archive) if isinstance(archive, Mapping) else {}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise CompilerError(f"--inputs {path}: {error}") from None
    return [_find(found, p.attrs["name"], i) for i, p in enumerate(graph.params)]


def _find(found: Mapping[str, np.ndarray], name: str, i: int) -> np.ndarray:
    for key in (name, f"arr_{i}"):
        if key in found:
            return found[key]
    raise CompilerError(
        f"--inputs has no array for parameter %{name}; it has {sorted(found)}",
        fix="np.savez(path, name=array, ...)",
    )


def _compare(
    results: Sequence[np.ndarray], expected: Sequence[np.ndarray], rtol: float | None
) -> int:
    mismatches = 0
    for i, (got, want) in enumerate(zip(results, expected, strict=True)):
        found = difference(got, want, rtol)
        mismatches += not found.close
        print(
            f"result {i}: {type_of_array(want)}  "
            f"abs {found.absolute:.3g}  rel {found.relative:.3g}  "
            f"ulp {found.ulps:.4g}  {'ok' if found.close else 'MISMATCH'}"
        )
    return int(mismatches > 0)


def difference(
    got: np.ndarray, want: np.ndarray, rtol: float | None = None
) -> Difference:
    """Largest absolute, relative and ulp error of `got` against `want`.

    NaN equals NaN, an infinity only itself. Arrays are close when every error is at
    most `rtol` times the larger of the element and the mean magnitude of `want`
    (cancellation leaves small elements with the error of large ones). Without `rtol`
    it follows from the dtype; integers and booleans must be equal.
    """
    if got.dtype != want.dtype or got.shape != want.shape:
        return Difference(np.inf, np.inf, np.inf, False)
    dtype = dtype_of(want.dtype)
    rtol = _TOLERANCE.get(dtype.name, 0.0) if rtol is None else rtol
    ulps = _ulp_error(got, want) if dtype.is_float else np.zeros(want.shape)
    wide = np.complex128 if dtype.is_complex else np.float64
    a, b = got.astype(wide), want.astype(wide)
    with np.errstate(all="ignore"):
        same = (got == want) | (np.isnan(a) & np.isnan(b))
        error = np.where(same, 0.0, np.abs(a - b))
        error[np.isnan(error)] = np.inf
        size = np.where(np.isfinite(b), np.abs(b), 0.0)
        scale = np.maximum(size, size.mean() if size.size else 0.0)
        relative = np.where(error > 0, error / np.abs(b), 0.0)
    # Two large integers may differ and still be one float64.
    close = bool(np.all(same | ((error <= rtol * scale) & (rtol > 0))))
    return Difference(_max(error), _max(relative), _max(np.where(same, 0, ulps)), close)


def _max(errors: np.ndarray) -> float:
    return float(np.max(errors, initial=0.0))


def _ulp_error(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    a, b = _ordered(got), _ordered(want)
    return (np.maximum(a, b) - np.minimum(a, b)).astype(np.float64)


def _ordered(array: np.ndarray) -> np.ndarray:
    """Integers in the order of the floats; neighbours differ by one."""
    unsigned = np.dtype(f"u{array.dtype.itemsize}")
    bits = np.ascontiguousarray(array).view(unsigned).reshape(array.shape)
    sign = unsigned.type(1 << (8 * unsigned.itemsize - 1))
    return np.where(bits & sign, ~bits, bits | sign).astype(np.uint64)


if __name__ == "__main__":
    sys.exit(main())
