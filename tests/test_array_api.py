"""The Python Array API standard, 2025.12: names, signatures, and what its text says.

The special cases are those of the specification, written as predicates over the
operands; where several apply they agree.
"""

from __future__ import annotations

import inspect
import itertools
import math

import numpy as np
import pytest
from array_api_names import CONSTANTS, DTYPES, SIGNATURES
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import jitflow as jf
from jitflow.errors import (
    ArgumentError,
    ArgumentTypeError,
    DTypeError,
    IndexingError,
    JitFlowError,
    ShapeError,
)

INF, NAN = math.inf, math.nan
VALUES = (0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 2.5, INF, -INF, NAN)

# ---------------------------------------------------------------------------- names


def spelled(function):
    """Parameters of a function as in `array_api_names`."""
    kind = inspect.Parameter
    words, before = [], None
    for p in inspect.signature(function).parameters.values():
        if p.kind is kind.VAR_POSITIONAL:
            words.append(f"*{p.name}")
        else:
            if before is kind.POSITIONAL_ONLY and p.kind is not before:
                words.append("/")
            starred = any(w.startswith("*") for w in words)
            if p.kind is kind.KEYWORD_ONLY and before is not p.kind and not starred:
                words.append("*")
            words.append(p.name)
        before = p.kind
    return [*words, "/"] if before is kind.POSITIONAL_ONLY else words


@pytest.mark.parametrize("line", SIGNATURES.strip().splitlines())
def test_signatures(line):
    """Each function has the parameters of the standard; more may follow by keyword."""
    name, *expected = line.split()
    function = jf
    for part in name.split("."):
        function = getattr(function, part)
    found = spelled(function)
    assert found[: len(expected)] == expected


def test_names():
    assert jf.__array_api_version__ == "2025.12"
    for name in (*DTYPES, *CONSTANTS):
        assert name in jf.__all__ or hasattr(jf, name)
    assert all(hasattr(jf, name) for name in jf.__all__)
    assert len(set(jf.__all__)) == len(jf.__all__)
    for module in (jf.linalg, jf.fft, jf.nn, jf.random):
        assert all(hasattr(module, name) for name in module.__all__)


METHODS = """
abs add and array_namespace bool complex dlpack dlpack_device eq float
floordiv ge getitem gt index int invert le lshift lt matmul mod mul ne neg or
pos pow rshift sub truediv xor radd rand rfloordiv rlshift rmatmul rmod rmul
ror rpow rrshift rsub rtruediv rxor
"""
ATTRIBUTES = ("dtype", "device", "mT", "ndim", "shape", "size", "T", "to_device")


def test_the_array_object():
    x = jf.ones((2, 3))
    for name in METHODS.split():
        assert callable(getattr(x, f"__{name}__"))
    assert all(hasattr(x, name) for name in ATTRIBUTES)
    assert x.__array_namespace__() is jf
    assert x.__array_namespace__(api_version="2025.12") is jf
    with pytest.raises(ArgumentError, match="api_version"):
        x.__array_namespace__(api_version="1999.01")
    assert x.to_device(x.device).device == "cpu"
    with pytest.raises(ArgumentTypeError, match="device"):
        x.to_device("abacus")


def test_in_place_operators_make_a_new_tensor():
    """The standard lets arrays be immutable; the names are bound to new tensors."""
    x = y = jf.asarray([6, 3])
    for statement in (
        "+= 1",
        "-= 1",
        "*= 2",
        "//= 2",
        "**= 2",
        "%= 4",
        "|= 1",
        "<<= 1",
    ):
        scope = {"x": x}
        exec(f"x {statement}", scope)
        assert scope["x"] is not x and scope["x"].dtype == "int64"
    assert y.tolist() == [6, 3]
    with pytest.raises(ArgumentTypeError, match="never change"):
        x[0] = 1


