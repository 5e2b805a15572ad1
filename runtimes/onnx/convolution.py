"""Convolutions."""

from __future__ import annotations

from kcompile.ir.graph import Value
from kcompile.ir.ops import Conv
from kcompile.ir.ops.convolution import SPATIAL_INPUT_OUTPUT
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.table import lowers
from kcompile.runtimes.onnx.windows import (
    attributes_unless_one,
    channels_first_type,
    from_channels_first,
    pad_windows,
    to_channels_first,
)


@lowers(Conv)
def _conv(emitter: Emitter, op: Conv, x: Value, w: Value, b: Value | None = None) -> Value:
    """ONNX has x `[N, C, S...]` and w `[O, C / groups, K...]`; others are transposed around it."""
    window = op.window(w.type.static_shape)
    x = to_channels_first(emitter, x, op.data_format)
    if op.kernel_format == SPATIAL_INPUT_OUTPUT:
        rank = w.type.rank
        w = emitter.transpose(w, (rank - 1, rank - 2, *range(rank - 2)))
    x, padding = pad_windows(emitter, x, window, op.strides, op.dilation, op.padding, fill=0.0)
    y = emitter.emit(
        "Conv",
        [x, w] if b is None else [x, w, b],
        channels_first_type(emitter.result, op.data_format),
        kernel_shape=window,
        **attributes_unless_one(strides=op.strides, dilations=op.dilation),
        **({"group": op.groups} if op.groups != 1 else {}),
        **padding,
    )
    return from_channels_first(emitter, y, op.data_format)
