"""Constants."""

from __future__ import annotations

from kcompile.ir.graph import Value
from kcompile.ir.ops import Constant
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.table import lowers


@lowers(Constant)
def _constant(emitter: Emitter, op: Constant) -> Value:
    return emitter.weight(op.value.array)