def test_inspection():
    info = jf.__array_namespace_info__()
    assert info.devices() == [info.default_device()] == ["cpu"]
    assert info.capabilities()["boolean indexing"] is True
    assert info.capabilities()["data-dependent shapes"] is True
    assert set(info.dtypes()) == set(DTYPES)
    assert set(info.dtypes(kind="real floating")) == {
        "float16",
        "float32",
        "float64",
    } or (set(info.dtypes(kind="real floating")) == {"float32", "float64"})
    assert set(info.dtypes(kind="bool")) == {"bool"}
    assert set(info.dtypes(kind=("bool", "complex floating"))) == {
        "bool",
        "complex64",
        "complex128",
    }
    for name, dtype in info.dtypes().items():
        assert dtype == getattr(jf, name)
    defaults = info.default_dtypes()
    assert defaults["real floating"] == jf.asarray(1.0).dtype
    assert defaults["complex floating"] == jf.asarray(1j).dtype
    assert defaults["integral"] == jf.asarray(1).dtype
    assert defaults["indexing"] == jf.argmax(jf.ones(3)).dtype
    with pytest.raises(ArgumentError, match="device"):
        info.dtypes(device="abacus")


# -------------------------------------------------------------------- special cases


def same(actual, expected):
    """Equal values and signs of zero; NaN equals NaN."""
    if math.isnan(expected):
        return math.isnan(actual)
    return actual == expected and math.copysign(1, actual) == math.copysign(1, expected)


def is_zero(x):
    return x == 0


def inside(low, high):
    return lambda x: low < x < high


