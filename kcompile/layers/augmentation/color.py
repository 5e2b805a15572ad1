"""Layers that change the colours of images at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import kcompile.ops as ops
from kcompile.layers.augmentation.base import ImageAugmentation, Numbers, per_image, rescaled
from kcompile.ops.tensor import TracedTensor

BYTES = (0, 255)
ValueRange = Sequence[float]


class Colored(ImageAugmentation):
    """A layer with one factor, in a range of `bounds`."""

    bounds = (0.0, 1.0)
    casts_images = False
    factor: tuple[float, float]

    def _set_factor(self, factor: Numbers, value_range: ValueRange, seed: int | None) -> None:
        self.factor = self._range(factor, "factor", *self.bounds)
        self.value_range = self._value_range(value_range)
        self._set_seed(seed)

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        return {"factor": self._uniform(images.type.shape[:1], *self.factor, seed)}


class RandomContrast(Colored):
    """`(x - mean) * factor + mean`, clipped, the mean that of an image's channel.

    Args:
        factor: (a, b) in [0, 1] for factors from 1 - a to 1 + b; one number is b.
        value_range: the least and greatest value of images.
    """

    def __init__(
        self,
        factor: Numbers,
        value_range: ValueRange = BYTES,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_factor(factor, value_range, seed)
        self.value_range = list(value_range)

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        low, high = self.factor
        shape = (images.type.shape[0], 1, 1, 1)
        return {"contrast_factor": self._uniform(shape, 1.0 - low, 1.0 + high, seed)}

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        factor = per_image(transformation["contrast_factor"], self.compute_dtype)
        mean = ops.mean(images, self._axes(images), keepdims=True)
        return ops.clip((images - mean) * factor + mean, *self.value_range)


class RandomBrightness(Colored):
    """`x + factor * (greatest - least value)`, clipped.

    Args:
        factor: a range in [-1, 1], or its upper end.
        value_range: the least and greatest value of images.
    """

    bounds = (-1.0, 1.0)

    def __init__(
        self,
        factor: Numbers,
        value_range: ValueRange = BYTES,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_factor(factor, value_range, seed)

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        share = self._uniform((images.type.shape[0], 1, 1, 1), *self.factor, seed)
        low, high = self.value_range
        return {"rgb_delta": share * float(high - low)}

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        delta = per_image(transformation["rgb_delta"], images.dtype)
        return ops.clip(images + delta, *self.value_range)


class RandomHue(Colored):
    """Hues turned by up to half of `factor` turns, in either direction.

    Args:
        factor: a range in [0, 1], or its upper end.
        value_range: the least and greatest value of images.
    """

    def __init__(
        self,
        factor: Numbers,
        value_range: ValueRange = BYTES,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self._set_factor(factor, value_range, seed)
        self.value_range = list(value_range)

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        shape = images.type.shape[:1]
        sign = ops.where(self._uniform(shape, 0.0, 1.0, seed) > 0.5, -1.0, 1.0)
        return {"factor": sign * self._uniform(shape, *self.factor, seed) * 0.5}

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        images = ops.cast(images, self.compute_dtype)
        images = rescaled(images, self.value_range, (0, 1))
        axis = self._channel_axis(images)
        hsv = ops.image.rgb_to_hsv(images, self.data_format)
        hue, saturation, value = ops.split(hsv, 3, axis)
        hue = hue + per_image(transformation["factor"], images.dtype)
        hue = ops.where(hue > 1.0, hue - 1.0, hue)
        hue = ops.where(hue < 0.0, hue + 1.0, hue)
        turned = ops.concatenate([hue, saturation, value], axis)
        rgb = ops.image.hsv_to_rgb(turned, self.data_format)
        return rescaled(ops.clip(rgb, 0.0, 1.0), (0, 1), self.value_range)


class RandomSaturation(Colored):
    """Saturation times `f / (1 - f)`, f drawn: 0.5 changes nothing, 0 leaves grey.

    Args:
        factor: the range of f in [0, 1], or its upper end.
        value_range: the range that saturation is clipped to, as in Keras.
    """

    def __init__(
        self,
        factor: Numbers,
        value_range: ValueRange = BYTES,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self._set_factor(factor, value_range, seed)

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        factor = self._uniform(images.type.shape[:1], *self.factor, seed)
        return {"factor": factor / (1 - factor + 1e-7)}

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        axis = self._channel_axis(images)
        hsv = ops.image.rgb_to_hsv(images, self.data_format)
        hue, saturation, value = ops.split(hsv, 3, axis)
        factor = per_image(transformation["factor"], images.dtype)
        saturation = ops.clip(saturation * factor, *self.value_range)
        return ops.image.hsv_to_rgb(
            ops.concatenate([hue, saturation, value], axis), self.data_format
        )


class RandomGrayscale(ImageAugmentation):
    """Images in shades of grey, with as many channels as before, with probability `factor`."""

    casts_images = False

    def __init__(
        self,
        factor: float = 0.5,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self._range(factor, "factor", 0, 1)
        self.factor = factor
        self._set_seed(seed)

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        return self._uniform((images.type.shape[0], 1, 1, 1), 0.0, 1.0, seed) < self.factor

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        grey = ops.image.rgb_to_grayscale(images, self.data_format)
        return ops.where(per_image(transformation), grey, images)


class RandomColorDegeneration(Colored):
    """From images (factor 0) to their shades of grey (1).

    Args:
        factor: a range in [0, 1], or its upper end.
        value_range: the least and greatest value of images.
    """

    bounds = (-1.0, 1.0)

    def __init__(
        self,
        factor: Numbers,
        value_range: ValueRange = BYTES,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self._set_factor(factor, value_range, seed)

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        return {"factor": self._uniform((images.type.shape[0], 1, 1, 1), *self.factor, seed)}

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        images = ops.cast(images, self.compute_dtype)
        factor = per_image(transformation["factor"], images.dtype)
        grey = ops.image.rgb_to_grayscale(images, self.data_format)
        return ops.clip(images + factor * (grey - images), *self.value_range)


class RandomColorJitter(ImageAugmentation):
    """Brightness, contrast, saturation and hue changed one after the other.

    Args:
        value_range: the least and greatest value of images.
        brightness_factor, contrast_factor, saturation_factor, hue_factor: as `factor` of
            RandomBrightness, RandomContrast, RandomSaturation and RandomHue; None for no change.
    """

    casts_images = False

    def __init__(
        self,
        value_range: ValueRange = BYTES,
        brightness_factor: Numbers | None = None,
        contrast_factor: Numbers | None = None,
        saturation_factor: Numbers | None = None,
        hue_factor: Numbers | None = None,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.value_range = list(value_range)
        self.brightness_factor = brightness_factor
        self.contrast_factor = contrast_factor
        self.saturation_factor = saturation_factor
        self.hue_factor = hue_factor
        self._set_seed(seed)
        parts: tuple[tuple[Any, Numbers | None], ...] = (
            (RandomBrightness, brightness_factor),
            (RandomContrast, contrast_factor),
            (RandomSaturation, saturation_factor),
            (RandomHue, hue_factor),
        )
        self._parts: list[ImageAugmentation] = [
            part(factor, value_range, seed=seed, data_format=data_format)
            for part, factor in parts
            if factor is not None
        ]

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        return [part.draw(images, seed) for part in self._parts]

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        images = ops.cast(images, self.compute_dtype)
        for part, drawn in zip(self._parts, transformation, strict=True):
            images = part.change(images, drawn, interpolation)
        return images
