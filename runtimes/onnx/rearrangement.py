"""Ops that repeat, reverse and blank out elements."""

from __future__ import annotations

import numpy as np

from kcompile.ir.graph import Value
from kcompile.ir.ops import Reverse, Tile, Trilu
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.table import lowers

#: Before the first element, for a slice that goes backwards.
START = np.iinfo(np.int64).min


@lowers(Tile)
def _tile(emitter: Emitter, op: Tile, x: Value) -> Value:
    if all(count == 1 for count in op.repeats):
        return x
    return emitter.emit("Tile", [x, emitter.shape(op.repeats)], emitter.result)


@lowers(Reverse)
def _reverse(emitter: Emitter, op: Reverse, x: Value) -> Value:
    """A slice from the last element to the first."""
    if not op.axes:
        return x
    count = len(op.axes)
    last, before_first = emitter.constant([-1] * count), emitter.constant([START] * count)
    axes = emitter.constant([axis % x.type.rank for axis in op.axes])
    return emitter.emit("Slice", [x, last, before_first, axes, last], emitter.result)


@lowers(Trilu)
def _trilu(emitter: Emitter, op: Trilu, x: Value) -> Value:
    diagonal = emitter.constant(op.k)
    return emitter.emit("Trilu", [x, diagonal], emitter.result, upper=int(op.upper))