ODD_ZERO = [(lambda x: x == 0, lambda x: x)]
INFINITE = [(lambda x: math.isinf(x), lambda x: x)]
ROUNDING = [(lambda x: math.isinf(x) or (x == x and x % 1 == 0), lambda x: x)]
NEGATIVE_IS_NAN = [(lambda x: x < 0, lambda x: NAN)]
LOGARITHM = [
    *NEGATIVE_IS_NAN,
    (is_zero, lambda x: -INF),
    (lambda x: x == 1, lambda x: 0.0),
    (lambda x: x == INF, lambda x: INF),
]
BEYOND_ONE = [(lambda x: abs(x) > 1, lambda x: NAN)]
UNARY = {
    "abs": [(lambda x: True, lambda x: math.copysign(x, 1))],
    "acos": [*BEYOND_ONE, (lambda x: x == 1, lambda x: 0.0)],
    "acosh": [
        (lambda x: x < 1, lambda x: NAN),
        (lambda x: x == 1, lambda x: 0.0),
        (lambda x: x == INF, lambda x: INF),
    ],
    "asin": [*BEYOND_ONE, *ODD_ZERO],
    "asinh": [*ODD_ZERO, *INFINITE],
    "atan": [*ODD_ZERO, (math.isinf, lambda x: math.copysign(math.pi / 2, x))],
    "atanh": [
        *BEYOND_ONE,
        *ODD_ZERO,
        (lambda x: abs(x) == 1, lambda x: math.copysign(INF, x)),
    ],
    "ceil": ROUNDING,
    "cos": [(is_zero, lambda x: 1.0), (math.isinf, lambda x: NAN)],
    "cosh": [(is_zero, lambda x: 1.0), (math.isinf, lambda x: INF)],
    "exp": [
        (is_zero, lambda x: 1.0),
        (lambda x: x == INF, lambda x: INF),
        (lambda x: x == -INF, lambda x: 0.0),
    ],
    "expm1": [
        *ODD_ZERO,
        (lambda x: x == INF, lambda x: INF),
        (lambda x: x == -INF, lambda x: -1.0),
    ],
    "floor": ROUNDING,
    "log": LOGARITHM,
    "log10": LOGARITHM,
    "log1p": [
        (lambda x: x < -1, lambda x: NAN),
        (lambda x: x == -1, lambda x: -INF),
        *ODD_ZERO,
        (lambda x: x == INF, lambda x: INF),
    ],
    "log2": LOGARITHM,
    "negative": [(lambda x: True, lambda x: -x)],
    "positive": [(lambda x: True, lambda x: x)],
    "reciprocal": [
        (is_zero, lambda x: math.copysign(INF, x)),
        (math.isinf, lambda x: math.copysign(0.0, x)),
    ],
    "round": [
        *ROUNDING,
        (lambda x: abs(x) == 0.5, lambda x: math.copysign(0.0, x)),
        (lambda x: x == 2.5, lambda x: 2.0),
    ],
    "sin": [*ODD_ZERO, (math.isinf, lambda x: NAN)],
    "sinh": [*ODD_ZERO, *INFINITE],
    "sqrt": [*NEGATIVE_IS_NAN, *ODD_ZERO, (lambda x: x == INF, lambda x: INF)],
    "square": [(lambda x: True, lambda x: x * x)],
    "tan": [*ODD_ZERO, (math.isinf, lambda x: NAN)],
    "tanh": [*ODD_ZERO, (math.isinf, lambda x: math.copysign(1.0, x))],
    "trunc": ROUNDING,
}
NAN_STAYS = [(math.isnan, lambda x: NAN)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", UNARY)
def test_special_cases_of_one_argument(name, dtype):
    results = np.asarray(getattr(jf, name)(jf.asarray(VALUES, dtype=dtype)))
    checked = 0
    for x, y in zip(VALUES, results.tolist(), strict=True):
        for holds, expected in (*UNARY[name], *NAN_STAYS):
            if holds(x):
                value = expected(x)
                exact = value == 0 or math.isinf(value) or math.isnan(value)
                near = not exact and y == pytest.approx(value, rel=1e-6)
                assert near or same(y, value), (x, y, value)
                checked += 1
    assert checked > len(UNARY[name])


PREDICATES = {
    "isfinite": math.isfinite,
    "isinf": math.isinf,
    "isnan": math.isnan,
    "signbit": lambda x: math.copysign(1, x) < 0,
    "logical_not": lambda x: x == 0,
}


@pytest.mark.parametrize("name", PREDICATES)
def test_predicates(name):
    values = [*VALUES, math.copysign(NAN, -1)]
    found = getattr(jf, name)(jf.asarray(values, dtype="float64")).tolist()
    assert found == [PREDICATES[name](x) for x in values]
    assert jf.sign(jf.asarray(VALUES)).tolist()[:-1] == [
        (x > 0) - (x < 0) for x in VALUES[:-1]
    ]


def odd(x):
    return math.isfinite(x) and x % 2 == 1


def whole(x):
    return math.isfinite(x) and x == math.floor(x)


def signed(magnitude):
    """`magnitude` with the sign of a product or quotient."""

    def result(x, y):
        return math.copysign(magnitude, math.copysign(1, x) * math.copysign(1, y))

    return result


def either_nan(x, y):
    return math.isnan(x) or math.isnan(y)


def nan(x, y):
    return NAN


LOST = [(either_nan, nan)]
PRODUCT = [
    *LOST,
    (lambda x, y: (math.isinf(x) and y == 0) or (x == 0 and math.isinf(y)), nan),
    (
        lambda x, y: (
            (math.isinf(x) or math.isinf(y)) and 0 not in (x, y) and x == x and y == y
        ),
        signed(INF),
    ),
]
QUOTIENT = [
    *LOST,
    (lambda x, y: math.isinf(x) and math.isinf(y), nan),
    (lambda x, y: x == 0 and y == 0, nan),
    (lambda x, y: x == 0 and abs(y) > 0, signed(0.0)),
    (lambda x, y: abs(x) > 0 and y == 0, signed(INF)),
    (lambda x, y: math.isinf(x) and math.isfinite(y), signed(INF)),
]
BINARY = {
    "add": [
        *LOST,
        (lambda x, y: math.isinf(x) and y == -x, nan),
        (lambda x, y: math.isinf(x) and math.isfinite(y), lambda x, y: x),
        (lambda x, y: math.isinf(y) and math.isfinite(x), lambda x, y: y),
        (lambda x, y: x == y == 0, lambda x, y: x + y),
        (lambda x, y: x == 0 and math.isfinite(y) and y != 0, lambda x, y: y),
        (lambda x, y: math.isfinite(x) and x != 0 and y == -x, lambda x, y: 0.0),
    ],
    "atan2": [
        *LOST,
        (lambda x, y: x > 0 and y == 0, lambda x, y: math.pi / 2),
        (lambda x, y: x < 0 and y == 0, lambda x, y: -math.pi / 2),
        (lambda x, y: not either_nan(x, y), math.atan2),
    ],
    "copysign": [(lambda x, y: not math.isnan(x), math.copysign)],
    "divide": [
        *QUOTIENT,
        (lambda x, y: math.isfinite(x) and math.isinf(y), signed(0.0)),
    ],
    # Infinite operands pair with remainder, as in Python: a deliberate difference.
    "floor_divide": [
        *QUOTIENT[:-1],
        (lambda x, y: math.isinf(x) and math.isfinite(y) and y != 0, nan),
        (
            lambda x, y: math.isfinite(x) and x * y < 0 and math.isinf(y),
            lambda x, y: -1.0,
        ),
    ],
    "hypot": [
        (lambda x, y: math.isinf(x) or math.isinf(y), lambda x, y: INF),
        (lambda x, y: either_nan(x, y) and not (math.isinf(x) or math.isinf(y)), nan),
        (lambda x, y: x == 0 and y == y, lambda x, y: abs(y)),
    ],
    "logaddexp": [
        *LOST,
        (lambda x, y: INF in (x, y) and not either_nan(x, y), lambda x, y: INF),
        (lambda x, y: x == -INF and y == y and y != 0, lambda x, y: y),
    ],
    "maximum": [*LOST, (lambda x, y: x > y, lambda x, y: x)],
    "minimum": [*LOST, (lambda x, y: x < y, lambda x, y: x)],
    "multiply": [
        *PRODUCT,
        (lambda x, y: 0 in (x, y) and math.isfinite(x + y), signed(0.0)),
    ],
    "nextafter": [
        *LOST,
        (lambda x, y: x == y, lambda x, y: y),
        (lambda x, y: not either_nan(x, y), math.nextafter),
    ],
    "pow": [
        (lambda x, y: y == 0, lambda x, y: 1.0),
        (lambda x, y: x == 1, lambda x, y: 1.0),
        (lambda x, y: math.isnan(x) and y != 0, nan),
        (lambda x, y: math.isnan(y) and x != 1, nan),
        (lambda x, y: abs(x) > 1 and y == INF, lambda x, y: INF),
        (lambda x, y: abs(x) > 1 and y == -INF, lambda x, y: 0.0),
        (lambda x, y: abs(x) == 1 and math.isinf(y), lambda x, y: 1.0),
        (lambda x, y: abs(x) < 1 and y == INF, lambda x, y: 0.0),
        (lambda x, y: abs(x) < 1 and y == -INF, lambda x, y: INF),
        (lambda x, y: x == INF and y > 0, lambda x, y: INF),
        (lambda x, y: x == INF and y < 0, lambda x, y: 0.0),
        (lambda x, y: x == -INF and y > 0 and odd(y), lambda x, y: -INF),
        (lambda x, y: x == -INF and y > 0 and not odd(y), lambda x, y: INF),
        (lambda x, y: x == -INF and y < 0 and odd(-y), lambda x, y: -0.0),
        (lambda x, y: x == -INF and y < 0 and not odd(-y), lambda x, y: 0.0),
        (lambda x, y: same(x, 0.0) and y > 0, lambda x, y: 0.0),
        (lambda x, y: same(x, 0.0) and y < 0, lambda x, y: INF),
        (lambda x, y: same(x, -0.0) and y > 0 and odd(y), lambda x, y: -0.0),
        (lambda x, y: same(x, -0.0) and y > 0 and not odd(y), lambda x, y: 0.0),
        (lambda x, y: same(x, -0.0) and y < 0 and odd(-y), lambda x, y: -INF),
        (lambda x, y: same(x, -0.0) and y < 0 and not odd(-y), lambda x, y: INF),
        (lambda x, y: -INF < x < 0 and math.isfinite(y) and not whole(y), nan),
    ],
    "remainder": [
        *LOST,
        (lambda x, y: math.isinf(x) or y == 0, nan),
        (lambda x, y: x == 0 and y != 0 and y == y, lambda x, y: math.copysign(0.0, y)),
        (lambda x, y: math.isfinite(x) and x * y > 0 and math.isinf(y), lambda x, y: x),
        (lambda x, y: math.isfinite(x) and x * y < 0 and math.isinf(y), lambda x, y: y),
    ],
    "subtract": [
        *LOST,
        (lambda x, y: math.isinf(x) and x == y, nan),
        (lambda x, y: math.isfinite(x) and x == y and x != 0, lambda x, y: 0.0),
    ],
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", BINARY)
def test_special_cases_of_two_arguments(name, dtype):
    pairs = list(itertools.product(VALUES, VALUES))
    x1, x2 = (jf.asarray(v, dtype=dtype) for v in zip(*pairs, strict=True))
    results = np.asarray(getattr(jf, name)(x1, x2))
    checked = set()
    for (x, y), z in zip(pairs, results.tolist(), strict=True):
        for i, (holds, expected) in enumerate(BINARY[name]):
            if not holds(x, y):
                continue
            value = expected(x, y)
            checked.add(i)
            if name == "nextafter" and dtype == "float32":
                value = float(np.nextafter(np.float32(x), np.float32(y)))
            exact = value == 0 or math.isinf(value) or math.isnan(value)
            near = not exact and z == pytest.approx(value, rel=1e-6)
            assert near or same(z, value), (x, y, z, value)
    assert checked == set(range(len(BINARY[name])))


COMPLEX_PARTS = (0.0, -0.0, 1.0, -2.0, INF, -INF, NAN)
COMPLEX = np.array([complex(a, b) for a in COMPLEX_PARTS for b in COMPLEX_PARTS])


COMPLEX_FUNCTIONS = """
abs acos acosh asin asinh atan atanh conj cos cosh exp expm1 isfinite isinf
isnan log log10 log1p log2 negative reciprocal round sin sinh sqrt square tan
tanh
"""


@pytest.mark.parametrize("name", COMPLEX_FUNCTIONS.split())
def test_complex_functions_follow_c99(name):
    """As NumPy's, which the standard's tables were written from."""
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(COMPLEX)
    np.testing.assert_allclose(np.asarray(getattr(jf, name)(COMPLEX)), expected, 1e-6)


def test_complex_sign():
    z = np.array([0, -0.0, 3 + 4j, -2j, complex(NAN, 1)])
    expected = [0, 0, 0.6 + 0.8j, -1j, complex(NAN, NAN)]
    np.testing.assert_allclose(np.asarray(jf.sign(z)), expected)
    assert np.isfinite(
        np.asarray(jf.grad(lambda x: jf.abs(jf.sign(x)))(jf.asarray(0j)))
    )


# ---------------------------------------------------------------- shapes and dtypes

BINARY_NAMES = ("add", "subtract", "multiply", "maximum", "less", "equal")


@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3))
@settings(max_examples=60, deadline=None)
def test_broadcasting(shapes):
    a, b = (jf.ones(s) for s in shapes.input_shapes)
    for name in BINARY_NAMES:
        assert getattr(jf, name)(a, b).shape == shapes.result_shape
    assert jf.broadcast_shapes(a.shape, b.shape) == shapes.result_shape
    assert [x.shape for x in jf.broadcast_arrays(a, b)] == [shapes.result_shape] * 2


