"""Products of matrices."""

from __future__ import annotations

from kcompile.ir.graph import Value
from kcompile.ir.ops import Linear, Matmul
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.table import lowers


@lowers(Matmul)
def _matmul(emitter: Emitter, op: Matmul, a: Value, b: Value) -> Value:
    return emitter.emit("MatMul", [a, b], emitter.result)


@lowers(Linear)
def _linear(emitter: Emitter, op: Linear, x: Value, w: Value, b: Value | None = None) -> Value:
    if b is None:
        return emitter.emit("MatMul", [x, w], emitter.result)
    if x.type.rank == 2 and x.type.dtype.is_floating:
        return emitter.emit("Gemm", [x, w, b], emitter.result)
    product = emitter.emit("MatMul", [x, w], emitter.result)
    return emitter.emit("Add", [product, b], emitter.result)
