"""Random graphs for property tests: well-conditioned programs over nasty values.

Every program is built so that two correct evaluations agree to rounding: comparisons
look at parameters only, growth is bounded by tanh, and sums see no values so large that
the order of summation decides whether they overflow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import compiler.ops  # noqa: F401
from compiler.ir.builder import GraphBuilder
from compiler.ir.dims import SymDim, symbol
from compiler.ir.node import Graph, Value
from compiler.ir.types import DType, TensorType, f32, f64, i32, u32

NASTY = (np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-42, -1e-42, 1.0, -1.5, 3.0)
_UNARY = ("tanh", "logistic", "sine", "cosine", "abs", "negate", "erf", "floor")
_BINARY = ("add", "subtract", "multiply", "maximum", "minimum")


class Program:
    """A graph under construction, with the values made so far."""

    def __init__(self, draw: Any, dtype: DType, symbolic: bool) -> None:
        self.draw = draw
        self.b = GraphBuilder("random")
        self.dtype = dtype
        first = symbol("B") if symbolic else draw(st.sampled_from([0, 1, 2, 5, 33]))
        inner = draw(st.sampled_from([1, 3, 8, 40]))
        self.shape: tuple[Any, ...] = (first, inner)
        if draw(st.booleans()):
            self.shape = (first, draw(st.sampled_from([1, 2, 6])), inner)
        self.params = [self._param(self.shape) for _ in range(2)]
        self.params.append(self._param(self.shape[-1:]))
        self.params.append(self._param(self.shape[:1]))
        self.exact = list(self.params)
        self.values: list[Value] = list(self.params)

    def _param(self, shape: tuple[Any, ...]) -> Value:
        return self.b.parameter(TensorType(self.dtype, shape))

    def pick(self, rank: int | None = None) -> Value:
        """One of the values made so far."""
        fitting = [v for v in self.values if rank is None or v.type.rank == rank]
        return self.draw(st.sampled_from(fitting or self.values))

    def full(self, x: Value) -> Value:
        """`x` broadcast to the program's shape, by rows or by columns."""
        if x.shape == self.shape:
            return x
        rank = len(self.shape)
        if x.shape == self.shape[:1] and x.type.rank == 1:
            return self.b.broadcast_in_dim(x, dims=(0,), shape=self.shape)
        if x.type.rank == 0 or x.shape == self.shape[-x.type.rank :]:
            return self.b.broadcast(x, self.shape)
        keep = tuple(range(rank - 1))
        if x.shape == self.shape[:-1]:
            return self.b.broadcast_in_dim(x, dims=keep, shape=self.shape)
        return self.params[0]

    def step(self) -> None:
        """Add one random operation."""
        kind = self.draw(st.sampled_from(_STEPS))
        value = getattr(self, f"_{kind}")()
        if value is not None:
            self.values.append(value)

    def _unary(self) -> Value:
        name = self.draw(st.sampled_from(_UNARY))
        x = self.draw(st.sampled_from(self.exact)) if name == "floor" else self.pick()
        return getattr(self.b, name)(x)

    def _binary(self) -> Value:
        name = self.draw(st.sampled_from(_BINARY))
        return getattr(self.b, name)(self.full(self.pick()), self.full(self.pick()))

    def _exp(self) -> Value:
        return self.b.exponential(self.b.tanh(self.pick()))

    def _divide(self) -> Value:
        x, y = self.full(self.pick()), self.full(self.pick())
        y = self.b.add(self.b.abs(y), self.b.ones_like(y))
        return self.b.divide(x, y)

    def _select(self) -> Value:
        x = self.full(self.draw(st.sampled_from(self.exact)))
        y = self.full(self.draw(st.sampled_from(self.exact)))
        direction = self.draw(st.sampled_from(["LT", "GE", "EQ", "NE"]))
        c = self.b.compare(x, y, direction=direction)
        return self.b.select(c, self.full(self.pick()), self.full(self.pick()))

    def _sum(self) -> Value:
        x = self.b.tanh(self.pick())
        axes = self.draw(st.sets(st.integers(0, max(x.type.rank - 1, 0))))
        axes = tuple(sorted(a for a in axes if a < x.type.rank))
        return self.b.reduce_sum(x, axes=axes)

    def _max(self) -> Value | None:
        x = self.pick()
        if x.type.rank == 0:
            return None
        name = self.draw(st.sampled_from(["reduce_max", "reduce_min"]))
        axis = self.draw(st.integers(0, x.type.rank - 1))
        return getattr(self.b, name)(x, axes=(axis,))

    def _normalise(self) -> Value:
        """Softmax-like: reduce the last axis, use the result over it."""
        x = self.b.tanh(self.full(self.pick()))
        axes = (len(self.shape) - 1,)
        top = self.b.keep_dims(self.b.reduce_max(x, axes=axes), axes, x)
        e = self.b.exponential(self.b.subtract(x, top))
        total = self.b.keep_dims(self.b.reduce_sum(e, axes=axes), axes, x)
        return self.b.divide(e, total)

    def _transpose(self) -> Value:
        x = self.pick()
        permutation = self.draw(st.permutations(range(x.type.rank)))
        return self.b.transpose(x, permutation=tuple(permutation))

    def _reshape(self) -> Value | None:
        x = self.pick()
        if x.type.rank < 2:
            return None
        merged = (*x.shape[:-2], x.shape[-2] * x.shape[-1])
        flat = self.b.reshape(self.b.tanh(x), shape=merged)
        back = self.b.cosine(flat)
        return self.b.reshape(back, shape=x.shape)

    def _slice(self) -> Value | None:
        x = self.pick()
        if x.type.rank == 0 or isinstance(x.shape[-1], SymDim) or x.shape[-1] < 2:
            return None
        fixed = all(not isinstance(d, SymDim) for d in x.shape)
        if not fixed:
            return None
        start = (*(0 for _ in x.shape[:-1]), 1)
        return self.b.slice(x, start=start, limit=x.shape, strides=(1,) * x.type.rank)

    def _pad(self) -> Value | None:
        x = self.pick()
        if x.type.rank == 0 or any(isinstance(d, SymDim) for d in x.shape):
            return None
        zeros = (0,) * (x.type.rank - 1)
        value = self.b.scalar(0.5, x.dtype)
        return self.b.pad(
            x, value, low=(*zeros, 1), high=(*zeros, 2), interior=(*zeros, 1)
        )

    def _concatenate(self) -> Value:
        x = self.full(self.pick())
        y = self.full(self.pick())
        return self.b.concatenate(x, y, dimension=len(self.shape) - 1)

    def _reverse(self) -> Value | None:
        x = self.pick()
        return self.b.reverse(x, dims=(x.type.rank - 1,)) if x.type.rank else None

    def _position(self) -> Value:
        iota = self.b.iota(type=TensorType(i32, self.shape), dim=len(self.shape) - 1)
        return self.b.tanh(self.b.convert(iota, dtype=self.dtype))

    def _random(self) -> Value:
        key = self.b.constant(np.array([7, 9], np.uint32))
        bits = self.b.rng_bits(key, shape=self.shape, bits=32)
        shift = self.b.full(9, TensorType(u32, self.shape))
        small = self.b.shift_right_logical(bits, shift)
        return self.b.multiply(
            self.b.convert(small, dtype=self.dtype),
            self.b.full(2.0**-23, TensorType(self.dtype, self.shape)),
        )

    def _size(self) -> Value:
        n = self.b.get_dimension_size(self.params[0], dim=0)
        n = self.b.convert(n, dtype=self.dtype)
        x = self.full(self.pick())
        one = self.b.ones_like(x)
        return self.b.divide(x, self.b.add(self.b.broadcast(n, self.shape), one))

    def _dot(self) -> Value:
        x = self.b.tanh(self.full(self.pick()))
        y = self.b.tanh(self.full(self.pick()))
        last = len(self.shape) - 1
        batch = ((0,), (0,)) if len(self.shape) == 3 else ((), ())
        return self.b.dot_general(x, y, contract=((last,), (last,)), batch=batch)


