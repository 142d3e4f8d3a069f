"""Samples of ops with effects."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.op_samples.common import Sample, random_array


def _next(token: np.ndarray, *xs: np.ndarray, template: str) -> Any:
    return token + np.int32(1)


TOKEN = np.array(4, np.int32)
SAMPLES = {
    "print": [
        Sample([TOKEN], {"template": "done\n"}, _next, grad=False, batch=False),
        Sample(
            [TOKEN, random_array("f32", (2, 3)), random_array("i32", ())],
            {"template": "x {} i {}\n"},
            _next,
            grad=False,
            batch=False,
        ),
    ]
}
