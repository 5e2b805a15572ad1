"""Layers made of other layers: random choices among them, and one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import kcompile.ops as ops
from kcompile.ir.errors import SpecError
from kcompile.layers.augmentation.base import ImageAugmentation, Numbers
from kcompile.layers.augmentation.color import (
    RandomBrightness,
    RandomColorDegeneration,
    RandomContrast,
)
from kcompile.layers.augmentation.geometry import RandomRotation, RandomShear, RandomTranslation
from kcompile.layers.augmentation.histogram import AutoContrast, Equalization
from kcompile.layers.augmentation.pixels import (
    RandomPosterization,
    RandomSharpness,
    Solarization,
)
from kcompile.layers.base import Layer
from kcompile.layers.nesting import layer_of
from kcompile.ops.dispatch import has_keras_tensor
from kcompile.ops.missing import missing
from kcompile.ops.random import randint
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import current_trace


class RandAugment(ImageAugmentation):
    """`num_ops` changes of images, each drawn for the whole batch from eleven kinds.

    (Cubuk et al., "RandAugment: practical automated data augmentation", 2019)

    Args:
        value_range: the least and greatest value of images.
        num_ops: how many changes are made, one after the other.
        factor: the range of every change's factor, or its upper end.
    """

    def __init__(
        self,
        value_range: Sequence[float] = (0, 255),
        num_ops: int = 2,
        factor: Numbers = 0.5,
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.value_range = list(value_range)
        self.num_ops = num_ops
        self.factor = self._range(factor, "factor", 0, 1)
        self.interpolation = interpolation
        self._set_seed(seed)
        common: dict[str, Any] = {"seed": seed, "data_format": data_format}
        warped = {"interpolation": interpolation, **common}
        values = {"value_range": value_range, **common}
        share = self.factor
        self._parts: dict[str, ImageAugmentation] = {
            "random_shear": RandomShear(share, share, **warped),
            "random_translation": RandomTranslation(share, share, **warped),
            "random_rotation": RandomRotation(share, **warped),
            "random_brightness": RandomBrightness(share, **values),
            "random_color_degeneration": RandomColorDegeneration(share, **values),
            "random_contrast": RandomContrast(share, **values),
            "random_sharpness": RandomSharpness(share, **values),
            "random_posterization": RandomPosterization(max(1, int(8 * share[1])), **values),
            "solarization": Solarization(share, share, **values),
            "auto_contrast": AutoContrast(value_range, data_format=data_format),
            "equalization": Equalization(value_range, data_format=data_format),
        }

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        generator = self.generator if seed is None else seed
        return {
            "layer_idxes": randint((self.num_ops,), 0, len(self._parts), seed=generator),
            "transforms": {name: part.draw(images, seed) for name, part in self._parts.items()},
        }

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        chosen, drawn = transformation["layer_idxes"], transformation["transforms"]
        for step in range(self.num_ops):
            given = images
            for index, (name, part) in enumerate(self._parts.items()):
                changed = ops.cast(part.change(given, drawn[name], interpolation), images.dtype)
                images = ops.where(ops.equal(chosen[step], index), changed, images)
        return images

    def transform_segmentation_masks(
        self, segmentation_masks: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Refused for now."""
        raise NotImplementedError("RandAugment: segmentation masks are not there yet")


AugMix = missing(
    "layers.AugMix",
    "its chains are drawn in Python, so that a graph would repeat the first ones for ever; use"
    " RandAugment",
)
MaxNumBoundingBoxes = missing("layers.MaxNumBoundingBoxes", "bounding boxes are not there yet")


class Pipeline(Layer):
    """Layers, one after the other."""

    def __init__(self, layers: Sequence[Any], name: str | None = None, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self._steps = list(layers)
        if not all(isinstance(layer, Layer) for layer in self._steps):
            raise SpecError("needs layers", where=f"layer '{self.name}'")

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order."""
        return list(self._steps)

    def call(self, inputs: Any, training: bool = False) -> Any:
        for layer in self._steps:
            inputs = layer(inputs, training=training)
        return inputs

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if current_trace() is None and not has_keras_tensor(args, kwargs):
            kwargs.setdefault("training", True)  # as layers that draw do
        return super().__call__(*args, **kwargs)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Pipeline:
        steps = [layer_of(entry) for entry in config["layers"]]
        return cls(**{**config, "layers": steps})
