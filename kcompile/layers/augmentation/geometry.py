"""Layers that move the elements of images at random."""

from __future__ import annotations

import math
from typing import Any

import kcompile.ops as ops
from kcompile.ir import ops as ir
from kcompile.ir.errors import SpecError
from kcompile.layers.augmentation.base import (
    ImageAugmentation,
    Numbers,
    float_size,
    per_image,
)
from kcompile.ops.image.filters import distort
from kcompile.ops.image.layout import on_batch
from kcompile.ops.image.sampling import ORDERS, warp
from kcompile.ops.random import normal
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import emit

_FLIPS = ("horizontal", "vertical", "horizontal_and_vertical")
_FILL_MODES = ("reflect", "wrap", "constant", "nearest")


class _Moving(ImageAugmentation):
    moves_elements = True
    fill_mode: str = "constant"
    fill_value: float = 0.0

    def _set_sampling(
        self, interpolation: str, fill_mode: str = "constant", *, more: tuple[str, ...] = ()
    ) -> None:
        known = (*_FILL_MODES, *more)
        where = f"layer '{self.name}'"
        if interpolation not in ORDERS:
            raise SpecError(
                f"interpolation is one of {', '.join(ORDERS)}, not {interpolation!r}", where=where
            )
        if fill_mode not in known:
            raise SpecError(
                f"fill_mode is one of {', '.join(known)}, not {fill_mode!r}", where=where
            )
        self.interpolation = interpolation
        self.fill_mode = fill_mode

    def _warp(self, images: TracedTensor, matrix: list[Any], interpolation: str) -> Any:
        """Images under an affine map, of six entries, from places in the result."""
        return on_batch(
            lambda x: warp(x, matrix, interpolation, self.fill_mode, self.fill_value),
            images,
            self.data_format,
        )


class RandomFlip(_Moving):
    """Images mirrored with a probability of one half; in both directions or in none.

    Args:
        mode: horizontal (left and right), vertical or horizontal_and_vertical.
    """

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        if mode not in _FLIPS:
            raise SpecError(
                f"mode is one of {', '.join(_FLIPS)}, not {mode!r}", where=f"layer '{self.name}'"
            )
        self.mode = mode
        self._set_seed(seed)

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        return {"flips": self._uniform((images.type.shape[0], 1, 1, 1), 0.0, 1.0, seed) <= 0.5}

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        height, width = self._axes(images)
        axes = {"horizontal": (width,), "vertical": (height,)}.get(self.mode, (height, width))
        flips = per_image(transformation["flips"])
        return ops.where(flips, ops.flip(images, axes), images)


