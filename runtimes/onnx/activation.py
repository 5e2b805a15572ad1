"""Activation functions: each has an ONNX op of its own."""

from __future__ import annotations

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
from kcompile.runtimes.onnx.table import lowers


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


@lowers(Gelu, opset=20)
def _gelu(emitter: Emitter, op: Gelu, x: Value) -> Value:
    return emitter.elementwise("Gelu", x, approximate="tanh" if op.approximate else "none")


@lowers(Softmax, LogSoftmax)
def _softmax(emitter: Emitter, op: Softmax | LogSoftmax, x: Value) -> Value:
    return emitter.elementwise(type(op).__name__, x, axis=op.axis)
