"""Time first, for targets whose recurrent kernels want it."""

from __future__ import annotations

import dataclasses

from kcompile.ir.graph import Graph, Node, Value
from kcompile.ir.ops import (
    BidirectionalGru,
    BidirectionalLstm,
    BidirectionalRnn,
    Gru,
    Lstm,
    SimpleRnn,
    Transpose,
)
from kcompile.passes.journal import Refusal, record_change, record_refusal
from kcompile.passes.rebuild import Operands, Rebuild, rebuild

_LAYERS = BidirectionalGru | BidirectionalLstm | BidirectionalRnn | Gru | Lstm | SimpleRnn
_SWAP = Transpose((1, 0, 2))


def lay_out_time_first(graph: Graph) -> Graph:
    """`op(x, batch_major) = transpose(op(transpose(x), time_major))`, for recurrent layers.

    `push_transposes` takes away those between stacked layers. A layer with a mask stays: its steps
    are put in another order sample by sample.
    """
    return rebuild(graph, _lay_out)


def _lay_out(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
    op = node.op
    if not isinstance(op, _LAYERS) or op.time_major:
        return None
    names = op.operand_names()
    if dict(zip(names, operands, strict=False)).get("mask") is not None:
        reason = "its steps are put in another order sample by sample, for its mask"
        record_refusal(Refusal("lay_out_time_first", node.outputs[0].name, reason))
        return None
    record_change("lay_out_time_first")
    (x,) = new.emit(_SWAP, operands[0], source=node.source)
    moved = dataclasses.replace(op, time_major=True)
    sequence, *states = new.emit(moved, x, *operands[1:], source=node.source)
    return (new.emit(_SWAP, sequence, source=node.source)[0], *states)
