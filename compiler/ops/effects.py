"""Effects: what a program does to the world, kept in order by a token.

An effect takes a token and gives the next one. The chain of tokens keeps effects alive
and in the order in which they were written, like any other data dependence.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from compiler.ir import types as t
from compiler.ir.op import Kind, op
from compiler.ir.types import TensorType
from compiler.ops.common import fail


@op("print", kind=Kind.EXTERN, attrs=("template",), differentiable=False)
class Print:
    """Write `template` to standard output with each ``{}`` replaced by an operand.

    C1: the token, the first operand, is i32 of rank 0; so is the result.
    C2: the template has one ``{}`` for each further operand.
    """

    def infer(token: TensorType, *xs: TensorType, template: str) -> TensorType:
        if token != TensorType(t.i32):
            fail("print", "C1", f"the token is i32[], given {token}")
        if template.count("{}") != len(xs):
            fail("print", "C2", f"{template!r} for {len(xs)} operands")
        return token

    def evaluate(token: np.ndarray, *xs: np.ndarray, template: str) -> np.ndarray:
        pieces = template.split("{}")
        shown = [str(x) for x in xs]
        text = "".join(a + b for a, b in zip(pieces, [*shown, ""], strict=True))
        sys.stdout.write(text)
        sys.stdout.flush()
        return np.asarray(token + np.int32(1))

    vjp = None
    jvp = None

    def batch(b: Any, xs: Any, dims: Sequence[Any], *, template: str) -> Any:
        return b.print(*xs, template=template), None

    emit = None
