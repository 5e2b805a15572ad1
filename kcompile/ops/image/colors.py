"""From one colour space to another."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcompile.ir.errors import ShapeError
from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import (
    absolute,
    cast,
    clip,
    equal,
    greater,
    less,
    maximum,
    minimum,
    mod,
    where,
)
from kcompile.ops.image.layout import channel_axis
from kcompile.ops.promotion import to_tensor
from kcompile.ops.rearrangement import split
from kcompile.ops.shape import concatenate
from kcompile.ops.tensor import TracedTensor


def _planes(images: Any, data_format: str | None) -> tuple[list[Any], int, TracedTensor]:
    """The three channels, their axis, and the images.

    Raises:
        ShapeError: the images have not three channels of floating-point numbers.
    """
    x = to_tensor(images)
    axis = channel_axis(x, data_format)
    if not x.type.dtype.is_floating or x.type.shape[axis] != 3:
        raise ShapeError(
            f"needs floating-point images with 3 channels on axis {axis}, got {x.type}",
            hint="Cast the images to float32, scaled as the function needs them",
        )
    return split(x, 3, axis), axis, x


@public
def rgb_to_hsv(images: Any, data_format: str | None = None) -> Any:
    """Hue, saturation and value, each in [0, 1], of red, green and blue in [0, 1].

    (Smith, "Color gamut transform pairs", 1978)
    """
    planes, axis, x = _planes(images, data_format)
    epsilon = float(np.finfo(np.float32).eps) if x.dtype == "float32" else _epsilon(x.dtype)
    red, green, blue = (where(absolute(plane) < epsilon, 0.0, plane) for plane in planes)
    value = maximum(maximum(red, green), blue)
    spread = value - minimum(minimum(red, green), blue)
    has_spread = greater(spread, 0)
    saturation = where(value > 0, spread / where(value > 0, value, 1.0), 0.0)
    scale = 1.0 / (6.0 * where(has_spread, spread, 1.0))
    hue = where(equal(value, green), scale * (blue - red) + 2 / 6, scale * (red - green) + 4 / 6)
    hue = where(equal(value, red), scale * (green - blue), hue)
    hue = where(has_spread, hue, 0.0) + cast(less(hue, 0), x.dtype)
    return concatenate([hue, saturation, value], axis)


def _epsilon(dtype: str) -> float:
    import ml_dtypes

    return float(ml_dtypes.finfo(dtype).eps)


@public
def hsv_to_rgb(images: Any, data_format: str | None = None) -> Any:
    """Red, green and blue of hue, saturation and value in [0, 1]."""
    (hue, saturation, value), axis, _ = _planes(images, data_format)
    sextant = mod(hue, 1.0) * 6.0
    shares = (
        clip(absolute(sextant - 3.0) - 1.0, 0.0, 1.0),
        clip(2.0 - absolute(sextant - 2.0), 0.0, 1.0),
        clip(2.0 - absolute(sextant - 4.0), 0.0, 1.0),
    )
    rest = 1.0 - saturation
    return concatenate([value * (rest + saturation * share) for share in shares], axis)
