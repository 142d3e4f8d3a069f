"""Models: sequential, functional and subclassed (`keras.models`)."""

from jitflow.keras.models.cloning import clone_model
from jitflow.keras.models.functional import Functional
from jitflow.keras.models.model import Model, model_from_json
from jitflow.keras.models.model_file import load_model, save_model
from jitflow.keras.models.sequential import Sequential

__all__ = [
    "Functional",
    "Model",
    "Sequential",
    "clone_model",
    "load_model",
    "model_from_json",
    "save_model",
]
