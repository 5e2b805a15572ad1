"""Running totals along an axis."""

from __future__ import annotations

from kcompile.ir.graph import Value
from kcompile.ir.ops import CumSum
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.table import lowers


@lowers(CumSum)
def _cum_sum(emitter: Emitter, op: CumSum, x: Value) -> Value:
    flags = {"exclusive": int(op.exclusive), "reverse": int(op.reverse)}
    axis = emitter.constant(op.axis % x.type.rank)
    return emitter.emit("CumSum", [x, axis], emitter.result, **flags)
