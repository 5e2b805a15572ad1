"""Attention: ONNX's own op where heads are side by side, else as products and a softmax.

The op is faster than the products with heads side by side; with heads in an axis of their own it is
no faster. A mask of bools adds minus infinity to the scores in
it (Attention-23), and a row that sees nothing becomes NaN; here it becomes the mean of all values.
So masks go in as numbers to add: the finite one that stands for "masked" is so low that adding a
score to it changes nothing.
"""

from __future__ import annotations

import numpy as np

from kcompile.ir.dims import Size
from kcompile.ir.graph import Value
from kcompile.ir.ops import Attention
from kcompile.ir.ops.attention import MASKED
from kcompile.ir.types import DType, TensorType
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.forms import preferred
from kcompile.runtimes.onnx.shape import reshape
from kcompile.runtimes.onnx.table import FLOOR, PREFERRED_OPSETS, lowers

PREFERRED_OPSETS[Attention] = lambda op: FLOOR if op.num_heads is None else preferred("Attention")


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
    narrow = q.type.dtype
    dtype = DType.FLOAT32 if narrow in (DType.FLOAT16, DType.BFLOAT16) else narrow
    q, k, v = (emitter.cast(x, dtype) for x in (q, k, v))
    bias = None if bias is None else emitter.cast(bias, dtype)
    is_possible = op.num_heads is not None and dtype is DType.FLOAT32
    lower = _native if is_possible and emitter.prefers("Attention") else _decomposed
    return emitter.cast(lower(emitter, op, (q, k, v), bias, mask), narrow)


_Heads = tuple[Value, Value, Value]


def _native(
    emitter: Emitter, op: Attention, heads: _Heads, bias: Value | None, mask: Value | None
) -> Value:
    q, k, _ = heads
    is_causal = op.is_causal
    if mask is not None and is_causal:  # a row without any key is the mean of all values
        mask = emitter.test("And", mask, _causal_mask(emitter, q.type.shape[1], k.type.shape[1]))
        is_causal = False
    added = _added(emitter, bias, mask, q.type.dtype)
    if added is not None:  # onnxruntime broadcasts batches and heads, not rows and columns
        shape = (*added.type.shape[:-2], q.type.shape[1], k.type.shape[1])
        if added.type.shape != shape:
            type = added.type.with_shape(shape)
            added = emitter.emit("Expand", [added, emitter.shape(shape)], type)
    return emitter.emit(
        "Attention",
        heads if added is None else [*heads, added],
        emitter.result.with_dtype(q.type.dtype),
        scale=float(op.scale),
        is_causal=int(is_causal),
        q_num_heads=op.num_heads,
        kv_num_heads=op.num_heads,
    )


def _added(emitter: Emitter, bias: Value | None, mask: Value | None, dtype: DType) -> Value | None:
    """What is added to the scores, of rank 4."""
    added = bias
    if mask is not None:
        other = emitter.scalar(0.0, dtype) if bias is None else bias
        added = emitter.where(mask, other, _least(emitter, dtype))
    if added is None or added.type.rank == 4:
        return added
    return reshape(emitter, added, (1,) * (4 - added.type.rank) + added.type.shape)


def _least(emitter: Emitter, dtype: DType) -> Value:
    return emitter.scalar(MASKED * float(np.finfo(dtype.numpy).max), dtype)


def _decomposed(
    emitter: Emitter, op: Attention, heads: _Heads, bias: Value | None, mask: Value | None
) -> Value:
    q, k, v = (reshape(emitter, x, op.split(x.type).shape) for x in heads)
    dtype = q.type.dtype
    batch, num_queries, num_heads, _ = q.type.shape
    num_keys, width = v.type.shape[1], v.type.shape[3]
    queries = emitter.transpose(q, (0, 2, 1, 3))
    queries = emitter.elementwise("Mul", queries, emitter.scalar(op.scale, dtype))
    keys = emitter.transpose(k, (0, 2, 3, 1))
    type = TensorType(dtype, (batch, num_heads, num_queries, num_keys))
    scores = emitter.emit("MatMul", [queries, keys], type)
    if bias is not None:
        scores = emitter.elementwise("Add", scores, bias)
    least = _least(emitter, dtype)
    if op.is_causal:
        scores = emitter.where(_causal_mask(emitter, num_queries, num_keys), scores, least)
    if mask is not None:
        scores = emitter.where(mask, scores, least)
    weights = emitter.elementwise("Softmax", scores, axis=-1)
    values = emitter.transpose(v, (0, 2, 1, 3))
    type = TensorType(dtype, (batch, num_heads, num_queries, width))
    results = emitter.transpose(emitter.emit("MatMul", [weights, values], type), (0, 2, 1, 3))
    return reshape(emitter, results, emitter.result.shape)


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
