"""Layers that resize, crop and rescale images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

import kcompile.ops as ops
from kcompile.ir import ops as ir
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.ops.resizing import ASYMMETRIC, BILINEAR, KERNELS, NEAREST
from kcompile.ir.ops.windows import CHANNELS_LAST, spatial_axes
from kcompile.layers.base import Layer
from kcompile.layers.convolutional import check_format, check_rank, per_axis
from kcompile.ops.image import crop, image_axes
from kcompile.ops.trace import emit

#: What Keras 2 up to 2.3 called `bilinear`: elements lie where they begin.
KERAS_2_BILINEAR = "bilinear_keras2"


class _UpSampling(Layer):
    """`[N, S..., C]` with each element repeated along its spatial axes."""

    num_axes: ClassVar[int]
    data_format: str = CHANNELS_LAST
    interpolation: str = NEAREST

    def build(self, input_shape: Any) -> None:
        check_rank(self.name, input_shape, self.num_axes)

    def _resize(self, inputs: Any, factors: tuple[int, ...]) -> Any:
        axes = spatial_axes(inputs.type.rank, self.data_format)
        size = tuple(inputs.type.shape[i] * n for i, n in zip(axes, factors, strict=True))
        if self.interpolation == KERAS_2_BILINEAR:
            old = ir.Resize(size, BILINEAR, data_format=self.data_format, coordinates=ASYMMETRIC)
            return emit(old, ops.cast(inputs, self.compute_dtype))
        if self.interpolation != NEAREST:
            return ops.image.resize(inputs, size, self.interpolation, data_format=self.data_format)
        if max(factors) == 1:
            return inputs
        return emit(ir.Resize(size, data_format=self.data_format), inputs)


class UpSampling1D(_UpSampling):
    """`[N, T, C]` with each step `size` times."""

    num_axes = 1

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        (self.size,) = per_axis(size, 1, "size", f"layer '{self.name}'")

    def call(self, inputs: Any) -> Any:
        return self._resize(inputs, (self.size,))


class UpSampling2D(_UpSampling):
    """`[N, H, W, C]` made larger by whole factors, by repetition or interpolation."""

    num_axes = 2

    def __init__(
        self,
        size: int | Sequence[int] = (2, 2),
        data_format: str | None = None,
        interpolation: str = NEAREST,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        where = f"layer '{self.name}'"
        self.size = per_axis(size, 2, "size", where)
        self.data_format = check_format(data_format, where)
        self.interpolation = interpolation.lower()
        known = (NEAREST, *KERNELS, KERAS_2_BILINEAR)
        if self.interpolation not in known:
            raise SpecError(
                f"interpolation is one of {', '.join(known)}, not {interpolation!r}", where=where
            )

    def call(self, inputs: Any) -> Any:
        return self._resize(inputs, self.size)


class UpSampling3D(_UpSampling):
    """`[N, D, H, W, C]` with each element repeated along its spatial axes."""

    num_axes = 3

    def __init__(
        self,
        size: int | Sequence[int] = (2, 2, 2),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        where = f"layer '{self.name}'"
        self.size = per_axis(size, 3, "size", where)
        self.data_format = check_format(data_format, where)

    def call(self, inputs: Any) -> Any:
        return self._resize(inputs, self.size)


class Rescaling(Layer):
    """`y = x * scale + offset`; each a number, or one for each channel."""

    supports_masking = True

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = _plain(scale)
        self.offset = _plain(offset)

    def call(self, inputs: Any) -> Any:
        x = ops.cast(inputs, self.compute_dtype)
        scale, offset = (
            ops.cast(np.asarray(value), self.compute_dtype) for value in (self.scale, self.offset)
        )
        return ops.add(ops.multiply(x, scale), offset)


def _plain(value: Any) -> Any:
    """Numbers of an array as lists, which configs hold."""
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


class Resizing(Layer):
    """Images `[N, H, W, C]` or `[H, W, C]` with another height and width, of the same type.

    Args: as in Keras.
    """

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        antialias: bool = False,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.height = height
        self.width = width
        self.interpolation = interpolation
        self.crop_to_aspect_ratio = crop_to_aspect_ratio
        self.pad_to_aspect_ratio = pad_to_aspect_ratio
        self.fill_mode = fill_mode
        self.fill_value = fill_value
        self.antialias = bool(antialias)
        self.data_format = check_format(data_format, f"layer '{self.name}'")

    def call(self, inputs: Any) -> Any:
        return ops.image.resize(
            inputs,
            (self.height, self.width),
            self.interpolation,
            self.antialias,
            self.crop_to_aspect_ratio,
            self.pad_to_aspect_ratio,
            self.fill_mode,
            self.fill_value,
            self.data_format,
        )


class CenterCrop(Layer):
    """The middle of images `[N, H, W, C]` or `[H, W, C]`.

    Images that are smaller lose what is too much for the ratio, and are then resized.
    """

    def __init__(
        self, height: int, width: int, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.height = height
        self.width = width
        self.data_format = check_format(data_format, f"layer '{self.name}'")

    def call(self, inputs: Any) -> Any:
        x = ops.cast(inputs, self.compute_dtype)
        axes = image_axes(x.type.rank, self.data_format)
        height, width = (x.type.shape[axis] for axis in axes)
        if not (isinstance(height, int) and isinstance(width, int)):
            raise ShapeError(
                f"needs images of a fixed height and width, got {x.type}",
                hint="Whether to crop or to resize depends on them",
            )
        if height < self.height or width < self.width:
            return ops.image.resize(
                x,
                (self.height, self.width),
                crop_to_aspect_ratio=True,
                data_format=self.data_format,
            )
        starts = ((height - self.height) // 2, (width - self.width) // 2)
        return crop(x, axes, starts, (starts[0] + self.height, starts[1] + self.width))
