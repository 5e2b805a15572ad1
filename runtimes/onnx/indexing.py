"""Ops that read and write elements at given indices."""

from __future__ import annotations

from kcompile.ir.graph import Value
from kcompile.ir.ops import GatherElements, ScatterNd
from kcompile.ir.types import DType
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.table import lowers

_REDUCTIONS = {"none": "none", "add": "add", "multiply": "mul", "max": "max", "min": "min"}


@lowers(GatherElements)
def _gather_elements(emitter: Emitter, op: GatherElements, x: Value, indices: Value) -> Value:
    if indices.type.dtype is not DType.INT32:
        indices = emitter.cast(indices, DType.INT64)
    return emitter.emit("GatherElements", [x, indices], emitter.result, axis=op.axis)


@lowers(ScatterNd, opset=18)
def _scatter_nd(emitter: Emitter, op: ScatterNd, x: Value, indices: Value, updates: Value) -> Value:
    """Opset 18 is the first with all reductions; onnxruntime's kernels have none in 16 bits."""
    dtype = x.type.dtype
    is_half = dtype in (DType.BFLOAT16, DType.FLOAT16)
    wide = DType.FLOAT32 if is_half and op.reduction != "none" else dtype
    y = emitter.emit(
        "ScatterND",
        [emitter.cast(x, wide), emitter.cast(indices, DType.INT64), emitter.cast(updates, wide)],
        emitter.result.with_dtype(wide),
        reduction=_REDUCTIONS[op.reduction],
    )
    return emitter.cast(y, dtype)
