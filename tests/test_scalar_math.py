"""Scalar functions against exact values: error bounds, special values, vectorising.

The compiled functions are measured, for they are what users run, and the NumPy
evaluation of the same expressions has to agree bit for bit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import cache

import mpmath
import numpy as np
import pytest

from compiler.errors import KernelError
from compiler.ir import types as t
from compiler.ir.types import DType
from compiler.kernels.expr import ScalarBuilder
from compiler.kernels.native import assembly_of
from compiler.kernels.numpy_scalar import evaluate
from compiler.kernels.scalar_math import FUNCTIONS, lookup
from tests.scalar_jit import compiled, loop_ir, same_bits

K = ScalarBuilder()
FLOATS = (t.f32, t.f64)
NASTY = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 1e30, -1e30, 1e-20]
NASTY += [math.inf, -math.inf, math.nan, 1e-40, -1e-40, 1e-45, 5e-324, 1e-310, 1e300]
Reference = Callable[..., np.ndarray]

mpmath.mp.prec = 120


@cache
def native(name: str, dtype: DType) -> Callable[..., np.ndarray]:
    """The compiled function on arrays."""
    params = {p.attr: dtype for p in lookup(name, dtype).params}
    call = K.call(name, *(K.var(p, dtype) for p in params))
    return compiled(call, params)


def _mp(function: Callable[..., mpmath.mpf]) -> Reference:
    """A reference on longdouble arrays from a scalar mpmath function."""

    def one(*args: np.longdouble) -> np.longdouble:
        exact = function(*(mpmath.mpf(float(a)) for a in args))
        return np.longdouble(mpmath.nstr(exact, 25))

    def reference(*arrays: np.ndarray) -> np.ndarray:
        rows = zip(*arrays, strict=True)
        return np.array([one(*row) for row in rows], np.longdouble)

    return reference


def _logistic(x: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, np.longdouble(1)) / (1 + small)


def _log_gamma(x: mpmath.mpf) -> mpmath.mpf:
    return mpmath.re(mpmath.loggamma(x))


def spread(rng: np.random.Generator, low: float, high: float, n: int) -> np.ndarray:
    """Powers of ten between the exponents `low` and `high`, of both signs."""
    return 10.0 ** rng.uniform(low, high, n) * rng.choice([-1.0, 1.0], n)


def _grid(dtype: DType, bounds: list[tuple[float, float]], n: int) -> np.ndarray:
    """Uniform samples of each range, and small numbers down to the denormals."""
    rng = np.random.default_rng(17)
    parts = [rng.uniform(low, high, n) for low, high in bounds]
    low = bounds[0][0]
    tiny = spread(rng, -44 if dtype is t.f32 else -320, 0, n)
    parts.append(np.abs(tiny) if low >= 0 else tiny)
    out = np.concatenate(parts).astype(dtype.np)
    return out[(out >= low) & (out <= max(h for _, h in bounds))]


def ulp_error(
    got: np.ndarray, exact: np.ndarray, dtype: DType, least: float = 0.0
) -> np.ndarray:
    """Errors in units in the last place of `exact` (of at least `least`)."""
    mantissa, smallest = (23, -126) if dtype is t.f32 else (52, -1022)
    with np.errstate(all="ignore"):
        size = np.maximum(np.abs(exact), least)
        exponent = np.where(size > 0, np.floor(np.log2(size)), smallest)
        exponent = np.maximum(np.where(np.isfinite(exponent), exponent, 0), smallest)
        unit = np.exp2((exponent - mantissa).astype(np.longdouble))
        error = np.abs(got.astype(np.longdouble) - exact) / unit
        rounded = exact.astype(dtype.np)
    return np.where((got == rounded) & np.isinf(rounded), 0, error).astype(float)


# name: reference, ranges for f32, ranges for f64
CASES: dict[str, tuple[Reference, list, list]] = {
    "exponential": (np.exp, [(-110, 95), (-1, 1)], [(-760, 720), (-1, 1)]),
    "exponential_minus_one": (np.expm1, [(-20, 90), (-1, 1)], [(-40, 711), (-1, 1)]),
    "log": (np.log, [(0, 3), (0, 1e38)], [(0, 3), (0, 1e300)]),
    "log_plus_one": (np.log1p, [(-1, 3), (0, 1e38)], [(-1, 3), (0, 1e300)]),
    "tanh": (np.tanh, [(-11, 11), (-1, 1)], [(-22, 22), (-1, 1)]),
    "logistic": (_logistic, [(-110, 110), (-9, 9)], [(-760, 760), (-9, 9)]),
    "erf": (_mp(mpmath.erf), [(-5, 5)], [(-7, 7)]),
    "sine": (np.sin, [(-1e6, 1e6), (-9, 9)], [(-1e9, 1e9), (-9, 9)]),
    "cosine": (np.cos, [(-1e6, 1e6), (-9, 9)], [(-1e9, 1e9), (-9, 9)]),
    "tan": (np.tan, [(-1e6, 1e6), (-9, 9)], [(-1e9, 1e9), (-9, 9)]),
    "atan": (np.arctan, [(-1e9, 1e9), (-9, 9)], [(-1e9, 1e9), (-9, 9)]),
    "asin": (np.arcsin, [(-1, 1)], [(-1, 1)]),
    "acos": (np.arccos, [(-1, 1)], [(-1, 1)]),
    "sinh": (np.sinh, [(-92, 92), (-3, 3)], [(-712, 712), (-3, 3)]),
    "cosh": (np.cosh, [(-92, 92), (-3, 3)], [(-712, 712), (-3, 3)]),
    "asinh": (np.arcsinh, [(-1e30, 1e30), (-9, 9)], [(-1e300, 1e300), (-9, 9)]),
    "acosh": (np.arccosh, [(1, 9), (1, 1e30)], [(1, 9), (1, 1e300)]),
    "atanh": (np.arctanh, [(-1, 1)], [(-1, 1)]),
    "rsqrt": (lambda x: 1 / np.sqrt(x), [(0, 9), (0, 1e38)], [(0, 9), (0, 1e300)]),
    "cbrt": (np.cbrt, [(-9, 9), (-1e38, 1e38)], [(-9, 9), (-1e300, 1e300)]),
    "erf_inv": (_mp(mpmath.erfinv), [(-1, 1)], [(-1, 1)]),
    "lgamma": (_mp(_log_gamma), [(0, 10), (0.9, 2.1)], [(0, 10), (0.9, 2.1)]),
    "digamma": (_mp(mpmath.digamma), [(0, 10), (0, 1e6)], [(0, 10), (0, 1e6)]),
}
_SLOW = {"erf": 3000, "erf_inv": 400, "lgamma": 700, "digamma": 1200}
_ABSOLUTE = {"lgamma", "digamma"}  # bounds relative to max(1, |result|)


def test_every_function_is_measured() -> None:
    names = {name for name, _ in FUNCTIONS}
    assert names == set(CASES) | {"power", "atan2"}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", sorted(CASES))
def test_error_bound(name: str, dtype: DType) -> None:
    reference, narrow, wide = CASES[name]
    x = _grid(dtype, narrow if dtype is t.f32 else wide, _SLOW.get(name, 40000))
    x = x[x != 0]
    with np.errstate(all="ignore"):
        exact = reference(x.astype(np.longdouble))
    keep = ~np.isnan(exact)
    got = native(name, dtype)(x)
    assert np.array_equal(np.isnan(got), ~keep)
    least = 1.0 if name in _ABSOLUTE else 0.0
    error = ulp_error(got[keep], exact[keep], dtype, least)
    worst = int(np.argmax(error))
    bound = lookup(name, dtype).max_ulp
    assert error[worst] <= bound, (x[keep][worst], got[keep][worst], error[worst])


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_power_error_bound(dtype: DType) -> None:
    rng = np.random.default_rng(5)
    n = 60000 if dtype is t.f32 else 2500
    scale = 35 if dtype is t.f32 else 300
    wide = np.abs(spread(rng, -scale, scale, n))
    close = 1 + rng.normal(size=n) * 1e-5
    x = np.concatenate([rng.uniform(0, 3, n), wide, close]).astype(dtype.np)
    small = rng.uniform(-1, 1, n) * scale / np.maximum(1, np.abs(np.log10(wide)))
    exponents = [rng.uniform(-70, 70, n), small, rng.uniform(-1e6, 1e6, n)]
    y = np.concatenate(exponents).astype(dtype.np)
    reference: Reference = np.power if dtype is t.f32 else _mp(mpmath.power)
    with np.errstate(all="ignore"):
        exact = reference(x.astype(np.longdouble), y.astype(np.longdouble))
    error = ulp_error(native("power", dtype)(x, y), exact, dtype)
    assert error.max() <= lookup("power", dtype).max_ulp


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_atan2_error_bound(dtype: DType) -> None:
    rng = np.random.default_rng(6)
    y, x = (
        np.concatenate([rng.uniform(-2, 2, 30000), spread(rng, -30, 30, 30000)])
        for _ in range(2)
    )
    y, x = y.astype(dtype.np), x.astype(dtype.np)
    exact = np.arctan2(y.astype(np.longdouble), x.astype(np.longdouble))
    error = ulp_error(native("atan2", dtype)(y, x), exact, dtype)
    assert error.max() <= lookup("atan2", dtype).max_ulp


NUMPY: dict[str, Reference] = {"exponential": np.exp, "log": np.log}
NUMPY |= {"exponential_minus_one": np.expm1}
NUMPY |= {"log_plus_one": np.log1p, "sine": np.sin, "cosine": np.cos, "tan": np.tan}
NUMPY |= {"atan": np.arctan, "asin": np.arcsin, "acos": np.arccos, "sinh": np.sinh}
NUMPY |= {"cosh": np.cosh, "asinh": np.arcsinh, "acosh": np.arccosh, "tanh": np.tanh}
NUMPY |= {"atanh": np.arctanh, "cbrt": np.cbrt, "rsqrt": lambda x: 1 / np.sqrt(x)}
NUMPY |= {"power": np.power, "atan2": np.arctan2}


def _agree(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """Equal up to a few ulp, with the same NaN, infinities and signs of zero."""
    tolerance = 8 * np.finfo(want.dtype).eps
    with np.errstate(all="ignore"):
        close = np.isclose(got, want, rtol=tolerance, atol=0, equal_nan=True)
        steps = np.abs(got - want) <= 2 * np.finfo(want.dtype).smallest_subnormal
    sign = np.isnan(want) | (np.signbit(got) == np.signbit(want))
    return (close | steps) & sign


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", sorted(NUMPY))
def test_special_values_are_those_of_numpy(name: str, dtype: DType) -> None:
    with np.errstate(all="ignore"):
        x = np.array(NASTY, dtype.np)
        if name in ("sine", "cosine", "tan"):  # beyond the range of the reduction
            x = x[~(np.isfinite(x) & (np.abs(x) > 1e15))]
        args = [x]
        if name in ("power", "atan2"):
            more = np.concatenate([x, np.array([3.0, -3.0, 2.5, 1 + 1e-6], dtype.np)])
            args = [np.repeat(more, more.size), np.tile(more, more.size)]
        got, want = native(name, dtype)(*args), NUMPY[name](*args)
        wrong = ~_agree(got, want)
    assert not wrong.any(), ([a[wrong] for a in args], got[wrong], want[wrong])


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_special_values_that_numpy_lacks(dtype: DType) -> None:
    inf, nan = math.inf, math.nan
    table = {
        "logistic": [(inf, 1.0), (-inf, 0.0), (0.0, 0.5), (nan, nan)],
        "erf": [(inf, 1.0), (-inf, -1.0), (-0.0, -0.0), (nan, nan)],
        "erf_inv": [(1.0, inf), (-1.0, -inf), (-0.0, -0.0), (1.5, nan), (nan, nan)],
        "lgamma": [(1.0, 0.0), (2.0, 0.0), (0.0, inf), (-3.0, inf), (inf, inf)],
        "digamma": [(0.0, -inf), (-0.0, inf), (-2.0, nan), (inf, inf), (nan, nan)],
    }
    for name, rows in table.items():
        x, want = np.array(rows, dtype.np).T
        got = native(name, dtype)(np.ascontiguousarray(x))
        assert _agree(got, want).all(), (name, x, got)
    tiny = np.array([1e-45, -1e-40, 5e-324]).astype(dtype.np)
    assert same_bits(native("tanh", dtype)(tiny), tiny).all()
    below = native("exponential", dtype)(np.array([-87.5, -100.0, -740.0], dtype.np))
    assert (below[:2] > 0).all()  # denormal results are not flushed
    for name in ("sine", "cosine"):
        far = native(name, dtype)(np.array([1e30, -3e37], dtype.np))
        assert (np.abs(far) <= 1).all()


def test_lgamma_and_digamma_of_negative_numbers() -> None:
    x = np.random.default_rng(9).uniform(-6, 0, 500)
    for name, exact in (("lgamma", _log_gamma), ("digamma", mpmath.digamma)):
        want = _mp(exact)(x)
        error = np.abs(native(name, t.f64)(x) - want)
        assert (error <= 1e-12 * np.maximum(1, np.abs(want)) ** 1.5).all()


@pytest.mark.parametrize(("name", "dtype"), list(FUNCTIONS), ids=str)
def test_compiled_equals_numpy_evaluation(name: str, dtype: DType) -> None:
    function = lookup(name, dtype)
    rng = np.random.default_rng(8)
    with np.errstate(all="ignore"):
        pool = np.concatenate([NASTY, rng.normal(size=60), spread(rng, -40, 30, 60)])
        pool = pool.astype(dtype.np)
    arrays = [rng.permutation(pool) for _ in function.params]
    env = {p.attr: a for p, a in zip(function.params, arrays, strict=True)}
    got, want = native(name, dtype)(*arrays), evaluate(function.body, env)
    wrong = ~same_bits(got, want)
    assert not wrong.any(), ([a[wrong] for a in arrays], got[wrong], want[wrong])


@pytest.mark.parametrize("name", ["exponential", "tanh", "erf", "log", "sine"])
def test_loops_vectorise(name: str) -> None:
    call = K.call(name, K.var("x", t.f32))
    assembly = assembly_of(loop_ir(call, {"x": t.f32}))
    packed = re.findall(r"\bv?(?:fmadd|fmla|mul)\w*(?:ps|\.4s)\b|fmla", assembly)
    assert packed


def test_lookup_names_what_there_is() -> None:
    with pytest.raises(KernelError, match="tanh"):
        lookup("tanhh", t.f32)
    with pytest.raises(KernelError, match="float16"):
        lookup("tanh", t.f16)
    assert lookup("tanh", t.f32) is FUNCTIONS["tanh", t.f32]
