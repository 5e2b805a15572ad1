"""Trigonometric and hyperbolic functions."""

from __future__ import annotations

import math

from kcompile.ir import ops
from kcompile.ir.graph import Value
from kcompile.ir.op import Op
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.table import lowers

NATIVE: dict[type[Op], str] = {
    ops.Acos: "Acos",
    ops.Acosh: "Acosh",
    ops.Asin: "Asin",
    ops.Asinh: "Asinh",
    ops.Atan: "Atan",
    ops.Atanh: "Atanh",
    ops.Cosh: "Cosh",
    ops.Sinh: "Sinh",
    ops.Tan: "Tan",
}


@lowers(*NATIVE)
def _native(emitter: Emitter, op: Op, x: Value) -> Value:
    return emitter.elementwise(NATIVE[type(op)], x)


@lowers(ops.Atan2)
def _atan2(emitter: Emitter, op: ops.Atan2, a: Value, b: Value) -> Value:
    """`atan(|a| / |b|)`, or its complement to pi where b < 0, with the sign of a.

    The quotient is 0 / 1 for two zeros and 1 for two infinities. A zero's sign is that of its
    reciprocal.
    """
    dtype = emitter.result.dtype
    zero, one, pi = (emitter.scalar(number, dtype) for number in (0, 1, math.pi))
    rise, run = emitter.elementwise("Abs", a), emitter.elementwise("Abs", b)
    greater = emitter.elementwise("Max", rise, run)
    is_zero = emitter.test("Equal", greater, zero)
    is_infinite = emitter.test(
        "Equal", emitter.elementwise("Min", rise, run), emitter.scalar(math.inf, dtype)
    )
    quotient = emitter.elementwise("Div", rise, emitter.where(is_zero, one, run))
    angle = emitter.elementwise("Atan", emitter.where(is_infinite, one, quotient))
    left = emitter.where(_is_negative(emitter, b), emitter.elementwise("Sub", pi, angle), angle)
    return emitter.where(_is_negative(emitter, a), emitter.elementwise("Neg", left), left)


def _is_negative(emitter: Emitter, x: Value) -> Value:
    """Whether the sign bit of x is set; NaN is not negative."""
    zero = emitter.scalar(0, x.type.dtype)
    below = emitter.test("Less", x, zero)
    negative_zero = emitter.test("Less", emitter.elementwise("Reciprocal", x), zero)
    return emitter.test("Or", below, negative_zero)
