"""Normalizations of each sample by its own statistics.

LayerNormalization is native for the last axes, in float32 and float16: its epsilon is a float32.
So is RMSNormalization, and GroupNormalization for channels that come first, where they are faster.
"""

from __future__ import annotations

import numpy as np

from kcompile.ir.dims import Size
from kcompile.ir.graph import Value
from kcompile.ir.ops import GroupNorm, LayerNorm, RmsNorm
from kcompile.ir.types import DType
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.shape import reshape
from kcompile.runtimes.onnx.table import lowers


@lowers(LayerNorm)
def _layer_norm(
    emitter: Emitter, op: LayerNorm, x: Value, gamma: Value | None = None, beta: Value | None = None
) -> Value:
    axes = op.axes_of(x.type.rank)
    if not _is_native(x, axes) or not emitter.prefers("LayerNormalization"):
        return _arithmetic(emitter, op.epsilon, axes, x, gamma, beta, centered=True)
    if gamma is None:
        gamma = emitter.filled(1.0, x.type.with_shape(x.type.shape[axis] for axis in axes))
    operands = [x, gamma] if beta is None else [x, gamma, beta]
    return emitter.emit(
        "LayerNormalization", operands, x.type, axis=axes[0], epsilon=float(op.epsilon)
    )


@lowers(RmsNorm)
def _rms_norm(emitter: Emitter, op: RmsNorm, x: Value, gamma: Value | None = None) -> Value:
    axes = op.axes_of(x.type.rank)
    if not _is_native(x, axes) or not emitter.prefers("RMSNormalization"):
        return _arithmetic(emitter, op.epsilon, axes, x, gamma, None, centered=False)
    if gamma is None:
        gamma = emitter.filled(1.0, x.type.with_shape(x.type.shape[axis] for axis in axes))
    return emitter.emit(
        "RMSNormalization", [x, gamma], x.type, axis=axes[0], epsilon=float(op.epsilon)
    )


def _is_native(x: Value, axes: tuple[int, ...]) -> bool:
    """Whether the axes are the last ones, of known sizes, and onnxruntime has a kernel."""
    sizes = [x.type.shape[axis] for axis in axes]
    return (
        axes == tuple(range(axes[0], x.type.rank))
        and all(isinstance(size, int) and size > 0 for size in sizes)
        and x.type.dtype in (DType.FLOAT16, DType.FLOAT32)
    )


@lowers(GroupNorm)
def _group_norm(
    emitter: Emitter, op: GroupNorm, x: Value, gamma: Value | None = None, beta: Value | None = None
) -> Value:
    axis = op.axis_of(x.type.rank)
    is_possible = axis == 1 and x.type.dtype is DType.FLOAT32 and None not in (gamma, beta)
    if is_possible and emitter.prefers("GroupNormalization"):
        return emitter.emit(
            "GroupNormalization",
            [x, gamma, beta],
            x.type,
            num_groups=op.groups,
            epsilon=float(op.epsilon),
        )
    before, channels, after = x.type.shape[:axis], x.type.shape[axis], x.type.shape[axis + 1 :]
    split = (*before, op.groups, channels // op.groups, *after)
    others = tuple(other for other in range(1, x.type.rank + 1) if other != axis)
    wide = _wide(emitter, x)
    y = _normalized(emitter, op.epsilon, others, reshape(emitter, wide, split), centered=True)
    y = _affine(emitter, reshape(emitter, y, x.type.shape), (axis,), gamma, beta)
    return emitter.cast(y, x.type.dtype)


def _arithmetic(
    emitter: Emitter,
    epsilon: float,
    axes: tuple[int, ...],
    x: Value,
    gamma: Value | None,
    beta: Value | None,
    *,
    centered: bool,
) -> Value:
    y = _normalized(emitter, epsilon, axes, _wide(emitter, x), centered=centered)
    return emitter.cast(_affine(emitter, y, axes, gamma, beta), x.type.dtype)


def _wide(emitter: Emitter, x: Value) -> Value:
    is_narrow = x.type.dtype in (DType.FLOAT16, DType.BFLOAT16)
    return emitter.cast(x, DType.FLOAT32) if is_narrow else x


def _normalized(
    emitter: Emitter, epsilon: float, axes: tuple[int, ...], x: Value, *, centered: bool
) -> Value:
    if centered:
        x = emitter.elementwise("Sub", x, _mean(emitter, axes, x))
    square = _mean(emitter, axes, emitter.elementwise("Mul", x, x))
    shifted = emitter.elementwise("Add", square, emitter.scalar(epsilon, x.type.dtype))
    return emitter.elementwise("Div", x, emitter.elementwise("Sqrt", shifted))


def _mean(emitter: Emitter, axes: tuple[int, ...], x: Value) -> Value:
    type = x.type.with_shape(1 if i in axes else size for i, size in enumerate(x.type.shape))
    if any(x.type.shape[axis] == 0 for axis in axes):  # onnxruntime's mean of nothing is 0
        return emitter.filled(np.nan, type)
    if emitter.opset >= 18:
        return emitter.emit("ReduceMean", [x, emitter.constant(axes)], type, keepdims=1)
    return emitter.emit("ReduceMean", [x], type, axes=axes, keepdims=1)


def _affine(
    emitter: Emitter, y: Value, axes: tuple[int, ...], gamma: Value | None, beta: Value | None
) -> Value:
    """`y * gamma + beta`; those have the sizes of y along axes."""
    shape = [y.type.shape[axis] if axis in axes else 1 for axis in range(axes[0], y.type.rank)]
    for op_type, weight in (("Mul", gamma), ("Add", beta)):
        if weight is not None:
            weight = _shaped(emitter, emitter.cast(weight, y.type.dtype), tuple(shape))
            y = emitter.elementwise(op_type, y, weight)
    return y


def _shaped(emitter: Emitter, weight: Value, shape: tuple[Size, ...]) -> Value:
    array = emitter.literal(weight)
    if array is None or shape == weight.type.shape:
        return reshape(emitter, weight, shape)
    return emitter.constant(array.reshape(shape), weight.type.dtype)
