"""Silence about overflow, division by zero and NaN, at the price of 0.2 µs.

Tensors follow IEEE 754 without a word. ``np.errstate`` gives NumPy that silence without
touching the user's settings, but entering it costs more than a small op. What it sets
is one context variable, which is set directly here where NumPy has it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy._core import umath

_variable = getattr(umath, "_extobj_contextvar", None)


def _enter_errstate() -> Any:
    state = np.errstate(all="ignore")
    state.__enter__()
    return state


def _leave_errstate(state: Any) -> None:
    state.__exit__(None, None, None)


def _functions() -> tuple[Callable[[], Any], Callable[[Any], None]]:
    if _variable is None:  # another NumPy: slower, and the same
        return _enter_errstate, _leave_errstate
    silent = umath._make_extobj(all="ignore")
    return functools.partial(_variable.set, silent), _variable.reset


# ``token = enter()`` is silent until ``leave(token)``.
enter, leave = _functions()
