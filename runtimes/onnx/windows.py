"""Sliding windows: what convolution and pooling share."""

from __future__ import annotations

import math
from typing import Any

from kcompile.ir.dims import Size, ceil_div, floor_div, maximum
from kcompile.ir.graph import Value
from kcompile.ir.ops.windows import CHANNELS_LAST, Padding, same_padding
from kcompile.ir.types import TensorType
from kcompile.runtimes.onnx.emitter import Emitter


def to_channels_first(emitter: Emitter, x: Value, data_format: str) -> Value:
    """x as `[N, C, S...]`, the only form that ONNX has."""
    if data_format != CHANNELS_LAST:
        return x
    rank = x.type.rank
    return emitter.transpose(x, (0, rank - 1, *range(1, rank - 1)))


def from_channels_first(emitter: Emitter, y: Value, data_format: str) -> Value:
    """y `[N, C, S...]` in the format that the op has."""
    if data_format != CHANNELS_LAST:
        return y
    return emitter.transpose(y, (0, *range(2, y.type.rank), 1))


def channels_first_type(type: TensorType, data_format: str) -> TensorType:
    """The type that y has before `from_channels_first`."""
    if data_format != CHANNELS_LAST:
        return type
    return type.with_shape((type.shape[0], type.shape[-1], *type.shape[1:-1]))


def pad_windows(
    emitter: Emitter,
    x: Value,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    dilation: tuple[int, ...],
    padding: Padding,
    fill: float | None,
) -> tuple[Value, dict[str, Any]]:
    """x `[N, C, S...]`, padded where need be, and the attributes of the padding that is left.

    "same" becomes numbers where they are known. Otherwise it is SAME_UPPER, which onnxruntime has
    for windows without dilation that are no shorter than the stride; for others, a Pad with sizes
    of the run, if `fill` says what with.
    """
    sizes = x.type.shape[2:]
    pads: list[tuple[int, int] | None] = (
        list(map(_static_same_padding, sizes, window, strides, dilation))
        if isinstance(padding, str)
        else list(padding)
    )
    known = [pair for pair in pads if pair is not None]
    if len(known) == len(pads):
        flat = [pair[side] for side in (0, 1) for pair in known]
        return x, {"pads": flat} if any(flat) else {}
    if max(dilation) == 1 and all(w >= s for w, s in zip(window, strides, strict=True)):
        return x, {"auto_pad": "SAME_UPPER"}
    if fill is None:
        raise emitter.refusal(
            "onnxruntime has no padding 'same' of a symbolic size for windows shorter than the"
            " stride",
            hint="Give the input a fixed size, or pad explicitly",
        )
    return _pad(emitter, x, list(map(_same_padding, sizes, window, strides, dilation)), fill), {}


def _static_same_padding(
    size: Size, window: int, stride: int, dilation: int
) -> tuple[int, int] | None:
    if isinstance(size, int):
        return same_padding(size, window, stride, dilation)
    if stride == 1 or window == 1:  # the same for every size
        return same_padding(stride, window, stride, dilation)
    return None


def _same_padding(size: Size, window: int, stride: int, dilation: int) -> tuple[Size, Size]:
    extent = (window - 1) * dilation + 1
    total = maximum((ceil_div(size, stride) - 1) * stride + extent - size, 0)
    before = floor_div(total, 2)
    return before, total - before


def _pad(emitter: Emitter, x: Value, pads: list[tuple[Size, Size]], fill: float) -> Value:
    pairs: list[tuple[Size, Size]] = [(0, 0), (0, 0), *pads]
    widths = emitter.shape(pair[side] for side in (0, 1) for pair in pairs)
    type = x.type.with_shape(
        size + before + after for size, (before, after) in zip(x.type.shape, pairs, strict=True)
    )
    return emitter.emit("Pad", [x, widths, emitter.scalar(fill, x.type.dtype)], type)


def attributes_unless_one(**numbers: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """The attributes that aren't all 1, which is the default of strides and dilations."""
    return {name: values for name, values in numbers.items() if math.prod(values) != 1}
