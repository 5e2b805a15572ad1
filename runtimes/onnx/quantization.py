"""Floats as small integers and back."""

from __future__ import annotations

from typing import Any

from kcompile.ir.graph import Value
from kcompile.ir.ops import Dequantize, DynamicQuantize, FakeQuantize, IntegerMatmul, Quantize
from kcompile.ir.types import DType, TensorType
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.table import lowers


def _axis(axis: int | None) -> dict[str, Any]:
    return {} if axis is None else {"axis": axis}


def _single(emitter: Emitter, x: Value) -> Value:
    """bfloat16 and float16 in float32: QuantizeLinear takes none of them before opset 19."""
    if x.type.dtype is DType.FLOAT64:
        raise emitter.refusal("ONNX quantizes no float64", hint="Cast to float32 in the model")
    return emitter.cast(x, DType.FLOAT32)


def _quantized(emitter: Emitter, op: Quantize | FakeQuantize, *operands: Value) -> Value:
    x, scale, zero_point = operands
    operands = (_single(emitter, x), _single(emitter, scale), zero_point)
    type = x.type.with_dtype(op.dtype)
    return emitter.emit_many("QuantizeLinear", operands, [type], **_axis(op.axis))[0]


def _dequantized(
    emitter: Emitter, q: Value, scale: Value, zero_point: Value | None, axis: int | None
) -> Value:
    operands = [q, _single(emitter, scale)]
    if zero_point is not None:
        operands.append(zero_point)
    type = q.type.with_dtype(DType.FLOAT32)
    (y,) = emitter.emit_many("DequantizeLinear", operands, [type], **_axis(axis))
    return emitter.cast(y, scale.type.dtype)


@lowers(Quantize)
def _quantize(emitter: Emitter, op: Quantize, x: Value, scale: Value, zero_point: Value) -> Value:
    return _quantized(emitter, op, x, scale, zero_point)


@lowers(Dequantize)
def _dequantize(
    emitter: Emitter, op: Dequantize, q: Value, scale: Value, zero_point: Value | None = None
) -> Value:
    return _dequantized(emitter, q, scale, zero_point, op.axis)


@lowers(FakeQuantize)
def _fake_quantize(
    emitter: Emitter, op: FakeQuantize, x: Value, scale: Value, zero_point: Value
) -> Value:
    q = _quantized(emitter, op, x, scale, zero_point)
    return _dequantized(emitter, q, scale, zero_point, op.axis)


@lowers(DynamicQuantize)
def _dynamic_quantize(emitter: Emitter, op: DynamicQuantize, x: Value) -> tuple[Value, ...]:
    return emitter.emit_many("DynamicQuantizeLinear", [x], emitter.results)


@lowers(IntegerMatmul)
def _integer_matmul(
    emitter: Emitter, op: IntegerMatmul, a: Value, b: Value, zero_point: Value
) -> Value:
    type = TensorType(DType.INT32, emitter.result.shape)
    return emitter.emit_many("MatMulInteger", [a, b, zero_point], [type])[0]
