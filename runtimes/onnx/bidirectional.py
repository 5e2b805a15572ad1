"""Bidirectional recurrent layers: LSTM, GRU and RNN of ONNX with both directions."""

from __future__ import annotations

from kcompile.ir.graph import Value
from kcompile.ir.ops import BidirectionalGru, BidirectionalLstm, BidirectionalRnn
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.recurrent import lower_directions
from kcompile.runtimes.onnx.table import lowers


@lowers(BidirectionalLstm, BidirectionalGru, BidirectionalRnn)
def _bidirectional(
    emitter: Emitter,
    op: BidirectionalLstm | BidirectionalGru | BidirectionalRnn,
    *operands: Value | None,
) -> tuple[Value, ...]:
    directions = [op.direction(reverse=False), op.direction(reverse=True)]
    return lower_directions(emitter, directions, op.split(*operands))
