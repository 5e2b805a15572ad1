"""Callbacks under Keras's names."""

from kcompile.training.callbacks.base import Callback, CallbackList
from kcompile.training.callbacks.functions import LambdaCallback
from kcompile.training.callbacks.history import History
from kcompile.training.callbacks.progress import ProgbarLogger
from kcompile.training.callbacks.stopping import EarlyStopping, TerminateOnNaN

__all__ = [
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "ProgbarLogger",
    "TerminateOnNaN",
]
