"""Layers that spread the values of images over their range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import kcompile.ops as ops
from kcompile.ir import ops as ir
from kcompile.ir.errors import ShapeError
from kcompile.layers.augmentation.base import ImageAugmentation, rescaled
from kcompile.ops.image.layout import on_batch
from kcompile.ops.limits import check_numbers
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import emit

_BYTES = (0, 255)


class AutoContrast(ImageAugmentation):
    """Each channel of each image stretched to the whole range; at inference, too.

    Channels are the last axis, whatever the data format, as in Keras.
    """

    is_random = False
    is_for_inference = True
    casts_images = False

    def __init__(self, value_range: Sequence[float] = _BYTES, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value_range = self._value_range(value_range)

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        original = ops.cast(images, self.compute_dtype)
        x = rescaled(original, self.value_range, _BYTES)
        low, high = ops.min(x, (1, 2), keepdims=True), ops.max(x, (1, 2), keepdims=True)
        varies = high > low
        scale = 255.0 / ops.where(varies, high - low, 1.0)
        stretched = ops.clip(x * scale - low * scale, 0.0, 255.0)
        return ops.where(varies, rescaled(stretched, _BYTES, self.value_range), original)


class Equalization(ImageAugmentation):
    """Each channel with an even histogram, taken over the whole batch, in training.

    Args:
        value_range: the least and greatest value of images.
        bins: of the histogram.
    """

    is_random = False
    casts_images = False

    def __init__(
        self,
        value_range: Sequence[float] = _BYTES,
        bins: int = 256,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.value_range = self._value_range(value_range)
        self.bins = bins

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        axis = self._channel_axis(images)
        x = rescaled(ops.cast(images, self.compute_dtype), self.value_range, _BYTES)
        planes = ops.split(x, self._num_channels(images), axis)
        y = ops.concatenate([self._equalized(plane) for plane in planes], axis)
        return rescaled(y, _BYTES, self.value_range)

    def _equalized(self, channel: Any) -> Any:
        last = self.bins - 1
        place = ops.cast(ops.cast(channel, "float32") * float(last) / 255.0, "int32")
        place = ops.reshape(ops.clip(place, 0, last), (-1,))
        ones = ops.cast(ops.ones_like(place), "int32")
        histogram = ops.segment_sum(ones, place, self.bins)
        below = ops.cumsum(histogram)
        # Of the lowest bin that has any.
        first = ops.min(ops.where(below > 0, below, np.int32(2**31 - 1)))
        total = below[-1] - first
        total = ops.cast(ops.where(total == 0, 1, total), "float32")
        table = ops.clip(ops.round(ops.cast(below - first, "float32") * 255.0 / total), 0.0, 255.0)
        index = ops.cast(ops.clip(channel / 255.0 * float(last), 0.0, float(last)), "int32")
        spread = ops.cast(ops.take(table, index), channel.dtype)
        return ops.where(ops.count_nonzero(histogram) <= 1, channel, spread)


class ContrastLimitedAdaptiveHistogramEqualization(ImageAugmentation):
    """Histograms made even in each of a grid of tiles, limited, and blended; at inference, too.

    (Zuiderveld, "Contrast limited adaptive histogram equalization", 1994)

    Args:
        value_range: the least and greatest value of images.
        clip_limit: how far above the mean a bin may rise; 0 for no limit.
        tile_grid_size: how many tiles there are along height and width.
    """

    is_random = False
    is_for_inference = True
    casts_images = False

    def __init__(
        self,
        value_range: Sequence[float] = _BYTES,
        clip_limit: float = 4.0,
        tile_grid_size: Sequence[int] = (8, 8),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.value_range = list(value_range)
        self.clip_limit = clip_limit
        self.tile_grid_size = tuple(tile_grid_size)

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        x = rescaled(ops.cast(images, "float32"), self.value_range, _BYTES)
        y = on_batch(self._equalized, x, self.data_format)
        return ops.cast(rescaled(y, _BYTES, self.value_range), images.dtype)

    def _equalized(self, x: TracedTensor) -> Any:
        batch, height, width, channels = x.type.shape
        if not (isinstance(height, int) and isinstance(width, int) and isinstance(channels, int)):
            raise ShapeError(f"needs images of a fixed height and width, got {x.type}")
        rows, columns = self.tile_grid_size
        tile = (-(-height // rows), -(-width // columns))
        padding = [(0, 0), (0, tile[0] * rows - height), (0, tile[1] * columns - width), (0, 0)]
        padded = ops.pad(x, padding, mode="symmetric")
        bytes_ = ops.cast(ops.clip(padded, 0.0, 255.0), "int32")
        tiles = ops.reshape(bytes_, (batch, rows, tile[0], columns, tile[1], channels))
        tiles = ops.transpose(tiles, (0, 1, 3, 5, 2, 4))
        tiles = ops.reshape(tiles, (batch, rows, columns, channels, tile[0] * tile[1]))
        curves = self._curves(tiles, tile[0] * tile[1])
        y = self._blend(curves, bytes_, tile)
        return y[:, :height, :width, :]

    def _curves(self, tiles: Any, size: int) -> Any:
        """`[N, rows, columns, C, 256]`: what each byte becomes in each tile."""
        histogram = ops.sum(ops.one_hot(tiles, 256), -2)
        if self.clip_limit > 0:
            limited = ops.clip(histogram, 0.0, float(np.float32(self.clip_limit * size / 256.0)))
            excess = ops.sum(histogram - limited, -1, keepdims=True)
            histogram = limited + excess / 256.0
        below = ops.cumsum(histogram, -1)
        least = ops.min(below, -1, keepdims=True)
        rest = float(size) - least
        curves = (below - least) * 255.0 / ops.where(rest == 0, 1.0, rest)
        return ops.clip(curves, 0.0, 255.0)

    def _blend(self, curves: Any, bytes_: Any, tile: tuple[int, int]) -> Any:
        """Between the curves of the four tiles whose middles are around an element."""
        batch, rows, columns, channels, _ = curves.type.shape
        table = ops.reshape(curves, (batch * rows * columns * channels * 256,))
        image = ops.reshape(emit(ir.Iota(batch)), (batch, 1, 1, 1)) * (
            rows * columns * channels * 256
        )
        check_numbers(channels)
        base = image + np.arange(channels, dtype=np.int32) * 256 + bytes_

        def around(length: int, count: int) -> tuple[Any, Any, Any]:
            check_numbers(length, count)
            place = (np.arange(length * count, dtype=np.float32) - length / 2.0) / length + 1.0
            low = np.floor(place)
            # One more tile on either side is the outermost one again.
            pair = [np.clip(low + step - 1, 0, count - 1).astype(np.int32) for step in (0, 1)]
            return pair[0], pair[1], (place - low).astype(np.float32)

        top, bottom, down = (v.reshape(-1, 1, 1) for v in around(tile[0], rows))
        left, right, across = (v.reshape(-1, 1) for v in around(tile[1], columns))

        def value(row: Any, column: Any) -> Any:
            return ops.take(table, base + (row * columns + column) * (channels * 256))

        upper = value(top, left) * (1.0 - across) + value(top, right) * across
        lower = value(bottom, left) * (1.0 - across) + value(bottom, right) * across
        return upper * (1.0 - down) + lower * down