def test_shapes_that_do_not_broadcast():
    for shapes in [((2,), (3,)), ((2, 3), (2,)), ((0,), (2,))]:
        with pytest.raises(ShapeError, match="broadcast"):
            jf.broadcast_shapes(*shapes)
    assert jf.broadcast_shapes() == ()
    assert jf.broadcast_shapes((0,), (1,)) == (0,)


def promoted(a, b):
    """The standard's table, for dtypes of kinds that it lets meet."""
    return np.promote_types(a, b).name


KINDS = [
    [d for d in DTYPES if d.startswith(("int", "uint")) and d != "uint64"],
    ["uint8", "uint16", "uint32", "uint64"],
    [d for d in DTYPES if d.startswith(("float", "complex"))],
    ["bool"],
]


@pytest.mark.parametrize(
    "a, b", sorted({p for k in KINDS for p in itertools.product(k, k)})
)
def test_promotion(a, b):
    expected = promoted(a, b)
    assert jf.result_type(a, b) == expected
    assert jf.result_type(jf.ones(2, dtype=a), b) == expected
    x, y = jf.ones((2, 1), dtype=a), jf.ones(3, dtype=b)
    assert jf.add(x, y).dtype == expected
    assert (x == y).dtype == "bool"
    assert jf.where(jf.asarray(True), x, y).dtype == expected
    assert jf.concat([x, jf.ones((2, 1), dtype=b)]).dtype == expected
    assert jf.can_cast(a, expected)


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "bool"])
def test_python_scalars_keep_the_dtype(dtype):
    x = jf.ones(2, dtype=dtype)
    scalars = [1]
    if "int" not in dtype:
        scalars.append(2.5)
    if "complex" in dtype:
        scalars.append(1j)
    for scalar in scalars:
        for y in (x + scalar, scalar - x, x * scalar):
            assert y.dtype == dtype
    for name in ("maximum", "minimum", "add"):
        if "complex" not in dtype:
            assert getattr(jf, name)(x, 1).dtype == dtype
            assert getattr(jf, name)(1, x).dtype == dtype
    assert jf.result_type(x, 1) == dtype


