"""Pooling over sliding windows.

onnxruntime's MaxPool passes over NaN in some places of a window and not in others, and a padded
window of nothing but -inf gives the least finite number. Those elements are not the reference's.
"""

from __future__ import annotations

import math

from kcompile.ir.graph import Value
from kcompile.ir.ops import AveragePool, MaxPool
from kcompile.ir.types import DType
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.table import lowers
from kcompile.runtimes.onnx.windows import (
    attributes_unless_one,
    channels_first_type,
    from_channels_first,
    pad_windows,
    to_channels_first,
)

#: onnxruntime's kernels pool along so many axes.
MAXIMUM_AXES = 3

#: There are no kernels for their maxima, and a double holds them all.
INTEGERS_OF_DOUBLE = (
    *(DType.INT8, DType.INT16, DType.INT32),
    *(DType.UINT8, DType.UINT16, DType.UINT32),
)


@lowers(AveragePool, MaxPool)
def _pool(emitter: Emitter, op: AveragePool | MaxPool, x: Value) -> Value:
    if len(op.window) > MAXIMUM_AXES:
        raise emitter.refusal(f"onnxruntime pools along at most {MAXIMUM_AXES} axes")
    once = (1,) * len(op.window)
    fill = -math.inf if isinstance(op, MaxPool) else None
    x = to_channels_first(emitter, x, op.data_format)
    result = channels_first_type(emitter.result, op.data_format)
    if x.type.dtype in INTEGERS_OF_DOUBLE:
        x = emitter.cast(x, DType.FLOAT64)
    x, padding = pad_windows(emitter, x, op.window, op.strides, once, op.padding, fill)
    y = emitter.emit(
        type(op).__name__,
        [x],
        result.with_dtype(x.type.dtype),
        kernel_shape=op.window,
        **attributes_unless_one(strides=op.strides),
        **padding,
    )
    return from_channels_first(emitter, emitter.cast(y, result.dtype), op.data_format)
