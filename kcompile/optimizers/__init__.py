"""Optimizers under Keras's names, and any optax transformation."""

from kcompile.ops.missing import missing
from kcompile.optimizers import schedules
from kcompile.training.optimizers import (
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Ftrl,
    FunctionOptimizer,
    Lamb,
    Lion,
    LossScaleOptimizer,
    Muon,
    Nadam,
    OptaxOptimizer,
    Optimizer,
    RMSprop,
    ScheduleFreeAdamW,
    deserialize,
    get,
    serialize,
)

MultiOptimizer = missing("optimizers.MultiOptimizer", "one optimizer trains all weights")
OptimizerMap = missing("optimizers.OptimizerMap", "it belongs to MultiOptimizer")

__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "FunctionOptimizer",
    "Lamb",
    "Lion",
    "LossScaleOptimizer",
    "MultiOptimizer",
    "Muon",
    "Nadam",
    "OptaxOptimizer",
    "Optimizer",
    "OptimizerMap",
    "RMSprop",
    "ScheduleFreeAdamW",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]