@pytest.mark.parametrize("dtype", DTYPES)
def test_data_type_functions(dtype):
    kinds = {
        "bool": dtype == "bool",
        "signed integer": dtype.startswith("int"),
        "unsigned integer": dtype.startswith("uint"),
        "integral": "int" in dtype,
        "real floating": dtype.startswith("float"),
        "complex floating": dtype.startswith("complex"),
        "numeric": dtype != "bool",
    }
    for kind, expected in kinds.items():
        assert jf.isdtype(getattr(jf, dtype), kind) is expected
    assert jf.isdtype(dtype, tuple(kinds))
    assert jf.isdtype(dtype, getattr(jf, dtype))
    if kinds["integral"]:
        info = jf.iinfo(dtype)
        assert (info.min, info.max) == (np.iinfo(dtype).min, np.iinfo(dtype).max)
        assert info.bits == np.iinfo(dtype).bits and info.dtype == dtype
    elif dtype != "bool":
        info, expected = jf.finfo(jf.ones(1, dtype=dtype)), np.finfo(dtype)
        for name in ("bits", "eps", "max", "min", "smallest_normal"):
            assert getattr(info, name) == getattr(expected, name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (3,), (2, 1, 3)])
def test_creation_and_shape_functions_of_every_dtype(dtype, shape):
    for name in ("zeros", "ones", "empty"):
        x = getattr(jf, name)(shape, dtype=dtype)
        assert (x.shape, x.dtype) == (shape, dtype)
        y = getattr(jf, f"{name}_like")(x)
        assert (y.shape, y.dtype) == (shape, dtype)
    x = jf.full(shape, 1, dtype=dtype)
    assert jf.reshape(x, (-1,)).shape == (math.prod(shape),) if x.size else True
    assert jf.expand_dims(x, (0, -1)).shape == (1, *shape, 1)
    assert jf.permute_dims(x, [-i - 1 for i in range(x.ndim)]).shape == shape[::-1]
    assert jf.flip(x).shape == jf.roll(x, 1).shape == shape
    assert jf.stack([x, x], axis=-1).shape == (*shape, 2)
    assert jf.tile(x, (2,)).ndim == max(len(shape), 1)
    assert jf.astype(x, "float64").dtype == "float64" or "complex" in dtype
    assert jf.from_dlpack(x).tolist() == x.tolist()
    assert jf.asarray(x.tolist(), dtype=dtype).dtype == dtype
    assert jf.all(jf.equal(jf.asarray(np.from_dlpack(x)), x))


