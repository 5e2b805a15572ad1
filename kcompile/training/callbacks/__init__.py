"""Callbacks under Keras's names."""

from kcompile.training.callbacks.base import Callback, CallbackList
from kcompile.training.callbacks.checkpoint import ModelCheckpoint
from kcompile.training.callbacks.functions import LambdaCallback
from kcompile.training.callbacks.history import History
from kcompile.training.callbacks.learning_rates import LearningRateScheduler, ReduceLROnPlateau
from kcompile.training.callbacks.progress import ProgbarLogger
from kcompile.training.callbacks.records import CSVLogger, RemoteMonitor
from kcompile.training.callbacks.stopping import EarlyStopping, TerminateOnNaN

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
    "RemoteMonitor",
    "TerminateOnNaN",
]
