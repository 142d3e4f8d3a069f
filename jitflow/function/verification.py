"""``verify=``: does the compiled trace give what the interpreter gives?"""

from __future__ import annotations

from typing import Any

import numpy as np

from compiler.ir.interpret import interpret
from jitflow.errors import JitFlowError
from jitflow.function.concrete import ConcreteFunction


class VerificationError(JitFlowError, RuntimeError):
    """Compiled code and the reference interpreter disagree."""

    code = "JF023"


# Relative tolerance by item size: reassociated sums of a few thousand elements.
_TOLERANCES = {2: 2e-2, 4: 2e-4, 8: 1e-9, 16: 1e-9}


def verify_run(
    concrete: ConcreteFunction, arrays: list[Any], name: str, first_only: bool
) -> Any:
    """Run a trace and compare its results with the interpreter's.

    With `first_only` nothing is compared once the trace has passed.

    Raises:
        VerificationError: naming the result and the largest difference.
    """
    if first_only and concrete.verified:
        return concrete.run(arrays)
    inputs = [np.array(a) for a in (*arrays, *concrete.captured_arrays())]
    expected = interpret(concrete.graph, *inputs)
    results = concrete.results(arrays)
    for i, (got, want) in enumerate(zip(results, expected, strict=True)):
        _compare(name, i, got, want)
    concrete.verified = True
    return concrete.outputs.build(results)


def _compare(name: str, index: int, got: np.ndarray, want: np.ndarray) -> None:
    if got.shape != want.shape or got.dtype != want.dtype:
        raise VerificationError(
            f"{name}: result {index} is {got.dtype}{got.shape}, the interpreter gives "
            f"{want.dtype}{want.shape}"
        )
    wide = np.complex128 if got.dtype.kind == "c" else np.float64
    a, b = got.astype(wide), want.astype(wide)
    tolerance = 0.0 if got.dtype.kind in "biu" else _TOLERANCES[got.dtype.itemsize]
    scale = float(np.max(np.abs(b[np.isfinite(b)]), initial=0.0))
    if not np.allclose(a, b, rtol=tolerance, atol=tolerance * scale, equal_nan=True):
        with np.errstate(invalid="ignore"):
            worst = np.nanmax(np.abs(a - b), initial=0.0)
        raise VerificationError(
            f"{name}: result {index} differs from the interpreter by up to {worst:.3g}",
            cause=f"the largest value is {scale:.3g}, the tolerance {tolerance:.1g}",
            fix=f"report it with the text of {name}.ir()",
        )