class RandomRotation(_Moving):
    """Images turned about their middle by an angle of `factor` full turns.

    Args:
        factor: the range of angles, or its upper end; positive is counter-clockwise.
        fill_mode, fill_value: what lies outside an image.
    """

    def __init__(
        self,
        factor: Numbers,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.factor = self._range(factor, "factor", -1, 1)
        self._set_sampling(interpolation, fill_mode)
        self.fill_value = fill_value
        self._set_seed(seed)

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        low, high = self.factor
        angle = self._uniform(images.type.shape[:1], low * 360.0, high * 360.0, seed)
        height, width = self._axes(images)
        y, x = (0.5 * (float_size(images, axis) - 1) for axis in (height, width))
        cos, sin = ops.cos(angle * (math.pi / 180.0)), ops.sin(angle * (math.pi / 180.0))
        zero = ops.zeros_like(angle)
        rows = (cos, -sin, x - x * cos + y * sin, sin, cos, y - x * sin - y * cos, zero, zero)
        return {"angle": angle, "rotation_matrix": ops.stack(rows, 1)}

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        matrix = ops.reshape(transformation["rotation_matrix"], (-1, 8))
        return self._warp(images, [matrix[:, i] for i in range(6)], interpolation)


class RandomZoom(_Moving):
    """Images zoomed about their middle: `1 + factor` times as much of the scene is in them.

    Args:
        height_factor, width_factor: ranges in (-1, 1], or their upper ends; negative zooms in.
            With no width_factor the ratio of the sides stays.
        fill_mode, fill_value: what lies outside an image.
    """

    def __init__(
        self,
        height_factor: Numbers,
        width_factor: Numbers | None = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.height_factor = height_factor
        self.width_factor = width_factor
        least = math.nextafter(-1.0, 0.0)
        self._heights = self._range(height_factor, "height_factor", least, 1)
        self._widths = (
            None if width_factor is None else self._range(width_factor, "width_factor", least, 1)
        )
        self._set_sampling(interpolation, fill_mode)
        self.fill_value = fill_value
        self._set_seed(seed)

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        shape = (images.type.shape[0], 1)
        height = self._uniform(shape, 1 + self._heights[0], 1 + self._heights[1], seed)
        width = height
        if self._widths is not None:
            width = self._uniform(shape, 1 + self._widths[0], 1 + self._widths[1], seed)
        return {"height_zoom": height, "width_zoom": width}

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        y, x = (ops.reshape(transformation[f"{side}_zoom"], (-1,)) for side in ("height", "width"))
        height, width = (float_size(images, axis) - 1 for axis in self._axes(images))
        matrix = [x, 0.0, width / 2 * (1.0 - x), 0.0, y, height / 2 * (1.0 - y)]
        return self._warp(images, matrix, interpolation)


class RandomTranslation(_Moving):
    """Images moved by a share of their height (positive: down) and of their width (right).

    Args:
        height_factor, width_factor: ranges in [-1, 1], or their upper ends.
        fill_mode, fill_value: what lies outside an image.
    """

    def __init__(
        self,
        height_factor: Numbers,
        width_factor: Numbers,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.height_factor = height_factor
        self.width_factor = width_factor
        self._heights = self._range(height_factor, "height_factor", -1, 1)
        self._widths = self._range(width_factor, "width_factor", -1, 1)
        self._set_sampling(interpolation, fill_mode)
        self.fill_value = fill_value
        self._set_seed(seed)

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        shape = (images.type.shape[0], 1)
        height, width = self._axes(images)
        down = self._uniform(shape, *self._heights, seed) * float_size(images, height)
        right = self._uniform(shape, *self._widths, seed) * float_size(images, width)
        return {"translations": ops.concatenate([right, down], 1)}

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        moves = transformation["translations"]
        matrix = [1.0, 0.0, -moves[:, 0], 0.0, 1.0, -moves[:, 1]]
        return self._warp(images, matrix, interpolation)


class RandomShear(_Moving):
    """Images sheared: moved along x in proportion to y, and along y in proportion to x.

    Args:
        x_factor, y_factor: ranges in [0, 1], or ends of a range around 0; half of the images are
            sheared in the other direction.
        fill_mode, fill_value: what lies outside an image.
    """

    def __init__(
        self,
        x_factor: Numbers = 0.0,
        y_factor: Numbers = 0.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.x_factor, self._x_range = self._shares(x_factor, "x_factor")
        self.y_factor, self._y_range = self._shares(y_factor, "y_factor")
        self._set_sampling(interpolation, fill_mode)
        self.fill_value = fill_value
        self._set_seed(seed)

    def _shares(self, value: Numbers, name: str) -> tuple[Numbers, tuple[float, float]]:
        """A factor as configs hold it, and its range; a symmetric one is written as a number."""
        low, high = self._range(value, name, -1, 1)
        if low == -high:
            return high, (low, high)
        if low < 0:
            raise SpecError(
                f"{name} is a number in [0, 1] or two of them, got {value!r}",
                where=f"layer '{self.name}'",
            )
        return (low, high), (low, high)

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        shape = (images.type.shape[0], 1)
        sign = ops.where(self._uniform(shape, 0.0, 1.0, seed) > 0.5, -1.0, 1.0)
        y = self._uniform(shape, *self._y_range, seed)
        x = self._uniform(shape, *self._x_range, seed)
        return {"shear_factor": ops.concatenate([x, y], 1) * sign}

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        factors = transformation["shear_factor"]
        matrix = [1.0, factors[:, 0], 0.0, factors[:, 1], 1.0, 0.0]
        return self._warp(images, matrix, interpolation)


class RandomCrop(_Moving):
    """A window of images, at one random place for the whole batch.

    At inference, and of images that are not larger, the largest middle part of the window's ratio
    is resized instead. (That is what Keras documents; Keras 3.15 itself returns images as they are
    at inference.)
    """

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, data_format=data_format, **kwargs)
        self.height = height
        self.width = width
        self._set_seed(seed)

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        if not self._is_larger(images):
            return None
        return tuple(
            ops.cast(self._uniform((), 0.0, float(have - want + 1), seed), "int32")
            for have, want in zip(self._fixed_sizes(images), (self.height, self.width), strict=True)
        )

    def _changed(self, images: Any, drawn: Any, training: bool, interpolation: str) -> Any:
        if training and drawn is not None:
            return super()._changed(images, drawn, training, interpolation)
        x = ops.cast(images, self.compute_dtype)
        self._fixed_sizes(x)
        return ops.image.resize(
            x,
            (self.height, self.width),
            interpolation,
            crop_to_aspect_ratio=True,
            data_format=self.data_format,
        )

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        lengths = (self.height, self.width)
        for axis, start, length in zip(self._axes(images), transformation, lengths, strict=True):
            places = emit(ir.Iota(length)) + ops.cast(start, "int32")
            images = emit(ir.Gather(axis), images, places)
        return images

    def _is_larger(self, images: TracedTensor) -> bool:
        height, width = self._fixed_sizes(images)
        return height > self.height and width > self.width


class RandomPerspective(_Moving):
    """Images whose corners are moved, as if seen from elsewhere.

    Args:
        factor: the probability, or a range that it is drawn from.
        scale: in [0, 1]: how far corners move.
        fill_value: what lies outside an image.
    """

    def __init__(
        self,
        factor: Numbers = 1.0,
        scale: float = 1.0,
        interpolation: str = "bilinear",
        fill_value: float = 0.0,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.factor = self._range(factor, "factor", 0, 1)
        if not 0 <= scale <= 1:
            raise SpecError(f"scale is in [0, 1], not {scale!r}", where=f"layer '{self.name}'")
        self.scale = scale
        self._set_sampling(interpolation)
        self.fill_value = fill_value
        self._set_seed(seed)

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        applies = self._applies(images, self.factor, seed)
        batch = images.type.shape[0]
        reach = 0.5 * self.scale
        moves = self._uniform((batch, 4, 2), -reach, reach, seed)
        bottom, right = (float_size(images, axis) - 1 for axis in self._axes(images))
        ones = ops.ones((batch,))
        corners = [(0.0, 0.0), (right, 0.0), (0.0, bottom), (right, bottom)]
        points = [ops.stack([ones * x, ones * y], 1) for x, y in corners]
        start = ops.stack(points, 1)
        return {
            "apply_perspective": applies,
            "start_points": start,
            "end_points": start + start * moves,
        }

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        moved = ops.image.perspective_transform(
            images,
            transformation["start_points"],
            transformation["end_points"],
            interpolation,
            self.fill_value,
            self.data_format,
        )
        return ops.where(per_image(transformation["apply_perspective"]), moved, images)


class RandomElasticTransform(_Moving):
    """Images each element of which is moved by smooth random amounts (Simard et al., 2003).

    Args:
        factor: the probability, or a range that it is drawn from.
        scale: a range in [0, 1], or its upper end: how far elements move, and how smoothly.
        fill_mode, fill_value: what lies outside an image.
    """

    def __init__(
        self,
        factor: Numbers = 1.0,
        scale: Numbers = 1.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        value_range: tuple[float, float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.factor = self._range(factor, "factor", 0, 1)
        self.scale = self._range(scale, "scale", 0, 1)
        self._set_sampling(interpolation, fill_mode, more=("mirror",))
        self.fill_value = fill_value
        self.value_range = value_range
        self._set_seed(seed)

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        if self.scale[1] == 0 or self.factor[1] == 0:
            return None
        sizes = [images.type.shape[axis] for axis in self._axes(images)]
        shape = (images.type.shape[0], *sizes, 2)
        return {
            "apply_transform": self._applies(images, self.factor, seed),
            "distortion_factor": self._uniform((), *self.scale, seed),
            "noise": normal(shape, seed=self.generator if seed is None else seed),
        }

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        sizes = self._fixed_sizes(images)
        factor = transformation["distortion_factor"]
        least, most = min(sizes), max(sizes)
        # The kernel is as large as the greatest sigma needs; one of 0 would divide by it.
        spread = (ops.maximum(0.05 * least * factor, 1e-3), int(0.3 * least * self.scale[1]) | 1)
        moved = distort(
            images,
            transformation["noise"],
            0.1 * most * factor,
            spread,
            (interpolation, self.fill_mode, self.fill_value),
            self.data_format,
        )
        y = ops.where(per_image(transformation["apply_transform"]), moved, images)
        return ops.clip(y, *self.value_range)
