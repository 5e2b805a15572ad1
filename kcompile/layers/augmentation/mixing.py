"""Layers that mix each image of a batch, and its label, with another one."""

from __future__ import annotations

from typing import Any

import kcompile.ops as ops
from kcompile.ir.errors import SpecError
from kcompile.layers.augmentation.base import ImageAugmentation, Numbers, per_image
from kcompile.ops.random import beta, permutation
from kcompile.ops.tensor import TracedTensor


def _mixed_labels(labels: TracedTensor, transformation: Any) -> Any:
    """Labels `[N, K]`, as much of each as there is of its image."""
    weight = ops.reshape(transformation["mix_weight"], (-1, 1))
    others = ops.take(labels, transformation["permutation_order"], 0)
    return weight * labels + (1.0 - weight) * others


class MixUp(ImageAugmentation):
    """`w x + (1 - w) x'`, x' another image of the batch, w drawn from beta(alpha, alpha).

    Labels are mixed in the same proportion. (Zhang et al., "mixup: beyond empirical risk
    minimization", 2017)
    """

    casts_images = False

    def __init__(
        self,
        alpha: float = 0.2,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        if alpha <= 0:
            raise SpecError(f"alpha must be positive, got {alpha!r}", where=f"layer '{self.name}'")
        self.alpha = alpha
        self._set_seed(seed)

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        batch = images.type.shape[0]
        seed = self.generator if seed is None else seed
        return {
            "mix_weight": beta((batch,), self.alpha, self.alpha, seed=seed),
            "permutation_order": permutation(batch, seed),
        }

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        images = ops.cast(images, self.compute_dtype)
        weight = per_image(transformation["mix_weight"], images.dtype)
        others = ops.take(images, transformation["permutation_order"], 0)
        return weight * images + (1.0 - weight) * others

    def change_labels(self, labels: TracedTensor, transformation: Any) -> Any:
        return _mixed_labels(labels, transformation)

    def transform_segmentation_masks(
        self, segmentation_masks: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Refused: a mixture of classes is no class."""
        raise NotImplementedError("MixUp: segmentation masks are not there yet")


class CutMix(ImageAugmentation):
    """A random rectangle of each image from another image of the batch.

    Labels are mixed in the proportion of areas. (Yun et al., "CutMix: regularization strategy to
    train strong classifiers with localizable features", 2019)

    Args:
        factor: the range that alpha is drawn from, or its upper end; a share of beta(alpha, alpha)
            of each image stays.
    """

    moves_elements = True

    def __init__(
        self,
        factor: Numbers = 1.0,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.factor = self._range(factor, "factor", 0, 1)
        self._set_seed(seed)

    def draw(self, images: TracedTensor, seed: Any) -> Any:
        batch = images.type.shape[0]
        alpha = self._uniform((), *self.factor, seed) + 1e-6
        generator = self.generator if seed is None else seed
        side = ops.sqrt(1.0 - beta((batch,), alpha, alpha, seed=generator))
        masks, area = self.draw_boxes(images, side, side, seed)
        return {
            "permutation_order": permutation(batch, generator),
            "batch_masks": masks,
            "mix_weight": per_image(1.0 - area),
        }

    def change(self, images: TracedTensor, transformation: Any, interpolation: str) -> Any:
        others = ops.take(images, transformation["permutation_order"], 0)
        return ops.where(transformation["batch_masks"], others, images)

    def change_labels(self, labels: TracedTensor, transformation: Any) -> Any:
        return _mixed_labels(labels, transformation)
