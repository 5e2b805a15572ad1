"""Callbacks under Keras's names."""

from kcompile.training.callbacks.averages import SwapEMAWeights
from kcompile.training.callbacks.backup import BackupAndRestore
from kcompile.training.callbacks.base import Callback, CallbackList
from kcompile.training.callbacks.checkpoint import ModelCheckpoint
from kcompile.training.callbacks.functions import LambdaCallback
from kcompile.training.callbacks.history import History
from kcompile.training.callbacks.learning_rates import LearningRateScheduler, ReduceLROnPlateau
from kcompile.training.callbacks.missing import OrbaxCheckpoint
from kcompile.training.callbacks.progress import ProgbarLogger
from kcompile.training.callbacks.records import CSVLogger, RemoteMonitor
from kcompile.training.callbacks.stopping import EarlyStopping, TerminateOnNaN
from kcompile.training.callbacks.tensorboard import TensorBoard

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "OrbaxCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "RemoteMonitor",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
]
