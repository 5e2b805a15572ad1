"""Resizing, cropping and padding of images, and their shades of grey."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kcompile.ir import ops as ir
from kcompile.ir.dims import Size
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.ops.resizing import KERNELS, NEAREST
from kcompile.ir.ops.windows import CHANNELS_LAST
from kcompile.ops.dispatch import public
from kcompile.ops.promotion import FLOATX, to_tensor
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import emit, require_trace


def image_axes(rank: int, data_format: str | None) -> tuple[int, int]:
    """The axes of height and width, of one image or a batch of images.

    Raises:
        ShapeError: the rank is neither 3 nor 4, or there is no such data format.
    """
    if rank not in (3, 4):
        raise ShapeError(f"needs one image (rank 3) or a batch of them (rank 4), got rank {rank}")
    if data_format not in (None, "channels_last", "channels_first"):
        raise ShapeError(f"data_format is channels_last or channels_first, not {data_format!r}")
    height = rank - (3 if (data_format or CHANNELS_LAST) == CHANNELS_LAST else 2)
    return height, height + 1


@public
def resize(
    images: Any,
    size: Sequence[Size],
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> Any:
    """Images of another height and width; integers are rounded and kept within their range.

    Args: as in Keras.
    """
    if interpolation != NEAREST and interpolation not in KERNELS:
        known = ", ".join((NEAREST, *KERNELS))
        raise SpecError(f"interpolation is one of {known}, not {interpolation!r}")
    if fill_mode != "constant":
        raise SpecError(f"fill_mode is 'constant', not {fill_mode!r}")
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise SpecError("crop_to_aspect_ratio and pad_to_aspect_ratio exclude each other")
    if len(size) != 2:
        raise ShapeError(f"size is (height, width), got {size!r}")
    x = to_tensor(images)
    axes = image_axes(x.type.rank, data_format)
    if crop_to_aspect_ratio:
        x = _crop_to_ratio(x, axes, size)
    elif pad_to_aspect_ratio:
        x = _pad_to_ratio(x, axes, size, fill_value)
    if tuple(size) == tuple(x.type.shape[axis] for axis in axes):
        return x
    return _resize(x, tuple(size), interpolation, antialias, data_format or CHANNELS_LAST)


def _resize(
    x: TracedTensor, size: tuple[Size, ...], method: str, antialias: bool, data_format: str
) -> Any:
    trace, dtype = require_trace(), x.type.dtype
    single = x.type.rank == 3
    y = emit(ir.Reshape((1, *x.type.shape)), x) if single else x
    if method != NEAREST and not dtype.is_floating:
        y = trace.cast(y, FLOATX)
    y = emit(ir.Resize(size, method, antialias and method != NEAREST, data_format), y)
    if y.type.dtype is not dtype:
        y = _to_integers(y, dtype)
    return emit(ir.Reshape(y.type.shape[1:]), y) if single else y


def _to_integers(x: TracedTensor, dtype: Any) -> Any:
    """x rounded, within the range of `dtype`."""
    if not dtype.is_integer:
        raise ShapeError(f"cannot resize {dtype} by interpolation", hint="Use 'nearest'")
    range_of = np.iinfo(dtype.numpy)
    high = np.float32(range_of.max)
    if high > range_of.max:  # the number in float32 that is next to it lies outside
        high = np.nextafter(high, np.float32(0))
    return require_trace().cast(
        emit(ir.Clip(float(range_of.min), float(high)), emit(ir.Round(), x)), dtype
    )


def _static_sizes(x: TracedTensor, axes: tuple[int, int]) -> tuple[int, int]:
    height, width = (x.type.shape[axis] for axis in axes)
    if not (isinstance(height, int) and isinstance(width, int)):
        raise NotImplementedError(
            f"keeping the aspect ratio of images {x.type} whose height or width is not a number"
            " is not there yet"
        )
    return height, width


def _crop_to_ratio(x: TracedTensor, axes: tuple[int, int], size: Sequence[Any]) -> TracedTensor:
    """The middle of x in the ratio of `size`."""
    height, width = _static_sizes(x, axes)
    new_height = max(min(height, int(float(width * size[0]) / size[1])), 1)
    new_width = max(min(width, int(float(height * size[1]) / size[0])), 1)
    starts = ((height - new_height) // 2, (width - new_width) // 2)
    return crop(x, axes, starts, (starts[0] + new_height, starts[1] + new_width))


def _pad_to_ratio(
    x: TracedTensor, axes: tuple[int, int], size: Sequence[Any], value: float
) -> TracedTensor:
    """x with as much around it, on both sides, as brings it near to the ratio of `size`."""
    height, width = _static_sizes(x, axes)
    above = (max(height, int(float(width * size[0]) / size[1])) - height) // 2
    beside = (max(width, int(float(height * size[1]) / size[0])) - width) // 2
    widths = [(0, 0)] * x.type.rank
    if above > 0:
        widths[axes[0]] = (above, above)
    elif beside > 0:
        widths[axes[1]] = (beside, beside)
    return emit(ir.Pad(tuple(widths), float(value)), x)


def crop(
    x: TracedTensor, axes: Sequence[int], starts: Sequence[Size], limits: Sequence[Size]
) -> TracedTensor:
    """`x[..., start:limit, ...]` for each of `axes`."""
    all_starts: list[Size] = [0] * x.type.rank
    all_limits = list(x.type.shape)
    for axis, start, limit in zip(axes, starts, limits, strict=True):
        all_starts[axis], all_limits[axis] = start, limit
    return emit(ir.Slice(tuple(all_starts), tuple(all_limits), (1,) * x.type.rank), x)


def _complete(
    size: Size, before: int | None, after: int | None, target: int | None, sign: int
) -> tuple[int, int]:
    """How much is put (sign 1) before and after an axis, or taken away (sign -1).

    Raises:
        SpecError: not exactly two of the three are given, or an amount would be negative.
    """
    given = f"before={before}, after={after} and the new size {target}"
    if (before, after, target).count(None) != 1:
        raise SpecError(f"an axis of size {size} needs two of the three, got {given}")
    if target is not None:
        if not isinstance(size, int):
            raise NotImplementedError(f"the new size {target} of an axis of symbolic size {size}")
        total = (target - size) * sign
        before = total - (after or 0) if before is None else before
        after = total - before
    assert before is not None and after is not None
    if before < 0 or after < 0:
        raise SpecError(f"an axis of size {size} cannot have {given}")
    return before, after


@public
def pad_images(
    images: Any,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Any:
    """Images with zeros around them; for each axis two of before, after and the new size."""
    x = to_tensor(images)
    height, width = image_axes(x.type.rank, data_format)
    widths = [(0, 0)] * x.type.rank
    for axis, before, after, target in (
        (height, top_padding, bottom_padding, target_height),
        (width, left_padding, right_padding, target_width),
    ):
        widths[axis] = _complete(x.type.shape[axis], before, after, target, 1)
    return emit(ir.Pad(tuple(widths)), x)


@public
def crop_images(
    images: Any,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Any:
    """A part of images; for each axis two of before, after and the new size."""
    x = to_tensor(images)
    axes = image_axes(x.type.rank, data_format)
    pairs = [
        _complete(x.type.shape[axis], before, after, target, -1)
        for axis, before, after, target in (
            (axes[0], top_cropping, bottom_cropping, target_height),
            (axes[1], left_cropping, right_cropping, target_width),
        )
    ]
    limits = [x.type.shape[axis] - after for axis, (_, after) in zip(axes, pairs, strict=True)]
    return crop(x, axes, [before for before, _ in pairs], limits)


@public
def rgb_to_grayscale(images: Any, data_format: str | None = None) -> Any:
    """`0.2989 r + 0.587 g + 0.114 b`, with one channel."""
    x = to_tensor(images)
    image_axes(x.type.rank, data_format)
    axis = x.type.rank - (1 if (data_format or CHANNELS_LAST) == CHANNELS_LAST else 3)
    if x.type.shape[axis] == 1:
        return x
    if x.type.shape[axis] != 3:
        raise ShapeError(f"needs 1 or 3 channels on axis {axis}, got {x.type}")
    dtype = x.type.dtype
    trace = require_trace()
    y = x if dtype.is_floating else trace.cast(x, FLOATX)
    shape = tuple(3 if i == axis else 1 for i in range(x.type.rank))
    weights = trace.convert(np.reshape([0.2989, 0.587, 0.114], shape), y.type.dtype)
    y = emit(ir.ReduceSum((axis,), True), emit(ir.Multiply(), y, weights))
    return y if dtype.is_floating else trace.cast(y, dtype)
