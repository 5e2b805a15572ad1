"""Pooling over sliding windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcompile.ir.op import Array, Op, require
from kcompile.ir.ops.reduction import least_number
from kcompile.ir.ops.windows import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    Padding,
    check_windows,
    explicit_padding,
    spatial_axes,
    view_windows,
    windows_shape,
)
from kcompile.ir.types import TensorType


@dataclass(frozen=True)
class _Pool(Op):
    """`y[n, p, c] = f over k of x[n, p * stride + k - pad, c]`, without the padding's elements.

    x is `[N, S..., C]` (channels_last) or `[N, C, S...]` (channels_first), y likewise. Padding is
    smaller than the window, so that every window has an element of x in it.
    """

    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Padding
    data_format: str = CHANNELS_LAST

    def infer(self, x: TensorType) -> TensorType:
        require(x.dtype.is_numeric, "needs numbers")
        once = (1,) * len(self.window)
        check_windows(x.rank, self.data_format, self.window, self.strides, once, self.padding)
        if not isinstance(self.padding, str):
            for pair, window in zip(self.padding, self.window, strict=True):
                require(max(pair) < window, f"padding {pair} is not smaller than window {window}")
        axes = spatial_axes(x.rank, self.data_format)
        spatial = windows_shape(
            tuple(x.shape[axis] for axis in axes), self.window, self.strides, once, self.padding
        )
        shape = list(x.shape)
        for axis, size in zip(axes, spatial, strict=True):
            shape[axis] = size
        return x.with_shape(shape)

    def _windows(self, x: Array, fill: float) -> Array:
        """The windows `[N, S'..., C, window...]` of x `[N, S..., C]`, padded with `fill`."""
        once = (1,) * len(self.window)
        pads = explicit_padding(self.padding, x.shape[1:-1], self.window, self.strides, once)
        padded = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=x.dtype.type(fill))
        return view_windows(padded, self.window, self.strides, once)

    @property
    def _window_axes(self) -> tuple[int, ...]:
        return tuple(range(-len(self.window), 0))

    def _to_channels_last(self, x: Array) -> Array:
        return np.moveaxis(x, 1, -1) if self.data_format == CHANNELS_FIRST else x

    def _from_channels_last(self, y: Array) -> Array:
        return np.moveaxis(y, -1, 1) if self.data_format == CHANNELS_FIRST else y


@dataclass(frozen=True)
class MaxPool(_Pool):
    """`y`: the greatest of each window; NaN if any is."""

    def reference(self, x: Array) -> Array:
        windows = self._windows(self._to_channels_last(x), least_number(x.dtype))
        return self._from_channels_last(np.max(windows, axis=self._window_axes))


@dataclass(frozen=True)
class AveragePool(_Pool):
    """`y`: the mean of each window's elements of x; padding does not count."""

    def infer(self, x: TensorType) -> TensorType:
        require(x.dtype.is_floating, "needs floating-point numbers")
        return super().infer(x)

    def reference(self, x: Array) -> Array:
        last = self._to_channels_last(x)
        totals = np.sum(self._windows(last, 0.0), axis=self._window_axes, dtype=x.dtype)
        ones = np.ones((1, *last.shape[1:-1], 1), x.dtype)
        counts = np.sum(self._windows(ones, 0.0), axis=self._window_axes, dtype=x.dtype)
        return self._from_channels_last(totals / counts)
