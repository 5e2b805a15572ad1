"""Reductions along axes.

onnxruntime's maxima, minima and their indices pass over NaN in some places of a row and not in
others. Elements that depend on a NaN are not those of the reference there.
"""

from __future__ import annotations

import numpy as np

from kcompile.ir.graph import Value
from kcompile.ir.ops import (
    Argmax,
    Argmin,
    ReduceMax,
    ReduceMean,
    ReduceMin,
    ReduceProd,
    ReduceSum,
)
from kcompile.ir.types import DType, TensorType
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.table import lowers

Reduction = ReduceMax | ReduceMean | ReduceMin | ReduceProd | ReduceSum


@lowers(ReduceMax, ReduceMean, ReduceMin, ReduceProd, ReduceSum)
def _reduce(emitter: Emitter, op: Reduction, x: Value) -> Value:
    if not op.axes:
        return x
    if any(x.type.shape[axis] == 0 for axis in op.axes):  # onnxruntime's mean of nothing is 0
        nothing = np.zeros([int(size != 0) for size in x.type.shape], x.type.dtype.numpy)
        with np.errstate(all="ignore"):
            return emitter.filled(op.reference(nothing).flat[0], emitter.result)
    if isinstance(op, ReduceSum) and x.type.dtype.is_integer:
        return _sum_of_integers(emitter, op, x)
    name = type(op).__name__
    if name == "ReduceSum" or emitter.opset >= 18:
        operands = [x, emitter.constant(op.axes)]
        return emitter.emit(name, operands, emitter.result, keepdims=int(op.keepdims))
    return emitter.emit(name, [x], emitter.result, axes=op.axes, keepdims=int(op.keepdims))


def _sum_of_integers(emitter: Emitter, op: ReduceSum, x: Value) -> Value:
    """Products with vectors of ones, which are exact modulo 2^n, as the sums in double are not."""
    axes = sorted((axis % x.type.rank for axis in op.axes), reverse=True)
    for axis in axes:
        order = [*(other for other in range(x.type.rank) if other != axis), axis]
        rows = emitter.transpose(x, order)
        ones = emitter.filled(1, TensorType(x.type.dtype, (x.type.shape[axis], 1)))
        sums = emitter.emit(
            "MatMul", [rows, ones], rows.type.with_shape((*rows.type.shape[:-1], 1))
        )
        x = emitter.transpose(sums, map(order.index, range(x.type.rank)))
    if not op.keepdims:
        for axis in axes:
            x = emitter.squeeze(x, axis)
    return x


@lowers(Argmax, Argmin)
def _arg_reduce(emitter: Emitter, op: Argmax | Argmin, x: Value) -> Value:
    name = "ArgMax" if isinstance(op, Argmax) else "ArgMin"
    type = emitter.result.with_dtype(DType.INT64)
    index = emitter.emit(name, [x], type, axis=op.axis, keepdims=int(op.keepdims))
    return emitter.cast(index, op.dtype)
