"""Every op of the table against NumPy: types, values, derivatives, batch rules."""

from __future__ import annotations

import itertools
import zlib
from typing import Any

import numpy as np
import pytest

import compiler.ops  # noqa: F401
from compiler.ir import op as op_table
from compiler.ir.builder import infer_types
from compiler.ir.op import Kind, Op
from compiler.ir.types import type_of_array
from tests.numpy_builder import NumpyBuilder
from tests.op_samples import ALL, Sample

TABLE = op_table.table()
B = NumpyBuilder()
CASES = [
    pytest.param(TABLE[name], sample, id=f"{name}-{i}")
    for name, samples in sorted(ALL.items())
    for i, sample in enumerate(samples)
]
# A parameter has no value of its own; control flow has graphs for attributes and tests
# of its own.
WITHOUT_SAMPLES = {"parameter"} | {
    n for n, r in TABLE.items() if r.kind is Kind.CONTROL
}


def test_every_record_has_samples_and_documentation() -> None:
    missing = {n for n in TABLE if not ALL.get(n)} - WITHOUT_SAMPLES
    assert not missing
    assert set(ALL) <= set(TABLE)
    assert all(record.doc for record in TABLE.values())


def run(op: Op, *inputs: Any, **attrs: Any) -> Any:
    """One op through the checking builder, always as a tuple."""
    result = B.apply(op, inputs, attrs)
    return result if isinstance(result, tuple) else (result,)


def assert_close(
    actual: np.ndarray, expected: Any, ulp: float, atol: float = 0.0
) -> None:
    """Equal within `ulp` units in the last place; NaN equals NaN."""
    expected = np.asarray(expected)
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    if actual.dtype.kind in "biu":
        np.testing.assert_array_equal(actual, expected)
        return
    if actual.dtype.kind == "c":
        eps, dtype = np.finfo(actual.dtype).eps, np.complex128
    elif actual.dtype.kind == "V":
        eps, dtype = 2.0**-7, np.float64
    else:
        eps, dtype = np.finfo(actual.dtype).eps, np.float64
    tiny = 1e-7 if actual.dtype.itemsize == 2 else 1e-40 if eps > 1e-10 else 1e-300
    np.testing.assert_allclose(
        actual.astype(dtype), expected.astype(dtype), rtol=ulp * eps, atol=atol or tiny
    )


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_evaluate(op: Op, sample: Sample) -> None:
    before = [x.copy() for x in sample.inputs]
    results = run(op, *sample.inputs, **sample.attrs)
    for x, copy in zip(sample.inputs, before, strict=True):
        assert x.tobytes() == copy.tobytes()
    assert all(r.flags.c_contiguous for r in results)
    if sample.reference is None:
        return
    with np.errstate(all="ignore"):
        expected = sample.reference(*sample.inputs, **sample.attrs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for result, value in zip(results, expected, strict=True):
        assert_close(result, value, sample.ulp, sample.atol)


def is_inexact(x: np.ndarray) -> bool:
    return x.dtype in (np.float64, np.complex128)


GRADIENTS = [
    case
    for case in CASES
    if case.values[0].vjp
    and case.values[1].grad
    and any(map(is_inexact, case.values[1].inputs))
]


def direction_like(x: np.ndarray, seed: str) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(f"{x.shape}{seed}".encode()))
    value = rng.normal(size=x.shape)
    if x.dtype.kind == "c":
        value = value + 1j * rng.normal(size=x.shape)
    return np.asarray(value).astype(x.dtype)


def pairing(g: Any, tangent: Any) -> float:
    """The pairing under which a vjp is the transpose of a jvp (no conjugation)."""
    return float(np.real(np.sum(g * tangent)))


def finite_difference(
    op: Op, sample: Sample, tangents: list[np.ndarray | None]
) -> tuple[np.ndarray, ...]:
    step = 1e-6

    def moved(sign: int) -> tuple[np.ndarray, ...]:
        xs = [
            x if t is None else np.asarray(x + sign * step * t)
            for x, t in zip(sample.inputs, tangents, strict=True)
        ]
        return run(op, *xs, **sample.attrs)

    return tuple(
        (up - down) / (2 * step) if is_inexact(up) else np.zeros(up.shape)
        for up, down in zip(moved(1), moved(-1), strict=True)
    )


def tangent_choices(sample: Sample) -> list[list[np.ndarray | None]]:
    """A tangent for all operands, then for each alone."""
    everything = [
        direction_like(x, f"t{i}") if is_inexact(x) else None
        for i, x in enumerate(sample.inputs)
    ]
    count = sum(t is not None for t in everything)
    singles = [
        [t if i == j else None for i, t in enumerate(everything)]
        for j, chosen in enumerate(everything)
        if chosen is not None
    ]
    return [everything, *(singles if count > 1 else [])]


def assert_near(actual: Any, expected: Any, scale: float = 1.0) -> None:
    np.testing.assert_allclose(actual, expected, rtol=2e-6, atol=2e-7 * scale)


@pytest.mark.parametrize(("op", "sample"), GRADIENTS)
def test_jvp_against_finite_differences(op: Op, sample: Sample) -> None:
    results = run(op, *sample.inputs, **sample.attrs)
    y = results if len(results) > 1 else results[0]
    for tangents in tangent_choices(sample):
        numeric = finite_difference(op, sample, tangents)
        ours = op.jvp(B, tuple(tangents), y, *sample.inputs, **sample.attrs)
        ours = ours if isinstance(ours, tuple) else (ours,)
        for tangent, value, result in zip(ours, numeric, results, strict=True):
            if not is_inexact(result):
                assert tangent is None
                continue
            if tangent is None:
                tangent = np.zeros_like(result)
            assert tangent.dtype == result.dtype
            assert tangent.shape == result.shape
            assert_near(tangent, value, max(1.0, np.abs(value).max(initial=0)))
    nothing = op.jvp(B, (None,) * len(sample.inputs), y, *sample.inputs, **sample.attrs)
    assert nothing is None or all(part is None for part in nothing)


