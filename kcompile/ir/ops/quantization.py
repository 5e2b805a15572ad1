"""Floats as small integers and back: what ONNX's QuantizeLinear and relatives mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcompile.ir.op import Array, Op, normalize_axis, require
from kcompile.ir.types import DType, TensorType, require_same_size

#: Element types that floats are quantized to.
QUANTIZED = (DType.INT8, DType.UINT8)
#: Types that are turned back into floats; i32 is what sums of products of the others have.
DEQUANTIZED = (*QUANTIZED, DType.INT32)


def limits(dtype: DType) -> tuple[int, int]:
    """The least and the greatest integer of a type."""
    info = np.iinfo(dtype.numpy)
    return int(info.min), int(info.max)


def _check_scale(x: TensorType, scale: TensorType, axis: int | None) -> None:
    require(scale.dtype.is_floating, "needs a floating-point scale")
    if axis is None:
        require(scale.rank == 0, f"without axis needs a scale of rank 0, got {scale}")
        return
    require(scale.rank == 1, f"along an axis needs a scale of rank 1, got {scale}")
    size = x.shape[normalize_axis(axis, x.rank)]
    require_same_size(scale.shape[0], size, f"needs {size} scales")


def _check_quantize(
    x: TensorType, scale: TensorType, zero_point: TensorType, dtype: DType, axis: int | None
) -> None:
    require(dtype in QUANTIZED, f"cannot quantize to {dtype}")
    require(x.dtype.is_floating, "needs floats")
    require(scale.dtype is x.dtype, f"needs a scale of type {x.dtype}")
    _check_scale(x, scale, axis)
    expected = scale.with_dtype(dtype)
    require(zero_point == expected, f"needs a zero point of type {expected}, got {zero_point}")


def _along(parameter: Array, rank: int, axis: int | None) -> Array:
    """A parameter with the shape that broadcasts along `axis`."""
    if axis is None:
        return parameter
    shape = [1] * rank
    shape[axis] = -1
    return parameter.reshape(shape)


def _wide(x: Array) -> Array:
    """Numbers in float32, or in float64 if they have it."""
    return x if x.dtype == np.float64 else x.astype(np.float32)


def _quantized(x: Array, scale: Array, zero_point: Array, dtype: DType, axis: int | None) -> Array:
    scale, zero_point = (_along(p, x.ndim, axis) for p in (scale, zero_point))
    rounded = np.rint(_wide(x) / _wide(scale)) + zero_point.astype(np.float64)
    return np.clip(rounded, *limits(dtype)).astype(dtype.numpy)


def _dequantized(q: Array, scale: Array, zero_point: Array | None, axis: int | None) -> Array:
    shifted = q.astype(np.int64)
    if zero_point is not None:
        shifted = shifted - _along(zero_point, q.ndim, axis).astype(np.int64)
    wide = _wide(_along(scale, q.ndim, axis))
    return (shifted.astype(wide.dtype) * wide).astype(scale.dtype)


@dataclass(frozen=True)
class Quantize(Op):
    """`q = saturate(round(x / scale) + zero_point)`; halves round to the even integer.

    scale and zero_point are of rank 0, or `[C]` where x has C elements along `axis`. NaN has no
    meaning here.
    """

    dtype: DType
    axis: int | None = None

    def infer(self, x: TensorType, scale: TensorType, zero_point: TensorType) -> TensorType:
        _check_quantize(x, scale, zero_point, self.dtype, self.axis)
        return x.with_dtype(self.dtype)

    def reference(self, x: Array, scale: Array, zero_point: Array) -> Array:
        return _quantized(x, scale, zero_point, self.dtype, self.axis)


@dataclass(frozen=True)
class Dequantize(Op):
    """`y = (q - zero_point) * scale`, of the scale's type; zero_point is 0 if it is left out.

    scale and zero_point are of rank 0, or `[C]` where q has C elements along `axis`.
    """

    axis: int | None = None
    is_foldable = False  # the integers are what is to be stored

    def infer(
        self, q: TensorType, scale: TensorType, zero_point: TensorType | None = None
    ) -> TensorType:
        require(q.dtype in DEQUANTIZED, f"cannot dequantize {q.dtype}")
        _check_scale(q, scale, self.axis)
        if zero_point is not None:
            require(q.dtype is not DType.INT32, "takes no zero point for i32")
            expected = scale.with_dtype(q.dtype)
            require(zero_point == expected, f"needs a zero point of type {expected}")
        return q.with_dtype(scale.dtype)

    def reference(self, q: Array, scale: Array, zero_point: Array | None = None) -> Array:
        return _dequantized(q, scale, zero_point, self.axis)


@dataclass(frozen=True)
class FakeQuantize(Op):
    """`y = dequantize(quantize(x))`, for training with the rounding that there will be.

    The gradient for x is that of y = x where x is within the range of the integers, and 0 outside
    (straight-through: Bengio et al. 2013, Jacob et al. 2018); scale and zero_point get none.
    """

    dtype: DType
    axis: int | None = None

    def infer(self, x: TensorType, scale: TensorType, zero_point: TensorType) -> TensorType:
        _check_quantize(x, scale, zero_point, self.dtype, self.axis)
        return x

    def reference(self, x: Array, scale: Array, zero_point: Array) -> Array:
        q = _quantized(x, scale, zero_point, self.dtype, self.axis)
        return _dequantized(q, scale, zero_point, self.axis)


@dataclass(frozen=True)
class DynamicQuantize(Op):
    """`q, scale, zero_point`: x as u8, with the range that it has, widened to contain 0.

    `scale = (max - min) / 255` and `zero_point = saturate(round(-min / scale))`, of rank 0. Where
    all of x is 0, the scale is 1 as in onnxruntime; ONNX leaves it open.
    """

    def infer(self, x: TensorType) -> tuple[TensorType, ...]:
        require(x.dtype is DType.FLOAT32, "needs f32")
        single = TensorType(DType.UINT8, ())
        return x.with_dtype(DType.UINT8), single.with_dtype(DType.FLOAT32), single

    def reference(self, x: Array) -> tuple[Array, ...]:
        least, greatest = (f(x, initial=np.float32(0)) for f in (np.min, np.max))
        step = np.float32((greatest - least) / np.float32(255))
        scale: Array = np.asarray(step if step else 1, np.float32)
        start = np.clip(np.rint(-least / scale), 0, 255)
        zero_point = np.asarray(start, np.uint8)
        return _quantized(x, scale, zero_point, DType.UINT8, None), scale, zero_point


@dataclass(frozen=True)
class IntegerMatmul(Op):
    """`y[..., i, j] = sum over k of (a[..., i, k] - zero_point) * b[k, j]`, in i32.

    a is u8, b is i8 `[K, J]`, zero_point is u8 of rank 0.
    """

    def infer(self, a: TensorType, b: TensorType, zero_point: TensorType) -> TensorType:
        require(a.dtype is DType.UINT8 and b.dtype is DType.INT8, "needs a of u8 and b of i8")
        require(a.rank >= 2 and b.rank == 2, "needs a of rank 2 or more and b of rank 2")
        require(zero_point == TensorType(DType.UINT8, ()), "needs a zero point of type u8[]")
        require_same_size(a.shape[-1], b.shape[0], f"needs b with {a.shape[-1]} rows")
        return TensorType(DType.INT32, (*a.shape[:-1], b.shape[1]))

    def reference(self, a: Array, b: Array, zero_point: Array) -> Array:
        shifted = a.astype(np.float64) - np.float64(zero_point)
        return np.matmul(shifted, b.astype(np.float64)).astype(np.int32)
