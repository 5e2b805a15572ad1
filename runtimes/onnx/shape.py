"""Ops that move, select and repeat elements, and ops on sizes."""

from __future__ import annotations

import numpy as np

from kcompile.ir.dims import Dim, Size
from kcompile.ir.graph import Value
from kcompile.ir.ops import (
    BroadcastTo,
    Concatenate,
    DimSize,
    Gather,
    Iota,
    OneHot,
    Pad,
    Reshape,
    Slice,
    Transpose,
)
from kcompile.ir.types import DType, TensorType
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.sizes import least
from kcompile.runtimes.onnx.table import lowers

END = np.iinfo(np.int64).max


@lowers(Reshape)
def _reshape(emitter: Emitter, op: Reshape, x: Value) -> Value:
    return reshape(emitter, x, op.shape)


def reshape(emitter: Emitter, x: Value, shape: tuple[Size, ...]) -> Value:
    """`x` with another shape of the same size; `x` itself if that is its shape."""
    if shape == x.type.shape:
        return x
    type = x.type.with_shape(shape)
    target = reshape_target(x.type.shape, shape)
    if target is not None:
        return emitter.emit("Reshape", [x, emitter.constant(target)], type)
    attributes = {"allowzero": 1} if any(least(size) < 1 for size in shape) else {}
    return emitter.emit("Reshape", [x, emitter.shape(shape)], type, **attributes)


def reshape_target(source: tuple[Size, ...], target: tuple[Size, ...]) -> list[int] | None:
    """`target` in the form of ONNX's Reshape: 0 copies the size, one -1 is what is left.

    None if there is no such form: two sizes are neither numbers nor copied, or a size may be 0,
    which would leave -1 without a value and which a 0 can't spell.
    """
    if 0 in target:
        return None
    form = [
        size if isinstance(size, int) else 0 if source[axis : axis + 1] == (size,) else -1
        for axis, size in enumerate(target)
    ]
    if form.count(-1) > 1:
        return None
    others = [size for size, entry in zip(target, form, strict=True) if entry != -1]
    if -1 in form and any(least(size) < 1 for size in others):
        return None
    return form


@lowers(Transpose)
def _transpose(emitter: Emitter, op: Transpose, x: Value) -> Value:
    return emitter.transpose(x, op.permutation)


@lowers(BroadcastTo)
def _broadcast_to(emitter: Emitter, op: BroadcastTo, x: Value) -> Value:
    """Expand broadcasts both ways: where x has the size already, 1 will do."""
    if op.shape == x.type.shape:
        return x
    offset = len(op.shape) - x.type.rank
    shape = [
        1 if axis >= offset and x.type.shape[axis - offset] == size else size
        for axis, size in enumerate(op.shape)
    ]
    return emitter.emit("Expand", [x, emitter.shape(shape)], emitter.result)


@lowers(Concatenate)
def _concatenate(emitter: Emitter, op: Concatenate, *xs: Value) -> Value:
    if len(xs) == 1:
        return xs[0]
    return emitter.emit("Concat", xs, emitter.result, axis=op.axis)


@lowers(Slice)
def _slice(emitter: Emitter, op: Slice, x: Value) -> Value:
    """Only the axes that lose elements take part."""
    triples = list(zip(op.starts, op.limits, op.strides, strict=True))
    axes = [axis for axis, size in enumerate(x.type.shape) if triples[axis] != (0, size, 1)]
    if not axes:
        return x
    limits = [_limit(op.limits[axis], x.type.shape[axis]) for axis in axes]
    operands = [
        x,
        emitter.shape(op.starts[axis] for axis in axes),
        emitter.shape(limits),
        emitter.constant(axes),
        emitter.constant([op.strides[axis] for axis in axes]),
    ]
    return emitter.emit("Slice", operands, emitter.result)


def _limit(limit: Size, size: Size) -> Size:
    """A limit that is some elements before the end is counted from there: no size at run time."""
    if isinstance(limit, int):
        return END if limit == size else limit
    before_end = limit - size
    if before_end == 0:
        return END
    return before_end if isinstance(before_end, int) and before_end < 0 else limit


@lowers(Pad)
def _pad(emitter: Emitter, op: Pad, x: Value) -> Value:
    if not any(map(any, op.widths)):
        return x
    widths = emitter.constant([pair[side] for side in (0, 1) for pair in op.widths])
    return emitter.emit("Pad", [x, widths, emitter.scalar(op.value, x.type.dtype)], emitter.result)


@lowers(Gather)
def _gather(emitter: Emitter, op: Gather, x: Value, indices: Value) -> Value:
    if indices.type.dtype not in (DType.INT32, DType.INT64):
        indices = emitter.cast(indices, DType.INT64)
    return emitter.emit("Gather", [x, indices], emitter.result, axis=op.axis)


@lowers(OneHot)
def _one_hot(emitter: Emitter, op: OneHot, indices: Value) -> Value:
    """ONNX's OneHot takes index -1 for the last class; here it is none."""
    dtype = indices.type.dtype
    if op.depth - 1 > np.iinfo(dtype.numpy).max:
        indices, dtype = emitter.cast(indices, DType.INT64), DType.INT64
    column = emitter.unsqueeze(indices, indices.type.rank)
    classes = emitter.constant(np.arange(op.depth), dtype)
    return emitter.cast(emitter.test("Equal", column, classes), op.dtype)


@lowers(Iota)
def _iota(emitter: Emitter, op: Iota) -> Value:
    if not isinstance(op.size, Dim):
        return emitter.constant(op.reference(), op.dtype)
    start, step = emitter.constant(0), emitter.constant(1)
    limit = emitter.squeeze(emitter.size(op.size), 0)
    numbers = emitter.emit("Range", [start, limit, step], TensorType(DType.INT64, (op.size,)))
    return emitter.cast(numbers, op.dtype)


@lowers(DimSize)
def _dim_size(emitter: Emitter, op: DimSize) -> Value:
    if not isinstance(op.size, Dim):
        return emitter.constant(op.reference(), op.dtype)
    return emitter.cast(emitter.squeeze(emitter.size(op.size), 0), op.dtype)
