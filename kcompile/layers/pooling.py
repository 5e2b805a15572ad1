"""Pooling layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import kcompile.ops as ops
from kcompile.ir.errors import SpecError
from kcompile.ir.ops.windows import CHANNELS_LAST
from kcompile.layers.base import Layer
from kcompile.layers.convolutional import check_format, check_rank, per_axis


class _Pooling(Layer):
    """A function of each window of `[N, S..., C]`."""

    num_axes: ClassVar[int]
    pool: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        pool_size: int | Sequence[int],
        strides: int | Sequence[int] | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        where = f"layer '{self.name}'"
        self.pool_size = per_axis(pool_size, self.num_axes, "pool_size", where)
        steps = self.pool_size if strides is None else strides
        self.strides = per_axis(steps, self.num_axes, "strides", where)
        self.padding = str(padding).lower()
        if self.padding not in ("valid", "same"):
            raise SpecError(f"padding is 'valid' or 'same', not {padding!r}", where=where)
        self.data_format = check_format(data_format, where)

    def build(self, input_shape: Any) -> None:
        check_rank(self.name, input_shape, self.num_axes)

    def call(self, inputs: Any) -> Any:
        return type(self).pool(inputs, self.pool_size, self.strides, self.padding, self.data_format)


class _MaxPooling(_Pooling):
    pool = staticmethod(ops.max_pool)

    def __init__(
        self,
        pool_size: int | Sequence[int] = 2,
        strides: int | Sequence[int] | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, **kwargs)


class _AveragePooling(_Pooling):
    pool = staticmethod(ops.average_pool)


class MaxPooling1D(_MaxPooling):
    """The greatest of each window of `[N, T, C]`."""

    num_axes = 1


class MaxPooling2D(_MaxPooling):
    """The greatest of each window of `[N, H, W, C]`."""

    num_axes = 2


class MaxPooling3D(_MaxPooling):
    """The greatest of each window of `[N, D, H, W, C]`."""

    num_axes = 3


class AveragePooling1D(_AveragePooling):
    """The mean of each window of `[N, T, C]`, padding not counted."""

    num_axes = 1


class AveragePooling2D(_AveragePooling):
    """The mean of each window of `[N, H, W, C]`, padding not counted."""

    num_axes = 2


class AveragePooling3D(_AveragePooling):
    """The mean of each window of `[N, D, H, W, C]`, padding not counted."""

    num_axes = 3


class _GlobalPooling(Layer):
    """A function of each channel of `[N, S..., C]`: `[N, C]`, or with size 1 axes (`keepdims`)."""

    num_axes: ClassVar[int]
    reduce: ClassVar[Callable[..., Any]]

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.data_format = check_format(data_format, f"layer '{self.name}'")
        self.keepdims = keepdims

    def build(self, input_shape: Any) -> None:
        check_rank(self.name, input_shape, self.num_axes)

    def call(self, inputs: Any) -> Any:
        first = 1 if self.data_format == CHANNELS_LAST else 2
        axes = tuple(range(first, first + self.num_axes))
        return type(self).reduce(inputs, axes, self.keepdims)


class GlobalAveragePooling1D(_GlobalPooling):
    """The mean over time of `[N, T, C]`, of the steps that a mask leaves."""

    num_axes = 1
    reduce = staticmethod(ops.mean)
    supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None:
            return super().call(inputs)
        axis, channels = (1, 2) if self.data_format == CHANNELS_LAST else (2, 1)
        counts = ops.cast(ops.expand_dims(mask, channels), inputs.dtype)
        kept = ops.where(ops.expand_dims(mask, channels), inputs, 0)
        totals = ops.sum(kept, axis, self.keepdims)
        return ops.divide(totals, ops.sum(counts, axis, self.keepdims))

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        return None


class GlobalAveragePooling2D(_GlobalPooling):
    """The mean over height and width of `[N, H, W, C]`."""

    num_axes = 2
    reduce = staticmethod(ops.mean)


class GlobalAveragePooling3D(_GlobalPooling):
    """The mean over depth, height and width of `[N, D, H, W, C]`."""

    num_axes = 3
    reduce = staticmethod(ops.mean)


class GlobalMaxPooling1D(_GlobalPooling):
    """The greatest over time of `[N, T, C]`."""

    num_axes = 1
    reduce = staticmethod(ops.max)


class GlobalMaxPooling2D(_GlobalPooling):
    """The greatest over height and width of `[N, H, W, C]`."""

    num_axes = 2
    reduce = staticmethod(ops.max)


class GlobalMaxPooling3D(_GlobalPooling):
    """The greatest over depth, height and width of `[N, D, H, W, C]`."""

    num_axes = 3
    reduce = staticmethod(ops.max)
