"""Pooling to a number of windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import kcompile.ops as ops
from kcompile.layers.base import Layer
from kcompile.layers.convolutional import check_format, check_rank, per_axis


class _AdaptivePooling(Layer):
    """A function of each of `output_size` windows that cover the spatial axes of `[N, S..., C]`."""

    num_axes: ClassVar[int]
    pool: ClassVar[Callable[..., Any]]

    def __init__(
        self, output_size: int | Sequence[int], data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        where = f"layer '{self.name}'"
        self.output_size = per_axis(output_size, self.num_axes, "output_size", where)
        self.data_format = check_format(data_format, where)

    def build(self, input_shape: Any) -> None:
        check_rank(self.name, input_shape, self.num_axes)

    def call(self, inputs: Any) -> Any:
        return type(self).pool(inputs, self.output_size, self.data_format)


class AdaptiveAveragePooling1D(_AdaptivePooling):
    """The means of `output_size` windows that cover the steps of `[N, T, C]`."""

    num_axes = 1
    pool = staticmethod(ops.adaptive_average_pool)


class AdaptiveAveragePooling2D(_AdaptivePooling):
    """The means of windows that cover `[N, H, W, C]`."""

    num_axes = 2
    pool = staticmethod(ops.adaptive_average_pool)


class AdaptiveAveragePooling3D(_AdaptivePooling):
    """The means of windows that cover `[N, D, H, W, C]`."""

    num_axes = 3
    pool = staticmethod(ops.adaptive_average_pool)


class AdaptiveMaxPooling1D(_AdaptivePooling):
    """The greatest of each of `output_size` windows that cover the steps of `[N, T, C]`."""

    num_axes = 1
    pool = staticmethod(ops.adaptive_max_pool)


class AdaptiveMaxPooling2D(_AdaptivePooling):
    """The greatest of each of the windows that cover `[N, H, W, C]`."""

    num_axes = 2
    pool = staticmethod(ops.adaptive_max_pool)


class AdaptiveMaxPooling3D(_AdaptivePooling):
    """The greatest of each of the windows that cover `[N, D, H, W, C]`."""

    num_axes = 3
    pool = staticmethod(ops.adaptive_max_pool)
