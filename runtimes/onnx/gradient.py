"""What only training sees: it is not there."""

from __future__ import annotations

from kcompile.ir.graph import Value
from kcompile.ir.ops import StopGradient
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.table import lowers


@lowers(StopGradient)
def _stop_gradient(emitter: Emitter, op: StopGradient, x: Value) -> Value:
    return x
