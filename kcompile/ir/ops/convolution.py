"""Convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kcompile.ir.op import Array, Op, require
from kcompile.ir.ops.windows import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    Padding,
    channel_axis,
    check_windows,
    explicit_padding,
    spatial_axes,
    view_windows,
    windows_shape,
)
from kcompile.ir.types import TensorType, require_same_size

#: Axes of a kernel: spatial ones, input channels of a group, output channels ...
SPATIAL_INPUT_OUTPUT = "spatial_input_output"
#: ... or output channels, input channels of a group, spatial ones.
OUTPUT_INPUT_SPATIAL = "output_input_spatial"


@dataclass(frozen=True)
class Conv(Op):
    """`y[n, p, o] = b[o] + sum over k, c of x[n, p * stride + k * dilation - pad, c] w[k, c, o]`.

    x is `[N, S..., C]` (channels_last) or `[N, C, S...]` (channels_first), y likewise with
    O channels; w is `[K..., C / groups, O]` (spatial_input_output) or `[O, C / groups, K...]`
    (output_input_spatial); b is `[O]`. Output channels of group g see input channels of group g.
    """

    strides: tuple[int, ...]
    padding: Padding
    dilation: tuple[int, ...]
    groups: int = 1
    data_format: str = CHANNELS_LAST
    kernel_format: str = SPATIAL_INPUT_OUTPUT

    def window(self, w: tuple[int, ...]) -> tuple[int, ...]:
        """The spatial sizes of a kernel with the shape w."""
        return w[:-2] if self.kernel_format == SPATIAL_INPUT_OUTPUT else w[2:]

    def infer(self, x: TensorType, w: TensorType, b: TensorType | None = None) -> TensorType:
        require(x.dtype.is_floating and x.dtype is w.dtype, "needs floats of one element type")
        require(w.rank == x.rank, f"needs w of rank {x.rank}")
        require(
            self.kernel_format in (SPATIAL_INPUT_OUTPUT, OUTPUT_INPUT_SPATIAL),
            f"{self.kernel_format!r} is not a kernel format",
        )
        kernel = w.static_shape
        window = self.window(kernel)
        check_windows(x.rank, self.data_format, window, self.strides, self.dilation, self.padding)
        io = kernel[-2:] if self.kernel_format == SPATIAL_INPUT_OUTPUT else kernel[1::-1]
        require(
            self.groups >= 1 and io[1] % self.groups == 0,
            f"{io[1]} output channels do not divide into {self.groups} groups",
        )
        channel = channel_axis(x.rank, self.data_format)
        rule = f"w takes {io[0]} channels in each of {self.groups} groups"
        require_same_size(x.shape[channel], io[0] * self.groups, rule)
        if b is not None:
            expected = TensorType(x.dtype, (io[1],))
            require(b == expected, f"needs b of type {expected}")
        axes = spatial_axes(x.rank, self.data_format)
        sizes = tuple(x.shape[axis] for axis in axes)
        spatial = windows_shape(sizes, window, self.strides, self.dilation, self.padding)
        if self.data_format == CHANNELS_LAST:
            return x.with_shape((x.shape[0], *spatial, io[1]))
        return x.with_shape((x.shape[0], io[1], *spatial))

    def reference(self, x: Array, w: Array, b: Array | None = None) -> Array:
        if self.data_format == CHANNELS_FIRST:
            x = np.moveaxis(x, 1, -1)
        if self.kernel_format == OUTPUT_INPUT_SPATIAL:
            w = np.moveaxis(w, (1, 0), (-2, -1))
        pads = explicit_padding(
            self.padding, x.shape[1:-1], w.shape[:-2], self.strides, self.dilation
        )
        wide = np.promote_types(x.dtype, np.float32)
        padded = x.astype(wide, copy=False)
        if any(map(any, pads)):
            padded = np.pad(padded, ((0, 0), *pads, (0, 0)))
        windows = view_windows(padded, w.shape[:-2], self.strides, self.dilation)
        product = _products_per_channel if self.groups == x.shape[-1] else _products
        y = np.empty((*windows.shape[: x.ndim - 1], w.shape[-1]), x.dtype)
        for block in _blocks(windows):
            y[block] = product(windows[block], w.astype(wide, copy=False), self.groups)
        if b is not None:
            y = y + b
        return np.moveaxis(y, -1, 1) if self.data_format == CHANNELS_FIRST else y


#: Elements of the windows that are copied at a time.
_ELEMENTS_AT_ONCE = 2**18


def _blocks(windows: Array) -> Iterator[tuple[slice, slice]]:
    """Some samples at a time, or some rows of one, along the first two axes."""
    num_samples, num_rows = windows.shape[:2]
    rows = max(1, _ELEMENTS_AT_ONCE // max(1, windows[:1, :1].size))
    samples = max(1, rows // max(1, num_rows))
    for sample in range(0, num_samples, samples):
        for row in range(0, num_rows, rows):
            yield slice(sample, sample + samples), slice(row, row + rows)


def _products(windows: Array, w: Array, groups: int) -> Array:
    """`[N, P..., O]` of windows `[N, P..., C, K...]` and w `[K..., C / groups, O]`."""
    num_axes = w.ndim - 2
    axes_of_windows = [*range(num_axes + 2, 2 * num_axes + 2), num_axes + 1]
    axes_of_kernel = [*range(num_axes), num_axes]
    pairs = zip(
        np.split(windows, groups, axis=num_axes + 1), np.split(w, groups, axis=-1), strict=True
    )
    return np.concatenate(
        [np.tensordot(part, kernel, (axes_of_windows, axes_of_kernel)) for part, kernel in pairs],
        axis=-1,
    )


def _products_per_channel(windows: Array, w: Array, groups: int) -> Array:
    """As `_products`, where each channel is a group: no products of matrices."""
    num_axes = w.ndim - 2
    positions = windows.shape[: num_axes + 1]
    y = np.zeros((*positions, groups, w.shape[-1] // groups), windows.dtype)
    product = np.empty_like(y)
    for place in np.ndindex(*w.shape[:-2]):
        kernel = w[place].reshape(groups, -1)
        y += np.multiply(windows[(..., *place)][..., np.newaxis], kernel, out=product)
    return y.reshape(*positions, w.shape[-1])
