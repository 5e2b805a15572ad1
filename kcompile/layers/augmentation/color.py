"""Layers that change the colours of images at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import kcompile.ops as ops
from kcompile.ir.errors import SpecError
from kcompile.layers.augmentation.base import ImageAugmentation, Numbers, per_image, rescaled
from kcompile.ops.random import normal, randint
from kcompile.ops.tensor import TracedTensor

_BYTES = (0, 255)
ValueRange = Sequence[float]


class _Colored(ImageAugmentation):
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


class RandomContrast(_Colored):
    """`(x - mean) * factor + mean`, clipped, the mean that of an image's channel.

    Args:
        factor: (a, b) in [0, 1] for factors from 1 - a to 1 + b; one number is b.
        value_range: the least and greatest value of images.
    """

    def __init__(
        self,
        factor: Numbers,
        value_range: ValueRange = _BYTES,
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


class RandomBrightness(_Colored):
    """`x + factor * (greatest - least value)`, clipped.

    Args:
        factor: a range in [-1, 1], or its upper end.
        value_range: the least and greatest value of images.
    """

    bounds = (-1.0, 1.0)

    def __init__(
        self,
        factor: Numbers,
        value_range: ValueRange = _BYTES,
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


class RandomHue(_Colored):
    """Hues turned by up to half of `factor` turns, in either direction.

    Args:
        factor: a range in [0, 1], or its upper end.
        value_range: the least and greatest value of images.
    """

    def __init__(
        self,
        factor: Numbers,
        value_range: ValueRange = _BYTES,
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


class RandomSaturation(_Colored):
    """Saturation times `f / (1 - f)`, f drawn: 0.5 changes nothing, 0 leaves grey.

    Args:
        factor: the range of f in [0, 1], or its upper end.
        value_range: the range that saturation is clipped to, as in Keras.
    """

    def __init__(
        self,
        factor: Numbers,
        value_range: ValueRange = _BYTES,
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


class RandomSharpness(_Colored):
    """From images smoothed (factor 0) over themselves (0.5) to sharpened ones (1).

    Args:
        factor: a range in [0, 1], or its upper end.
        value_range: the least and greatest value of images.
    """

    casts_images = True

    def __init__(
        self,
        factor: Numbers,
        value_range: ValueRange = _BYTES,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self._set_factor(factor, value_range, seed)

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        factor = per_image(transformation["factor"] * 2.0, images.dtype)
        kernel = np.full((3, 3, 1, 1), 1 / 13, np.float32)
        kernel[1, 1] = 5 / 13
        kernel = np.tile(kernel, (1, 1, self._num_channels(images), 1))
        smooth = ops.depthwise_conv(
            images, ops.cast(kernel, images.dtype), padding="same", data_format=self.data_format
        )
        return ops.clip(images + (1.0 - factor) * (smooth - images), *self.value_range)


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


class RandomInvert(_Colored):
    """`greatest value - x`, with a probability that is drawn.

    Args:
        factor: the range of the probability, or its upper end.
        value_range: the least and greatest value of images.
    """

    casts_images = True

    def __init__(
        self,
        factor: Numbers = 1.0,
        value_range: ValueRange = _BYTES,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self._set_factor(factor, value_range, seed)
        self.value_range = list(value_range)

    def _changed(self, images: Any, drawn: Any, training: bool, interpolation: str) -> Any:
        # Integers stay as they are at inference.
        return super()._changed(images, drawn, training, interpolation) if training else images

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        return {"apply_inversion": self._applies(images, self.factor, seed)}

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        applies = per_image(transformation["apply_inversion"])
        return ops.where(applies, float(self.value_range[1]) - images, images)


class RandomPosterization(_Colored):
    """Images with only the upper bits of their bytes.

    Args:
        factor: how many bits stay, or a range of them, without the upper end.
        value_range: the least and greatest value of images.
    """

    bounds = (1, 8)

    def __init__(
        self,
        factor: int | Sequence[int],
        value_range: ValueRange = _BYTES,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self._set_factor(factor, value_range, seed)

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        low, high = (int(bits) for bits in self.factor)
        shape = images.type.shape[:1]
        if low == high:
            bits = ops.full(shape, low, "uint8")
        else:
            seed = self.generator if seed is None else seed
            bits = randint(shape, low, high, "uint8", seed)
        return {"shift_factor": ops.cast(8 - ops.cast(bits, "int32"), "uint8")}

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        shift = per_image(transformation["shift_factor"], "uint8")
        images = ops.cast(images, self.compute_dtype)
        numbers = ops.cast(rescaled(images, self.value_range, _BYTES), "uint8")
        kept = ops.bitwise_left_shift(ops.bitwise_right_shift(numbers, shift), shift)
        return rescaled(ops.cast(kept, self.compute_dtype), _BYTES, self.value_range)


class RandomColorDegeneration(_Colored):
    """From images (factor 0) to their shades of grey (1).

    Args:
        factor: a range in [0, 1], or its upper end.
        value_range: the least and greatest value of images.
    """

    bounds = (-1.0, 1.0)

    def __init__(
        self,
        factor: Numbers,
        value_range: ValueRange = _BYTES,
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


class Solarization(ImageAugmentation):
    """Values plus an amount, inverted where they reach a threshold, in training.

    Args:
        addition_factor, threshold_factor: ranges in [0, 1] of 255, or their upper ends.
        value_range: the least and greatest value of images.
    """

    def __init__(
        self,
        addition_factor: Numbers = 0.0,
        threshold_factor: Numbers = 0.0,
        value_range: ValueRange = _BYTES,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.addition_factor = self._range(addition_factor, "addition_factor", 0, 1)
        self.threshold_factor = self._range(threshold_factor, "threshold_factor", 0, 1)
        self.value_range = self._value_range(value_range)
        self._set_seed(seed)

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        shape = (images.type.shape[0], 1, 1, 1)
        # The lower ends are not multiplied by 255, as in Keras.
        ranges = {"additions": self.addition_factor, "thresholds": self.threshold_factor}
        return {
            key: self._uniform(shape, low, high * 255.0, seed)
            for key, (low, high) in ranges.items()
        }

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        thresholds, additions = (
            per_image(transformation[key], images.dtype) for key in ("thresholds", "additions")
        )
        x = ops.clip(rescaled(images, self.value_range, _BYTES) + additions, 0.0, 255.0)
        return rescaled(ops.where(x < thresholds, x, 255.0 - x), _BYTES, self.value_range)


class RandomGaussianBlur(_Colored):
    """Images blurred, with a probability that is drawn.

    Args:
        factor: the range of the probability, or its upper end.
        kernel_size: width and height of the kernel, odd.
        sigma: a range in [0, 1] of standard deviations in pixels, or its upper end.
        value_range: the least and greatest value of images.
    """

    casts_images = True

    def __init__(
        self,
        factor: Numbers = 1.0,
        kernel_size: int | Sequence[int] = 3,
        sigma: Numbers = 1.0,
        value_range: ValueRange = _BYTES,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self._set_factor(factor, value_range, seed)
        self.value_range = list(value_range)
        sizes = (kernel_size,) * 2 if isinstance(kernel_size, int) else tuple(kernel_size)
        if len(sizes) != 2 or any(size < 1 or size % 2 == 0 for size in sizes):
            raise SpecError(
                f"kernel_size is an odd number or two of them, got {kernel_size!r}",
                where=f"layer '{self.name}'",
            )
        self.kernel_size = sizes
        self.sigma = self._range(sigma, "sigma", 0, 1)

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        return {
            "should_apply_blur": self._applies(images, self.factor, seed),
            "blur_factor": self._uniform((2,), *self.sigma, seed) + 1e-6,
        }

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        blurred = ops.image.gaussian_blur(
            images, self.kernel_size, transformation["blur_factor"], self.data_format
        )
        applies = per_image(transformation["should_apply_blur"])
        return ops.clip(ops.where(applies, blurred, images), *self.value_range)


class RandomErasing(ImageAugmentation):
    """A random rectangle of images filled, with a probability that is drawn.

    (Zhong et al., "Random erasing data augmentation", 2017)

    Args:
        factor: the range of the probability, or its upper end.
        scale: the range of the rectangle's share of the area, or its upper end.
        fill_value: a number, or one for each of three channels; noise if not given.
        value_range: the least and greatest value of images.
    """

    def __init__(
        self,
        factor: Numbers = 1.0,
        scale: Numbers = (0.02, 0.33),
        fill_value: float | Sequence[float] | None = None,
        value_range: ValueRange = _BYTES,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.factor = self._range(factor, "factor", 0, 1)
        self.scale = self._range(scale, "scale", 0, 1)
        self.fill_value = fill_value
        self.value_range = list(value_range)
        self._set_seed(seed)

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        shares = ops.sqrt(self._uniform((images.type.shape[0], 2), *self.scale, seed))
        masks, _ = self.draw_boxes(images, shares[:, 0], shares[:, 1], seed)
        return {
            "apply_erasing": self._applies(images, self.factor, seed),
            "batch_masks": masks,
            "fill_value": self._fill(images, seed),
        }

    def _fill(self, images: TracedTensor, seed: Any) -> Any:
        if self.fill_value is None:
            seed = self.generator if seed is None else seed
            fill = normal(images.type.shape, seed=seed) * float(self.value_range[1])
        else:
            values = np.asarray(self.fill_value, np.float32)
            if values.ndim and self._channel_axis(images) == 1:
                values = values.reshape(-1, 1, 1)
            fill = ops.broadcast_to(values, images.type.shape)
        return ops.clip(fill, *self.value_range)

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        fill = ops.cast(transformation["fill_value"], images.dtype)
        erased = ops.where(transformation["batch_masks"], fill, images)
        return ops.where(per_image(transformation["apply_erasing"]), erased, images)


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
        value_range: ValueRange = _BYTES,
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