def test_reductions_of_nothing():
    x = jf.zeros((0, 2))
    assert jf.sum(x).item() == 0 and jf.prod(x).item() == 1
    assert jf.all(x).item() is True and jf.any(x).item() is False
    assert np.isnan(jf.mean(x).item()) and np.isnan(jf.var(x).item())
    assert jf.sum(x, axis=0).tolist() == [0, 0]
    assert jf.count_nonzero(x).item() == 0
    assert jf.cumulative_sum(x, axis=0, include_initial=True).tolist() == [[0, 0]]
    for name in ("max", "min", "argmax", "argmin"):
        with pytest.raises(JitFlowError):
            getattr(jf, name)(x)
    assert jf.max(x, axis=1).shape == (0,)
    assert jf.sort(x, axis=0).shape == jf.argsort(x).shape == (0, 2)
    assert jf.unique_values(x).shape == (0,)
    assert jf.matmul(jf.zeros((2, 0)), jf.zeros((0, 3))).tolist() == [[0] * 3] * 2
    assert jf.searchsorted(jf.zeros(0), jf.ones(2)).tolist() == [0, 0]
    assert jf.take(x, jf.zeros(0, dtype="int64"), axis=1).shape == (0, 0)


@pytest.mark.parametrize("dtype", [d for d in DTYPES if "int" in d or d == "bool"])
def test_sums_have_the_default_dtype_of_their_kind(dtype):
    x = jf.ones((2, 3), dtype=dtype)
    expected = "uint64" if dtype.startswith("uint") else "int64"
    for name in ("sum", "prod"):
        assert getattr(jf, name)(x).dtype == expected
        assert getattr(jf, name)(x, dtype="float64").dtype == "float64"
    assert jf.cumulative_sum(x, axis=1).dtype == expected
    assert jf.mean(x).dtype == jf.var(x).dtype == "float32"


