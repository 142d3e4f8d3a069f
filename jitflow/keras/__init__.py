"""The Keras 3 API on JitFlow: ``from jitflow import keras``.

Names, arguments, defaults, configurations and numbers are those of Keras 3.
"""

from jitflow.keras import (
    activations,
    backend,
    callbacks,
    config,
    constraints,
    dtype_policies,
    initializers,
    layers,
    losses,
    metrics,
    models,
    ops,
    optimizers,
    random,
    regularizers,
    saving,
    utils,
)
from jitflow.keras.backend import KerasTensor, Variable
from jitflow.keras.dtype_policies import DTypePolicy, FloatDTypePolicy
from jitflow.keras.initializers import Initializer
from jitflow.keras.layers import Input, InputSpec, Layer
from jitflow.keras.losses import Loss
from jitflow.keras.metrics import Metric
from jitflow.keras.models import Functional, Model, Sequential
from jitflow.keras.ops import Operation
from jitflow.keras.optimizers import Optimizer
from jitflow.keras.regularizers import Regularizer
from jitflow.tensor.state import name_scope

__version__ = "3.15.1"

__all__ = [
    "DTypePolicy",
    "FloatDTypePolicy",
    "Functional",
    "Initializer",
    "Input",
    "InputSpec",
    "KerasTensor",
    "Layer",
    "Loss",
    "Metric",
    "Model",
    "Operation",
    "Optimizer",
    "Regularizer",
    "Sequential",
    "Variable",
    "activations",
    "backend",
    "callbacks",
    "config",
    "constraints",
    "dtype_policies",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "name_scope",
    "ops",
    "optimizers",
    "random",
    "regularizers",
    "saving",
    "utils",
]
