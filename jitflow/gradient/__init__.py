"""Automatic differentiation: the tape and the transforms built on it."""

from jitflow.gradient.functions import (
    custom_gradient,
    grad,
    jvp,
    stop_gradient,
    value_and_grad,
    vjp,
)
from jitflow.gradient.tape import GradientTape

__all__ = [
    "GradientTape",
    "custom_gradient",
    "grad",
    "jvp",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]
