"""Callbacks (`keras.callbacks`): hooks into `fit`, `evaluate` and `predict`."""

from jitflow.keras.callbacks.callback import Callback
from jitflow.keras.callbacks.callback_list import CallbackList
from jitflow.keras.callbacks.control import (
    EarlyStopping,
    LearningRateScheduler,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from jitflow.keras.callbacks.history import History
from jitflow.keras.callbacks.progress import ProgbarLogger
from jitflow.keras.callbacks.records import (
    CSVLogger,
    LambdaCallback,
    ModelCheckpoint,
)

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]
