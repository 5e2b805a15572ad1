"""Ops on each element by itself."""

from __future__ import annotations

import math

import numpy as np

from kcompile.ir import ops
from kcompile.ir.graph import Value
from kcompile.ir.op import Op
from kcompile.ir.types import DType
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.table import lowers

#: Ops that are an ONNX op by themselves.
NATIVE: dict[type[Op], str] = {
    ops.Absolute: "Abs",
    ops.Ceil: "Ceil",
    ops.Cos: "Cos",
    ops.Divide: "Div",
    ops.Erf: "Erf",
    ops.Exp: "Exp",
    ops.Floor: "Floor",
    ops.Log: "Log",
    ops.Maximum: "Max",
    ops.Minimum: "Min",
    ops.Multiply: "Mul",
    ops.Round: "Round",
    ops.Sign: "Sign",
    ops.Sin: "Sin",
    ops.Sqrt: "Sqrt",
    ops.Subtract: "Sub",
}
TESTS: dict[type[Op], str] = {
    ops.Equal: "Equal",
    ops.Greater: "Greater",
    ops.GreaterEqual: "GreaterOrEqual",
    ops.IsNan: "IsNaN",
    ops.Less: "Less",
    ops.LessEqual: "LessOrEqual",
    ops.LogicalAnd: "And",
    ops.LogicalNot: "Not",
    ops.LogicalOr: "Or",
}
#: What onnxruntime fuses an addition before it with.
LAYER_NORMS = (ops.LayerNorm, ops.RmsNorm)
#: Multiplications that a power is spelled out with.
MAXIMUM_EXPONENT = 64


@lowers(*NATIVE)
def _native(emitter: Emitter, op: Op, *operands: Value) -> Value:
    return emitter.elementwise(NATIVE[type(op)], *operands)


@lowers(ops.Add)
def _add(emitter: Emitter, op: ops.Add, a: Value, b: Value) -> Value:
    """As `Sum` before a layer normalization, where operands are of one shape.

    onnxruntime makes one node of Add and LayerNormalization, which on the CPU takes six times as
    long as the two do; of Sum it does not.
    """
    is_residual = a.type.shape == b.type.shape and a.type.dtype is DType.FLOAT32
    is_sum = is_residual and emitter.feeds(LAYER_NORMS) and emitter.prefers("Sum")
    return emitter.elementwise("Sum" if is_sum else "Add", a, b)


@lowers(*TESTS)
def _test(emitter: Emitter, op: Op, *operands: Value) -> Value:
    return emitter.test(TESTS[type(op)], *operands)


@lowers(ops.NotEqual)
def _not_equal(emitter: Emitter, op: ops.NotEqual, a: Value, b: Value) -> Value:
    return emitter.test("Not", emitter.test("Equal", a, b))


@lowers(ops.IsFinite)
def _is_finite(emitter: Emitter, op: ops.IsFinite, x: Value) -> Value:
    """`|x| < inf`, which is false for NaN."""
    dtype = x.type.dtype
    return emitter.test("Less", emitter.elementwise("Abs", x), emitter.scalar(math.inf, dtype))


@lowers(ops.Negative)
def _negative(emitter: Emitter, op: ops.Negative, x: Value) -> Value:
    if x.type.dtype.value.startswith("u"):
        return emitter.elementwise("Sub", emitter.scalar(0, x.type.dtype), x)
    return emitter.elementwise("Neg", x)


@lowers(ops.Rsqrt)
def _rsqrt(emitter: Emitter, op: ops.Rsqrt, x: Value) -> Value:
    return emitter.elementwise("Reciprocal", emitter.elementwise("Sqrt", x))


@lowers(ops.Expm1)
def _expm1(emitter: Emitter, op: ops.Expm1, x: Value) -> Value:
    """`2 t / (1 - t)`, t = tanh(x / 2), where `|x| < 1`; `e^x - 1` elsewhere."""
    number = x.type.dtype
    one, half = emitter.scalar(1, number), emitter.scalar(0.5, number)
    t = emitter.elementwise("Tanh", emitter.elementwise("Mul", x, half))
    double = emitter.elementwise("Add", t, t)
    near = emitter.elementwise("Div", double, emitter.elementwise("Sub", one, t))
    far = emitter.elementwise("Sub", emitter.elementwise("Exp", x), one)
    return emitter.where(_is_small(emitter, x, one), near, far)


