"""Automatic differentiation: the tape and the transforms built on it."""

from jitflow.gradient.checkpoint import checkpoint
from jitflow.gradient.custom import custom_gradient, custom_jvp, custom_vjp
from jitflow.gradient.forward import jvp, linearize
from jitflow.gradient.functions import grad, stop_gradient, value_and_grad, vjp
from jitflow.gradient.jacobians import hessian, jacfwd, jacrev
from jitflow.gradient.tape import GradientTape
from jitflow.gradient.vmap import vmap

__all__ = [
    "GradientTape",
    "checkpoint",
    "custom_gradient",
    "custom_jvp",
    "custom_vjp",
    "grad",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
]
