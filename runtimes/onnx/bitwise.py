"""Ops on bits."""

from __future__ import annotations

from kcompile.ir import ops
from kcompile.ir.graph import Value
from kcompile.ir.op import Op
from kcompile.ir.types import DType
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.table import lowers

NATIVE: dict[type[Op], str] = {
    ops.BitwiseAnd: "BitwiseAnd",
    ops.BitwiseNot: "BitwiseNot",
    ops.BitwiseOr: "BitwiseOr",
    ops.BitwiseXor: "BitwiseXor",
}


@lowers(*NATIVE, opset=18)
def _native(emitter: Emitter, op: Op, *operands: Value) -> Value:
    return emitter.elementwise(NATIVE[type(op)], *operands)


@lowers(ops.ShiftLeft)
def _shift_left(emitter: Emitter, op: ops.ShiftLeft, a: Value, b: Value) -> Value:
    return emitter.cast(_shift(emitter, "LEFT", a, b), a.type.dtype)


@lowers(ops.ShiftRight)
def _shift_right(emitter: Emitter, op: ops.ShiftRight, a: Value, b: Value) -> Value:
    """Of a negative a: `-1 - ((-1 - a) >> b)`, as BitShift is for numbers without a sign."""
    dtype = a.type.dtype
    if dtype.value.startswith("u"):
        return emitter.cast(_shift(emitter, "RIGHT", a, b), dtype)
    last = emitter.scalar(-1, dtype)
    is_negative = emitter.test("Less", a, emitter.scalar(0, dtype))
    magnitude = emitter.where(is_negative, emitter.elementwise("Sub", last, a), a)
    shifted = emitter.cast(_shift(emitter, "RIGHT", magnitude, b), dtype)
    return emitter.where(is_negative, emitter.elementwise("Sub", last, shifted), shifted)


def _shift(emitter: Emitter, direction: str, a: Value, b: Value) -> Value:
    """The shift in 32 or 64 bits without a sign; 0 where b is not in [0, bits)."""
    bits = 64 if a.type.dtype.numpy.itemsize == 8 else 32
    dtype = DType.UINT64 if bits == 64 else DType.UINT32
    number, places = _unsigned(emitter, a, dtype), _unsigned(emitter, b, dtype)
    nearest = emitter.elementwise("Min", places, emitter.scalar(bits - 1, dtype))
    shifted = emitter.elementwise("BitShift", number, nearest, direction=direction)
    fits = emitter.test("Less", places, emitter.scalar(bits, dtype))
    return emitter.where(fits, shifted, emitter.scalar(0, dtype))


def _unsigned(emitter: Emitter, x: Value, dtype: DType) -> Value:
    return emitter.cast(x, dtype)
