"""Attention as one op from opset 23 on, where it has no mask; else as products and a softmax.

A mask of bools adds minus infinity to the scores in ONNX (Attention-23), and a row that sees
nothing becomes NaN; here it becomes the mean of all values.
"""

from __future__ import annotations

import numpy as np

from kcompile.ir.dims import Size
from kcompile.ir.graph import Value
from kcompile.ir.ops import Attention
from kcompile.ir.ops.attention import MASKED
from kcompile.ir.types import DType, TensorType
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.table import lowers

_NATIVE = (DType.FLOAT16, DType.FLOAT32)


@lowers(Attention)
def _attention(
    emitter: Emitter,
    op: Attention,
    q: Value,
    k: Value,
    v: Value,
    bias: Value | None = None,
    mask: Value | None = None,
) -> Value:
    if emitter.opset >= 23 and bias is None and mask is None and q.type.dtype in _NATIVE:
        return _native(emitter, op, q, k, v)
    narrow = q.type.dtype
    dtype = DType.FLOAT32 if narrow in (DType.FLOAT16, DType.BFLOAT16) else narrow
    queries, keys, values = (emitter.cast(x, dtype) for x in (q, k, v))
    batch, num_queries, num_heads, _ = q.type.shape
    num_keys = k.type.shape[1]
    queries = emitter.transpose(queries, (0, 2, 1, 3))
    queries = emitter.elementwise("Mul", queries, emitter.scalar(op.scale, dtype))
    keys = emitter.transpose(keys, (0, 2, 3, 1))
    type = TensorType(dtype, (batch, num_heads, num_queries, num_keys))
    scores = emitter.emit("MatMul", [queries, keys], type)
    if bias is not None:
        scores = emitter.elementwise("Add", scores, emitter.cast(bias, dtype))
    least = emitter.scalar(MASKED * float(np.finfo(dtype.numpy).max), dtype)
    if op.is_causal:
        scores = emitter.where(_causal_mask(emitter, num_queries, num_keys), scores, least)
    if mask is not None:
        scores = emitter.where(mask, scores, least)
    weights = emitter.elementwise("Softmax", scores, axis=-1)
    values = emitter.transpose(values, (0, 2, 1, 3))
    type = TensorType(dtype, (batch, num_heads, num_queries, v.type.shape[3]))
    results = emitter.emit("MatMul", [weights, values], type)
    return emitter.cast(emitter.transpose(results, (0, 2, 1, 3)), narrow)


def _native(emitter: Emitter, op: Attention, q: Value, k: Value, v: Value) -> Value:
    heads_first = [emitter.transpose(x, (0, 2, 1, 3)) for x in (q, k, v)]
    shape = heads_first[0].type.shape[:3]
    type = q.type.with_shape((*shape, v.type.shape[3]))
    y = emitter.emit(
        "Attention", heads_first, type, scale=float(op.scale), is_causal=int(op.is_causal)
    )
    return emitter.transpose(y, (0, 2, 1, 3))


def _causal_mask(emitter: Emitter, num_queries: Size, num_keys: Size) -> Value:
    """`[T, S]`: whether `s <= t`."""
    if isinstance(num_queries, int) and isinstance(num_keys, int):
        return emitter.constant(np.tri(num_queries, num_keys), DType.BOOL)
    rows = emitter.unsqueeze(_numbers(emitter, num_queries), 1)
    return emitter.test("LessOrEqual", _numbers(emitter, num_keys), rows)


def _numbers(emitter: Emitter, size: Size) -> Value:
    """`0, 1, ..., size - 1`."""
    if isinstance(size, int):
        return emitter.constant(np.arange(size))
    scalars = [emitter.scalar(0, DType.INT64), emitter.squeeze(emitter.size(size), 0)]
    operands = [*scalars, emitter.scalar(1, DType.INT64)]
    return emitter.emit("Range", operands, TensorType(DType.INT64, (size,)))
