"""Losses, which belong to training."""

from __future__ import annotations

from kcompile.ir.ops import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)
from kcompile.runtimes.onnx.table import refuses

for loss in (BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy):
    refuses(loss, "a loss is for training; a model for inference returns predictions")
