"""Kinds of convolution other than `conv`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile.ir import ops as ir
from kcompile.ir.errors import ShapeError
from kcompile.ir.ops.windows import CHANNELS_LAST, Padding, channel_axis, spatial_axes
from kcompile.ops.dispatch import public
from kcompile.ops.promotion import to_common_type
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import emit

Numbers = int | Sequence[int]


def _tuple(value: Numbers, length: int) -> tuple[int, ...]:
    return (value,) * length if isinstance(value, int) else tuple(value)


def _padding(padding: str, num_axes: int) -> Padding:
    if padding not in ("same", "valid"):
        raise ShapeError(f"padding is 'same' or 'valid', not {padding!r}")
    return "same" if padding == "same" else ((0, 0),) * num_axes


def causal_conv(
    inputs: Any, kernel: Any, strides: Numbers, data_format: str, dilation_rate: Numbers
) -> Any:
    """Convolution of inputs `[N, T, C]` where step t sees none later: all padding is in front."""
    x, w = to_common_type(inputs, kernel)
    groups = _num_channels(x, data_format) // int(w.type.shape[-2])
    (dilation,) = _tuple(dilation_rate, 1)
    padding = (((int(w.type.shape[0]) - 1) * dilation, 0),)
    return emit(ir.Conv(_tuple(strides, 1), padding, (dilation,), groups, data_format), x, w)


def _num_channels(x: TracedTensor, data_format: str) -> int:
    """The number of channels.

    Raises:
        ShapeError: it is not a number.
    """
    channels = x.type.shape[channel_axis(x.type.rank, data_format)]
    if not isinstance(channels, int):
        raise ShapeError(f"needs a fixed number of channels, got {x.type}")
    return channels


@public
def depthwise_conv(
    inputs: Any,
    kernel: Any,
    strides: Numbers = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Numbers = 1,
) -> Any:
    """Convolution of each channel of `[N, S..., C]` alone, with a kernel `[K..., C, M]`.

    Channel c becomes the channels `c * M` to `c * M + M - 1`.
    """
    x, w = to_common_type(inputs, kernel)
    data_format = data_format or CHANNELS_LAST
    num_axes = x.type.rank - 2
    channels = _num_channels(x, data_format)
    *window, inputs_of_kernel, multiplier = w.type.static_shape
    if inputs_of_kernel != channels:
        raise ShapeError(f"a kernel {w.type} takes {inputs_of_kernel} channels, got {x.type}")
    w = emit(ir.Reshape((*window, 1, channels * multiplier)), w)
    op = ir.Conv(
        _tuple(strides, num_axes),
        _padding(padding, num_axes),
        _tuple(dilation_rate, num_axes),
        channels,
        data_format,
    )
    return emit(op, x, w)


@public
def separable_conv(
    inputs: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: Numbers = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Numbers = 1,
) -> Any:
    """`depthwise_conv`, then a convolution of its channels with a kernel `[1..., C * M, O]`."""
    x = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    x, w = to_common_type(x, pointwise_kernel)
    once = (1,) * (x.type.rank - 2)
    op = ir.Conv(once, ((0, 0),) * len(once), once, 1, data_format or CHANNELS_LAST)
    return emit(op, x, w)


@public
def conv_transpose(
    inputs: Any,
    kernel: Any,
    strides: Numbers = 1,
    padding: str = "valid",
    output_padding: int | Sequence[int] | None = None,
    data_format: str | None = None,
    dilation_rate: Numbers = 1,
) -> Any:
    """Transposed convolution of inputs `[N, S..., C]` with a kernel `[K..., O, C]`.

    Sizes become `(s - 1) * stride + k + output_padding` (valid; k - stride less than 0 is made up
    for by default) or `(s - 1) * stride + k % 2 + output_padding` (same; `s * stride` by default),
    where k is the kernel's extent with its dilation.
    """
    x, w = to_common_type(inputs, kernel)
    data_format = data_format or CHANNELS_LAST
    _padding(padding, x.type.rank - 2)
    axes = spatial_axes(x.type.rank, data_format)
    steps, dilation = _tuple(strides, len(axes)), _tuple(dilation_rate, len(axes))
    extra = (None,) * len(axes) if output_padding is None else _tuple(output_padding, len(axes))
    pads, ends, beyond = [], [], [(0, 0)] * x.type.rank
    for i, axis in enumerate(axes):
        extent = (int(w.type.shape[i]) - 1) * dilation[i] + 1
        before, after = _removed(extent, steps[i], padding, extra[i])
        # An op adds fewer elements than the stride; any more see no element of x.
        end = min(max(-after, 0), steps[i] - 1)
        pads.append((before, max(after, 0)))
        ends.append(end)
        beyond[axis] = (0, max(-after, 0) - end)
    y = emit(ir.ConvTranspose(steps, tuple(pads), tuple(ends), dilation, data_format), x, w)
    return emit(ir.Pad(tuple(beyond)), y) if any(map(any, beyond)) else y


def _removed(extent: int, stride: int, padding: str, output_padding: int | None) -> tuple[int, int]:
    """What is taken away before and after; less than 0 for what is added after."""
    if padding == "valid":
        extra = max(stride - extent, 0) if output_padding is None else output_padding
        return 0, -extra
    # The size is (s - 1) * stride + extent less this.
    added = stride - extent % 2 if output_padding is None else output_padding
    removed = extent - extent % 2 - added
    room = 2 * (extent - 1) - removed
    before = max(extent - 1 - (room + 1) // 2, 0)
    return before, removed - before
