"""MobileNetV2 (Sandler et al., 2018; arXiv:1801.04381)."""

from __future__ import annotations

import dataclasses
from typing import Any

from kcompile import layers
from kcompile.applications.building import Options, Published, channels_of, weights_file
from kcompile.applications.imagenet_utils import decode_predictions, preprocess_tf
from kcompile.applications.mobile import (
    default_size,
    divisible,
    normalized,
    padding_for,
    published_size,
)
from kcompile.models import Model
from kcompile.ops.tensor import KerasTensor

BASE_URL = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2"
SIZES = (96, 128, 160, 192, 224)
WIDTHS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
#: Maps, number of blocks and stride of the first of them.
STAGES = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
EXPANSION = 6

preprocess_input = preprocess_tf


def MobileNetV2(
    input_shape: Any = None,
    alpha: float = 1.0,
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str | None = None,
) -> Model:
    """17 inverted residual blocks; for images of 224 x 224.

    Args:
        alpha: width: what the numbers of maps are multiplied by.

    The other arguments are those of `kcompile.applications.building.Options`.

    Raises:
        SpecError: arguments that don't go together.
    """
    options = Options(
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name or "mobilenetv2",
    )
    size = default_size(input_shape, input_tensor, SIZES)
    rows = options.shape(size, 32, include_top)[0]
    published = None
    if options.is_imagenet:
        rows, published = _published(options, alpha, size)
    if name is None:
        options = dataclasses.replace(options, name=f"mobilenetv2_{alpha:0.2f}_{rows}")
    x = _features(options.image(size, 32), alpha)
    x = options.classify(layers.GlobalAveragePooling2D()(x)) if include_top else options.pool(x)
    return options.finish(x, published)


def _published(options: Options, alpha: float, size: int) -> tuple[int, Published]:
    """The image size that weights were published for, and where they are."""
    if alpha not in WIDTHS:
        options.refuse(f"weights of ImageNet are published for alpha {list(WIDTHS)}, not {alpha}")
    rows = published_size(options.shape(size, 32, options.include_top), SIZES)
    stem = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(alpha)}_{rows}"
    files = (weights_file(BASE_URL, f"{stem}{end}.h5") for end in ("", "_no_top"))
    return rows, Published(*files)


def _features(x: KerasTensor, alpha: float) -> KerasTensor:
    """The last feature maps of an image."""
    x = layers.Conv2D(
        divisible(32 * alpha), 3, strides=2, padding="same", use_bias=False, name="Conv1"
    )(x)
    x = layers.ReLU(6.0, name="Conv1_relu")(normalized(x, "bn_Conv1"))
    number = 0
    for filters, depth, strides in STAGES:
        for index in range(depth):
            x = _block(x, divisible(int(filters * alpha)), 1 if index else strides, number)
            number += 1
    last = divisible(1280 * alpha) if alpha > 1.0 else 1280
    x = layers.Conv2D(last, 1, use_bias=False, name="Conv_1")(x)
    return layers.ReLU(6.0, name="out_relu")(normalized(x, "Conv_1_bn"))


def _block(x: KerasTensor, filters: int, strides: int, number: int) -> KerasTensor:
    """Expansion, depthwise convolution, projection; added to the input where that fits."""
    prefix = f"block_{number}_" if number else "expanded_conv_"
    channels = channels_of(x)
    y = x
    if number:
        y = layers.Conv2D(
            EXPANSION * channels, 1, padding="same", use_bias=False, name=f"{prefix}expand"
        )(y)
        y = layers.ReLU(6.0, name=f"{prefix}expand_relu")(normalized(y, f"{prefix}expand_BN"))
    if strides == 2:
        y = layers.ZeroPadding2D(padding_for(y, 3), name=f"{prefix}pad")(y)
    y = layers.DepthwiseConv2D(
        3,
        strides=strides,
        use_bias=False,
        padding="same" if strides == 1 else "valid",
        name=f"{prefix}depthwise",
    )(y)
    y = layers.ReLU(6.0, name=f"{prefix}depthwise_relu")(normalized(y, f"{prefix}depthwise_BN"))
    y = layers.Conv2D(filters, 1, padding="same", use_bias=False, name=f"{prefix}project")(y)
    y = normalized(y, f"{prefix}project_BN")
    if channels == filters and strides == 1:
        return layers.Add(name=f"{prefix}add")([x, y])
    return y


__all__ = ["MobileNetV2", "decode_predictions", "preprocess_input"]
