"""Resizing along spatial axes.

ONNX's Resize finds places with a division in float32. Where that could pick another element
(nearest, by a factor that is no whole number) or weigh elements visibly differently (far from the
origin), indices and weights of constants do it instead.
"""

from __future__ import annotations

import numpy as np

from kcompile.ir.dims import Size, divide_exactly
from kcompile.ir.graph import Value
from kcompile.ir.ops import Resize
from kcompile.ir.ops.resizing import BILINEAR, HALF_PIXEL, NEAREST, nearest_indices, places
from kcompile.ir.types import DType, TensorType
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.kernels import compute_type
from kcompile.runtimes.onnx.table import lowers
from kcompile.runtimes.onnx.windows import (
    channels_first_type,
    from_channels_first,
    to_channels_first,
)

_ATTRIBUTES: dict[str, dict[str, object]] = {
    NEAREST: {"mode": "nearest", "nearest_mode": "round_prefer_ceil"},
    BILINEAR: {"mode": "linear"},
    "bicubic": {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1},
}
#: How far off a place may be, in elements.
_TOLERANCE = 1e-6


@lowers(Resize)
def _resize(emitter: Emitter, op: Resize, x: Value) -> Value:
    result = channels_first_type(emitter.result, op.data_format)
    x = to_channels_first(emitter, x, op.data_format)
    if x.type.shape == result.shape:
        y = x
    elif op.method == NEAREST:
        y = _nearest(emitter, op, x, result)
    else:
        y = _weighted(emitter, op, x, result)
    return from_channels_first(emitter, y, op.data_format)


def _nearest(emitter: Emitter, op: Resize, x: Value, result: TensorType) -> Value:
    multiple = all(map(_is_multiple, x.type.shape[2:], op.size))
    if multiple and compute_type("Resize", x.type.dtype) is not None:
        return _native(emitter, op, x, result)
    y = x
    for axis, size in enumerate(op.size, 2):
        old = x.type.shape[axis]
        if size != old:
            shape = [*y.type.shape[:axis], size, *y.type.shape[axis + 1 :]]
            indices = _indices(emitter, old, size)
            y = emitter.emit("Gather", [y, indices], x.type.with_shape(shape), axis=axis)
    return y


def _indices(emitter: Emitter, old: Size, size: Size) -> Value:
    """`floor((2 i + 1) * old / (2 * size))` in whole numbers, `[size]`."""
    if isinstance(old, int) and isinstance(size, int):
        return emitter.constant(nearest_indices(old, size))
    twice = emitter.size(2 * size)
    bounds = [emitter.constant(1), emitter.squeeze(twice, 0), emitter.constant(2)]
    odd = emitter.emit("Range", bounds, TensorType(DType.INT64, (size,)))
    return emitter.elementwise("Div", emitter.elementwise("Mul", odd, emitter.size(old)), twice)


def _weighted(emitter: Emitter, op: Resize, x: Value, result: TensorType) -> Value:
    pairs = list(zip(x.type.shape[2:], op.size, strict=True))
    is_static = all(isinstance(size, int) for pair in pairs for size in pair)
    is_native = not op.antialias and (
        op.method == BILINEAR or (op.method == "bicubic" and all(_grows(*pair) for pair in pairs))
    )
    if is_static and not (is_native and all(_is_accurate(op, int(a), int(b)) for a, b in pairs)):
        return _by_weights(emitter, op, x, result)
    if not is_native:
        what = f"{op.method} with antialias" if op.antialias else op.method
        raise emitter.refusal(
            f"onnxruntime has no resize by {what} of symbolic sizes {x.type} to {result}",
            hint="Give the input a fixed size",
        )
    return _native(emitter, op, x, result)


def _by_weights(emitter: Emitter, op: Resize, x: Value, result: TensorType) -> Value:
    """`y = rows x columns'` for each channel: the weights are matrices."""
    dtype = x.type.dtype
    height, width = map(int, x.type.shape[2:])
    new_height, new_width = map(int, op.size)
    y = x
    if new_width != width:
        columns = op.weights(width, new_width).T
        type = y.type.with_shape((*y.type.shape[:-1], new_width))
        y = emitter.emit("MatMul", [y, emitter.constant(columns, dtype)], type)
    if new_height != height:
        rows = op.weights(height, new_height)
        y = emitter.emit("MatMul", [emitter.constant(rows, dtype), y], result)
    return y


def _native(emitter: Emitter, op: Resize, x: Value, result: TensorType) -> Value:
    """By factors where they are known, which needs no sizes at run time."""
    factors = list(map(_factor, x.type.shape[2:], op.size))
    if None in factors:
        operands: list[Value | None] = [x, None, None, emitter.shape(result.shape)]
    else:
        ones = [1] * (x.type.rank - len(factors))
        operands = [x, None, emitter.constant([*ones, *factors], DType.FLOAT32)]
    attributes = dict(_ATTRIBUTES[op.method])
    if op.coordinates != HALF_PIXEL:
        attributes["coordinate_transformation_mode"] = op.coordinates
    return emitter.emit("Resize", operands, result, **attributes)


def _is_multiple(old: Size, size: Size) -> bool:
    return isinstance(divide_exactly(size, old), int)


def _grows(old: Size, size: Size) -> bool:
    """Whether it is known to: onnxruntime has bicubic for nothing else."""
    if isinstance(old, int) and isinstance(size, int):
        return size >= old
    return _is_multiple(old, size)


def _factor(old: Size, size: Size) -> float | None:
    """`size / old` as a float32 with `floor(old * factor) = size`, if it is a number."""
    whole = divide_exactly(size, old)
    if isinstance(whole, int):
        return whole
    if not (isinstance(old, int) and isinstance(size, int)):
        return None
    factor = np.float32(size / old)
    if old * float(factor) < size:
        factor = np.nextafter(factor, np.float32(np.inf))
    return float(factor)


def _is_accurate(op: Resize, old: int, size: int) -> bool:
    """Whether float32 finds the places well enough."""
    factor = np.float32(_factor(old, size))
    shift = np.float32(0.5 if op.coordinates == HALF_PIXEL else 0.0)
    found = (np.arange(size, dtype=np.float32) + shift) / factor - shift
    return bool(np.abs(found - places(old, size, op.coordinates)).max() <= _TOLERANCE)
