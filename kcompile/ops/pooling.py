"""Pooling to a number of windows, and blocks of elements as channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kcompile.ir import ops as ir
from kcompile.ir.dims import divide_exactly
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.ops.windows import CHANNELS_LAST, spatial_axes
from kcompile.ops.dispatch import public
from kcompile.ops.limits import check_numbers
from kcompile.ops.nn import to_poolable
from kcompile.ops.promotion import to_tensor
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import emit, require_trace

_Pool = type[ir.MaxPool] | type[ir.AveragePool]


@public
def adaptive_average_pool(
    inputs: Any, output_size: int | Sequence[int], data_format: str | None = None
) -> Any:
    """The means of `output_size` windows that cover each spatial axis of `[N, S..., C]`."""
    return _adaptive_pool(ir.AveragePool, inputs, output_size, data_format)


@public
def adaptive_max_pool(
    inputs: Any, output_size: int | Sequence[int], data_format: str | None = None
) -> Any:
    """The greatest of each of `output_size` windows that cover each spatial axis."""
    return _adaptive_pool(ir.MaxPool, inputs, output_size, data_format)


def _adaptive_pool(
    kind: _Pool, inputs: Any, output_size: int | Sequence[int], data_format: str | None
) -> Any:
    """Windows `[floor(i * size / count), ceil((i + 1) * size / count))` along each axis.

    Axes whose windows are alike and evenly spaced are pooled at once, others one by one.
    """
    x = to_poolable(kind, inputs)
    data_format = data_format or CHANNELS_LAST
    axes = spatial_axes(x.type.rank, data_format)
    counts = (output_size,) * len(axes) if isinstance(output_size, int) else tuple(output_size)
    if len(counts) != len(axes) or min(counts) < 1:
        raise SpecError(f"output_size needs {len(axes)} positive integers, got {output_size!r}")
    window, strides = [1] * len(axes), [1] * len(axes)
    uneven = []
    for i, (axis, count) in enumerate(zip(axes, counts, strict=True)):
        starts, lengths = _windows(x, axis, count)
        steps = set(np.diff(starts).tolist()) or {1}
        if len(steps) == 1 and 0 not in steps and len(set(lengths.tolist())) == 1:
            window[i], strides[i] = int(lengths[0]), steps.pop()
        else:
            uneven.append((i, axis, starts, lengths))
    if max(window) > 1 or max(strides) > 1:
        none = ((0, 0),) * len(axes)
        x = emit(kind(tuple(window), tuple(strides), none, data_format), x)
    for i, axis, starts, lengths in uneven:
        x = _pool_unevenly(kind, x, i, axis, starts, lengths, data_format)
    return x


def _windows(x: TracedTensor, axis: int, count: int) -> tuple[Any, Any]:
    size = x.type.shape[axis]
    if not isinstance(size, int):
        raise NotImplementedError(
            f"adaptive pooling along axis {axis} of {x.type}, whose size is not a number, is not"
            " there yet"
        )
    check_numbers(count)
    numbers = np.arange(count)
    starts = numbers * size // count
    return starts, -(-(numbers + 1) * size // count) - starts


def _pool_unevenly(
    kind: _Pool, x: TracedTensor, i: int, axis: int, starts: Any, lengths: Any, data_format: str
) -> TracedTensor:
    """All windows of each length there is, and of those the ones that are asked for."""
    num_axes = x.type.rank - 2
    once, none = (1,) * num_axes, ((0, 0),) * num_axes
    parts, indices, offset = [], np.zeros_like(starts), 0
    for length in sorted(set(lengths.tolist())):
        window = tuple(length if j == i else 1 for j in range(num_axes))
        part = x if length == 1 else emit(kind(window, once, none, data_format), x)
        chosen = lengths == length
        indices[chosen] = starts[chosen] + offset
        offset += int(part.type.shape[axis])
        parts.append(part)
    joined = parts[0] if len(parts) == 1 else emit(ir.Concatenate(axis), *parts)
    return emit(ir.Gather(axis), joined, require_trace().convert(indices.astype(np.int32)))


@public
def space_to_depth(x: Any, block_size: int, data_format: str = CHANNELS_LAST) -> Any:
    """`[N, H * b, W * b, C]` to `[N, H, W, b * b * C]`; `[N, C, ...]` to `[N, C * b * b, ...]`."""
    tensor = _blocks_of(x, block_size)
    shape, b = tensor.type.shape, block_size
    last = data_format == CHANNELS_LAST
    batch, channels = shape[0], shape[3 if last else 1]
    height, width = (divide_exactly(size, b) for size in (shape[1:3] if last else shape[2:]))
    if height is None or width is None:
        raise ShapeError(f"the height and width of {tensor.type} do not divide by {b}")
    if last:
        y = emit(ir.Reshape((batch, height, b, width, b, channels)), tensor)
        y = emit(ir.Transpose((0, 1, 3, 2, 4, 5)), y)
        return emit(ir.Reshape((batch, height, width, channels * (b * b))), y)
    y = emit(ir.Reshape((batch, channels, height, b, width, b)), tensor)
    y = emit(ir.Transpose((0, 1, 3, 5, 2, 4)), y)
    return emit(ir.Reshape((batch, channels * (b * b), height, width)), y)


@public
def depth_to_space(x: Any, block_size: int, data_format: str = CHANNELS_LAST) -> Any:
    """The inverse of `space_to_depth`."""
    tensor = _blocks_of(x, block_size)
    shape, b = tensor.type.shape, block_size
    last = data_format == CHANNELS_LAST
    batch, (height, width) = shape[0], shape[1:3] if last else shape[2:]
    channels = divide_exactly(shape[3 if last else 1], b * b)
    if channels is None:
        raise ShapeError(f"the channels of {tensor.type} do not divide by {b} * {b}")
    if last:
        y = emit(ir.Reshape((batch, height, width, b, b, channels)), tensor)
        y = emit(ir.Transpose((0, 1, 3, 2, 4, 5)), y)
        return emit(ir.Reshape((batch, height * b, width * b, channels)), y)
    y = emit(ir.Reshape((batch, channels, b, b, height, width)), tensor)
    y = emit(ir.Transpose((0, 1, 4, 2, 5, 3)), y)
    return emit(ir.Reshape((batch, channels, height * b, width * b)), y)


def _blocks_of(x: Any, block_size: int) -> TracedTensor:
    tensor = to_tensor(x)
    if tensor.type.rank != 4:
        raise ShapeError(f"needs images of rank 4, got {tensor.type}")
    if block_size < 2:
        raise SpecError(f"block_size is at least 2, got {block_size}")
    return tensor
