"""Integer quotients, and the test for infinities."""

from __future__ import annotations

import math

from kcompile.ir.graph import Value
from kcompile.ir.ops import FloorDivide, IsInf
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.table import lowers


@lowers(FloorDivide)
def _floor_divide(emitter: Emitter, op: FloorDivide, a: Value, b: Value) -> Value:
    """ONNX's Div rounds integers towards zero: one less where signs differ and a rest is left.

    Of floats: `(a - fmod(a, b)) / b` is whole but for rounding, then the same correction.
    """
    dtype = a.type.dtype
    zero, one = emitter.scalar(0, dtype), emitter.scalar(1, dtype)
    if dtype.is_integer:
        quotient = emitter.elementwise("Div", a, b)
        if dtype.value.startswith("u"):
            return quotient
        remainder = emitter.elementwise("Mod", a, b)
    else:
        remainder = emitter.elementwise("Mod", a, b, fmod=1)
        whole = emitter.elementwise("Div", emitter.elementwise("Sub", a, remainder), b)
        quotient = emitter.elementwise("Round", whole)
    is_exact = emitter.test("Equal", remainder, zero)
    differs = emitter.test("Xor", emitter.test("Less", a, zero), emitter.test("Less", b, zero))
    rounds_up = emitter.test("And", differs, emitter.test("Not", is_exact))
    return emitter.where(rounds_up, emitter.elementwise("Sub", quotient, one), quotient)


@lowers(IsInf)
def _is_inf(emitter: Emitter, op: IsInf, x: Value) -> Value:
    """ONNX's IsInf takes no 16 bits before opset 20."""
    infinity = emitter.scalar(math.inf, x.type.dtype)
    return emitter.test("Equal", emitter.elementwise("Abs", x), infinity)
