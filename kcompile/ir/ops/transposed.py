"""Transposed convolutions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcompile.ir.dims import Size
from kcompile.ir.op import Array, Op, require
from kcompile.ir.ops.windows import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    channel_axis,
    check_windows,
    spatial_axes,
)
from kcompile.ir.types import TensorType, require_same_size

#: Axes of a kernel: spatial ones, output channels, input channels ...
SPATIAL_OUTPUT_INPUT = "spatial_output_input"
#: ... or input channels, output channels, spatial ones.
INPUT_OUTPUT_SPATIAL = "input_output_spatial"


@dataclass(frozen=True)
class ConvTranspose(Op):
    """`y[n, p, o] = b[o] + sum over q, k, c with q * stride + k * dilation - before = p of
    x[n, q, c] w[k, o, c]`: the gradient of a convolution by its input.

    x is `[N, S..., C]` (channels_last) or `[N, C, S...]` (channels_first), y likewise with O
    channels; w is `[K..., O, C]` (spatial_output_input) or `[C, O, K...]` (input_output_spatial);
    b is `[O]`. A spatial axis of size s has `(s - 1) * stride + (k - 1) * dilation + 1` elements in
    y, of which `padding = (before, after)` are taken away and to which `output_padding` more are
    added at the end, fewer than the stride.
    """

    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    output_padding: tuple[int, ...]
    dilation: tuple[int, ...]
    data_format: str = CHANNELS_LAST
    kernel_format: str = SPATIAL_OUTPUT_INPUT

    def window(self, w: tuple[int, ...]) -> tuple[int, ...]:
        """The spatial sizes of a kernel with the shape w."""
        return w[:-2] if self.kernel_format == SPATIAL_OUTPUT_INPUT else w[2:]

    def output_channel_axis(self, rank: int) -> int:
        """The axis of a kernel of that rank that has the output channels."""
        return rank - 2 if self.kernel_format == SPATIAL_OUTPUT_INPUT else 1

    def infer(self, x: TensorType, w: TensorType, b: TensorType | None = None) -> TensorType:
        require(x.dtype.is_floating and x.dtype is w.dtype, "needs floats of one element type")
        require(w.rank == x.rank, f"needs w of rank {x.rank}")
        require(
            self.kernel_format in (SPATIAL_OUTPUT_INPUT, INPUT_OUTPUT_SPATIAL),
            f"{self.kernel_format!r} is not a kernel format",
        )
        kernel = w.static_shape
        window = self.window(kernel)
        check_windows(x.rank, self.data_format, window, self.strides, self.dilation, self.padding)
        require(len(self.output_padding) == len(window), "needs output_padding for each axis")
        for extra, stride in zip(self.output_padding, self.strides, strict=True):
            require(0 <= extra < stride, f"output_padding {extra} is not below the stride {stride}")
        output = self.output_channel_axis(w.rank)
        inputs = kernel[-1] if self.kernel_format == SPATIAL_OUTPUT_INPUT else kernel[0]
        channel = channel_axis(x.rank, self.data_format)
        require_same_size(x.shape[channel], inputs, f"w takes {inputs} channels")
        if b is not None:
            expected = TensorType(x.dtype, (kernel[output],))
            require(b == expected, f"needs b of type {expected}")
        shape: list[Size] = list(x.shape)
        shape[channel] = kernel[output]
        for i, axis in enumerate(spatial_axes(x.rank, self.data_format)):
            shape[axis] = self._output_size(x.shape[axis], window[i], i)
        return x.with_shape(shape)

    def _output_size(self, size: Size, window: int, axis: int) -> Size:
        require(size != 0, "needs at least one element along each spatial axis")
        whole = (size - 1) * self.strides[axis] + (window - 1) * self.dilation[axis] + 1
        result = whole - sum(self.padding[axis]) + self.output_padding[axis]
        require(
            not isinstance(result, int) or result >= 0,
            f"padding {self.padding[axis]} takes away more than {whole} elements",
        )
        return result

    def reference(self, x: Array, w: Array, b: Array | None = None) -> Array:
        if self.data_format == CHANNELS_FIRST:
            x = np.moveaxis(x, 1, -1)
        if self.kernel_format == INPUT_OUTPUT_SPATIAL:
            w = np.moveaxis(w, (1, 0), (-2, -1))
        wide = np.promote_types(x.dtype, np.float32)
        y = self._spread(x.astype(wide), w.astype(wide))
        y = self._cut(y).astype(x.dtype)
        if b is not None:
            y = y + b
        return np.moveaxis(y, -1, 1) if self.data_format == CHANNELS_FIRST else y

    def _spread(self, x: Array, w: Array) -> Array:
        """All that there is before anything is taken away, `[N, S'..., O]`."""
        window, sizes = w.shape[:-2], x.shape[1:-1]
        spans = [(s - 1) * stride + 1 for s, stride in zip(sizes, self.strides, strict=True)]
        extents = [(k - 1) * step for k, step in zip(window, self.dilation, strict=True)]
        whole = (span + extent for span, extent in zip(spans, extents, strict=True))
        y = np.zeros((x.shape[0], *whole, w.shape[-2]), x.dtype)
        for place in np.ndindex(*window):
            starts = (k * step for k, step in zip(place, self.dilation, strict=True))
            parts = zip(starts, spans, self.strides, strict=True)
            y[(slice(None), *(slice(s, s + n, step) for s, n, step in parts))] += x @ w[place].T
        return y

    def _cut(self, y: Array) -> Array:
        added = ((0, 0), *((0, extra) for extra in self.output_padding), (0, 0))
        y = np.pad(y, added)
        sizes = y.shape[1:-1]
        kept = (slice(a, n - b) for n, (a, b) in zip(sizes, self.padding, strict=True))
        return y[(slice(None), *kept)]