@lowers(ops.Log1p)
def _log1p(emitter: Emitter, op: ops.Log1p, x: Value) -> Value:
    """`2 atanh(x / (2 + x))`, as `ln(u) x / (u - 1)` with u = 1 + x, which takes out u's rounding.

    Source: W. Kahan's formula, in D. Goldberg, "What every computer scientist should know about
    floating-point arithmetic", ACM Computing Surveys 23(1), 1991, theorem 4.
    """
    number = x.type.dtype
    one = emitter.scalar(1, number)
    u = emitter.elementwise("Add", x, one)
    logarithm = emitter.elementwise("Log", u)
    rounded = emitter.elementwise("Sub", u, one)
    scaled = emitter.elementwise("Mul", logarithm, emitter.elementwise("Div", x, rounded))
    vanishes = emitter.test("Equal", rounded, emitter.scalar(0, number))
    near = emitter.where(vanishes, x, scaled)
    return emitter.where(_is_small(emitter, x, one), near, logarithm)


def _is_small(emitter: Emitter, x: Value, bound: Value) -> Value:
    return emitter.test("Less", emitter.elementwise("Abs", x), bound)


@lowers(ops.Remainder)
def _remainder(emitter: Emitter, op: ops.Remainder, a: Value, b: Value) -> Value:
    """ONNX's Mod has the divisor's sign for integers; for floats it is C's fmod, with a's sign."""
    dtype = a.type.dtype
    if dtype.is_integer:
        return emitter.elementwise("Mod", a, b)
    remainder = emitter.elementwise("Mod", a, b, fmod=1)
    zero = emitter.scalar(0, dtype)
    signs = [emitter.test("Less", value, zero) for value in (remainder, b)]
    is_exact = emitter.test("Equal", remainder, zero)
    differs = emitter.test("And", emitter.test("Xor", *signs), emitter.test("Not", is_exact))
    shifted = emitter.elementwise("Add", remainder, b)
    return emitter.where(differs, shifted, remainder)


@lowers(ops.Power)
def _power(emitter: Emitter, op: ops.Power, a: Value, b: Value) -> Value:
    if a.type.dtype.is_floating:
        return emitter.elementwise("Pow", a, b)
    exponent = emitter.literal(b)
    if exponent is None or exponent.shape != () or not 0 < exponent <= MAXIMUM_EXPONENT:
        raise emitter.refusal(
            "onnxruntime computes powers of integers in floating point, which loses digits, unless"
            f" the exponent is a constant from 1 to {MAXIMUM_EXPONENT}",
            hint="Cast to float32 in the model",
        )
    return _integer_power(emitter, a, int(exponent))


def _integer_power(emitter: Emitter, base: Value, exponent: int) -> Value:
    """By squaring: the bits of the exponent, from the second on."""
    result = base
    for bit in f"{exponent:b}"[1:]:
        result = emitter.elementwise("Mul", result, result)
        if bit == "1":
            result = emitter.elementwise("Mul", result, base)
    return result


@lowers(ops.Where)
def _where(emitter: Emitter, op: ops.Where, condition: Value, a: Value, b: Value) -> Value:
    return emitter.where(condition, a, b)


@lowers(ops.Clip)
def _clip(emitter: Emitter, op: ops.Clip, x: Value) -> Value:
    """An infinite bound is none."""
    dtype = x.type.dtype
    bounds = [
        None if np.isinf(bound) else emitter.scalar(bound, dtype)
        for bound in (op.minimum, op.maximum)
    ]
    return emitter.emit("Clip", [x, *bounds], emitter.result)


@lowers(ops.Cast)
def _cast(emitter: Emitter, op: ops.Cast, x: Value) -> Value:
    return emitter.cast(x, op.dtype)
