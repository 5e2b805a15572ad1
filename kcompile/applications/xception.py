"""Xception (Chollet, 2016; arXiv:1610.02357)."""

from __future__ import annotations

from typing import Any

from kcompile import layers
from kcompile.applications.building import Options, published_pair
from kcompile.applications.imagenet_utils import decode_predictions, preprocess_tf
from kcompile.models import Model
from kcompile.ops.tensor import KerasTensor

PUBLISHED = published_pair(
    "https://storage.googleapis.com/tensorflow/keras-applications/xception",
    "xception",
    "0a58e3b7378bc2990ea3b43d5981f1f6",
    "b0042744bf5b25fce3cb969f33bebb97",
)
#: Maps of the blocks in the middle, and how many of these there are.
MIDDLE, NUM_MIDDLE = 728, 8

preprocess_input = preprocess_tf


def Xception(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "xception",
) -> Model:
    """36 convolutions, most of them depthwise separable; for images of 299 x 299.

    The arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    options = Options(**locals())
    x = options.image(default_size=299, min_size=71)
    for number, (filters, strides) in enumerate(((32, 2), (64, 1)), 1):
        label = f"block1_conv{number}"
        x = layers.Conv2D(filters, 3, strides=strides, use_bias=False, name=label)(x)
        x = layers.BatchNormalization(name=f"{label}_bn")(x)
        x = layers.Activation("relu", name=f"{label}_act")(x)
    x = _narrowing(x, 2, (128, 128), begins_active=False)
    x = _narrowing(x, 3, (256, 256))
    x = _narrowing(x, 4, (MIDDLE, MIDDLE))
    for number in range(5, 5 + NUM_MIDDLE):
        y = x
        for index in (1, 2, 3):
            y = _separable(_active(y, number, index), number, index, MIDDLE)
        x = layers.Add()([y, x])
    x = _narrowing(x, 13, (MIDDLE, 1024))
    for index, filters in enumerate((1536, 2048), 1):
        x = _active(_separable(x, 14, index, filters), 14, index)
    if not options.include_top:
        return options.finish(options.pool(x), PUBLISHED)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return options.finish(options.classify(x), PUBLISHED)


def _active(x: KerasTensor, block: int, index: int) -> KerasTensor:
    return layers.Activation("relu", name=f"block{block}_sepconv{index}_act")(x)


def _separable(x: KerasTensor, block: int, index: int, filters: int) -> KerasTensor:
    name = f"block{block}_sepconv{index}"
    x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(name=f"{name}_bn")(x)


def _narrowing(
    x: KerasTensor, block: int, filters: tuple[int, int], begins_active: bool = True
) -> KerasTensor:
    """Two separable convolutions and a pooling, added to a projection of the input."""
    projected = layers.Conv2D(filters[1], 1, strides=2, padding="same", use_bias=False)(x)
    projected = layers.BatchNormalization()(projected)
    if begins_active:
        x = _active(x, block, 1)
    x = _separable(x, block, 1, filters[0])
    x = _separable(_active(x, block, 2), block, 2, filters[1])
    x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"block{block}_pool")(x)
    return layers.Add()([x, projected])


__all__ = ["Xception", "decode_predictions", "preprocess_input"]
