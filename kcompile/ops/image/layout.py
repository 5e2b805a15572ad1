"""Batches of images with channels last, whatever form they were given in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kcompile.ir import ops as ir
from kcompile.ir.ops.windows import CHANNELS_LAST
from kcompile.ops.image.resizing import image_axes
from kcompile.ops.rearrangement import moveaxis
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import emit


def on_batch(
    function: Callable[[TracedTensor], TracedTensor], x: TracedTensor, data_format: str | None
) -> Any:
    """What `function`, of images `[N, H, W, C]`, gives, in the form that x has.

    x is one image or a batch of them. The result has the rank of its argument.
    """
    image_axes(x.type.rank, data_format)
    last = (data_format or CHANNELS_LAST) == CHANNELS_LAST
    y = x if last else moveaxis(x, -3, -1)
    if x.type.rank == 3:
        y = emit(ir.Reshape((1, *y.type.shape)), y)
    y = function(y)
    if x.type.rank == 3:
        y = emit(ir.Reshape(y.type.shape[1:]), y)
    return y if last else moveaxis(y, -1, -3)


def channel_axis(x: TracedTensor, data_format: str | None) -> int:
    """The axis of channels, of one image or a batch of images."""
    image_axes(x.type.rank, data_format)
    return x.type.rank - (1 if (data_format or CHANNELS_LAST) == CHANNELS_LAST else 3)
