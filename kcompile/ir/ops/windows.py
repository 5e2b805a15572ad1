"""Sliding windows: what convolution and pooling share."""

from __future__ import annotations

import numpy as np

from kcompile.ir.dims import Size, ceil_div, floor_div
from kcompile.ir.op import Array, require

CHANNELS_LAST = "channels_last"
CHANNELS_FIRST = "channels_first"

#: "same", or the number of elements put before and after each spatial axis.
Padding = str | tuple[tuple[int, int], ...]


def spatial_axes(rank: int, data_format: str) -> tuple[int, ...]:
    """The axes that are neither batch nor channels, of a tensor of that rank."""
    return tuple(range(1, rank - 1)) if data_format == CHANNELS_LAST else tuple(range(2, rank))


def channel_axis(rank: int, data_format: str) -> int:
    """The axis of the channels, of a tensor of that rank."""
    return rank - 1 if data_format == CHANNELS_LAST else 1


def same_padding(size: int, window: int, stride: int, dilation: int) -> tuple[int, int]:
    """Elements before and after an axis for `ceil(size / stride)` windows; an odd one after."""
    extent = (window - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + extent - size, 0)
    return total // 2, total - total // 2


def explicit_padding(
    padding: Padding,
    sizes: tuple[int, ...],
    window: tuple[int, ...],
    strides: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[tuple[int, int], ...]:
    """The padding of each spatial axis as numbers."""
    if isinstance(padding, str):
        return tuple(map(same_padding, sizes, window, strides, dilation))
    return padding


def check_windows(
    rank: int,
    data_format: str,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    dilation: tuple[int, ...],
    padding: Padding,
) -> None:
    """Check the attributes that windows over a tensor of that rank have.

    Raises:
        ShapeError: an attribute has the wrong length or value.
    """
    num_axes = rank - 2
    require(num_axes >= 1, "needs x of rank 3 or more")
    require(
        data_format in (CHANNELS_LAST, CHANNELS_FIRST),
        f"the data format is channels_last or channels_first, not {data_format!r}",
    )
    for what, numbers in (("window", window), ("strides", strides), ("dilation", dilation)):
        require(len(numbers) == num_axes, f"needs {what} for {num_axes} spatial axes")
        require(all(number >= 1 for number in numbers), f"{what} {list(numbers)} must be positive")
    if isinstance(padding, str):
        require(padding == "same", f"padding is 'same' or pairs of numbers, not {padding!r}")
    else:
        require(len(padding) == num_axes, f"needs padding for {num_axes} spatial axes")
        require(all(n >= 0 for pair in padding for n in pair), "padding must not be negative")


def num_windows(
    size: Size, window: int, stride: int, dilation: int, padding: str | tuple[int, int]
) -> Size:
    """How many windows fit along an axis of that size.

    Raises:
        ShapeError: the window is longer than the padded axis.
    """
    if isinstance(padding, str):
        return ceil_div(size, stride)
    room = size + padding[0] + padding[1] - ((window - 1) * dilation + 1)
    require(
        not isinstance(room, int) or room >= 0,
        f"a window of {window} (dilation {dilation}) does not fit an axis of size {size}"
        f" padded by {padding[0]} and {padding[1]}",
    )
    return floor_div(room, stride) + 1


def windows_shape(
    sizes: tuple[Size, ...],
    window: tuple[int, ...],
    strides: tuple[int, ...],
    dilation: tuple[int, ...],
    padding: Padding,
) -> tuple[Size, ...]:
    """How many windows fit along each spatial axis."""
    pads = [padding] * len(sizes) if isinstance(padding, str) else padding
    return tuple(map(num_windows, sizes, window, strides, dilation, pads))


def view_windows(
    x: Array,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Array:
    """Every window of x `[N, S..., C]`, already padded, as a view `[N, S'..., C, window...]`."""
    axes = tuple(range(1, x.ndim - 1))
    extents = tuple((w - 1) * d + 1 for w, d in zip(window, dilation, strict=True))
    if any(extent > x.shape[axis] for axis, extent in zip(axes, extents, strict=True)):
        room = (max(x.shape[axis] - e + 1, 0) for axis, e in zip(axes, extents, strict=True))
        counts = (-(-n // stride) for n, stride in zip(room, strides, strict=True))
        return np.zeros((x.shape[0], *counts, x.shape[-1], *window), x.dtype)
    view = np.lib.stride_tricks.sliding_window_view(x, extents, axis=axes)
    steps = [slice(None), *(slice(None, None, stride) for stride in strides), slice(None)]
    steps += [slice(None, None, step) for step in dilation]
    return view[tuple(steps)]
