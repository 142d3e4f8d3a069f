"""Transcendental functions of one scalar, written once as expressions, f32 and f64.

Every function is branch-free: polynomials, fma, selects and bit operations, so that a
loop around it vectorises on every target. The polynomial coefficients are minimax fits
of this project. `ScalarFunction.max_ulp` bounds the error against the exact result, in
units in the last place of the result type; a test measures it. It holds for the whole
domain, but for sine, cosine and tan of huge arguments (`scalar_math_trig`) and for
lgamma and digamma next to their zeros (`scalar_math_special`).
Special values (NaN, infinities, signed zeros, denormals) are those of NumPy.

Callers convert f16 and bf16 to f32 around a call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from compiler.errors import KernelError
from compiler.ir import types as t
from compiler.ir.types import DType
from compiler.kernels.expr import Expr, ScalarBuilder
from compiler.kernels.expr_walk import calls_of
from compiler.kernels.scalar_dsl import F32, F64, Definition, Num
from compiler.kernels.scalar_math_exp import EXPONENTIALS
from compiler.kernels.scalar_math_hyperbolic import HYPERBOLICS
from compiler.kernels.scalar_math_inverse_trig import INVERSE_TRIGONOMETRY
from compiler.kernels.scalar_math_log import LOGARITHMS
from compiler.kernels.scalar_math_power import POWERS
from compiler.kernels.scalar_math_special import SPECIAL
from compiler.kernels.scalar_math_trig import TRIGONOMETRY


@dataclass(frozen=True, eq=False)
class ScalarFunction:
    """One function for one dtype: parameters (``var`` expressions) and body.

    `max_ulp` is the documented error bound in units in the last place.
    """

    name: str
    dtype: DType
    params: tuple[Expr, ...]
    body: Expr
    max_ulp: float


def _build(definition: Definition, dtype: DType) -> ScalarFunction:
    k = ScalarBuilder()
    fmt = F32 if dtype is t.f32 else F64
    params = tuple(k.var(p, dtype) for p in definition.params)
    body = definition.build(fmt, *map(Num, params)).expr
    bound = definition.max_ulp_f32 if fmt is F32 else definition.max_ulp_f64
    return ScalarFunction(definition.name, dtype, params, body, bound)


class _Functions(Mapping[tuple[str, DType], ScalarFunction]):
    """The functions by (name, dtype); each is built at its first use and kept."""

    def __init__(self, definitions: tuple[Definition, ...]) -> None:
        self._definitions = {
            (d.name, dtype): d for d in definitions for dtype in (t.f32, t.f64)
        }
        self._built: dict[tuple[str, DType], ScalarFunction] = {}

    def __getitem__(self, key: tuple[str, DType]) -> ScalarFunction:
        if key not in self._built:
            self._built[key] = _build(self._definitions[key], key[1])
        return self._built[key]

    def __iter__(self) -> Iterator[tuple[str, DType]]:
        return iter(self._definitions)

    def __len__(self) -> int:
        return len(self._definitions)


FUNCTIONS: Mapping[tuple[str, DType], ScalarFunction] = _Functions(
    (
        *EXPONENTIALS,
        *LOGARITHMS,
        *POWERS,
        *TRIGONOMETRY,
        *INVERSE_TRIGONOMETRY,
        *HYPERBOLICS,
        *SPECIAL,
    )
)
"""Every scalar function by graph-op name and dtype (f32 and f64)."""


def lookup(name: str, dtype: DType) -> ScalarFunction:
    """The scalar function of graph op `name` for `dtype`.

    Raises:
        KernelError: if there is none; the message lists the known names.
    """
    try:
        return FUNCTIONS[name, dtype]
    except KeyError:
        known = ", ".join(sorted({n for n, _ in FUNCTIONS}))
        message = f"no scalar function {name!r} for {dtype.long}"
        raise KernelError(
            message, fix=f"f32 and f64 have: {known}; convert other dtypes"
        ) from None


def functions_used(roots: Iterable[Expr]) -> list[ScalarFunction]:
    """The scalar functions that `roots` call, callees before callers."""
    found: dict[ScalarFunction, None] = {}
    for name, call in calls_of(roots):
        function = lookup(name, call.dtype)
        if function not in found:
            found.update(dict.fromkeys(functions_used([function.body])))
            found[function] = None
    return list(found)