_STEPS = tuple(
    name[1:]
    for name in vars(Program)
    if name.startswith("_") and not name.startswith("__") and name != "_param"
)


@st.composite
def programs(draw: Any, max_ops: int = 14) -> tuple[Graph, list[np.ndarray]]:
    """A random graph and arrays to run it on."""
    dtype = draw(st.sampled_from([f32, f64]))
    program = Program(draw, dtype, symbolic=draw(st.booleans()))
    for _ in range(draw(st.integers(1, max_ops))):
        program.step()
    made = [v for v in program.values if v not in program.params]
    made = made or program.params[:1]
    outputs = draw(st.lists(st.sampled_from(made), min_size=1, max_size=4))
    graph = program.b.build([*outputs, made[-1]])
    size = draw(st.sampled_from([0, 1, 3, 17]))
    return graph, arrays_for(draw, graph, size)


def arrays_for(draw: Any, graph: Graph, size: int) -> list[np.ndarray]:
    """Arrays for the parameters of a graph; symbols are `size`."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    nasty = draw(st.booleans())
    arrays = []
    for type_ in graph.input_types:
        shape = tuple(size if isinstance(d, SymDim) else d for d in type_.shape)
        array = rng.normal(size=shape).astype(type_.dtype.np)
        if nasty and array.size:
            chosen = rng.random(shape) < 0.2
            array = np.where(chosen, rng.choice(NASTY, size=shape), array)
        arrays.append(np.ascontiguousarray(array.astype(type_.dtype.np)))
    return arrays


def assert_same(got: Any, want: Any, what: str = "") -> None:
    """Equal dtype and shape, equal values to a few roundings, NaN where NaN is."""
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.dtype == b.dtype, what
        assert a.shape == b.shape, what
        tight = a.dtype == np.float64
        np.testing.assert_allclose(
            a,
            b,
            rtol=1e-9 if tight else 2e-4,
            atol=1e-10 if tight else 2e-5,
            err_msg=what,
        )
