"""Layers that change pixels by themselves or by their neighbours, at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import kcompile.ops as ops
from kcompile.ir.errors import SpecError
from kcompile.layers.augmentation.base import ImageAugmentation, Numbers, per_image, rescaled
from kcompile.layers.augmentation.color import BYTES, Colored, ValueRange
from kcompile.ops.limits import check_numbers
from kcompile.ops.random import normal, randint
from kcompile.ops.tensor import TracedTensor


class RandomSharpness(Colored):
    """From images smoothed (factor 0) over themselves (0.5) to sharpened ones (1).

    Args:
        factor: a range in [0, 1], or its upper end.
        value_range: the least and greatest value of images.
    """

    casts_images = True

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

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        factor = per_image(transformation["factor"] * 2.0, images.dtype)
        kernel = np.full((3, 3, 1, 1), 1 / 13, np.float32)
        kernel[1, 1] = 5 / 13
        channels = self._num_channels(images)
        check_numbers(channels)
        kernel = np.tile(kernel, (1, 1, channels, 1))
        smooth = ops.depthwise_conv(
            images, ops.cast(kernel, images.dtype), padding="same", data_format=self.data_format
        )
        return ops.clip(images + (1.0 - factor) * (smooth - images), *self.value_range)


class RandomInvert(Colored):
    """`greatest value - x`, with a probability that is drawn.

    Args:
        factor: the range of the probability, or its upper end.
        value_range: the least and greatest value of images.
    """

    casts_images = True

    def __init__(
        self,
        factor: Numbers = 1.0,
        value_range: ValueRange = BYTES,
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


class RandomPosterization(Colored):
    """Images with only the upper bits of their bytes.

    Args:
        factor: how many bits stay, or a range of them, without the upper end.
        value_range: the least and greatest value of images.
    """

    bounds = (1, 8)

    def __init__(
        self,
        factor: int | Sequence[int],
        value_range: ValueRange = BYTES,
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
        numbers = ops.cast(rescaled(images, self.value_range, BYTES), "uint8")
        kept = ops.bitwise_left_shift(ops.bitwise_right_shift(numbers, shift), shift)
        return rescaled(ops.cast(kept, self.compute_dtype), BYTES, self.value_range)


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
        value_range: ValueRange = BYTES,
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
        x = ops.clip(rescaled(images, self.value_range, BYTES) + additions, 0.0, 255.0)
        return rescaled(ops.where(x < thresholds, x, 255.0 - x), BYTES, self.value_range)


class RandomGaussianBlur(Colored):
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
        value_range: ValueRange = BYTES,
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
        value_range: ValueRange = BYTES,
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
