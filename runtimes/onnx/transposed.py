"""Transposed convolutions."""

from __future__ import annotations

from kcompile.ir.graph import Value
from kcompile.ir.ops import ConvTranspose
from kcompile.ir.ops.transposed import SPATIAL_OUTPUT_INPUT
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.table import lowers
from kcompile.runtimes.onnx.windows import (
    attributes_unless_one,
    channels_first_type,
    from_channels_first,
    to_channels_first,
)


@lowers(ConvTranspose)
def _conv_transpose(
    emitter: Emitter, op: ConvTranspose, x: Value, w: Value, b: Value | None = None
) -> Value:
    """ONNX has x `[N, C, S...]` and w `[C, O, K...]`; others are transposed around it."""
    window = op.window(w.type.static_shape)
    x = to_channels_first(emitter, x, op.data_format)
    if op.kernel_format == SPATIAL_OUTPUT_INPUT:
        rank = w.type.rank
        w = emitter.transpose(w, (rank - 1, rank - 2, *range(rank - 2)))
    pads = [pair[side] for side in (0, 1) for pair in op.padding]
    y = emitter.emit(
        "ConvTranspose",
        [x, w] if b is None else [x, w, b],
        channels_first_type(emitter.result, op.data_format),
        kernel_shape=window,
        **attributes_unless_one(strides=op.strides, dilations=op.dilation),
        **({"pads": pads} if any(pads) else {}),
        **({"output_padding": op.output_padding} if any(op.output_padding) else {}),
    )
    return from_channels_first(emitter, y, op.data_format)
