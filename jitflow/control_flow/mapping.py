"""`map`: a function of every slice. It has a file of its own for its name's sake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitflow.control_flow.scans import scan
from jitflow.tensor.state import user_function


def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """`f` of each slice of `xs` along the first dimension, stacked.

    Slices are taken one after the other; `jf.vmap` computes them together.

    Args:
        f: takes a slice (in the structure of `xs`), returns tensors.
        xs: a tensor or a structure of tensors.

    Raises:
        ShapeError: if the slices differ in number.
    """
    f = user_function(f)
    return scan(lambda _, x: (None, f(x)), None, xs)[1]