def test_zero_dimensional_tensors():
    x = jf.asarray(3.0)
    for name in ("sum", "max", "mean", "prod", "min", "std", "any", "all"):
        assert getattr(jf, name)(x).shape == ()
    assert jf.argmax(x).item() == 0
    assert x[()].item() == x[...].item() == 3.0
    assert x[None].shape == (1,)
    assert jf.nonzero(jf.asarray([0, 2]))[0].tolist() == [1]
    assert float(x) == 3.0 and int(x) == 3 and bool(x) and complex(x) == 3
    assert [10, 20][jf.asarray(1)] == 20
    assert jf.isin(x, jf.asarray([3.0])).item() is True


# ------------------------------------------------------------- searching and sorting


@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(max_dims=2, min_side=0, max_side=6),
        elements=st.sampled_from([0.0, -0.0, 1.0, 2.0, -INF, INF, NAN]),
    ),
    st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_sorting(x, descending):
    order = np.asarray(jf.argsort(x, descending=descending))
    found = np.asarray(jf.sort(x, descending=descending))
    np.testing.assert_array_equal(np.take_along_axis(x, order, -1), found)
    if not descending:
        np.testing.assert_array_equal(found, np.sort(x))
    rows = zip(np.atleast_2d(x), np.atleast_2d(order), strict=True)
    for row, places in rows:
        pairs = itertools.pairwise(places)
        assert all(row[i] != row[j] or i < j for i, j in pairs)  # stable


@given(
    hnp.arrays(np.int64, st.integers(0, 8), elements=st.integers(-3, 3)),
    hnp.arrays(np.int64, st.integers(0, 5), elements=st.integers(-4, 4)),
)
@settings(max_examples=60, deadline=None)
def test_sets_and_search(x, y):
    found = jf.unique_all(x)
    values, first, inverse, counts = map(np.asarray, found)
    np.testing.assert_array_equal(values, np.unique(x))
    np.testing.assert_array_equal(x[first], values)
    np.testing.assert_array_equal(values[inverse], x)
    assert counts.sum() == x.size
    assert found._fields == ("values", "indices", "inverse_indices", "counts")
    assert jf.unique_counts(x)._fields == ("values", "counts")
    assert jf.unique_inverse(x)._fields == ("values", "inverse_indices")
    np.testing.assert_array_equal(np.asarray(jf.isin(x, y)), np.isin(x, y))
    inverted = np.asarray(jf.isin(x, y, invert=True))
    np.testing.assert_array_equal(inverted, ~np.isin(x, y))
    for side in ("left", "right"):
        places = np.asarray(jf.searchsorted(np.sort(x), y, side=side))
        np.testing.assert_array_equal(places, np.searchsorted(np.sort(x), y, side))
    assert jf.searchsorted(np.arange(4), 2).item() == 2
    assert jf.count_nonzero(x).item() == np.count_nonzero(x)


def test_unique_counts_every_nan():
    """The standard: NaN values are distinct from each other."""
    found = jf.unique_counts(np.array([NAN, 1.0, NAN]))
    assert found.counts.tolist() == [1, 1, 1]
    assert jf.unique_values(np.array([-0.0, 0.0])).shape == (1,)


# ------------------------------------------------------------------ creation details


def test_asarray_copies_unless_told():
    shared = np.arange(3.0)
    x = jf.asarray(shared)
    shared[0] = 9
    assert x[0].item() == 0
    assert np.shares_memory(np.asarray(jf.asarray(shared, copy=False)), shared)
    for obj, dtype in [([1.0], None), (shared, "float32"), (3, None)]:
        with pytest.raises(ValueError, match="copy"):
            jf.asarray(obj, dtype=dtype, copy=False)
    again = jf.from_dlpack(shared, copy=False)
    assert np.shares_memory(np.asarray(again), shared)


@pytest.mark.parametrize(
    "call",
    [
        lambda device: jf.zeros(2, device=device),
        lambda device: jf.asarray([1], device=device),
        lambda device: jf.arange(3, device=device),
        lambda device: jf.eye(2, device=device),
        lambda device: jf.linspace(0, 1, 3, device=device),
        lambda device: jf.ones_like(jf.ones(2), device=device),
        lambda device: jf.from_dlpack(np.ones(2), device=device),
        lambda device: jf.fft.fftfreq(3, device=device),
    ],
)
def test_devices(call):
    assert call("cpu").device == "cpu"
    assert call(None).device == "cpu"
    with pytest.raises(ArgumentError, match="device"):
        call("abacus")


@given(st.integers(-20, 20), st.integers(-20, 20), st.integers(-5, 5).filter(bool))
@settings(max_examples=60, deadline=None)
def test_arange(start, stop, step):
    assert jf.arange(start, stop, step).tolist() == list(range(start, stop, step))
    assert jf.arange(stop).tolist() == list(range(stop))
    assert jf.arange(start, stop, step, dtype="float64").dtype == "float64"


