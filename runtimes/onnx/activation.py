"""Activation functions: each has an ONNX op of its own."""

from __future__ import annotations

from kcompile.ir.graph import Value
from kcompile.ir.ops import (
    Elu,
    Gelu,
    LeakyRelu,
    LogSoftmax,
    Relu,
    Sigmoid,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
)
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


@lowers(Gelu, opset=20)
def _gelu(emitter: Emitter, op: Gelu, x: Value) -> Value:
    return emitter.elementwise("Gelu", x, approximate="tanh" if op.approximate else "none")


@lowers(Softmax, LogSoftmax)
def _softmax(emitter: Emitter, op: Softmax | LogSoftmax, x: Value) -> Value:
    return emitter.elementwise(type(op).__name__, x, axis=op.axis)
