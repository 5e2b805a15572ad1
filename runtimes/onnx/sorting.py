"""Order along an axis.

onnxruntime gives NaN no place in the order: rows that hold one are not those of the reference.
"""

from __future__ import annotations

from kcompile.ir.graph import Value
from kcompile.ir.ops import TopK
from kcompile.ir.types import DType
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.kernels import compute_type
from kcompile.runtimes.onnx.table import lowers


@lowers(TopK)
def _top_k(emitter: Emitter, op: TopK, x: Value) -> tuple[Value, Value]:
    dtype = x.type.dtype
    wide = compute_type("TopK", dtype)
    if wide is None:
        raise emitter.refusal(
            f"onnxruntime has no TopK for {dtype.keras_name}, nor for a wider type",
            hint="Cast to int64 or float32 in the model",
        )
    values, indices = emitter.emit_many(
        "TopK",
        [emitter.cast(x, wide), emitter.shape([op.k])],
        [emitter.results[0].with_dtype(wide), emitter.results[1].with_dtype(DType.INT64)],
        axis=op.axis,
        largest=int(op.largest),
        sorted=1,
    )
    return emitter.cast(values, dtype), emitter.cast(indices, op.dtype)