@pytest.mark.parametrize(("op", "sample"), GRADIENTS)
def test_vjp_is_the_transpose_of_the_jvp(op: Op, sample: Sample) -> None:
    results = run(op, *sample.inputs, **sample.attrs)
    single = len(results) == 1
    y = results[0] if single else results
    if not any(map(is_inexact, results)):
        return
    gs = tuple(
        direction_like(r, f"g{i}") if is_inexact(r) else None
        for i, r in enumerate(results)
    )
    g = gs[0] if single else gs
    cotangents = op.vjp(B, g, y, *sample.inputs, **sample.attrs)
    assert len(cotangents) == len(sample.inputs)
    for tangents in tangent_choices(sample):
        numeric = finite_difference(op, sample, tangents)
        pairs = zip(gs, numeric, strict=True)
        forward = sum(pairing(a, b) for a, b in pairs if a is not None)
        backward = 0.0
        for ct, x, tangent in zip(cotangents, sample.inputs, tangents, strict=True):
            if tangent is None:
                continue
            assert ct.dtype == x.dtype
            assert ct.shape == x.shape
            backward += pairing(ct, tangent)
        assert_near(backward, forward, 1 + abs(forward))
    for ct, x in zip(cotangents, sample.inputs, strict=True):
        assert is_inexact(x) or ct is None


def batch_layouts(sample: Sample) -> list[list[int | None]]:
    """Batch axes to try: all first, all last, each operand alone."""
    count = len(sample.inputs)
    layouts: list[list[int | None]] = [[0] * count]
    layouts.append([x.ndim for x in sample.inputs])
    if count > 1:
        for i in range(count):
            layouts.append([0 if i == j else None for j in range(count)])
            layouts.append(
                [None if i == j else x.ndim for j, x in enumerate(sample.inputs)]
            )
    return layouts


def batched_inputs(sample: Sample, layout: list[int | None]) -> list[np.ndarray]:
    size = 3
    return [
        x
        if dim is None
        else np.stack([np.roll(x, i).reshape(x.shape) for i in range(size)], axis=dim)
        for x, dim in zip(sample.inputs, layout, strict=True)
    ]


@pytest.mark.parametrize(
    ("op", "sample"),
    [
        c
        for c in CASES
        if c.values[0].batch and c.values[1].batch and c.values[1].inputs
    ],
)
def test_batch_against_a_loop(op: Op, sample: Sample) -> None:
    for layout in batch_layouts(sample):
        xs = batched_inputs(sample, layout)
        results, dims = op.batch(B, tuple(xs), tuple(layout), **sample.attrs)
        if not isinstance(results, tuple):
            results, dims = (results,), (dims,)
        elif not isinstance(dims, tuple):
            dims = (dims,) * len(results)
        for i in range(3):
            one = [
                x if d is None else np.take(x, i, axis=d)
                for x, d in zip(xs, layout, strict=True)
            ]
            expected = run(op, *map(np.asarray, one), **sample.attrs)
            for result, dim, value in zip(results, dims, expected, strict=True):
                part = result if dim is None else np.take(result, i, axis=dim)
                assert_close(np.asarray(part), value, 64, sample.atol)


@pytest.mark.parametrize(("bits", "dtype"), [(32, np.uint32), (64, np.uint64)])
def test_random_bits_equal_jax(bits: int, dtype: type) -> None:
    jax = pytest.importorskip("jax")
    key = np.array([7, 42], np.uint32)
    with jax.threefry_partitionable(True), jax.enable_x64(True):
        theirs = jax.random.bits(jax.random.wrap_key_data(key), (3, 5), dtype)
    (ours,) = run(TABLE["rng_bits"], key, shape=(3, 5), bits=bits)
    np.testing.assert_array_equal(ours, np.asarray(theirs))


def test_second_derivative_of_a_product_with_zeros() -> None:
    """The Hessian of prod(x), through the rules' own rules."""
    x = np.array([0.0, 0.0, 3.0])
    op = TABLE["reduce_prod"]

    def gradient(values: np.ndarray) -> np.ndarray:
        (y,) = run(op, values, axes=(0,))
        return op.vjp(B, np.ones(()), y, values, axes=(0,))[0]

    step = 1e-6
    hessian = [
        (gradient(x + step * e) - gradient(x - step * e)) / (2 * step)
        for e in np.eye(3)
    ]
    expected = np.array([[0, 3, 0], [3, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(hessian, expected, atol=1e-6)


def test_gradient_of_matmul_needs_no_transpose() -> None:
    for (i, p_shape), (j, q_shape) in itertools.product(
        ((1, (2, 3)), (0, (3, 2))), ((0, (3, 4)), (1, (4, 3)))
    ):
        used: list[str] = []

        class Recorder(NumpyBuilder):
            def apply(self, op: Op, inputs: Any, attrs: Any, used=used) -> Any:
                used.append(op.name)
                return super().apply(op, inputs, attrs)

        attrs = {"contract": ((i,), (j,)), "batch": ((), ())}
        p, q = np.ones(p_shape), np.ones(q_shape)
        (y,) = run(TABLE["dot_general"], p, q, **attrs)
        TABLE["dot_general"].vjp(Recorder(), y, y, p, q, **attrs)
        assert used == ["dot_general", "dot_general"]


def test_types_of_results_are_checked_for_all_samples() -> None:
    for name, samples in ALL.items():
        for sample in samples:
            types = tuple(type_of_array(x) for x in sample.inputs)
            assert infer_types(TABLE[name], types, sample.attrs)