@given(st.integers(0, 6), st.integers(0, 6), st.integers(-7, 7))
@settings(max_examples=40, deadline=None)
def test_matrices_of_ones_and_triangles(rows, cols, k):
    np.testing.assert_array_equal(
        np.asarray(jf.eye(rows, cols, k=k)), np.eye(rows, cols, k)
    )
    x = np.arange(1.0, rows * cols + 1).reshape(rows, cols)
    np.testing.assert_array_equal(np.asarray(jf.tril(x, k=k)), np.tril(x, k))
    np.testing.assert_array_equal(np.asarray(jf.triu(x, k=k)), np.triu(x, k))
    diagonal = jf.linalg.diagonal(x, offset=k)
    np.testing.assert_array_equal(np.asarray(diagonal), np.diagonal(x, k))


def test_diff_and_cumulative():
    x = jf.asarray([1, 4, 9, 16])
    assert jf.diff(x).tolist() == [3, 5, 7]
    assert jf.diff(x, n=2).tolist() == [2, 2]
    assert jf.diff(x, prepend=jf.asarray([0]), append=jf.asarray([20])).tolist() == [
        *(1, 3, 5, 7, 4),
    ]
    assert jf.cumulative_sum(x, include_initial=True).tolist() == [0, 1, 5, 14, 30]
    assert jf.cumulative_prod(x, include_initial=True).tolist() == [1, 1, 4, 36, 576]
    with pytest.raises(ArgumentError, match="axis"):
        jf.cumulative_sum(jf.ones((2, 2)))


# ------------------------------------------------------------------------- indexing


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_indexing(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    x = np.arange(math.prod(shape)).reshape(shape)
    key = data.draw(
        st.one_of(
            hnp.basic_indices(shape, allow_newaxis=True),
            hnp.integer_array_indices(shape),
            hnp.arrays(bool, shape),
        )
    )
    np.testing.assert_array_equal(np.asarray(jf.asarray(x)[key]), x[key])


def test_indices_out_of_bounds():
    x = jf.ones((2, 3))
    for key in (2, (0, 3), -3, np.array([0, 2]), (slice(None), np.array([-4]))):
        with pytest.raises(IndexingError, match="out of bounds"):
            x[key]
    for call in (jf.take, jf.take_along_axis):
        with pytest.raises(IndexingError, match="out of bounds"):
            call(jf.ones(3), jf.asarray([3]), axis=0)


def test_kinds_that_functions_refuse():
    one, z, flag = jf.ones(2), jf.asarray([1j]), jf.asarray([True])
    for call in (
        lambda: jf.bitwise_and(one, one),
        lambda: jf.bitwise_left_shift(one, 1),
        lambda: jf.less(z, z),
        lambda: jf.maximum(z, z),
        lambda: jf.floor(z),
        lambda: jf.atan2(z, z),
        lambda: jf.negative(flag),
        lambda: jf.sort(z),
        lambda: jf.argmax(z),
        lambda: jf.clip(z, 0, 1),
        lambda: jf.nextafter(z, z),
        lambda: jf.cumulative_sum("text", axis=0),
    ):
        with pytest.raises((DTypeError, ArgumentTypeError)):
            call()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_special_cases_are_the_eager_ones(dtype):
    """All functions of one and two arguments in two kernels, bit for bit but NaN's."""
    pairs = list(itertools.product(VALUES, VALUES))
    x1, x2 = (jf.asarray(v, dtype=dtype) for v in zip(*pairs, strict=True))

    def unary(x):
        return [getattr(jf, name)(x) for name in UNARY]

    def binary(x, y):
        return [getattr(jf, name)(x, y) for name in BINARY]

    for f, args in ((unary, (x1,)), (binary, (x1, x2))):
        for name, a, e in zip(
            UNARY if f is unary else BINARY,
            jf.function(f)(*args),
            f(*args),
            strict=True,
        ):
            a, e = np.asarray(a), np.asarray(e)
            np.testing.assert_allclose(a, e, rtol=3e-6, atol=2e-7, err_msg=name)
            zero = (e == 0) & (a == 0)
            signs = np.signbit(a[zero]), np.signbit(e[zero])
            np.testing.assert_array_equal(*signs, err_msg=name)
