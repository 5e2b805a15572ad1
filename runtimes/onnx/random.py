"""Random numbers, which a model for inference has none of."""

from __future__ import annotations

from kcompile.ir.ops import Dropout, RandomUniform
from kcompile.runtimes.onnx.table import refuses

refuses(Dropout, "dropout is for training, and ONNX's random numbers differ from run to run")
refuses(RandomUniform, "ONNX's random numbers differ from run to run")
