"""Calls of functions of another runtime: of those with a body, the body."""

from __future__ import annotations

from kcompile.ir.graph import Value
from kcompile.ir.ops import CustomGradient, ForeignCall
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.table import lowers, refuses

refuses(ForeignCall, "it is Python code")


@lowers(CustomGradient)
def _custom_gradient(emitter: Emitter, op: CustomGradient, *operands: Value) -> tuple[Value, ...]:
    return tuple(emitter.enter(op.body, operands, emitter.nodes).lower())
