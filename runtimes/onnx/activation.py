"""Activation functions: each has an ONNX op of its own."""

from __future__ import annotations

import math

from kcompile.ir.graph import Value
from kcompile.ir.ops import (
    Elu,
    Gelu,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    LogSoftmax,
    PRelu,
    Relu,
    Sigmoid,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
)
from kcompile.ir.types import DType
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.forms import preferred
from kcompile.runtimes.onnx.table import PREFERRED_OPSETS, lowers


@lowers(Relu, Sigmoid, Softplus, Softsign, Tanh)
def _plain(emitter: Emitter, op: Relu | Sigmoid | Softplus | Softsign | Tanh, x: Value) -> Value:
    return emitter.elementwise(type(op).__name__, x)


@lowers(Elu)
def _elu(emitter: Emitter, op: Elu, x: Value) -> Value:
    return emitter.elementwise("Elu", x, alpha=float(op.alpha))


@lowers(LeakyRelu)
def _leaky_relu(emitter: Emitter, op: LeakyRelu, x: Value) -> Value:
    return emitter.elementwise("LeakyRelu", x, alpha=float(op.negative_slope))


@lowers(HardSigmoid)
def _hard_sigmoid(emitter: Emitter, op: HardSigmoid, x: Value) -> Value:
    """Of float64, for which onnxruntime has no kernel, as arithmetic."""
    if x.type.dtype is not DType.FLOAT64:
        return emitter.elementwise("HardSigmoid", x, alpha=1 / 6, beta=0.5)
    sixth, half, zero, one = (emitter.scalar(v, DType.FLOAT64) for v in (6.0, 0.5, 0.0, 1.0))
    y = emitter.elementwise("Add", emitter.elementwise("Div", x, sixth), half)
    return emitter.elementwise("Clip", y, zero, one)


@lowers(HardSwish)
def _hard_swish(emitter: Emitter, op: HardSwish, x: Value) -> Value:
    if x.type.dtype is not DType.FLOAT64:
        return emitter.elementwise("HardSwish", x)
    return emitter.elementwise("Mul", x, _hard_sigmoid(emitter, HardSigmoid(), x))


@lowers(PRelu)
def _p_relu(emitter: Emitter, op: PRelu, x: Value, slope: Value) -> Value:
    return emitter.elementwise("PRelu", x, slope)


PREFERRED_OPSETS[Gelu] = lambda op: preferred(_form(op))


def _form(op: Gelu) -> str:
    return "Gelu, tanh" if op.approximate else "Gelu"


@lowers(Gelu)
def _gelu(emitter: Emitter, op: Gelu, x: Value) -> Value:
    """Without the op as `x (1 + erf(x / sqrt 2)) / 2`, or the same with its approximation."""
    if emitter.prefers(_form(op)):
        return emitter.elementwise("Gelu", x, approximate="tanh" if op.approximate else "none")
    narrow = x.type.dtype
    dtype = DType.FLOAT32 if narrow in (DType.FLOAT16, DType.BFLOAT16) else narrow
    x = emitter.cast(x, dtype)

    def times(value: Value, number: float) -> Value:
        return emitter.elementwise("Mul", value, emitter.scalar(number, dtype))

    if op.approximate:
        cube = emitter.elementwise("Mul", emitter.elementwise("Mul", x, x), x)
        inner = times(emitter.elementwise("Add", x, times(cube, 0.044715)), math.sqrt(2 / math.pi))
        part = emitter.elementwise("Tanh", inner)
    else:
        part = emitter.elementwise("Erf", times(x, math.sqrt(0.5)))
    whole = emitter.elementwise("Add", part, emitter.scalar(1.0, dtype))
    return emitter.cast(times(emitter.elementwise("Mul", x, whole), 0.5), narrow)


@lowers(Softmax, LogSoftmax)
def _softmax(emitter: Emitter, op: Softmax | LogSoftmax, x: Value) -> Value:
    return emitter.elementwise(type(op).__name__, x, axis=op.axis)
